//! What client protocols say, and how each wants to be answered.
//!
//! A second protocol is a second folder, never an `if` inside the first. HTTP statuses are retry
//! instructions, so every dialect maps the engine's errors by itself.

mod body;
mod digest;
pub mod direct;
pub mod flow;
pub mod form;
mod gate;
mod refusal;
mod rejection;

pub(crate) use self::rejection::quote;
pub use self::{
    body::{CreativeBody, Standing, Status, Upload},
    gate::{Gate, Grant},
    refusal::Refusal,
    rejection::{Rejection, RejectionKind},
};

//! The protocol of flow.js.
//!
//! Read `exchange` first: it is the way of a request with bytes. `question` answers probes and
//! lookups, `params` says what a request can be,
//! `geometry` where a chunk number becomes an offset, `reply` which status answers what.
//!
//! Invariant: chunk numbers and the names of its fields are known in this folder only. Everything
//! to the left of it speaks of ranges.

mod exchange;
mod fields;
mod geometry;
mod intent;
mod names;
mod params;
mod question;
mod reply;

pub use self::{
    exchange::{Upload, upload},
    fields::FlowFields,
    params::{Chunk, FlowRequest, Lookup, Named, Post, Probe, Whole},
    question::{lookup, probe},
    reply::Answer,
};
use super::rejection;

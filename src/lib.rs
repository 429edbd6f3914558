//! A resumable upload server that speaks flow.js and keeps what it acknowledges.

pub mod upload;

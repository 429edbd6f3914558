//! A resumable upload server that speaks flow.js and keeps what it acknowledges.
//!
//! The layers, in reading order; each imports only from those before it:
//! [`upload`] (values), `witness` (of flushes), `owner` (of new files)
//! ← [`store`] (bytes), [`catalog`] (facts)
//! ← [`engine`] (receive, commit, stitch) ← [`dialect`] (what clients say), [`access`] (who they
//! are)
//! ← [`http`] (the service) ← [`app`] (all of it)
//! ← [`operate`] (what an operator does beside it).

mod owner;
pub mod upload;
mod witness;

pub mod catalog;
pub mod mail;
pub mod scan;
pub mod store;

pub mod engine;

pub mod access;
pub mod dialect;

pub mod http;

pub mod app;

pub mod operate;

pub mod config;
pub mod metrics;
pub mod shutdown;
pub mod telemetry;

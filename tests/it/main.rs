//! In-process tests.

mod config;
mod content;
mod cors;
mod creatives;
mod events;
mod flow;
mod headers;
mod openapi;
mod operation;
mod support;
mod tidy;
mod uploads;

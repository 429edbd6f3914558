//! In-process tests.

mod config;
mod flow;
mod support;
mod tidy;

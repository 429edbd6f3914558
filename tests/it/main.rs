//! In-process tests.

mod config;
mod flow;
mod flow_bodies;
mod flow_methods;
mod flow_troubles;
mod probes;
mod support;
mod tidy;

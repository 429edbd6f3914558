//! In-process tests.

mod config;
mod direct;
mod flow;
mod flow_bodies;
mod flow_hostile;
mod flow_methods;
mod flow_terms;
mod flow_troubles;
mod late_fields;
mod names;
mod probes;
mod support;
mod tidy;

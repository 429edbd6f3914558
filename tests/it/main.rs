//! In-process tests.

mod config;
mod content;
mod cors;
mod creatives;
mod direct;
mod events;
mod flow;
mod flow_bodies;
mod flow_hostile;
mod flow_methods;
mod flow_terms;
mod flow_troubles;
mod headers;
mod late_fields;
mod names;
mod openapi;
mod operation;
mod probes;
mod support;
mod tidy;
mod uploads;

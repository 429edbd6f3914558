//! In-process tests.

mod claims;
mod config;
mod faults;
mod flow;
mod memory;
mod order;
mod race;
mod restart;
mod shuttle_claim;
mod support;
mod sweep;
mod tidy;

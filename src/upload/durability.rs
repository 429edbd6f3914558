//! What an acknowledgement promises.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which failure an acknowledged range survives: the setting `durability`.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Loss of power: bytes and fact are flushed to the disk before the answer.
    #[default]
    Strict,
    /// The death of the process: bytes and fact are with the operating system before the answer.
    /// After loss of power a range is either still here or known to be missing.
    Relaxed,
}

//! The faults, in the order in which they take turns. A fault more is a file more, and a line in
//! [`all`].

mod kill;
mod order;
mod power;
mod proof;

use async_trait::async_trait;

use crate::{failure::Failure, round::Round};

/// One way to hurt the server.
#[async_trait]
pub(crate) trait Fault: Send + Sync {
    /// What it is called on the command line and in the table.
    fn name(&self) -> &'static str;

    /// One sentence for `--list`.
    fn about(&self) -> &'static str;

    /// How many rounds the quick version runs.
    fn quick_rounds(&self) -> u64 {
        1
    }

    /// Runs one round: starts servers, hurts them, and lets `audit` judge. What it finds goes to
    /// the round's tally. `NotRun` says that this machine cannot do it.
    async fn round(&self, round: &mut Round) -> Result<(), Failure>;
}

/// All faults there are.
pub(crate) fn all() -> Vec<Box<dyn Fault>> {
    vec![
        Box::new(kill::Kill::STRICT),
        Box::new(kill::Kill::RELAXED),
        Box::new(power::Shutdown),
        Box::new(power::Image),
        Box::new(order::Order),
        Box::new(proof::Proof::BYTES),
        Box::new(proof::Proof::NAMES),
        Box::new(proof::Proof::JOURNAL),
        Box::new(proof::Proof::DATABASE),
    ]
}

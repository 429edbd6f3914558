//! The faults, in the order in which they take turns. A fault more is a file more, and a line in
//! [`all`].

mod aborted;
mod backup;
mod cancel;
mod clock;
mod cut;
mod duplicates;
mod expiry;
mod full;
mod held_up;
mod io;
mod kill;
mod line;
mod lost;
mod midnight;
mod missing;
mod nginx;
mod order;
mod points;
mod power;
mod proof;
mod quota;
mod recovery;
mod restore;
mod rivals;
mod rot;
mod slow;
mod split;
mod stall;
mod thin;
mod throttle;

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
    let mut all: Vec<Box<dyn Fault>> =
        vec![Box::new(kill::Kill::STRICT), Box::new(kill::Kill::RELAXED)];
    all.extend(points::POINTS.map(|point| Box::new(point) as Box<dyn Fault>));
    all.push(Box::new(recovery::Recovery));
    all.push(Box::new(restore::Restore));
    all.push(Box::new(backup::Backup));
    all.push(Box::new(missing::Missing));
    all.push(Box::new(power::Shutdown));
    all.push(Box::new(power::Image));
    all.push(Box::new(order::Order));
    all.push(Box::new(cancel::Removal));
    all.push(Box::new(cancel::Cancel));
    all.push(Box::new(duplicates::Duplicates));
    all.push(Box::new(expiry::Expiry));
    all.push(Box::new(rivals::Rivals));
    all.extend(full::Full::ALL.map(|full| Box::new(full) as Box<dyn Fault>));
    all.push(Box::new(full::Filled));
    all.push(Box::new(held_up::HeldUp));
    all.push(Box::new(aborted::Aborted));
    all.push(Box::new(quota::Quota));
    all.push(Box::new(thin::Thin));
    all.push(Box::new(throttle::Throttled));
    all.push(Box::new(io::Once));
    all.push(Box::new(io::Dead));
    all.push(Box::new(io::AtStart));
    all.push(Box::new(rot::Rot));
    all.push(Box::new(cut::Cut));
    all.push(Box::new(stall::Stall));
    all.push(Box::new(slow::Slow));
    all.push(Box::new(split::Split));
    all.push(Box::new(lost::Lost));
    all.push(Box::new(line::Line));
    all.push(Box::new(nginx::Nginx::BUFFERING));
    all.push(Box::new(nginx::Nginx::PASSING));
    all.push(Box::new(clock::Jumps));
    all.push(Box::new(clock::Ended));
    all.push(Box::new(midnight::Passing));
    all.push(Box::new(proof::Proof::BYTES));
    all.push(Box::new(proof::Proof::NAMES));
    all.push(Box::new(proof::Proof::JOURNAL));
    all.push(Box::new(proof::Proof::DATABASE));
    all
}

//! That lost power is noticed: a server without some of its syncs must break a promise.
//!
//! Only syncs whose absence a journaling file system does not make good can be missed here; all
//! others are missed by `power-order`.

use async_trait::async_trait;

use super::{
    Fault,
    power::{Moment, Scene},
};
use crate::{failure::Failure, report::Kind, round::Round, syncs::Syncs};

/// How often power is lost at most before a server passes that should not.
const TRIES_MAX: u64 = 20;

/// Losing power until it shows that some syncs are not there.
pub(crate) struct Proof {
    name: &'static str,
    about: &'static str,
    without: Syncs,
}

impl Proof {
    pub(crate) const BYTES: Self = Self {
        name: "proof-bytes",
        about: "files of uploads are not synced: lost power must show it",
        without: Syncs::Bytes,
    };
    pub(crate) const NAMES: Self = Self {
        name: "proof-names",
        about: "incomplete/ and completed/ are not synced: lost power must show it",
        without: Syncs::Names,
    };
    pub(crate) const JOURNAL: Self = Self {
        name: "proof-journal",
        about: "the journal of the catalog is not synced: lost power must show it",
        without: Syncs::Journal,
    };
    pub(crate) const DATABASE: Self = Self {
        name: "proof-database",
        about: "the file of the catalog is not synced: lost power must show it",
        without: Syncs::Database,
    };

    /// Where the loss can show at all.
    fn scene(&self, round: &mut Round) -> Scene {
        let mut scene = Scene::any(round);
        scene.strict = true;
        match self.without {
            // On one file system the sync of the journal would write the names out, too.
            Syncs::Names => (scene.apart, scene.moment) = (true, Moment::Completion),
            // Only then is the journal emptied.
            Syncs::Database => scene.restarts = true,
            _ => {}
        }
        scene
    }
}

#[async_trait]
impl Fault for Proof {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    async fn round(&self, round: &mut Round) -> Result<(), Failure> {
        for tries in 1..=TRIES_MAX {
            let mut inner = round.inner()?;
            inner.without = Some(self.without);
            let scene = self.scene(&mut inner);
            scene.play(&mut inner).await?;
            round.tally.add_work(&inner.tally);
            // What else goes wrong is no proof that anything was lost.
            let violations = inner.tally.violations();
            if let Some((_, detail)) = violations.iter().find(|(kind, _)| kind.is_loss()) {
                crate::say(&format!("{}: caught in round {tries}, {scene}: {detail}", self.name));
                return Ok(());
            }
        }
        round.tally.broken(Kind::Other, format!("nothing was lost in {TRIES_MAX} rounds"));
        Ok(())
    }
}

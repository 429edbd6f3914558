//! Which catalog and which folders belong together.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// A deployment: one catalog and its data folders. Random, so that no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeploymentId(Uuid);

impl DeploymentId {
    /// A new one.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }

    /// An id as a catalog stored it.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What catalog and folders know of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Which deployment they belong to.
    pub deployment: DeploymentId,
    /// How often the service was started and stopped. The catalog is changed first, and then the
    /// folders. If they differ, something was cut short in between, or restored from a backup.
    pub generation: u64,
}

/// A text that is no mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a mark: two lines are needed, `deployment ID` and `generation NUMBER`")]
pub struct InvalidMark;

impl fmt::Display for Mark {
    /// As it stands in a marker file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "deployment {}\ngeneration {}", self.deployment, self.generation)
    }
}

impl FromStr for Mark {
    type Err = InvalidMark;

    fn from_str(text: &str) -> Result<Self, InvalidMark> {
        let mut lines = text.lines();
        let mut value = |key: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(key));
            line.map(str::trim).ok_or(InvalidMark)
        };
        let deployment = value("deployment ")?.parse().map_err(|_| InvalidMark)?;
        let generation = value("generation ")?.parse().map_err(|_| InvalidMark)?;
        Ok(Self { deployment: DeploymentId(deployment), generation })
    }
}

/// Who may use the service. Stored with the catalog: it never follows from what is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessState {
    /// Everybody who reaches it, without credentials.
    Open,
    /// Those who have credentials. There is no way back to `Open`.
    Users,
}

impl AccessState {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Users => "users",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Users].into_iter().find(|state| state.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        let mark = Mark { deployment: DeploymentId::new(), generation: 7 };
        assert_eq!(mark.to_string().parse(), Ok(mark));
        for bad in ["", "deployment x\ngeneration 1\n", "generation 1", "deployment "] {
            assert_eq!(bad.parse::<Mark>(), Err(InvalidMark), "{bad:?}");
        }
    }
}

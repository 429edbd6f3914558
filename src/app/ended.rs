//! How a service ended.

/// How the service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All work that had begun was brought to its end. Connections whose clients took no answer may
    /// have been cut.
    InOrder,
    /// The deadline came first: what is left is resumed at the next start.
    AtDeadline,
    /// Not because it was told to, or the catalog could not be closed: the next start recovers.
    InTrouble,
}

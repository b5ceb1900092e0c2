//! A timeout becomes an instant once, at the door; whatever waits afterwards, waits for what is left of it.

#[cfg(loom)]
pub mod model;

use std::time::Duration;

#[cfg(loom)]
pub use model::Instant;
#[cfg(not(loom))]
pub use std::time::Instant;

/// How long a call may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// For ever.
    Never,
    /// Until this instant of the monotonic clock.
    At(Instant),
}

impl Deadline {
    /// `None` waits for ever; a duration beyond the clock's range does too.
    #[must_use]
    pub fn after(timeout: Option<Duration>) -> Deadline {
        timeout.and_then(|t| Instant::now().checked_add(t)).map_or(Deadline::Never, Deadline::At)
    }

    /// What is left: `None` for ever, zero once passed.
    #[must_use]
    pub fn left(self) -> Option<Duration> {
        match self {
            Deadline::Never => None,
            Deadline::At(instant) => Some(instant.saturating_duration_since(Instant::now())),
        }
    }

    /// True once there is nothing left to wait for.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.left() == Some(Duration::ZERO)
    }

    /// The shorter of `bound` and what is left.
    #[must_use]
    pub fn at_most(self, bound: Duration) -> Duration {
        self.left().map_or(bound, |left| left.min(bound))
    }
}

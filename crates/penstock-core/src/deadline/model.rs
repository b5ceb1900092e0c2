//! The clock of the models: it stands still, but for sleeps whose bound passes. So an execution can be repeated.

use std::cell::Cell;
use std::time::Duration;

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// An instant of the models' clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

/// Lets time pass.
pub fn pass(time: Duration) {
    NOW.set(NOW.get().saturating_add(time));
}

/// Lets all time that passed be undone: an execution begins.
pub fn begin() {
    NOW.set(Duration::ZERO);
}

impl Instant {
    /// The clock's instant.
    #[must_use]
    pub fn now() -> Instant {
        Instant(NOW.get())
    }

    /// Time since then.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        NOW.get().saturating_sub(self.0)
    }

    /// As the standard one.
    #[must_use]
    pub fn checked_add(&self, time: Duration) -> Option<Instant> {
        self.0.checked_add(time).map(Instant)
    }

    /// As the standard one.
    #[must_use]
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

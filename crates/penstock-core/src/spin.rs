//! How long to look before sleeping.
//!
//! A sleep and a wake-up cost two system calls and the scheduler's leisure; a peer on another processor often answers
//! within a microsecond. So look for a short while first, for longer where that has paid lately, and not at all on one processor
//! or where `PENSTOCK_SPIN=0` says so.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Looks between two glances at the clock.
const LOOKS_A_ROUND: u32 = 16;
/// The longest time spent looking.
const MOST: u32 = 40_000;
/// The shortest.
const LEAST: u32 = 2_000;

/// Adapts the time spent looking to how it went before. Nanoseconds.
#[derive(Debug)]
pub struct Spin {
    budget_ns: AtomicU32,
}

impl Spin {
    /// Starts with a short time.
    #[must_use]
    pub fn new() -> Spin {
        Spin { budget_ns: AtomicU32::new(MOST / 2) }
    }

    /// Looks until `is_ready`; false if it did not come about in time.
    pub fn until(&self, mut is_ready: impl FnMut() -> bool) -> bool {
        if !is_worth_it() {
            return is_ready();
        }
        let budget = self.budget_ns.load(Relaxed);
        let start = Instant::now();
        loop {
            for _ in 0..LOOKS_A_ROUND {
                if is_ready() {
                    self.budget_ns.store(MOST.min(budget + budget / 4), Relaxed);
                    return true;
                }
                std::hint::spin_loop();
            }
            if start.elapsed() >= Duration::from_nanos(budget.into()) {
                self.budget_ns.store(LEAST.max(budget - budget / 4), Relaxed);
                return false;
            }
        }
    }
}

impl Default for Spin {
    fn default() -> Spin {
        Spin::new()
    }
}

/// Looks a fixed, short number of times: for a caller who keeps others waiting meanwhile.
pub fn briefly(looks: u32, mut is_ready: impl FnMut() -> bool) -> bool {
    if !is_worth_it() {
        return false;
    }
    for _ in 0..looks {
        if is_ready() {
            return true;
        }
        std::hint::spin_loop();
    }
    false
}

fn is_worth_it() -> bool {
    static WORTH: OnceLock<bool> = OnceLock::new();
    *WORTH.get_or_init(|| crate::sys::spin_cpus() > 1 && std::env::var_os("PENSTOCK_SPIN").is_none_or(|v| v != "0"))
}

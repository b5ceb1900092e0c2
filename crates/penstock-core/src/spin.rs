//! How long to look before sleeping.
//!
//! A sleep and a wake-up cost two system calls and the scheduler's leisure; a peer on another processor often answers
//! within a microsecond. So look for a short while first, for longer where that has paid lately, and not at all on one processor
//! or where `PENSTOCK_SPIN=0` says so.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
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

/// Looks for a moment only, for a caller who keeps others waiting meanwhile; and learns whether it pays not to look at once.
///
/// In a stream, the peer is about to do it again. Who looks at once finds one item, and both sides then wait for the
/// same lines of memory to pass between their processors, for every item. Who lets a few gather pays that once for
/// all of them. Where a look after such a pause finds no more than one, it was no stream, and the next looks at once.
#[derive(Debug, Default)]
pub struct Glance {
    is_stream: AtomicBool,
}

/// How long to let a stream gather: a few items' worth.
const GATHER: u32 = 20;

impl Glance {
    /// Looks up to `looks` times for `count` to be more than zero.
    pub fn until_some(&self, looks: u32, mut count: impl FnMut() -> u64) -> bool {
        if !is_worth_it() {
            return false;
        }
        if self.is_stream.load(Relaxed) {
            pause(GATHER);
            let gathered = count();
            if gathered > 0 {
                self.is_stream.store(gathered > 1, Relaxed);
                return true;
            }
            self.is_stream.store(false, Relaxed);
        }
        for look in 0..looks {
            if count() > 0 {
                self.is_stream.store(look < 2, Relaxed);
                return true;
            }
            pause(1);
        }
        false
    }
}

fn pause(times: u32) {
    for _ in 0..times {
        std::hint::spin_loop();
    }
}

fn is_worth_it() -> bool {
    static WORTH: OnceLock<bool> = OnceLock::new();
    *WORTH.get_or_init(|| crate::sys::spin_cpus() > 1 && std::env::var_os("PENSTOCK_SPIN").is_none_or(|v| v != "0"))
}

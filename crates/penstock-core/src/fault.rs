//! Named crash points: where a test can stop or kill a process between two shared stores.
//!
//! A release build has none of this: `point` is empty unless the feature `crash-points` is on, and each [`Remedy`] is
//! applied unless `planted-bugs` is. A model kills at finer steps by itself.

mod remedy;

pub use remedy::Remedy;

/// Marks the instant between the store before it and the store after it.
#[cfg(any(not(feature = "crash-points"), loom))]
#[inline(always)]
pub fn point(_name: &'static str) {}

#[cfg(all(feature = "crash-points", not(loom)))]
pub use armed::{arm, arm_to_stop, count, point, watch};

#[cfg(all(feature = "crash-points", not(loom)))]
mod armed {
    use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

    static LEFT: AtomicI64 = AtomicI64::new(-1);
    static STOPS: AtomicBool = AtomicBool::new(false);
    static SEEN: AtomicU64 = AtomicU64::new(0);
    static WATCHER: std::sync::OnceLock<fn(&'static str)> = std::sync::OnceLock::new();

    /// Dies by SIGKILL at the `n`th point passed from now on, counted from 0; a negative `n` disarms.
    pub fn arm(n: i64) {
        SEEN.store(0, Ordering::SeqCst);
        STOPS.store(false, Ordering::SeqCst);
        LEFT.store(n, Ordering::SeqCst);
    }

    /// The same, but stops there until somebody sends SIGCONT.
    pub fn arm_to_stop(n: i64) {
        arm(n);
        STOPS.store(true, Ordering::SeqCst);
    }

    /// Calls `watcher` at every point from now on: a scheduler that lets one process go on at a time. Once in a process's life.
    pub fn watch(watcher: fn(&'static str)) {
        assert!(WATCHER.set(watcher).is_ok(), "one watcher is enough");
    }

    /// How many points were passed since the last `arm`.
    #[must_use]
    pub fn count() -> u64 {
        SEEN.load(Ordering::SeqCst)
    }

    /// Marks the instant between the store before it and the store after it.
    pub fn point(name: &'static str) {
        SEEN.fetch_add(1, Ordering::SeqCst);
        if LEFT.load(Ordering::SeqCst) >= 0 && LEFT.fetch_sub(1, Ordering::SeqCst) == 0 {
            if STOPS.load(Ordering::SeqCst) {
                crate::sys::stop_self();
            } else {
                crate::sys::die();
            }
        }
        if let Some(watcher) = WATCHER.get() {
            watcher(name);
        }
        pause_if_asked(name);
    }

    /// `PENSTOCK_PAUSE_AT=<name>`: stop here, so that a test can look, then kill or continue this process.
    fn pause_if_asked(name: &'static str) {
        static AT: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
        let at = AT.get_or_init(|| std::env::var("PENSTOCK_PAUSE_AT").ok());
        if at.as_deref() == Some(name) {
            crate::sys::stop_self();
        }
    }
}

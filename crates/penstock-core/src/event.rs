//! A word to sleep on until something changes.
//!
//! Bit 0 says that somebody sleeps or is about to; the rest counts, so that the word changes with every signal and
//! with every sleeper. The bit lives in the counted word because a store followed by a load of a separate count of
//! waiters loses wake-ups, even on x86. It is sticky: no count of sleepers could survive their deaths. It goes only when a wake-up
//! found nobody and nobody has announced himself since.

use crate::atomic::AtomicU32;
use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::deadline::{Deadline, Instant};
use crate::error::{Error, Result};
use crate::fault::{self, Remedy};
use crate::sys;
use std::time::Duration;

const SLEEPERS: u32 = 1;
const STEP: u32 = 2;

/// How long a sleep lasts at most before the sleeper looks again by itself: whoever should have woken it may be dead.
pub const HEARTBEAT: Duration = Duration::from_millis(50);
/// The bound for who has slept for seconds, so that idling stays cheap. Such a sleeper goes on within 250 ms after a death:
/// what this leaves is for the repair, and for a look that was left to another sleeper half a heartbeat ago.
pub const SLOW_HEARTBEAT: Duration = Duration::from_millis(200);
/// When the bound grows.
pub const SLEPT_LONG: Duration = Duration::from_secs(2);

/// Announces a change: wakes up to `count` sleepers. No system call unless somebody sleeps.
#[inline]
pub fn signal(word: &AtomicU32, count: u32) {
    // AcqRel: pairs with `arm`. Either the sleeper sees what changed before this, or we see its bit.
    let before = if Remedy::SignalChangesTheWord.is_on() { word.fetch_add(STEP, AcqRel) } else { word.load(Relaxed) };
    if before & SLEEPERS != 0 {
        wake_sleepers(word, before.wrapping_add(STEP), count);
    }
}

#[cold]
fn wake_sleepers(word: &AtomicU32, after: u32, count: u32) {
    fault::point("signal: before wake");
    if sys::wake(word, count) == 0 {
        // Fails if anybody armed or signalled since: then the bit stands for a sleeper that we did not see.
        let _ = word.compare_exchange(after, after & !SLEEPERS, AcqRel, Relaxed);
    } else if !Remedy::BitIsSticky.is_on() {
        word.fetch_and(!SLEEPERS, AcqRel);
    }
    fault::point("signal: woken");
}

/// Wakes everybody, whatever the word says. After a repair: the dead may have owed wake-ups.
pub fn signal_all(word: &AtomicU32) {
    word.fetch_add(STEP, AcqRel);
    sys::wake(word, u32::MAX);
}

/// Announces a sleeper, who must now look once more at what it waits for, and then sleep on the returned value.
#[must_use]
pub fn arm(word: &AtomicU32) -> u32 {
    let mut seen = word.load(Relaxed);
    loop {
        // Counts too, so that a signaller's attempt to clear the bit fails.
        let armed = seen.wrapping_add(STEP) | SLEEPERS;
        match word.compare_exchange_weak(seen, armed, AcqRel, Relaxed) {
            Ok(_) => return armed,
            Err(now) => seen = now,
        }
    }
}

/// What a waiter does between sleeps: runs signal handlers, looks at a flag. An error ends the wait.
pub type Tick<'a> = &'a mut dyn FnMut() -> Result<()>;

/// Bounds sleeps: short at first, longer for who has slept long.
#[derive(Debug)]
pub struct Patience {
    since: Instant,
}

impl Patience {
    /// Starts to wait now.
    #[must_use]
    pub fn new() -> Patience {
        Patience { since: Instant::now() }
    }

    /// How long the next sleep may last.
    #[must_use]
    pub fn bound(&self, deadline: Deadline) -> Duration {
        if !Remedy::SleepsAreBounded.is_on() {
            return deadline.at_most(Duration::MAX);
        }
        deadline.at_most(if self.since.elapsed() < SLEPT_LONG { HEARTBEAT } else { SLOW_HEARTBEAT })
    }
}

impl Default for Patience {
    fn default() -> Patience {
        Patience::new()
    }
}

/// Waits until `is_ready`, sleeping on `word`. `look` runs at each heartbeat: it looks for the dead.
///
/// # Errors
/// `Busy` once the deadline has passed; what `tick` and `look` return.
pub fn wait_until(
    word: &AtomicU32,
    deadline: Deadline,
    tick: Tick<'_>,
    mut is_ready: impl FnMut() -> bool,
    mut look: impl FnMut() -> Result<()>,
) -> Result<()> {
    let ended = sleep_until(word, deadline, tick, &mut is_ready, &mut look);
    if ended.is_err() && is_ready() && Remedy::WakeUpIsPassedOn.is_on() {
        // We may have been woken for it: pass that on, or another sleeper would find out by its heartbeat only.
        signal(word, 1);
    }
    ended
}

fn sleep_until(
    word: &AtomicU32,
    deadline: Deadline,
    tick: Tick<'_>,
    is_ready: &mut dyn FnMut() -> bool,
    look: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let patience = Patience::new();
    let mut slept = None;
    loop {
        let has_come = !Remedy::LooksOnceAnnounced.is_on() && is_ready();
        let armed = arm(word);
        if has_come || (Remedy::LooksOnceAnnounced.is_on() && is_ready()) {
            return Ok(());
        }
        if deadline.has_passed() {
            return Err(Error::Busy);
        }
        if slept.is_some() {
            tick()?; // once armed, so that what it looks at cannot change unnoticed before the sleep
        }
        if slept == Some(sys::Slept::TimedOut) {
            look()?;
        }
        fault::point("wait: before sleep");
        slept = Some(sys::sleep(word, armed, patience.bound(deadline)));
        fault::point("wait: awake");
    }
}

/// The value to sleep on for those who armed several words, read when all are armed: arming one word may have changed
/// another (the same word may stand there twice). Should the bit have gone since, the sleep ends at once.
#[must_use]
pub fn armed(word: &AtomicU32) -> u32 {
    word.load(Acquire) | SLEEPERS
}

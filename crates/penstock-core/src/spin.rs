//! How long to look before sleeping.
//!
//! A sleep and a wake-up cost two system calls and the scheduler's leisure; a peer on another processor often answers
//! within a microsecond. So look for a short while first, for longer where that has paid lately; and not at all on one processor,
//! on a handle that was told so, or where `PENSTOCK_SPIN=0` says so.
//!
//! Who has looked for some microseconds lets whoever else is runnable have the processor between two looks. It may be
//! the very one that is waited for; and in a crowd it costs much less than to fall asleep and be woken.
//!
//! Time is counted in looks, about 25 ns each: reading the clock would cost as much as a put.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What a look takes, about.
const LOOK: Duration = Duration::from_nanos(25);
/// The most looks before a sleep, about 200 us: as long as one megabyte needs to go and come back, and what Linux' KVM
/// takes for the same choice (`halt_poll_ns`, which also grows when a sleep was short, and shrinks when it was long).
const MOST: u32 = 8000;
/// The fewest, about 2 us.
const LEAST: u32 = 80;
/// After so many, about 10 us, the processor is offered to others between looks: a peer that is running has answered by then.
const ALONE: u32 = 400;
/// What the time of others counts, however long they had the processor: it was of use, and this is not about them.
const OTHERS: Duration = Duration::from_nanos(3200);

/// Adapts how long to look to how it went before.
#[derive(Debug)]
pub struct Spin {
    looks: AtomicU32,
    is_off: AtomicBool,
}

impl Spin {
    /// Starts with a middling time.
    #[must_use]
    pub fn new() -> Spin {
        Spin { looks: AtomicU32::new(MOST / 2), is_off: AtomicBool::new(false) }
    }

    /// Looks from now on, or never looks.
    pub fn turn(&self, on: bool) {
        self.is_off.store(!on, Relaxed);
    }

    /// Whether it looks.
    #[must_use]
    pub fn is_on(&self) -> bool {
        !self.is_off.load(Relaxed)
    }

    /// Looks until `is_ready`, and calls `sleep` if that does not come about in time: it waits for the same.
    ///
    /// Learns from both. Looking in vain makes the next time shorter; a sleep so short that looking would have lasted
    /// makes it longer, or two who always answer each other while the other falls asleep would go on so for ever.
    pub fn or_sleep<E>(&self, is_ready: impl FnMut() -> bool, sleep: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let looks = self.looks.load(Relaxed);
        if self.until(is_ready) {
            return Ok(());
        }
        if !self.is_on() || !is_worth_it() {
            return sleep();
        }
        let begun = Instant::now();
        let ended = sleep();
        if ended.is_ok() && LOOK * looks + begun.elapsed() < LOOK * MOST {
            self.looks.store(MOST.min(looks * 2), Relaxed);
        }
        ended
    }

    /// Looks until `is_ready`; false if it did not come about in time.
    fn until(&self, mut is_ready: impl FnMut() -> bool) -> bool {
        if !self.is_on() || !is_worth_it() {
            return is_ready();
        }
        let looks = self.looks.load(Relaxed);
        let has_come = look_alone(looks.min(ALONE), &mut is_ready)
            || looks > ALONE && look_beside_others(LOOK * (looks - ALONE), &mut is_ready);
        let next = if has_come { MOST.min(looks + looks / 4) } else { LEAST.max(looks - looks / 4) };
        self.looks.store(next, Relaxed);
        has_come
    }
}

fn look_alone(looks: u32, is_ready: &mut impl FnMut() -> bool) -> bool {
    for _ in 0..looks {
        if is_ready() {
            return true;
        }
        std::hint::spin_loop();
    }
    false
}

fn look_beside_others(mut left: Duration, is_ready: &mut impl FnMut() -> bool) -> bool {
    let mut last = Instant::now();
    while !left.is_zero() {
        std::thread::yield_now();
        if is_ready() {
            return true;
        }
        let now = Instant::now();
        left = left.saturating_sub((now - last).min(OTHERS));
        last = now;
    }
    false
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
const GATHER: u32 = 14;

impl Glance {
    /// Looks up to `looks` times for `count` to be more than zero. The caller's `spin` says whether to look at all.
    pub fn until_some(&self, spin: &Spin, looks: u32, mut count: impl FnMut() -> u64) -> bool {
        if !spin.is_on() || !is_worth_it() {
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// How many looks it takes next.
    fn looks(spin: &Spin) -> u32 {
        spin.looks.load(Relaxed)
    }

    fn look_in_vain(spin: &Spin) {
        assert!(!spin.until(|| false));
    }

    #[test]
    fn who_looks_in_vain_looks_shorter_but_never_stops() {
        let spin = Spin::new();
        (0..100).for_each(|_| look_in_vain(&spin));
        assert_eq!(looks(&spin), if is_worth_it() { LEAST } else { MOST / 2 });
    }

    #[test]
    fn who_finds_what_he_looks_for_looks_longer_up_to_the_limit() {
        let spin = Spin::new();
        (0..100).for_each(|_| assert!(spin.until(|| true)));
        assert_eq!(looks(&spin), if is_worth_it() { MOST } else { MOST / 2 });
    }

    #[test]
    fn what_comes_late_is_found_beside_others_too() {
        let spin = Spin::new();
        let mut asked = 0;
        let has_come = spin.until(|| {
            asked += 1;
            asked > ALONE + 5
        });
        assert_eq!(has_come, is_worth_it());
        assert!(!has_come || looks(&spin) > MOST / 2);
    }

    #[test]
    fn the_time_of_others_counts_little() {
        let mut asked = 0;
        assert!(!look_beside_others(OTHERS * 3, &mut || {
            asked += 1;
            std::thread::sleep(OTHERS * 100); // as if another had the processor
            false
        }));
        assert_eq!(asked, 3);
    }

    /// A wait that looks in vain and then sleeps for some time.
    fn wait_asleep(spin: &Spin, time: Duration) {
        let slept: Result<(), ()> = spin.or_sleep(
            || false,
            || {
                std::thread::sleep(time);
                Ok(())
            },
        );
        assert_eq!(slept, Ok(()));
    }

    #[test]
    fn after_sleeps_that_were_too_short_to_be_worth_it_he_looks_longer() {
        let spin = Spin::new();
        (0..100).for_each(|_| look_in_vain(&spin));
        let least = looks(&spin);
        // A sleep of no time at all: a machine too busy for it to be short sleeps again.
        let grows = (0..1000).any(|_| {
            wait_asleep(&spin, Duration::ZERO);
            looks(&spin) > least
        });
        assert_eq!(grows, is_worth_it());
    }

    #[test]
    fn after_long_sleeps_he_looks_shorter() {
        let spin = Spin::new();
        (0..40).for_each(|_| wait_asleep(&spin, LOOK * MOST));
        assert_eq!(looks(&spin), if is_worth_it() { LEAST } else { MOST / 2 });
    }

    #[test]
    fn a_wait_that_fails_teaches_nothing() {
        let spin = Spin::new();
        (0..100).for_each(|_| look_in_vain(&spin));
        let least = looks(&spin);
        (0..10).for_each(|_| assert_eq!(spin.or_sleep(|| false, || Err("removed")), Err("removed")));
        assert_eq!(looks(&spin), least);
    }

    #[test]
    fn one_that_was_turned_off_asks_once() {
        let spin = Spin::new();
        spin.turn(false);
        let mut looks = 0;
        assert!(!spin.until(|| {
            looks += 1;
            false
        }));
        assert_eq!(looks, 1);
        looks = 0;
        Glance::default().until_some(&spin, 30, || {
            looks += 1;
            0
        });
        assert_eq!(looks, 0, "a glance is left out");
    }
}

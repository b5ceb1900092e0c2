//! The event word and the lock by themselves, with sleepers who would sleep on for long: where a heartbeat would hide
//! a lost wake-up, here it is seen.

mod common;

use common::{BY_SIGKILL, Child, Place, die, get, one_at_a_time, plan, put, wait_for};
use penstock_core::event::{self, HEARTBEAT};
use penstock_core::layout::Owner;
use penstock_core::lock::{self, Coroner, OnDeath, Taken};
use penstock_core::sys::{self, Slept};
use penstock_core::{Deadline, Error, Queue};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// How long one sleeps whom nobody wakes.
const LONG: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);

/// A thread that is asleep on `word`, which is `expected`.
fn sleeper<'s>(scope: &'s Scope<'s, '_>, word: &'s AtomicU32, expected: u32) -> ScopedJoinHandle<'s, Slept> {
    let (tell, told) = mpsc::channel();
    let thread = scope.spawn(move || {
        tell.send(sys::thread_id()).expect("somebody listens");
        sys::sleep(word, expected, LONG)
    });
    wait_until_asleep(told.recv().expect("a thread"));
    thread
}

fn wait_until_asleep(thread: u32) {
    let mut looks = 0;
    wait_for("a sleeper", PATIENCE, || {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
        let is_asleep = stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'));
        looks = if is_asleep { looks + 1 } else { 0 };
        looks == 3
    });
}

#[test]
fn a_signal_between_announcement_and_sleep_ends_the_sleep() {
    let word = AtomicU32::new(0);
    let armed = event::arm(&word);
    event::signal(&word, 1);
    assert_eq!(sys::sleep(&word, armed, LONG), Slept::Woken);
}

#[test]
fn each_signal_wakes_one_more_of_those_asleep() {
    let word = AtomicU32::new(0);
    let armed = event::arm(&word);
    std::thread::scope(|scope| {
        let sleepers: Vec<_> = (0..3).map(|_| sleeper(scope, &word, armed)).collect();
        sleepers.iter().for_each(|_| event::signal(&word, 1));
        for sleeper in sleepers {
            assert_eq!(sleeper.join().expect("no panic"), Slept::Woken);
        }
    });
}

#[test]
fn the_bit_for_sleepers_goes_when_a_signal_finds_none() {
    let word = AtomicU32::new(0);
    let _ = event::arm(&word);
    assert_eq!(word.load(SeqCst) & 1, 1);
    event::signal(&word, 1);
    assert_eq!(word.load(SeqCst) & 1, 0, "no system call from now on");
}

#[test]
fn what_comes_while_a_sleeper_gets_ready_is_not_slept_on() {
    // It comes right after the sleeper has looked. A sleep would last for a heartbeat; one of many waits must be shorter,
    // however busy the machine is.
    let wait = || {
        let (word, has_come) = (AtomicU32::new(0), Cell::new(false));
        let begun = Instant::now();
        let look = || {
            let before = has_come.replace(true);
            event::signal(&word, 1);
            before
        };
        let deadline = Deadline::after(Some(PATIENCE));
        event::wait_until(&word, deadline, &mut || Ok(()), look, || Ok(())).expect("it comes");
        begun.elapsed()
    };
    let shortest = (0..20).map(|_| wait()).min().expect("some");
    assert!(shortest < HEARTBEAT, "{shortest:?}");
}

#[test]
fn who_gives_up_passes_on_the_wake_up_that_was_meant_for_it() {
    let word = AtomicU32::new(0);
    let armed = event::arm(&word);
    std::thread::scope(|scope| {
        let sleeper = sleeper(scope, &word, armed);
        let looks = Cell::new(0);
        // It comes between the last look and the end.
        let look = || looks.replace(looks.get() + 1) > 0;
        let now = Deadline::after(Some(Duration::ZERO));
        assert_eq!(event::wait_until(&word, now, &mut || Ok(()), look, || Ok(())), Err(Error::Busy));
        assert_eq!(sleeper.join().expect("no panic"), Slept::Woken);
    });
}

#[test]
fn a_tick_ends_a_wait_after_the_first_sleep() {
    let word = AtomicU32::new(0);
    let mut tick = || Err(Error::Interrupted);
    let deadline = Deadline::after(Some(PATIENCE));
    assert_eq!(event::wait_until(&word, deadline, &mut tick, || false, || Ok(())), Err(Error::Interrupted));
}

/// Everybody lives.
struct NobodyDies;

impl Coroner for NobodyDies {
    fn is_dead(&self, _: Owner) -> bool {
        false
    }

    fn if_dead(&self, _: Owner, _: &mut dyn FnMut() -> bool) -> Option<bool> {
        None
    }
}

#[test]
fn who_has_slept_for_a_lock_wakes_the_next() {
    // Whom the first release wakes is the kernel's choice when the waiter's heartbeat comes in between: so a few times.
    for _ in 0..5 {
        let word = AtomicU32::new(0);
        let [first, second] = [1, 2].map(|index| Owner::new(index, 1));
        assert!(lock::try_take(&word, first));
        std::thread::scope(|scope| {
            let (tell, told) = mpsc::channel();
            let word = &word;
            let waiter = scope.spawn(move || {
                tell.send(sys::thread_id()).expect("somebody listens");
                let deadline = Deadline::after(Some(PATIENCE));
                let taken = lock::take(word, second, &NobodyDies, OnDeath::Inherit, deadline, &mut || Ok(()));
                lock::give_back(word);
                taken
            });
            wait_until_asleep(told.recv().expect("a thread"));
            let next = sleeper(scope, word, word.load(SeqCst));
            lock::give_back(word);
            assert_eq!(waiter.join().expect("no panic"), Ok(Taken::Clean));
            assert_eq!(next.join().expect("no panic"), Slept::Woken);
        });
    }
}

#[test]
fn no_bit_that_is_set_while_a_lock_is_given_back_is_lost() {
    const BIT: u32 = 1 << 31;
    const SLEEPS: u32 = 100_000;
    let (word, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
    let me = Owner::new(1, 1);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(SeqCst) {
                if lock::try_take(&word, me) {
                    lock::give_back(&word);
                }
            }
        });
        let mut sleeps = 0;
        while sleeps < SLEEPS && begun.elapsed() < PATIENCE {
            let held = me.word();
            if word.compare_exchange(held, held | BIT, SeqCst, SeqCst).is_err() {
                std::hint::spin_loop();
                continue;
            }
            sleeps += 1;
            // On a busy machine the holder may keep it for long; then the bit stands there still.
            while sys::sleep(&word, held | BIT, LONG) == Slept::TimedOut {
                if word.load(SeqCst) != held | BIT {
                    is_over.store(true, SeqCst);
                    panic!("given back {sleeps} times, and then nobody was woken");
                }
            }
        }
        is_over.store(true, SeqCst);
    });
}

#[test]
fn a_repair_wakes_whom_the_dead_should_have_woken() {
    let _one = one_at_a_time();
    let place = Place::new("sleepers-repair");
    let queue = Queue::create(&place.at("q"), &plan(4, 8, 8)).expect("created");
    put(&queue, &[1; 8]).expect("room");
    let mut victim = Child::run(|| {
        let _lease = queue.try_lease().expect("an item");
        die();
    });
    assert_eq!(victim.end(), BY_SIGKILL);
    let items = queue.events().0;
    std::thread::scope(|scope| {
        let sleeper = sleeper(scope, items, event::arm(items));
        assert_eq!(get(&queue), Ok(vec![1; 8]), "found by looking for the dead");
        assert_eq!(sleeper.join().expect("no panic"), Slept::Woken);
    });
}

/// Nobody lives.
struct AllAreDead;

impl Coroner for AllAreDead {
    fn is_dead(&self, _: Owner) -> bool {
        true
    }

    fn if_dead(&self, _: Owner, act: &mut dyn FnMut() -> bool) -> Option<bool> {
        Some(act())
    }
}

#[test]
fn who_slept_for_a_lock_of_the_dead_is_woken_by_the_heir() {
    let [dead, heir] = [1, 2].map(|index| Owner::new(index, 1));
    let word = AtomicU32::new(dead.word() | 1 << 31);
    std::thread::scope(|scope| {
        let sleeper = sleeper(scope, &word, dead.word() | 1 << 31);
        let taken = lock::take(&word, heir, &AllAreDead, OnDeath::Inherit, Deadline::Never, &mut || Ok(()));
        assert_eq!(taken, Ok(Taken::Inherited));
        lock::give_back(&word);
        assert_eq!(sleeper.join().expect("no panic"), Slept::Woken);
    });
}

#[test]
fn who_slept_for_a_lock_that_is_given_up_is_woken() {
    let owner = Owner::new(1, 1);
    let word = AtomicU32::new(owner.word() | 1 << 31);
    std::thread::scope(|scope| {
        let sleepers = [sleeper(scope, &word, owner.word() | 1 << 31), sleeper(scope, &word, owner.word() | 1 << 31)];
        lock::give_up(&word);
        for sleeper in sleepers {
            assert_eq!(sleeper.join().expect("no panic"), Slept::Woken);
        }
    });
}

//! Every verb wakes whoever sleeps for what it brings. Sleepers here sleep for long: a heartbeat would hide it if one
//! were not woken.

mod common;

use common::{Place, at_once, get, get_dead, plan, put, wait_for};
use penstock_core::event;
use penstock_core::layout::{DeadLine, EventControl, KIND_AT, MutexControl, QueueControl, SemaphoreControl};
use penstock_core::layout::{SettleLine, TABLE_AT, TailLine};
use penstock_core::queue::{Got, Plan};
use penstock_core::segment::Lifetime;
use penstock_core::slots::INLINE_MAX;
use penstock_core::sys::{self, Slept};
use penstock_core::{Deadline, Event, Location, Mutex, Queue, Semaphore, semaphore};
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

/// How long one sleeps whom nobody wakes.
const LONG: Duration = Duration::from_secs(5);
const LARGE: usize = 3000;

const ITEMS: usize = KIND_AT + offset_of!(QueueControl, ready) + offset_of!(TailLine, event);
const ROOM: usize = KIND_AT + offset_of!(QueueControl, free) + offset_of!(TailLine, event);
const DONE: usize = KIND_AT + offset_of!(QueueControl, settle) + offset_of!(SettleLine, event);
const LETTERS: usize = KIND_AT + offset_of!(QueueControl, dead) + offset_of!(DeadLine, event);

/// A segment's words, past all rules. The kernel knows a word by its place in the file.
struct Words(*mut libc::c_void);

impl Words {
    fn of(location: &Location) -> Words {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&location.path).expect("the segment's file");
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of a file that is longer.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), TABLE_AT, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        assert!(base != libc::MAP_FAILED, "mapped");
        Words(base)
    }

    fn at(&self, place: usize) -> &AtomicU32 {
        assert!(place + 4 <= TABLE_AT && place.is_multiple_of(4));
        // SAFETY: it lies inside the mapping, which lives as long as `self`; atomics only.
        unsafe { &*self.0.cast::<u8>().add(place).cast() }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: mapped in `of`, with this length.
        unsafe { libc::munmap(self.0, TABLE_AT) };
    }
}

/// A thread that is asleep on `word`.
fn sleeper<'s>(scope: &'s Scope<'s, '_>, word: &'s AtomicU32) -> ScopedJoinHandle<'s, Slept> {
    let armed = event::arm(word);
    let (tell, told) = mpsc::channel();
    let thread = scope.spawn(move || {
        tell.send(sys::thread_id()).expect("somebody listens");
        sys::sleep(word, armed, LONG)
    });
    let stat = format!("/proc/self/task/{}/stat", told.recv().expect("a thread"));
    let mut looks = 0;
    wait_for("a sleeper", Duration::from_secs(20), || {
        let is_asleep = std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") S "));
        looks = if is_asleep { looks + 1 } else { 0 };
        looks == 3
    });
    thread
}

/// All who sleep at `places` are woken by `act`.
fn wakes(what: &str, location: &Location, places: &[usize], act: impl FnOnce()) {
    let words = Words::of(location);
    std::thread::scope(|scope| {
        // Who arms after others changes the word, but leaves them asleep.
        let sleepers: Vec<_> = places.iter().map(|place| sleeper(scope, words.at(*place))).collect();
        act();
        for (sleeper, place) in sleepers.into_iter().zip(places) {
            assert_eq!(sleeper.join().expect("no panic"), Slept::Woken, "{what}, at {place}");
        }
    });
}

/// The same, for a verb of a queue that `prepare` has filled.
fn check(what: &str, plan: &Plan, prepare: fn(&Queue), places: &[usize], act: fn(&Queue)) {
    let place = Place::new(&format!("owed-{}", what.replace(' ', "-")));
    let location = place.at("q");
    let queue = Queue::create(&location, plan).expect("created");
    prepare(&queue);
    wakes(what, &location, places, || act(&queue));
}

fn small() -> Plan {
    plan(4, 8, 8)
}

fn large() -> Plan {
    plan(4, 0, 4000)
}

/// Items that may be delivered once.
fn fragile() -> Plan {
    Plan { max_deliveries: 1, dead_letters: 2, ..plan(4, 8, 8) }
}

fn nothing(_: &Queue) {}

fn two_items(queue: &Queue) {
    (0..2).for_each(|i| put(queue, &[i; 8]).expect("room"));
}

fn two_large(queue: &Queue) {
    (0..2).for_each(|i| put(queue, &[i; LARGE]).expect("room"));
}

fn lease_and_give_back(queue: &Queue) {
    let lease = queue.try_lease().expect("an item");
    at_once(|wait| queue.give_back(&lease, wait)).expect("given back");
}

fn a_dead_letter(queue: &Queue) {
    put(queue, &[1; 8]).expect("room");
    lease_and_give_back(queue);
    assert_eq!(queue.dead_len(), 1);
}

#[test]
fn every_verb_of_a_queue_wakes_who_sleeps_for_what_it_brings() {
    check("put", &small(), nothing, &[ITEMS], |queue| put(queue, &[1; 8]).expect("room"));
    check("try_put", &small(), nothing, &[ITEMS], |queue| assert_eq!(queue.try_put(&[&[1; 8]]), Ok(None)));
    check("put of a large item", &large(), nothing, &[ITEMS], |queue| put(queue, &[1; LARGE]).expect("room"));
    check("try_put of a large item", &large(), nothing, &[ITEMS], |queue| {
        assert_eq!(queue.try_put(&[&[1; LARGE]]), Ok(None));
    });
    check("put_batch", &small(), nothing, &[ITEMS, ITEMS], |queue| {
        assert_eq!(at_once(|wait| queue.put_batch(&[1; 16], wait)), Ok(2));
    });
    check("get", &small(), two_items, &[ROOM], |queue| drop(get(queue).expect("an item")));
    check("try_get", &small(), two_items, &[ROOM], |queue| {
        assert_eq!(queue.try_get(&mut [0; INLINE_MAX]), Ok(Got::Copied(8)));
    });
    check("get of a large item", &large(), two_large, &[ROOM], |queue| drop(get(queue).expect("an item")));
    check("get_batch", &small(), two_items, &[ROOM, ROOM], |queue| {
        let (mut out, mut lens) = (Vec::new(), Vec::new());
        assert_eq!(at_once(|wait| queue.get_batch(2, &mut out, &mut lens, wait)), Ok(2));
    });
    check("ack", &small(), two_items, &[ROOM, DONE, DONE], |queue| {
        queue.try_ack(&queue.try_lease().expect("an item")).expect("acknowledged");
    });
    check("give_back", &small(), two_items, &[ITEMS], lease_and_give_back);
    check("cancel", &large(), nothing, &[ROOM], |queue| {
        let room = at_once(|wait| queue.reserve(LARGE, wait)).expect("room");
        at_once(|wait| queue.cancel(&room, wait)).expect("given back");
    });
    check("purge", &small(), two_items, &[ROOM, ROOM, DONE, DONE], |queue| {
        assert_eq!(at_once(|wait| queue.purge(wait)), Ok(2));
    });
    check("task_done", &small(), two_items, &[DONE, DONE], |queue| {
        at_once(|wait| queue.task_done(2, wait)).expect("done");
    });
    // Who only watches may have been woken in the place of somebody who would take it.
    check("wait_for_item", &small(), two_items, &[ITEMS], |queue| {
        queue.wait_for_item(Deadline::Never, &mut || Ok(())).expect("there is one");
    });
    check("wait_for_room", &small(), two_items, &[ROOM], |queue| {
        queue.wait_for_room(Deadline::Never, &mut || Ok(())).expect("there is some");
    });
    check("abandon_lease", &small(), two_items, &[ITEMS, ROOM, DONE, LETTERS], |queue| {
        queue.abandon_lease(&queue.try_lease().expect("an item"));
    });
}

#[test]
fn every_verb_of_dead_letters_wakes_who_sleeps_for_what_it_brings() {
    check("the last delivery", &fragile(), two_items, &[LETTERS, ROOM], lease_and_give_back);
    check("requeue_dead", &fragile(), a_dead_letter, &[ITEMS, ITEMS], |queue| {
        assert_eq!(at_once(|wait| queue.requeue_dead(wait)), Ok(1));
    });
    check("get_dead", &fragile(), a_dead_letter, &[ROOM, DONE], |queue| drop(get_dead(queue).expect("a letter")));
    check("purge_dead", &fragile(), a_dead_letter, &[ROOM, DONE], |queue| {
        assert_eq!(at_once(|wait| queue.purge_dead(wait)), Ok(1));
    });
}

#[test]
fn the_end_of_a_queue_wakes_all_who_sleep() {
    let all = [ITEMS, ITEMS, ROOM, ROOM, DONE, DONE, LETTERS, LETTERS];
    check("shut_down", &small(), two_items, &all, |queue| at_once(|wait| queue.shut_down(wait)).expect("shut down"));
    check("shut_down_at_once", &small(), two_items, &all, |queue| {
        at_once(|wait| queue.shut_down_at_once(wait)).expect("shut down");
    });
    check("unlink", &small(), two_items, &all, |queue| queue.unlink().expect("there"));
    let place = Place::new("owed-end");
    let queue = Queue::create(&place.at("q"), &small()).expect("created");
    two_items(&queue);
    let lease = queue.try_lease().expect("an item");
    at_once(|wait| queue.shut_down_at_once(wait)).expect("shut down");
    wakes("give_back after the end", &place.at("q"), &[DONE, DONE], || {
        at_once(|wait| queue.give_back(&lease, wait)).expect("discarded");
    });
}

#[test]
fn the_other_objects_wake_who_sleeps_for_them() {
    let place = Place::new("owed-others");
    let lifetime = Lifetime::UntilUnlinked;
    let semaphore = Semaphore::create(&place.at("s"), &semaphore::Plan { value: 0, maximum: 5, lifetime });
    let semaphore = semaphore.expect("created");
    let permits = KIND_AT + offset_of!(SemaphoreControl, event);
    wakes("release", &place.at("s"), &[permits, permits], || assert_eq!(semaphore.release(2), Ok(0)));
    let set = KIND_AT + offset_of!(EventControl, event);
    let event = Event::create(&place.at("e"), false, lifetime).expect("created");
    wakes("set", &place.at("e"), &[set, set], || event.set());
    let event = Event::create(&place.at("a"), true, lifetime).expect("created");
    wakes("set of one that resets itself", &place.at("a"), &[set], || event.set());
    let mutex = Mutex::create(&place.at("m"), lifetime).expect("created");
    mutex.take(Deadline::Never, &mut || Ok(())).expect("free");
    let given_back = KIND_AT + offset_of!(MutexControl, event);
    wakes("release of a mutex", &place.at("m"), &[given_back, given_back], || mutex.release().expect("held"));
}

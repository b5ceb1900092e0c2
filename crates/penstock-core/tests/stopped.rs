//! Somebody stands still in the middle of something: others go on, or wait for as long as they wanted to.

mod common;

use common::{BY_SIGKILL, Child, Place, Raw, WELL, at_once, die, one_at_a_time, plan, put, wait_for, within};
use penstock_core::deadline::Deadline;
use penstock_core::layout::{GetLine, KIND_AT, Owner, PutLine, QueueControl};
use penstock_core::queue::Wait;
use penstock_core::{Error, Queue, fault};
use std::mem::offset_of;
use std::time::Duration;

const PUT_LOCK: usize = KIND_AT + offset_of!(QueueControl, put) + offset_of!(PutLine, lock);
const GET_LOCK: usize = KIND_AT + offset_of!(QueueControl, get) + offset_of!(GetLine, lock);
const LARGE: usize = 3000;

/// A participant that stops at the `n`th point of `act`, or has ended.
fn stopped_at(n: i64, queue: &Queue, act: impl FnOnce()) -> Child {
    let mut child = Child::run(|| {
        queue.segment().me().expect("registered");
        fault::arm_to_stop(n);
        act();
    });
    wait_for("a stop or an end", Duration::from_secs(10), || {
        child.state() == 'T' || child.wait(Duration::ZERO).is_some()
    });
    child
}

/// Puts and takes without waiting for a lock.
fn goes_on(queue: &Queue) -> bool {
    let mut tick = || Ok(());
    let now = || Deadline::after(Some(Duration::ZERO));
    let mut wait = Wait { lock: now(), change: now(), tick: &mut tick };
    let has_put = queue.put(&[&[1; 8]], &mut wait);
    has_put.and_then(|()| queue.get(&mut [0; 224], &mut wait)).is_ok()
}

#[test]
fn in_the_middle_of_a_large_item_nobody_is_held_up() {
    let _one = one_at_a_time();
    let place = Place::new("stopped-writing");
    let mut places = 0;
    for n in 0.. {
        let location = place.at(&format!("q{n}"));
        let queue = Queue::create(&location, &plan(4, 0, 4000)).expect("created");
        queue.segment().me().expect("registered");
        let mut writer = stopped_at(n, &queue, || put(&queue, &[7; LARGE]).expect("room"));
        if writer.wait(Duration::ZERO).is_some() {
            break;
        }
        let is_writing = queue.depth().held == 1 && queue.is_empty();
        places += i32::from(is_writing && goes_on(&queue));
        writer.go_on();
        assert_eq!(writer.end(), WELL);
    }
    assert!(places >= 2, "before the bytes are copied and after that; it was at {places} points");
}

#[test]
fn with_a_lock_in_hand_others_wait_as_long_as_they_wanted_to() {
    let _one = one_at_a_time();
    let place = Place::new("stopped-lock");
    let queue = Queue::create(&place.at("q"), &plan(4, 8, 8)).expect("created");
    let raw = Raw::of(&place.at("q"));
    let mut holder = stopped_at(1, &queue, || put(&queue, &[1; 8]).expect("room"));
    assert_ne!(raw.u32(PUT_LOCK), 0, "it stands there with the lock");
    let mut other = Child::run(|| {
        let waited = within(Duration::from_millis(200), |wait| queue.put(&[&[2; 8]], wait));
        assert_eq!(waited, Err(Error::Full));
    });
    assert_eq!(other.wait(Duration::from_secs(10)), Some(WELL));
    holder.go_on();
    assert_eq!(holder.end(), WELL);
    assert_eq!(queue.len(), 1);
}

#[test]
fn with_a_lock_in_hand_nobody_else_ticks_with_one_in_hand() {
    let _one = one_at_a_time();
    let place = Place::new("stopped-tick");
    let queue = Queue::create(&place.at("q"), &plan(4, 8, 8)).expect("created");
    let raw = Raw::of(&place.at("q"));
    put(&queue, &[1; 8]).expect("room");
    let mut reader = stopped_at(0, &queue, || drop(at_once(|wait| queue.get(&mut [0; 8], wait))));
    assert_ne!(raw.u32(GET_LOCK), 0, "it stands there with the get lock");
    let mut victim = Child::run(|| {
        queue.segment().me().expect("registered");
        fault::arm(1);
        let _ = put(&queue, &[2; 8]);
        die();
    });
    assert_eq!(victim.end(), BY_SIGKILL);
    assert_ne!(raw.u32(PUT_LOCK), 0, "it died with the put lock");
    // Whoever repairs needs both, and waits for the one that stands still.
    let me = queue.segment().me().expect("registered");
    let mut ticks = 0;
    let mut tick = || {
        ticks += 1;
        let holds = |at: usize| Owner::from_word(raw.u32(at)) == Some(me);
        assert!(!holds(PUT_LOCK) && !holds(GET_LOCK), "a handler that puts would wait for itself");
        Ok(())
    };
    let end = Deadline::after(Some(Duration::from_millis(500)));
    assert!(queue.put(&[&[3; 8]], &mut Wait { lock: end, change: end, tick: &mut tick }).is_err());
    assert!(ticks > 0);
    reader.go_on();
    assert_eq!(reader.end(), WELL);
    put(&queue, &[4; 8]).expect("repaired");
}

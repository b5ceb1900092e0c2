//! Killed at every named point of every operation: nothing lost, doubled, torn or stuck, and the whole capacity back.
#![cfg(unix)] // forks its peers

mod common;

use common::ops::{
    ACK, ATTACH_AND_DETACH, CANCEL, COMMIT, COMMIT_SHORT, EXPIRE, EXPIRE_AT_DEATH, FORGET_LEASE, FORGET_ROOM, GET,
    GET_BATCH, GET_DEAD, GIVE_BACK, HOLD, HOLD_ROOM, PEEK, PURGE, PURGE_DEAD, PUT, PUT_BATCH, REQUEUE_DEAD, SHUT_DOWN,
    SHUT_DOWN_AT_ONCE, SHUT_DOWN_HOLDING, TASK_DONE, TRY_GET, TRY_PUT,
};
use common::points::{sweep, sweep_two};
use common::scene::{Fill, First, PUT_LOCK, Scene, Size};
use common::tally::Tally;
use common::victim::Op;
use common::{BY_SIGKILL, Child, Place, Raw, WELL, get, item, one_at_a_time, plan, put};
use penstock_core::slots::INLINE_MAX;
use penstock_core::{Queue, fault};

fn sweep_all(what: &'static str, ops: &[Op]) {
    let _one = one_at_a_time();
    let place = Place::new("crash");
    let mut tally = Tally::new(what);
    for op in ops {
        sweep(&mut tally, &place, op, false);
    }
    tally.finish();
}

#[test]
fn killed_while_putting() {
    sweep_all("killed while putting", &[PUT, TRY_PUT, PUT_BATCH, COMMIT, COMMIT_SHORT, CANCEL, FORGET_ROOM, HOLD_ROOM]);
}

#[test]
fn killed_while_taking() {
    sweep_all("killed while taking", &[GET, TRY_GET, GET_BATCH, ACK, HOLD, GIVE_BACK, FORGET_LEASE, PEEK]);
}

#[test]
fn killed_while_settling() {
    sweep_all("killed while settling", &[PURGE, TASK_DONE, SHUT_DOWN, SHUT_DOWN_AT_ONCE, SHUT_DOWN_HOLDING]);
}

#[test]
fn killed_among_dead_letters() {
    sweep_all("killed among dead letters", &[EXPIRE, EXPIRE_AT_DEATH, GET_DEAD, REQUEUE_DEAD, PURGE_DEAD]);
}

#[test]
fn killed_while_attaching_and_detaching() {
    let _one = one_at_a_time();
    let place = Place::new("crash-attach");
    let mut tally = Tally::new("killed while attaching and detaching");
    sweep(&mut tally, &place, &ATTACH_AND_DETACH, true);
    tally.finish();
}

#[test]
fn killed_while_repairing_after_another() {
    let _one = one_at_a_time();
    let place = Place::new("crash-repair");
    let mut tally = Tally::new("killed while repairing after another");
    // PENSTOCK_TEST_ALL=1: every pair at every point, for minutes; else some of them.
    let is_all = std::env::var_os("PENSTOCK_TEST_ALL").is_some();
    let some = [(&PUT, 5), (&COMMIT, 4), (&GET, 5), (&ACK, 4), (&GIVE_BACK, 7)];
    let more = [(&CANCEL, 1), (&HOLD, 1), (&PURGE, 1), (&TASK_DONE, 1)];
    let ops: Vec<(&Op, usize)> =
        if is_all { some.map(|(op, _)| (op, 1)).into_iter().chain(more).collect() } else { some.to_vec() };
    let heirs: &[&Op] = if is_all { &[&PUT, &GET, &COMMIT, &ACK, &GIVE_BACK] } else { &[&PUT, &GET] };
    let scenes = [(Size::Small, Fill::Half), (Size::Large, Fill::Half), (Size::Small, Fill::Full)];
    let more_scenes = [(Size::Large, Fill::Full), (Size::Small, Fill::Empty)];
    for (size, fill) in scenes.into_iter().chain(more_scenes.into_iter().filter(|_| is_all)) {
        for (op, stride) in &ops {
            for heir in heirs {
                sweep_two(&mut tally, &place, op, heir, size, fill, *stride);
            }
        }
    }
    tally.finish();
}

#[test]
fn nothing_is_taken_from_whoever_is_stopped_at_any_point() {
    let _one = one_at_a_time();
    let place = Place::new("crash-stopped");
    let mut tally = Tally::new("stopped at any point");
    for op in [&PUT, &COMMIT, &CANCEL, &GET, &ACK, &GIVE_BACK] {
        for (size, fill) in [(Size::Small, Fill::Half), (Size::Large, Fill::Full)] {
            for n in 0.. {
                let mut scene = Scene::new(&place, op, size, fill);
                // Somebody else has died, so that whoever comes next wants to repair.
                scene.kill_in(&HOLD, 1000, 0, false);
                let mut child = scene.stop_in(op, n);
                let is_over = child.state() != 'T';
                let beside = scene.go_on_beside_the_stopped();
                child.go_on();
                assert_eq!(child.end(), WELL, "{} {size:?} {fill:?}, stopped at {n}", op.name);
                let story = || format!("{} {size:?} {fill:?}, stopped at {n}", op.name);
                match beside {
                    Ok(()) => tally.count(&mut scene, First::Drain, story),
                    Err(why) => tally.count_outcome(Err(why), story),
                }
                if is_over {
                    break;
                }
            }
        }
    }
    tally.finish();
}

#[test]
fn a_consumer_that_never_has_to_wait_repairs_a_lock_of_the_dead_too() {
    let _one = one_at_a_time();
    let place = Place::new("crash-never-waits");
    let queue = Queue::create(&place.at("q"), &plan(40, 8, 8)).expect("created");
    (0..30).for_each(|id| put(&queue, &item(id, 8)).expect("room"));
    let mut victim = Child::run(|| {
        queue.segment().me().expect("registered");
        fault::arm(0);
        let _ = put(&queue, &item(30, 8));
    });
    assert_eq!(victim.end(), BY_SIGKILL);
    let raw = Raw::of(&place.at("q"));
    assert_ne!(raw.u32(PUT_LOCK), 0, "the victim held the put lock");
    // Once in so many items it is told to take the way on which it may wait, and that one repairs.
    let mut small = [0; INLINE_MAX];
    let taken = (0..20).take_while(|_| queue.try_get(&mut small).is_ok()).count();
    assert!(taken < 20, "nobody looked for the dead");
    get(&queue).expect("an item");
    assert_eq!(raw.u32(PUT_LOCK), 0, "the lock is free again");
}

//! Somebody sleeps on what another was about to do when it was killed: the sleeper goes on by itself, within a second.
#![cfg(unix)] // forks its peers

mod common;

use common::scene::{BOTH, CAPACITY, Fill, SMALL, Scene, Size};
use common::sleepers::{
    A_SECOND, GONE_ON, LONG, RESULT, Waits, bring_item, bring_room, finish_all, sleep_for_dead_letter, sleep_for_item,
    sleep_for_room, sleep_in_join, sleeper, wait_until_asleep,
};
use common::victim::{Event, Op, Victim};
use common::{BY_SIGKILL, Board, Child, Place, at_once, die, get, get_dead, get_waiting, item};
use common::{one_at_a_time, wait_for, within};
use penstock_core::{Error, Queue, fault};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Kills a victim at each point of `op` while somebody sleeps in `sleep`. What it brought, if it did, is enough for the sleeper;
/// if not, the survivor brings it.
fn sweep(
    waits: &mut Waits,
    op: &Op,
    fill: Fill,
    sleep: fn(&Queue) -> u64,
    has_brought: fn(&Scene) -> bool,
    bring: fn(&Scene),
) {
    let place = Place::new("wakeups");
    for size in op.sizes {
        for n in 0.. {
            let mut scene = Scene::new(&place, op, *size, fill);
            let board = Board::new(2);
            let mut child = sleeper(&board, || sleep(scene.queue()));
            let has_returned = scene.kill_in(op, n, 1, false);
            let is_by_the_dead = board[GONE_ON].load(SeqCst) == 1 || has_brought(&scene);
            if !is_by_the_dead {
                bring(&scene);
            }
            waits.expect_to_go_on(&board, is_by_the_dead, || format!("{} {size:?}, killed at {n}", op.name));
            child.kill();
            if has_returned {
                break;
            }
        }
    }
}

const PUT: Op = Op::new("put", BOTH, |victim| victim.put(victim.fresh));

const PUT_BATCH: Op = Op::new("put_batch", SMALL, |victim| {
    let bytes = [item(100, 8), item(101, 8)].concat();
    at_once(|wait| victim.queue.put_batch(&bytes, wait)).expect("room");
});

const REQUEUE: Op = Op {
    max_deliveries: 1,
    prepare: |scene| {
        scene.add(1);
        scene.make_dead();
        // That left one more waiting.
        get(scene.queue()).expect("an item");
    },
    ..Op::new("requeue_dead", BOTH, |victim| {
        at_once(|wait| victim.queue.requeue_dead(wait)).expect("requeued");
    })
};

#[test]
fn consumer_asleep_on_an_empty_queue_gets_what_a_killed_producer_put() {
    let _one = one_at_a_time();
    let mut waits = Waits::new("consumer asleep, producer killed");
    for op in [&PUT, &PUT_BATCH, &REQUEUE] {
        sweep(&mut waits, op, Fill::Empty, sleep_for_item, |scene| scene.counts().ready > 0, bring_item);
    }
    waits.finish();
}

const GET: Op = Op::new("get", BOTH, |victim| {
    get(victim.queue).expect("an item");
});

const GET_BATCH: Op = Op::new("get_batch", SMALL, |victim| {
    let (mut out, mut lens) = (Vec::new(), Vec::new());
    at_once(|wait| victim.queue.get_batch(2, &mut out, &mut lens, wait)).expect("items");
});

fn acknowledge(victim: &Victim<'_>) {
    if let Ok(lease) = victim.queue.try_lease() {
        at_once(|wait| victim.queue.ack(&lease, wait)).expect("acknowledged");
    }
}

const ACK: Op = Op::new("lease and ack", BOTH, acknowledge);

const PURGE: Op = Op::new("purge", SMALL, |victim| {
    at_once(|wait| victim.queue.purge(wait)).expect("purged");
});

#[test]
fn producer_asleep_on_a_full_queue_gets_the_room_that_a_killed_consumer_made() {
    let _one = one_at_a_time();
    let mut waits = Waits::new("producer asleep, consumer killed");
    for op in [&GET, &GET_BATCH, &ACK, &PURGE] {
        sweep(&mut waits, op, Fill::Full, sleep_for_room, |scene| scene.counts().free > 0, bring_room);
    }
    waits.finish();
}

const ACK_ALL: Op = Op::new("ack of all there is", BOTH, |victim| (0..CAPACITY).for_each(|_| acknowledge(victim)));

const TASK_DONE: Op = Op {
    prepare: |scene| (0..3).for_each(|_| scene.take_one()),
    ..Op::new("task_done", SMALL, |victim| {
        at_once(|wait| victim.queue.task_done(3, wait)).expect("done");
    })
};

const SHUT_DOWN_AT_ONCE: Op = Op::new("shutdown at once", BOTH, |victim| {
    at_once(|wait| victim.queue.shut_down_at_once(wait)).expect("shut down");
});

#[test]
fn join_ends_when_all_is_done_whoever_died_doing_it() {
    let _one = one_at_a_time();
    let mut waits = Waits::new("join asleep, worker killed");
    for op in [&ACK_ALL, &TASK_DONE, &PURGE] {
        sweep(&mut waits, op, Fill::Half, sleep_in_join, |scene| scene.queue().unsettled() == 0, finish_all);
    }
    // Whoever shut the queue down at once cannot be helped by anybody who takes items: only repair empties it.
    let is_shut = |scene: &Scene| scene.queue().is_shut_down();
    sweep(&mut waits, &SHUT_DOWN_AT_ONCE, Fill::Half, sleep_in_join, is_shut, finish_all);
    waits.finish();
}

const LAST_DELIVERY: Op = Op {
    max_deliveries: 1,
    ..Op::new("last delivery", BOTH, |victim| {
        let lease = victim.queue.try_lease().expect("an item");
        at_once(|wait| victim.queue.give_back(&lease, wait)).expect("given back");
    })
};

#[test]
fn whoever_waits_for_dead_letters_gets_what_killed_its_consumer() {
    let _one = one_at_a_time();
    let mut waits = Waits::new("dead letter's taker asleep, consumer killed");
    let is_worn_out = |scene: &Scene| scene.counts().delivered > 0 && scene.counts().ready < 3;
    sweep(&mut waits, &LAST_DELIVERY, Fill::Half, sleep_for_dead_letter, is_worn_out, |scene| {
        let lease = at_once(|wait| scene.queue().lease(wait)).expect("an item");
        at_once(|wait| scene.queue().give_back(&lease, wait)).expect("given back");
        let _ = get(scene.queue());
    });
    waits.finish();
}

const SHUT_DOWN: Op = Op::new("shutdown", SMALL, |victim| {
    at_once(|wait| victim.queue.shut_down(wait)).expect("shut down");
});

#[test]
fn sleepers_learn_of_a_shutdown_by_somebody_killed() {
    let _one = one_at_a_time();
    let mut waits = Waits::new("consumer asleep, queue shut down by somebody killed");
    let wait_for_end = |queue: &Queue| {
        assert_eq!(within(LONG, |wait| get_waiting(queue, wait)), Err(Error::ShutDown));
        1
    };
    sweep(
        &mut waits,
        &SHUT_DOWN,
        Fill::Empty,
        wait_for_end,
        |scene| scene.queue().is_shut_down(),
        |scene| {
            at_once(|wait| scene.queue().shut_down(wait)).expect("shut down");
        },
    );
    waits.finish();
}

#[test]
fn the_second_sleeper_goes_on_when_the_first_is_woken_and_killed() {
    let _one = one_at_a_time();
    let place = Place::new("wakeups-two");
    let mut waits = Waits::new("two consumers asleep, one of them killed at each point");
    let mut taken_by_victim = 0;
    for n in 0..60 {
        let scene = Scene::new(&place, &PUT, Size::Small, Fill::Empty);
        let (board, victims) = (Board::new(2), Board::new(2));
        let mut victim = Child::run(|| {
            scene.queue().segment().me().expect("registered");
            fault::arm(n);
            let id = sleep_for_item(scene.queue());
            victims[RESULT].store(id, SeqCst);
            die();
        });
        // First in the kernel's line, if it gets so far.
        wait_for("the victim", Duration::from_secs(10), || {
            matches!(victim.state(), 'S' | 'Z') || victim.wait(Duration::ZERO).is_some()
        });
        let mut second = sleeper(&board, || sleep_for_item(scene.queue()));
        bring_item(&scene);
        if victim.wait(Duration::from_millis(5)).is_none() {
            // It sleeps still: the second was woken, or its next heartbeat comes first.
            wait_for("one of them", A_SECOND, || {
                board[GONE_ON].load(SeqCst) == 1 || victim.wait(Duration::ZERO).is_some()
            });
            victim.kill();
        }
        assert_eq!(victim.end(), BY_SIGKILL);
        let was_taken = victims[RESULT].load(SeqCst) != 0;
        let is_there = scene.counts().ready > 0 || board[GONE_ON].load(SeqCst) == 1;
        if !is_there {
            taken_by_victim += 1;
            bring_item(&scene);
        }
        waits.expect_to_go_on(&board, is_there, || format!("the first one killed at {n}"));
        second.kill();
        if was_taken {
            break;
        }
    }
    assert!(taken_by_victim > 0, "no victim got as far as to take the item");
    waits.finish();
}

#[test]
fn whoever_waits_for_a_lock_inherits_it_from_the_killed() {
    let _one = one_at_a_time();
    let place = Place::new("wakeups-lock");
    let mut waits = Waits::new("asleep on a lock, its holder killed at each point");
    for (op, act) in [
        (&PUT, sleep_for_room as fn(&Queue) -> u64),
        (&GET, sleep_for_item as fn(&Queue) -> u64),
        (&ACK, sleep_for_item as fn(&Queue) -> u64),
    ] {
        for n in 0.. {
            let scene = Scene::new(&place, op, Size::Small, Fill::Half);
            let board = Board::new(2);
            let mut holder = Child::run(|| {
                let victim = scene.victim(1);
                victim.queue.segment().me().expect("registered");
                fault::arm_to_stop(n);
                (op.run)(&victim);
                fault::arm(-1);
                victim.note(Event::End);
            });
            wait_for("the holder to stop", Duration::from_secs(10), || {
                holder.state() == 'T' || holder.wait(Duration::ZERO).is_some()
            });
            let is_over = holder.state() != 'T';
            let mut waiter = Child::run(|| {
                board[RESULT].store(act(scene.queue()), SeqCst);
                board[GONE_ON].store(1, SeqCst);
            });
            if scene.is_locked() {
                wait_until_asleep(&waiter);
                assert_eq!(
                    board[GONE_ON].load(SeqCst),
                    0,
                    "{} stopped at {n}: nothing is taken from the stopped",
                    op.name
                );
            }
            holder.kill();
            waits.expect_to_go_on(&board, true, || format!("the holder in {} killed at {n}", op.name));
            waiter.kill();
            assert!(get_dead(scene.queue()).is_err());
            if is_over {
                break;
            }
        }
    }
    waits.finish();
}

//! Killed at every named point of every operation: nothing lost, doubled, torn or stuck, and the whole capacity back.

mod common;

use common::scene::{BOTH, Event, Fill, First, Op, SHORT, SMALL, Scene, Size, Tally, Victim, sweep, sweep_two};
use common::{Place, WELL, at_once, get, get_dead, item, one_at_a_time};
use penstock_core::slots::INLINE_MAX;

// ------------------------------------------------------------------------------------------------------- operations

const PUT: Op = Op::new("put", BOTH, |victim| (0..2).for_each(|i| victim.put(victim.fresh + i)));

const PUT_BATCH: Op = Op::new("put_batch", SMALL, |victim| {
    let ids: Vec<u32> = (victim.fresh..victim.fresh + 3).collect();
    ids.iter().for_each(|id| victim.note(Event::Putting(*id)));
    let bytes: Vec<u8> = ids.iter().flat_map(|id| item(*id, victim.bytes)).collect();
    let put = at_once(|wait| victim.queue.put_batch(&bytes, wait)).unwrap_or(0);
    ids[..put].iter().for_each(|id| victim.note(Event::Put(*id)));
});

fn reserve(victim: &Victim<'_>, len: usize) -> Option<penstock_core::queue::Reservation> {
    let room = at_once(|wait| victim.queue.reserve(victim.bytes, wait)).ok()?;
    let bytes = item(victim.fresh, len);
    // SAFETY: the reservation is ours, and of at least this length.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), victim.queue.reserved_bytes(&room), len) };
    Some(room)
}

fn send(victim: &Victim<'_>, len: usize) {
    victim.note(Event::Putting(victim.fresh));
    if let Some(room) = reserve(victim, len) {
        at_once(|wait| victim.queue.commit(&room, len, wait)).expect("sent");
        victim.note(Event::Put(victim.fresh));
    }
}

const COMMIT: Op = Op::new("reserve and commit", BOTH, |victim| send(victim, victim.bytes));

const COMMIT_SHORT: Op = Op::new("reserve and commit less", &[Size::Large], |victim| send(victim, SHORT));

const CANCEL: Op = Op::new("reserve and cancel", BOTH, |victim| {
    if let Some(room) = reserve(victim, victim.bytes) {
        at_once(|wait| victim.queue.cancel(&room, wait)).expect("given back");
    }
});

const FORGET_ROOM: Op = Op::new("reserve and abandon", BOTH, |victim| {
    if let Some(room) = reserve(victim, victim.bytes) {
        victim.queue.abandon_reservation(&room);
    }
});

const HOLD_ROOM: Op = Op::new("reserve twice and hold", BOTH, |victim| {
    let _rooms = (reserve(victim, victim.bytes), reserve(victim, victim.bytes));
});

fn took(victim: &Victim<'_>, bytes: &[u8]) {
    victim.note(Event::Took(common::id_of(bytes).expect("whole")));
}

const GET: Op = Op::new("get", BOTH, |victim| {
    for nth in 1..3 {
        victim.may_take(nth, Event::Taking);
        if victim.bytes > INLINE_MAX {
            victim.may_borrow(nth);
        }
        if let Ok(bytes) = get(victim.queue) {
            took(victim, &bytes);
        }
    }
});

const GET_BATCH: Op = Op::new("get_batch", SMALL, |victim| {
    (0..4).for_each(|_| victim.may_take(4, Event::Taking));
    let (mut out, mut lens) = (Vec::new(), Vec::new());
    let _ = at_once(|wait| victim.queue.get_batch(4, &mut out, &mut lens, wait));
    out.chunks(victim.bytes).for_each(|bytes| took(victim, bytes));
});

const ACK: Op = Op::new("lease and ack", BOTH, |victim| {
    victim.may_take(2, Event::Settling);
    victim.may_borrow(2);
    let ids = victim.ready.first().copied();
    if let Ok(lease) = at_once(|wait| victim.queue.lease(wait)) {
        let mut bytes = vec![0; lease.len()];
        victim.queue.read(&lease, &mut bytes).expect("read");
        at_once(|wait| victim.queue.ack(&lease, wait)).expect("acknowledged");
        assert!(ids.is_none_or(|id| id <= common::id_of(&bytes).expect("whole")));
        victim.note(Event::Settled(common::id_of(&bytes).expect("whole")));
    }
});

const HOLD: Op = Op::new("lease three and hold", BOTH, |victim| {
    victim.may_borrow(3);
    let _leases: Vec<_> = (0..3).filter_map(|_| victim.queue.try_lease().ok()).collect();
});

const GIVE_BACK: Op = Op::new("lease and give back", BOTH, |victim| {
    victim.may_borrow(4);
    let leases: Vec<_> = (0..4).filter_map(|_| at_once(|wait| victim.queue.lease(wait)).ok()).collect();
    for nth in [1, 3, 0, 2] {
        if let Some(lease) = leases.get(nth) {
            at_once(|wait| victim.queue.give_back(lease, wait)).expect("given back");
        }
    }
});

const FORGET_LEASE: Op = Op::new("lease and abandon", BOTH, |victim| {
    victim.may_borrow(2);
    let leases: Vec<_> = (0..2).filter_map(|_| victim.queue.try_lease().ok()).collect();
    leases.iter().for_each(|lease| victim.queue.abandon_lease(lease));
});

const PURGE: Op = Op::new("purge", BOTH, |victim| {
    victim.ready.iter().for_each(|id| victim.note(Event::Settling(*id)));
    victim.ready.iter().for_each(|_| victim.note(Event::Limit(1)));
    at_once(|wait| victim.queue.purge(wait)).expect("purged");
    victim.ready.iter().for_each(|id| victim.note(Event::Settled(*id)));
});

const PEEK: Op = Op::new("peek", BOTH, |victim| {
    let items = at_once(|wait| victim.queue.peek(10, wait)).expect("a look");
    assert_eq!(items.len(), victim.ready.len());
});

const TASK_DONE: Op = Op {
    prepare: |scene| (0..3).for_each(|_| scene.take_one()),
    ..Op::new("task_done", SMALL, |victim| {
        let count = u32::try_from(victim.queue.unsettled()).expect("few").min(2);
        victim.note(Event::Counting(count));
        at_once(|wait| victim.queue.task_done(count.into(), wait)).expect("counted");
        victim.note(Event::Counted(count));
    })
};

const SHUT_DOWN: Op = Op::new("shutdown", BOTH, |victim| {
    at_once(|wait| victim.queue.shut_down(wait)).expect("shut down");
});

const SHUT_DOWN_AT_ONCE: Op = Op::new("shutdown at once", BOTH, |victim| {
    victim.ready.iter().for_each(|id| victim.note(Event::Settling(*id)));
    victim.ready.iter().for_each(|_| victim.note(Event::Limit(1)));
    at_once(|wait| victim.queue.shut_down_at_once(wait)).expect("shut down");
});

const SHUT_DOWN_HOLDING: Op = Op::new("lease, then shutdown at once", BOTH, |victim| {
    victim.ready.iter().for_each(|id| victim.note(Event::Settling(*id)));
    victim.ready.iter().for_each(|_| victim.note(Event::Limit(1)));
    victim.may_borrow(2);
    let leases: Vec<_> = (0..2).filter_map(|_| victim.queue.try_lease().ok()).collect();
    at_once(|wait| victim.queue.shut_down_at_once(wait)).expect("shut down");
    if let Some(lease) = leases.first() {
        at_once(|wait| victim.queue.give_back(lease, wait)).expect("given back, which discards it");
    }
});

// With at most one delivery, and room for two dead letters.

const EXPIRE: Op = Op {
    max_deliveries: 1,
    prepare: |scene| scene.deliver_once(),
    ..Op::new("expiry to dead letter", BOTH, |victim| {
        victim.ready.iter().take(1).for_each(|id| victim.note(Event::Moving(*id)));
        if let Some(id) = victim.ready.get(1) {
            victim.note(Event::Taking(*id));
            victim.note(Event::Limit(1));
            if victim.bytes > INLINE_MAX {
                victim.note(Event::Moving(*id)); // its only delivery
            }
        }
        if let Ok(bytes) = get(victim.queue) {
            took(victim, &bytes);
        }
    })
};

const EXPIRE_AT_DEATH: Op = Op {
    max_deliveries: 1,
    ..Op::new("last delivery", BOTH, |victim| {
        victim.ready.iter().take(1).for_each(|id| victim.note(Event::Moving(*id)));
        victim.may_borrow(1);
        let _lease = victim.queue.try_lease();
    })
};

const GET_DEAD: Op = Op {
    max_deliveries: 1,
    prepare: |scene| scene.make_dead(),
    ..Op::new("get_dead", BOTH, |victim| {
        if let Some(id) = victim.dead.first() {
            victim.note(Event::Settling(*id));
            victim.note(Event::Limit(1));
        }
        if let Ok(bytes) = get_dead(victim.queue) {
            victim.note(Event::Settled(common::id_of(&bytes).expect("whole")));
        }
    })
};

const REQUEUE_DEAD: Op = Op {
    max_deliveries: 1,
    prepare: |scene| scene.make_dead(),
    ..Op::new("requeue_dead", BOTH, |victim| {
        victim.dead.iter().for_each(|id| victim.note(Event::Moving(*id)));
        at_once(|wait| victim.queue.requeue_dead(wait)).expect("requeued");
    })
};

const PURGE_DEAD: Op = Op {
    max_deliveries: 1,
    prepare: |scene| scene.make_dead(),
    ..Op::new("purge_dead", BOTH, |victim| {
        victim.dead.iter().for_each(|id| victim.note(Event::Settling(*id)));
        victim.dead.iter().for_each(|_| victim.note(Event::Limit(1)));
        at_once(|wait| victim.queue.purge_dead(wait)).expect("purged");
        victim.dead.iter().for_each(|id| victim.note(Event::Settled(*id)));
    })
};

const ATTACH_AND_DETACH: Op = Op::new("attach and detach", SMALL, |victim| {
    victim.queue.segment().me().expect("registered");
    victim.queue.close();
});

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
    sweep_all("killed while putting", &[PUT, PUT_BATCH, COMMIT, COMMIT_SHORT, CANCEL, FORGET_ROOM, HOLD_ROOM]);
}

#[test]
fn killed_while_taking() {
    sweep_all("killed while taking", &[GET, GET_BATCH, ACK, HOLD, GIVE_BACK, FORGET_LEASE, PEEK]);
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

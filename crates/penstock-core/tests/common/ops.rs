//! The operations in which victims die: what each does to a queue, and what it writes down of that.

use super::scene::{BOTH, SHORT, SMALL, Size};
use super::victim::{Event, Op, Victim};
use super::{at_once, get, get_dead};
use penstock_core::queue::{Expectation, Got};
use penstock_core::segment::Trust;
use penstock_core::slots::INLINE_MAX;
use penstock_core::{Error, Queue};

pub const PUT: Op = Op::new("put", BOTH, |victim| (0..2).for_each(|i| victim.put(victim.fresh + i)));

pub const TRY_PUT: Op = Op::new("try_put", BOTH, |victim| {
    victim.note(Event::Putting(victim.fresh));
    match victim.queue.try_put(&[victim.item(victim.fresh)]) {
        Ok(committed) => {
            assert_eq!(committed, None, "the lock is free");
            victim.note(Event::Put(victim.fresh));
        }
        Err(error) => assert_eq!(error, Error::Full),
    }
});

pub const PUT_BATCH: Op = Op::new("put_batch", SMALL, |victim| {
    let ids: Vec<u32> = (victim.fresh..victim.fresh + 3).collect();
    ids.iter().for_each(|id| victim.note(Event::Putting(*id)));
    let bytes: Vec<u8> = ids.iter().flat_map(|id| victim.item(*id)).copied().collect();
    let put = at_once(|wait| victim.queue.put_batch(&bytes, wait)).unwrap_or(0);
    ids[..put].iter().for_each(|id| victim.note(Event::Put(*id)));
});

fn reserve(victim: &Victim<'_>, len: usize) -> Option<penstock_core::queue::Reservation> {
    let room = at_once(|wait| victim.queue.reserve(victim.bytes, wait)).ok()?;
    let bytes = &victim.item(victim.fresh)[..len];
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

pub const COMMIT: Op = Op::new("reserve and commit", BOTH, |victim| send(victim, victim.bytes));

pub const COMMIT_SHORT: Op = Op::new("reserve and commit less", &[Size::Large], |victim| send(victim, SHORT));

pub const CANCEL: Op = Op::new("reserve and cancel", BOTH, |victim| {
    if let Some(room) = reserve(victim, victim.bytes) {
        at_once(|wait| victim.queue.cancel(&room, wait)).expect("given back");
    }
});

pub const FORGET_ROOM: Op = Op::new("reserve and abandon", BOTH, |victim| {
    if let Some(room) = reserve(victim, victim.bytes) {
        victim.queue.abandon_reservation(&room);
    }
});

pub const HOLD_ROOM: Op = Op::new("reserve twice and hold", BOTH, |victim| {
    let _rooms = (reserve(victim, victim.bytes), reserve(victim, victim.bytes));
});

fn took(victim: &Victim<'_>, bytes: &[u8]) {
    victim.note(Event::Took(victim.id_of(bytes)));
}

pub const GET: Op = Op::new("get", BOTH, |victim| {
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

pub const TRY_GET: Op = Op::new("try_get", BOTH, |victim| {
    victim.may_take(1, Event::Taking);
    if victim.bytes > INLINE_MAX {
        victim.may_borrow(1);
    }
    let mut small = [0; INLINE_MAX];
    match victim.queue.try_get(&mut small) {
        Ok(Got::Copied(len)) => took(victim, &small[..len]),
        Ok(Got::Leased(lease)) => {
            let mut bytes = vec![0; lease.len()];
            victim.queue.read(&lease, &mut bytes).expect("read");
            victim.queue.try_release(&lease).expect("released");
            took(victim, &bytes);
        }
        Err(error) => assert_eq!(error, Error::Empty),
    }
});

pub const GET_BATCH: Op = Op::new("get_batch", SMALL, |victim| {
    (0..4).for_each(|_| victim.may_take(4, Event::Taking));
    let (mut out, mut lens) = (Vec::new(), Vec::new());
    let _ = at_once(|wait| victim.queue.get_batch(4, &mut out, &mut lens, wait));
    out.chunks(victim.bytes).for_each(|bytes| took(victim, bytes));
});

pub const ACK: Op = Op::new("lease and ack", BOTH, |victim| {
    victim.may_take(2, Event::Settling);
    victim.may_borrow(2);
    let ids = victim.ready.first().copied();
    if let Ok(lease) = at_once(|wait| victim.queue.lease(wait)) {
        let mut bytes = vec![0; lease.len()];
        victim.queue.read(&lease, &mut bytes).expect("read");
        at_once(|wait| victim.queue.ack(&lease, wait)).expect("acknowledged");
        assert!(ids.is_none_or(|id| id <= victim.id_of(&bytes)));
        victim.note(Event::Settled(victim.id_of(&bytes)));
    }
});

pub const HOLD: Op = Op::new("lease three and hold", BOTH, |victim| {
    victim.may_borrow(3);
    let _leases: Vec<_> = (0..3).filter_map(|_| victim.queue.try_lease().ok()).collect();
});

pub const GIVE_BACK: Op = Op::new("lease and give back", BOTH, |victim| {
    victim.may_borrow(4);
    let leases: Vec<_> = (0..4).filter_map(|_| at_once(|wait| victim.queue.lease(wait)).ok()).collect();
    for nth in [1, 3, 0, 2] {
        if let Some(lease) = leases.get(nth) {
            at_once(|wait| victim.queue.give_back(lease, wait)).expect("given back");
        }
    }
});

pub const FORGET_LEASE: Op = Op::new("lease and abandon", BOTH, |victim| {
    victim.may_borrow(2);
    let leases: Vec<_> = (0..2).filter_map(|_| victim.queue.try_lease().ok()).collect();
    leases.iter().for_each(|lease| victim.queue.abandon_lease(lease));
});

pub const PURGE: Op = Op::new("purge", BOTH, |victim| {
    victim.ready.iter().for_each(|id| victim.note(Event::Settling(*id)));
    victim.ready.iter().for_each(|_| victim.note(Event::Limit(1)));
    at_once(|wait| victim.queue.purge(wait)).expect("purged");
    victim.ready.iter().for_each(|id| victim.note(Event::Settled(*id)));
});

pub const PEEK: Op = Op::new("peek", BOTH, |victim| {
    let items = at_once(|wait| victim.queue.peek(10, wait)).expect("a look");
    assert_eq!(items.len(), victim.ready.len());
});

pub const TASK_DONE: Op = Op {
    prepare: |scene| (0..3).for_each(|_| scene.take_one()),
    ..Op::new("task_done", SMALL, |victim| {
        let count = u32::try_from(victim.queue.unsettled()).expect("few").min(2);
        victim.note(Event::Counting(count));
        at_once(|wait| victim.queue.task_done(count.into(), wait)).expect("counted");
        victim.note(Event::Counted(count));
    })
};

pub const SHUT_DOWN: Op = Op::new("shutdown", BOTH, |victim| {
    at_once(|wait| victim.queue.shut_down(wait)).expect("shut down");
});

pub const SHUT_DOWN_AT_ONCE: Op = Op::new("shutdown at once", BOTH, |victim| {
    victim.ready.iter().for_each(|id| victim.note(Event::Settling(*id)));
    victim.ready.iter().for_each(|_| victim.note(Event::Limit(1)));
    at_once(|wait| victim.queue.shut_down_at_once(wait)).expect("shut down");
});

pub const SHUT_DOWN_HOLDING: Op = Op::new("lease, then shutdown at once", BOTH, |victim| {
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

pub const EXPIRE: Op = Op {
    max_deliveries: 1,
    prepare: |scene| {
        scene.deliver_once();
        scene.ready.iter().take(1).for_each(|id| scene.log.note(Event::Moving(*id)));
    },
    ..Op::new("expiry to dead letter", BOTH, |victim| {
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

pub const EXPIRE_AT_DEATH: Op = Op {
    max_deliveries: 1,
    ..Op::new("last delivery", BOTH, |victim| {
        victim.ready.iter().take(1).for_each(|id| victim.note(Event::Moving(*id)));
        victim.may_borrow(1);
        let _lease = victim.queue.try_lease();
    })
};

pub const GET_DEAD: Op = Op {
    max_deliveries: 1,
    prepare: |scene| scene.make_dead(),
    ..Op::new("get_dead", BOTH, |victim| {
        if let Some(id) = victim.dead.first() {
            victim.note(Event::Settling(*id));
            victim.note(Event::Limit(1));
        }
        if let Ok(bytes) = get_dead(victim.queue) {
            victim.note(Event::Settled(victim.id_of(&bytes)));
        }
    })
};

pub const REQUEUE_DEAD: Op = Op {
    max_deliveries: 1,
    prepare: |scene| scene.make_dead(),
    ..Op::new("requeue_dead", BOTH, |victim| {
        victim.dead.iter().for_each(|id| victim.note(Event::Moving(*id)));
        at_once(|wait| victim.queue.requeue_dead(wait)).expect("requeued");
    })
};

pub const PURGE_DEAD: Op = Op {
    max_deliveries: 1,
    prepare: |scene| scene.make_dead(),
    ..Op::new("purge_dead", BOTH, |victim| {
        victim.dead.iter().for_each(|id| victim.note(Event::Settling(*id)));
        victim.dead.iter().for_each(|_| victim.note(Event::Limit(1)));
        at_once(|wait| victim.queue.purge_dead(wait)).expect("purged");
        victim.dead.iter().for_each(|id| victim.note(Event::Settled(*id)));
    })
};

pub const ATTACH_AND_DETACH: Op = Op::new("attach and detach", SMALL, |victim| {
    victim.queue.segment().me().expect("registered");
    victim.queue.close();
});

pub const OPEN: Op = Op::new("open", SMALL, |victim| {
    let queue = Queue::open(victim.queue.segment().location(), &Expectation::default(), Trust::OwnOnly);
    std::mem::forget(queue.expect("opened"));
});

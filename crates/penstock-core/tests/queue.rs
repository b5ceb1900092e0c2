//! What one process sees of a queue.

mod common;

use common::{Child, Place, WELL, at_once, get, get_waiting, patiently, plan, put, within};
use penstock_core::layout::{Kind, Owner, SlotHead, State, state_word};
use penstock_core::queue::{Expectation, Plan};
use penstock_core::segment::Trust;
use penstock_core::slots::shift;
use penstock_core::{Error, Queue};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn items_come_out_in_the_order_they_went_in() {
    let place = Place::new("order");
    let queue = Queue::create(&place.at("q"), &plan(10, 4, 4)).expect("created");
    for round in 0..100u32 {
        for i in 0..10 {
            put(&queue, &(round * 10 + i).to_le_bytes()).expect("room");
        }
        assert!(queue.is_full());
        assert_eq!(put(&queue, &[0; 4]), Err(Error::Full));
        for i in 0..10 {
            assert_eq!(get(&queue), Ok((round * 10 + i).to_le_bytes().to_vec()));
        }
        assert_eq!(get(&queue), Err(Error::Empty));
    }
}

#[test]
fn large_and_small_items_keep_their_order_and_bytes() {
    let place = Place::new("sizes");
    let queue = Queue::create(&place.at("q"), &plan(8, 0, 100_000)).expect("created");
    let sizes = [0, 1, 95, 96, 97, 4096, 100_000, 3];
    for (i, size) in sizes.iter().enumerate() {
        put(&queue, &vec![u8::try_from(i).expect("small"); *size]).expect("room");
    }
    for (i, size) in sizes.iter().enumerate() {
        assert_eq!(get(&queue), Ok(vec![u8::try_from(i).expect("small"); *size]));
    }
    assert!(matches!(put(&queue, &vec![0; 100_001]), Err(Error::TooLarge { bytes: 100_001, limit: 100_000, .. })));
}

/// Which rooms are used shows in the memory that the file system has given.
#[test]
fn large_items_take_turns_in_a_few_rooms_however_many_there_are() {
    const LARGE: usize = 1 << 20;
    let place = Place::new("in-turn");
    let queue = Queue::create(&place.at("q"), &plan(100, 0, LARGE as u64)).expect("created");
    let before = queue.segment().extent().expect("asked").1;
    let rooms = || (queue.segment().extent().expect("asked").1 - before) / LARGE as u64;
    for round in 0..40u8 {
        put(&queue, &vec![round; LARGE]).expect("room");
        assert_eq!(get(&queue), Ok(vec![round; LARGE]));
    }
    assert_eq!(rooms(), 4, "one in the queue at a time");
    for round in 0..40u8 {
        (0..3).for_each(|i| put(&queue, &vec![round + i; LARGE]).expect("room"));
        (0..3).for_each(|i| assert_eq!(get(&queue), Ok(vec![round + i; LARGE])));
    }
    assert_eq!(rooms(), 4, "three at a time");
    (0..20).for_each(|i| put(&queue, &vec![i; LARGE]).expect("room"));
    (0..20).for_each(|i| assert_eq!(get(&queue), Ok(vec![i; LARGE])));
    assert_eq!(rooms(), 20, "twenty at a time");
    queue.use_in_turn(0);
    for round in 0..40u8 {
        put(&queue, &vec![round; LARGE]).expect("room");
        assert_eq!(get(&queue), Ok(vec![round; LARGE]));
    }
    assert_eq!(rooms(), 20, "none that was cold");
}

#[test]
fn an_item_given_back_is_delivered_before_newer_ones() {
    let place = Place::new("giveback");
    let queue = Queue::create(&place.at("q"), &plan(4, 1, 1)).expect("created");
    for i in 0..4 {
        put(&queue, &[i]).expect("room");
    }
    let leases: Vec<_> = (0..3).map(|_| queue.try_lease().expect("an item")).collect();
    assert_eq!(queue.depth().held, 3);
    for i in [1, 0, 2] {
        patiently(|wait| queue.give_back(&leases[i], wait)).expect("given back");
    }
    assert!(matches!(patiently(|wait| queue.ack(&leases[0], wait)), Err(Error::LeaseLost { .. })));
    for i in 0..4 {
        assert_eq!(get(&queue), Ok(vec![i]));
    }
}

#[test]
fn an_item_delivered_too_often_becomes_a_dead_letter_and_can_be_requeued() {
    let place = Place::new("dead");
    let queue = Queue::create(&place.at("q"), &Plan { max_deliveries: 2, dead_letters: 1, ..plan(2, 0, 1000) })
        .expect("created");
    put(&queue, b"poison").expect("room");
    put(&queue, &[7; 500]).expect("room");
    for _ in 0..2 {
        let lease = queue.try_lease().expect("the poison");
        patiently(|wait| queue.give_back(&lease, wait)).expect("given back");
    }
    assert_eq!((queue.dead_len(), queue.len()), (1, 1), "at once, not when somebody next looks");
    assert_eq!(get(&queue), Ok(vec![7; 500]));
    assert_eq!((queue.dead_len(), queue.len()), (1, 0));
    put(&queue, b"x").expect("room for two despite the dead letter");
    put(&queue, b"y").expect("room for two despite the dead letter");
    assert_eq!(put(&queue, b"z"), Err(Error::Full));
    assert_eq!(patiently(|wait| queue.requeue_dead(wait)), Ok(1));
    assert_eq!(get(&queue), Ok(b"poison".to_vec()));
}

#[test]
fn shut_down_drains_and_then_says_so() {
    let place = Place::new("shut");
    let queue = Queue::create(&place.at("q"), &plan(2, 1, 1)).expect("created");
    put(&queue, &[1]).expect("room");
    patiently(|wait| queue.shut_down(wait)).expect("shut");
    assert_eq!(put(&queue, &[2]), Err(Error::ShutDown));
    assert_eq!(get(&queue), Ok(vec![1]));
    assert_eq!(get(&queue), Err(Error::ShutDown));
}

#[test]
fn join_waits_for_what_was_put_and_not_for_more() {
    let place = Place::new("join");
    let queue = Queue::create(&place.at("q"), &plan(4, 1, 1)).expect("created");
    for i in 0..4 {
        put(&queue, &[i]).expect("room");
    }
    assert_eq!(within(Duration::ZERO, |wait| queue.join(wait)), Err(Error::Busy));
    get(&queue).expect("an item");
    patiently(|wait| queue.task_done(1, wait)).expect("done");
    let lease = queue.try_lease().expect("an item");
    queue.try_ack(&lease).expect("acknowledged");
    assert_eq!(queue.unsettled(), 2);
    assert_eq!(patiently(|wait| queue.purge(wait)), Ok(2));
    patiently(|wait| queue.join(wait)).expect("all done");
    assert!(matches!(patiently(|wait| queue.task_done(1, wait)), Err(Error::OverRelease { .. })));
}

#[test]
fn purge_ends_although_producers_keep_up() {
    let place = Place::new("purge");
    let queue = Queue::create(&place.at("q"), &plan(100, 4, 4)).expect("created");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                let _ = queue.try_put(&[&[0; 4]]);
            }
        });
        for _ in 0..1000 {
            let count = patiently(|wait| queue.purge(wait)).expect("purged");
            assert!(count <= 100, "{count} items purged of a queue of a hundred");
        }
        is_over.store(true, Relaxed);
    });
}

#[test]
fn two_handles_of_one_name_are_one_queue_and_mismatches_are_named() {
    let place = Place::new("open");
    let location = place.at("q");
    let first = Queue::create(&location, &plan(3, 4, 4)).expect("created");
    let second = Queue::open(&location, &Expectation::default(), Trust::OwnOnly).expect("opened");
    put(&first, &[1, 2, 3, 4]).expect("room");
    assert_eq!(get(&second), Ok(vec![1, 2, 3, 4]));
    assert!(matches!(Queue::create(&location, &plan(3, 4, 4)), Err(Error::Exists { .. })));
    let wrong = Expectation { capacity: Some(4), ..Expectation::default() };
    match Queue::open(&location, &wrong, Trust::OwnOnly) {
        Err(Error::Mismatch { what: "capacity", have, want, .. }) => {
            assert_eq!((have.as_str(), want.as_str()), ("3", "4"))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(Kind::Queue.word(), "queue");
    first.unlink().expect("unlinked");
    assert!(matches!(Queue::open(&location, &Expectation::default(), Trust::OwnOnly), Err(Error::NotFound { .. })));
    assert!(matches!(within(Duration::from_secs(5), |wait| get_waiting(&second, wait)), Err(Error::Removed { .. })));
}

#[test]
fn threads_pass_every_item_exactly_once() {
    let place = Place::new("threads");
    let queue = Queue::create(&place.at("q"), &plan(10, 8, 8)).expect("created");
    const EACH: u64 = 20_000;
    let seen = std::thread::scope(|scope| {
        for producer in 0..2u64 {
            let queue = &queue;
            scope.spawn(move || {
                for i in 0..EACH {
                    patiently(|wait| queue.put(&[&(producer << 32 | i).to_le_bytes()], wait)).expect("put");
                }
            });
        }
        let take = || {
            let mut seen = Vec::new();
            while let Ok(item) = within(Duration::from_millis(500), |wait| get_waiting(&queue, wait)) {
                seen.push(u64::from_le_bytes(item.try_into().expect("eight bytes")));
            }
            seen
        };
        let consumers = [scope.spawn(take), scope.spawn(take)];
        consumers.map(|consumer| consumer.join().expect("no panic"))
    });
    for one in &seen {
        for producer in 0..2 {
            let mine: Vec<u64> = one.iter().copied().filter(|item| item >> 32 == producer).collect();
            assert!(mine.is_sorted(), "order of producer {producer}");
        }
    }
    let mut all = seen.concat();
    all.sort_unstable();
    let expected: Vec<u64> = (0..2).flat_map(|producer| (0..EACH).map(move |i| producer << 32 | i)).collect();
    assert_eq!(all, expected);
}

#[test]
fn a_batch_of_less_than_one_item_is_refused_at_once() {
    let place = Place::new("no-batch");
    let queue = Queue::create(&place.at("q"), &plan(10, 4, 4)).expect("created");
    // In a child: what is not refused may wait for ever, and not for anything that a deadline bounds.
    let mut child = Child::run(|| {
        for bytes in [&[][..], &[1, 2, 3]] {
            for tried in [queue.try_put_batch(bytes), patiently(|wait| queue.put_batch(bytes, wait))] {
                assert!(matches!(tried, Err(Error::BadValue { .. })), "{tried:?}");
            }
        }
    });
    assert_eq!(child.end(), WELL);
    assert!(queue.is_empty());
}

#[test]
fn a_batch_takes_the_lock_once_and_keeps_order() {
    let place = Place::new("batch");
    let queue = Queue::create(&place.at("q"), &plan(1000, 2, 2)).expect("created");
    let bytes: Vec<u8> = (0..1500u16).flat_map(u16::to_le_bytes).collect();
    let mut put = 0;
    while let Ok(count) = queue.try_put_batch(&bytes[put * 2..]) {
        put += count;
    }
    assert_eq!(put, 1000);
    let (mut out, mut lens) = (Vec::new(), Vec::new());
    while queue.try_get_batch(300, &mut out, &mut lens).is_ok() {}
    assert_eq!(out, bytes[..2000]);
    assert_eq!(lens.len(), 1000);
}

#[test]
fn peeking_takes_nothing() {
    let place = Place::new("peek");
    let queue = Queue::create(&place.at("q"), &plan(4, 0, 5000)).expect("created");
    put(&queue, b"a").expect("room");
    put(&queue, &[9; 5000]).expect("room");
    for _ in 0..2 {
        assert_eq!(patiently(|wait| queue.peek(10, wait)), Ok(vec![b"a".to_vec(), vec![9; 5000]]));
    }
    assert_eq!(queue.len(), 2);
}

#[test]
fn a_lease_that_was_settled_cannot_settle_what_came_after() {
    let place = Place::new("stale");
    let queue = Queue::create(&place.at("q"), &plan(1, 8, 8)).expect("created");
    put(&queue, &[1; 8]).expect("room");
    let first = queue.try_lease().expect("an item");
    queue.try_ack(&first).expect("acknowledged");
    put(&queue, &[2; 8]).expect("room in the same slot");
    let second = queue.try_lease().expect("an item");
    let is_lost = |result: Result<(), Error>| matches!(result, Err(Error::LeaseLost { .. }));
    assert!(is_lost(queue.try_ack(&first)));
    assert!(is_lost(at_once(|wait| queue.give_back(&first, wait))));
    queue.abandon_lease(&first);
    queue.try_ack(&second).expect("untouched");
}

#[test]
fn a_slot_that_was_moved_meanwhile_is_not_moved_again() {
    let zero = || AtomicU32::new(0);
    let slot = SlotHead {
        state: AtomicU64::new(0),
        seq: AtomicU64::new(7),
        len: zero(),
        deliveries: zero(),
        since_ms: zero(),
        check: zero(),
    };
    let ready = shift(&slot, state_word(State::Free, 0), State::Ready, 7).expect("moved");
    let leased = shift(&slot, ready, State::Leased(Owner::new(1, 1)), 7).expect("moved");
    // A zombie's move, and one of an earlier item of the same slot.
    assert_eq!(shift(&slot, ready, State::Free, 0), None);
    assert_eq!(shift(&slot, state_word(State::Leased(Owner::new(1, 1)), 6), State::Free, 0), None);
    assert_eq!(slot.state.load(SeqCst), leased);
}

#[test]
fn what_the_living_abandon_comes_back() {
    let place = Place::new("abandoned");
    let queue = Queue::create(&place.at("q"), &plan(1, 0, 4000)).expect("created");
    put(&queue, b"one").expect("room");
    queue.abandon_lease(&queue.try_lease().expect("an item"));
    assert_eq!(get(&queue), Ok(b"one".to_vec()));
    queue.abandon_reservation(&at_once(|wait| queue.reserve(3000, wait)).expect("room"));
    put(&queue, b"two").expect("the only slot is back");
    assert_eq!(get(&queue), Ok(b"two".to_vec()));
    // What cannot be sent any more is abandoned, too.
    let room = at_once(|wait| queue.reserve(3000, wait)).expect("room");
    at_once(|wait| queue.shut_down(wait)).expect("shut down");
    assert_eq!(at_once(|wait| queue.commit(&room, 3000, wait)), Err(Error::ShutDown));
    assert_eq!(get(&queue), Err(Error::ShutDown));
    assert_eq!(queue.depth().held, 0);
}

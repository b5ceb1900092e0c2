//! What is left of a queue whose maker, visitor or remover was killed, and what everybody else can do with it.

use super::{Place, get, get_waiting, plan, put, within};
use penstock_core::queue::{Expectation, Plan};
use penstock_core::segment::{Lifetime, Trust};
use penstock_core::{Error, Location, Queue};
use std::time::{Duration, Instant};

pub fn open(location: &Location) -> Result<Queue, Error> {
    Queue::open(location, &Expectation::default(), Trust::OwnOnly)
}

pub fn open_or_create(location: &Location, plan: &Plan) -> Queue {
    let opened = Queue::open_or_create(location, plan, &Expectation::default(), Trust::OwnOnly);
    opened.expect("opened or created").0
}

/// A small queue that lasts for so long.
pub fn lasting(lifetime: Lifetime) -> Plan {
    Plan { lifetime, ..plan(4, 8, 8) }
}

/// Makes the queue, and puts three items.
pub fn create_with_three(location: &Location) {
    let queue = Queue::create(location, &plan(4, 8, 8)).expect("created");
    (0..3u64).for_each(|i| put(&queue, &i.to_le_bytes()).expect("room"));
}

/// Everything goes in, everything comes out.
pub fn check_works(queue: &Queue) {
    for _ in 0..2 {
        let room = queue.plan().capacity;
        (0..room).for_each(|i| put(queue, &i.to_le_bytes()).expect("room"));
        assert_eq!(put(queue, &[0; 8]), Err(Error::Full));
        (0..room).for_each(|i| assert_eq!(get(queue), Ok(i.to_le_bytes().to_vec())));
        assert_eq!(get(queue), Err(Error::Empty));
    }
    assert_eq!(queue.depth().held, 0);
}

/// Killed while creating: there is a whole queue or none, and whoever comes has one.
pub fn check_created(place: &Place, location: &Location, has_returned: bool) {
    let entries = place.entries();
    assert!(entries.is_empty() || entries == ["q"], "{entries:?}");
    assert!(!has_returned || entries == ["q"], "what was created is there");
    let queue = open_or_create(location, &plan(4, 8, 8));
    assert_eq!(queue.totals(), (0, 0), "put, and dealt with");
    check_works(&queue);
    queue.unlink().expect("unlinked");
}

/// Killed while opening what [`create_with_three`] had made: the queue is as it was.
pub fn check_opened(location: &Location) {
    let queue = open(location).expect("opened");
    assert_eq!(queue.totals(), (3, 0), "put, and dealt with");
    (0..3u64).for_each(|i| assert_eq!(get(&queue), Ok(i.to_le_bytes().to_vec())));
    check_works(&queue);
    queue.unlink().expect("unlinked");
}

/// Killed while closing the only handle: there is a queue that works, or the name is free, as its lifetime says.
pub fn check_closed(place: &Place, location: &Location, lifetime: Lifetime, has_returned: bool) {
    let is_there = open(location).map(|queue| check_works(&queue)).is_ok();
    assert!(is_there || lifetime == Lifetime::WhileOpen || !has_returned, "the queue is gone");
    let queue = open_or_create(location, &lasting(lifetime));
    check_works(&queue);
    drop(queue);
    match lifetime {
        Lifetime::UntilUnlinked => open(location).expect("it stays").unlink().expect("unlinked"),
        Lifetime::WhileOpen => assert!(place.entries().is_empty(), "{:?}", place.entries()),
    }
}

/// Killed while unlinking: the name is there, or who is attached to the queue learns that it is gone as soon as he waits.
pub fn check_unlinked(place: &Place, location: &Location, attached: &Queue, has_returned: bool) {
    let is_there = !place.entries().is_empty();
    assert!(!(has_returned && is_there));
    // Whoever is attached goes on until it would have to wait.
    check_works(attached);
    if is_there {
        attached.unlink().expect("unlinked");
    }
    let begun = Instant::now();
    let waited = within(Duration::from_secs(5), |wait| get_waiting(attached, wait));
    assert!(matches!(waited, Err(Error::Removed { .. })), "{waited:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "told after {:?}", begun.elapsed());
    let next = Queue::create(location, &plan(4, 8, 8)).expect("the name is free");
    check_works(&next);
    next.unlink().expect("unlinked");
}

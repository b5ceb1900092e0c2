//! Waiting for the first of several objects.
#![cfg(unix)] // forks its peers

mod common;

use common::{BY_SIGKILL, Board, Child, Place, one_at_a_time, plan, put, wait_for};
use penstock_core::event::HEARTBEAT;
use penstock_core::segment::{Lifetime, Trust};
use penstock_core::semaphore::Plan;
use penstock_core::waiting::{Target, wait_any};
use penstock_core::{Deadline, Error, Event, Mutex, Queue, Semaphore};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// One object of each kind, none of them ready but the mutex.
struct All {
    queue: Queue,
    mutex: Mutex,
    semaphore: Semaphore,
    event: Event,
}

impl All {
    fn new(place: &Place) -> All {
        let lifetime = Lifetime::UntilUnlinked;
        All {
            queue: Queue::create(&place.at("q"), &plan(4, 4, 4)).expect("created"),
            mutex: Mutex::create(&place.at("m"), lifetime).expect("created"),
            semaphore: Semaphore::create(&place.at("s"), &Plan { value: 0, maximum: 9, lifetime }).expect("created"),
            event: Event::create(&place.at("e"), true, lifetime).expect("created"),
        }
    }

    fn targets(&self) -> [Target<'_>; 4] {
        [
            Target::Queue(&self.queue),
            Target::Mutex(&self.mutex),
            Target::Semaphore(&self.semaphore),
            Target::Event(&self.event),
        ]
    }

    fn wait(&self, time: Duration) -> Result<Vec<usize>, Error> {
        wait_any(&self.targets(), Deadline::after(Some(time)), &mut || Ok(()))
    }
}

fn take(mutex: &Mutex) -> Result<bool, Error> {
    mutex.take(Deadline::after(Some(PATIENCE)), &mut || Ok(()))
}

#[test]
fn those_that_are_ready_are_named_and_nothing_is_taken() {
    let place = Place::new("waiting-ready");
    let all = All::new(&place);
    assert_eq!(all.wait(PATIENCE), Ok(vec![1]));
    put(&all.queue, &[1; 4]).expect("room");
    all.semaphore.release(1).expect("room");
    all.event.set();
    for _ in 0..2 {
        assert_eq!(all.wait(PATIENCE), Ok(vec![0, 1, 2, 3]));
    }
    assert_eq!((all.queue.len(), all.semaphore.value(), all.event.is_set()), (1, Ok(1), true));
    take(&all.mutex).expect("free");
    assert_eq!(all.wait(PATIENCE), Ok(vec![0, 1, 2, 3]), "one's own mutex could be taken again");
    assert_eq!(wait_any(&[], Deadline::Never, &mut || Ok(())), Ok(vec![]));
}

#[test]
fn the_deadline_ends_the_wait_with_nothing() {
    let place = Place::new("waiting-deadline");
    let all = All::new(&place);
    let targets = [Target::Queue(&all.queue), Target::Event(&all.event)];
    for ms in [0, 130] {
        let (begun, time) = (Instant::now(), Duration::from_millis(ms));
        assert_eq!(wait_any(&targets, Deadline::after(Some(time)), &mut || Ok(())), Ok(vec![]));
        assert!(begun.elapsed() >= time && begun.elapsed() < Duration::from_secs(5));
    }
}

/// A process that holds the mutex, does `act` once it is told to, and then stays until it is killed.
fn with_a_peer(test: &str, act: fn(&All), expected: usize) {
    let _one = one_at_a_time();
    let place = Place::new(test);
    let (all, board) = (All::new(&place), Board::new(2));
    let mut peer = Child::run(|| {
        take(&all.mutex).expect("free");
        board[0].store(1, SeqCst);
        wait_for("the word", PATIENCE, || board[1].load(SeqCst) == 1);
        act(&all);
        loop {
            std::thread::park();
        }
    });
    wait_for("the peer", PATIENCE, || board[0].load(SeqCst) == 1);
    let ready = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| all.wait(PATIENCE));
        board[1].store(1, SeqCst);
        waiter.join().expect("no panic")
    });
    assert_eq!(ready, Ok(vec![expected]));
    peer.kill();
}

#[test]
fn an_item_ends_it() {
    with_a_peer("waiting-item", |all| put(&all.queue, &[1; 4]).expect("room"), 0);
}

#[test]
fn a_release_of_the_mutex_ends_it() {
    with_a_peer("waiting-mutex", |all| all.mutex.release().expect("held"), 1);
}

#[test]
fn a_permit_ends_it() {
    with_a_peer("waiting-permit", |all| assert_eq!(all.semaphore.release(1), Ok(0)), 2);
}

#[test]
fn a_set_ends_it() {
    with_a_peer("waiting-set", |all| all.event.set(), 3);
}

#[test]
fn the_death_of_the_mutex_s_owner_ends_it() {
    with_a_peer("waiting-death", |_| common::die(), 1);
}

#[test]
fn the_same_object_may_stand_there_twice_and_many_may() {
    let place = Place::new("waiting-twice");
    let all = All::new(&place);
    let again = Event::open(&place.at("e"), None, None, Trust::OwnOnly).expect("opened");
    for count in [1, 100] {
        let mut targets = Vec::new();
        for _ in 0..count {
            targets.extend([Target::Event(&all.event), Target::Semaphore(&all.semaphore), Target::Event(&again)]);
        }
        let mut ticks = 0;
        let mut tick = || {
            ticks += 1;
            Ok(())
        };
        let deadline = Deadline::after(Some(Duration::from_millis(200)));
        assert_eq!(wait_any(&targets, deadline, &mut tick), Ok(vec![]));
        assert!(ticks < 250, "it slept, and did not spin: {ticks}");
        let ready = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| wait_any(&targets, Deadline::after(Some(PATIENCE)), &mut || Ok(())));
            all.semaphore.release(1).expect("room");
            waiter.join().expect("no panic")
        });
        assert_eq!(ready.map(|ready| ready.len()), Ok(count));
        all.semaphore.try_acquire().expect("not taken");
    }
}

#[test]
fn one_that_takes_goes_on_although_others_that_take_nothing_were_woken_first() {
    const ROUNDS: u64 = 200;
    let place = Place::new("waiting-passes-on");
    let all = All::new(&place);
    let taken = AtomicU64::new(0);
    let is_over = || taken.load(SeqCst) == ROUNDS;
    let watch = || {
        let targets = [Target::Semaphore(&all.semaphore)];
        while !is_over() {
            wait_any(&targets, Deadline::after(Some(HEARTBEAT)), &mut || Ok(())).expect("ready, or time is up");
        }
    };
    let begun = Instant::now();
    std::thread::scope(|scope| {
        (0..3).for_each(|_| drop(scope.spawn(watch)));
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                all.semaphore.acquire(Deadline::after(Some(PATIENCE)), &mut || Ok(())).expect("a permit");
                taken.fetch_add(1, SeqCst);
            }
        });
        for round in 0..ROUNDS {
            all.semaphore.release(1).expect("room");
            wait_for("the taker", PATIENCE, || taken.load(SeqCst) > round);
        }
    });
    // Were wake-ups lost to those who only watch, most rounds would last for half a heartbeat.
    assert!(begun.elapsed() < HEARTBEAT * 40, "{:?}", begun.elapsed());
}

#[test]
fn who_waits_learns_that_a_name_is_gone() {
    let place = Place::new("waiting-removed");
    let all = All::new(&place);
    let targets = [Target::Queue(&all.queue), Target::Event(&all.event)];
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_any(&targets, Deadline::after(Some(PATIENCE)), &mut || Ok(())));
        all.event.unlink().expect("there");
        assert!(matches!(waiter.join().expect("no panic"), Err(Error::Removed { .. })));
    });
}

#[test]
fn a_tick_ends_the_wait() {
    let place = Place::new("waiting-tick");
    let all = All::new(&place);
    let targets = [Target::Queue(&all.queue), Target::Event(&all.event)];
    assert_eq!(wait_any(&targets, Deadline::Never, &mut || Err(Error::Interrupted)), Err(Error::Interrupted));
}

#[test]
fn what_a_dead_consumer_had_leased_ends_it() {
    let _one = one_at_a_time();
    let place = Place::new("waiting-lease");
    let all = All::new(&place);
    put(&all.queue, &[1; 4]).expect("room");
    let mut consumer = Child::run(|| {
        let _lease = all.queue.try_lease().expect("the item");
        common::die();
    });
    assert_eq!(consumer.end(), BY_SIGKILL);
    let targets = [Target::Queue(&all.queue), Target::Event(&all.event)];
    assert_eq!(wait_any(&targets, Deadline::after(Some(PATIENCE)), &mut || Ok(())), Ok(vec![0]));
}

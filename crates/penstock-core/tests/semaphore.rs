//! The semaphore: a count that nobody owns.
#![cfg(unix)] // forks its peers

mod common;

use common::{BY_SIGKILL, Board, Child, Place, Raw, WELL, die, one_at_a_time, wait_for};
use penstock_core::layout::KIND_AT;
use penstock_core::segment::{Lifetime, Trust};
use penstock_core::semaphore::{MAXIMUM, Plan};
use penstock_core::{Deadline, Error, Location, Semaphore};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn plan(value: u32, maximum: u32) -> Plan {
    Plan { value, maximum, lifetime: Lifetime::UntilUnlinked }
}

fn make(location: &Location, value: u32, maximum: u32) -> Semaphore {
    Semaphore::create(location, &plan(value, maximum)).expect("created")
}

fn open(location: &Location) -> Semaphore {
    Semaphore::open(location, None, None, Trust::OwnOnly).expect("opened")
}

fn acquire_within(semaphore: &Semaphore, time: Duration) -> Result<(), Error> {
    semaphore.acquire(Deadline::after(Some(time)), &mut || Ok(()))
}

#[test]
fn it_counts_and_never_beyond_its_maximum() {
    let place = Place::new("semaphore-count");
    let semaphore = make(&place.at("s"), 2, 5);
    assert_eq!((semaphore.value(), semaphore.maximum()), (Ok(2), 5));
    assert_eq!(semaphore.try_acquire(), Ok(()));
    assert_eq!(semaphore.try_acquire(), Ok(()));
    assert_eq!(semaphore.try_acquire(), Err(Error::Busy));
    assert_eq!(semaphore.release(3), Ok(0));
    assert!(matches!(semaphore.release(3), Err(Error::OverRelease { .. })));
    assert!(matches!(semaphore.release(u32::MAX), Err(Error::OverRelease { .. })));
    assert!(matches!(semaphore.release(0), Err(Error::BadValue { .. })));
    assert_eq!(semaphore.value(), Ok(3), "all or none");
    assert_eq!(semaphore.release(2), Ok(3));
}

#[test]
fn numbers_out_of_range_are_refused_and_nothing_is_made() {
    let place = Place::new("semaphore-range");
    for (value, maximum) in [(0, 0), (2, 1), (0, MAXIMUM + 1), (u32::MAX, MAXIMUM)] {
        let made = Semaphore::create(&place.at("s"), &plan(value, maximum));
        assert!(matches!(made, Err(Error::BadValue { .. })), "{value} of {maximum}: {made:?}");
    }
    assert_eq!(place.entries(), [""; 0]);
    assert_eq!(make(&place.at("s"), MAXIMUM, MAXIMUM).value(), Ok(MAXIMUM));
}

#[test]
fn a_timeout_bounds_the_wait() {
    let place = Place::new("semaphore-timeout");
    let semaphore = make(&place.at("s"), 0, 1);
    let begun = Instant::now();
    assert_eq!(acquire_within(&semaphore, Duration::from_millis(120)), Err(Error::Busy));
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(120) && waited < Duration::from_secs(5), "{waited:?}");
}

#[test]
fn what_is_released_is_acquired_exactly_as_often() {
    let _one = one_at_a_time();
    let place = Place::new("semaphore-processes");
    let location = place.at("s");
    let semaphore = make(&location, 0, 7);
    const EACH: u32 = 10_000;
    let take = || (0..EACH).for_each(|_| acquire_within(&open(&location), PATIENCE).expect("a permit"));
    let mut takers = [Child::run(take), Child::run(take)];
    let mut given = 0;
    while given < 2 * EACH {
        match semaphore.release(1 + given % 3) {
            Ok(_) => given += 1 + given % 3,
            Err(Error::OverRelease { .. }) => std::hint::spin_loop(),
            Err(error) => panic!("{error}"),
        }
    }
    takers.iter_mut().for_each(|taker| assert_eq!(taker.end(), WELL));
    assert_eq!(semaphore.value(), Ok(given - 2 * EACH));
}

#[test]
fn permits_of_the_dead_stay_taken() {
    let _one = one_at_a_time();
    let place = Place::new("semaphore-dead");
    let location = place.at("s");
    let semaphore = make(&location, 2, 2);
    let mut owner = Child::run(|| {
        open(&location).try_acquire().expect("a permit");
        die();
    });
    assert_eq!(owner.end(), BY_SIGKILL);
    assert_eq!(semaphore.value(), Ok(1));
}

#[test]
fn all_waiters_get_theirs_although_some_are_killed() {
    let _one = one_at_a_time();
    let place = Place::new("semaphore-killed-waiters");
    let (location, board) = (place.at("s"), Board::new(8));
    let semaphore = make(&location, 0, 8);
    let mut waiters: Vec<Child> = (0..4)
        .map(|i| {
            Child::run({
                let (location, board) = (&location, &board);
                move || {
                    let semaphore = open(location);
                    board[i].store(1, SeqCst);
                    acquire_within(&semaphore, PATIENCE).expect("a permit");
                    board[i + 4].store(1, SeqCst);
                }
            })
        })
        .collect();
    for (i, waiter) in waiters.iter().enumerate() {
        wait_for("waiters to sleep", PATIENCE, || board[i].load(SeqCst) == 1 && waiter.state() == 'S');
    }
    for waiter in &mut waiters[..2] {
        waiter.stop(); // would be woken first, and is killed before it could act
    }
    semaphore.release(2).expect("room");
    waiters[..2].iter_mut().for_each(Child::kill);
    for waiter in &mut waiters[2..] {
        assert_eq!(waiter.wait(Duration::from_secs(2)), Some(WELL));
    }
    assert_eq!(semaphore.value(), Ok(0));
}

#[test]
fn who_waits_learns_that_the_name_is_gone() {
    let place = Place::new("semaphore-removed");
    let semaphore = make(&place.at("s"), 0, 1);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| acquire_within(&semaphore, PATIENCE));
        semaphore.unlink().expect("there");
        assert!(matches!(waiter.join().expect("no panic"), Err(Error::Removed { .. })));
    });
}

#[test]
fn opening_insists_on_the_maximum_and_leaves_the_count() {
    let place = Place::new("semaphore-open");
    let location = place.at("s");
    let (semaphore, made) =
        Semaphore::open_or_create(&location, &plan(3, 4), Some(4), None, Trust::OwnOnly).expect("made");
    assert!(made);
    semaphore.try_acquire().expect("a permit");
    let (again, made) = Semaphore::open_or_create(&location, &plan(4, 4), None, None, Trust::OwnOnly).expect("opened");
    assert_eq!((made, again.value(), again.maximum()), (false, Ok(2), 4));
    match Semaphore::open(&location, Some(5), None, Trust::OwnOnly) {
        Err(Error::Mismatch { what: "maximum", have, want, .. }) => {
            assert_eq!((have.as_str(), want.as_str()), ("4", "5"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_count_that_cannot_be_is_said() {
    let place = Place::new("semaphore-hostile");
    let location = place.at("s");
    let semaphore = make(&location, 1, 5);
    Raw::of(&location).write(KIND_AT, &6u32.to_le_bytes());
    let is_corrupted = |result: Result<(), Error>| matches!(result, Err(Error::Corrupted { .. }));
    assert!(is_corrupted(semaphore.try_acquire()));
    assert!(is_corrupted(acquire_within(&semaphore, PATIENCE)));
    assert!(is_corrupted(semaphore.release(1).map(|_| ())));
    assert!(is_corrupted(semaphore.value().map(|_| ())));
}

#[cfg(feature = "crash-points")]
#[test]
fn killed_at_any_point_it_has_happened_or_not_and_waiters_go_on() {
    use penstock_core::fault;
    let _one = one_at_a_time();
    let place = Place::new("semaphore-points");
    for n in 0.. {
        let (location, board) = (place.at(&format!("s{n}")), Board::new(3));
        let semaphore = make(&location, 1, 3);
        let mut waiter = Child::run(|| {
            let semaphore = open(&location);
            semaphore.try_acquire().expect("the only permit");
            board[0].store(1, SeqCst);
            acquire_within(&semaphore, Duration::from_secs(5)).expect("a permit");
        });
        wait_for("the waiter to sleep", PATIENCE, || board[0].load(SeqCst) == 1 && waiter.state() == 'S');
        let mut killed = Child::run(|| {
            let semaphore = open(&location);
            fault::arm(n);
            semaphore.release(1).expect("room");
            fault::arm(-1);
            board[1].store(1, SeqCst);
        });
        let ended = killed.end();
        if ended == BY_SIGKILL && semaphore.value() == Ok(0) && waiter.wait(Duration::from_millis(300)).is_none() {
            semaphore.release(1).expect("it had not happened");
        }
        assert_eq!(waiter.end(), WELL, "point {n}");
        assert_eq!(semaphore.value(), Ok(0), "point {n}");
        semaphore.unlink().expect("there");
        if ended == WELL {
            assert!(n >= 3, "the points were passed: {n}");
            return;
        }
        assert_eq!(ended, BY_SIGKILL, "point {n}");
    }
}

#[cfg(feature = "crash-points")]
#[test]
fn whoever_stood_still_before_taking_it_does_not_take_what_another_has() {
    use penstock_core::fault;
    let _one = one_at_a_time();
    let place = Place::new("semaphore-last");
    let semaphore = make(&place.at("s"), 1, 3);
    let mut late = Child::run(|| {
        fault::arm_to_stop(0);
        assert_eq!(semaphore.try_acquire(), Err(Error::Busy));
    });
    late.wait_until_stopped(PATIENCE);
    semaphore.try_acquire().expect("there is one, and it is not taken yet");
    late.go_on();
    assert_eq!(late.end(), WELL);
    assert_eq!(semaphore.value(), Ok(0));
}

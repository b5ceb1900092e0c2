//! The event: a flag to set and to wait for.
#![cfg(unix)] // forks its peers

mod common;

#[cfg(feature = "crash-points")]
use common::BY_SIGKILL;
use common::{Board, Child, Place, Raw, WELL, one_at_a_time, wait_for};
use penstock_core::layout::KIND_AT;
use penstock_core::segment::{Lifetime, Trust};
use penstock_core::{Deadline, Error, Event, Location};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn make(location: &Location, auto_reset: bool) -> Event {
    Event::create(location, auto_reset, Lifetime::UntilUnlinked).expect("created")
}

fn open(location: &Location) -> Event {
    Event::open(location, None, None, Trust::OwnOnly).expect("opened")
}

fn wait_within(event: &Event, time: Duration) -> Result<(), Error> {
    event.wait(Deadline::after(Some(time)), &mut || Ok(()))
}

/// Processes that wait for the event, each asleep by now.
fn sleepers(location: &Location, board: &Board, count: usize) -> Vec<Child> {
    let start = |i: usize| {
        Child::run(move || {
            let event = open(location);
            board[i].store(1, SeqCst);
            wait_within(&event, PATIENCE).expect("set");
        })
    };
    let children: Vec<Child> = (0..count).map(start).collect();
    for (i, child) in children.iter().enumerate() {
        wait_for("sleepers", PATIENCE, || board[i].load(SeqCst) == 1 && child.state() == 'S');
    }
    children
}

#[test]
fn one_reset_by_hand_stays_set_until_it_is_cleared() {
    let place = Place::new("event-manual");
    let event = make(&place.at("e"), false);
    assert!(!event.is_set() && !event.auto_reset());
    assert_eq!(event.try_wait(), Err(Error::Busy));
    event.set();
    for _ in 0..3 {
        assert_eq!((event.try_wait(), wait_within(&event, PATIENCE), event.is_set()), (Ok(()), Ok(()), true));
    }
    event.clear();
    event.clear();
    assert_eq!(wait_within(&event, Duration::ZERO), Err(Error::Busy));
}

#[test]
fn one_that_resets_itself_lets_one_go_on_for_each_set() {
    let place = Place::new("event-auto");
    let event = make(&place.at("e"), true);
    event.set();
    event.set();
    assert!(event.is_set());
    assert_eq!(event.try_wait(), Ok(()));
    assert!(!event.is_set(), "two sets before a wait are one");
    assert_eq!(wait_within(&event, Duration::ZERO), Err(Error::Busy));
    event.set();
    event.clear();
    assert_eq!(event.try_wait(), Err(Error::Busy));
}

#[test]
fn a_timeout_bounds_the_wait() {
    let place = Place::new("event-timeout");
    let event = make(&place.at("e"), false);
    let begun = Instant::now();
    assert_eq!(wait_within(&event, Duration::from_millis(120)), Err(Error::Busy));
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(120) && waited < Duration::from_secs(5), "{waited:?}");
}

#[test]
fn a_set_wakes_all_who_wait() {
    let _one = one_at_a_time();
    let place = Place::new("event-all");
    let (location, board) = (place.at("e"), Board::new(4));
    let event = make(&location, false);
    let mut children = sleepers(&location, &board, 4);
    event.set();
    children.iter_mut().for_each(|child| assert_eq!(child.end(), WELL));
}

#[test]
fn all_who_waited_at_a_set_go_on_although_it_was_cleared_at_once() {
    let _one = one_at_a_time();
    let place = Place::new("event-pulse");
    let (location, board) = (place.at("e"), Board::new(4));
    let event = make(&location, false);
    let mut children = sleepers(&location, &board, 4);
    for child in &children {
        child.stop();
    }
    event.set();
    event.clear();
    for child in &children {
        child.go_on();
    }
    children.iter_mut().for_each(|child| assert_eq!(child.end(), WELL));
    assert_eq!(wait_within(&event, Duration::ZERO), Err(Error::Busy), "who comes later waits");
}

#[test]
fn a_set_of_one_that_resets_itself_wakes_one() {
    let _one = one_at_a_time();
    let place = Place::new("event-one");
    let (location, board) = (place.at("e"), Board::new(3));
    let event = make(&location, true);
    let mut children = sleepers(&location, &board, 3);
    for left in (0..3).rev() {
        event.set();
        let gone = |child: &mut Child| child.wait(Duration::ZERO) == Some(WELL);
        wait_for("one to go on", PATIENCE, || {
            children.iter_mut().filter_map(|c| gone(c).then_some(())).count() == 3 - left
        });
        assert!(!event.is_set());
    }
}

#[test]
fn who_waits_learns_that_the_name_is_gone() {
    let place = Place::new("event-removed");
    let event = make(&place.at("e"), false);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait_within(&event, PATIENCE));
        event.unlink().expect("there");
        assert!(matches!(waiter.join().expect("no panic"), Err(Error::Removed { .. })));
    });
}

#[test]
fn opening_insists_on_what_was_asked_for() {
    let place = Place::new("event-open");
    let location = place.at("e");
    let (_event, made) = Event::open_or_create(&location, Some(true), None, Trust::OwnOnly).expect("made");
    assert!(made);
    let (again, made) = Event::open_or_create(&location, None, None, Trust::OwnOnly).expect("opened");
    assert_eq!((made, again.auto_reset()), (false, true));
    match Event::open(&location, Some(false), None, Trust::OwnOnly) {
        Err(Error::Mismatch { what: "auto_reset", have, want, .. }) => {
            assert_eq!((have.as_str(), want.as_str()), ("true", "false"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn whatever_its_words_are_no_call_hangs() {
    let place = Place::new("event-hostile");
    let location = place.at("e");
    let raw = Raw::of(&{
        make(&location, true);
        location.clone()
    });
    let event = open(&location);
    let mut dice = common::Dice::new(11);
    for _ in 0..1_000 {
        raw.write(KIND_AT, &dice.roll().to_le_bytes());
        let was_set = event.is_set();
        assert_eq!(wait_within(&event, Duration::ZERO).is_ok(), was_set);
        event.set();
        assert_eq!(event.try_wait(), Ok(()));
    }
}

#[cfg(feature = "crash-points")]
#[test]
fn killed_while_setting_it_is_set_or_not_and_waiters_go_on() {
    use penstock_core::fault;
    let _one = one_at_a_time();
    let place = Place::new("event-points");
    for n in 0.. {
        let (location, board) = (place.at(&format!("e{n}")), Board::new(1));
        let event = make(&location, false);
        let mut children = sleepers(&location, &board, 1);
        let mut setter = Child::run(|| {
            let event = open(&location);
            fault::arm(n);
            event.set();
            fault::arm(-1);
        });
        let ended = setter.end();
        if !event.is_set() {
            assert_eq!(ended, BY_SIGKILL, "point {n}");
            event.set();
        }
        assert_eq!(children[0].wait(Duration::from_secs(2)), Some(WELL), "point {n}");
        if ended == WELL {
            assert!(n >= 3, "the points were passed: {n}");
            return;
        }
    }
}

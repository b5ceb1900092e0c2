//! The mutex: who holds it, and what its owner's death leaves to the next.
#![cfg(unix)] // forks its peers

mod common;

use common::{BY_SIGKILL, Board, Child, Place, Raw, WELL, die, one_at_a_time, wait_for};
use penstock_core::layout::KIND_AT;
use penstock_core::segment::{Lifetime, Trust};
use penstock_core::{Deadline, Error, Event, Location, Mutex};
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn make(location: &Location) -> Mutex {
    Mutex::create(location, Lifetime::UntilUnlinked).expect("created")
}

fn open(location: &Location) -> Mutex {
    Mutex::open(location, None, Trust::OwnOnly).expect("opened")
}

fn take_within(mutex: &Mutex, time: Duration) -> Result<bool, Error> {
    mutex.take(Deadline::after(Some(time)), &mut || Ok(()))
}

fn take(mutex: &Mutex) -> Result<bool, Error> {
    take_within(mutex, PATIENCE)
}

/// What another thread of this process gets without waiting.
fn elsewhere(mutex: &Mutex) -> Result<bool, Error> {
    let at_once = || {
        let taken = take_within(mutex, Duration::ZERO);
        if taken.is_ok() {
            mutex.release().expect("just taken");
        }
        taken
    };
    std::thread::scope(|scope| scope.spawn(at_once).join().expect("no panic"))
}

#[test]
fn it_is_given_back_as_often_as_it_was_taken() {
    let place = Place::new("mutex-recursive");
    let mutex = make(&place.at("m"));
    assert_eq!((mutex.is_owned(), mutex.depth(), mutex.is_locked()), (false, 0, Ok(false)));
    for depth in 1..=3 {
        assert_eq!(take(&mutex), Ok(false));
        assert_eq!((mutex.is_owned(), mutex.depth(), mutex.is_locked()), (true, depth, Ok(true)));
    }
    assert_eq!(mutex.owner_pid(), Ok(Some(std::process::id())));
    for _ in 0..3 {
        assert_eq!(elsewhere(&mutex), Err(Error::Busy));
        mutex.release().expect("ours");
    }
    assert_eq!(elsewhere(&mutex), Ok(false));
    assert!(matches!(mutex.release(), Err(Error::NotOwner { .. })));
    assert_eq!((mutex.depth(), mutex.owner_pid()), (0, Ok(None)));
}

#[test]
fn another_thread_can_neither_take_nor_release_it() {
    let place = Place::new("mutex-threads");
    let mutex = make(&place.at("m"));
    take(&mutex).expect("free");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert!(!mutex.is_owned());
            assert_eq!(mutex.depth(), 0);
            assert!(matches!(mutex.release(), Err(Error::NotOwner { .. })));
            assert_eq!(mutex.try_take(), Err(Error::Busy));
        });
    });
    assert_eq!(mutex.depth(), 1);
}

#[test]
fn a_timeout_bounds_the_wait() {
    let place = Place::new("mutex-timeout");
    let mutex = make(&place.at("m"));
    take(&mutex).expect("free");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            assert_eq!(take_within(&mutex, Duration::from_millis(120)), Err(Error::Busy));
            let waited = begun.elapsed();
            assert!(waited >= Duration::from_millis(120) && waited < Duration::from_secs(5), "{waited:?}");
        });
    });
}

#[test]
fn what_it_protects_is_seen_whole_by_every_thread() {
    let place = Place::new("mutex-exclusion");
    let mutex = make(&place.at("m"));
    let board = Board::new(2);
    const EACH: u64 = 20_000;
    let work = || {
        for _ in 0..EACH {
            take(&mutex).expect("taken");
            let (a, b) = (board[0].load(SeqCst), board[1].load(SeqCst));
            assert_eq!(a, b);
            board[0].store(a + 1, SeqCst);
            board[1].store(b + 1, SeqCst);
            mutex.release().expect("ours");
        }
    };
    std::thread::scope(|scope| (0..3).for_each(|_| drop(scope.spawn(work))));
    assert_eq!(board[0].load(SeqCst), 3 * EACH);
}

#[test]
fn processes_exclude_each_other() {
    let _one = one_at_a_time();
    let place = Place::new("mutex-processes");
    let (location, board) = (place.at("m"), Board::new(2));
    let mutex = make(&location);
    const EACH: u64 = 20_000;
    let work = |mutex: &Mutex| {
        for _ in 0..EACH {
            take(mutex).expect("taken");
            let (a, b) = (board[0].load(SeqCst), board[1].load(SeqCst));
            assert_eq!(a, b);
            board[0].store(a + 1, SeqCst);
            board[1].store(b + 1, SeqCst);
            mutex.release().expect("ours");
        }
    };
    let mut children = [Child::run(|| work(&open(&location))), Child::run(|| work(&mutex))];
    work(&mutex);
    children.iter_mut().for_each(|child| assert_eq!(child.end(), WELL));
    assert_eq!(board[0].load(SeqCst), 3 * EACH);
}

#[test]
fn a_dead_owner_is_told_once_to_the_next() {
    let _one = one_at_a_time();
    let place = Place::new("mutex-dead");
    let location = place.at("m");
    let mutex = make(&location);
    let mut owner = Child::run(|| {
        let mutex = open(&location);
        take(&mutex).expect("free");
        take(&mutex).expect("ours");
        die();
    });
    assert_eq!(owner.end(), BY_SIGKILL);
    assert_eq!(mutex.is_locked(), Ok(false));
    assert_eq!(take(&mutex), Ok(true));
    assert_eq!((mutex.is_abandoned(), mutex.depth()), (true, 1));
    assert_eq!(take(&mutex), Ok(false), "taking it again is no news");
    assert!(mutex.is_abandoned());
    mutex.release().expect("ours");
    assert!(mutex.is_abandoned());
    mutex.release().expect("ours");
    assert_eq!(take(&mutex), Ok(false));
    assert!(!mutex.is_abandoned());
}

#[test]
fn an_heir_that_dies_leaves_the_news_to_the_next() {
    let _one = one_at_a_time();
    let place = Place::new("mutex-heirs");
    let location = place.at("m");
    let mutex = make(&location);
    for first in [false, true, true] {
        let mut heir = Child::run(|| {
            assert_eq!(take(&open(&location)), Ok(first));
            die();
        });
        assert_eq!(heir.end(), BY_SIGKILL);
    }
    assert_eq!(take(&mutex), Ok(true));
    mutex.release().expect("ours");
    assert_eq!(take(&mutex), Ok(false));
}

#[test]
fn a_waiter_gets_it_when_its_owner_is_killed() {
    let _one = one_at_a_time();
    let place = Place::new("mutex-waiter");
    let (location, board) = (place.at("m"), Board::new(2));
    let mutex = make(&location);
    let mut owner = Child::run(|| {
        take(&open(&location)).expect("free");
        board[0].store(1, SeqCst);
        loop {
            std::thread::park();
        }
    });
    wait_for("the owner", PATIENCE, || board[0].load(SeqCst) == 1);
    let mut waiter = Child::run(|| {
        let mutex = open(&location);
        board[1].store(1, SeqCst);
        assert_eq!(take(&mutex), Ok(true));
        mutex.release().expect("ours");
    });
    wait_for("the waiter to sleep", PATIENCE, || board[1].load(SeqCst) == 1 && waiter.state() == 'S');
    assert_eq!(mutex.owner_pid(), Ok(u32::try_from(owner.pid).ok()));
    let killed = Instant::now();
    owner.kill();
    assert_eq!(waiter.end(), WELL);
    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
    assert_eq!(take(&mutex), Ok(false));
}

#[test]
fn a_forked_child_holds_nothing_of_its_parents() {
    let _one = one_at_a_time();
    let place = Place::new("mutex-fork");
    let mutex = make(&place.at("m"));
    take(&mutex).expect("free");
    let mut child = Child::run(|| {
        assert!(!mutex.is_owned() && !mutex.is_abandoned());
        assert!(matches!(mutex.release(), Err(Error::NotOwner { .. })));
        assert_eq!(take_within(&mutex, Duration::ZERO), Err(Error::Busy));
        assert_eq!(mutex.is_locked(), Ok(true));
    });
    assert_eq!(child.end(), WELL);
    mutex.release().expect("ours");
    let mut child = Child::run(|| {
        assert_eq!(take(&mutex), Ok(false));
        mutex.release().expect("the child's");
    });
    assert_eq!(child.end(), WELL);
    assert_eq!(take(&mutex), Ok(false));
}

#[test]
fn a_child_inherits_from_its_dead_parent() {
    let _one = one_at_a_time();
    let place = Place::new("mutex-orphan");
    let (location, board) = (place.at("m"), Board::new(1));
    let mutex = make(&location);
    let mut parent = Child::run(|| {
        take(&mutex).expect("free");
        let child = Child::run_on(|| {
            let taken = take(&mutex);
            board[0].store(1 + u64::from(taken == Ok(true)), SeqCst);
        });
        std::mem::forget(child);
        die();
    });
    assert_eq!(parent.end(), BY_SIGKILL);
    wait_for("the orphan", PATIENCE, || board[0].load(SeqCst) != 0);
    assert_eq!(board[0].load(SeqCst), 2);
}

#[test]
fn what_a_dead_owner_left_in_its_words_makes_nobody_the_owner() {
    let _one = one_at_a_time();
    let place = Place::new("mutex-stale");
    let location = place.at("m");
    let mutex = make(&location);
    let mut owner = Child::run(|| {
        take(&open(&location)).expect("free");
        die();
    });
    assert_eq!(owner.end(), BY_SIGKILL);
    let raw = Raw::of(&location);
    let dead = raw.u32(KIND_AT + 8);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(take(&mutex), Ok(true));
            // As if this thread had taken the lock and not yet written its name, and the dead one's thread had had
            // the number that the other thread here has now.
            raw.write(KIND_AT + 8, &dead.to_le_bytes());
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    raw.write(KIND_AT + 12, &penstock_core::sys::thread_id().to_le_bytes());
                    assert!(!mutex.is_owned());
                    assert!(matches!(mutex.release(), Err(Error::NotOwner { .. })));
                });
            });
        });
    });
}

#[test]
fn a_thread_that_ends_leaves_it_held() {
    let place = Place::new("mutex-thread-gone");
    let mutex = make(&place.at("m"));
    std::thread::scope(|scope| drop(scope.spawn(|| take(&mutex).expect("free"))));
    assert_eq!(take_within(&mutex, Duration::from_millis(60)), Err(Error::Busy));
    assert_eq!(mutex.is_locked(), Ok(true));
}

#[test]
fn closing_the_last_handle_passes_it_on_as_abandoned() {
    let _one = one_at_a_time();
    let place = Place::new("mutex-close");
    let (location, board) = (place.at("m"), Board::new(2));
    let mutex = make(&location);
    let mut owner = Child::run(|| {
        mutex.close(); // inherited: not the child's to count
        let mine = open(&location);
        take(&mine).expect("free");
        drop(mine);
        board[0].store(1, SeqCst);
        wait_for("the other", PATIENCE, || board[1].load(SeqCst) == 1);
    });
    wait_for("the owner", PATIENCE, || board[0].load(SeqCst) == 1);
    assert_eq!(take(&mutex), Ok(true));
    board[1].store(1, SeqCst);
    assert_eq!(owner.end(), WELL);
}

#[test]
fn who_waits_learns_that_the_name_is_gone() {
    let place = Place::new("mutex-removed");
    let mutex = make(&place.at("m"));
    take(&mutex).expect("free");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| take(&mutex));
        mutex.unlink().expect("there");
        assert!(matches!(waiter.join().expect("no panic"), Err(Error::Removed { .. })));
    });
    take(&mutex).expect("who need not wait goes on");
    assert!(matches!(mutex.unlink(), Err(Error::NotFound { .. })));
}

#[test]
fn a_tick_ends_the_wait() {
    let place = Place::new("mutex-tick");
    let mutex = make(&place.at("m"));
    take(&mutex).expect("free");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| mutex.take(Deadline::Never, &mut || Err(Error::Interrupted)));
        assert_eq!(waiter.join().expect("no panic"), Err(Error::Interrupted));
    });
}

#[test]
fn opening_insists_on_what_was_asked_for() {
    let place = Place::new("mutex-open");
    let location = place.at("m");
    let missing = Mutex::open(&location, None, Trust::OwnOnly);
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    let (mutex, made) = Mutex::open_or_create(&location, None, Trust::OwnOnly).expect("made");
    assert!(made);
    let (again, made) = Mutex::open_or_create(&location, None, Trust::OwnOnly).expect("opened");
    assert!(!made);
    assert!(matches!(Mutex::create(&location, Lifetime::WhileOpen), Err(Error::Exists { .. })));
    match Mutex::open(&location, Some(Lifetime::WhileOpen), Trust::OwnOnly) {
        Err(Error::Mismatch { what: "lifetime", have, want, .. }) => {
            assert_eq!((have.as_str(), want.as_str()), ("until_unlinked", "while_open"));
        }
        other => panic!("{other:?}"),
    }
    match Event::open(&location, None, None, Trust::OwnOnly) {
        Err(Error::Mismatch { what: "kind", have, want, .. }) => {
            assert_eq!((have.as_str(), want.as_str()), ("mutex", "event"));
        }
        other => panic!("{other:?}"),
    }
    take(&mutex).expect("free");
    assert!(again.is_owned(), "two handles of one name are one mutex");
}

#[test]
fn who_died_in_it_is_forgotten_at_the_next_opening() {
    let _one = one_at_a_time();
    let place = Place::new("mutex-forgotten");
    let location = place.at("m");
    let mutex = make(&location);
    for _ in 0..3 {
        let mut child = Child::run(|| assert_eq!(mutex.depth(), 0)); // registers, and leaves without a word
        assert_eq!(child.end(), WELL);
    }
    let here = |mutex: &Mutex| mutex.segment().table().expect("attached").list().len();
    assert_eq!(here(&mutex), 4);
    let _another = open(&location);
    assert_eq!(here(&mutex), 1);
}

#[test]
fn whatever_its_words_are_no_call_hangs_or_crashes() {
    let place = Place::new("mutex-hostile");
    let location = place.at("m");
    let mutex = make(&location);
    let raw = Raw::of(&location);
    let mut dice = common::Dice::new(7);
    for round in 0..2_000 {
        let words: Vec<u8> = (0..6)
            .flat_map(|_| match dice.below(4) {
                0 => 0u32.to_le_bytes(),
                1 => u32::MAX.to_le_bytes(),
                2 => u32::try_from(dice.below(2048)).expect("small").to_le_bytes(),
                _ => u32::try_from(dice.below(1 << 32)).expect("masked").to_le_bytes(),
            })
            .collect();
        raw.write(KIND_AT, &words);
        let _ = (mutex.is_owned(), mutex.is_abandoned(), mutex.depth(), mutex.is_locked(), mutex.owner_pid());
        let taken = take_within(&mutex, Duration::ZERO);
        assert!(matches!(taken, Ok(_) | Err(Error::Busy | Error::Corrupted { .. })), "round {round}: {taken:?}");
        let _ = mutex.release();
    }
}

#[cfg(feature = "crash-points")]
mod killed_at_every_point {
    use super::*;
    use common::objects::{check_mutex, cycle_mutex};
    use penstock_core::fault;

    fn sweep(test: &str, is_orphaned: bool) {
        let _one = one_at_a_time();
        let place = Place::new(test);
        for n in 0.. {
            let (location, board) = (place.at(&format!("m{n}")), Board::new(3));
            let mutex = make(&location);
            if is_orphaned {
                let mut owner = Child::run(|| {
                    take(&open(&location)).expect("free");
                    die();
                });
                assert_eq!(owner.end(), BY_SIGKILL);
            }
            let ended = Child::run(|| {
                let mutex = open(&location);
                fault::arm(n);
                cycle_mutex(&mutex, &board);
                fault::arm(-1);
            })
            .end();
            let attempt = std::panic::AssertUnwindSafe(|| check_mutex(&mutex, &board, is_orphaned));
            assert!(std::panic::catch_unwind(attempt).is_ok(), "point {n}");
            mutex.unlink().expect("there");
            if ended == WELL {
                assert!(n > 10, "the points were passed: {n}");
                return;
            }
            assert_eq!(ended, BY_SIGKILL, "point {n}");
        }
    }

    #[test]
    fn the_next_has_it_and_knows() {
        sweep("mutex-points", false);
    }

    #[test]
    fn the_heir_of_the_dead_is_told_until_one_has_lived_to_release() {
        sweep("mutex-points-orphaned", true);
    }
}

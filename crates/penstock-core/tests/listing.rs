//! A directory seen as a whole: entries, leftovers, and what is none of ours.
#![cfg(unix)] // forks its peers

mod common;

use common::{BY_SIGKILL, Board, Child, Place, Raw, die, one_at_a_time, plan, put, wait_for};
use penstock_core::layout::{CONTROL_AT, KIND_AT, Kind, QueueControl};
use penstock_core::listing::{Listing, inspect, listing, remove, remove_stale};
use penstock_core::queue::Plan;
use penstock_core::segment::Lifetime;
use penstock_core::stats::QueueStats;
use penstock_core::{Error, Event, Location, Mapping, Mutex, Queue, doctor};
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, SystemTime};

const PATIENCE: Duration = Duration::from_secs(20);

fn names(entries: &[Listing]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

fn list(place: &Place) -> Vec<Listing> {
    listing(place.path()).expect("readable")
}

#[test]
fn every_kind_is_listed_with_what_can_be_read() {
    let place = Place::new("listing-kinds");
    let queue = Queue::create(&place.at("queue"), &plan(3, 4, 4)).expect("created");
    put(&queue, &[0; 4]).expect("room");
    put(&queue, &[0; 4]).expect("room");
    let _mutex = Mutex::create(&place.at("mutex"), Lifetime::WhileOpen).expect("created");
    Mapping::create(&place.at("mapping"), 5, Lifetime::UntilUnlinked).expect("created").close();
    let entries = list(&place);
    assert_eq!(names(&entries), ["mapping", "mutex", "queue"]);
    let known: Vec<_> = entries.iter().map(|entry| entry.known.as_ref().expect("readable")).collect();
    assert_eq!([known[0].kind, known[1].kind, known[2].kind], [Kind::Mapping, Kind::Mutex, Kind::Queue]);
    assert_eq!((known[2].depth, known[2].capacity, known[2].item.as_deref()), (Some(2), Some(3), Some("bytes")));
    assert_eq!((known[1].depth, known[1].capacity, known[1].lifetime), (None, None, Lifetime::WhileOpen));
    let me = std::process::id();
    assert_eq!([&known[0].attached, &known[1].attached, &known[2].attached], [&vec![], &vec![me], &vec![me]]);
    assert!(entries.iter().all(|entry| !entry.is_leftover && entry.problem.is_none()));
    assert_eq!(listing(&place.path().join("missing")), Ok(vec![]));
}

#[test]
fn whatever_lies_there_becomes_an_entry_with_its_problem_and_is_not_removed() {
    let place = Place::new("listing-foreign");
    let at = |name: &str| place.path().join(name);
    std::fs::create_dir(at("directory")).expect("made");
    std::fs::write(at("empty"), b"").expect("written");
    std::fs::write(at("other"), vec![b'x'; 100_000]).expect("written");
    std::os::unix::fs::symlink(at("other"), at("link")).expect("linked");
    std::os::unix::fs::symlink(at("nowhere"), at("loose")).expect("linked");
    let fifo = std::ffi::CString::new(at("fifo").as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    let entries = list(&place);
    assert_eq!(names(&entries), ["directory", "empty", "fifo", "link", "loose", "other"]);
    for entry in &entries {
        assert!(entry.problem.is_some() && entry.known.is_none() && !entry.is_leftover, "{entry:?}");
        let refused = remove(&place.at(&entry.name));
        assert!(matches!(refused, Err(Error::Foreign { .. })), "{}: {refused:?}", entry.name);
    }
    assert_eq!(remove_stale(place.path()), Ok(vec![]));
    assert_eq!(list(&place).len(), 6);
}

#[test]
fn a_damaged_segment_says_so_and_can_be_removed() {
    let place = Place::new("listing-damaged");
    for (name, damage) in [
        ("cut", (|at: &Location| file(at).set_len(9_000).expect("cut")) as fn(&Location)),
        ("cut-short", |at| file(at).set_len(20).expect("cut")),
        ("flipped", |at| Raw::of(at).write(100, &[0xFF])),
        ("counts", |at| Raw::of(at).write(KIND_AT + offset_of!(QueueControl, ready), &[0x77; 8])),
        ("newer", |at| Raw::of(at).write(8, &99u32.to_le_bytes())),
    ] {
        let location = place.at(name);
        Queue::create(&location, &plan(3, 4, 4)).expect("created").close();
        damage(&location);
        let entry = inspect(&location).expect("there");
        assert!(entry.problem.is_some(), "{entry:?}");
        assert!(!entry.is_leftover);
        assert_eq!(remove(&location), Ok(()), "{name}");
        assert!(matches!(inspect(&location), Err(Error::NotFound { .. })));
        assert!(matches!(remove(&location), Err(Error::NotFound { .. })));
    }
}

fn file(location: &Location) -> std::fs::File {
    std::fs::OpenOptions::new().write(true).open(&location.path).expect("there")
}

#[test]
fn what_a_dead_process_left_is_removed_and_what_the_living_use_is_not() {
    let _one = one_at_a_time();
    let place = Place::new("listing-leftover");
    let board = Board::new(1);
    let mut owner = Child::run(|| {
        let _queue = Queue::create(&place.at("left"), &Plan { lifetime: Lifetime::WhileOpen, ..plan(1, 1, 1) });
        let _event = Event::create(&place.at("kept"), false, Lifetime::UntilUnlinked);
        board[0].store(1, SeqCst);
        loop {
            std::thread::park();
        }
    });
    wait_for("the owner", PATIENCE, || board[0].load(SeqCst) == 1);
    assert!(list(&place).iter().all(|entry| !entry.is_leftover));
    assert_eq!(remove_stale(place.path()), Ok(vec![]));
    owner.kill();
    let entries = list(&place);
    assert_eq!(names(&entries), ["kept", "left"]);
    assert_eq!([entries[0].is_leftover, entries[1].is_leftover], [false, true]);
    assert!(entries.iter().all(|entry| entry.known.as_ref().is_some_and(|known| known.dead == 1)));
    assert_eq!(remove_stale(place.path()), Ok(vec!["left".to_owned()]));
    assert_eq!(place.entries(), ["kept"]);
}

#[test]
fn what_nobody_has_registered_in_yet_is_left_alone_while_it_is_young() {
    let _one = one_at_a_time();
    let place = Place::new("listing-young");
    let location = place.at("young");
    let mut owner = Child::run(|| {
        let _mutex = Mutex::create(&location, Lifetime::WhileOpen);
        die();
    });
    assert_eq!(owner.end(), BY_SIGKILL);
    Raw::of(&location).write(CONTROL_AT + 4, &[0; 4]); // the count of registrations
    assert!(!inspect(&location).expect("there").is_leftover);
    assert_eq!(remove_stale(place.path()), Ok(vec![]));
    make_old(&location);
    assert_eq!(remove_stale(place.path()), Ok(vec!["young".to_owned()]));
}

fn make_old(location: &Location) {
    let long_ago = SystemTime::now() - Duration::from_secs(3_600);
    file(location).set_modified(long_ago).expect("set");
}

#[test]
fn an_unfinished_file_goes_when_it_is_old_and_nobody_builds_it() {
    let _one = one_at_a_time();
    let place = Place::new("listing-unfinished");
    let at = |name: &str| Location::hidden(place.path(), name);
    let [young, old, built] = [".unfinished-1-1-1", ".unfinished-2-2-2", ".unfinished-3-3-3"].map(at);
    for location in [&young, &old, &built] {
        std::fs::write(&location.path, b"").expect("written");
    }
    make_old(&old);
    make_old(&built);
    let board = Board::new(1);
    let mut builder = Child::run(|| {
        let file = file(&built);
        // SAFETY: all-zero bytes are a valid `flock`.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        (lock.l_type, lock.l_start, lock.l_len) = (libc::F_WRLCK as libc::c_short, 1 << 40, 1);
        // SAFETY: a valid lock.
        assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) }, 0);
        board[0].store(1, SeqCst);
        loop {
            std::thread::park();
        }
    });
    wait_for("the builder", PATIENCE, || board[0].load(SeqCst) == 1);
    let entries = list(&place);
    assert_eq!(names(&entries), [".unfinished-2-2-2"], "what is being built is no entry");
    assert!(entries[0].is_leftover);
    assert_eq!(remove_stale(place.path()), Ok(vec![old.name.clone()]));
    builder.kill();
    assert_eq!(remove_stale(place.path()), Ok(vec![built.name.clone()]));
    assert_eq!(place.entries(), [young.name.as_str()]);
}

#[test]
fn stats_tell_what_the_slots_hold() {
    let place = Place::new("stats");
    let queue = Queue::create(&place.at("q"), &Plan { max_deliveries: 1, dead_letters: 2, ..plan(5, 0, 5000) });
    let queue = queue.expect("created");
    for _ in 0..4 {
        put(&queue, b"item").expect("room");
    }
    let lease = queue.try_lease().expect("an item");
    common::patiently(|wait| queue.give_back(&lease, wait)).expect("given back");
    let _leased = queue.try_lease().expect("the next"); // the first is a dead letter now
    let room = queue.try_reserve(3000).expect("room");
    let stats = QueueStats::of(&queue).expect("stats");
    assert_eq!((stats.waiting, stats.leased, stats.writing, stats.dead_letters, stats.free), (2, 1, 1, 1, 1));
    assert_eq!((stats.put_total, stats.settled_total, stats.capacity), (4, 0, 5));
    assert_eq!((stats.put_lock_holder, stats.get_lock_holder, stats.is_shut_down), (None, None, false));
    assert!(stats.oldest_lease_seconds.is_some_and(|age| (0.0..60.0).contains(&age)));
    assert_eq!(stats.common.participants.len(), 1);
    assert!(stats.common.participants[0].is_self && stats.common.bytes_committed <= stats.common.bytes_reserved);
    queue.cancel_or_abandon(&room);
}

#[test]
fn the_doctor_sees_a_directory_that_is_not_there_yet() {
    let place = Place::new("doctor");
    let facts = doctor::examine(&place.path().join("a").join("b")).expect("facts");
    assert_eq!(facts.file_system, "tmpfs");
    assert!(facts.free_bytes <= facts.total_bytes && facts.cpu_count > 0 && !facts.kernel.is_empty());
    assert!(facts.features.ofd_locks && facts.features.futex && facts.features.wipe_on_fork);
    assert_eq!(place.entries(), [""; 0]);
}

//! File systems that are full, small, or keep signs of life in another way. Needs root, to mount them: where that is
//! missing each test says so and passes.
#![cfg(unix)] // forks its peers

mod common;

use common::{
    BY_SIGKILL, Board, Child, Place, Raw, WELL, at_once, die, get, get_waiting, is_root, one_at_a_time, plan, put,
};
use common::{tell, wait_for, within};
use penstock_core::layout::{Entry, PAGE, TABLE_AT};
use penstock_core::queue::Expectation;
use penstock_core::segment::{Glimpse, Trust};
use penstock_core::{Error, Location, Queue, listing};
use std::ffi::CString;
use std::io::Write;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const NO_MOUNTS: i32 = 77;

/// Runs `act` in a process that may mount what it likes, for itself alone. Its mounts go with it.
fn with_own_mounts(what: &str, act: impl FnOnce()) {
    let _one = one_at_a_time();
    if !is_root() {
        return tell(&format!("{what}: left out, because only root can mount a file system"));
    }
    let mut child = Child::run(|| {
        // SAFETY: C strings only, and no memory that is written.
        let is_alone = unsafe {
            libc::unshare(libc::CLONE_NEWNS) == 0
                && libc::mount(
                    c"none".as_ptr(),
                    c"/".as_ptr(),
                    std::ptr::null(),
                    libc::MS_REC | libc::MS_PRIVATE,
                    std::ptr::null(),
                ) == 0
        };
        if !is_alone {
            // SAFETY: ends the process.
            unsafe { libc::_exit(NO_MOUNTS) };
        }
        act();
    });
    match child.wait(Duration::from_secs(60)) {
        Some(common::Ended::Exited(NO_MOUNTS)) => {
            tell(&format!("{what}: left out, because this system lets nobody mount a file system"));
        }
        ended => assert_eq!(ended, Some(WELL), "{what}"),
    }
}

fn mount(kind: &str, at: &Path, options: &str) -> bool {
    let text = |text: &str| CString::new(text).expect("no NUL");
    let (kind, at, options) = (text(kind), text(at.to_str().expect("text")), text(options));
    // SAFETY: C strings only.
    unsafe { libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) == 0 }
}

/// A directory on a tmpfs of its own.
fn small_tmpfs(place: &Place, name: &str, bytes: usize) -> PathBuf {
    let path = place.path().join(name);
    std::fs::create_dir(&path).expect("made");
    assert!(mount("tmpfs", &path, &format!("size={bytes},mode=700")), "a tmpfs");
    path
}

fn at(directory: &Path, name: &str) -> Location {
    Location::named(directory, name).expect("a good name")
}

fn open(location: &Location) -> Result<Queue, Error> {
    Queue::open(location, &Expectation::default(), Trust::OwnOnly)
}

fn entries(directory: &Path) -> Vec<String> {
    let read = std::fs::read_dir(directory).expect("a directory");
    read.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

/// Takes all room that there is. Returns the file that has it.
fn fill_up(directory: &Path) -> PathBuf {
    let path = directory.join("filler");
    let mut file = std::fs::File::create(&path).expect("made");
    let block = vec![1; PAGE];
    while file.write_all(&block).is_ok() {}
    path
}

fn is_no_space<T: std::fmt::Debug>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::NoSpace { .. }))
}

#[test]
fn a_queue_that_does_not_fit_is_not_made() {
    with_own_mounts("tiny file systems", || {
        let place = Place::new("tiny");
        let mut made = 0;
        for pages in [1, 2, 4, 8, 9, 10, 11, 12, 13, 16, 20] {
            let directory = small_tmpfs(&place, &format!("t{pages}"), pages * PAGE);
            let created = Queue::create(&at(&directory, "q"), &plan(10, 4, 4));
            match &created {
                Ok(queue) => {
                    made += 1;
                    (0..10u32).for_each(|i| put(queue, &i.to_le_bytes()).expect("room"));
                    let _ = fill_up(&directory);
                    (0..10u32).for_each(|i| assert_eq!(get(queue), Ok(i.to_le_bytes().to_vec())));
                }
                Err(_) => {
                    assert!(is_no_space(&created), "{pages} pages: {created:?}");
                    assert!(entries(&directory).is_empty(), "{pages} pages");
                }
            }
        }
        assert!((1..11).contains(&made), "{made} of 11 fitted");
        let directory = small_tmpfs(&place, "large", 64 << 20);
        for (capacity, bytes) in [(10_000_000, 8), (1 << 26, 100)] {
            let created = Queue::create(&at(&directory, "q"), &plan(capacity, bytes, bytes));
            assert!(is_no_space(&created), "{created:?}");
            assert!(entries(&directory).is_empty());
        }
        let room = penstock_core::sys::Directory(directory).room().expect("told");
        assert!(room.1 >= room.2 - (1 << 20), "nothing is kept of what was not made: {room:?}");
        unmount_all(&place);
    });
}

/// The place's directory is to be empty when it goes.
fn unmount_all(place: &Place) {
    for entry in place.entries() {
        let path = CString::new(place.path().join(entry).to_str().expect("text")).expect("no NUL");
        // SAFETY: a C string.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

#[test]
fn a_large_item_for_which_there_is_no_room_is_refused_and_nothing_changes() {
    with_own_mounts("a full file system of 64 MB", || {
        let place = Place::new("full");
        let directory = small_tmpfs(&place, "t", 64 << 20);
        const LARGE: usize = 1 << 20;
        let location = at(&directory, "q");
        let queue = Queue::create(&location, &plan(1000, 0, LARGE as u64)).expect("address space is free");
        let item = |id: usize, len: usize| vec![u8::try_from(id % 251).expect("small"); len];
        let mut count = 0;
        let refused = loop {
            match put(&queue, &item(count, LARGE)) {
                Ok(()) => count += 1,
                refused => break refused,
            }
        };
        assert!(is_no_space(&refused), "{refused:?}");
        assert!((50..64).contains(&count), "{count} items of a megabyte in 64");
        let message = refused.expect_err("refused").to_string();
        assert!(message.contains("shm-size"), "{message}");
        // Again and again, in every way; the slots do not run out.
        for round in 0..300 {
            let refused = put(&queue, &item(round, LARGE));
            assert!(is_no_space(&refused), "round {round}: {refused:?}");
        }
        assert_eq!(queue.try_put(&[&item(0, LARGE)]), Err(Error::Busy), "whoever may wait learns why");
        assert!(is_no_space(&at_once(|wait| queue.reserve(LARGE, wait))));
        assert_eq!(queue.len(), count as u64);
        // Not a byte is left; small items need none, and what was put can be read, by newcomers too.
        let filler = fill_up(&directory);
        put(&queue, &item(7, 90)).expect("a small item needs no room");
        let mut newcomer = Child::run(|| {
            // Inherited maps know what is committed; this one is opened anew.
            let queue = open(&location).expect("opened");
            assert_eq!(at_once(|wait| queue.peek(3, wait)).expect("a look").len(), 3);
            assert_eq!(get(&queue), Ok(item(0, LARGE)));
            put(&queue, &item(8, LARGE)).expect("the slot that came free has its room");
        });
        assert_eq!(newcomer.end(), WELL);
        // A victim may die where there is no room as well.
        let mut victim = Child::run(|| {
            let _lease = queue.try_lease().expect("an item");
            die();
        });
        assert_eq!(victim.end(), BY_SIGKILL);
        let _ = within(Duration::from_millis(300), |wait| queue.reserve(LARGE, wait));
        std::fs::remove_file(filler).expect("removed");
        put(&queue, &item(9, LARGE / 2)).expect("room again");
        while !queue.is_empty() {
            get(&queue).expect("an item");
        }
        let mut left = 0;
        while let Ok(bytes) = get(&queue) {
            assert_eq!(bytes, item(1, LARGE), "what the dead had on loan");
            left += 1;
        }
        assert!(left <= 1);
        for _ in 0..2 {
            (0..1000).for_each(|i| put(&queue, &item(i, 10)).expect("the whole capacity"));
            assert_eq!(put(&queue, &item(0, 10)), Err(Error::Full));
            (0..1000).for_each(|i| assert_eq!(get(&queue), Ok(item(i, 10))));
        }
        assert_eq!(queue.depth().held, 0);
        drop(queue);
        unmount_all(&place);
    });
}

#[test]
fn a_copy_with_holes_is_not_attached_to_where_there_is_no_room() {
    with_own_mounts("a copy with holes", || {
        let place = Place::new("holes");
        let directory = small_tmpfs(&place, "t", 1 << 20);
        let location = at(&directory, "q");
        let make = || {
            let queue = Queue::create(&place.at("whole"), &plan(100, 8, 8)).expect("created");
            put(&queue, &[1; 8]).expect("room");
        };
        assert_eq!(Child::run(make).end(), WELL);
        let bytes = std::fs::read(&place.at("whole").path).expect("bytes");
        let copy = std::fs::File::create(&location.path).expect("made");
        copy.set_len(bytes.len() as u64).expect("sized");
        let raw = Raw::of(&location);
        for (nth, page) in bytes.chunks(PAGE).enumerate() {
            // As `cp --sparse` does it; the control page, which is not empty, as if it had been punched out.
            if nth == 0 || nth > 1 && page.iter().any(|byte| *byte != 0) {
                raw.write(nth * PAGE, page);
            }
        }
        let filler = fill_up(&directory);
        let mut visitor = Child::run(|| {
            let found = open(&location);
            assert!(is_no_space(&found), "{found:?}");
            drop(Glimpse::at(&location));
            drop(listing::listing(&directory));
        });
        assert_eq!(visitor.end(), WELL, "neither a fault nor anything else");
        std::fs::remove_file(filler).expect("removed");
        let mut visitor = Child::run(|| {
            // With room it is a queue again, if an emptied one; what matters is that there is an answer.
            let _ = open(&location).map(|queue| (put(&queue, &[2; 8]), get(&queue)));
        });
        assert_eq!(visitor.end(), WELL);
        std::fs::remove_file(&place.at("whole").path).expect("removed");
        unmount_all(&place);
    });
}

#[test]
fn a_file_system_that_is_not_known_is_refused() {
    with_own_mounts("an unknown file system", || {
        let place = Place::new("unknown");
        let directory = place.path().join("r");
        std::fs::create_dir(&directory).expect("made");
        assert!(mount("ramfs", &directory, "mode=700"), "a ramfs");
        let created = Queue::create(&at(&directory, "q"), &plan(4, 8, 8));
        assert!(matches!(created, Err(Error::Unsupported { .. })), "{created:?}");
        assert!(entries(&directory).is_empty());
        unmount_all(&place);
    });
}

// ------------------------------------------------------------------------------------------------------- overlay

/// An overlay file system, as containers have it: closing a descriptor drops its locks there.
fn overlay(place: &Place) -> Option<PathBuf> {
    let base = small_tmpfs(place, "base", 16 << 20);
    let directories = ["lower", "upper", "work", "merged"].map(|name| base.join(name));
    directories.iter().for_each(|path| std::fs::create_dir(path).expect("made"));
    let [lower, upper, work, merged] = directories.map(|path| path.to_str().expect("text").to_owned());
    if !mount("overlay", Path::new(&merged), &format!("lowerdir={lower},upperdir={upper},workdir={work}")) {
        tell("overlay: left out, because this kernel mounts none here");
        return None;
    }
    Some(PathBuf::from(merged))
}

/// How this process's sign of life hangs in `queue`.
fn is_by_descriptor(location: &Location, queue: &Queue) -> bool {
    let index = queue.segment().me().expect("registered").index() as usize;
    Raw::of(location).u32(TABLE_AT + index * size_of::<Entry>() + offset_of!(Entry, by_descriptor)) == 1
}

#[test]
fn signs_of_life_hang_on_a_kept_descriptor_on_an_overlay() {
    with_own_mounts("an overlay", || {
        let place = Place::new("overlay");
        let Some(directory) = overlay(&place) else { return unmount_all(&place) };
        let location = at(&directory, "q");
        assert_eq!(Child::run(|| drop(Queue::create(&location, &plan(4, 0, 4000)).expect("created"))).end(), WELL);
        let queue = open(&location).expect("opened");
        tell(&format!(
            "overlay: signs of life hang on {}",
            if is_by_descriptor(&location, &queue) { "descriptors" } else { "maps" }
        ));
        // Two processes pass items.
        put(&queue, &[1; 3000]).expect("room");
        let mut peer = Child::run(|| {
            let queue = open(&location).expect("opened");
            assert_eq!(get(&queue), Ok(vec![1; 3000]));
            put(&queue, b"back").expect("room");
        });
        assert_eq!(peer.end(), WELL);
        assert_eq!(get(&queue), Ok(b"back".to_vec()));
        // What a living one holds is his; what a dead one held comes back, whoever of his children lives on.
        put(&queue, b"mine").expect("room");
        let lease = queue.try_lease().expect("an item");
        for way in ["alone", "with a forked child", "with a child that was cloned past the C library"] {
            put(&queue, b"lent").expect("room");
            let board = Board::new(1);
            let mut victim = Child::run(|| {
                let queue = open(&location).expect("opened");
                let _lease = queue.try_lease().expect("an item");
                match way {
                    "with a forked child" => {
                        let child = Child::run_on(pause);
                        board[0].store(u64::try_from(child.pid).expect("a pid"), SeqCst);
                        std::mem::forget(child);
                    }
                    "with a child that was cloned past the C library" => {
                        // SAFETY: the child does nothing but sleep.
                        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
                        if pid == 0 {
                            pause();
                        }
                        board[0].store(u64::try_from(pid).expect("a pid"), SeqCst);
                    }
                    _ => {}
                }
                die();
            });
            assert_eq!(victim.end(), BY_SIGKILL);
            let got = within(Duration::from_secs(2), |wait| get_waiting(&queue, wait));
            let pid = i32::try_from(board[0].load(SeqCst)).expect("a pid");
            if pid > 1 {
                // SAFETY: no memory is passed.
                unsafe { libc::kill(pid, libc::SIGKILL) };
            }
            assert_eq!(got, Ok(b"lent".to_vec()), "{way}");
        }
        at_once(|wait| queue.ack(&lease, wait)).expect("mine still");
        // A forked child is a participant of its own here as well.
        let mine = queue.segment().me().expect("registered");
        let board = Board::new(2);
        let mut child = Child::run(|| {
            assert_ne!(queue.segment().me().expect("registered"), mine);
            put(&queue, b"from a child").expect("room");
            let _lease = queue.try_lease().expect("an item");
            board[0].store(1, SeqCst);
            wait_for("leave to go", Duration::from_secs(10), || board[1].load(SeqCst) == 1);
            die();
        });
        wait_for("the child", Duration::from_secs(5), || board[0].load(SeqCst) == 1);
        assert_eq!(within(Duration::from_millis(300), |wait| get_waiting(&queue, wait)), Err(Error::Empty));
        board[1].store(1, SeqCst);
        assert_eq!(child.end(), BY_SIGKILL);
        assert_eq!(within(Duration::from_secs(2), |wait| get_waiting(&queue, wait)), Ok(b"from a child".to_vec()));
        assert_eq!(queue.depth().held, 0);
        queue.unlink().expect("unlinked");
        drop(queue);
        unmount_all(&place);
    });
}

fn pause() {
    loop {
        // SAFETY: no memory is passed.
        unsafe { libc::pause() };
    }
}

#[cfg(feature = "crash-points")]
#[test]
fn killed_while_creating_on_an_overlay() {
    with_own_mounts("killed while creating on an overlay", || {
        let place = Place::new("overlay-create");
        let Some(directory) = overlay(&place) else { return unmount_all(&place) };
        let location = at(&directory, "q");
        for n in 0.. {
            let board = Board::new(1);
            let mut victim = Child::run(|| {
                penstock_core::fault::arm(n);
                std::mem::forget(Queue::create(&location, &plan(4, 8, 8)));
                penstock_core::fault::arm(-1);
                board[0].store(1, SeqCst);
                die();
            });
            assert_eq!(victim.end(), BY_SIGKILL);
            let left = entries(&directory);
            assert!(left.len() <= 1, "killed at {n}: {left:?}");
            let queue = Queue::open_or_create(&location, &plan(4, 8, 8), &Expectation::default(), Trust::OwnOnly);
            let queue = queue.expect("opened or created").0;
            put(&queue, &[1; 8]).expect("room");
            assert_eq!(get(&queue), Ok(vec![1; 8]));
            queue.unlink().expect("unlinked");
            drop(queue);
            let _ = listing::remove_stale(&directory).expect("swept");
            assert_eq!(entries(&directory), Vec::<String>::new(), "killed at {n}");
            if board[0].load(SeqCst) == 1 {
                break;
            }
        }
        unmount_all(&place);
    });
}

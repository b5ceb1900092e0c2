//! Shared memory is input: whatever lies under a name, and whatever its bytes become while it is in use, there is a typed
//! error or plain success; never a fault, a panic or a hang.
#![cfg(unix)] // forks its peers

mod common;

use common::attack::{Door, Live, World, sign};
use common::{
    Board, Child, Dice, Place, Raw, WELL, get, one_at_a_time, plan, put, seed, tell, wait_for, write_private,
};
use penstock_core::layout::{BYTE_ORDER, Fixed, MAGIC, PAGE, PARAMS, VERSION};
use penstock_core::queue::{Expectation, Plan};
use penstock_core::segment::{Glimpse, Trust};
use penstock_core::{Error, Location, Queue, listing};
use std::mem::offset_of;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

fn open_as(location: &Location, trust: Trust) -> Result<Queue, Error> {
    Queue::open(location, &Expectation::default(), trust)
}

fn open(location: &Location) -> Result<Queue, Error> {
    open_as(location, Trust::OwnOnly)
}

/// A whole queue's bytes, made and left by another process.
fn pristine(place: &Place) -> Vec<u8> {
    let location = place.at("pristine");
    let make = || {
        let queue = Queue::create(&location, &Plan { max_deliveries: 2, dead_letters: 1, ..plan(3, 0, 4000) });
        let queue = queue.expect("created");
        put(&queue, b"small").expect("room");
        put(&queue, &[1; 3000]).expect("room");
    };
    assert_eq!(Child::run(make).end(), WELL);
    let bytes = std::fs::read(&location.path).expect("bytes");
    std::fs::remove_file(&location.path).expect("removed");
    bytes
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

// ------------------------------------------------------------------------------------------------------- wrong opens

#[test]
fn what_is_not_a_segment_is_refused_and_left_alone() {
    let _one = one_at_a_time();
    let place = Place::new("foreign");
    let bytes = pristine(&place);
    let at = |name: &str| place.path().join(name);
    write_private(&at("real"), &bytes);
    std::os::unix::fs::symlink(at("real"), at("link")).expect("a link");
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).expect("a link");
    let fifo = std::ffi::CString::new(at("fifo").to_str().expect("text")).expect("no NUL");
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    std::fs::create_dir(at("directory")).expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("bound");
    write_private(&at("empty"), b"");
    write_private(&at("short"), b"PENST");
    write_private(&at("text"), "some other program's text\n".repeat(1000).as_bytes());
    write_private(&at("zeros"), &vec![0; 100_000]);
    let foreign = ["link", "dangling", "fifo", "directory", "socket", "empty", "short", "text", "zeros"];
    for name in foreign {
        let location = place.at(name);
        for found in [
            open(&location),
            Queue::open_or_create(&location, &plan(3, 4, 4), &Expectation::default(), Trust::OwnOnly)
                .map(|made| made.0),
        ] {
            assert!(matches!(found, Err(Error::Foreign { .. })), "{name}: {found:?}");
        }
        assert!(matches!(Queue::create(&location, &plan(3, 4, 4)), Err(Error::Exists { .. })), "{name}");
        assert!(Glimpse::at(&location).is_err(), "{name}");
    }
    assert!(matches!(open(&place.at("missing")), Err(Error::NotFound { .. })));
    let before = place.entries().len();
    let listed = listing::listing(place.path()).expect("a listing");
    assert!(listed.len() >= 2, "{listed:?}");
    let _ = listing::remove_stale(place.path()).expect("swept");
    assert_eq!(place.entries().len(), before, "nothing of others was removed");
    assert_eq!(std::fs::read(at("text")).expect("there").len(), 26 * 1000);
    open(&place.at("real")).expect("the real one");
}

#[test]
fn segments_cut_off_at_any_length_are_refused() {
    let _one = one_at_a_time();
    let place = Place::new("cut");
    let bytes = pristine(&place);
    let location = place.at("q");
    let lengths = (0..300).chain((300..bytes.len()).step_by(97)).chain(bytes.len() - 3..bytes.len());
    let mut count = 0;
    for len in lengths {
        write_private(&location.path, &bytes[..len]);
        let found = open(&location);
        assert!(matches!(found, Err(Error::Corrupted { .. } | Error::Foreign { .. })), "{len}: {found:?}");
        count += 1;
    }
    write_private(&location.path, &bytes);
    let queue = open(&location).expect("whole");
    assert_eq!(get(&queue), Ok(b"small".to_vec()));
    tell(&format!("cut off: {count} lengths, 0 failures"));
}

#[test]
fn every_flipped_bit_of_the_first_page_is_seen() {
    let _one = one_at_a_time();
    let place = Place::new("flipped");
    let bytes = pristine(&place);
    let location = place.at("q");
    write_private(&location.path, &bytes);
    let raw = Raw::of(&location);
    for bit in 0..PAGE * 8 {
        raw.write(bit / 8, &[bytes[bit / 8] ^ 1 << (bit % 8)]);
        let found = open(&location);
        if bit / 8 < size_of::<Fixed>() {
            let is_seen =
                matches!(found, Err(Error::Corrupted { .. } | Error::Foreign { .. } | Error::NewerVersion { .. }));
            assert!(is_seen, "bit {bit}: {found:?}");
        } else {
            assert!(found.is_ok(), "bit {bit}, which nobody reads: {found:?}");
        }
        raw.write(bit / 8, &[bytes[bit / 8]]);
    }
    open(&location).expect("whole again");
    tell(&format!("first page: {} bits flipped, 0 failures", PAGE * 8));
}

#[test]
fn versions_orders_and_kinds_that_are_not_ours_are_named() {
    let _one = one_at_a_time();
    let place = Place::new("versions");
    let bytes = pristine(&place);
    let location = place.at("q");
    let changed = |at: usize, value: u32| {
        let mut bytes = bytes.clone();
        put_u32(&mut bytes, at, value);
        sign(&mut bytes);
        write_private(&location.path, &bytes);
        open(&location)
    };
    let newer = Err(Error::NewerVersion { name: "q".into(), found: VERSION + 1, known: VERSION });
    assert_eq!(changed(offset_of!(Fixed, version), VERSION + 1).map(drop), newer);
    assert!(matches!(changed(offset_of!(Fixed, version), 0), Err(Error::Corrupted { .. })));
    let other_order = changed(offset_of!(Fixed, byte_order), BYTE_ORDER.swap_bytes());
    assert!(
        matches!(&other_order, Err(Error::Corrupted { what, .. }) if what.contains("byte order")),
        "{other_order:?}"
    );
    assert!(matches!(changed(offset_of!(Fixed, kind), 99), Err(Error::Corrupted { .. })));
    for kind in [2, 3, 4, 5] {
        assert!(matches!(changed(offset_of!(Fixed, kind), kind), Err(Error::Mismatch { .. })), "kind {kind}");
    }
    assert!(matches!(changed(offset_of!(Fixed, item_len), u32::MAX), Err(Error::Corrupted { .. })));
    assert!(matches!(changed(offset_of!(Fixed, item), 0xFFFF_FFFF), Err(Error::Corrupted { .. })), "not UTF-8");
}

/// First pages with a right check and wrong numbers: only a plan that fits its file is believed.
#[test]
fn sizes_that_do_not_fit_together_are_refused() {
    let _one = one_at_a_time();
    let place = Place::new("sizes");
    let bytes = pristine(&place);
    let location = place.at("q");
    let mut dice = Dice::new(seed());
    let mut opened = 0;
    const CASES: u32 = 5000;
    for _ in 0..CASES {
        let mut bytes = bytes.clone();
        for _ in 0..=dice.below(3) {
            let at = match dice.below(4) {
                0 => offset_of!(Fixed, total_bytes),
                1 => offset_of!(Fixed, committed_bytes),
                _ => offset_of!(Fixed, params) + 8 * dice.below(PARAMS as u64) as usize,
            };
            let old = u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
            let new = match dice.below(6) {
                0 => dice.roll(),
                1 => dice.below(100),
                2 => old.wrapping_add(dice.below(9)).wrapping_sub(4),
                3 => 1 << dice.below(64),
                4 => u64::MAX - dice.below(3),
                _ => old,
            };
            bytes[at..at + 8].copy_from_slice(&new.to_le_bytes());
        }
        sign(&mut bytes);
        write_private(&location.path, &bytes);
        if let Ok(queue) = open(&location) {
            opened += 1;
            let _ = (put(&queue, &[0; 3000]), get(&queue), get(&queue), get(&queue));
        }
    }
    tell(&format!("sizes: {CASES} first pages, {opened} of them could be, 0 failures"));
}

/// What is not committed may not be there when it is written: a header cannot say that less is than has to be.
#[test]
fn a_queue_that_says_it_uses_less_than_it_does_is_refused() {
    let _one = one_at_a_time();
    let place = Place::new("less");
    let bytes = pristine(&place);
    let location = place.at("q");
    let at = offset_of!(Fixed, committed_bytes);
    let committed = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    for (said, is_right) in [(committed, true), (committed - PAGE as u32, false), (committed + PAGE as u32, false)] {
        let mut bytes = bytes.clone();
        put_u32(&mut bytes, at, said);
        sign(&mut bytes);
        write_private(&location.path, &bytes);
        let found = open(&location);
        assert!(found.is_ok() == is_right, "{said} of {committed}: {found:?}");
        assert!(is_right || matches!(found, Err(Error::Corrupted { .. })), "{said}: {found:?}");
    }
}

// ------------------------------------------------------------------------------------------------------- whose it is

#[test]
fn files_and_directories_of_others_are_not_trusted() {
    let _one = one_at_a_time();
    let place = Place::new("trust");
    let bytes = pristine(&place);
    let location = place.at("q");
    write_private(&location.path, &bytes);
    let set_mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
    };
    for mode in [0o660, 0o602, 0o622, 0o666] {
        set_mode(&location.path, mode);
        assert!(matches!(open(&location), Err(Error::Untrusted { .. })), "{mode:o}");
        open_as(&location, Trust::Anyone).expect("by consent");
    }
    set_mode(&location.path, 0o600);
    let check = |path: &Path| penstock_core::sys::check_directory(path).map(drop);
    let directory = place.path().join("d");
    check(&directory).expect("made");
    for mode in [0o755, 0o770, 0o701, 0o777] {
        set_mode(&directory, mode);
        assert!(matches!(check(&directory), Err(Error::Untrusted { .. })), "{mode:o}");
    }
    set_mode(&directory, 0o700);
    let link = place.path().join("l");
    std::os::unix::fs::symlink(&directory, &link).expect("a link");
    assert!(matches!(check(&link), Err(Error::Untrusted { .. })), "a link to a directory");
    assert!(matches!(check(&location.path), Err(Error::Untrusted { .. })), "a file");
    if !common::is_root() {
        return tell("other users: left out, because only root can be somebody else");
    }
    const STRANGER: u32 = 54_321;
    std::os::unix::fs::chown(&location.path, Some(STRANGER), None).expect("given away");
    assert!(matches!(open(&location), Err(Error::Untrusted { .. })));
    open_as(&location, Trust::Anyone).expect("by consent");
    std::os::unix::fs::chown(&directory, Some(STRANGER), None).expect("given away");
    assert!(matches!(check(&directory), Err(Error::Untrusted { .. })));
    // The other way round: a stranger meets what is root's.
    std::os::unix::fs::chown(&location.path, Some(0), None).expect("taken back");
    set_mode(place.path(), 0o755);
    let mut stranger = Child::run(|| {
        // SAFETY: no memory is passed.
        assert_eq!(unsafe { libc::setuid(STRANGER) }, 0);
        for trust in [Trust::OwnOnly, Trust::Anyone] {
            assert!(matches!(open_as(&location, trust), Err(Error::Untrusted { .. })));
        }
        assert!(matches!(Queue::create(&place.at("new"), &plan(3, 4, 4)), Err(Error::Untrusted { .. })));
    });
    assert_eq!(stranger.end(), WELL);
    set_mode(place.path(), 0o700);
}

// ------------------------------------------------------------------------------------------------------- live bytes

const BYSTANDER_READY: usize = 2;
const PROGRESS: usize = 0;
const CASE: usize = 1;
const ENOUGH: usize = 3;

/// How long the random part lasts; `PENSTOCK_TEST_SECONDS` makes it longer.
fn seconds() -> u64 {
    std::env::var("PENSTOCK_TEST_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// Works in processes of its own, so that a fault or a hang is that of a child, and tells which case it was.
fn in_workers(name: &str, seed: u64, act: fn(&World, &mut Dice)) -> u64 {
    let work = |place: &Place, first: u64, board: &Board| {
        let world = World::new(place);
        let _bystander = Child::run(|| {
            world.attach_all();
            board[BYSTANDER_READY].store(1, SeqCst);
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        wait_for("the bystander", Duration::from_secs(5), || board[BYSTANDER_READY].load(SeqCst) == 1);
        let mut case = first;
        while board[ENOUGH].load(SeqCst) == 0 {
            board[CASE].store(case, SeqCst);
            act(&world, &mut Dice::new(case));
            board[PROGRESS].fetch_add(1, SeqCst);
            case += 1;
        }
        world.restore();
    };
    let boards = [Board::new(8), Board::new(8)];
    let places = [Place::new(&format!("{name}-0")), Place::new(&format!("{name}-1"))];
    let starts = [seed, seed ^ 1 << 40];
    let mut children: Vec<Child> =
        (0..2).map(|nth| Child::run(|| work(&places[nth], starts[nth], &boards[nth]))).collect();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds()) {
        let before: Vec<u64> = boards.iter().map(|board| board[PROGRESS].load(SeqCst)).collect();
        for _ in 0..1000 {
            std::thread::sleep(Duration::from_millis(10));
            let is_moving = |nth: usize| boards[nth][PROGRESS].load(SeqCst) != before[nth];
            if is_moving(0) && is_moving(1) {
                break;
            }
        }
        for (nth, child) in children.iter_mut().enumerate() {
            let story = format!("{name}, case {}", boards[nth][CASE].load(SeqCst));
            assert_eq!(child.wait(Duration::ZERO), None, "{story}");
            assert_ne!(boards[nth][PROGRESS].load(SeqCst), before[nth], "{story}: hangs");
        }
    }
    boards.iter().for_each(|board| board[ENOUGH].store(1, SeqCst));
    for (nth, child) in children.iter_mut().enumerate() {
        assert_eq!(child.end(), WELL, "{name}, case {}", boards[nth][CASE].load(SeqCst));
    }
    boards.iter().map(|board| board[PROGRESS].load(SeqCst)).sum()
}

#[test]
fn overwritten_words_of_a_live_queue_give_errors_and_nothing_worse() {
    let _one = one_at_a_time();
    let seed = seed();
    tell(&format!("overwritten words: PENSTOCK_TEST_SEED={seed}"));
    let cases = in_workers("overwritten", seed, |world, dice| world.attack(dice, 12));
    tell(&format!("overwritten words: {cases} cases, 0 failures"));
    assert!(cases > 1000, "only {cases} cases");
}

#[test]
fn words_overwritten_all_the_while_give_errors_and_nothing_worse() {
    let _one = one_at_a_time();
    let seed = seed();
    tell(&format!("scribbled over: PENSTOCK_TEST_SEED={seed}"));
    let cases = in_workers("scribbled", seed, |world, dice| {
        let live = &world.queues[dice.below(3) as usize];
        let is_over = AtomicBool::new(false);
        let mut other = Dice::new(dice.roll());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    live.words.overwrite(&mut other);
                }
            });
            for _ in 0..20 {
                live.attack(dice, 8);
                live.words.restore();
            }
            is_over.store(true, SeqCst);
        });
    });
    tell(&format!("scribbled over: {cases} cases, 0 failures"));
}

#[test]
fn overwritten_words_are_met_when_a_queue_is_opened() {
    let _one = one_at_a_time();
    let seed = seed();
    tell(&format!("opened with overwritten words: PENSTOCK_TEST_SEED={seed}"));
    let place = Place::new("opened");
    let board = Board::new(8);
    const CASES: u64 = 4000;
    let mut child = Child::run(|| {
        let door = Door::new(&place);
        for case in seed..seed + CASES {
            board[CASE].store(case, SeqCst);
            let is_open = door.visit(&mut Dice::new(case), None);
            board[PROGRESS].fetch_add(u64::from(is_open), SeqCst);
        }
    });
    let ended = child.wait(Duration::from_secs(120));
    assert_eq!(ended, Some(WELL), "case {}", board[CASE].load(SeqCst));
    let opened = board[PROGRESS].load(SeqCst);
    tell(&format!("opened with overwritten words: {CASES} cases, {opened} of them opened, 0 failures"));
    assert!(opened > CASES / 20 && opened < CASES, "{opened} of {CASES} opened");
}

#[test]
fn the_first_bytes_say_what_it_is() {
    let place = Place::new("magic");
    let queue = Queue::create(&place.at("q"), &plan(3, 4, 4)).expect("created");
    assert_eq!(std::fs::read(queue.path()).expect("bytes")[..8], MAGIC);
}

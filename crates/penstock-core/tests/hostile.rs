//! Shared memory is input: whatever lies under a name, and whatever its bytes become while it is in use, there is a typed
//! error or plain success; never a fault, a panic or a hang.

mod common;

use common::{Board, Child, Dice, Place, Raw, WELL, die, get, one_at_a_time, plan, put, seed, tell, wait_for};
use penstock_core::deadline::Deadline;
use penstock_core::layout::{
    BODY_AT, BYTE_ORDER, CONTROL_AT, Control, Entry, Fixed, KIND_AT, MAGIC, Owner, PAGE, PARAMS, QueueControl,
    SlotHead, State, TABLE_AT, VERSION, checksum, state_word,
};
use penstock_core::queue::{Expectation, Got, Plan, Wait};
use penstock_core::rings::Ring;
use penstock_core::segment::{Glimpse, Trust};
use penstock_core::slots::INLINE_MAX;
use penstock_core::stats::QueueStats;
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

fn write_private(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("private");
}

/// Sets the check of the first page right again.
fn sign(bytes: &mut [u8]) {
    let check = checksum(&bytes[..offset_of!(Fixed, check)]);
    bytes[offset_of!(Fixed, check)..size_of::<Fixed>()].copy_from_slice(&check.to_le_bytes());
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

/// A queue in use, by this process and another, with something in every state; and its bytes at that moment.
struct Live {
    location: Location,
    queue: Queue,
    raw: Raw,
    image: Vec<u8>,
    slots: usize,
    ring_len: usize,
    slots_at: usize,
    stride: usize,
}

const BYSTANDER_READY: usize = 2;
const PROGRESS: usize = 0;
const CASE: usize = 1;
const ENOUGH: usize = 3;

impl Live {
    fn new(location: Location, plan: &Plan) -> Live {
        let queue = Queue::create(&location, plan).expect("created");
        let len = |large: usize| if plan.item_bytes > 0 { 8 } else { large };
        let bytes = |large: usize| vec![7; len(large)];
        [3000, 20, 3500].iter().for_each(|large| put(&queue, &bytes(*large)).expect("room"));
        if plan.max_deliveries > 0 {
            for _ in 0..plan.max_deliveries {
                let lease = queue.try_lease().expect("an item");
                common::at_once(|wait| queue.give_back(&lease, wait)).expect("given back");
            }
        }
        // Somebody dies with an item and a reservation.
        let mut victim = Child::run(|| {
            let _hold = (queue.try_lease(), common::at_once(|wait| queue.reserve(len(3000), wait)));
            die();
        });
        victim.end();
        let raw = Raw::of(&location);
        let slots = usize::try_from(queue.plan().slots).expect("few");
        let ring_len = usize::try_from(Ring::length_for(slots as u64)).expect("short");
        let slots_at = (BODY_AT + 12 * ring_len).next_multiple_of(64);
        let stride = queue.plan().stride;
        let image = raw.bytes(CONTROL_AT, slots_at + slots * stride - CONTROL_AT);
        Live { location, queue, raw, image, slots, ring_len, slots_at, stride }
    }

    fn restore(&self) {
        self.raw.write(CONTROL_AT, &self.image);
    }

    /// Overwrites a few words.
    fn corrupt(&self, dice: &mut Dice) {
        for _ in 0..=dice.below(3) {
            let (start, len) = match dice.below(8) {
                0 => (CONTROL_AT, size_of::<Control>()),
                1 | 2 => (KIND_AT, size_of::<QueueControl>()),
                3 => (TABLE_AT, 6 * size_of::<Entry>()),
                4 => (BODY_AT, 12 * self.ring_len),
                5 | 6 => {
                    let number = dice.below(self.slots as u64) as usize;
                    (self.slots_at + number * self.stride, size_of::<SlotHead>())
                }
                _ => (CONTROL_AT, self.image.len()),
            };
            if dice.below(40) == 0 {
                let bytes: Vec<u8> = (0..len).map(|_| dice.roll() as u8).collect();
                self.raw.write(start, &bytes);
                continue;
            }
            let at = start + 4 * dice.below(len as u64 / 4) as usize;
            if at.is_multiple_of(8) && dice.below(2) == 0 {
                self.raw.write(at, &self.word(dice, at).to_le_bytes());
            } else {
                self.raw.write(at, &(self.word(dice, at & !7) as u32).to_le_bytes());
            }
        }
    }

    /// A word that may be plausible where it stands.
    fn word(&self, dice: &mut Dice, at: usize) -> u64 {
        let old = self.raw.u64(at);
        // Nobody, the bystander, this process, the dead, somebody of another time, the one who gave up.
        let owners = [Owner::new(0, 1), Owner::new(3, 1), Owner::new(900, 7), Owner::new(1, 5), Owner::BROKEN];
        let owner = match dice.below(60) {
            0 => Owner::new(1, 1),
            1 => Owner::new(2, 1),
            n => owners[n as usize % owners.len()],
        };
        match dice.below(12) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => old ^ 1 << dice.below(64),
            4 => old.wrapping_add(1),
            5 => old.wrapping_sub(1),
            6 => dice.below(16),
            7 => owner.word().into(),
            8 => state_word([State::Free, State::Ready, State::Expired][dice.below(3) as usize], dice.below(9)),
            9 => state_word(State::Leased(owner), dice.below(9)),
            10 => state_word(State::Writing(owner), 0),
            _ => dice.roll(),
        }
    }

    /// Calls verbs in some order; whatever comes of it, it comes, and soon.
    fn call_verbs(&self, dice: &mut Dice, board: &Board) {
        let queue = &self.queue;
        let bytes =
            if queue.plan().item_bytes > 0 { vec![1; 8] } else { vec![1; [8, 200, 3000][dice.below(3) as usize]] };
        let mut small = [0; INLINE_MAX];
        let mut leases = Vec::new();
        let mut rooms = Vec::new();
        for _ in 0..6 {
            let verb = dice.below(24);
            board[ENOUGH + 1].store(verb, SeqCst);
            let mut tick = || Ok(());
            let change = if dice.below(20) == 0 { Duration::from_millis(1) } else { Duration::ZERO };
            let mut wait = Wait {
                lock: Deadline::after(Some(Duration::from_micros(500))),
                change: Deadline::after(Some(change)),
                tick: &mut tick,
            };
            let wait = &mut wait;
            match verb {
                0 => drop(queue.put(&[&bytes], wait)),
                1 => drop(queue.try_put(&[&bytes])),
                2 => drop(queue.put_batch(&bytes, wait)),
                3 => rooms.extend(queue.reserve(bytes.len(), wait)),
                4 => drop(rooms.pop().map(|room| queue.commit(&room, bytes.len() / 2, wait))),
                5 => drop(rooms.pop().map(|room| queue.cancel(&room, wait))),
                6 => drop(rooms.pop().map(|room| queue.abandon_reservation(&room))),
                7 => self.finish(queue.get(&mut small, wait), wait),
                8 => self.finish(queue.try_get(&mut small), wait),
                9 => {
                    let (mut out, mut lens) = (Vec::new(), Vec::new());
                    let _ = queue.get_batch(3, &mut out, &mut lens, wait);
                    assert!(lens.iter().sum::<usize>() <= out.len());
                }
                10 => leases.extend(queue.lease(wait)),
                11 => leases.extend(queue.try_lease()),
                12 => drop(leases.pop().map(|lease| queue.ack(&lease, wait))),
                13 => drop(leases.pop().map(|lease| queue.give_back(&lease, wait))),
                14 => drop(leases.pop().map(|lease| queue.give_back_or_abandon(&lease))),
                15 => {
                    if let Some((lease, Ok(place))) = leases.last().map(|lease| (lease, queue.leased_bytes(lease))) {
                        assert!(lease.len() <= 4000);
                        // SAFETY: `leased_bytes` vouches for `len` bytes.
                        let sum: u32 =
                            (0..lease.len()).map(|i| u32::from(unsafe { place.add(i).read_volatile() })).sum();
                        std::hint::black_box(sum);
                    }
                }
                16 => drop(queue.peek(20, wait)),
                17 => drop(queue.peek_dead(20, wait)),
                18 => self.finish(queue.get_dead(&mut small, wait), wait),
                19 => drop(queue.requeue_dead(wait)),
                20 => drop(queue.purge(wait).and(queue.purge_dead(wait))),
                21 => drop(queue.task_done(dice.below(3), wait).and(queue.join(wait))),
                22 => {
                    let _ = (queue.depth(), queue.len(), queue.totals(), queue.unsettled(), queue.dead_len());
                    let _ = (queue.is_full(), queue.is_gettable(), queue.is_puttable(), queue.is_shut_down());
                    let _ = (queue.glance_for_item(10), queue.glance_for_room(10));
                    drop(QueueStats::of(queue).map(|stats| format!("{stats:?}")));
                }
                _ => {
                    drop(if dice.below(2) == 0 { queue.shut_down(wait) } else { queue.shut_down_at_once(wait) });
                }
            }
        }
    }

    fn finish(&self, got: Result<Got, Error>, wait: &mut Wait<'_>) {
        if let Ok(Got::Leased(lease)) = got {
            let mut out = vec![0; lease.len()];
            assert!(out.len() <= 4000);
            let _ = (self.queue.read(&lease, &mut out), self.queue.release(&lease, wait));
        }
    }
}

fn plans() -> [Plan; 2] {
    [plan(4, 8, 8), Plan { max_deliveries: 2, dead_letters: 2, ..plan(5, 0, 4000) }]
}

/// How long the random part lasts; `PENSTOCK_TEST_SECONDS` makes it longer.
fn seconds() -> u64 {
    std::env::var("PENSTOCK_TEST_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// Works in processes of its own, so that a fault or a hang is that of a child, and tells which case it was.
fn in_workers(name: &str, seed: u64, act: fn(&Live, &mut Dice, &Board)) -> u64 {
    let place = Place::new(name);
    let work = |nth: usize, board: &Board| {
        let live = Live::new(place.at(&format!("q{nth}")), &plans()[nth]);
        let _bystander = Child::run(|| {
            live.queue.segment().me().expect("registered");
            board[BYSTANDER_READY].store(1, SeqCst);
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        wait_for("the bystander", Duration::from_secs(5), || board[BYSTANDER_READY].load(SeqCst) == 1);
        let mut case = seed;
        while board[ENOUGH].load(SeqCst) == 0 {
            board[CASE].store(case, SeqCst);
            live.restore();
            act(&live, &mut Dice::new(case), board);
            board[PROGRESS].fetch_add(1, SeqCst);
            case += 1;
        }
        live.restore();
    };
    let boards = [Board::new(8), Board::new(8)];
    let mut children: Vec<Child> = (0..2).map(|nth| Child::run(|| work(nth, &boards[nth]))).collect();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(seconds()) {
        let before: Vec<u64> = boards.iter().map(|board| board[PROGRESS].load(SeqCst)).collect();
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(10));
            let is_moving = |nth: usize| boards[nth].iter().next().expect("a word").load(SeqCst) != before[nth];
            if is_moving(0) && is_moving(1) {
                break;
            }
        }
        for (nth, child) in children.iter_mut().enumerate() {
            let story = format!(
                "{name}, plan {nth}, case {}, verb {}",
                boards[nth][CASE].load(SeqCst),
                boards[nth][ENOUGH + 1].load(SeqCst)
            );
            assert_eq!(child.wait(Duration::ZERO), None, "{story}");
            assert_ne!(boards[nth][PROGRESS].load(SeqCst), before[nth], "{story}: hangs");
        }
    }
    boards.iter().for_each(|board| board[ENOUGH].store(1, SeqCst));
    for (nth, child) in children.iter_mut().enumerate() {
        assert_eq!(child.end(), WELL, "{name}, plan {nth}, case {}", boards[nth][CASE].load(SeqCst));
    }
    boards.iter().map(|board| board[PROGRESS].load(SeqCst)).sum()
}

#[test]
fn overwritten_words_of_a_live_queue_give_errors_and_nothing_worse() {
    let _one = one_at_a_time();
    let seed = seed();
    tell(&format!("overwritten words: PENSTOCK_TEST_SEED={seed}"));
    let cases = in_workers("overwritten", seed, |live, dice, board| {
        let held = dice.below(2) == 0;
        let lease = held.then(|| live.queue.try_lease().ok()).flatten();
        live.corrupt(dice);
        live.call_verbs(dice, board);
        if let Some(lease) = lease {
            drop(live.queue.try_ack(&lease));
        }
    });
    tell(&format!("overwritten words: {cases} cases, 0 failures"));
    assert!(cases > 1000, "only {cases} cases");
}

#[test]
fn words_overwritten_all_the_while_give_errors_and_nothing_worse() {
    let _one = one_at_a_time();
    let seed = seed();
    tell(&format!("scribbled over: PENSTOCK_TEST_SEED={seed}"));
    let cases = in_workers("scribbled", seed, |live, dice, board| {
        let is_over = AtomicBool::new(false);
        let mut other = Dice::new(dice.roll());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(SeqCst) {
                    live.corrupt(&mut other);
                }
            });
            for _ in 0..20 {
                live.call_verbs(dice, board);
                live.restore();
            }
            is_over.store(true, SeqCst);
        });
    });
    tell(&format!("scribbled over: {cases} cases, 0 failures"));
}

#[test]
fn overwritten_words_are_met_when_a_queue_is_opened() {
    let _one = one_at_a_time();
    let place = Place::new("opened");
    let seed = seed();
    tell(&format!("opened with overwritten words: PENSTOCK_TEST_SEED={seed}"));
    const CASES: u64 = 400;
    for (nth, plan) in plans().iter().enumerate() {
        let location = place.at(&format!("q{nth}"));
        let live = Live::new(location.clone(), plan);
        for case in seed..seed + CASES {
            let mut dice = Dice::new(case);
            live.restore();
            live.corrupt(&mut dice);
            let copy = place.at("copy");
            std::fs::copy(&location.path, &copy.path).expect("copied");
            let mut child = Child::run(|| {
                let Ok(queue) = open(&copy) else { return };
                let raw = Raw::of(&copy);
                let live = Live { location: copy, queue, raw, image: Vec::new(), ..live };
                live.call_verbs(&mut dice, &Board::new(8));
                let _ = listing::inspect(&live.location);
            });
            assert_eq!(child.wait(Duration::from_secs(10)), Some(WELL), "plan {nth}, case {case}");
            std::fs::remove_file(place.path().join("copy")).expect("removed");
        }
        live.restore();
    }
    tell(&format!("opened with overwritten words: {} cases, 0 failures", 2 * CASES));
}

#[test]
fn the_first_bytes_say_what_it_is() {
    let place = Place::new("magic");
    let queue = Queue::create(&place.at("q"), &plan(3, 4, 4)).expect("created");
    assert_eq!(std::fs::read(queue.path()).expect("bytes")[..8], MAGIC);
}

//! What lies where in a segment, held to `docs/memory-layout.md` and to bytes that were written down once.
//!
//! Two builds that disagree about a byte must not share a segment. So when a test here fails: either the change was
//! not meant, or `layout::VERSION` has to grow, and the page with it.

mod common;

use common::{Place, Raw, get, plan, put};
use penstock_core::layout::{
    BODY_AT, CONTROL_AT, Control, DeadLine, Entry, EventControl, Fixed, GetLine, KIND_AT, MutexControl, Owner, PutLine,
    QueueControl, SLOT_HEAD, SemaphoreControl, SettleLine, SlotHead, State, TABLE_AT, TailLine, VERSION, checksum,
    state_word,
};
use penstock_core::segment::Lifetime;
use penstock_core::slots::Geometry;
use penstock_core::{Event, Mapping, Mutex, Queue, Semaphore, semaphore};
use std::fmt::Write as _;
use std::mem::{offset_of, size_of, size_of_val};

// ------------------------------------------------------------------------------------------------- the page

/// One field: where it lies, how long it is, what the page calls its type, and its name there.
struct Field(usize, usize, &'static str, String);

/// The size of a field, without a value of its struct.
fn size_at<S, F>(_: impl FnOnce(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! fields {
    ($base:expr, $prefix:expr, $struct:ty, $($field:ident: $type:literal),+) => {
        vec![$(Field(
            $base + offset_of!($struct, $field),
            size_at(|one: &$struct| &one.$field),
            $type,
            format!("{}{}", $prefix, stringify!($field)),
        )),+]
    };
}

/// The sections of the page that have tables of fields, by their headings.
fn sections() -> Vec<(&'static str, Vec<Field>)> {
    let queue = |part: &str| {
        let parts = fields!(KIND_AT, "", QueueControl, put: "", ready: "", get: "", free: "", settle: "", dead: "");
        parts.into_iter().find(|field| field.3 == part).expect("a line of the queue").0
    };
    let mut lines =
        fields!(queue("put"), "put.", PutLine, lock: "u32", seq: "u64", free_head: "u64", free_tail_seen: "u64");
    lines.extend(fields!(queue("ready"), "ready.", TailLine, tail: "u64", event: "u32"));
    lines.extend(fields!(queue("get"), "get.", GetLine, lock: "u32", ready_head: "u64", ready_tail_seen: "u64"));
    lines.extend(fields!(queue("free"), "free.", TailLine, tail: "u64", event: "u32"));
    lines.extend(fields!(
        queue("settle"), "settle.", SettleLine,
        settled: "u64", note_slot: "u32", event: "u32", note_seq: "u64", note_settled: "u64"
    ));
    lines.extend(fields!(queue("dead"), "dead.", DeadLine, head: "u64", tail: "u64", event: "u32"));
    vec![
        (
            "The fixed page",
            fields!(
                0, "", Fixed, magic: "bytes", version: "u32", byte_order: "u32", kind: "u32", flags: "u32",
                total_bytes: "u64", committed_bytes: "u64", created_unix_ms: "u64", creator_pid: "u32",
                item_len: "u32", params: "u64 × 16", item: "UTF-8", check: "u64"
            ),
        ),
        (
            "The control line",
            fields!(
                CONTROL_AT, "", Control, status: "u32", cursor: "u32", unclean: "u32", looked_ms: "u64",
                boot: "u64 × 2"
            ),
        ),
        ("The queue's lines", lines),
        (
            "The mutex's line",
            fields!(
                KIND_AT, "", MutexControl, lock: "u32", depth: "u32", holder: "u64", abandoned: "u32", event: "u32"
            ),
        ),
        ("The semaphore's line", fields!(KIND_AT, "", SemaphoreControl, count: "u32", event: "u32")),
        ("The event's line", fields!(KIND_AT, "", EventControl, state: "u32", event: "u32")),
        (
            "A participant",
            fields!(
                0, "", Entry, word: "u32", pid: "u32", attached_ms: "u64", namespace: "u64", by_descriptor: "u32"
            ),
        ),
        (
            "A slot's head",
            fields!(
                0, "", SlotHead, state: "u64", seq: "u64", len: "u32", deliveries: "u32", since_ms: "u32",
                check: "u32"
            ),
        ),
    ]
}

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/memory-layout.md");
    std::fs::read_to_string(path).expect("docs/memory-layout.md")
}

/// What the page says in the table under a heading: offset, size, type and name of each row.
fn told_under(heading: &str) -> Vec<String> {
    let page = page();
    let after = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("the page has '{heading}'")).1;
    let section = after.split("\n## ").next().unwrap_or_default();
    let cells = |row: &str| row.split('|').skip(1).take(4).map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let is_field = |row: &&str| row.starts_with("| ") && row[2..].starts_with(|c: char| c.is_ascii_digit());
    section.lines().filter(is_field).map(|row| cells(row).join(" | ")).collect()
}

#[test]
fn the_page_has_every_field_at_its_place_and_no_other() {
    for (heading, fields) in sections() {
        let there: Vec<String> =
            fields.iter().map(|Field(at, size, kind, name)| format!("{at} | {size} | {kind} | `{name}`")).collect();
        assert_eq!(told_under(heading), there, "under '{heading}'");
    }
}

#[test]
fn the_page_has_the_places_of_the_areas_and_the_version() {
    let page = page();
    let slots_of_ten = BODY_AT + 3 * 64 * 10;
    for fact in [
        format!("layout version {VERSION}"),
        format!("| {CONTROL_AT} | control line |"),
        format!("| {KIND_AT} | the kind's own lines |"),
        format!("| {TABLE_AT} | table of participants |"),
        format!("| {BODY_AT} | the kind's own data |"),
        format!("| {slots_of_ten} | slots |"),
    ] {
        assert!(page.contains(&fact), "docs/memory-layout.md does not say: {fact}");
    }
}

// ------------------------------------------------------------------------------------------------- the bytes

/// A segment as it should be: zeros, but for what is written down here.
struct Image(Vec<u8>);

impl Image {
    fn new(len: usize) -> Image {
        Image(vec![0; len])
    }

    fn set(mut self, at: usize, bytes: &[u8]) -> Image {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn u32(self, at: usize, value: u32) -> Image {
        self.set(at, &value.to_le_bytes())
    }

    fn u64(self, at: usize, value: u64) -> Image {
        self.set(at, &value.to_le_bytes())
    }

    /// The fixed page and the control line that every segment begins with.
    fn of_kind(kind: u32, total: u64, committed: u64) -> Image {
        Image::new(usize::try_from(total).expect("small"))
            .set(0, b"PENSTOCK")
            .u32(8, 1)
            .set(12, &[4, 3, 2, 1])
            .u32(16, kind)
            .u64(24, total)
            .u64(32, committed)
            .u32(4100, 1) // the cursor: one participant has been here
            .u32(5152, 0x8000_0001) // which is number 1, in its first generation, and attached
    }

    /// Says where a segment differs, apart from what no two segments have in common.
    fn differences(&self, raw: &Raw) -> String {
        let mut told = String::new();
        let there = raw.bytes(0, self.0.len());
        for (at, (want, have)) in self.0.iter().zip(&there).enumerate() {
            if want != have && !varies(at) {
                let _ = writeln!(told, "byte {at} is {have:#04x}, not {want:#04x}");
            }
        }
        told
    }
}

/// The bytes that depend on the moment, the machine and the process.
fn varies(at: usize) -> bool {
    let ranges = [
        40..52,     // when it was made, and by which process
        2232..2240, // the check over them
        4120..4136, // the start of the machine
        5156..5180, // who participant 1 is, and how he shows that he lives
    ];
    ranges.iter().any(|range| range.contains(&at))
}

/// The ten numbers of the lesson, nothing put yet.
fn fresh_queue() -> Image {
    let mut image = Image::of_kind(1, 45056, 45056)
        .u32(52, 5)
        .u64(56, 10) // capacity
        .u64(64, 4) // bytes of an item
        .u64(72, 4) // of the largest
        .u64(96, 45056) // the whole
        .set(184, b"bytes")
        .u64(4232, 1) // the sequence that the next item gets
        .u64(4736, 10) // ten numbers were pushed to the free ring
        .u64(4992, 1); // what is settled counts with the sequence
    for number in 0..10u32 {
        image = image.u32(38528 + 64 * number as usize, number);
    }
    image
}

#[test]
fn a_fresh_queue_of_ten_numbers_has_these_bytes() {
    let place = Place::new("layout-fresh");
    let _queue = Queue::create(&place.at("q"), &plan(10, 4, 4)).expect("created");
    let raw = Raw::of(&place.at("q"));
    assert_eq!(fresh_queue().differences(&raw), "");
    assert_eq!(raw.u64(2232), checksum(&raw.bytes(0, 2232)), "the check of the fixed page");
    assert_eq!(raw.u32(48), std::process::id());
    assert_eq!(raw.u32(5156), std::process::id());
}

#[test]
fn a_number_put_leased_and_given_back_and_taken_moves_these_words() {
    let place = Place::new("layout-put");
    let queue = Queue::create(&place.at("q"), &plan(10, 4, 4)).expect("created");
    let raw = Raw::of(&place.at("q"));
    put(&queue, &[1, 2, 3, 4]).expect("room");
    let there = fresh_queue()
        .u64(39808, 2 | 1 << 34) // slot 0 is ready, with the first sequence
        .u64(39816, 1) // whole
        .u32(39824, 4) // bytes
        .set(39840, &[1, 2, 3, 4])
        .u32(37888, 0) // the ready ring names slot 0
        .u64(4232, 2)
        .u64(4240, 1) // a number was taken from the free ring
        .u64(4248, 10) // of which ten were known
        .u64(4352, 1) // and pushed to the ready ring
        .u32(4480, 2); // the event counts in twos; its lowest bit is for sleepers
    assert_eq!(there.differences(&raw), "");

    let lease = queue.try_lease().expect("an item");
    assert_eq!(raw.u64(39808), 3 | 1025 << 3 | 1 << 34, "leased by participant 1 of generation 1, same sequence");
    assert_eq!(raw.u32(39828), 1, "deliveries");
    assert_eq!(raw.u64(4616), 1, "numbers taken from the ready ring");
    common::patiently(|wait| queue.give_back(&lease, wait)).expect("given back");
    assert_eq!(raw.u64(39808), 2 | 1 << 34);
    assert_eq!(raw.u64(4616), 0, "back at the front");
    assert_eq!(get(&queue), Ok(vec![1, 2, 3, 4]));
    assert_eq!((raw.u64(39808), raw.u64(4616), raw.u64(4736)), (0, 1, 11), "free again, and pushed as the eleventh");
    assert_eq!(raw.u32(38528), 0, "the free ring names slot 0 again after 0 to 9, at the place where it did");
}

#[test]
fn a_queue_of_large_items_has_payload_rooms_on_pages_of_their_own() {
    let place = Place::new("layout-large");
    let queue = Queue::create(&place.at("q"), &plan(3, 0, 5000)).expect("created");
    let raw = Raw::of(&place.at("q"));
    put(&queue, &[7; 96]).expect("room"); // the largest that lies in the slot
    put(&queue, &[8; 97]).expect("room");
    // Three rings of 3 numbers from 37888, each in a line of its own, slots of 128 bytes from 38528, payload rooms of 8192 from 40960.
    assert_eq!(raw.bytes(38528 + 32, 96), [7; 96]);
    assert_eq!(raw.u32(38656 + 16), 97);
    assert_eq!(raw.bytes(40960 + 8192, 97), [8; 97]);
    assert_eq!(raw.u64(24), 40960 + 3 * 8192, "the whole");
    assert_eq!(raw.u64(32), 40960, "committed at creation");
}

/// The length of a queue's segment, as the page says.
fn total_by_the_page(capacity: u64, item: u64, largest: u64, dead: u64) -> u64 {
    let up = |n: u64, unit: u64| n.div_ceil(unit) * unit;
    let slots = capacity + dead;
    let room = if (1..=224).contains(&item) { item } else { largest.min(96) };
    let (numbers, of_number, of_slot) =
        if slots <= 128 { (slots, 64, 128) } else { (slots.next_power_of_two(), 4, 64) };
    let step = up(32 + room, of_slot);
    let in_slot = (up(32 + room, 64) - 32).min(224);
    let payload = if largest > in_slot { up(largest, 4096) } else { 0 };
    let end = up(37888 + 3 * of_number * numbers, of_slot) + slots * step;
    up(up(end, 4096) + slots * payload, 4096)
}

#[test]
fn a_queue_is_as_long_as_the_page_says() {
    for (capacity, dead) in [(1, 0), (10, 0), (16, 0), (17, 0), (100, 28), (100, 29), (1 << 20, 1)] {
        for (item, largest) in
            [(1, 1), (4, 4), (33, 33), (224, 224), (225, 225), (0, 1), (0, 33), (0, 96), (0, 97), (0, 1 << 20)]
        {
            let plan = Geometry::plan(capacity, item, largest, 0, dead).expect("a good plan");
            let told = total_by_the_page(capacity, item, largest, dead);
            assert_eq!(plan.total_bytes, told, "{capacity} and {dead} of {item}, at most {largest}");
        }
    }
}

#[test]
fn the_other_objects_have_these_bytes() {
    let place = Place::new("layout-others");
    let mutex = Mutex::create(&place.at("m"), Lifetime::UntilUnlinked).expect("created");
    let raw = Raw::of(&place.at("m"));
    assert_eq!(Image::of_kind(2, 40960, 40960).differences(&raw), "");
    mutex.try_take().expect("free");
    assert_eq!((raw.u32(4160), raw.u32(4164), raw.u32(4168)), (1025, 1, 1025), "owner, depth, holder");
    assert_eq!(raw.u32(4172), penstock_core::sys::thread_id(), "the holder's thread");
    mutex.release().expect("ours");
    assert_eq!((raw.u32(4160), raw.u32(4164), raw.u64(4168), raw.u32(4180)), (0, 0, 0, 2));

    let plan = semaphore::Plan { value: 2, maximum: 5, lifetime: Lifetime::WhileOpen };
    let _semaphore = Semaphore::create(&place.at("s"), &plan).expect("created");
    let there = Image::of_kind(3, 40960, 40960).u32(20, 1).u64(56, 2).u64(64, 5).u32(4160, 2);
    assert_eq!(there.differences(&Raw::of(&place.at("s"))), "");

    let event = Event::create(&place.at("e"), true, Lifetime::UntilUnlinked).expect("created");
    event.set();
    let there = Image::of_kind(4, 40960, 40960).u64(56, 1).u32(4160, 3).u32(4164, 2);
    assert_eq!(there.differences(&Raw::of(&place.at("e"))), "");

    let _mapping = Mapping::create(&place.at("b"), 5000, Lifetime::UntilUnlinked).expect("created");
    let there = Image::of_kind(5, 40960 + 8192, 40960 + 8192).u64(56, 5000);
    assert_eq!(there.differences(&Raw::of(&place.at("b"))), "");
}

#[test]
fn words_are_made_of_these_bits() {
    let owner = Owner::new(5, 3);
    assert_eq!(owner.word(), 5 | 3 << 10);
    assert_eq!(Owner::BROKEN.word(), 1023);
    let words = [
        (State::Free, 0, 0),
        (State::Writing(owner), 0, 1 | u64::from(owner.word()) << 3),
        (State::Ready, 9, 2 | 9 << 34),
        (State::Leased(owner), 9, 3 | u64::from(owner.word()) << 3 | 9 << 34),
        (State::Expired, 9, 4 | 9 << 34),
        (State::Ready, (1 << 30) + 9, 2 | 9 << 34),
    ];
    for (state, seq, word) in words {
        assert_eq!(state_word(state, seq), word, "{state:?} of {seq}");
    }
    assert_eq!(SLOT_HEAD, 32);
}

#[test]
fn the_check_is_this_function_of_the_bytes() {
    // Computed apart from the code, from its description in the page.
    assert_eq!(checksum(b""), CHECK_OF_NOTHING);
    assert_eq!(checksum(b"penstock"), CHECK_OF_EIGHT);
    assert_eq!(checksum(b"penstocks"), CHECK_OF_NINE);
    assert_eq!(size_of_val(&checksum(b"")), 8);
}

const CHECK_OF_NOTHING: u64 = 0x9e37_79b9_7f4a_7c15;
const CHECK_OF_EIGHT: u64 = 0xbdc2_8081_09dc_e5d6;
const CHECK_OF_NINE: u64 = 0xb1d7_0081_86ef_1724;

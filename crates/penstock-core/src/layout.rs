//! Every byte of a segment: what lies where, and what each word may hold. `docs/memory-layout.md` is this file in prose.
//!
//! A segment is a fixed page (written once, before anybody can see it), a control area (the words that change), the
//! table of participants, and then what its kind needs. All numbers are little-endian; there are no pointers.

use crate::atomic::{AtomicU32, AtomicU64};
use std::mem::{offset_of, size_of};

/// The first eight bytes of every segment.
pub const MAGIC: [u8; 8] = *b"PENSTOCK";
/// Grows with every change of this file that an older build would misread.
pub const VERSION: u32 = 1;
/// Reads as something else on a machine of the other byte order.
pub const BYTE_ORDER: u32 = 0x0102_0304;
/// The unit in which the kernel commits and maps.
pub const PAGE: usize = 4096;
/// The unit in which processors pass memory to each other.
pub const LINE: usize = 64;
/// Two lines: what some processors fetch at a time (and what is one line on others), though they pass single lines on.
pub const PAIR: usize = 2 * LINE;
/// Longest item specification.
pub const ITEM_MAX: usize = 2048;
/// Number of parameters a kind may keep in the fixed page.
pub const PARAMS: usize = 16;
/// Participants are numbered 1..=PARTICIPANTS; 0 is nobody.
pub const PARTICIPANTS: u32 = if cfg!(loom) { 4 } else { 1022 };

/// What a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A bounded queue.
    Queue = 1,
    /// A recursive mutex.
    Mutex = 2,
    /// A counting semaphore.
    Semaphore = 3,
    /// An event.
    Event = 4,
    /// Plain named memory.
    Mapping = 5,
}

impl Kind {
    /// The kind that `word` stands for, if any.
    #[must_use]
    pub fn from_word(word: u32) -> Option<Kind> {
        [Kind::Queue, Kind::Mutex, Kind::Semaphore, Kind::Event, Kind::Mapping]
            .into_iter()
            .find(|kind| *kind as u32 == word)
    }

    /// The word people use for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Queue => "queue",
            Kind::Mutex => "mutex",
            Kind::Semaphore => "semaphore",
            Kind::Event => "event",
            Kind::Mapping => "mapping",
        }
    }
}

/// The segment goes when its last user does.
pub const FLAG_WHILE_OPEN: u32 = 1;
/// The segment is a file of the user's own and outlives a restart: items carry a check.
pub const FLAG_FILE: u32 = 2;

/// The first page. Written before the segment has a name, never changed afterwards, read by copying.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Fixed {
    /// `MAGIC`.
    pub magic: [u8; 8],
    /// `VERSION`.
    pub version: u32,
    /// `BYTE_ORDER`.
    pub byte_order: u32,
    /// A `Kind`.
    pub kind: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// Length of the whole segment.
    pub total_bytes: u64,
    /// How much of it was committed at creation.
    pub committed_bytes: u64,
    /// When it was made.
    pub created_unix_ms: u64,
    /// By which process, for people to read.
    pub creator_pid: u32,
    /// Length of `item`.
    pub item_len: u32,
    /// What the kind needs.
    pub params: [u64; PARAMS],
    /// What an item is, UTF-8.
    pub item: [u8; ITEM_MAX],
    /// `checksum` of everything above.
    pub check: u64,
}

/// Where the control area starts.
pub const CONTROL_AT: usize = PAGE;
/// Where the kind's own control lines start.
pub const KIND_AT: usize = CONTROL_AT + size_of::<Control>();
/// Where the table of participants starts.
pub const TABLE_AT: usize = CONTROL_AT + 1024;
/// Where the kind's own data may start.
pub const BODY_AT: usize = (TABLE_AT + (PARTICIPANTS as usize + 2) * size_of::<Entry>()).next_multiple_of(PAIR);

/// Bit of `Control::status`: no more puts.
pub const SHUT_DOWN: u32 = 1;
/// Bit of `Control::status`: no more gets either.
pub const SHUT_AT_ONCE: u32 = 2;
/// Bit of `Control::status`: a repair found what cannot be.
pub const POISONED: u32 = 4;
/// Bit of `Control::status`: its name was removed on purpose.
pub const UNLINKED: u32 = 8;

/// The words every kind has. Read on every call, written rarely.
#[repr(C, align(64))]
pub struct Control {
    /// `SHUT_DOWN`, `SHUT_AT_ONCE`, `POISONED`, `UNLINKED`.
    pub status: AtomicU32,
    /// Where the next participant starts to look for a free number; only a hint.
    pub cursor: AtomicU32,
    /// Grows when a number whose owner died is given to another: there may be work for repair although the table shows nobody dead.
    pub unclean: AtomicU32,
    _pad: AtomicU32,
    /// The monotonic millisecond of the last look for the dead; bounds how often sleepers look.
    pub looked_ms: AtomicU64,
    /// The start of the machine in which the words of this segment were last used.
    pub boot: [AtomicU64; 2],
    _rest: [AtomicU64; 3],
}

/// One participant. Written by its owner only, at attach and detach; a repair clears `ATTACHED` for the dead.
#[repr(C)]
pub struct Entry {
    /// Generation (21 bits) and `ATTACHED`.
    pub word: AtomicU32,
    /// For people to read.
    pub pid: AtomicU32,
    /// When it attached, Unix milliseconds.
    pub attached_ms: AtomicU64,
    /// The pid namespace's inode in which `pid` means something.
    pub namespace: AtomicU64,
    /// 1 if the sign of life hangs on a descriptor (see `sys`).
    pub by_descriptor: AtomicU32,
    _pad: AtomicU32,
}

/// Bit of `Entry::word`: somebody registered here and has not left in good order.
pub const ATTACHED: u32 = 1 << 31;

const INDEX_BITS: u32 = 10;
const GENERATION_BITS: u32 = 21;
/// The bits of a lock word that name its owner.
pub const OWNER_MASK: u32 = (1 << (INDEX_BITS + GENERATION_BITS)) - 1;

/// Who holds something: a participant's number and which of its successive owners is meant.
///
/// The generation makes death final: a number is given out again only with another generation, so a word that names
/// a dead owner can never come to name a living one (2,097,152 successors at one of 1,022 rotating numbers aside).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(u32);

impl Owner {
    /// What stands in a lock that was given up in the middle of a change: nobody, and always dead.
    pub const BROKEN: Owner = Owner((1 << INDEX_BITS) - 1);

    /// Names the participant `index` in its generation.
    #[must_use]
    pub fn new(index: u32, generation: u32) -> Owner {
        Owner((index & ((1 << INDEX_BITS) - 1)) | (generation & GENERATION_MASK) << INDEX_BITS)
    }

    /// The owner in a word; `None` for nobody.
    #[must_use]
    pub fn from_word(word: u32) -> Option<Owner> {
        let bits = word & OWNER_MASK;
        (bits != 0).then_some(Owner(bits))
    }

    /// The bits, for a word.
    #[must_use]
    pub fn word(self) -> u32 {
        self.0
    }

    /// The participant's number.
    #[must_use]
    pub fn index(self) -> u32 {
        self.0 & ((1 << INDEX_BITS) - 1)
    }

    /// Which of its successive owners.
    #[must_use]
    pub fn generation(self) -> u32 {
        self.0 >> INDEX_BITS
    }
}

/// The generation's bits in `Entry::word`.
pub const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

/// A slot's state. The word is {state: 3 bits, owner: 31 bits, low 30 bits of the sequence}.
///
/// | state | meaning | who moves it, where | if the mover dies right there |
/// |---|---|---|---|
/// | Free | nobody's | a producer holding the put lock: to Ready (small item) or Writing | repair: the old or the new state, both whole |
/// | Writing(owner) | reserved, being written outside any lock | its owner: to Ready (put lock) or Free (get lock) | repair: Free |
/// | Ready(seq) | an item waits | a consumer holding the get lock: to Free, Leased or Expired | as it was, or as it became |
/// | Leased(owner, seq) | taken, not yet acknowledged | its owner holding the get lock: to Free, Ready(same seq) or, delivered too often, Expired(seq) | repair: Ready(same seq) or Expired(seq) |
/// | Expired(seq) | delivered too often | whoever takes dead letters, holding the get lock: to Free or Ready | as it was, or as it became |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody's.
    Free,
    /// Reserved by a producer.
    Writing(Owner),
    /// An item waits.
    Ready,
    /// Taken by a consumer.
    Leased(Owner),
    /// Delivered too often.
    Expired,
}

const STATE_BITS: u32 = 3;
const SEQ_SHIFT: u32 = STATE_BITS + INDEX_BITS + GENERATION_BITS;

/// A slot's whole state word: the state, and the low bits of the item's sequence as a fence against a stale mover.
#[must_use]
pub fn state_word(state: State, seq: u64) -> u64 {
    let (code, owner) = match state {
        State::Free => (0, 0),
        State::Writing(owner) => (1, owner.word()),
        State::Ready => (2, 0),
        State::Leased(owner) => (3, owner.word()),
        State::Expired => (4, 0),
    };
    code | u64::from(owner) << STATE_BITS | seq << SEQ_SHIFT
}

/// The state in a word; `None` if the word cannot be.
#[must_use]
pub fn state_of(word: u64) -> Option<State> {
    #[allow(clippy::cast_possible_truncation, reason = "from_word masks")]
    let owner = Owner::from_word((word >> STATE_BITS) as u32);
    match (word & ((1 << STATE_BITS) - 1), owner) {
        (0, None) => Some(State::Free),
        (1, Some(owner)) => Some(State::Writing(owner)),
        (2, None) => Some(State::Ready),
        (3, Some(owner)) => Some(State::Leased(owner)),
        (4, None) => Some(State::Expired),
        _ => None,
    }
}

/// True if `word` carries the low bits of `seq`.
#[must_use]
pub fn carries_seq(word: u64, seq: u64) -> bool {
    word >> SEQ_SHIFT == seq << SEQ_SHIFT >> SEQ_SHIFT
}

/// The words at the start of every slot; the item follows if it fits there, else it lies in the slot's payload room.
#[repr(C)]
pub struct SlotHead {
    /// See [`State`].
    pub state: AtomicU64,
    /// The item's place among all items ever put. Written before `state` becomes Ready; constant until Free.
    pub seq: AtomicU64,
    /// The item's length in bytes.
    pub len: AtomicU32,
    /// How often the item was handed out under a lease.
    pub deliveries: AtomicU32,
    /// When it was leased or reserved, in monotonic milliseconds (wraps after 49 days; for people to read).
    pub since_ms: AtomicU32,
    /// Check of the item in segments that outlive a restart.
    pub check: AtomicU32,
}

/// Bytes of a slot before its item.
pub const SLOT_HEAD: usize = size_of::<SlotHead>();

/// A queue's control lines. Each line has one side that writes it: producers and consumers do not disturb each other.
/// Nor do they share a [`PAIR`], except for what is not used in a stream.
#[repr(C)]
pub struct QueueControl {
    _rest_of_pair: [AtomicU64; 8],
    /// Written by producers, under the put lock.
    pub put: PutLine,
    /// Pushed by producers, watched by consumers.
    pub ready: TailLine,
    /// Written by consumers, under the get lock.
    pub get: GetLine,
    /// Pushed by consumers, watched by producers.
    pub free: TailLine,
    /// Under the get lock.
    pub settle: SettleLine,
    /// Under the get lock.
    pub dead: DeadLine,
}

/// The producers' line.
#[repr(C, align(64))]
pub struct PutLine {
    /// The put lock.
    pub lock: AtomicU32,
    _pad: AtomicU32,
    /// The sequence that the next item gets.
    pub seq: AtomicU64,
    /// Numbers taken from the free ring so far.
    pub free_head: AtomicU64,
    /// How far the free ring was known to reach; spares reading the consumers' line.
    pub free_tail_seen: AtomicU64,
    _rest_of_pair: [AtomicU64; 12],
}

/// A ring's tail and the event that tells of it, in two pairs: who waits looks at the tail, and would take the event's
/// line from the one who signals.
#[repr(C, align(64))]
pub struct TailLine {
    /// Numbers pushed so far.
    pub tail: AtomicU64,
    _rest_of_pair: [AtomicU64; 15],
    /// Bit 0: somebody sleeps. The rest counts.
    pub event: AtomicU32,
    _pad: AtomicU32,
    _rest_of_second: [AtomicU64; 15],
}

/// The consumers' line.
#[repr(C, align(64))]
pub struct GetLine {
    /// The get lock.
    pub lock: AtomicU32,
    _pad: AtomicU32,
    /// Numbers taken from the ready ring so far.
    pub ready_head: AtomicU64,
    /// How far the ready ring was known to reach.
    pub ready_tail_seen: AtomicU64,
    _rest_of_pair: [AtomicU64; 13],
}

/// What `join` waits for, and a note that lets repair finish a settlement cut short.
#[repr(C, align(64))]
pub struct SettleLine {
    /// Items settled so far: acknowledged, discarded, or told by `task_done`.
    pub settled: AtomicU64,
    /// The note: which slot (number + 1; 0 = no note), of which sequence, and what `settled` becomes with it.
    pub note_slot: AtomicU32,
    /// Bit 0: somebody sleeps in `join`. The rest counts.
    pub event: AtomicU32,
    /// See `note_slot`.
    pub note_seq: AtomicU64,
    /// See `note_slot`.
    pub note_settled: AtomicU64,
}

/// The ring of dead letters.
#[repr(C, align(64))]
pub struct DeadLine {
    /// Numbers taken so far.
    pub head: AtomicU64,
    /// Numbers pushed so far.
    pub tail: AtomicU64,
    /// Bit 0: somebody sleeps. The rest counts.
    pub event: AtomicU32,
    _pad: AtomicU32,
}

/// A mutex's control line.
///
/// Only `lock` decides who holds it. The other words are written by the holder alone, after taking and before giving
/// back, and mean something only while `holder` names the holder: what a dead one left in them is never read.
#[repr(C, align(64))]
pub struct MutexControl {
    /// The lock: its owner's participant.
    pub lock: AtomicU32,
    /// How often the holder has taken it.
    pub depth: AtomicU32,
    /// Which thread of which participant holds it: see [`holder_word`]; 0 for nobody. One word, so that a thread's
    /// number left by a dead participant cannot be taken for one of another's.
    pub holder: AtomicU64,
    /// 1 while the holder has it from a dead one.
    pub abandoned: AtomicU32,
    /// Told at every release, for those who wait on several objects.
    pub event: AtomicU32,
}

/// A thread of a participant, as it stands in `MutexControl::holder`.
#[must_use]
pub fn holder_word(owner: Owner, thread: u32) -> u64 {
    u64::from(thread) << 32 | u64::from(owner.word())
}

/// A semaphore's control line.
#[repr(C, align(64))]
pub struct SemaphoreControl {
    /// Permits left.
    pub count: AtomicU32,
    /// Bit 0: somebody sleeps. The rest counts.
    pub event: AtomicU32,
}

/// An event's control line.
#[repr(C, align(64))]
pub struct EventControl {
    /// Bit 0: it is set. The rest counts how often it was set: who waited then goes on although it was cleared since.
    pub state: AtomicU32,
    /// Bit 0: somebody sleeps. The rest counts.
    pub event: AtomicU32,
}

/// Bit of `EventControl::state`.
pub const SET: u32 = 1;

/// A quick check of bytes against tearing and bit flips; no defence against intent.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut sum = STEP ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(STEP);
        sum ^= sum >> 29;
    }
    sum
}

const _: () = {
    assert!(size_of::<Fixed>() <= PAGE);
    assert!(offset_of!(Fixed, check) == size_of::<Fixed>() - 8);
    assert!(size_of::<Control>() == LINE);
    assert!(size_of::<Entry>() == 32);
    assert!(SLOT_HEAD == 32);
    assert!(KIND_AT + size_of::<QueueControl>() <= TABLE_AT);
    assert!((KIND_AT + offset_of!(QueueControl, put)).is_multiple_of(PAIR));
    assert!(size_of::<QueueControl>() == 15 * LINE);
    assert!(size_of::<MutexControl>() == LINE);
    assert!(size_of::<SemaphoreControl>() == LINE);
    assert!(size_of::<EventControl>() == LINE);
    assert!(BODY_AT.is_multiple_of(PAIR));
    assert!(PARTICIPANTS < Owner::BROKEN.0);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_survives_its_word() {
        let owner = Owner::new(1022, GENERATION_MASK);
        for state in [State::Free, State::Writing(owner), State::Ready, State::Leased(owner), State::Expired] {
            for seq in [0, 1, (1 << 30) - 1, 1 << 30, u64::MAX] {
                let word = state_word(state, seq);
                assert_eq!(state_of(word), Some(state));
                assert!(carries_seq(word, seq));
                assert!(!carries_seq(word, seq ^ 1));
            }
        }
    }

    #[test]
    fn words_that_cannot_be_have_no_state() {
        for word in [1, 3, 5, 6, 7, 2 | 1 << 3, 1 << 3, 4 | 1 << 20] {
            assert_eq!(state_of(word), None, "{word:#x}");
        }
    }

    #[test]
    fn a_checksum_sees_every_single_bit() {
        let bytes = [0u8; 100];
        for bit in 0..800 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(&bytes), checksum(&other));
        }
    }
}

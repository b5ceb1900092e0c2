//! What a victim does, and what it writes down meanwhile, in memory that outlives it.

use super::scene::{FRESH, Scene, Size};
use super::{Board, put};
use penstock_core::Queue;
use std::sync::atomic::Ordering::SeqCst;

/// What a victim writes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Begins to put the item.
    Putting(u32),
    /// The put returned.
    Put(u32),
    /// Begins something that may take the item.
    Taking(u32),
    /// It was taken.
    Took(u32),
    /// Begins something that may take the item and count it as dealt with.
    Settling(u32),
    /// It was taken and counted.
    Settled(u32),
    /// Of all items that may be taken, so many more may be missing.
    Limit(u32),
    /// The item may move between those that wait and the dead letters.
    Moving(u32),
    /// The item may be on loan at the moment of death: those who do not notice the death may get newer ones first.
    Late(u32),
    /// Begins to count so many as dealt with.
    Counting(u32),
    /// Has counted them.
    Counted(u32),
    /// The operation has returned.
    End,
}

const KINDS: [fn(u32) -> Event; 12] = [
    Event::Putting,
    Event::Put,
    Event::Taking,
    Event::Took,
    Event::Settling,
    Event::Settled,
    Event::Limit,
    Event::Moving,
    Event::Late,
    Event::Counting,
    Event::Counted,
    |_| Event::End,
];

/// What victims have written down, in memory that outlives them.
pub struct Log(Board);

impl Log {
    pub fn new() -> Log {
        Log(Board::new(512))
    }

    /// How many notes there are.
    pub fn len(&self) -> u64 {
        self.0[0].load(SeqCst)
    }

    /// The notes as they are kept.
    pub fn notes(&self) -> Vec<u64> {
        let len = usize::try_from(self.len()).expect("short");
        self.0[..=len].iter().map(|word| word.load(SeqCst)).collect()
    }

    /// Brings the notes to what they were.
    pub fn restore(&self, notes: &[u64]) {
        self.0.iter().zip(notes).for_each(|(word, note)| word.store(*note, SeqCst));
    }

    pub fn note(&self, event: Event) {
        let (kind, value) = match event {
            Event::Putting(id) => (0, id),
            Event::Put(id) => (1, id),
            Event::Taking(id) => (2, id),
            Event::Took(id) => (3, id),
            Event::Settling(id) => (4, id),
            Event::Settled(id) => (5, id),
            Event::Limit(n) => (6, n),
            Event::Moving(id) => (7, id),
            Event::Late(id) => (8, id),
            Event::Counting(n) => (9, n),
            Event::Counted(n) => (10, n),
            Event::End => (11, 0),
        };
        let at = self.0[0].load(SeqCst);
        self.0[1 + usize::try_from(at).expect("short")].store(kind << 32 | u64::from(value), SeqCst);
        self.0[0].store(at + 1, SeqCst);
    }

    pub fn events(&self) -> Vec<Event> {
        let len = usize::try_from(self.0[0].load(SeqCst)).expect("short");
        let read = |word: u64| KINDS[usize::try_from(word >> 32).expect("a kind")]((word & 0xFFFF_FFFF) as u32);
        self.0[1..=len].iter().map(|word| read(word.load(SeqCst))).collect()
    }
}

/// What a victim knows.
pub struct Victim<'a> {
    pub queue: &'a Queue,
    pub log: &'a Log,
    /// The items that waited before any victim, oldest first.
    pub ready: &'a [u32],
    /// The dead letters then, oldest first.
    pub dead: &'a [u32],
    /// Size of an item.
    pub bytes: usize,
    /// The number of the first item that it puts.
    pub fresh: u32,
    /// All items that it may meet or make, ready before it begins: making them takes many instructions.
    pub items: Vec<(u32, Vec<u8>)>,
}

impl Victim<'_> {
    pub fn note(&self, event: Event) {
        self.log.note(event);
    }

    /// An item of a number that it may meet or make.
    pub fn item(&self, id: u32) -> &[u8] {
        let known = self.items.iter().find(|(known, _)| *known == id);
        &known.unwrap_or_else(|| panic!("item {id} comes from nowhere")).1
    }

    /// The number of an item that is whole.
    pub fn id_of(&self, bytes: &[u8]) -> u32 {
        let id = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
        assert!(self.item(id).starts_with(bytes), "item {id} of {} bytes is torn", bytes.len());
        id
    }

    /// Puts an item and writes it down.
    pub fn put(&self, id: u32) {
        self.note(Event::Putting(id));
        if put(self.queue, self.item(id)).is_ok() {
            self.note(Event::Put(id));
        }
    }

    /// Writes down that the oldest `n` items may be on loan at the moment of death.
    pub fn may_borrow(&self, n: usize) {
        self.oldest(n).into_iter().for_each(|id| self.note(Event::Late(id)));
    }

    /// Writes down that one more of the oldest `n` items may be taken.
    pub fn may_take(&self, n: usize, kind: fn(u32) -> Event) {
        self.oldest(n).into_iter().for_each(|id| self.note(kind(id)));
        self.note(Event::Limit(1));
    }

    /// The oldest `n` items. Whoever died before may have taken some of those that were there at first, and put others.
    fn oldest(&self, n: usize) -> Vec<u32> {
        let n = n + 4 * (self.fresh / FRESH).saturating_sub(1) as usize;
        let put_since = self.log.events().into_iter().filter_map(|event| match event {
            Event::Putting(id) => Some(id),
            _ => None,
        });
        // Dead letters that were brought back wait before all others.
        let is_back = |id: &u32| self.fresh > FRESH && self.log.events().contains(&Event::Moving(*id));
        let back = self.dead.iter().copied().filter(is_back);
        back.chain(self.ready.iter().copied().take(n)).chain(put_since).collect()
    }
}

/// Something that a victim does.
pub struct Op {
    pub name: &'static str,
    pub sizes: &'static [Size],
    /// How often an item may be delivered; 0 for ever.
    pub max_deliveries: u64,
    /// What the survivor does to the filled queue beforehand.
    pub prepare: fn(&mut Scene),
    /// What the victim does.
    pub run: fn(&Victim<'_>),
}

impl Op {
    pub const fn new(name: &'static str, sizes: &'static [Size], run: fn(&Victim<'_>)) -> Op {
        Op { name, sizes, max_deliveries: 0, prepare: |_| {}, run }
    }
}

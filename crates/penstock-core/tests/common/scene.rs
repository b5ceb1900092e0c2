//! A queue with known contents, victims that die in the middle of an operation, and a survivor that accounts for
//! every item afterwards.
//!
//! The victim writes down, outside of the queue, what it is about to do and what has returned. From that follows what
//! the survivor must find: what had returned has happened, what had not begun has not, and what lies between is whole either way.

use super::victim::{Event, Log, Op, Victim};
use super::{Board, Child, Place, Raw, at_once, get, get_dead, id_of, item, put, within};
use penstock_core::layout::{
    BODY_AT, CONTROL_AT, Control, Entry, GENERATION_MASK, GetLine, KIND_AT, Owner, PutLine, QueueControl, SHUT_AT_ONCE,
    SHUT_DOWN, SlotHead, State, TABLE_AT, state_of,
};
use penstock_core::queue::{Depth, Expectation, Plan, Reservation};
use penstock_core::rings::Length;
use penstock_core::segment::Trust;
use penstock_core::{Error, Location, Queue};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::mem::offset_of;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Items that wait at most.
pub const CAPACITY: u64 = 6;
/// Numbers of the items that the first victim puts; the second's are twice that.
pub const FRESH: u32 = 100;
const FILLERS: u32 = 1000;
/// Nobody has a higher number than this in these scenes.
pub const WATCHED_ENTRIES: usize = 16;
/// Where the words of the queue's control lines lie that the checks look at.
pub const PUT_LOCK: usize = KIND_AT + offset_of!(QueueControl, put) + offset_of!(PutLine, lock);
pub const GET_LOCK: usize = KIND_AT + offset_of!(QueueControl, get) + offset_of!(GetLine, lock);
const CURSOR: usize = CONTROL_AT + offset_of!(Control, cursor);
const LOOKED: usize = CONTROL_AT + offset_of!(Control, looked_ms);
const CONTROL_LINES: usize = size_of::<QueueControl>();

/// How much waits when the victim begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    Empty,
    Half,
    Full,
}

pub const FILLS: [Fill; 3] = [Fill::Empty, Fill::Half, Fill::Full];

impl Fill {
    fn count(self) -> u32 {
        match self {
            Fill::Empty => 0,
            Fill::Half => 3,
            Fill::Full => 6,
        }
    }
}

/// Items that are copied under the lock, or that are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Small,
    Large,
}

impl Size {
    pub fn bytes(self) -> usize {
        match self {
            Size::Small => 8,
            Size::Large => 3000,
        }
    }

    fn plan(self) -> Plan {
        match self {
            Size::Small => super::plan(CAPACITY, 8, 8),
            Size::Large => super::plan(CAPACITY, 0, 4000),
        }
    }
}

pub const SMALL: &[Size] = &[Size::Small];
pub const BOTH: &[Size] = &[Size::Small, Size::Large];

/// Length of a reserved item that was sent shorter than reserved: it fits the slot itself.
pub const SHORT: usize = 40;

/// What the survivor does first: each meets the dead in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Takes everything out.
    Drain,
    /// Puts until there is no room.
    Fill,
    /// Reserves a slot, and holds it while everything is taken out.
    Reserve,
    /// Lets a new process register under the dead one's number.
    Newcomer,
    /// Attaches only now.
    Attach,
}

pub const FIRSTS: [First; 5] = [First::Drain, First::Fill, First::Reserve, First::Newcomer, First::Attach];

/// Slots by state, and how often their items were handed out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub free: u32,
    pub ready: u32,
    pub delivered: u32,
}

/// A queue, what is in it, and what the victims wrote down.
pub struct Scene {
    location: Location,
    queue: Option<Queue>,
    pub raw: Raw,
    pub log: Log,
    pub bytes: usize,
    pub ready: Vec<u32>,
    pub dead: Vec<u32>,
    slots: u64,
    stride: usize,
    total_bytes: usize,
    /// Items put and dealt with before any victim.
    totals: (u64, u64),
    newcomer: Option<Child>,
    /// The first number given to a victim.
    victims: u32,
}

impl Scene {
    pub fn new(place: &Place, op: &Op, size: Size, fill: Fill) -> Scene {
        let location = place.at("q");
        let plan = Plan {
            max_deliveries: op.max_deliveries,
            dead_letters: if op.max_deliveries > 0 { 2 } else { 0 },
            ..size.plan()
        };
        let queue = Queue::create(&location, &plan).expect("created");
        queue.use_in_turn(0); // so that items of a few thousand bytes are large enough to change their places
        let raw = Raw::of(&location);
        let (slots, stride) = (queue.plan().slots, queue.plan().stride);
        let total_bytes = usize::try_from(queue.plan().total_bytes).expect("short");
        let mut scene = Scene {
            location,
            queue: Some(queue),
            raw,
            log: Log::new(),
            bytes: size.bytes(),
            ready: Vec::new(),
            dead: Vec::new(),
            slots,
            stride,
            total_bytes,
            totals: (0, 0),
            newcomer: None,
            victims: 2,
        };
        // Heads and tails away from zero, and slots that have seen use.
        for id in 0..4 {
            put(scene.queue(), &item(id, scene.bytes)).expect("room");
            get(scene.queue()).expect("an item");
        }
        at_once(|wait| scene.queue().task_done(4, wait)).expect("all done");
        scene.add(fill.count());
        (op.prepare)(&mut scene);
        scene.totals = scene.queue().totals();
        scene
    }

    pub fn location(&self) -> &Location {
        &self.location
    }

    pub fn queue(&self) -> &Queue {
        self.queue.as_ref().expect("attached")
    }

    /// Puts `count` items more.
    pub fn add(&mut self, count: u32) {
        for _ in 0..count {
            let id = self.ready.last().or(self.dead.last()).copied().unwrap_or(0) + 1;
            put(self.queue(), &item(id, self.bytes)).expect("room");
            self.ready.push(id);
        }
    }

    /// Takes the oldest item away.
    pub fn take_one(&mut self) {
        if !self.ready.is_empty() {
            get(self.queue()).expect("an item");
            self.ready.remove(0);
        }
    }

    /// Makes dead letters of the two oldest items, where each may be delivered once, and fills up with others.
    pub fn make_dead(&mut self) {
        let count = self.ready.len().min(2);
        let leases: Vec<_> = (0..count).map(|_| self.queue().try_lease().expect("an item")).collect();
        leases.iter().for_each(|lease| self.give_back(lease));
        let dead: Vec<u32> = self.ready.drain(..count).collect();
        self.dead.extend(dead);
        // Whoever looks for an item next moves them.
        let is_taken = get(self.queue()).is_ok();
        assert_eq!(is_taken, !self.ready.is_empty());
        self.ready.drain(..usize::from(is_taken));
        assert_eq!(self.queue().dead_len(), count as u64);
        self.add(u32::try_from(count).expect("few") + u32::from(is_taken));
    }

    /// Hands out the oldest item and takes it back.
    pub fn deliver_once(&self) {
        if !self.ready.is_empty() {
            let lease = self.queue().try_lease().expect("an item");
            self.give_back(&lease);
        }
    }

    fn give_back(&self, lease: &penstock_core::queue::Lease) {
        at_once(|wait| self.queue().give_back(lease, wait)).expect("given back");
    }

    fn slots_at(&self) -> usize {
        let entries = usize::try_from(Length::of(self.slots).entries()).expect("short");
        (BODY_AT + 3 * 4 * entries).next_multiple_of(128)
    }

    /// Puts the queue and the notes into the state in which they were when both were copied.
    pub fn restore(&self, snapshot: &[u8], notes: &[u64]) {
        self.raw.write(0, snapshot);
        self.log.restore(notes);
    }

    /// The same scene in a copy of the queue's file, for a survivor who was attached before any victim: he has the same
    /// name in the copy, and nobody else lives there.
    pub fn twin(&self, place: &Place) -> Scene {
        let snapshot = self.snapshot();
        let location = place.copy("twin", &snapshot);
        let mut twin = Scene {
            raw: Raw::of(&location),
            location,
            queue: None,
            log: Log::new(),
            ready: self.ready.clone(),
            dead: self.dead.clone(),
            newcomer: None,
            ..*self
        };
        twin.attach_as(self.me(), &snapshot);
        twin
    }

    /// Who the survivor is.
    pub fn me(&self) -> Owner {
        self.queue().segment().me().expect("registered")
    }

    /// Attaches to the twin as `me`, unless that is so already, and brings the snapshot and the notes there.
    pub fn take_over(&mut self, me: Owner, snapshot: &[u8], notes: &[u64]) {
        if self.queue.is_none() || self.me() != me {
            self.attach_as(me, snapshot);
        }
        self.restore(snapshot, notes);
    }

    fn attach_as(&mut self, me: Owner, snapshot: &[u8]) {
        self.queue = None;
        let mut before = snapshot.to_vec();
        let entry = TABLE_AT + usize::try_from(me.index()).expect("small") * size_of::<Entry>();
        let generation = me.generation().wrapping_sub(1) & GENERATION_MASK;
        before[entry..entry + 4].copy_from_slice(&generation.to_le_bytes());
        before[CURSOR..CURSOR + 4].copy_from_slice(&(me.index() - 1).to_le_bytes());
        self.raw.write(0, &before);
        self.queue = Some(Queue::open(&self.location, &Expectation::default(), Trust::OwnOnly).expect("opened"));
        assert_eq!(self.me(), me, "the survivor has the same name in the copy");
    }

    /// What the `nth` victim knows.
    pub fn victim(&self, nth: u32) -> Victim<'_> {
        let fresh = (1..=nth).flat_map(|nth| FRESH * nth..FRESH * nth + 3);
        let ids = self.ready.iter().chain(&self.dead).copied().chain(fresh);
        let items = ids.map(|id| (id, item(id, self.bytes))).collect();
        Victim {
            items,
            queue: self.queue(),
            log: &self.log,
            ready: &self.ready,
            dead: &self.dead,
            bytes: self.bytes,
            fresh: FRESH * nth,
        }
    }

    /// How many victims have returned from what they did.
    pub fn ends(&self) -> usize {
        self.log.events().iter().filter(|event| **event == Event::End).count()
    }

    /// How many slots are in which state, read from the file: by nobody's leave, and without a lock.
    pub fn counts(&self) -> Counts {
        let slots_at = self.slots_at();
        let mut counts = Counts::default();
        for number in 0..usize::try_from(self.slots).expect("few") {
            let head = slots_at + number * self.stride;
            match state_of(self.raw.u64(head + offset_of!(SlotHead, state))) {
                Some(State::Free) => counts.free += 1,
                Some(State::Ready) => counts.ready += 1,
                _ => {}
            }
            counts.delivered += self.raw.u32(head + offset_of!(SlotHead, deliveries));
        }
        counts
    }

    /// Whether anybody, living or dead, holds a lock.
    pub fn is_locked(&self) -> bool {
        self.raw.u32(PUT_LOCK) != 0 || self.raw.u32(GET_LOCK) != 0
    }

    /// All bytes of the segment as they are.
    pub fn snapshot(&self) -> Vec<u8> {
        self.raw.bytes(0, self.total_bytes)
    }

    /// What the shared memory in a snapshot looks like, without clocks and pids.
    pub fn fingerprint(&self, snapshot: &[u8]) -> u64 {
        let mut bytes = snapshot[CONTROL_AT..CONTROL_AT + 16].to_vec();
        bytes.extend(&snapshot[KIND_AT..KIND_AT + CONTROL_LINES]);
        let entries = snapshot[TABLE_AT..BODY_AT].chunks(size_of::<Entry>()).take(WATCHED_ENTRIES);
        entries.for_each(|entry| bytes.extend(&entry[..4]));
        let body = bytes.len();
        bytes.extend(&snapshot[BODY_AT..]);
        for number in 0..usize::try_from(self.slots).expect("few") {
            let since = self.slots_at() + number * self.stride + offset_of!(SlotHead, since_ms);
            bytes[body + since - BODY_AT..][..4].fill(0);
        }
        penstock_core::layout::checksum(&bytes)
    }

    // --------------------------------------------------------------------------------------------- the survivor

    /// Goes on after the deaths, and accounts for everything.
    pub fn survive(&mut self, first: First) -> Result<(), String> {
        // Somebody has looked for the dead just before: nobody looks again unless he must.
        self.raw.write(LOOKED, &penstock_core::sys::now_ms().to_le_bytes());
        let mut fillers = 0;
        let mut letters_then = None;
        let mut room = None;
        match first {
            First::Drain => {}
            First::Fill => {
                fillers = self.fill()?;
                letters_then = Some(self.queue().dead_len());
            }
            First::Reserve => room = self.reserve()?,
            First::Newcomer => self.let_in_newcomer(),
            First::Attach => self.attach_anew()?,
        }
        let shut = self.raw.u32(CONTROL_AT);
        if shut & SHUT_AT_ONCE != 0 {
            // All that waited is discarded, by whoever comes, and nothing was taken but not dealt with.
            within(Duration::from_secs(1), |wait| self.queue().join(wait))
                .map_err(|error| format!("join after a shutdown at once: {error:?}"))?;
        }
        let (left, dead) = (self.drain()?, self.drain_dead()?);
        let shut = shut | self.raw.u32(CONTROL_AT);
        if let (Some(then), 0) = (letters_then, shut & (SHUT_DOWN | SHUT_AT_ONCE)) {
            let there = left.len() as u64 + dead.len() as u64 - then;
            // Letters that were requeued wait besides what waited before.
            let moved = self.log.events().iter().filter(|event| matches!(event, Event::Moving(_))).count();
            let most = CAPACITY.max((self.ready.len() + moved.min(self.dead.len())) as u64);
            if !(CAPACITY..=most).contains(&there) {
                return Err(format!("filled to the brim there were {there} items; left {left:?}, dead {dead:?}"));
            }
        }
        let mut puts = u64::from(fillers);
        self.check_order(&left, &dead, first)?;
        self.account(&left, &dead, fillers, shut)?;
        if let Some(room) = room {
            puts += self.send(&room)?;
        }
        self.check_unsettled(&left, &dead, puts)?;
        if shut & (SHUT_DOWN | SHUT_AT_ONCE) != 0 {
            let refused = (put(self.queue(), &item(1, self.bytes)), get(self.queue()));
            if refused != (Err(Error::ShutDown), Err(Error::ShutDown)) {
                return Err(format!("after the shutdown: {refused:?}"));
            }
        } else {
            for _ in 0..2 {
                self.fill_and_drain()?;
            }
        }
        self.check_at_rest()
    }

    fn fill(&self) -> Result<u32, String> {
        let mut count = 0;
        loop {
            match put(self.queue(), &item(FILLERS + count, self.bytes)) {
                Ok(()) => count += 1,
                Err(Error::Full | Error::ShutDown) => return Ok(count),
                Err(error) => return Err(format!("put: {error:?}")),
            }
        }
    }

    fn reserve(&self) -> Result<Option<Reservation>, String> {
        match at_once(|wait| self.queue().reserve(self.bytes, wait)) {
            Ok(room) => Ok(Some(room)),
            Err(Error::Full | Error::ShutDown) => Ok(None),
            Err(error) => Err(format!("reserve: {error:?}")),
        }
    }

    /// Writes and sends what was reserved, and takes it. Returns how many were put.
    fn send(&self, room: &Reservation) -> Result<u64, String> {
        let bytes = item(FILLERS, self.bytes);
        let to = self.queue().reserved_bytes(room);
        // SAFETY: the reservation is ours and of this length.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        match at_once(|wait| self.queue().commit(room, bytes.len(), wait)) {
            Ok(()) => {}
            Err(Error::ShutDown) => return Ok(0),
            Err(error) => return Err(format!("commit of a living one's reservation: {error:?}")),
        }
        match get(self.queue()) {
            Ok(found) if found == bytes => Ok(1),
            other => Err(format!("what a living one had reserved came out as {other:?}")),
        }
    }

    /// A process that takes the number of the first victim and stays.
    fn let_in_newcomer(&mut self) {
        self.raw.write(CURSOR, &(self.victims - 1).to_le_bytes());
        let board = Board::new(1);
        let child = Child::run(|| {
            let me = self.queue().segment().me().expect("registered");
            board[0].store(me.word().into(), SeqCst);
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        super::wait_for("the newcomer", Duration::from_secs(5), || board[0].load(SeqCst) != 0);
        let owner = Owner::from_word(u32::try_from(board[0].load(SeqCst)).expect("a word")).expect("an owner");
        assert_eq!(owner.index(), self.victims, "the newcomer takes the dead one's number");
        self.newcomer = Some(child);
    }

    /// Leaves, and attaches anew: nobody who saw the death is there any more.
    fn attach_anew(&mut self) -> Result<(), String> {
        self.queue = None;
        let queue = Queue::open(&self.location, &Expectation::default(), Trust::OwnOnly);
        self.queue = Some(queue.map_err(|error| format!("open: {error:?}"))?);
        Ok(())
    }

    fn drain(&self) -> Result<Vec<u32>, String> {
        self.drain_by(get, "get")
    }

    fn drain_dead(&self) -> Result<Vec<u32>, String> {
        self.drain_by(get_dead, "get_dead")
    }

    fn drain_by(&self, take: fn(&Queue) -> Result<Vec<u8>, Error>, verb: &str) -> Result<Vec<u32>, String> {
        let mut ids = Vec::new();
        loop {
            match take(self.queue()) {
                Ok(bytes) => {
                    ids.push(id_of(&bytes)?);
                    // A reservation that was sent short is the only item of another size.
                    if bytes.len() != self.bytes && bytes.len() != SHORT {
                        return Err(format!("item {ids:?} is {} bytes long", bytes.len()));
                    }
                }
                Err(Error::Empty | Error::ShutDown) => return Ok(ids),
                Err(error) => return Err(format!("{verb}: {error:?}")),
            }
            if ids.len() > 100 {
                return Err(format!("{verb} does not end: {ids:?}"));
            }
        }
    }

    /// Whoever looks for the dead before it takes an item gets all of them in order.
    fn check_order(&self, left: &[u32], dead: &[u32], first: First) -> Result<(), String> {
        let events = self.log.events();
        let is_strict = first == First::Fill;
        let in_order: Vec<u32> =
            left.iter().copied().filter(|id| is_strict || !events.contains(&Event::Late(*id))).collect();
        if in_order.is_sorted() && dead.is_sorted() {
            return Ok(());
        }
        Err(format!("out of order: left {left:?}, dead {dead:?}"))
    }

    /// Every item is where the victims' notes say, once, whole and in order.
    fn account(&self, left: &[u32], dead: &[u32], fillers: u32, shut: u32) -> Result<(), String> {
        let found: Vec<u32> = left.iter().chain(dead).copied().collect();
        let present: BTreeSet<u32> = found.iter().copied().collect();
        if present.len() != found.len() {
            return Err(format!("doubled: left {left:?}, dead {dead:?}"));
        }
        if shut & SHUT_AT_ONCE != 0 && !left.is_empty() {
            return Err(format!("shut down at once, but {left:?} came out"));
        }
        let events = self.log.events();
        let has = |event: Event| events.contains(&event);
        let mut expected: BTreeMap<u32, bool> = BTreeMap::new(); // must it be there?
        for id in self.ready.iter().chain(&self.dead) {
            expected.insert(*id, true);
        }
        for event in &events {
            match *event {
                Event::Putting(id) => _ = expected.insert(id, has(Event::Put(id))),
                Event::Taking(id) | Event::Settling(id) => _ = expected.insert(id, false),
                _ => {}
            }
        }
        for id in FILLERS..FILLERS + fillers {
            expected.insert(id, shut & SHUT_AT_ONCE == 0);
        }
        for (id, must) in &expected {
            let gone = has(Event::Took(*id)) || has(Event::Settled(*id));
            if gone && present.contains(id) {
                return Err(format!("item {id} was taken, and is delivered again: left {left:?}, dead {dead:?}"));
            }
            if *must && !gone && !present.contains(id) {
                return Err(format!("item {id} is lost: left {left:?}, dead {dead:?}"));
            }
        }
        if let Some(id) = present.iter().find(|id| !expected.contains_key(id)) {
            return Err(format!("item {id} comes from nowhere: left {left:?}, dead {dead:?}"));
        }
        let may_move = |id: &&u32| !has(Event::Moving(**id));
        if let Some(id) = self.dead.iter().filter(may_move).find(|id| left.contains(id)) {
            return Err(format!("dead letter {id} waits again: left {left:?}, dead {dead:?}"));
        }
        if let Some(id) = dead.iter().filter(may_move).find(|id| !self.dead.contains(id)) {
            return Err(format!("item {id} became a dead letter: left {left:?}, dead {dead:?}"));
        }
        self.check_limit(&events, &present)
    }

    /// One operation takes only what it may: each allows a number of items to be missing.
    fn check_limit(&self, events: &[Event], present: &BTreeSet<u32>) -> Result<(), String> {
        let limit: u32 = events.iter().map(|event| if let Event::Limit(n) = event { *n } else { 0 }).sum();
        let missing: Vec<&u32> = self.ready.iter().chain(&self.dead).filter(|id| !present.contains(id)).collect();
        if missing.len() > limit as usize {
            return Err(format!("{missing:?} are missing where {limit} may be"));
        }
        Ok(())
    }

    /// What `join` waits for: what was put less what was dealt with. Then deals with the rest, and joins.
    fn check_unsettled(&self, left: &[u32], dead: &[u32], puts: u64) -> Result<(), String> {
        let events = self.log.events();
        let has = |event: Event| events.contains(&event);
        let is_present = |id: u32| left.contains(&id) || dead.contains(&id);
        let (mut least, mut most) = (self.totals.0 - self.totals.1 + puts, self.totals.0 - self.totals.1 + puts);
        let mut seen = HashSet::new();
        for event in &events {
            match *event {
                Event::Putting(id) => {
                    let was_taken = has(Event::Took(id)) || has(Event::Settled(id));
                    let may_be_taken = has(Event::Taking(id)) || has(Event::Settling(id));
                    least += u64::from(has(Event::Put(id)) || is_present(id) || was_taken);
                    most += u64::from(has(Event::Put(id)) || is_present(id) || was_taken || may_be_taken);
                }
                Event::Settling(id) | Event::Settled(id) if !is_present(id) && seen.insert(id) => {
                    // Gone and counted are one step, whoever finished it; unless somebody else took it.
                    let is_certain = has(Event::Settled(id)) || !has(Event::Taking(id));
                    let was_there = has(Event::Settled(id)) || self.ready.contains(&id) || self.dead.contains(&id);
                    if !has(Event::Took(id)) {
                        least = least.saturating_sub(1);
                        most -= u64::from(is_certain && was_there);
                    }
                }
                Event::Counting(n) => {
                    least -= u64::from(n);
                    most -= u64::from(if has(Event::Counted(n)) { n } else { 0 });
                }
                _ => {}
            }
        }
        // Dead letters that the survivor took are dealt with by that.
        let (least, most) = (least - dead.len() as u64, most - dead.len() as u64);
        let unsettled = self.queue().unsettled();
        if !(least..=most).contains(&unsettled) {
            return Err(format!("join waits for {unsettled} items; it should be between {least} and {most}"));
        }
        at_once(|wait| self.queue().task_done(unsettled, wait)).map_err(|error| format!("task_done: {error:?}"))?;
        within(Duration::from_secs(1), |wait| self.queue().join(wait)).map_err(|error| format!("join: {error:?}"))
    }

    /// The whole capacity is there, and no more.
    fn fill_and_drain(&self) -> Result<(), String> {
        let count = self.fill()?;
        let left = self.drain()?;
        if u64::from(count) != CAPACITY || !left.iter().copied().eq(FILLERS..FILLERS + count) {
            return Err(format!("{count} items fitted, and {left:?} came out"));
        }
        Ok(())
    }

    /// Nothing is held, nothing waits, no lock is taken.
    fn check_at_rest(&self) -> Result<(), String> {
        let (depth, wanted) = (self.queue().depth(), Depth { waiting: 0, free: self.slots, dead: 0, held: 0 });
        let locks = (self.raw.u32(PUT_LOCK), self.raw.u32(GET_LOCK));
        if depth != wanted || locks != (0, 0) {
            return Err(format!("at the end: {depth:?}, locks {locks:?}"));
        }
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.newcomer = None;
        self.queue = None;
        let _ = std::fs::remove_file(&self.location.path);
    }
}

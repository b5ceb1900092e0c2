//! A queue with known contents, victims that die in the middle of an operation, and a survivor that accounts for
//! every item afterwards.
//!
//! The victim writes down, outside of the queue, what it is about to do and what has returned. From that follows what
//! the survivor must find: what had returned has happened, what had not begun has not, and what lies between is whole either way.

use super::{BY_SIGKILL, Board, Child, Place, Raw, at_once, die, get, get_dead, id_of, item, put, tell, within};
use penstock_core::deadline::Deadline;
use penstock_core::layout::{
    BODY_AT, CONTROL_AT, Control, GetLine, KIND_AT, Owner, PutLine, QueueControl, SHUT_AT_ONCE, SHUT_DOWN, SLOT_HEAD,
    SlotHead, State, state_of,
};
use penstock_core::queue::{Depth, Expectation, Got, Plan, Reservation, Wait};
use penstock_core::rings::Ring;
use penstock_core::segment::Trust;
use penstock_core::slots::INLINE_MAX;
use penstock_core::{Error, Location, Queue, fault};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::mem::offset_of;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Items that wait at most.
pub const CAPACITY: u64 = 6;
/// Numbers of the items that the first victim puts; the second's are twice that.
pub const FRESH: u32 = 100;
const FILLERS: u32 = 1000;
/// Where the words of the queue's control lines lie that the checks look at.
const PUT_LOCK: usize = KIND_AT + offset_of!(QueueControl, put) + offset_of!(PutLine, lock);
const GET_LOCK: usize = KIND_AT + offset_of!(QueueControl, get) + offset_of!(GetLine, lock);
const CURSOR: usize = CONTROL_AT + offset_of!(Control, cursor);
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
    fn new() -> Log {
        Log(Board::new(512))
    }

    fn clear(&self) {
        self.0[0].store(0, SeqCst);
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

    fn events(&self) -> Vec<Event> {
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
}

impl Victim<'_> {
    pub fn note(&self, event: Event) {
        self.log.note(event);
    }

    /// Puts an item and writes it down.
    pub fn put(&self, id: u32) {
        self.note(Event::Putting(id));
        if put(self.queue, &item(id, self.bytes)).is_ok() {
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
        self.ready.iter().copied().take(n).chain(put_since).collect()
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
        let raw = Raw::of(&location);
        let (slots, stride) = (queue.plan().slots, queue.plan().stride);
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
        let ring_len = usize::try_from(Ring::length_for(self.slots)).expect("short");
        (BODY_AT + 3 * 4 * ring_len).next_multiple_of(64)
    }

    /// Forks a victim that dies at the `n`th point that it passes, or right after the operation. True if it had returned.
    pub fn kill_in(&mut self, op: &Op, n: u64, nth_victim: u32, registers: bool) -> bool {
        let ended_before = self.ends();
        let mut child = Child::run(|| {
            let victim = Victim {
                queue: self.queue(),
                log: &self.log,
                ready: &self.ready,
                dead: &self.dead,
                bytes: self.bytes,
                fresh: FRESH * nth_victim,
            };
            if !registers {
                victim.queue.segment().me().expect("registered");
            }
            fault::arm(i64::try_from(n).expect("few"));
            (op.run)(&victim);
            fault::arm(-1);
            self.log.note(Event::End);
            die();
        });
        let ended = child.end();
        assert_eq!(ended, BY_SIGKILL, "the victim of '{}' at {n}", op.name);
        self.ends() > ended_before
    }

    /// Forks a process that stops at the `n`th point that it passes, if there is one, and does the rest when it is let go on.
    pub fn stop_in(&self, op: &Op, n: u64) -> Child {
        let mut child = Child::run(|| {
            let victim = Victim {
                queue: self.queue(),
                log: &self.log,
                ready: &self.ready,
                dead: &self.dead,
                bytes: self.bytes,
                fresh: FRESH,
            };
            victim.queue.segment().me().expect("registered");
            fault::arm_to_stop(i64::try_from(n).expect("few"));
            (op.run)(&victim);
            fault::arm(-1);
            self.log.note(Event::End);
        });
        super::wait_for("a stop or an end", Duration::from_secs(10), || {
            child.state() == 'T' || child.wait(Duration::ZERO).is_some()
        });
        child
    }

    /// What a survivor can do beside a stopped process: takes an item and puts one, if it need not wait for a lock.
    pub fn go_on_beside_the_stopped(&mut self) -> Result<(), String> {
        let mut tick = || Ok(());
        let soon = || Deadline::after(Some(Duration::from_millis(1)));
        let now = Deadline::after(Some(Duration::ZERO));
        let mut small = [0; INLINE_MAX];
        let got = self.queue().get(&mut small, &mut Wait { lock: soon(), change: now, tick: &mut tick });
        let bytes = match got {
            Ok(Got::Copied(len)) => Some(small[..len].to_vec()),
            Ok(Got::Leased(lease)) => {
                let mut out = vec![0; lease.len()];
                self.queue().read(&lease, &mut out).map_err(|error| format!("read: {error:?}"))?;
                // The stopped one may hold the lock when this is to be ended: then it ends with the next repair.
                match self.queue().release(&lease, &mut Wait { lock: soon(), change: now, tick: &mut tick }) {
                    Ok(()) => Some(out),
                    Err(Error::Busy) => {
                        self.queue().abandon_lease(&lease);
                        self.log.note(Event::Late(id_of(&out)?));
                        None
                    }
                    Err(error) => return Err(format!("release: {error:?}")),
                }
            }
            Err(Error::Empty) => None,
            Err(error) => return Err(format!("get: {error:?}")),
        };
        if let Some(bytes) = bytes {
            let id = id_of(&bytes)?;
            self.log.note(Event::Taking(id));
            self.log.note(Event::Took(id));
            self.log.note(Event::Limit(1));
        }
        let fresh = 3 * FRESH;
        let put = item(fresh, self.bytes);
        self.log.note(Event::Putting(fresh));
        self.log.note(Event::Late(fresh)); // the stopped one may put a lower number later
        match self.queue().put(&[&put], &mut Wait { lock: soon(), change: now, tick: &mut tick }) {
            Ok(()) => self.log.note(Event::Put(fresh)),
            // A large item may wait in its slot for the lock that the stopped one holds.
            Err(Error::Full | Error::Busy) => {}
            Err(error) => return Err(format!("put: {error:?}")),
        }
        Ok(())
    }

    fn ends(&self) -> usize {
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

    /// What the shared memory looks like, without clocks and pids.
    fn fingerprint(&self) -> u64 {
        let ring_bytes = 3 * 4 * usize::try_from(Ring::length_for(self.slots)).expect("short");
        let mut bytes = self.raw.bytes(CONTROL_AT, 16);
        bytes.extend(self.raw.bytes(KIND_AT, CONTROL_LINES));
        bytes.extend(self.raw.bytes(BODY_AT, ring_bytes));
        let slots_at = self.slots_at();
        for number in 0..usize::try_from(self.slots).expect("few") {
            let mut head = self.raw.bytes(slots_at + number * self.stride, SLOT_HEAD);
            let since = offset_of!(SlotHead, since_ms);
            head[since..since + 4].fill(0);
            bytes.extend(head);
        }
        penstock_core::layout::checksum(&bytes)
    }

    // --------------------------------------------------------------------------------------------- the survivor

    /// Goes on after the deaths, and accounts for everything.
    pub fn survive(&mut self, first: First) -> Result<(), String> {
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

/// Length of a reserved item that was sent shorter than reserved: it fits the slot itself.
pub const SHORT: usize = 40;

impl Drop for Scene {
    fn drop(&mut self) {
        self.newcomer = None;
        self.queue = None;
        let _ = std::fs::remove_file(&self.location.path);
    }
}

// ------------------------------------------------------------------------------------------------------- sweeps

/// What many deaths came to.
pub struct Tally {
    what: &'static str,
    begun: Instant,
    points: u64,
    distinct: HashSet<u64>,
    failures: Vec<String>,
}

impl Tally {
    pub fn new(what: &'static str) -> Tally {
        Tally { what, begun: Instant::now(), points: 0, distinct: HashSet::new(), failures: Vec::new() }
    }

    /// Counts one death, and lets the survivor go on.
    pub fn count(&mut self, scene: &mut Scene, first: First, story: impl FnOnce() -> String) {
        self.distinct.insert(scene.fingerprint());
        let outcome = scene.survive(first);
        self.count_outcome(outcome, || format!("{}, then {first:?}", story()));
    }

    pub fn count_outcome(&mut self, outcome: Result<(), String>, story: impl FnOnce() -> String) {
        self.points += 1;
        if let Err(why) = outcome {
            self.failures.push(format!("{}: {why}", story()));
        }
    }

    /// Says how it went, in one line, and fails if anything did.
    pub fn finish(self) {
        let mut line = format!(
            "{}: {} points, {} distinct states, {} failures, {:.1} s",
            self.what,
            self.points,
            self.distinct.len(),
            self.failures.len(),
            self.begun.elapsed().as_secs_f64()
        );
        tell(&line);
        for failure in self.failures.iter().take(20) {
            let _ = write!(line, "\n  {failure}");
        }
        assert!(self.failures.is_empty(), "{line}");
    }
}

/// Kills a victim at every point of `op`, for every filling, size and survivor.
pub fn sweep(tally: &mut Tally, place: &Place, op: &Op, registers: bool) {
    for (size, fill) in op.sizes.iter().flat_map(|size| FILLS.map(|fill| (*size, fill))) {
        for first in FIRSTS {
            for n in 0.. {
                let mut scene = Scene::new(place, op, size, fill);
                let has_returned = scene.kill_in(op, n, 1, registers);
                tally.count(&mut scene, first, || format!("{} {size:?} {fill:?}, killed at {n}", op.name));
                if has_returned {
                    break;
                }
            }
        }
    }
}

/// Kills one victim at some points of `op`, and a second one at every point of `heir`, which meets what the first left.
pub fn sweep_two(tally: &mut Tally, place: &Place, op: &Op, heir: &Op, size: Size, fill: Fill, stride: usize) {
    for n in (0..).step_by(stride) {
        let mut has_returned = false;
        for m in 0.. {
            let mut scene = Scene::new(place, op, size, fill);
            has_returned = scene.kill_in(op, n, 1, false);
            let is_last = scene.kill_in(heir, m, 2, false);
            let first = FIRSTS[usize::try_from(n + m).expect("few") % 3]; // those that need no number
            tally.count(&mut scene, first, || {
                format!("{} {size:?} {fill:?}, killed at {n}, then {} killed at {m}", op.name, heir.name)
            });
            if is_last {
                break;
            }
        }
        if has_returned {
            break;
        }
    }
}

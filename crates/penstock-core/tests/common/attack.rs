//! Objects in use whose words are overwritten between one call and the next, and files whose first page lies. What is
//! done to them is chosen by dice or by a fuzzer's bytes: the tests and the fuzz targets share all of this.
//!
//! Whatever comes of it, it is a typed error or plain success. A fault, a panic or a hang is for the caller to see.

use super::{Child, Dice, Place, at_once, die, plan, put};
use penstock_core::deadline::Deadline;
use penstock_core::layout::{
    BODY_AT, CONTROL_AT, Control, Entry, Fixed, KIND_AT, LINE, Owner, PAGE, PAIR, PARAMS, QueueControl, SlotHead,
    State, TABLE_AT, checksum, state_word,
};
use penstock_core::mapping::Mapping;
use penstock_core::mutex::Mutex;
use penstock_core::queue::{Expectation, Got, Lease, Plan, Reservation, Wait};
use penstock_core::rings::Length;
use penstock_core::segment::{Lifetime, Segment, Trust};
use penstock_core::semaphore::{self, Semaphore};
use penstock_core::signal::Event;
use penstock_core::slots::INLINE_MAX;
use penstock_core::stats::{Common, QueueStats};
use penstock_core::waiting::{Target, wait_any};
use penstock_core::{Error, Location, Queue, listing};
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

// ------------------------------------------------------------------------------------------------------- choices

/// Where choices come from.
pub trait Choices {
    /// Any number.
    fn roll(&mut self) -> u64;
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64;
    /// There are no more choices; all that follow are 0.
    fn is_over(&self) -> bool;
}

impl Choices for Dice {
    fn roll(&mut self) -> u64 {
        Dice::roll(self)
    }

    fn below(&mut self, end: u64) -> u64 {
        Dice::below(self, end)
    }

    fn is_over(&self) -> bool {
        false
    }
}

/// Choices written down: a fuzzer's bytes, or a case that was found earlier.
pub struct Script<'a>(pub &'a [u8]);

impl Script<'_> {
    fn number(&mut self, bytes: usize) -> u64 {
        let (now, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        now.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl Choices for Script<'_> {
    fn roll(&mut self) -> u64 {
        self.number(8)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.number(if end <= 256 { 1 } else { 2 }) % end.max(1)
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

// ------------------------------------------------------------------------------------------------------- bytes

/// A segment's bytes mapped once more: whatever is written here, the object under attack reads as a peer's.
pub struct View {
    base: *mut u8,
    len: usize,
}

// SAFETY: shared words, as between processes.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    pub fn of(location: &Location) -> View {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&location.path).expect("the segment's file");
        let len = usize::try_from(file.metadata().expect("its length").len()).expect("short");
        // SAFETY: a new mapping of a file that is `len` bytes long.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert!(base != libc::MAP_FAILED, "a second map");
        View { base: base.cast(), len }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    fn u32(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= self.len);
        // SAFETY: inside the map and aligned; atomics only.
        unsafe { &*self.base.add(at).cast() }
    }

    fn u64(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= self.len);
        // SAFETY: inside the map and aligned; atomics only.
        unsafe { &*self.base.add(at).cast() }
    }

    fn copy_out(&self, at: usize, len: usize) -> Vec<u8> {
        assert!(at + len <= self.len);
        // SAFETY: inside the map. Who uses the segment meanwhile does so through another map, as a peer would.
        unsafe { std::slice::from_raw_parts(self.base.add(at), len) }.to_vec()
    }

    /// As one big store of a peer, quick enough to be done before each case.
    fn copy_in(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len);
        // SAFETY: inside the map, which is not `bytes`.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(at), bytes.len()) };
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: mapped in `of` with this length.
        unsafe { libc::munmap(self.base.cast(), self.len) };
    }
}

/// What to overwrite: the words of one segment, its interesting regions, and its bytes while all was well.
pub struct Words {
    view: View,
    image: Vec<u8>,
    regions: Vec<(usize, usize)>,
    /// Who holds something and lives: this process and the bystander. Chosen rarely, for who waits for them waits long.
    living: [Owner; 2],
}

/// Participants whose entries are overwritten; the others' are as good as these.
const ENTRIES: usize = 6;

impl Words {
    /// `more` are the regions that the kind has besides those that all have.
    fn of(location: &Location, me: Owner, more: &[(usize, usize)]) -> Words {
        let view = View::of(location);
        let mut regions = vec![
            (CONTROL_AT, size_of::<Control>()),
            (KIND_AT, 2 * LINE),
            (TABLE_AT, ENTRIES * size_of::<Entry>()),
            (CONTROL_AT, BODY_AT - CONTROL_AT),
        ];
        regions.extend(more);
        let end = regions.iter().map(|(at, len)| at + len).max().expect("regions");
        let image = view.copy_out(CONTROL_AT, end - CONTROL_AT);
        Words { view, image, regions, living: [me, Owner::new(me.index() + 1, 1)] }
    }

    /// All as it was.
    pub fn restore(&self) {
        self.view.copy_in(CONTROL_AT, &self.image);
    }

    /// Overwrites one word, or now and then all of a region.
    pub fn overwrite(&self, choices: &mut impl Choices) {
        let (start, len) = self.regions[choices.below(self.regions.len() as u64) as usize];
        let at = start + 4 * choices.below(len as u64 / 4) as usize;
        match choices.below(64) {
            0 => {
                let mut bytes = vec![0; len];
                let mut noise = Dice::new(choices.roll());
                bytes.iter_mut().for_each(|byte| *byte = noise.roll() as u8);
                self.view.copy_in(start, &bytes);
            }
            n if n % 2 == 0 && at.is_multiple_of(8) => {
                let old = self.view.u64(at).load(Relaxed);
                self.view.u64(at).store(self.word(choices, old), Relaxed);
            }
            _ => {
                let old = self.view.u32(at).load(Relaxed);
                self.view.u32(at).store(self.word(choices, old.into()) as u32, Relaxed);
            }
        }
    }

    /// A word that may be plausible where it stands.
    fn word(&self, choices: &mut impl Choices, old: u64) -> u64 {
        match choices.below(13) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            3 => old ^ 1 << choices.below(64),
            4 => old.wrapping_add(1),
            5 => old.wrapping_sub(1),
            6 => choices.below(16),
            7 => self.owner(choices).word().into(),
            8 => state_word([State::Free, State::Ready, State::Expired][choices.below(3) as usize], choices.below(9)),
            9 => state_word(State::Leased(self.owner(choices)), choices.below(9)),
            10 => state_word(State::Writing(self.owner(choices)), 0),
            11 => old.wrapping_add(choices.below(9)).wrapping_sub(4),
            _ => choices.roll(),
        }
    }

    fn owner(&self, choices: &mut impl Choices) -> Owner {
        // Nobody, the dead, somebody of another time, one that no number names, the one who gave up.
        let gone = [Owner::new(0, 1), Owner::new(3, 1), Owner::new(900, 7), Owner::new(1, 5), Owner::new(1023, 9)];
        match choices.below(4096) as usize {
            n if n >= 4094 => self.living[n - 4094],
            n if n % 6 == 5 => Owner::BROKEN,
            n => gone[n % 6],
        }
    }
}

// ------------------------------------------------------------------------------------------------------- live objects

/// One object in use and the words that are overwritten under it.
pub trait Live {
    fn words(&self) -> &Words;

    /// Calls one verb. `hand` has what earlier calls returned.
    fn call(&self, choices: &mut impl Choices, hand: &mut Hand) -> u64;

    /// Verbs, and overwritten words between them. `note` is told the verb before it is called.
    fn attack(&self, choices: &mut impl Choices, steps: u32) {
        let mut hand = Hand::default();
        for _ in 0..steps {
            if choices.is_over() {
                break;
            }
            if choices.below(3) == 0 {
                self.words().overwrite(choices);
            } else {
                self.call(choices, &mut hand);
            }
        }
    }
}

/// What calls have returned and later ones use.
#[derive(Default)]
pub struct Hand {
    leases: Vec<Lease>,
    rooms: Vec<Reservation>,
}

/// Waits hardly ever, and never long.
fn briefly<R>(choices: &mut impl Choices, act: impl FnOnce(&mut Wait<'_>) -> R) -> R {
    let moment = if choices.below(256) == 255 { Duration::from_micros(100) } else { Duration::ZERO };
    let mut tick = || Ok(());
    let until = Deadline::after(Some(moment));
    act(&mut Wait { lock: until, change: until, tick: &mut tick })
}

/// A queue with something in every state.
pub struct LiveQueue {
    pub location: Location,
    pub queue: Queue,
    pub words: Words,
}

/// Items of a fixed size; of many sizes, with dead letters; and in a file of the user's own, with checks.
pub fn plans() -> [Plan; 3] {
    [plan(4, 8, 8), Plan { max_deliveries: 2, dead_letters: 2, ..plan(5, 0, 4000) }, plan(3, 0, 4000)]
}

impl LiveQueue {
    /// The queue of the `nth` plan. The caller sees to it that nobody else attaches before `bystander` does.
    pub fn new(place: &Place, nth: usize) -> LiveQueue {
        let plan = &plans()[nth];
        let mut location = place.at(&format!("queue-{nth}"));
        if nth == 2 {
            location = Location::file(&location.path).expect("a good path");
        }
        let queue = Queue::create(&location, plan).expect("created");
        let len = |large: usize| if plan.item_bytes > 0 { 8 } else { large };
        [3000, 20, 3500].iter().for_each(|large| put(&queue, &vec![7; len(*large)]).expect("room"));
        for _ in 0..plan.max_deliveries {
            let lease = queue.try_lease().expect("an item");
            at_once(|wait| queue.give_back(&lease, wait)).expect("given back");
        }
        // Somebody dies with an item and a reservation.
        let mut victim = Child::run(|| {
            let _hold = (queue.try_lease(), at_once(|wait| queue.reserve(len(3000), wait)));
            die();
        });
        victim.end();
        LiveQueue::around(location, queue)
    }

    pub fn around(location: Location, queue: Queue) -> LiveQueue {
        let words = Words::of(&location, queue.segment().me().expect("registered"), &queue_regions(&queue));
        LiveQueue { location, queue, words }
    }

    fn finish(&self, got: Result<Got, Error>, wait: &mut Wait<'_>) {
        if let Ok(Got::Leased(lease)) = got {
            self.check_len(lease.len());
            let mut out = vec![0; lease.len()];
            let _ = (self.queue.read(&lease, &mut out), self.queue.release(&lease, wait));
        }
    }

    fn check_len(&self, len: usize) {
        assert!(len as u64 <= self.queue.plan().max_item_bytes, "a length of {len} was believed");
    }

    fn look_at_leased(&self, lease: &Lease) {
        self.check_len(lease.len());
        let Ok(place) = self.queue.leased_bytes(lease) else { return };
        for at in [0, lease.len() / 2, lease.len().saturating_sub(1)] {
            if at < lease.len() {
                // SAFETY: `leased_bytes` vouches for `len` bytes.
                std::hint::black_box(unsafe { place.add(at).read_volatile() });
            }
        }
    }
}

fn queue_regions(queue: &Queue) -> Vec<(usize, usize)> {
    let slots = usize::try_from(queue.plan().slots).expect("few");
    let entries = usize::try_from(Length::of(slots as u64).entries()).expect("short");
    let slots_at = (BODY_AT + 12 * entries).next_multiple_of(PAIR);
    let mut regions = vec![
        (KIND_AT, size_of::<QueueControl>()),
        (KIND_AT, size_of::<QueueControl>()),
        (BODY_AT, 12 * entries),
        (slots_at, slots * queue.plan().stride),
    ];
    regions.extend((0..slots).map(|number| (slots_at + number * queue.plan().stride, size_of::<SlotHead>())));
    regions
}

impl Live for LiveQueue {
    fn words(&self) -> &Words {
        &self.words
    }

    fn call(&self, choices: &mut impl Choices, hand: &mut Hand) -> u64 {
        let queue = &self.queue;
        let verb = choices.below(26);
        let fixed = queue.plan().item_bytes > 0;
        let bytes = vec![1; if fixed { 8 } else { [8, 200, 3000][choices.below(3) as usize] }];
        let mut small = [0; INLINE_MAX];
        let count = choices.below(3);
        briefly(choices, |wait| match verb {
            0 => drop(queue.put(&[&bytes], wait)),
            1 => drop(queue.try_put(&[&bytes])),
            2 => drop(queue.put_batch(&bytes.repeat(3), wait)),
            3 => hand.rooms.extend(queue.reserve(bytes.len(), wait)),
            4 => drop(hand.rooms.pop().map(|room| queue.commit(&room, bytes.len() / 2, wait))),
            5 => drop(hand.rooms.pop().map(|room| queue.cancel(&room, wait))),
            6 => drop(hand.rooms.pop().map(|room| queue.abandon_reservation(&room))),
            7 => self.finish(queue.get(&mut small, wait), wait),
            8 => self.finish(queue.try_get(&mut small), wait),
            9 => {
                let (mut out, mut lens) = (Vec::new(), Vec::new());
                let _ = queue.get_batch(3, &mut out, &mut lens, wait);
                assert!(lens.iter().sum::<usize>() <= out.len());
            }
            10 => hand.leases.extend(queue.lease(wait)),
            11 => hand.leases.extend(queue.try_lease()),
            12 => drop(hand.leases.pop().map(|lease| queue.ack(&lease, wait))),
            13 => drop(hand.leases.pop().map(|lease| queue.give_back(&lease, wait))),
            14 => drop(hand.leases.pop().map(|lease| queue.give_back_or_abandon(&lease))),
            15 => hand.leases.last().iter().for_each(|lease| self.look_at_leased(lease)),
            16 => queue.peek(20, wait).iter().flatten().for_each(|item| self.check_len(item.len())),
            17 => queue.peek_dead(20, wait).iter().flatten().for_each(|item| self.check_len(item.len())),
            18 => self.finish(queue.get_dead(&mut small, wait), wait),
            19 => drop(queue.requeue_dead(wait)),
            20 => drop(queue.purge(wait).and(queue.purge_dead(wait))),
            21 => drop(queue.task_done(count, wait).and(queue.join(wait))),
            22 => {
                let _ = (queue.depth(), queue.len(), queue.totals(), queue.unsettled(), queue.dead_len());
                let _ = (queue.is_full(), queue.is_gettable(), queue.is_puttable(), queue.is_shut_down());
                let _ = (queue.glance_for_item(10), queue.glance_for_room(10));
                drop(QueueStats::of(queue));
            }
            23 => drop(if count == 0 { queue.shut_down_at_once(wait) } else { queue.shut_down(wait) }),
            24 => drop(wait_any(&[Target::Queue(queue)], wait.change, &mut || Ok(()))),
            _ if count == 0 => drop(listing::inspect(&self.location)),
            // Another handle: newcomers repair.
            _ => drop(Queue::open(&self.location, &Expectation::default(), Trust::OwnOnly)),
        });
        verb
    }
}

/// The kinds that are their control lines and nothing else, and plain memory.
pub enum Small {
    Mutex(Mutex),
    Semaphore(Semaphore),
    Event(Event),
    Mapping(Mapping),
}

/// One of them in use.
pub struct LiveSmall {
    pub object: Small,
    pub words: Words,
    pub location: Location,
}

pub const SMALL: usize = 4;
const MAPPED_BYTES: u64 = 5000;

impl LiveSmall {
    pub fn new(place: &Place, nth: usize) -> LiveSmall {
        let location = place.at(&format!("small-{nth}"));
        let object = Small::create(&location, nth);
        let me = object.segment().me().expect("registered");
        let mut victim = Child::run(|| {
            if let Small::Mutex(mutex) = &object {
                let _ = mutex.try_take();
            }
            let _ = object.segment().me();
            die();
        });
        victim.end();
        LiveSmall { words: Words::of(&location, me, &[]), object, location }
    }
}

impl Small {
    pub fn create(location: &Location, nth: usize) -> Small {
        let lifetime = Lifetime::UntilUnlinked;
        match nth {
            0 => Small::Mutex(Mutex::create(location, lifetime).expect("created")),
            1 => {
                let plan = semaphore::Plan { value: 2, maximum: 3, lifetime };
                Small::Semaphore(Semaphore::create(location, &plan).expect("created"))
            }
            2 => Small::Event(Event::create(location, true, lifetime).expect("created")),
            _ => Small::Mapping(Mapping::create(location, MAPPED_BYTES, lifetime).expect("created")),
        }
    }

    pub fn open(location: &Location, nth: usize) -> Result<Small, Error> {
        Ok(match nth {
            0 => Small::Mutex(Mutex::open(location, None, Trust::OwnOnly)?),
            1 => Small::Semaphore(Semaphore::open(location, None, None, Trust::OwnOnly)?),
            2 => Small::Event(Event::open(location, None, None, Trust::OwnOnly)?),
            _ => Small::Mapping(Mapping::open(location, None, None, Trust::OwnOnly)?),
        })
    }

    pub fn segment(&self) -> &Segment {
        match self {
            Small::Mutex(mutex) => mutex.segment(),
            Small::Semaphore(semaphore) => semaphore.segment(),
            Small::Event(event) => event.segment(),
            Small::Mapping(mapping) => mapping.segment().expect("a named one"),
        }
    }

    fn call(&self, choices: &mut impl Choices, location: &Location) -> u64 {
        let verb = choices.below(9);
        let count = choices.below(4) as u32;
        briefly(choices, |wait| match (self, verb) {
            (_, 0) => drop(Common::of(self.segment())),
            (_, 1) => drop(listing::inspect(location)),
            (Small::Mutex(mutex), 2) => drop(mutex.try_take()),
            (Small::Mutex(mutex), 3) => drop(mutex.take(wait.change, wait.tick)),
            (Small::Mutex(mutex), 4) => drop(mutex.release()),
            (Small::Mutex(mutex), 5) => drop(wait_any(&[Target::Mutex(mutex)], wait.change, wait.tick)),
            (Small::Mutex(mutex), 6) => drop(Mutex::open(location, None, Trust::OwnOnly).map(|_| mutex.depth())),
            (Small::Mutex(mutex), _) => {
                let _ = (mutex.is_owned(), mutex.is_abandoned(), mutex.depth());
                let _ = (mutex.is_locked(), mutex.owner_pid());
            }
            (Small::Semaphore(semaphore), 2) => drop(semaphore.try_acquire()),
            (Small::Semaphore(semaphore), 3) => drop(semaphore.acquire(wait.change, wait.tick)),
            (Small::Semaphore(semaphore), 4) => drop(semaphore.release(count)),
            (Small::Semaphore(semaphore), 5) => {
                drop(wait_any(&[Target::Semaphore(semaphore)], wait.change, wait.tick));
            }
            (Small::Semaphore(semaphore), _) => {
                assert!(
                    semaphore.value().is_ok_and(|value| value <= semaphore.maximum()) || semaphore.value().is_err()
                );
            }
            (Small::Event(event), 2) => event.set(),
            (Small::Event(event), 3) => event.clear(),
            (Small::Event(event), 4) => drop(event.try_wait()),
            (Small::Event(event), 5) => drop(event.wait(wait.change, wait.tick)),
            (Small::Event(event), 6) => drop(wait_any(&[Target::Event(event)], wait.change, wait.tick)),
            (Small::Event(event), _) => drop(event.is_set()),
            (Small::Mapping(mapping), 2) => drop(mapping.flush(count as usize * 2000, 5000)),
            (Small::Mapping(mapping), _) => {
                for at in [0, mapping.len() - 1] {
                    // SAFETY: inside the mapping.
                    std::hint::black_box(unsafe { mapping.base().add(at).read_volatile() });
                }
            }
        });
        verb
    }
}

impl Live for LiveSmall {
    fn words(&self) -> &Words {
        &self.words
    }

    fn call(&self, choices: &mut impl Choices, _hand: &mut Hand) -> u64 {
        self.object.call(choices, &self.location)
    }
}

/// One of each, all in use by this process, by a living bystander that does nothing, and by somebody dead.
pub struct World {
    pub queues: Vec<LiveQueue>,
    pub small: Vec<LiveSmall>,
}

impl World {
    pub fn new(place: &Place) -> World {
        World {
            queues: (0..plans().len()).map(|nth| LiveQueue::new(place, nth)).collect(),
            small: (0..SMALL).map(|nth| LiveSmall::new(place, nth)).collect(),
        }
    }

    /// Puts one of the objects in order and attacks it.
    pub fn attack(&self, choices: &mut impl Choices, steps: u32) {
        let queues = self.queues.len() as u64;
        // Two of three go for the queues: there is most to find.
        match choices.below(2 * queues + SMALL as u64) {
            n if n < 2 * queues => self.attack_on(&self.queues[(n % queues) as usize], choices, steps),
            n => self.attack_on(&self.small[(n - 2 * queues) as usize], choices, steps),
        }
    }

    fn attack_on(&self, live: &impl Live, choices: &mut impl Choices, steps: u32) {
        live.words().restore();
        live.attack(choices, steps);
    }

    pub fn restore(&self) {
        self.queues.iter().for_each(|live| live.words.restore());
        self.small.iter().for_each(|live| live.words.restore());
    }

    /// Registers in everything.
    pub fn attach_all(&self) {
        self.queues.iter().for_each(|live| drop(live.queue.segment().me()));
        self.small.iter().for_each(|live| drop(live.object.segment().me()));
    }
}

// ------------------------------------------------------------------------------------------------------- files

/// Sets the check of the first page right again.
pub fn sign(bytes: &mut [u8]) {
    let check = checksum(&bytes[..offset_of!(Fixed, check)]);
    bytes[offset_of!(Fixed, check)..size_of::<Fixed>()].copy_from_slice(&check.to_le_bytes());
}

/// A file under a name that is opened again and again, each time with other bytes in it.
pub struct Door {
    location: Location,
    /// Its other name: a first page that says `while_open` has the first one removed.
    spare: PathBuf,
    file: std::fs::File,
    view: View,
    images: Vec<Vec<u8>>,
}

/// Room for every image, and some more.
const DOOR_BYTES: usize = 96 * 1024;

impl Door {
    /// Its images are left by a process of each kind: one that closed everything, and one that was killed.
    pub fn new(place: &Place) -> Door {
        let mut images = Vec::new();
        for nth in 0..2 * (plans().len() + SMALL) {
            let is_killed = nth % 2 == 1;
            let location = place.at("image");
            let mut maker = Child::run(|| {
                make_image(&location, nth / 2);
                if is_killed {
                    die();
                }
            });
            maker.end();
            let mut bytes = std::fs::read(&location.path).expect("bytes");
            assert!(bytes.len() <= DOOR_BYTES);
            bytes.truncate(DOOR_BYTES);
            images.push(bytes);
            std::fs::remove_file(&location.path).expect("removed");
        }
        let location = place.at("door");
        super::write_private(&location.path, &vec![0; DOOR_BYTES]);
        let file = std::fs::OpenOptions::new().write(true).open(&location.path).expect("opened");
        let spare = place.path().join("spare");
        std::fs::hard_link(&location.path, &spare).expect("a second name");
        Door { view: View::of(&location), location, spare, file, images }
    }

    /// Puts bytes there and opens them as what they may be; if that works, uses what was opened.
    pub fn visit(&self, choices: &mut impl Choices, raw: Option<&[u8]>) -> bool {
        let which = choices.below(self.images.len() as u64) as usize;
        if !self.location.path.exists() {
            std::fs::hard_link(&self.spare, &self.location.path).expect("its name again");
        }
        self.file.set_len(DOOR_BYTES as u64).expect("sized");
        if let Some(raw) = raw {
            let raw = &raw[..raw.len().min(DOOR_BYTES)];
            self.view.copy_in(0, raw);
            self.file.set_len(raw.len() as u64).expect("sized");
        } else {
            self.falsify(choices, &self.images[which]);
        }
        let kind = if choices.below(16) == 0 { choices.below(5) as usize } else { kind_of(which / 2) };
        if choices.below(4) == 0 {
            drop(listing::inspect(&self.location));
        }
        self.open_and_use(choices, kind)
    }

    /// The same as a fuzzer's bytes say: after a 0 they are a file, else choices.
    pub fn visit_as_told(&self, bytes: &[u8]) {
        match bytes.split_first() {
            Some((0, raw)) => self.visit(&mut Script(&[]), Some(raw)),
            Some((_, script)) => self.visit(&mut Script(script), None),
            None => false,
        };
    }

    fn falsify(&self, choices: &mut impl Choices, image: &[u8]) {
        let mut head: [u8; PAGE] = image[..PAGE].try_into().expect("a page");
        for _ in 0..choices.below(4) {
            falsify_field(choices, &mut head);
        }
        if choices.below(16) > 0 {
            sign(&mut head);
        }
        self.view.copy_in(0, &head);
        self.view.copy_in(PAGE, &image[PAGE..]);
        for _ in 0..choices.below(6) {
            let at = CONTROL_AT + 4 * choices.below((image.len() - CONTROL_AT) as u64 / 4) as usize;
            let word = if choices.below(2) == 0 { choices.below(16) } else { choices.roll() };
            self.view.u32(at).store(word as u32, Relaxed);
        }
        let len = if choices.below(16) == 0 { choices.below(DOOR_BYTES as u64) } else { image.len() as u64 };
        self.file.set_len(len).expect("sized");
    }

    fn open_and_use(&self, choices: &mut impl Choices, kind: usize) -> bool {
        if kind < SMALL {
            let Ok(object) = Small::open(&self.location, kind) else { return false };
            for _ in 0..4 {
                object.call(choices, &self.location);
            }
            return true;
        }
        let Ok(queue) = Queue::open(&self.location, &Expectation::default(), Trust::OwnOnly) else { return false };
        let words = Words {
            view: View::of(&self.location),
            image: Vec::new(),
            regions: Vec::new(),
            living: [Owner::BROKEN; 2],
        };
        let live = LiveQueue { location: self.location.clone(), queue, words };
        let mut hand = Hand::default();
        for _ in 0..6 {
            live.call(choices, &mut hand);
        }
        true
    }
}

/// The number of the kind in the list of small ones, or that of the queue.
fn kind_of(image: usize) -> usize {
    if image < SMALL { image } else { SMALL }
}

fn make_image(location: &Location, nth: usize) {
    if nth < SMALL {
        let object = Small::create(location, nth);
        if let Small::Mutex(mutex) = &object {
            let _ = mutex.try_take();
        }
        return;
    }
    let plan = &plans()[nth - SMALL];
    let location =
        if nth - SMALL == 2 { Location::file(&location.path).expect("a good path") } else { location.clone() };
    let queue = Queue::create(&location, plan).expect("created");
    let len = if plan.item_bytes > 0 { 8 } else { 3000 };
    for _ in 0..2 {
        put(&queue, &vec![5; len]).expect("room");
    }
    let _hold = (queue.try_lease(), at_once(|wait| queue.reserve(len, wait)));
}

/// Writes one field of the first page, or one of its words.
fn falsify_field(choices: &mut impl Choices, head: &mut [u8; PAGE]) {
    let wide = [offset_of!(Fixed, total_bytes), offset_of!(Fixed, committed_bytes), offset_of!(Fixed, created_unix_ms)];
    let narrow = [
        offset_of!(Fixed, version),
        offset_of!(Fixed, byte_order),
        offset_of!(Fixed, kind),
        offset_of!(Fixed, flags),
        offset_of!(Fixed, item_len),
        offset_of!(Fixed, item),
    ];
    let (at, len) = match choices.below(4) {
        0 => (wide[choices.below(wide.len() as u64) as usize], 8),
        1 => (narrow[choices.below(narrow.len() as u64) as usize], 4),
        _ => (offset_of!(Fixed, params) + 8 * choices.below(PARAMS as u64) as usize, 8),
    };
    let mut old = [0; 8];
    old[..len].copy_from_slice(&head[at..at + len]);
    let old = u64::from_le_bytes(old);
    let new = match choices.below(7) {
        0 => choices.roll(),
        1 => choices.below(100),
        2 => old.wrapping_add(choices.below(9)).wrapping_sub(4),
        3 => 1 << choices.below(64),
        4 => u64::MAX - choices.below(3),
        5 => old.wrapping_add(PAGE as u64),
        _ => old.wrapping_mul(2),
    };
    head[at..at + len].copy_from_slice(&new.to_le_bytes()[..len]);
}

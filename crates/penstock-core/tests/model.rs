//! Two and three processes at once: everything that they can do to each other, within stated bounds, by loom.
//!
//! The code that runs is the real one: lock, event, table of participants, slots, and whole queues. Under it lie words
//! that loom watches (`src/atomic/model.rs`) and a system in memory (`src/sys/model.rs`). loom tries every order of the
//! processes' loads and stores, and every value that a load may see by the memory model of C++, in which a processor
//! may hold stores back; within these bounds:
//!
//! - up to three processes and one that checks afterwards, each with the few calls that its model shows;
//! - so many preemptions as are printed; a process that sleeps or ends gives way without being counted;
//! - of each word, the last seven stores, which all agree on the order of; no spinning before a sleep;
//! - four bounds of sleeps that pass in one process; what comes later is tried in one order, the fair one.
//!
//! Where somebody dies, it dies at each of its steps in turn: before each store, before and after each call that sleeps
//! or wakes. Where nobody dies, no sleep ends by itself: a wake-up that is lost ends the model, because all sleep.
//!
//! Run by `make models`. `PENSTOCK_MODEL_DEEPER=1` allows one preemption more, everywhere.
#![cfg(loom)]
#![allow(missing_docs)]

#[path = "common/explore.rs"]
mod explore;

use explore::{Model, Notes, is_longer};
use loom::thread::JoinHandle;
use penstock_core::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use penstock_core::atomic::model::{Doom, Process, acting_as, play};
use penstock_core::atomic::{AtomicU32, AtomicU64, reading, writing};
use penstock_core::deadline::Deadline;
use penstock_core::event::HEARTBEAT;
use penstock_core::layout::{Owner, SlotHead, State, carries_seq, state_word};
use penstock_core::lock::{self, OnDeath, Taken};
use penstock_core::participant::Table;
use penstock_core::queue::{Expectation, Got, Plan, Wait};
use penstock_core::segment::{Glimpse, Lifetime, Trust};
use penstock_core::slots::{INLINE_MAX, look, shift};
use penstock_core::sys::model::dies_before;
use penstock_core::{Error, Location, Queue, event};
use std::sync::Arc;
use std::time::Duration;

// ------------------------------------------------------------------------------------------------------- the lock

/// A lock, something that it protects, and a queue's table of participants, in which the processes 1, 2 and 3 are.
struct Protected {
    word: AtomicU32,
    bytes: u8,
    handles: Vec<Queue>,
    /// What a newcomer sees.
    outside: Glimpse,
}

impl Protected {
    fn new(name: &str) -> Arc<Protected> {
        let handles = queues(name, 1, 3);
        let outside = Glimpse::at(handles[0].segment().location()).expect("it is there");
        let protected = Arc::new(Protected { word: AtomicU32::new(0), bytes: 0, handles, outside });
        let me = protected.me(1);
        assert!(lock::try_take(&protected.word, me));
        protected.use_it();
        lock::give_back(&protected.word);
        protected
    }

    fn handle(&self, process: Process) -> &Queue {
        &self.handles[process as usize]
    }

    fn me(&self, process: Process) -> Owner {
        acting_as(process, || self.handle(process).segment().me().expect("registered"))
    }

    /// loom sees to it that nobody else does so meanwhile, and that whoever did so before has told of it.
    fn use_it(&self) {
        writing(&raw const self.bytes);
    }

    fn take(&self, table: &Table<'_>, deadline: Deadline) -> Result<Taken, Error> {
        let me = table.me.expect("registered");
        lock::take(&self.word, me, table, OnDeath::Inherit, deadline, &mut || Ok(()))
    }

    fn hold_as(&self, process: Process, deadline: Deadline) -> Result<Taken, Error> {
        let table = self.handle(process).segment().table()?;
        let taken = self.take(&table, deadline)?;
        self.use_it();
        lock::give_back(&self.word);
        Ok(taken)
    }
}

#[test]
fn one_at_a_time_holds_a_lock_and_nobody_sleeps_on() {
    let protected = Protected::new("lock");
    Model::new("three take and give back a lock", 2).holds(move || {
        let run = |process| {
            let protected = Arc::clone(&protected);
            play(process, move || assert_eq!(protected.hold_as(process, Deadline::Never), Ok(Taken::Clean)))
        };
        [1, 2, 3].map(run).into_iter().for_each(|one| assert_eq!(one.join().expect("ended"), Some(())));
        assert_eq!(lock::owner_of(&protected.word), None);
    });
}

#[test]
fn who_gives_a_lock_up_in_the_middle_has_an_heir() {
    let protected = Protected::new("given up");
    Model::new("one of three gives a lock up in the middle of a change", 2).holds(move || {
        let inherited = Notes::<u32>::new();
        let quitter = Arc::clone(&protected);
        let one = play(1, move || {
            let table = quitter.handle(1).segment().table().expect("registered");
            quitter.take(&table, Deadline::Never).expect("a lock");
            quitter.use_it();
            lock::give_up(&quitter.word);
        });
        let run = |process| {
            let (protected, inherited) = (Arc::clone(&protected), inherited.clone());
            play(process, move || {
                let taken = protected.hold_as(process, Deadline::Never).expect("a lock");
                inherited.note(|count| *count += u32::from(taken == Taken::Inherited));
            })
        };
        let others = [2, 3].map(run);
        one.join().expect("ended");
        others.into_iter().for_each(|one| assert_eq!(one.join().expect("ended"), Some(())));
        // Nobody, if it was given up last of all.
        let is_broken = lock::owner_of(&protected.word) == Some(Owner::BROKEN);
        assert_eq!(inherited.read(), u32::from(!is_broken));
    });
}

#[test]
fn who_goes_away_at_its_deadline_keeps_nobody_else_asleep() {
    let protected = Protected::new("deadline");
    Model::with_impatient("one of three that want a lock has a deadline", 2, &[2]).holds(move || {
        let run = |process, times, deadline: fn() -> Deadline| {
            let protected = Arc::clone(&protected);
            play(process, move || {
                for _ in 0..times {
                    let held = protected.hold_as(process, deadline());
                    assert!(held == Ok(Taken::Clean) || process == 2 && held == Err(Error::Busy));
                }
            })
        };
        let soon = || Deadline::after(Some(Duration::from_millis(1)));
        let all = [run(1, 2, || Deadline::Never), run(2, 1, soon), run(3, 1, || Deadline::Never)];
        all.into_iter().for_each(|one| assert_eq!(one.join().expect("ended"), Some(())));
    });
}

#[test]
fn a_lock_passes_on_whenever_one_of_three_dies() {
    let protected = Protected::new("death");
    Model::new("one of three that want a lock dies", 2).holds_whenever_dies(1, move || {
        let inherited = Notes::<u32>::new();
        let run = |process| {
            let (protected, inherited) = (Arc::clone(&protected), inherited.clone());
            play(process, move || {
                let taken = protected.hold_as(process, Deadline::Never).expect("a lock");
                inherited.note(|count| *count += u32::from(taken == Taken::Inherited));
            })
        };
        let ended = [1, 2, 3].map(run).map(|one| one.join().expect("ended"));
        assert_eq!(ended[1..], [Some(()), Some(())]);
        assert!(inherited.read() <= 1, "there is one to inherit from");
    });
}

// ------------------------------------------------------------------------------------------------------- the event

/// Things that may be taken, and the event that tells of more.
struct Told {
    given: AtomicU32,
    taken: AtomicU32,
    event: AtomicU32,
}

impl Told {
    fn new() -> Arc<Told> {
        let told = Arc::new(Told { given: AtomicU32::new(0), taken: AtomicU32::new(0), event: AtomicU32::new(0) });
        for word in [&told.given, &told.taken, &told.event] {
            assert_eq!(word.load(Relaxed), 0); // known from here on
        }
        told
    }

    fn is_there(&self) -> bool {
        self.given.load(Acquire) > self.taken.load(Relaxed)
    }

    fn try_take(&self) -> bool {
        let given = self.given.load(Acquire);
        self.taken.fetch_update(AcqRel, Relaxed, |taken| (taken < given).then_some(taken + 1)).is_ok()
    }

    fn take(&self, deadline: Deadline) -> Result<(), Error> {
        loop {
            event::wait_until(&self.event, deadline, &mut || Ok(()), || self.is_there(), || Ok(()))?;
            if self.try_take() {
                return Ok(());
            }
        }
    }

    fn give_untold(&self) {
        self.given.fetch_add(1, AcqRel);
    }

    fn give(&self) {
        self.give_untold();
        event::signal(&self.event, 1);
    }
}

#[test]
fn everybody_who_waits_is_woken() {
    let told = Told::new();
    Model::new("two wait, and one tells of one thing and then of another", 2).holds(move || {
        let run = |process| {
            let told = Arc::clone(&told);
            play(process, move || told.take(Deadline::Never).expect("told"))
        };
        let waiting = [1, 2].map(run);
        let teller = Arc::clone(&told);
        let teller = play(3, move || {
            teller.give();
            teller.give();
        });
        waiting.into_iter().chain([teller]).for_each(|one| assert_eq!(one.join().expect("ended"), Some(())));
        assert!(!told.is_there());
    });
}

#[test]
fn who_waits_again_while_another_tells_is_woken() {
    let told = Told::new();
    Model::new("one waits twice, and two tell of one thing each", 2).holds(move || {
        let waiting = Arc::clone(&told);
        let waiting = play(1, move || (0..2).for_each(|_| waiting.take(Deadline::Never).expect("told")));
        let run = |process| {
            let told = Arc::clone(&told);
            play(process, move || told.give())
        };
        [2, 3].map(run).into_iter().chain([waiting]).for_each(|one| assert_eq!(one.join().expect("ended"), Some(())));
    });
}

#[test]
fn a_wake_up_for_somebody_who_goes_away_is_passed_on() {
    let told = Told::new();
    Model::with_impatient("two wait, one of them with a deadline, for one thing", 2, &[1]).holds(move || {
        let impatient = Arc::clone(&told);
        let impatient = play(1, move || impatient.take(Deadline::after(Some(Duration::from_millis(1)))).is_ok());
        let patient = Arc::clone(&told);
        let patient = play(2, move || patient.take(Deadline::Never).expect("told"));
        told.give();
        if impatient.join().expect("ended") == Some(true) {
            told.give(); // for the other
        }
        assert_eq!(patient.join().expect("ended"), Some(()));
    });
}

/// Two wait and one tells twice, and one of them dies. What the teller did not give is given without telling anybody.
fn waiting_beside(victim: Process, told: &Arc<Told>) {
    let run = |process| {
        let told = Arc::clone(told);
        play(process, move || told.take(Deadline::Never).expect("told"))
    };
    let waiting = [1, 2].map(run);
    let teller = Arc::clone(told);
    let teller = play(3, move || {
        teller.give();
        teller.give();
    });
    teller.join().expect("ended");
    (told.given.load(Relaxed)..2).for_each(|_| told.give_untold());
    let ended = waiting.map(|one| one.join().expect("ended"));
    for (process, ended) in [1, 2].into_iter().zip(ended) {
        assert!(ended.is_some() || process == victim);
    }
}

#[test]
fn who_waits_goes_on_whenever_the_teller_dies() {
    let told = Told::new();
    Model::new("two wait, and the teller dies", 1).holds_whenever_dies(3, move || waiting_beside(3, &told));
}

#[test]
fn who_waits_goes_on_whenever_another_that_waits_dies() {
    let told = Told::new();
    Model::new("two wait, and one of them dies", 1).holds_whenever_dies(1, move || waiting_beside(1, &told));
}

// ------------------------------------------------------------------------------------------------------- participants

#[test]
fn a_newcomer_with_the_number_of_the_dead_is_not_taken_for_the_dead() {
    let protected = Protected::new("newcomer");
    let number = protected.me(1).index();
    Model::new("one of three dies with a lock, and a newcomer takes its number and the lock", 2).holds_whenever_dies(
        1,
        move || {
            let run = |process| {
                let protected = Arc::clone(&protected);
                play(process, move || protected.hold_as(process, Deadline::Never).map(|_| ()).expect("a lock"))
            };
            let others = [1, 2].map(run);
            let newcomer = Arc::clone(&protected);
            let newcomer = play(4, move || {
                let unknown = newcomer.outside.table();
                // As long as the victim lives, there is no number left.
                let Ok((me, pulse)) = unknown.register() else { return };
                assert_eq!(me.index(), number);
                newcomer.take(&Table { me: Some(me), ..unknown }, Deadline::Never).expect("a lock");
                newcomer.use_it();
                lock::give_back(&newcomer.word);
                drop(pulse);
            });
            assert!(newcomer.join().expect("ended").is_some());
            assert!(others.map(|one| one.join().expect("ended"))[1].is_some());
        },
    );
}

// ------------------------------------------------------------------------------------------------------- slots

fn slot(state: u64, seq: u64) -> Arc<(SlotHead, u8)> {
    let head = SlotHead {
        state: AtomicU64::new(state),
        seq: AtomicU64::new(seq),
        len: AtomicU32::new(4),
        deliveries: AtomicU32::new(1),
        since_ms: AtomicU32::new(0),
        check: AtomicU32::new(0),
    };
    let slot = Arc::new((head, 0));
    assert_eq!((slot.0.state.load(Relaxed), slot.0.seq.load(Relaxed)), (state, seq)); // known from here on
    writing(&raw const slot.1);
    slot
}

#[test]
fn whoever_is_taken_for_dead_and_lives_moves_nothing_any_more() {
    let (zombie, other) = (Owner::new(1, 1), Owner::new(2, 1));
    let leased = state_word(State::Leased(zombie), 5);
    let slot = slot(leased, 5);
    Model::new("a leased slot is settled twice by its owner, and given to others", 4).holds(move || {
        let winners = Notes::<u32>::new();
        let settle = |process| {
            let (slot, winners) = (Arc::clone(&slot), winners.clone());
            play(process, move || {
                let is_mine = shift(&slot.0, leased, State::Free, 0).is_some();
                winners.note(|count| *count += u32::from(is_mine));
            })
        };
        let zombies = [1, 2].map(settle);
        let (taken, won) = (Arc::clone(&slot), winners.clone());
        let others = play(3, move || {
            let (head, byte) = (&taken.0, &raw const taken.1);
            let Some(word) = shift(head, leased, State::Ready, 5) else { return };
            won.note(|count| *count += 1);
            let word = shift(head, word, State::Leased(other), 5).expect("nobody else may move it");
            reading(byte);
            let word = shift(head, word, State::Free, 0).expect("nobody else may move it");
            writing(byte);
            head.seq.store(6, Relaxed);
            shift(head, word, State::Ready, 6).expect("nobody else may move it");
        });
        zombies.into_iter().chain([others]).for_each(|one| assert_eq!(one.join().expect("ended"), Some(())));
        assert_eq!(winners.read(), 1);
        assert!(matches!(look(&slot.0), Some((State::Free | State::Ready, _))));
    });
}

#[test]
fn who_sees_a_slots_state_sees_what_was_written_before() {
    let slot = slot(state_word(State::Free, 0), 0);
    Model::new("a slot is filled and emptied by those who look at its state alone", 4).holds(move || {
        let filler = Arc::clone(&slot);
        let filler = play(1, move || {
            for seq in 1..=2 {
                if let Some((State::Free, word)) = look(&filler.0) {
                    writing(&raw const filler.1);
                    filler.0.seq.store(seq, Relaxed);
                    shift(&filler.0, word, State::Ready, seq).expect("nobody else fills");
                }
            }
        });
        let emptier = Arc::clone(&slot);
        let emptier = play(2, move || {
            for _ in 0..2 {
                if let Some((State::Ready, word)) = look(&emptier.0) {
                    assert!(carries_seq(word, emptier.0.seq.load(Relaxed)));
                    reading(&raw const emptier.1);
                    shift(&emptier.0, word, State::Free, 0).expect("nobody else empties");
                }
            }
        });
        [filler, emptier].into_iter().for_each(|one| assert_eq!(one.join().expect("ended"), Some(())));
    });
}

// ------------------------------------------------------------------------------------------------------- queues

/// Handles of the processes 0 to `last` on a queue that has seen use and a death: all its words are known.
fn queues(name: &str, capacity: u64, last: Process) -> Vec<Queue> {
    let plan = Plan {
        capacity,
        item: "u4".into(),
        item_bytes: 4,
        max_item_bytes: 4,
        max_deliveries: 0,
        dead_letters: 0,
        lifetime: Lifetime::UntilUnlinked,
    };
    let location = Location::named("/models".as_ref(), name).expect("a good name");
    let first = Queue::create(&location, &plan).expect("created");
    let open = |process| {
        let opened = acting_as(process, || Queue::open(&location, &Expectation::default(), Trust::OwnOnly));
        opened.expect("opened")
    };
    let predecessor = open(4);
    assert_eq!(put(&first, 1000), Ok(()));
    dies_before(Doom { process: 4, after: u32::MAX }, || {
        let _ = predecessor.try_lease().expect("an item");
    });
    assert_eq!(get(&first), Ok(1000));
    at_once(|wait| first.task_done(1, wait)).expect("all done");
    for id in 0..=u32::try_from(capacity).expect("small") {
        assert_eq!(put(&first, id), Ok(()));
        let lease = first.try_lease().expect("an item");
        at_once(|wait| first.ack(&lease, wait)).expect("ours");
    }
    let others: Vec<Queue> = (1..=last).map(open).collect();
    std::iter::once(first).chain(others).collect()
}

fn within<R>(deadline: Deadline, act: impl FnOnce(&mut Wait<'_>) -> R) -> R {
    let mut tick = || Ok(());
    act(&mut Wait::until(deadline, &mut tick))
}

fn at_once<R>(act: impl FnOnce(&mut Wait<'_>) -> R) -> R {
    within(Deadline::after(Some(Duration::ZERO)), act)
}

/// Longer than one heartbeat, so that whoever waits beside the dead looks for them; then he gives up.
fn a_while() -> Deadline {
    Deadline::after(Some(HEARTBEAT + Duration::from_millis(10)))
}

fn put(queue: &Queue, id: u32) -> Result<(), Error> {
    at_once(|wait| queue.put(&[&id.to_le_bytes()], wait))
}

fn get(queue: &Queue) -> Result<u32, Error> {
    at_once(|wait| get_waiting(queue, wait))
}

fn get_waiting(queue: &Queue, wait: &mut Wait<'_>) -> Result<u32, Error> {
    let mut out = [0; INLINE_MAX];
    let got = queue.get(&mut out, wait)?;
    assert_eq!(got, Got::Copied(4));
    Ok(id_of(&out))
}

fn id_of(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}

/// What the processes of a model have done, each in its order.
#[derive(Debug, Default, Clone)]
struct Story {
    begun: Vec<u32>,
    put: Vec<u32>,
    /// By each process: numbers do not pass between them in order.
    got: [Vec<u32>; 4],
}

/// A queue with its processes and what they have done.
#[derive(Clone)]
struct Stage {
    queues: Arc<Vec<Queue>>,
    story: Notes<Story>,
}

impl Stage {
    fn queue(&self, process: Process) -> &Queue {
        &self.queues[process as usize]
    }

    fn puts(&self, process: Process, ids: std::ops::Range<u32>) -> JoinHandle<Option<()>> {
        let stage = self.clone();
        play(process, move || {
            for id in ids {
                stage.story.note(|story| story.begun.push(id));
                stage.put(process, id);
            }
        })
    }

    fn put(&self, process: Process, id: u32) {
        match within(a_while(), |wait| self.queue(process).put(&[&id.to_le_bytes()], wait)) {
            Ok(()) => self.story.note(|story| story.put.push(id)),
            Err(error) => assert_eq!(error, Error::Full),
        }
    }

    /// Puts before the others begin.
    fn put_before<const COUNT: usize>(&self, ids: [u32; COUNT]) {
        for id in ids {
            self.story.note(|story| story.begun.push(id));
            self.put(0, id);
        }
    }

    fn reserves_and_puts(&self, process: Process, id: u32) -> JoinHandle<Option<()>> {
        let stage = self.clone();
        play(process, move || {
            let queue = stage.queue(process);
            stage.story.note(|story| story.begun.push(id));
            let room = match within(a_while(), |wait| queue.reserve(4, wait)) {
                Ok(room) => room,
                Err(error) => return assert_eq!(error, Error::Full),
            };
            let place = queue.reserved_bytes(&room);
            writing(place);
            // SAFETY: four bytes that are reserved for this process.
            unsafe { place.cast::<u32>().write_unaligned(id.to_le()) };
            within(Deadline::Never, |wait| queue.commit(&room, 4, wait)).expect("ours");
            stage.story.note(|story| story.put.push(id));
        })
    }

    fn gets(&self, process: Process, count: u32) -> JoinHandle<Option<()>> {
        let stage = self.clone();
        play(process, move || {
            for _ in 0..count {
                match within(a_while(), |wait| get_waiting(stage.queue(process), wait)) {
                    Ok(id) => stage.story.note(|story| story.got[process as usize].push(id)),
                    Err(error) => assert_eq!(error, Error::Empty),
                }
            }
        })
    }

    fn leases(&self, process: Process, count: u32) -> JoinHandle<Option<()>> {
        let stage = self.clone();
        play(process, move || {
            let queue = stage.queue(process);
            for _ in 0..count {
                let lease = match within(a_while(), |wait| queue.lease(wait)) {
                    Ok(lease) => lease,
                    Err(error) => return assert_eq!(error, Error::Empty),
                };
                let mut out = [0; 4];
                queue.read(&lease, &mut out).expect("ours");
                within(Deadline::Never, |wait| queue.ack(&lease, wait)).expect("ours");
                stage.story.note(|story| story.got[process as usize].push(id_of(&out)));
            }
        })
    }

    /// Once all have ended: what the survivor finds and what was done account for every item, and the whole queue is there.
    fn account(&self, may_miss: usize) {
        let (survivor, story) = (self.queue(0), self.story.read());
        let mut left = Vec::new();
        while let Ok(id) = get(survivor).inspect_err(|error| assert_eq!(*error, Error::Empty)) {
            left.push(id);
        }
        let mut found: Vec<u32> = story.got.iter().flatten().chain(&left).copied().collect();
        found.sort_unstable();
        assert!(found.windows(2).all(|pair| pair[0] != pair[1]), "doubled: {story:?}, left {left:?}");
        assert!(found.iter().all(|id| story.begun.contains(id)), "never put: {story:?}, left {left:?}");
        let missing = story.put.iter().filter(|id| !found.contains(id)).count();
        assert!(missing <= may_miss, "lost: {story:?}, left {left:?}");
        for list in story.got.iter().chain([&left]) {
            let mut of_each = [0; 4];
            for id in list {
                let last = std::mem::replace(&mut of_each[(id / 10) as usize], *id);
                assert!(last < *id, "out of order: {story:?}, left {left:?}");
            }
        }
        self.check_whole();
    }

    fn check_whole(&self) {
        let survivor = self.queue(0);
        for id in 0..u32::try_from(survivor.plan().capacity).expect("small") {
            assert_eq!(put(survivor, id), Ok(()), "the whole capacity");
        }
        assert_eq!(put(survivor, 0), Err(Error::Full));
        while get(survivor).is_ok() {}
        assert_eq!((survivor.depth().held, survivor.len()), (0, 0));
    }
}

/// A scenario on a queue of `capacity`.
fn staged(name: &str, capacity: u64, act: impl Fn(&Stage) + Send + Sync) -> impl Fn() + Send + Sync {
    let queues = Arc::new(queues(name, capacity, 3));
    move || act(&Stage { queues: Arc::clone(&queues), story: Notes::new() })
}

fn all_end(processes: impl IntoIterator<Item = JoinHandle<Option<()>>>) {
    for one in processes {
        assert_eq!(one.join().expect("ended"), Some(()));
    }
}

fn all_end_or_die(processes: impl IntoIterator<Item = JoinHandle<Option<()>>>) {
    for one in processes {
        one.join().expect("ended or dead");
    }
}

#[test]
fn what_one_puts_another_gets_in_order() {
    let model = Model::new("one puts two items through a queue of one, another gets them", 1);
    model.holds(staged("one to one", 1, |stage| {
        all_end([stage.puts(1, 11..13), stage.gets(2, 2)]);
        assert_eq!(stage.story.read().got[2], [11, 12]);
        stage.account(0);
    }));
}

#[test]
fn what_is_put_while_another_waits_is_got() {
    let model = Model::new("one puts an item, another gets it", 3);
    model.holds(staged("one item", 1, |stage| {
        all_end([stage.puts(1, 11..12), stage.gets(2, 1)]);
        assert_eq!(stage.story.read().got[2], [11]);
        stage.account(0);
    }));
}

#[test]
fn what_two_put_at_once_is_there() {
    let model = Model::new("two put an item each", 6);
    model.holds(staged("two put", 2, |stage| {
        all_end([stage.puts(1, 11..12), stage.puts(2, 21..22)]);
        assert_eq!(stage.story.read().put.len(), 2);
        stage.account(0);
    }));
}

#[test]
fn what_two_get_at_once_is_not_the_same() {
    let model = Model::new("two get an item each", 6);
    model.holds(staged("two get", 2, |stage| {
        stage.put_before([1, 2]);
        all_end([stage.gets(2, 1), stage.gets(3, 1)]);
        assert_eq!(stage.story.read().got.concat().len(), 2);
        stage.account(0);
    }));
}

#[test]
fn what_one_puts_one_of_two_gets() {
    if !is_longer() {
        return;
    }
    let model = Model::new("one puts two items through a queue of one, two get one each", 0);
    model.holds(staged("one to two", 1, |stage| {
        all_end([stage.puts(1, 11..13), stage.gets(2, 1), stage.gets(3, 1)]);
        assert_eq!(stage.story.read().got.concat().len(), 2);
        stage.account(0);
    }));
}

#[test]
fn nothing_is_lost_or_doubled_whenever_a_producer_dies() {
    let model = Model::new("one puts an item, another gets it, and the producer dies", 2);
    model.holds_whenever_dies(
        1,
        staged("dead producer", 1, |stage| {
            let producer = stage.puts(1, 11..12);
            all_end([stage.gets(2, 1)]);
            all_end_or_die([producer]);
            stage.account(0);
        }),
    );
}

#[test]
fn nothing_but_what_it_took_is_lost_whenever_a_consumer_dies() {
    let model = Model::new("one puts two items, another gets them, and the consumer dies", 1);
    model.holds_whenever_dies(
        2,
        staged("dead consumer", 1, |stage| {
            let consumer = stage.gets(2, 2);
            all_end([stage.puts(1, 11..13)]);
            all_end_or_die([consumer]);
            stage.account(1);
        }),
    );
}

#[test]
fn what_is_leased_comes_back_whenever_its_holder_dies() {
    let model = Model::new("one leases an item and dies, another gets", 2);
    model.holds_whenever_dies(
        2,
        staged("dead holder", 2, |stage| {
            stage.put_before([1, 2]);
            let holder = stage.leases(2, 1);
            all_end([stage.gets(3, 1)]);
            all_end_or_die([holder]);
            stage.account(1);
        }),
    );
}

#[test]
fn what_is_reserved_is_free_again_whenever_its_holder_dies() {
    let model = Model::new("one reserves the only slot and dies, another puts", 1);
    model.holds_whenever_dies(
        1,
        staged("dead writer", 1, |stage| {
            let writer = stage.reserves_and_puts(1, 11);
            all_end([stage.gets(2, 1)]);
            all_end_or_die([writer]);
            stage.account(0);
        }),
    );
}

#[test]
fn what_was_leased_by_the_dead_is_got_although_a_newcomer_takes_the_number() {
    let queues = Arc::new(queues("number taken", 2, 3));
    assert_eq!(put(&queues[0], 11), Ok(()));
    let number = acting_as(1, || queues[1].segment().me().expect("registered")).index();
    assert!(!dies_before(Doom { process: 1, after: u32::MAX }, || {
        let _ = queues[1].try_lease().expect("an item");
    }));
    let outside = Arc::new(Glimpse::at(queues[0].segment().location()).expect("it is there"));
    let name = "one repairs after the holder of a lease while a newcomer takes the dead one's number";
    // Between its sign of life and its generation, the newcomer hides the death: the next heartbeat finds it.
    Model::with_impatient(name, 2, &[2]).holds(move || {
        let stage = Stage { queues: Arc::clone(&queues), story: Notes::new() };
        stage.story.note(|story| story.begun.push(11));
        let survivor = stage.clone();
        let survivor = play(2, move || {
            let got = within(Deadline::Never, |wait| get_waiting(survivor.queue(2), wait));
            survivor.story.note(|story| story.got[2].push(got.expect("an item")));
        });
        let outside = Arc::clone(&outside);
        let newcomer = play(4, move || {
            let (me, pulse) = outside.table().register().expect("the dead one's number is free");
            assert_eq!(me.index(), number);
            assert!(!outside.table().is_dead(me), "whoever has registered lives");
            std::mem::forget(pulse); // it lives on: nobody will find it dead, and so look
        });
        all_end([survivor, newcomer]);
        assert_eq!(stage.story.read().got[2], [11]);
        stage.account(0);
    });
}

/// A queue on which process 1 has died before its step `after` of a put. `None` once it has that many steps no more.
fn dead_producer(after: u32) -> Option<Arc<Vec<Queue>>> {
    let queues = queues(&format!("two deaths, {after}"), 2, 3);
    assert_eq!(put(&queues[0], 1), Ok(()));
    let has_died = dies_before(Doom { process: 1, after }, || {
        put(&queues[1], 11).expect("room");
    });
    has_died.then(|| Arc::new(queues))
}

#[test]
fn nothing_is_lost_or_doubled_whenever_an_heir_dies_too() {
    let model = Model::new("a producer has died; of two that go on, the one that gets dies", 1);
    let beginnings = (0..).map_while(dead_producer);
    model.hold_whenever_dies(
        2,
        beginnings.map(|queues| {
            move || {
                let stage = Stage { queues: Arc::clone(&queues), story: Notes::new() };
                stage.story.note(|story| {
                    story.begun = vec![1, 11];
                    story.put = vec![1];
                });
                let heir = stage.gets(2, 1);
                all_end([stage.puts(3, 31..32)]);
                all_end_or_die([heir]);
                stage.account(1);
            }
        }),
    );
}

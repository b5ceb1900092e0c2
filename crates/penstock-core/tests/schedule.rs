//! Several processes on one queue, of which a scheduler lets one go on at a time, from named point to named point, in an
//! order that a seed decides; now and then it kills the one whose turn it is. A ledger outside accounts for every item.
//!
//! What models of the parts cannot hold is tried here: the whole queue, with every kind of verb under way at once. The
//! seed is printed. `PENSTOCK_TEST_SEED` repeats a run, `PENSTOCK_TEST_ROUNDS` sets its length.
//!
//! The same seed gives the same choices. What it does not fix is time: a sleeper that looks by itself, every 50 ms, may
//! be back one choice earlier or later.

mod common;

use common::{
    Board, Child, Dice, Ended, Place, at_once, get, id_of, item, one_at_a_time, plan, put, seed, tell, within,
};
use penstock_core::atomic::AtomicU32;
use penstock_core::queue::{Got, Wait};
use penstock_core::slots::INLINE_MAX;
use penstock_core::{Error, Queue, sys};
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

const WORKERS: usize = 5;
/// Choices in one round.
const STEPS: u32 = 2500;
/// Calls that one process makes before it leaves.
const CALLS: u64 = 12;
const MOST_LIVES: usize = 1000;
const PATIENCE: Duration = Duration::from_secs(20);

// ------------------------------------------------------------------------------------------- the scheduler's words

/// Everybody may go on at will: the round is over.
const FREE: usize = 0;
const STATE: usize = 8;
const GO: usize = 24;
const LEDGER: usize = 64;

/// What a worker is at. Only who waits for its turn can be chosen.
const RUNNING: u64 = 0;
/// Stands at a point.
const READY: u64 = 1;
/// Stands before a sleep.
const DROWSY: u64 = 2;
/// Sleeps, or is just waking up: it comes to its next point when something wakes it.
const ASLEEP: u64 = 3;
/// Has left.
const GONE: u64 = 4;

fn low(word: &AtomicU64) -> &AtomicU32 {
    // SAFETY: the lower half of a word is a word, aligned; this test is for machines that store it first.
    unsafe { &*(&raw const *word).cast() }
}

/// Board and place of this process, if it is a worker.
static ME: OnceLock<(&'static Board, usize)> = OnceLock::new();

/// Called at every point of a worker: waits for its turn.
fn wait_for_turn(point: &'static str) {
    let Some((board, me)) = ME.get() else { return };
    if board[FREE].load(SeqCst) == 1 {
        return;
    }
    let state = if point.ends_with("before sleep") { DROWSY } else { READY };
    say(board, *me, state);
    while board[GO + me].swap(0, SeqCst) == 0 {
        if board[FREE].load(SeqCst) == 1 {
            return;
        }
        sys::sleep(low(&board[GO + me]), 0, Duration::from_millis(20));
    }
}

fn say(board: &Board, worker: usize, state: u64) {
    board[STATE + worker].store(state, SeqCst);
    sys::wake(low(&board[STATE + worker]), 1);
}

// ------------------------------------------------------------------------------------------------------ the ledger

/// What one process has begun and finished, in the board's words from `LEDGER` on.
#[derive(Clone, Copy)]
struct Life<'a> {
    board: &'a Board,
    nth: usize,
}

const BEGUN: usize = 0;
/// A bit for each put that returned, or failed.
const DONE: usize = 1;
const FAILED: usize = 2;
/// 1 while a call is under way that may take an item.
const TAKING: usize = 3;
const TAKEN: usize = 4;
const ENTRIES: usize = 5;
const WORDS: usize = 32;

impl Life<'_> {
    fn word(&self, which: usize) -> &AtomicU64 {
        &self.board[LEDGER + self.nth * WORDS + which]
    }

    fn get(&self, which: usize) -> u64 {
        self.word(which).load(SeqCst)
    }

    fn number(&self, serial: u64) -> u32 {
        u32::try_from(self.nth as u64 * 64 + serial).expect("small")
    }

    /// Puts the next item by `act`.
    fn put(&self, act: impl FnOnce(u32) -> Result<(), Error>) {
        let serial = self.word(BEGUN).fetch_add(1, SeqCst);
        let outcome = act(self.number(serial));
        let bits = if outcome.is_ok() { DONE } else { FAILED };
        self.word(bits).fetch_or(1 << serial, SeqCst);
        let is_usual = matches!(outcome, Ok(()) | Err(Error::Full | Error::Busy));
        assert!(is_usual, "put: {outcome:?}");
    }

    /// Takes an item by `act`, or none.
    fn take(&self, act: impl FnOnce() -> Result<Option<Vec<u8>>, Error>) {
        self.word(TAKING).store(1, SeqCst);
        match act() {
            Ok(Some(bytes)) => {
                let count = self.get(TAKEN);
                let id = u64::from(id_of(&bytes).expect("whole"));
                self.word(ENTRIES + usize::try_from(count).expect("few")).store(id, SeqCst);
                self.word(TAKEN).store(count + 1, SeqCst);
            }
            Ok(None) | Err(Error::Empty | Error::Busy) => {}
            Err(error) => panic!("take: {error:?}"),
        }
        self.word(TAKING).store(0, SeqCst);
    }

    fn entries(&self) -> impl Iterator<Item = u32> {
        let count = usize::try_from(self.get(TAKEN)).expect("few");
        (0..count).map(|nth| u32::try_from(self.get(ENTRIES + nth)).expect("a number"))
    }
}

// ----------------------------------------------------------------------------------------------------- the workers

/// Waits for items or room a little, and for whoever holds something as long as it takes: he is waiting for his turn.
fn soon<R>(act: impl FnOnce(&mut Wait<'_>) -> R) -> R {
    within(Duration::from_millis(2), act)
}

/// What is in hand is settled, whoever keeps the lock for however long.
fn surely<R>(act: impl FnOnce(&mut Wait<'_>) -> R) -> R {
    within(PATIENCE, act)
}

fn work(queue: &Queue, life: Life<'_>, bytes: usize, mut dice: Dice) {
    let lease = || match soon(|wait| queue.lease(wait)) {
        Err(Error::Empty | Error::Busy) => None,
        lease => Some(lease.expect("an item")),
    };
    for _ in 0..CALLS {
        match dice.below(9) {
            0..3 => life.put(|id| soon(|wait| queue.put(&[&item(id, bytes)], wait))),
            3 => life.put(|id| {
                let room = soon(|wait| queue.reserve(bytes, wait))?;
                let source = item(id, bytes);
                // SAFETY: the reservation is ours and of this length.
                unsafe { std::ptr::copy_nonoverlapping(source.as_ptr(), queue.reserved_bytes(&room), bytes) };
                surely(|wait| queue.commit(&room, bytes, wait))
            }),
            4..6 => life.take(|| {
                let mut small = [0; INLINE_MAX];
                match soon(|wait| queue.get(&mut small, wait))? {
                    Got::Copied(len) => Ok(Some(small[..len].to_vec())),
                    Got::Leased(lease) => {
                        let mut out = vec![0; lease.len()];
                        queue.read(&lease, &mut out)?;
                        surely(|wait| queue.release(&lease, wait)).map(|()| Some(out))
                    }
                }
            }),
            6 => life.take(|| {
                let Some(lease) = lease() else { return Ok(None) };
                let mut out = vec![0; lease.len()];
                queue.read(&lease, &mut out)?;
                surely(|wait| queue.ack(&lease, wait)).map(|()| Some(out))
            }),
            7 => {
                let leases = [lease(), lease()];
                for lease in leases.iter().flatten() {
                    surely(|wait| queue.give_back(lease, wait)).expect("given back");
                }
            }
            _ => drop(soon(|wait| queue.peek(3, wait))),
        }
    }
}

/// One round: its queue, its workers, and who they were.
struct Round<'a> {
    queue: &'a Queue,
    board: &'static Board,
    bytes: usize,
    seed: u64,
    workers: Vec<(Child, usize)>,
    /// For each life, whether it was killed.
    killed: Vec<bool>,
}

impl Round<'_> {
    fn start(&mut self, place: usize) -> Child {
        let nth = self.killed.len();
        assert!(nth < MOST_LIVES, "the ledger is full");
        self.killed.push(false);
        let (board, queue, bytes) = (self.board, self.queue, self.bytes);
        board[STATE + place].store(RUNNING, SeqCst);
        board[GO + place].store(0, SeqCst);
        let dice = Dice::new(self.seed.wrapping_add(nth as u64));
        Child::run(move || {
            queue.segment().me().expect("registered");
            ME.set((board, place)).unwrap_or_else(|_| panic!("one worker is enough"));
            penstock_core::fault::watch(wait_for_turn);
            work(queue, Life { board, nth }, bytes, dice);
            say(board, place, GONE);
        })
    }

    fn state(&self, place: usize) -> u64 {
        self.board[STATE + place].load(SeqCst)
    }

    /// Waits until the worker stands somewhere, or has gone.
    fn settle(&self, place: usize) {
        let until = Instant::now() + PATIENCE;
        while self.state(place) == RUNNING {
            assert!(Instant::now() < until, "worker {place} neither comes to a point nor ends");
            sys::sleep(low(&self.board[STATE + place]), 0, Duration::from_millis(5));
        }
    }

    fn replace(&mut self, place: usize) {
        let next = self.killed.len();
        let child = self.start(place);
        self.workers[place] = (child, next);
        self.settle(place);
    }

    /// Those that can be chosen; waits for somebody to wake up if nobody can.
    fn choices(&self) -> Vec<usize> {
        let until = Instant::now() + PATIENCE;
        loop {
            let ready: Vec<usize> = (0..WORKERS).filter(|place| self.state(*place) != ASLEEP).collect();
            if !ready.is_empty() {
                return ready;
            }
            assert!(Instant::now() < until, "all sleep, and nobody wakes up");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    fn step(&mut self, dice: &mut Dice) {
        let choices = self.choices();
        let place = choices[usize::try_from(dice.below(choices.len() as u64)).expect("few")];
        match self.state(place) {
            GONE => {
                assert_eq!(self.workers[place].0.end(), Ended::Exited(0), "a worker that has left");
                self.replace(place);
            }
            _ if dice.below(150) == 0 => {
                self.workers[place].0.kill();
                let life = self.workers[place].1;
                self.killed[life] = true;
                self.replace(place);
            }
            state => {
                let next = if state == DROWSY { ASLEEP } else { RUNNING };
                self.board[STATE + place].store(next, SeqCst);
                self.board[GO + place].store(1, SeqCst);
                sys::wake(low(&self.board[GO + place]), 1);
                if next == RUNNING {
                    self.settle(place);
                }
            }
        }
    }

    /// Lets those that are left end by themselves.
    fn let_go(&mut self) {
        self.board[FREE].store(1, SeqCst);
        for place in 0..WORKERS {
            sys::wake(low(&self.board[GO + place]), 1);
        }
        for (child, _) in &mut self.workers {
            assert_eq!(child.end(), Ended::Exited(0), "a worker that was let go");
        }
    }

    /// Every item is where it has to be, and the whole capacity is there.
    fn account(&self) -> u64 {
        let mut places: BTreeMap<u32, u32> = BTreeMap::new();
        let lives: Vec<Life<'_>> = (0..self.killed.len()).map(|nth| Life { board: self.board, nth }).collect();
        for id in lives.iter().flat_map(Life::entries) {
            *places.entry(id).or_default() += 1;
        }
        while let Ok(bytes) = get(self.queue) {
            *places.entry(id_of(&bytes).expect("whole")).or_default() += 1;
        }
        let may_miss =
            lives.iter().zip(&self.killed).filter(|(life, killed)| **killed && life.get(TAKING) == 1).count();
        let (mut missing, mut put_items) = (Vec::new(), 0);
        for (life, killed) in lives.iter().zip(&self.killed) {
            for serial in 0..life.get(BEGUN) {
                let count = places.remove(&life.number(serial)).unwrap_or(0);
                let is = |bits| life.get(bits) & 1 << serial != 0;
                let id = life.number(serial);
                assert!(count <= 1, "item {id} is there {count} times");
                assert!(count == 0 || !is(FAILED), "item {id} was refused, and is there");
                assert!(is(DONE) || is(FAILED) || *killed, "a put of the living returns");
                put_items += u64::from(is(DONE));
                if is(DONE) && count == 0 {
                    missing.push(id);
                }
            }
        }
        assert!(places.is_empty(), "items that nobody put: {places:?}");
        assert!(missing.len() <= may_miss, "{may_miss} died while taking, but {missing:?} are missing");
        let capacity = self.queue.plan().capacity;
        for _ in 0..2 {
            (0..capacity)
                .for_each(|id| put(self.queue, &item(u32::try_from(id).expect("few"), self.bytes)).expect("room"));
            assert_eq!(put(self.queue, &item(0, self.bytes)), Err(Error::Full), "no more than the capacity");
            (0..capacity).for_each(|_| drop(get(self.queue).expect("an item")));
        }
        assert_eq!(self.queue.depth().held, 0);
        put_items
    }
}

fn play(place: &Place, nth: u64, seed: u64) -> (u64, usize, usize) {
    let mut dice = Dice::new(seed);
    let bytes = if dice.below(2) == 0 { 8 } else { 3000 };
    let capacity = [1, 2, 4][usize::try_from(dice.below(3)).expect("few")];
    let plan = if bytes == 8 { plan(capacity, 8, 8) } else { plan(capacity, 0, 4000) };
    let queue = Queue::create(&place.at(&format!("q{nth}")), &plan).expect("created");
    let board: &'static Board = Box::leak(Box::new(Board::new(LEDGER + MOST_LIVES * WORDS)));
    let mut round = Round { queue: &queue, board, bytes, seed, workers: Vec::new(), killed: Vec::new() };
    for place in 0..WORKERS {
        let child = round.start(place);
        round.workers.push((child, place));
        round.settle(place);
    }
    for _ in 0..STEPS {
        round.step(&mut dice);
    }
    round.let_go();
    let items = round.account();
    assert!(at_once(|wait| queue.purge(wait)).is_ok());
    (items, round.killed.len(), round.killed.iter().filter(|killed| **killed).count())
}

#[test]
fn processes_that_go_on_in_any_order_and_die_anywhere_lose_and_double_nothing() {
    let _one = one_at_a_time();
    let rounds = std::env::var("PENSTOCK_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let place = Place::new("schedule");
    let (first, begun) = (seed(), Instant::now());
    tell(&format!("schedule: PENSTOCK_TEST_SEED={first}"));
    let mut sums = (0, 0, 0);
    for nth in 0..rounds {
        let (items, lives, kills) = play(&place, nth, first.wrapping_add(nth));
        sums = (sums.0 + items, sums.1 + lives, sums.2 + kills);
    }
    let (items, lives, kills) = sums;
    assert!(kills > 0 && items > 0, "something happened");
    tell(&format!(
        "figures: choices={} items={items} lives={lives} kills={kills} lost=0 doubled=0 torn=0 stuck=0",
        rounds * u64::from(STEPS)
    ));
    tell(&format!("schedule: {rounds} rounds, {:.1} s", begun.elapsed().as_secs_f64()));
}

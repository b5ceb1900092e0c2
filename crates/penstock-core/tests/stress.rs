//! Producers and consumers in full flight, one of them killed or stopped at a random moment: a ledger outside of the
//! queue accounts for every item.
//!
//! `PENSTOCK_TEST_SEED` repeats a run, `PENSTOCK_TEST_ROUNDS` sets its length.
#![cfg(unix)] // forks its peers

mod common;

use common::{
    Board, Child, Dice, Place, get, get_waiting, id_of, item, one_at_a_time, plan, put, seed, tell, wait_for, within,
};
use penstock_core::queue::{Got, Plan};
use penstock_core::slots::INLINE_MAX;
use penstock_core::{Error, Queue};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

const PRODUCERS: usize = 2;
const CONSUMERS: usize = 2;
/// Items that one producer puts at most, and entries of one consumer's part of the ledger.
const MOST: usize = 1 << 20;
const BATCH: usize = 8;
const LARGE: usize = 3000;

// The ledger: what each has begun and finished.
const STOP: usize = 0;
const BEGUN: usize = 8;
const CONFIRMED: usize = 16;
const TAKEN: usize = 24;
const ENTRIES: usize = 32;

/// How an item passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    One,
    Batch,
    InPlace,
    Lease,
}

/// One round's cast.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    bytes: usize,
    capacity: u64,
    put: Way,
    get: Way,
}

impl Scenario {
    fn roll(dice: &mut Dice) -> Scenario {
        let bytes = if dice.below(2) == 0 { 8 } else { LARGE };
        let puts = if bytes == 8 { [Way::One, Way::Batch] } else { [Way::One, Way::InPlace] };
        let gets = if bytes == 8 { [Way::One, Way::Batch, Way::Lease] } else { [Way::One, Way::Lease, Way::Lease] };
        Scenario {
            bytes,
            capacity: [1, 2, 10, 100][dice.below(4) as usize],
            put: puts[dice.below(2) as usize],
            get: gets[dice.below(3) as usize],
        }
    }

    fn plan(&self) -> Plan {
        if self.bytes == 8 { plan(self.capacity, 8, 8) } else { plan(self.capacity, 0, 4000) }
    }

    /// An item on loan at its consumer's death comes back when the death is noticed: others may be ahead of it then.
    fn may_lend(&self) -> bool {
        self.get == Way::Lease || self.bytes == LARGE
    }
}

/// The item of `producer` with the running number `serial`.
fn number(producer: usize, serial: u64) -> u32 {
    u32::try_from((producer as u64) << 24 | serial).expect("small")
}

fn produce(queue: &Queue, ledger: &Board, scenario: Scenario, producer: usize) {
    let mut serial = 0u64;
    while ledger[STOP].load(SeqCst) == 0 && serial < (MOST - BATCH) as u64 {
        let want = if scenario.put == Way::Batch { BATCH as u64 } else { 1 };
        ledger[BEGUN + producer].store(serial + want, SeqCst);
        let bytes: Vec<u8> =
            (serial..serial + want).flat_map(|serial| item(number(producer, serial), scenario.bytes)).collect();
        let count = within(Duration::from_millis(20), |wait| match scenario.put {
            Way::Batch => queue.put_batch(&bytes, wait).map(|count| count as u64),
            Way::InPlace => {
                let room = queue.reserve(bytes.len(), wait)?;
                // SAFETY: the reservation is ours and of this length.
                unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), queue.reserved_bytes(&room), bytes.len()) };
                within(Duration::from_secs(20), |wait| queue.commit(&room, bytes.len(), wait)).map(|()| 1)
            }
            _ => queue.put(&[&bytes], wait).map(|()| 1),
        });
        match count {
            Ok(count) => {
                serial += count;
                ledger[CONFIRMED + producer].store(serial, SeqCst);
            }
            Err(Error::Full) => {}
            Err(error) => panic!("put: {error:?}"),
        }
    }
}

fn consume(queue: &Queue, ledger: &Board, scenario: Scenario, consumer: usize) {
    let mut taken = 0usize;
    let mut note = |bytes: &[u8]| {
        let id = id_of(bytes).expect("whole");
        ledger[ENTRIES + consumer * MOST + taken].store(u64::from(id) + 1, SeqCst);
        taken += 1;
        ledger[TAKEN + consumer].store(taken as u64, SeqCst);
    };
    loop {
        let got = within(Duration::from_millis(20), |wait| match scenario.get {
            Way::Batch => {
                let (mut out, mut lens) = (Vec::new(), Vec::new());
                queue.get_batch(BATCH, &mut out, &mut lens, wait)?;
                out.chunks(scenario.bytes).for_each(&mut note);
                Ok(())
            }
            Way::Lease => {
                let lease = queue.lease(wait)?;
                let mut out = vec![0; lease.len()];
                queue.read(&lease, &mut out)?;
                within(Duration::from_secs(20), |wait| queue.ack(&lease, wait))?;
                note(&out);
                Ok(())
            }
            _ => {
                let mut small = [0; INLINE_MAX];
                match queue.get(&mut small, wait)? {
                    Got::Copied(len) => note(&small[..len]),
                    Got::Leased(lease) => {
                        let mut out = vec![0; lease.len()];
                        queue.read(&lease, &mut out)?;
                        // Ended here, even if others keep the lock for long.
                        within(Duration::from_secs(20), |wait| queue.release(&lease, wait))?;
                        note(&out);
                    }
                }
                Ok(())
            }
        });
        match got {
            Ok(()) => {}
            Err(Error::Empty) if ledger[STOP].load(SeqCst) != 0 => return,
            Err(Error::Empty) => {}
            Err(error) => panic!("get: {error:?}"),
        }
    }
}

/// What happens to the one who is picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Killed,
    StoppedForAWhile,
}

struct Round<'a> {
    queue: &'a Queue,
    ledger: &'a Board,
    scenario: Scenario,
    children: Vec<Child>,
}

impl Round<'_> {
    fn puts(&self) -> u64 {
        (0..PRODUCERS).map(|i| self.ledger[CONFIRMED + i].load(SeqCst)).sum()
    }

    fn gets(&self) -> u64 {
        (0..CONSUMERS).map(|i| self.ledger[TAKEN + i].load(SeqCst)).sum()
    }

    fn start(&mut self) {
        let (queue, ledger, scenario) = (self.queue, self.ledger, self.scenario);
        for producer in 0..PRODUCERS {
            self.children.push(Child::run(|| produce(queue, ledger, scenario, producer)));
        }
        for consumer in 0..CONSUMERS {
            self.children.push(Child::run(|| consume(queue, ledger, scenario, consumer)));
        }
        wait_for("full flight", Duration::from_secs(5), || self.gets() > 50);
    }

    /// Items pass again, within a second. Returns after how long.
    fn expect_to_go_on(&self, begun: Instant) -> Duration {
        let (puts, gets) = (self.puts(), self.gets());
        let (bound, story) = (Duration::from_secs(1), format!("{:?} to go on", self.scenario));
        wait_for(&story, bound, || self.puts() >= puts + 5 && self.gets() >= gets + 5);
        begun.elapsed()
    }

    /// All who live end by themselves; what is left is taken out here.
    fn end(&mut self) -> Vec<u32> {
        self.ledger[STOP].store(1, SeqCst);
        for child in &mut self.children {
            child.end();
        }
        let mut left = Vec::new();
        loop {
            match get(self.queue) {
                Ok(bytes) => left.push(id_of(&bytes).expect("whole")),
                Err(Error::Empty) => return left,
                Err(error) => panic!("at the end: {error:?}"),
            }
        }
    }

    fn taken_by(&self, consumer: usize) -> Vec<u32> {
        let len = usize::try_from(self.ledger[TAKEN + consumer].load(SeqCst)).expect("small");
        let start = ENTRIES + consumer * MOST;
        // One more may have been written down when its writer was killed before it counted it.
        let is_there = |word: &u64| *word != 0;
        let words = self.ledger[start..=start + len].iter().map(|word| word.load(SeqCst)).filter(is_there);
        words.map(|word| u32::try_from(word - 1).expect("small")).collect()
    }

    /// Every item whose put returned came out once, but for what a dead consumer had taken.
    fn account(&self, victim: Option<usize>, left: &[u32]) {
        let mut found: BTreeMap<u32, u32> = BTreeMap::new();
        let lists: Vec<Vec<u32>> = (0..CONSUMERS).map(|i| self.taken_by(i)).chain([left.to_vec()]).collect();
        for id in lists.iter().flatten() {
            *found.entry(*id).or_default() += 1;
        }
        let doubled: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
        assert!(doubled.is_empty(), "doubled: {doubled:?}, {:?}", self.scenario);
        let mut missing = Vec::new();
        for producer in 0..PRODUCERS {
            let confirmed = self.ledger[CONFIRMED + producer].load(SeqCst);
            let begun = self.ledger[BEGUN + producer].load(SeqCst);
            let first = number(producer, 0);
            missing.extend((0..confirmed).map(|serial| number(producer, serial)).filter(|id| !found.contains_key(id)));
            // The living were told of everything that they put; the dead may have put a little more.
            let most = if victim == Some(producer) { begun } else { confirmed };
            let mut found = found.range(first..number(producer + 1, 0)).map(|(id, _)| *id);
            let stray = found.find(|id| *id >= number(producer, most));
            assert_eq!(stray, None, "of producer {producer} with {confirmed} items, {:?}", self.scenario);
            self.check_order(&lists, producer, victim);
        }
        let is_consumer_dead = victim.is_some_and(|victim| victim >= PRODUCERS);
        let may_miss = match (is_consumer_dead, self.scenario.get) {
            (false, _) => 0,
            (true, Way::Batch) => BATCH,
            (true, _) => 1,
        };
        assert!(missing.len() <= may_miss, "lost: {missing:?}, {:?}", self.scenario);
    }

    fn check_order(&self, lists: &[Vec<u32>], producer: usize, victim: Option<usize>) {
        let is_consumer_dead = victim.is_some_and(|victim| victim >= PRODUCERS);
        let mut late = 0;
        for list in lists {
            let mine: Vec<u32> = list.iter().copied().filter(|id| id >> 24 == producer as u32).collect();
            late += mine.windows(2).filter(|pair| pair[0] > pair[1]).count();
        }
        let may_be_late = usize::from(is_consumer_dead && self.scenario.may_lend());
        assert!(late <= may_be_late, "{late} items of producer {producer} out of order, {:?}", self.scenario);
    }
}

fn rounds(default: u64) -> u64 {
    std::env::var("PENSTOCK_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn run_rounds(name: &str, count: u64, fate: Fate) {
    let _one = one_at_a_time();
    let seed = seed();
    let mut dice = Dice::new(seed);
    let place = Place::new(name);
    let (mut items, mut worst) = (0, Duration::ZERO);
    tell(&format!("{name}: {count} rounds, PENSTOCK_TEST_SEED={seed}"));
    for round in 0..count {
        let scenario = Scenario::roll(&mut dice);
        let location = place.at(&format!("q{round}"));
        let queue = Queue::create(&location, &scenario.plan()).expect("created");
        let ledger = Board::new(ENTRIES + CONSUMERS * MOST);
        let mut round = Round { queue: &queue, ledger: &ledger, scenario, children: Vec::new() };
        round.start();
        std::thread::sleep(Duration::from_micros(dice.below(10_000)));
        let picked = dice.below((PRODUCERS + CONSUMERS) as u64) as usize;
        let victim = match fate {
            Fate::Killed => {
                round.children[picked].kill();
                let begun = Instant::now();
                worst = worst.max(round.expect_to_go_on(begun));
                Some(picked)
            }
            Fate::StoppedForAWhile => {
                round.children[picked].stop();
                std::thread::sleep(Duration::from_micros(dice.below(60_000)));
                round.children[picked].go_on();
                round.expect_to_go_on(Instant::now());
                None
            }
        };
        let left = round.end();
        round.account(victim, &left);
        items += round.gets();
        for i in 0..scenario.capacity {
            put(&queue, &item(number(0, i), scenario.bytes)).expect("the whole capacity");
        }
        assert_eq!(put(&queue, &item(0, scenario.bytes)), Err(Error::Full));
        while get(&queue).is_ok() {}
        assert_eq!(queue.depth().held, 0);
        queue.unlink().expect("unlinked");
    }
    tell(&format!(
        "{name}: {count} rounds, {items} items, all accounted for; went on after at most {} ms",
        worst.as_millis()
    ));
    // For `make stress`. Had one of them been another, this would not have been reached.
    tell(&format!("figures: items={items} lost=0 doubled=0 torn=0 stuck=0 rounds={count}"));
}

#[test]
fn one_of_four_in_full_flight_is_killed() {
    run_rounds("killed-in-flight", rounds(100), Fate::Killed);
}

#[test]
fn one_of_four_in_full_flight_is_stopped_for_a_while() {
    run_rounds("stopped-in-flight", rounds(100) / 4, Fate::StoppedForAWhile);
}

#[test]
fn nothing_is_taken_from_somebody_who_is_merely_stopped() {
    let _one = one_at_a_time();
    let place = Place::new("stopped");
    let queue = Queue::create(&place.at("q"), &plan(4, 0, 4000)).expect("created");
    (0..3).for_each(|id| put(&queue, &item(id, LARGE)).expect("room"));
    let board = Board::new(2);
    let mut holder = Child::run(|| {
        let lease = queue.try_lease().expect("an item");
        let room = within(Duration::ZERO, |wait| queue.reserve(LARGE, wait)).expect("room");
        let bytes = item(9, LARGE);
        // SAFETY: the reservation is ours and of this length.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), queue.reserved_bytes(&room), LARGE) };
        board[0].store(1, SeqCst);
        wait_for("leave to go on", Duration::from_secs(20), || board[1].load(SeqCst) == 1);
        within(Duration::ZERO, |wait| queue.commit(&room, LARGE, wait)).expect("sent");
        within(Duration::ZERO, |wait| queue.ack(&lease, wait)).expect("acknowledged");
    });
    wait_for("the holder", Duration::from_secs(5), || board[0].load(SeqCst) == 1);
    holder.stop();
    // Another dies, so that there is something to repair.
    let mut other = Child::run(|| {
        let _lease = queue.try_lease().expect("an item");
        common::die();
    });
    other.end();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(700) {
        assert_eq!(
            within(Duration::from_millis(100), |wait| get_waiting(&queue, wait)).and_then(|bytes| {
                let id = id_of(&bytes).expect("whole");
                assert!([1, 2].contains(&id), "item {id} is on loan");
                put(&queue, &bytes)
            }),
            Ok(())
        );
    }
    assert_eq!(queue.depth().held, 2);
    board[1].store(1, SeqCst);
    holder.go_on();
    assert_eq!(holder.end(), common::WELL);
    let mut left: Vec<u32> =
        std::iter::from_fn(|| get(&queue).ok()).map(|bytes| id_of(&bytes).expect("whole")).collect();
    assert_eq!(left.pop(), Some(9), "what the stopped one was writing came last");
    left.sort_unstable();
    assert_eq!(left, [1, 2]);
    assert_eq!(queue.depth().held, 0);
}

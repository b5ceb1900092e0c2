//! How long a survivor waits after a death: from the kill to its own going on, by its own clock.
//!
//! Measured, and not judged: how long the kernel takes to end a process, and when it lets the survivor run, is not ours.
//! A test fails here if a survivor does not go on at all. `PENSTOCK_TEST_ALL=1` measures more cases, and more often:
//! larger victims, a thousand processes, sleepers that have slept for seconds.

mod common;

use common::scene::{GET_LOCK, PUT_LOCK};
use common::{BY_SIGKILL, Board, Child, Dice, Place, Raw, at_once, get, get_waiting, item, one_at_a_time, plan, put};
use common::{seed, tell, wait_for, within};
use penstock_core::event::{HEARTBEAT, SLEPT_LONG, SLOW_HEARTBEAT};
use penstock_core::layout::Owner;
use penstock_core::queue::Wait;
use penstock_core::sys::Pulse;
use penstock_core::waiting::{Target, wait_any};
use penstock_core::{Deadline, Location, Queue, fault};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

const MB: usize = 1 << 20;
const BYTES: usize = 8;
const CAPACITY: u64 = 2;
/// Long enough for anything that is to come.
const LONG: Duration = Duration::from_secs(15);

// Words of the board that a round's processes share.
const READY: usize = 0;
const GONE_ON_NS: usize = 1;
const ATTACHED: usize = 2;
const IS_DEAD: usize = 3;
const HEARTBEATS: usize = 4;
const WORDS: usize = 5;

/// The clock that all processes share, in nanoseconds.
fn now_ns() -> u64 {
    // SAFETY: all-zero bytes are a valid `timespec`.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: a valid place for the time.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    u64::try_from(time.tv_sec).expect("positive") * 1_000_000_000 + u64::try_from(time.tv_nsec).expect("positive")
}

fn wait_for_ever() -> ! {
    loop {
        // SAFETY: no memory is passed.
        unsafe { libc::pause() };
    }
}

/// Memory that the kernel has to take back from a victim before it tells of the death.
fn hold_memory(bytes: usize) {
    let mut held = vec![0u8; bytes];
    held.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::mem::forget(held);
}

// ------------------------------------------------------------------------------------------------------- what happens

/// What a victim has done when it stands still, and what a survivor then waits for.
#[derive(Clone, Copy)]
struct Case {
    what: &'static str,
    /// Before the victim comes.
    prepare: fn(&Queue),
    victim: fn(&Queue),
    /// At which point the victim stops itself, or after all.
    stops_at: Option<u64>,
    survivor: fn(&Queue, &mut Wait<'_>),
}

fn put_one(queue: &Queue) {
    put(queue, &item(7, BYTES)).expect("room");
}

fn get_one(queue: &Queue, wait: &mut Wait<'_>) {
    get_waiting(queue, wait).expect("an item");
}

fn put_patiently(queue: &Queue, wait: &mut Wait<'_>) {
    queue.put(&[&item(8, BYTES)], wait).expect("room");
}

fn lease_one(queue: &Queue) {
    let _lease = at_once(|wait| queue.lease(wait)).expect("an item");
}

fn reserve_all(queue: &Queue) {
    for _ in 0..CAPACITY {
        let _room = at_once(|wait| queue.reserve(BYTES, wait)).expect("room");
    }
}

fn leave_a_lease_of_the_dead(queue: &Queue) {
    put_one(queue);
    let mut dead = Child::run(|| {
        lease_one(queue);
        common::die();
    });
    assert_eq!(dead.end(), BY_SIGKILL);
}

/// Finds nothing to take, looks for the dead, and repairs.
fn find_the_dead(queue: &Queue) {
    let _ = get(queue);
}

fn wait_for_several(queue: &Queue, wait: &mut Wait<'_>) {
    assert_eq!(wait_any(&[Target::Queue(queue)], wait.change, wait.tick), Ok(vec![0]));
}

/// What a survivor may wait for. The points are found by trying: they are the first at which it is so.
fn cases(queue: &Queue, raw: &Raw) -> Vec<Case> {
    let owner = |at| Owner::from_word(raw.u32(at));
    let published = point_at_which(queue, |_| {}, put_one, || queue.len() == 1);
    let both = point_at_which(queue, leave_a_lease_of_the_dead, find_the_dead, || {
        owner(PUT_LOCK).is_some() && owner(PUT_LOCK) == owner(GET_LOCK)
    });
    let case = Case { what: "", prepare: |_| {}, victim: put_one, stops_at: Some(published - 1), survivor: get_one };
    let in_repair =
        Case { prepare: leave_a_lease_of_the_dead, victim: find_the_dead, stops_at: Some(both + 1), ..case };
    vec![
        Case { what: "for an item that was put by half", ..case },
        Case { what: "for several, one with an item put by half", survivor: wait_for_several, ..case },
        Case { what: "for a lock", survivor: put_patiently, ..case },
        Case { what: "for an item on loan", prepare: put_one, victim: lease_one, stops_at: None, ..case },
        Case {
            what: "for room that was reserved",
            victim: reserve_all,
            stops_at: None,
            survivor: put_patiently,
            ..case
        },
        Case { what: "for an item, both locks held", ..in_repair },
        Case { what: "for a lock, both locks held", survivor: put_patiently, ..in_repair },
    ]
}

/// The number of the first point of `act` at which `is_so`.
fn point_at_which(queue: &Queue, prepare: fn(&Queue), act: fn(&Queue), is_so: impl Fn() -> bool) -> u64 {
    for n in 0..100 {
        prepare(queue);
        let mut child = stopped_victim(queue, act, Some(n), 0, &Board::new(WORDS));
        let found = is_so();
        child.kill();
        clear(queue);
        if found {
            return n;
        }
    }
    panic!("no such point");
}

fn stopped_victim(queue: &Queue, act: fn(&Queue), stops_at: Option<u64>, bytes: usize, board: &Board) -> Child {
    board[READY].store(0, SeqCst);
    let mut child = Child::run(|| {
        hold_memory(bytes);
        queue.segment().me().expect("registered");
        if let Some(n) = stops_at {
            fault::arm_to_stop(i64::try_from(n).expect("few"));
        }
        act(queue);
        fault::arm(-1);
        board[READY].store(1, SeqCst);
        wait_for_ever();
    });
    wait_for("the victim", LONG, || {
        assert_eq!(child.wait(Duration::ZERO), None, "the victim ended by itself");
        child.state() == 'T' || board[READY].load(SeqCst) == 1
    });
    child
}

/// Repairs what is to be repaired, and leaves the queue empty.
fn clear(queue: &Queue) {
    while get(queue).is_ok() {}
    let depth = queue.depth();
    assert_eq!((depth.waiting, depth.held), (0, 0), "all is there again");
}

// ------------------------------------------------------------------------------------------------------- measuring

/// Times of one case, in nanoseconds.
#[derive(Default)]
struct Times {
    /// From the kill on.
    all: Vec<u64>,
    /// What of it came after the victim's end: the part that is ours.
    after_end: Vec<u64>,
}

fn median_ms(times: &[u64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    ms(sorted[sorted.len() / 2])
}

fn worst_ms(times: &[u64]) -> f64 {
    ms(times.iter().copied().max().unwrap_or(0))
}

#[allow(clippy::cast_precision_loss, reason = "for people to read")]
fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

fn report(what: &str, times: &[u64], more: &str) {
    let (median, worst) = (median_ms(times), worst_ms(times));
    tell(&format!("  {what}: median {median:.1} ms, worst {worst:.1} ms of {}{more}", times.len()));
}

/// From the kill of a process of so many bytes until the kernel gives back its sign of life.
fn measure_kernel(queue: &Queue, bytes: usize, rounds: usize) -> Vec<u64> {
    let board = Board::new(WORDS);
    let mut times = Vec::new();
    for _ in 0..rounds {
        let mut child = Child::run(|| {
            hold_memory(bytes);
            let me = queue.segment().me().expect("registered");
            board[ATTACHED].store(me.index().into(), SeqCst);
            board[READY].store(1, SeqCst);
            wait_for_ever();
        });
        wait_for("the victim", LONG, || board[READY].swap(0, SeqCst) == 1);
        let number = u32::try_from(board[ATTACHED].load(SeqCst)).expect("a number");
        let killed = now_ns();
        child.signal(libc::SIGKILL);
        while Pulse::is_held(queue.segment().file(), queue.name(), number) {
            std::thread::yield_now();
        }
        times.push(now_ns() - killed);
        assert_eq!(child.end(), BY_SIGKILL);
        clear(queue);
    }
    times
}

/// How the survivor has waited when the kill comes, how large the victim is, and what is promised then.
#[derive(Clone, Copy)]
struct Setting<'a> {
    what: &'a str,
    slept: Duration,
    heartbeat: Duration,
    bytes: usize,
    bound: Duration,
    rounds: usize,
}

const BRIEFLY: Setting<'static> = Setting {
    what: "",
    slept: Duration::ZERO,
    heartbeat: HEARTBEAT,
    bytes: 0,
    bound: Duration::from_millis(100),
    rounds: 0,
};

/// From the kill until the survivor has what it waited for.
fn measure(queue: &Queue, case: &Case, setting: &Setting<'_>, dice: &mut Dice) -> Times {
    let board = Board::new(WORDS);
    let mut times = Times::default();
    for _ in 0..setting.rounds {
        (case.prepare)(queue);
        let mut victim = stopped_victim(queue, case.victim, case.stops_at, setting.bytes, &board);
        board[GONE_ON_NS].store(0, SeqCst);
        let mut survivor = Child::run(|| {
            queue.segment().me().expect("registered");
            within(LONG, |wait| (case.survivor)(queue, wait));
            board[GONE_ON_NS].store(now_ns(), SeqCst);
        });
        wait_until_asleep(&survivor);
        // The kill comes at any moment of a heartbeat.
        let heartbeat_ns = u64::try_from(setting.heartbeat.as_nanos()).expect("short");
        std::thread::sleep(setting.slept + Duration::from_nanos(dice.below(heartbeat_ns)));
        assert_eq!(board[GONE_ON_NS].load(SeqCst), 0, "waiting {}: nothing is taken from the living", case.what);
        let killed = now_ns();
        victim.signal(libc::SIGKILL);
        assert_eq!(victim.end(), BY_SIGKILL);
        let ended = now_ns();
        assert_eq!(survivor.end(), common::WELL, "waiting {}", case.what);
        let gone_on = board[GONE_ON_NS].load(SeqCst);
        times.all.push(gone_on.saturating_sub(killed));
        times.after_end.push(gone_on.saturating_sub(ended));
        clear(queue);
    }
    times
}

fn wait_until_asleep(child: &Child) {
    let mut seen_asleep = 0;
    wait_for("the survivor to sleep", LONG, || {
        seen_asleep = if child.state() == 'S' { seen_asleep + 1 } else { 0 };
        seen_asleep == 3
    });
}

/// So many processes that are attached and do nothing, until it is dropped.
struct Crowd(#[allow(dead_code, reason = "held, not read")] Child);

impl Crowd {
    fn gather(queue: &Queue, count: u64) -> Crowd {
        let board = Board::new(WORDS);
        let shepherd = Child::run(|| {
            for _ in 0..count {
                // SAFETY: the child only attaches and waits; it dies with this process.
                if unsafe { libc::fork() } == 0 {
                    // SAFETY: no memory is passed.
                    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                    queue.segment().me().expect("registered");
                    board[ATTACHED].fetch_add(1, SeqCst);
                    wait_for_ever();
                }
            }
            wait_for_ever();
        });
        wait_for("the crowd", Duration::from_secs(60), || board[ATTACHED].load(SeqCst) == count);
        Crowd(shepherd)
    }
}

// ------------------------------------------------------------------------------------------------------- the figures

/// What was measured so far.
struct Table {
    dice: Dice,
    count: usize,
    late: usize,
}

impl Table {
    fn add(&mut self, queue: &Queue, cases: &[Case], setting: &Setting<'_>) {
        let bound = u64::try_from(setting.bound.as_nanos()).expect("short");
        for case in cases {
            let times = measure(queue, case, setting, &mut self.dice);
            let late = times.after_end.iter().filter(|time| **time > bound).count();
            let worst = worst_ms(&times.after_end);
            let more = format!("; after its end worst {worst:.1} ms, {late} later than {:.0} ms", ms(bound));
            report(&format!("waiting {}{}", case.what, setting.what), &times.all, &more);
            self.count += times.all.len();
            self.late += late;
        }
    }

    fn add_large_victims(&mut self, queue: &Queue, cases: &[Case], sizes: &[usize], rounds: usize) {
        for megabytes in sizes {
            let kernel = measure_kernel(queue, megabytes * MB, rounds);
            report(&format!("kernel alone, process of {megabytes} MB"), &kernel, "");
            let what = format!(", the dead of {megabytes} MB");
            self.add(queue, cases, &Setting { what: &what, bytes: megabytes * MB, rounds, ..BRIEFLY });
        }
    }

    fn add_long_sleepers(&mut self, queue: &Queue, cases: &[Case], rounds: usize) {
        let setting = Setting {
            what: ", after seconds of sleep",
            slept: SLEPT_LONG + SLOW_HEARTBEAT,
            heartbeat: SLOW_HEARTBEAT,
            bound: Duration::from_millis(250),
            rounds,
            ..BRIEFLY
        };
        self.add(queue, cases, &setting);
    }

    /// A repair looks at every slot, so its time grows with their number.
    fn add_large_queue(&mut self, location: &Location, cases: &[Case], rounds: usize) {
        let queue = Queue::create(location, &plan(1_000_000, BYTES as u64, BYTES as u64)).expect("created");
        let bound = BRIEFLY.bound * 2;
        self.add(&queue, cases, &Setting { what: ", in a queue of a million", bound, rounds, ..BRIEFLY });
    }

    fn add_crowd(&mut self, queue: &Queue, cases: &[Case], count: u64, rounds: usize) {
        let _crowd = Crowd::gather(queue, count);
        let kernel = measure_kernel(queue, 0, rounds);
        report(&format!("kernel alone, {count} others attached"), &kernel, "");
        self.add(queue, cases, &Setting { what: &format!(", {count} others attached"), rounds, ..BRIEFLY });
    }
}

fn small_queue(location: &Location) -> Queue {
    Queue::create(location, &plan(CAPACITY, BYTES as u64, BYTES as u64)).expect("created")
}

#[test]
fn a_sleeper_repairs_at_its_first_heartbeat_after_a_death() {
    let _one = one_at_a_time();
    let place = Place::new("repair-heartbeat");
    let queue = small_queue(&place.at("q"));
    let board = Board::new(WORDS);
    for case in cases(&queue, &Raw::of(&place.at("q"))) {
        (case.prepare)(&queue);
        let mut victim = stopped_victim(&queue, case.victim, case.stops_at, 0, &board);
        board[HEARTBEATS].store(0, SeqCst);
        board[IS_DEAD].store(0, SeqCst);
        let mut survivor = Child::run(|| {
            let mut count = || {
                board[HEARTBEATS].fetch_add(board[IS_DEAD].load(SeqCst), SeqCst);
                Ok(())
            };
            (case.survivor)(&queue, &mut Wait::until(Deadline::after(Some(LONG)), &mut count));
        });
        wait_until_asleep(&survivor);
        victim.kill();
        board[IS_DEAD].store(1, SeqCst);
        assert_eq!(survivor.end(), common::WELL, "waiting {}", case.what);
        let heartbeats = board[HEARTBEATS].load(SeqCst);
        assert!(heartbeats <= 1, "waiting {}: repaired after {heartbeats} heartbeats", case.what);
        clear(&queue);
    }
}

#[test]
fn a_survivor_goes_on_soon_after_a_death() {
    let _one = one_at_a_time();
    let place = Place::new("repair-time");
    let is_all = std::env::var_os("PENSTOCK_TEST_ALL").is_some();
    let (rounds, few) = if is_all { (10, 4) } else { (2, 2) };
    let queue = small_queue(&place.at("q"));
    let cases = cases(&queue, &Raw::of(&place.at("q")));
    let some = [cases[0], cases[2], cases[5]];
    let mut table = Table { dice: Dice::new(seed()), count: 0, late: 0 };

    tell("from the kill until the survivor has gone on");
    let kernel = measure_kernel(&queue, 0, rounds);
    report("kernel alone, small process", &kernel, "");
    table.add(&queue, &cases, &Setting { rounds, ..BRIEFLY });
    table.add_large_victims(&queue, &some, if is_all { &[64, 256, 1024] } else { &[64] }, few);
    if is_all {
        table.add_long_sleepers(&queue, &some, few);
        table.add_large_queue(&place.at("large"), &some[..1], rounds);
    }
    table.add_crowd(&queue, &cases, if is_all { 1000 } else { 100 }, rounds);
    tell(&format!("figures: deaths={} stuck=0 late={}", table.count, table.late));
}

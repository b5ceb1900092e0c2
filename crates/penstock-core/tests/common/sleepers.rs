//! Processes that sleep on a queue, and what those go through whose waker was killed.

use super::scene::{Scene, Size};
use super::{Board, Child, at_once, get, get_waiting, id_of, item, put, tell, wait_for, within};
use penstock_core::Queue;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

pub const A_SECOND: Duration = Duration::from_secs(1);
/// How long a sleeper would wait if nobody brought it what it waits for.
pub const LONG: Duration = Duration::from_secs(15);

pub const GONE_ON: usize = 0;
pub const RESULT: usize = 1;

/// A process that sleeps in `act` until something comes, and then says so on the board.
pub fn sleeper(board: &Board, act: impl FnOnce() -> u64) -> Child {
    let child = Child::run(|| {
        let result = act();
        board[RESULT].store(result, SeqCst);
        board[GONE_ON].store(1, SeqCst);
    });
    wait_until_asleep(&child);
    child
}

/// A sleeper spins first, and then sleeps for a heartbeat at a time.
pub fn wait_until_asleep(child: &Child) {
    let mut asleep = 0;
    wait_for("the sleeper to sleep", Duration::from_secs(10), || {
        asleep = if child.state() == 'S' { asleep + 1 } else { 0 };
        asleep == 3
    });
}

/// So many failures tell enough: each takes a second.
const ENOUGH: usize = 5;

/// What the sleepers of one test went through.
pub struct Waits {
    what: &'static str,
    points: u32,
    by_the_dead: u32,
    worst: Duration,
    worst_at: String,
    failures: Vec<String>,
}

impl Waits {
    pub fn new(what: &'static str) -> Waits {
        Waits { what, points: 0, by_the_dead: 0, worst: Duration::ZERO, worst_at: String::new(), failures: Vec::new() }
    }

    /// The sleeper must go on within a second of now.
    pub fn expect_to_go_on(&mut self, board: &Board, is_by_the_dead: bool, story: impl FnOnce() -> String) {
        let begun = Instant::now();
        self.points += 1;
        while board[GONE_ON].load(SeqCst) == 0 {
            if begun.elapsed() > A_SECOND {
                self.failures.push(format!("{}: slept on for a second", story()));
                if self.failures.len() == ENOUGH {
                    self.finish();
                }
                return;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        if is_by_the_dead {
            self.by_the_dead += 1;
            if begun.elapsed() > self.worst {
                (self.worst, self.worst_at) = (begun.elapsed(), story());
            }
        }
    }

    pub fn finish(&self) {
        let line = format!(
            "{}: {} points, at {} of them the dead had brought what was waited for, {} failures, longest wait {} ms ({})",
            self.what,
            self.points,
            self.by_the_dead,
            self.failures.len(),
            self.worst.as_millis(),
            self.worst_at
        );
        tell(&line);
        assert!(self.failures.is_empty(), "{line}\n  {}", self.failures.join("\n  "));
    }
}

pub fn sleep_for_item(queue: &Queue) -> u64 {
    let bytes = within(LONG, |wait| get_waiting(queue, wait)).expect("an item");
    id_of(&bytes).expect("whole").into()
}

pub fn sleep_for_room(queue: &Queue) -> u64 {
    let len = if queue.plan().item_bytes > 0 { Size::Small.bytes() } else { Size::Large.bytes() };
    within(LONG, |wait| queue.put(&[&item(500, len)], wait)).expect("room");
    1
}

pub fn sleep_in_join(queue: &Queue) -> u64 {
    within(LONG, |wait| queue.join(wait)).expect("all done");
    1
}

pub fn sleep_for_dead_letter(queue: &Queue) -> u64 {
    let mut small = [0; penstock_core::slots::INLINE_MAX];
    within(LONG, |wait| queue.get_dead(&mut small, wait).map(|_| ())).expect("a dead letter");
    1
}

pub fn bring_item(scene: &Scene) {
    put(scene.queue(), &item(400, scene.bytes)).expect("room");
}

pub fn bring_room(scene: &Scene) {
    get(scene.queue()).expect("an item");
}

pub fn finish_all(scene: &Scene) {
    while get(scene.queue()).is_ok() {}
    let unsettled = scene.queue().unsettled();
    at_once(|wait| scene.queue().task_done(unsettled, wait)).expect("all done");
}

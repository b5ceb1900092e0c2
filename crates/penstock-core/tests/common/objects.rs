//! What a victim does with a mutex, a semaphore or an event, and what others must find when it was killed at that.
//!
//! It writes down how far it came: word 0 of the board, and others where they are named.

use super::Board;
use penstock_core::{Deadline, Error, Event, Mutex, Semaphore};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// The board's words for a mutex: 1, or 2 if it was told that the owner had died; 1 before the last release; 1 after it.
const TAKEN: usize = 0;
const RELEASING: usize = 1;
const RELEASED: usize = 2;

fn take(mutex: &Mutex) -> Result<bool, Error> {
    mutex.take(Deadline::after(Some(Duration::from_secs(5))), &mut || Ok(()))
}

/// Takes a mutex, takes it again, and gives it back as often.
pub fn cycle_mutex(mutex: &Mutex, board: &Board) {
    let told = take(mutex).expect("taken");
    board[TAKEN].store(1 + u64::from(told), SeqCst);
    take(mutex).expect("again");
    mutex.release().expect("ours");
    board[RELEASING].store(1, SeqCst);
    mutex.release().expect("ours");
    board[RELEASED].store(1, SeqCst);
}

/// The next has it at once, and knows whether its owner died with it in hand. `is_orphaned`: it came from the dead before.
pub fn check_mutex(mutex: &Mutex, board: &Board, is_orphaned: bool) {
    let [taken, releasing, released] = [TAKEN, RELEASING, RELEASED].map(|at| board[at].load(SeqCst));
    let told = take(mutex).expect("the next has it");
    if released == 1 {
        assert!(!told, "it was given back");
    } else if taken != 0 && releasing == 0 || taken == 0 && is_orphaned {
        assert!(told, "its owner died with it in hand");
    }
    assert_eq!((mutex.depth(), mutex.is_abandoned()), (1, told));
    mutex.release().expect("ours");
    assert_eq!(take(mutex), Ok(false), "told once");
    mutex.release().expect("ours");
}

/// With one permit of three: takes it, gives two back, takes one.
pub fn cycle_semaphore(semaphore: &Semaphore, board: &Board) {
    semaphore.try_acquire().expect("the only permit");
    board[0].store(1, SeqCst);
    assert_eq!(semaphore.try_acquire(), Err(Error::Busy));
    semaphore.release(2).expect("room");
    board[0].store(2, SeqCst);
    semaphore.try_acquire().expect("a permit");
    board[0].store(3, SeqCst);
}

/// Each step has happened or not, and the count is what can be taken.
pub fn check_semaphore(semaphore: &Semaphore, board: &Board) {
    const AFTER: [u32; 4] = [1, 0, 2, 1];
    let done = usize::try_from(board[0].load(SeqCst)).expect("few");
    let value = semaphore.value().expect("a count");
    assert!(AFTER[done..].iter().take(2).any(|after| *after == value), "{value} permits after {done} steps");
    (0..value).for_each(|_| semaphore.try_acquire().expect("a permit"));
    assert_eq!(semaphore.try_acquire(), Err(Error::Busy));
    assert_eq!(semaphore.release(3), Ok(0));
    assert!(matches!(semaphore.release(1), Err(Error::OverRelease { .. })));
}

/// Sets an event, clears it or uses it up, and sets it again.
pub fn cycle_event(event: &Event, board: &Board) {
    event.set();
    board[0].store(1, SeqCst);
    event.try_wait().expect("set");
    if !event.auto_reset() {
        event.clear();
    }
    board[0].store(2, SeqCst);
    event.set();
    board[0].store(3, SeqCst);
}

/// Each step has happened or not, and it can be set, waited for and cleared.
pub fn check_event(event: &Event, board: &Board) {
    const AFTER: [bool; 4] = [false, true, false, true];
    let done = usize::try_from(board[0].load(SeqCst)).expect("few");
    assert!(AFTER[done..].iter().take(2).any(|after| *after == event.is_set()), "set: {} after {done}", event.is_set());
    event.set();
    assert_eq!(event.try_wait(), Ok(()));
    assert_eq!(event.is_set(), !event.auto_reset());
    event.clear();
    assert_eq!(event.try_wait(), Err(Error::Busy));
}

//! Counting what is done: `task_done`, `join`, and the verbs that make items vanish: purge and shutdown.
//!
//! What was put is the sequence; what is done is one count beside it; `join` waits until they meet. The count changes
//! only under the get lock. Where an item vanishes and the count must follow, a note says what is about to happen,
//! so that repair can finish a settlement cut short between the two stores, and never counts it twice.

use super::guard::Held;
use super::{Queue, Wait};
use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::error::{Error, Result};
use crate::event;
use crate::fault;
use crate::layout::{SHUT_AT_ONCE, SHUT_DOWN, SlotHead};

impl Queue {
    /// Says that `count` items taken by `get` are dealt with.
    ///
    /// # Errors
    /// `OverRelease` if more would be done than were put; `Busy`, `Corrupted`, what the tick returns. Nothing changed.
    pub fn task_done(&self, count: u64, wait: &mut Wait<'_>) -> Result<()> {
        let held = self.lock_get(wait)?;
        let settle = &self.control().settle;
        let settled = settle.settled.load(Relaxed);
        let unsettled = self.unsettled_at(settled);
        if count > unsettled {
            held.finish();
            return Err(Error::OverRelease {
                name: self.name().to_owned(),
                what: format!("task_done() called for {count} items, but only {unsettled} are unfinished"),
            });
        }
        settle.settled.store(settled.wrapping_add(count), Release);
        fault::point("task_done: counted");
        held.finish();
        event::signal(&settle.event, u32::MAX);
        Ok(())
    }

    /// Items put and not yet dealt with. May be stale on return.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.unsettled_at(self.control().settle.settled.load(Acquire))
    }

    fn unsettled_at(&self, settled: u64) -> u64 {
        let put = self.control().put.seq.load(Acquire).wrapping_sub(settled);
        if put > u64::MAX / 2 { 0 } else { put }
    }

    /// How many items were ever put, and how many are dealt with. May be stale on return.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let control = self.control();
        (control.put.seq.load(Acquire).wrapping_sub(1), control.settle.settled.load(Acquire).wrapping_sub(1))
    }

    /// Waits until everything that was put is dealt with.
    ///
    /// # Errors
    /// `Busy` once the deadline has passed; `Removed`, `Corrupted`, what the tick returns.
    pub fn join(&self, wait: &mut Wait<'_>) -> Result<()> {
        let is_done = || self.unsettled() == 0 || self.status() & crate::layout::POISONED != 0;
        self.wait_for(&self.control().settle.event, wait.change, wait.tick, is_done)?;
        self.check_not_poisoned()
    }

    /// Takes all items away that wait now. Returns how many there were.
    ///
    /// # Errors
    /// `Busy`, `Corrupted`, what the tick returns.
    pub fn purge(&self, wait: &mut Wait<'_>) -> Result<u64> {
        let held = self.lock_get(wait)?;
        let count = self.discard_ready()?;
        held.finish();
        self.tell_discarded();
        Ok(count)
    }

    fn tell_discarded(&self) {
        event::signal(&self.control().free.event, u32::MAX);
        event::signal(&self.control().settle.event, u32::MAX);
    }

    /// Discards what waits. The get lock is held.
    pub(super) fn discard_ready(&self) -> Result<u64> {
        // Those that wait now: producers may be as quick as this is.
        let waiting = self.len();
        let mut count = 0;
        while count < waiting {
            let Some(next) = self.head_of_ready()? else { break };
            self.settle_and_free(next.number, next.slot, next.word, next.seq)?;
            self.pass_head();
            count += 1;
        }
        Ok(count)
    }

    /// Makes an item vanish and counts it as dealt with. The get lock is held.
    pub(super) fn settle_and_free(&self, number: u32, slot: &SlotHead, word: u64, seq: u64) -> Result<()> {
        let settle = &self.control().settle;
        let after = settle.settled.load(Relaxed).wrapping_add(1);
        settle.note_seq.store(seq, Relaxed);
        settle.note_settled.store(after, Relaxed);
        fault::point("settle: before the note");
        settle.note_slot.store(number + 1, Release);
        fault::point("settle: noted");
        self.free_slot(number, slot, word)?;
        settle.settled.store(after, Release);
        fault::point("settle: counted");
        settle.note_slot.store(0, Release);
        fault::point("settle: note gone");
        Ok(())
    }

    /// Ends the queue for everybody: puts raise at once, gets when nothing waits any more.
    ///
    /// # Errors
    /// `Busy`, `Corrupted`, what the tick returns.
    pub fn shut_down(&self, wait: &mut Wait<'_>) -> Result<()> {
        let held = self.lock_put(wait)?;
        self.shut(held, SHUT_DOWN);
        self.wake_everybody();
        Ok(())
    }

    /// Ends the queue for everybody at once: what waits is discarded.
    ///
    /// # Errors
    /// As [`Queue::shut_down`].
    pub fn shut_down_at_once(&self, wait: &mut Wait<'_>) -> Result<()> {
        let held = self.lock_put(wait)?;
        self.shut(held, SHUT_DOWN | SHUT_AT_ONCE);
        let emptied = self.purge(wait);
        self.wake_everybody();
        emptied.map(|_| ())
    }

    /// Under the put lock, so that no put is decided on the old word and stored after the new one.
    fn shut(&self, held: Held<'_>, bits: u32) {
        self.segment().control().status.fetch_or(bits, AcqRel);
        fault::point("shutdown: told");
        held.finish();
    }
}

//! Dead letters: items that were delivered too often and not acknowledged.
//!
//! They stay in their slots, in a state and a ring of their own, until somebody takes, discards or requeues them: so an
//! item becomes a dead letter by one store, and no death can lose or double it. That is done when it is given back for
//! the last time, or by repair for a holder who died. A queue keeps slots for them besides its capacity; when there are
//! more dead letters than that, they take room from the living ones. Nothing is dropped.

use super::get::{Got, Next};
use super::guard::Held;
use super::put::busy_as;
use super::{Queue, Wait};
use crate::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::error::{Error, Result};
use crate::event;
use crate::fault;
use crate::layout::{SlotHead, State};
use crate::rings::between;
use crate::slots::shift;

impl Queue {
    /// How many dead letters there are. May be stale on return.
    #[must_use]
    pub fn dead_len(&self) -> u64 {
        let dead = &self.control().dead;
        let count = dead.tail.load(Acquire).wrapping_sub(dead.head.load(Acquire));
        if count <= self.plan.slots { count } else { 0 }
    }

    /// Takes the oldest dead letter, waiting for one.
    ///
    /// # Errors
    /// `Empty` once the deadline has passed; `Removed`, `Corrupted`, what the tick returns. Nothing changed.
    pub fn get_dead(&self, out: &mut [u8], wait: &mut Wait<'_>) -> Result<Got> {
        loop {
            let held = self.lock_get(wait).map_err(busy_as(Error::Empty))?;
            match self.head_of_dead()? {
                Some(next) => return self.take_dead(held, &next, out),
                None => held.finish(),
            }
            let is_there = || self.dead_len() > 0 || self.status() & crate::layout::POISONED != 0;
            self.wait_for(&self.control().dead.event, wait.change, wait.tick, is_there)
                .map_err(busy_as(Error::Empty))?;
        }
    }

    fn take_dead(&self, held: Held<'_>, next: &Next<'_>, out: &mut [u8]) -> Result<Got> {
        if next.len > self.plan.inline_bytes {
            // A lease like any other; released after the copy, back among the dead letters if the copier dies.
            return self.lease_dead(held, next).map(Got::Leased);
        }
        if !out.get_mut(..next.len).is_some_and(|out| self.slots().read(next.number, next.len, out)) {
            return Err(self.segment().poison("a slot does not lie where the plan says"));
        }
        self.pass_dead_head();
        self.settle_and_free(next.number, next.slot, next.word, next.seq)?;
        held.finish();
        self.tell_freed();
        Ok(Got::Copied(next.len))
    }

    fn lease_dead(&self, held: Held<'_>, next: &Next<'_>) -> Result<super::Lease> {
        self.pass_dead_head();
        let lease = self.lease_slot(&held, next)?;
        held.finish();
        Ok(lease)
    }

    /// Discards all dead letters. Returns how many there were.
    ///
    /// # Errors
    /// `Busy`, `Corrupted`, what the tick returns.
    pub fn purge_dead(&self, wait: &mut Wait<'_>) -> Result<u64> {
        let held = self.lock_get(wait)?;
        let mut count = 0;
        while let Some(next) = self.head_of_dead()? {
            self.pass_dead_head();
            self.settle_and_free(next.number, next.slot, next.word, next.seq)?;
            count += 1;
        }
        held.finish();
        self.tell_freed();
        Ok(count)
    }

    /// Lets all dead letters wait again, in their old places, as if never delivered. Returns how many there were.
    ///
    /// # Errors
    /// As [`Queue::purge_dead`].
    pub fn requeue_dead(&self, wait: &mut Wait<'_>) -> Result<u64> {
        let held = self.lock_get(wait)?;
        let mut count = 0;
        while let Some(next) = self.head_of_dead()? {
            self.pass_dead_head();
            next.slot.deliveries.store(0, Relaxed);
            fault::point("requeue: count reset");
            shift(next.slot, next.word, State::Ready, next.seq).ok_or_else(|| {
                self.segment().poison(format!("slot {} was moved by somebody who does not own it", next.number))
            })?;
            self.insert_in_order(next.number, next.seq)?;
            count += 1;
        }
        held.finish();
        event::signal(&self.control().ready.event, u32::MAX);
        Ok(count)
    }

    /// Whether an item that was delivered so often is not to be delivered again.
    #[inline]
    pub(super) fn is_worn_out(&self, deliveries: u32) -> bool {
        self.plan.max_deliveries > 0 && u64::from(deliveries) >= self.plan.max_deliveries
    }

    /// Makes a dead letter of an item. The get lock is held.
    #[cold]
    pub(super) fn expire_slot(&self, number: u32, slot: &SlotHead, word: u64, seq: u64) -> Result<()> {
        shift(slot, word, State::Expired, seq)
            .ok_or_else(|| self.segment().poison(format!("slot {number} was moved by somebody who does not own it")))?;
        let dead = &self.control().dead;
        let tail = dead.tail.load(Relaxed);
        self.slots().dead().set(tail, number);
        fault::point("expire: entry written");
        dead.tail.store(tail.wrapping_add(1), Release);
        fault::point("expire: published");
        Ok(())
    }

    /// A dead letter takes no room of the living while there are slots for it.
    pub(super) fn tell_expired(&self) {
        event::signal(&self.control().dead.event, 1);
        event::signal(&self.control().free.event, 1);
    }

    fn tell_freed(&self) {
        event::signal(&self.control().free.event, u32::MAX);
        event::signal(&self.control().settle.event, u32::MAX);
    }

    /// Comes before whatever happens to the letter: from here on a free slot is kept for another in its stead. The other way
    /// round, producers would for a moment find one place more than the queue has. Repair reads the slots, not the ring.
    fn pass_dead_head(&self) {
        let head = &self.control().dead.head;
        head.store(head.load(Relaxed).wrapping_add(1), Release);
        fault::point("dead letter: head passed");
    }

    fn head_of_dead(&self) -> Result<Option<Next<'_>>> {
        let dead = &self.control().dead;
        let (head, tail) = (dead.head.load(Relaxed), dead.tail.load(Acquire));
        let count = between(head, tail, self.plan.slots)
            .map_err(|_| self.segment().poison("its ring of dead letters is longer than its slots"))?;
        if count == 0 {
            return Ok(None);
        }
        self.checked_next(self.slots().dead().get(head), State::Expired).map(Some)
    }

    /// The dead letters' slots, oldest first, at most `limit`. The get lock is held.
    pub(super) fn dead_places(&self, limit: usize) -> Result<Vec<(u32, u64, usize)>> {
        let dead = &self.control().dead;
        let (head, tail) = (dead.head.load(Relaxed), dead.tail.load(Acquire));
        let count = between(head, tail, self.plan.slots)
            .map_err(|_| self.segment().poison("its ring of dead letters is longer than its slots"))?;
        (0..count.min(limit as u64))
            .map(|step| {
                self.checked_next(self.slots().dead().get(head.wrapping_add(step)), State::Expired).map(place_of)
            })
            .collect()
    }
}

/// What a look without a lock needs to know of a slot.
pub(super) fn place_of(next: Next<'_>) -> (u32, u64, usize) {
    let _: &SlotHead = next.slot;
    (next.number, next.word, next.len)
}

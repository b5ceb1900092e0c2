//! Taking one item.
//!
//! ```text
//! small: get lock · i = ready[head] · read · state FREE · free[tail] = i · tail + 1 · head + 1 · unlock · signal
//! large: lease (`lease`), copy outside the lock, acknowledge
//! ```
//!
//! Killed before FREE, the item is still there. Killed after, it was taken by the dead.

use super::guard::Held;
use super::lease::Lease;
use super::put::busy_as;
use super::{Queue, Wait};
use crate::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::error::{Error, Result};
use crate::event;
use crate::fault;
use crate::layout::{SHUT_AT_ONCE, SlotHead, State, carries_seq};
use crate::rings::between;
use crate::slots::{INLINE_MAX, expect_line, look};

/// Where a small item is copied to.
pub type Inline = [u8; INLINE_MAX];

/// What was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Got {
    /// A small item: so many bytes were copied.
    Copied(usize),
    /// A large item, still in its slot: copy it out, then acknowledge.
    Leased(Lease),
}

/// A slot whose item waits, and what is known of it.
pub(super) struct Next<'q> {
    pub(super) number: u32,
    pub(super) slot: &'q SlotHead,
    pub(super) word: u64,
    pub(super) seq: u64,
    pub(super) len: usize,
}

impl Queue {
    /// Takes the oldest item without waiting. `out` has room for the largest item that lies in a slot: an [`Inline`], or
    /// less in a queue whose items are all smaller.
    ///
    /// # Errors
    /// `Empty`, also of a queue that was shut down: only `get` looks for what the dead had taken. `Busy`, `ShutDown` if at
    /// once, `Corrupted`. Nothing changed.
    #[inline]
    pub fn try_get(&self, out: &mut [u8]) -> Result<Got> {
        let held = self.try_lock_get_for_items()?;
        let got = self.take_one(held, out)?;
        if matches!(got, Got::Copied(_)) {
            event::signal(&self.control().free.event, 1);
        }
        Ok(got)
    }

    /// Takes the oldest item, waiting for one.
    ///
    /// # Errors
    /// `Empty` once the deadline has passed; `ShutDown`, `Removed`, `Corrupted`, what the tick returns. Nothing changed.
    pub fn get(&self, out: &mut [u8], wait: &mut Wait<'_>) -> Result<Got> {
        let got = self.when_item(wait, |held| self.take_one(held, out))?;
        if matches!(got, Got::Copied(_)) {
            event::signal(&self.control().free.event, 1);
        }
        Ok(got)
    }

    /// Runs `act` under the get lock, again and again until it does not answer `Empty` or the wait is over.
    pub(super) fn when_item<R>(&self, wait: &mut Wait<'_>, mut act: impl FnMut(Held<'_>) -> Result<R>) -> Result<R> {
        self.look_in_passing()?;
        loop {
            let held = self.lock_get(wait).map_err(busy_as(Error::Empty))?;
            match act(held) {
                Err(Error::Empty) if self.is_shut_down() => {
                    // Nothing more will be put, but what the dead had taken comes back.
                    self.look_for_the_dead()?;
                    if !self.has_items() {
                        return Err(Error::ShutDown);
                    }
                }
                Err(Error::Empty) => {}
                done => return done,
            }
            self.wait_for(&self.control().ready.event, wait.change, wait.tick, || self.is_gettable())
                .map_err(busy_as(Error::Empty))?;
        }
    }

    #[inline(always)]
    fn take_one(&self, held: Held<'_>, out: &mut [u8]) -> Result<Got> {
        let held = self.check_gives(held)?;
        let Some((held, next)) = self.next_ready(held)? else { return Err(Error::Empty) };
        if next.len > self.plan.inline_bytes {
            return self.lease_next(held, &next).map(Got::Leased);
        }
        if !out.get_mut(..next.len).is_some_and(|out| self.slots().read(next.number, next.len, out)) {
            return Err(self.segment().poison("a slot does not lie where the plan says"));
        }
        self.free_next(&next)?;
        let line = &self.control().get;
        let head = line.ready_head.load(Relaxed);
        if line.ready_tail_seen.load(Relaxed) != head {
            self.slots().expect(self.slots().ready().get(head));
        }
        held.finish();
        fault::point("get: unlocked");
        Ok(Got::Copied(next.len))
    }

    /// Frees the slot at the head of the ready ring and passes it. The get lock is held.
    #[inline(always)]
    pub(super) fn free_next(&self, next: &Next<'_>) -> Result<()> {
        fault::point("get: read");
        self.free_slot(next.number, next.slot, next.word)?;
        self.pass_head();
        Ok(())
    }

    /// Passes the head of the ready ring. The get lock is held.
    #[inline(always)]
    pub(super) fn pass_head(&self) {
        let head = &self.control().get.ready_head;
        head.store(head.load(Relaxed).wrapping_add(1), Release);
        fault::point("get: head passed");
    }

    /// `ShutDown` if nothing is given any more; gives the lock back then.
    #[inline(always)]
    pub(super) fn check_gives<'q>(&self, held: Held<'q>) -> Result<Held<'q>> {
        if self.status() & SHUT_AT_ONCE == 0 {
            return Ok(held);
        }
        // Who shut the queue down at once may have died before it was empty.
        self.discard_ready()?;
        held.finish();
        Err(Error::ShutDown)
    }

    /// The item whose turn it is, without taking it. `None`: nothing waits, and the lock was given back.
    /// Items that were delivered too often become dead letters on the way.
    #[inline(always)]
    pub(super) fn next_ready<'q>(&'q self, held: Held<'q>) -> Result<Option<(Held<'q>, Next<'q>)>> {
        loop {
            let Some(next) = self.head_of_ready()? else {
                held.finish();
                return Ok(None);
            };
            if !self.is_worn_out(next.slot.deliveries.load(Relaxed)) {
                return Ok(Some((held, next)));
            }
            self.expire(&next)?;
        }
    }

    /// The item at the head of the ready ring, checked. The get lock is held.
    #[inline(always)]
    pub(super) fn head_of_ready(&self) -> Result<Option<Next<'_>>> {
        let head = self.control().get.ready_head.load(Relaxed);
        if self.items_seen(head)? == 0 {
            return Ok(None);
        }
        self.checked_next(self.slots().ready().get(head), State::Ready).map(Some)
    }

    /// How many items wait, as far as was seen; looks anew where that was none. The get lock is held.
    #[inline(always)]
    pub(super) fn items_seen(&self, head: u64) -> Result<u64> {
        let line = &self.control().get;
        let mut tail = line.ready_tail_seen.load(Relaxed);
        if tail == head {
            // As in `room_seen`.
            self.slots().expect(self.slots().ready().get(head));
            // Acquire: pairs with the producer's release of the tail; its entry and its slot are seen.
            tail = self.control().ready.tail.load(Acquire);
            line.ready_tail_seen.store(tail, Relaxed);
            // Producers have looked at this one meanwhile.
            expect_line(&self.control().free.tail);
            self.slots().expect_next(self.slots().ready(), head, tail.wrapping_sub(head));
        }
        between(head, tail, self.plan.slots)
            .map_err(|_| self.segment().poison("its ready ring is longer than its slots"))
    }

    /// A slot that a ring names, checked to be what the ring says.
    #[inline(always)]
    pub(super) fn checked_next(&self, number: u32, is: State) -> Result<Next<'_>> {
        let slot = self
            .slots()
            .head(number)
            .ok_or_else(|| self.segment().poison(format!("a ring names slot {number} of {}", self.plan.slots)))?;
        let (seq, len) = (slot.seq.load(Relaxed), slot.len.load(Relaxed) as usize);
        match look(slot) {
            Some((state, word)) if state == is && carries_seq(word, seq) && len as u64 <= self.plan.max_item_bytes => {
                Ok(Next { number, slot, word, seq, len })
            }
            _ => Err(self
                .segment()
                .poison(format!("a ring names slot {number}, which does not hold what the ring says"))),
        }
    }

    /// Moves the item at the head to the dead letters. The get lock is held.
    #[cold]
    fn expire(&self, next: &Next<'_>) -> Result<()> {
        self.expire_slot(next.number, next.slot, next.word, next.seq)?;
        self.pass_head();
        self.tell_expired();
        Ok(())
    }
}

//! Taking an item and answering for it: leased, it keeps its slot; acknowledged, it is gone; given back, or its
//! holder dead, it waits again in its old place, before newer ones.
//!
//! ```text
//! lease:     get lock · i = ready[head] · deliveries + 1 · state LEASED(me, seq) · head + 1 · unlock
//! ack:       get lock · note · state FREE · free[tail] = i · tail + 1 · settled + 1 · note gone · unlock · signal
//! give back: get lock · state READY(seq) · insert i at the front of ready in order of seq · unlock · signal
//!            or for the last time: get lock · state EXPIRED(seq) · dead[tail] = i · tail + 1 · unlock · signal
//! ```
//!
//! A holder may keep an item for an hour: it holds back one slot and nobody else.

use super::get::Next;
use super::guard::Held;
use super::reserve::since_word;
use super::{Queue, Wait};
use crate::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::error::{Error, Result};
use crate::event;
use crate::fault::{self, Remedy};
use crate::layout::{Owner, SHUT_AT_ONCE, State};
use crate::rings::between;
use crate::slots::shift;

/// An item that this process has taken and not settled. Settle it by `ack` or `give_back`; forgotten, it stays held until the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Lease {
    number: u32,
    word: u64,
    seq: u64,
    len: usize,
    deliveries: u32,
    me: Owner,
}

impl Lease {
    /// The item's size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for an empty item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How often the item has been handed out, this time included.
    #[must_use]
    pub fn deliveries(&self) -> u32 {
        self.deliveries
    }
}

impl Queue {
    /// Leases the oldest item without waiting.
    ///
    /// # Errors
    /// `Empty`, `Busy`, `ShutDown`, `Corrupted`. Nothing changed.
    pub fn try_lease(&self) -> Result<Lease> {
        let held = self.try_lock_get_for_items()?;
        self.lease_one(held)
    }

    /// Leases the oldest item, waiting for one.
    ///
    /// # Errors
    /// As [`Queue::get`]. Nothing changed.
    pub fn lease(&self, wait: &mut Wait<'_>) -> Result<Lease> {
        self.when_item(wait, |held| self.lease_one(held))
    }

    fn lease_one(&self, held: Held<'_>) -> Result<Lease> {
        let held = self.check_gives(held)?;
        let Some((held, next)) = self.next_ready(held)? else { return Err(Error::Empty) };
        self.lease_next(held, &next)
    }

    pub(super) fn lease_next(&self, held: Held<'_>, next: &Next<'_>) -> Result<Lease> {
        let lease = self.lease_slot(&held, next)?;
        self.pass_head();
        held.finish();
        fault::point("lease: unlocked");
        Ok(lease)
    }

    /// Moves a slot into this process's hands. The caller holds the get lock and passes the ring's head afterwards.
    pub(super) fn lease_slot(&self, held: &Held<'_>, next: &Next<'_>) -> Result<Lease> {
        // Counted before it is handed out: an item that kills whoever takes it must not be handed out for ever.
        let deliveries = next.slot.deliveries.load(Relaxed).saturating_add(1);
        if Remedy::DeliveriesAreCounted.is_on() {
            next.slot.deliveries.store(deliveries, Relaxed);
        }
        next.slot.since_ms.store(since_word(), Relaxed);
        fault::point("lease: counted");
        let me = held.me;
        let word = shift(next.slot, next.word, State::Leased(me), next.seq).ok_or_else(|| {
            self.segment().poison(format!("slot {} was moved by somebody who does not own it", next.number))
        })?;
        Ok(Lease { number: next.number, word, seq: next.seq, len: next.len, deliveries, me })
    }

    /// Copies the first `out.len()` bytes of a leased item.
    ///
    /// # Errors
    /// `Corrupted` if it cannot hold so many; `LeaseLost` in a forked child; `NoSpace` if the bytes are not there and there is no room.
    pub fn read(&self, lease: &Lease, out: &mut [u8]) -> Result<()> {
        self.check_mine(lease.me)?;
        self.commit_payload(lease.number, lease.len)?;
        if self.slots().read(lease.number, lease.len, out) {
            Ok(())
        } else {
            Err(self.segment().corrupted("a slot does not lie where the plan says"))
        }
    }

    /// Where the leased item lies: `len()` bytes, nobody's to write until it is settled.
    ///
    /// # Errors
    /// As [`Queue::read`].
    pub fn leased_bytes(&self, lease: &Lease) -> Result<*mut u8> {
        self.commit_payload(lease.number, lease.len)?;
        self.slots()
            .place(lease.number, lease.len)
            .ok_or_else(|| self.segment().corrupted("a slot does not lie where the plan says"))
    }

    /// Acknowledges the item: it is done, and its slot free.
    ///
    /// # Errors
    /// `LeaseLost` if it was settled before or belongs to the parent process; `Busy` or what the tick returns (still leased); `Corrupted`.
    pub fn ack(&self, lease: &Lease, wait: &mut Wait<'_>) -> Result<()> {
        self.check_mine(lease.me)?;
        let held = self.lock_get(wait)?;
        self.ack_held(held, lease)
    }

    /// Acknowledges the item if the lock is free within a moment.
    ///
    /// # Errors
    /// As [`Queue::ack`].
    pub fn try_ack(&self, lease: &Lease) -> Result<()> {
        self.check_mine(lease.me)?;
        let held = self.try_lock_get()?;
        self.ack_held(held, lease)
    }

    fn ack_held(&self, held: Held<'_>, lease: &Lease) -> Result<()> {
        let Some(slot) = self.own_slot(lease.number, lease.word) else {
            held.finish();
            return Err(self.lost("the lease was settled before"));
        };
        self.settle_and_free(lease.number, slot, lease.word, lease.seq)?;
        held.finish();
        fault::point("ack: unlocked");
        event::signal(&self.control().free.event, 1);
        event::signal(&self.control().settle.event, u32::MAX);
        Ok(())
    }

    /// Frees the slot of a large item that `get` has copied out. Unlike `ack` it settles nothing: that is `task_done`'s.
    ///
    /// # Errors
    /// As [`Queue::ack`].
    pub fn release(&self, lease: &Lease, wait: &mut Wait<'_>) -> Result<()> {
        self.check_mine(lease.me)?;
        let held = self.lock_get(wait)?;
        self.release_held(held, lease)
    }

    /// The same if the lock is free within a moment.
    ///
    /// # Errors
    /// As [`Queue::ack`].
    pub fn try_release(&self, lease: &Lease) -> Result<()> {
        self.check_mine(lease.me)?;
        let held = self.try_lock_get()?;
        self.release_held(held, lease)
    }

    fn release_held(&self, held: Held<'_>, lease: &Lease) -> Result<()> {
        let Some(slot) = self.own_slot(lease.number, lease.word) else {
            held.finish();
            return Err(self.lost("the lease was settled before"));
        };
        self.free_slot(lease.number, slot, lease.word)?;
        held.finish();
        event::signal(&self.control().free.event, 1);
        Ok(())
    }

    /// Gives the item back: it waits again, before newer ones.
    ///
    /// # Errors
    /// As [`Queue::ack`].
    pub fn give_back(&self, lease: &Lease, wait: &mut Wait<'_>) -> Result<()> {
        self.check_mine(lease.me)?;
        let held = self.lock_get(wait)?;
        let Some(slot) = self.own_slot(lease.number, lease.word) else {
            held.finish();
            return Err(self.lost("the lease was settled before"));
        };
        if self.status() & SHUT_AT_ONCE != 0 {
            // Nobody will take it any more.
            self.settle_and_free(lease.number, slot, lease.word, lease.seq)?;
            held.finish();
            event::signal(&self.control().settle.event, u32::MAX);
            return Ok(());
        }
        if self.is_worn_out(slot.deliveries.load(Relaxed)) {
            self.expire_slot(lease.number, slot, lease.word, lease.seq)?;
            held.finish();
            self.tell_expired();
            return Ok(());
        }
        shift(slot, lease.word, State::Ready, lease.seq).ok_or_else(|| {
            self.segment().poison(format!("slot {} was moved by somebody who does not own it", lease.number))
        })?;
        self.insert_in_order(lease.number, lease.seq)?;
        held.finish();
        event::signal(&self.control().ready.event, 1);
        Ok(())
    }

    /// Makes room at the front of the ready ring: older items move one place up. The get lock is held.
    pub(super) fn insert_in_order(&self, number: u32, seq: u64) -> Result<()> {
        let (line, ring) = (&self.control().get, self.slots().ready());
        let head = line.ready_head.load(Relaxed);
        let tail = self.control().ready.tail.load(Acquire);
        let count = between(head, tail, self.plan.slots)
            .map_err(|_| self.segment().poison("its ready ring is longer than its slots"))?;
        let new_head = head.wrapping_sub(1);
        let mut place = new_head;
        for step in 0..count {
            let other = ring.get(head.wrapping_add(step));
            let slot = self.slots().head(other).ok_or_else(|| {
                self.segment().poison(format!("its ready ring names slot {other} of {}", self.plan.slots))
            })?;
            // Sequences wrap after centuries; the difference's sign decides all the same.
            if slot.seq.load(Relaxed).wrapping_sub(seq) < u64::MAX / 2 {
                break;
            }
            ring.set(place, other);
            place = place.wrapping_add(1);
        }
        ring.set(place, number);
        fault::point("give back: entries moved");
        line.ready_head.store(new_head, Release);
        fault::point("give back: published");
        Ok(())
    }

    /// Leaves the item as if this process had died: whoever next looks for the dead delivers it anew.
    pub fn abandon_lease(&self, lease: &Lease) {
        if self.check_mine(lease.me).is_ok() {
            self.abandon(lease.number, lease.word);
        }
    }

    /// Gives back, but waits no longer than a moment for the lock; then leaves the item to the next repair.
    pub fn give_back_or_abandon(&self, lease: &Lease) {
        let mut tick = || Ok(());
        let mut wait = Wait::until(crate::deadline::Deadline::after(Some(std::time::Duration::ZERO)), &mut tick);
        if self.give_back(lease, &mut wait).is_err() {
            self.abandon_lease(lease);
        }
    }
}

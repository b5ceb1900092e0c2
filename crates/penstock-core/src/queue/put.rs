//! Putting one item.
//!
//! A small item is copied into its slot under the put lock. A larger one never is: its slot is reserved under the lock,
//! written outside it, and committed under it (`reserve`), so that no copy keeps others waiting.
//!
//! ```text
//! small: put lock · i = free[head] · bytes · seq, len · state READY(seq) · seq + 1 · ready[tail] = i · tail + 1 · head + 1 · unlock · signal
//! ```
//!
//! Killed before READY, nothing was put. Killed after, the item is put, and whoever inherits the lock writes the rings anew.

use super::guard::Held;
use super::repair::item_check;
use super::reserve::Reservation;
use super::{Queue, Wait};
use crate::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::error::{Error, Result};
use crate::event;
use crate::fault::{self, Remedy};
use crate::layout::{SHUT_AT_ONCE, SHUT_DOWN, SlotHead, State};
use crate::rings::between;
use crate::slots::{expect_line, look, shift};

impl Queue {
    /// Puts an item, given in parts that are laid one after the other, without waiting.
    ///
    /// Returns a reservation if a large item was written but the lock was held when it was to be committed:
    /// the caller commits it when it may wait.
    ///
    /// # Errors
    /// `Full`, `ShutDown`, `TooLarge`, `Corrupted`; `Busy` also where the file system gave no room: `put` then looks for some.
    /// Nothing changed.
    #[inline]
    pub fn try_put(&self, parts: &[&[u8]]) -> Result<Option<Reservation>> {
        let len = self.checked_len(parts)?;
        if len > self.plan.inline_bytes {
            return self.try_put_large(parts, len);
        }
        let held = self.try_lock_put()?;
        self.put_small(held, parts, len)?;
        event::signal(&self.control().ready.event, 1);
        Ok(None)
    }

    /// Puts an item, waiting for room.
    ///
    /// # Errors
    /// `Full` once the deadline has passed; `ShutDown`, `TooLarge`, `NoSpace`, `Removed`, `Corrupted`, what the tick
    /// returns. Nothing changed.
    pub fn put(&self, parts: &[&[u8]], wait: &mut Wait<'_>) -> Result<()> {
        let len = self.checked_len(parts)?;
        if len > self.plan.inline_bytes {
            let reservation = self.reserve(len, wait)?;
            if let Err(error) = self.fill(&reservation, parts, len) {
                self.cancel(&reservation, wait)?;
                return Err(error);
            }
            return self.commit(&reservation, len, wait);
        }
        self.when_room(wait, |held| self.put_small(held, parts, len))?;
        event::signal(&self.control().ready.event, 1);
        Ok(())
    }

    /// Runs `act` under the put lock, again and again until it does not answer `Full` or the wait is over.
    pub(super) fn when_room<R>(&self, wait: &mut Wait<'_>, mut act: impl FnMut(Held<'_>) -> Result<R>) -> Result<R> {
        loop {
            let held = self.lock_put(wait).map_err(busy_as(Error::Full))?;
            match act(held) {
                Err(Error::Full) => {}
                done => return done,
            }
            self.wait_for(&self.control().free.event, wait.change, wait.tick, || self.is_puttable())
                .map_err(busy_as(Error::Full))?;
        }
    }

    /// Whether an item of these parts is of a size that the queue takes.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn check_len(&self, parts: &[&[u8]]) -> Result<()> {
        self.checked_len(parts).map(|_| ())
    }

    #[inline(always)]
    fn checked_len(&self, parts: &[&[u8]]) -> Result<usize> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let is_right_size = self.plan.item_bytes == 0 || len as u64 == self.plan.item_bytes;
        if len as u64 > self.plan.max_item_bytes || !is_right_size {
            return Err(self.too_large(len));
        }
        Ok(len)
    }

    #[cold]
    pub(super) fn too_large(&self, len: usize) -> Error {
        Error::TooLarge { name: self.name().to_owned(), bytes: len as u64, limit: self.plan.max_item_bytes }
    }

    #[inline(always)]
    fn put_small(&self, held: Held<'_>, parts: &[&[u8]], len: usize) -> Result<()> {
        if let Err(shut) = self.check_takes_puts() {
            held.finish();
            return Err(shut);
        }
        let Some((number, slot, word)) = self.next_free(&held)? else {
            held.finish();
            return Err(Error::Full);
        };
        fault::point("put: slot chosen");
        self.fill_slot(number, slot, parts, len)?;
        fault::point("put: bytes written");
        let head = self.control().put.free_head.load(Relaxed);
        self.publish(number, slot, word, len)?;
        self.control().put.free_head.store(head.wrapping_add(1), Release);
        fault::point("put: before unlock");
        if self.control().put.free_tail_seen.load(Relaxed) != head.wrapping_add(1) {
            self.slots().expect(self.slots().free().get(head.wrapping_add(1)));
        }
        held.finish();
        fault::point("put: unlocked");
        Ok(())
    }

    /// Copies an item into a slot that is ours.
    #[inline(always)]
    pub(super) fn fill_slot(&self, number: u32, slot: &SlotHead, parts: &[&[u8]], len: usize) -> Result<()> {
        if !self.slots().write(number, parts, len) {
            return Err(self.segment().poison("a slot does not lie where the plan says"));
        }
        if self.segment().header().is_file {
            slot.check.store(item_check(&parts.concat()), Relaxed);
        }
        Ok(())
    }

    /// The free slot whose turn it is, without taking it. `None`: no room. `ShutDown` gives the lock back.
    #[inline(always)]
    pub(super) fn next_free(&self, _held: &Held<'_>) -> Result<Option<(u32, &SlotHead, u64)>> {
        let head = self.control().put.free_head.load(Relaxed);
        if self.room_seen(head)? == 0 {
            return Ok(None);
        }
        self.free_at(head).map(Some)
    }

    /// How many free slots there are for items, as far as was seen; looks anew where that was none. The put lock is held.
    #[inline(always)]
    pub(super) fn room_seen(&self, head: u64) -> Result<u64> {
        let line = &self.control().put;
        let mut tail = line.free_tail_seen.load(Relaxed);
        if self.plan.dead_capacity > 0 || tail == head {
            // The entry's line comes along with the tail's; in a short ring, where entries seldom change, the next slot's too.
            self.slots().expect(self.slots().free().get(head));
            // Acquire: pairs with the consumer's release of the tail; its entry and its slot are seen.
            tail = self.control().free.tail.load(Acquire);
            line.free_tail_seen.store(tail, Relaxed);
            // Consumers have looked at this one meanwhile.
            expect_line(&self.control().ready.tail);
            self.slots().expect_next(self.slots().free(), head, tail.wrapping_sub(head));
        }
        let count = between(head, tail, self.plan.slots)
            .map_err(|_| self.segment().poison("its free ring is longer than its slots"))?;
        Ok(count.saturating_sub(self.spare()))
    }

    /// The slot that the free ring names at `count`, checked to be free. The put lock is held.
    #[inline(always)]
    pub(super) fn free_at(&self, count: u64) -> Result<(u32, &SlotHead, u64)> {
        let number = self.slots().free().get(count);
        let slot = self.slots().head(number).ok_or_else(|| {
            self.segment().poison(format!("its free ring names slot {number} of {}", self.plan.slots))
        })?;
        match look(slot) {
            Some((State::Free, word)) => Ok((number, slot, word)),
            _ => Err(self.segment().poison(format!("its free ring names slot {number}, which is not free"))),
        }
    }

    /// Gives the item its sequence and makes it READY, then tells the ready ring. The put lock is held.
    #[inline(always)]
    pub(super) fn publish(&self, number: u32, slot: &SlotHead, word: u64, len: usize) -> Result<()> {
        let control = self.control();
        let seq = control.put.seq.load(Relaxed);
        let make_ready = || self.make_ready(number, slot, word, len, seq);
        if Remedy::ReadyBeforeTold.is_on() {
            make_ready()?;
        }
        control.put.seq.store(seq.wrapping_add(1), Relaxed);
        fault::point("put: sequence taken");
        let tail = control.ready.tail.load(Relaxed);
        self.slots().ready().set(tail, number);
        fault::point("put: entry written");
        // Release: pairs with the consumer's acquire of the tail.
        control.ready.tail.store(tail.wrapping_add(1), Release);
        fault::point("put: published");
        if !Remedy::ReadyBeforeTold.is_on() {
            make_ready()?;
        }
        Ok(())
    }

    /// Makes a slot READY with its item, under this sequence. From here on the item is put, whatever becomes of us.
    #[inline(always)]
    pub(super) fn make_ready(&self, number: u32, slot: &SlotHead, word: u64, len: usize, seq: u64) -> Result<()> {
        slot.len.store(u32::try_from(len).unwrap_or(u32::MAX), Relaxed);
        slot.deliveries.store(0, Relaxed);
        slot.seq.store(seq, Relaxed);
        match shift(slot, word, State::Ready, seq) {
            Some(_) => Ok(()),
            None => Err(self.segment().poison(format!("slot {number} was moved by somebody who does not own it"))),
        }
    }

    /// `ShutDown` if no more puts are taken. Under the put lock, under which that is decided.
    #[inline]
    pub(super) fn check_takes_puts(&self) -> Result<()> {
        if self.status() & (SHUT_DOWN | SHUT_AT_ONCE) == 0 { Ok(()) } else { Err(Error::ShutDown) }
    }
}

/// Who waited in vain learns it in the verb's own word.
pub(super) fn busy_as(word: Error) -> impl FnOnce(Error) -> Error {
    move |error| if error == Error::Busy { word } else { error }
}

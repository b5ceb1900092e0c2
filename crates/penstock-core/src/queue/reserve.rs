//! Writing an item in place: reserve a slot under the lock, write outside it, commit under it.
//!
//! ```text
//! reserve: put lock · i = free[head] · state WRITING(me) · head + 1 · unlock
//! commit:  put lock · seq, len · state READY(seq) · seq + 1 · ready[tail] = i · tail + 1 · unlock · signal
//! cancel:  get lock · state FREE · free[tail] = i · tail + 1 · unlock · signal
//! ```
//!
//! Items are ordered by when they are committed: a slow writer holds nobody up. Killed between reserve and commit, the slot becomes free.

use super::guard::Held;
use super::put::busy_as;
use super::repair::item_check;
use super::{Queue, Wait};
use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::error::{Error, Result};
use crate::event;
use crate::fault::{self, Remedy};
use crate::layout::{Owner, SlotHead, State, state_of};
use crate::rings::between;
use crate::slots::{look, shift};
use crate::sys;

/// A slot that this process writes. Settle it by `commit` or `cancel`; forgotten, it stays held until the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Reservation {
    number: u32,
    word: u64,
    len: usize,
    me: Owner,
}

/// How many slots are tried for memory of their own when the file system has none left.
const SLOTS_TO_TRY: u32 = 8;

/// How many bytes of payload rooms are used in turn: more than the caches of two processors for themselves, and much less
/// than the one that all share. (An AMD EPYC with 1 MiB for each and 32 MiB for all was fastest with 2 to 8 MiB.)
pub(super) const IN_TURN_BYTES: u32 = 4 << 20;
/// How many rooms at least, however large: one to write and one to read.
const FEWEST_IN_TURN: u64 = 2;

impl Reservation {
    /// How many bytes may be written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True for an empty item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Queue {
    /// Reserves room for `len` bytes without waiting.
    ///
    /// # Errors
    /// As [`Queue::try_put`]. Nothing changed.
    pub fn try_reserve(&self, len: usize) -> Result<Reservation> {
        self.check_reservable(len)?;
        let held = self.try_lock_put()?;
        let reservation = self.reserve_slot(held, len)?;
        match self.ready_to_write(reservation) {
            // Whoever may wait looks for a slot that has its room already.
            Err(Error::NoSpace { .. }) => Err(Error::Busy),
            done => done,
        }
    }

    /// Reserves room for `len` bytes, waiting for it.
    ///
    /// # Errors
    /// As [`Queue::put`]. Nothing changed.
    pub fn reserve(&self, len: usize, wait: &mut Wait<'_>) -> Result<Reservation> {
        self.check_reservable(len)?;
        let reservation = self.when_room(wait, |held| self.reserve_slot(held, len))?;
        match self.ready_to_write(reservation) {
            Err(no_space @ Error::NoSpace { .. }) => self.reserve_where_room_is(len, wait, no_space),
            done => done,
        }
    }

    /// Free slots are used in turn: the next one may never have been given memory while others, free as well, have it.
    /// A repair writes the free ring anew, lowest numbers first, and those were used first.
    #[cold]
    fn reserve_where_room_is(&self, len: usize, wait: &mut Wait<'_>, no_space: Error) -> Result<Reservation> {
        if self.repair(wait).is_err() {
            return Err(no_space);
        }
        for _ in 0..SLOTS_TO_TRY {
            let reservation = self.when_room(wait, |held| self.reserve_slot(held, len))?;
            match self.ready_to_write(reservation) {
                Err(Error::NoSpace { .. }) => {}
                done => return done,
            }
        }
        Err(no_space)
    }

    fn check_reservable(&self, len: usize) -> Result<()> {
        let fits = if self.plan.item_bytes > 0 {
            len as u64 == self.plan.item_bytes
        } else {
            len as u64 <= self.plan.max_item_bytes
        };
        if fits { Ok(()) } else { Err(self.too_large(len)) }
    }

    fn reserve_slot(&self, held: Held<'_>, len: usize) -> Result<Reservation> {
        if let Err(shut) = self.check_takes_puts() {
            held.finish();
            return Err(shut);
        }
        if len > self.plan.inline_bytes {
            self.bring_a_warm_one_forward(&held, len)?;
        }
        let Some((number, slot, word)) = self.next_free(&held)? else {
            held.finish();
            return Err(Error::Full);
        };
        slot.since_ms.store(since_word(), Relaxed);
        fault::point("reserve: slot chosen");
        let me = held.me;
        let word = shift(slot, word, State::Writing(me), 0)
            .ok_or_else(|| self.segment().poison(format!("slot {number} was moved by somebody who does not own it")))?;
        let head = &self.control().put.free_head;
        head.store(head.load(Relaxed).wrapping_add(1), Release);
        fault::point("reserve: taken");
        held.finish();
        Ok(Reservation { number, word, len, me })
    }

    /// Lets a slot that was freed lately have its turn now, so that a few megabytes of rooms are used in turn, and the
    /// others not at all: for a large item it matters that its room is still in a cache, and a queue that is never full
    /// then takes little more memory than it has items at a time. But not the slot that was freed last: its
    /// lines are in a cache that is the consumer's alone, and to have them sent from there takes three times as long as from the
    /// one that all processors share.
    ///
    /// The cold ones stay at the head of the ring: the one whose turn it is changes its place with the first behind them.
    /// The entries between head and tail are the producers'. Killed between the two stores, one slot is named twice and another
    /// not at all, and whoever inherits the lock writes the ring anew.
    fn bring_a_warm_one_forward(&self, _held: &Held<'_>, len: usize) -> Result<()> {
        let line = &self.control().put;
        let head = line.free_head.load(Relaxed);
        // Acquire: pairs with the consumer's release of the tail; its entries are seen.
        let tail = self.control().free.tail.load(Acquire);
        line.free_tail_seen.store(tail, Relaxed);
        let count = between(head, tail, self.plan.slots)
            .map_err(|_| self.segment().poison("its free ring is longer than its slots"))?;
        let in_turn = (u64::from(self.in_turn_bytes.load(Relaxed)) / len.max(1) as u64).max(FEWEST_IN_TURN);
        let cold = self.plan.slots.saturating_sub(in_turn).min(count.saturating_sub(1));
        if cold > 0 {
            let (free, at) = (self.slots().free(), head.wrapping_add(cold));
            let (coldest, warm) = (free.get(head), free.get(at));
            free.set(head, warm);
            fault::point("reserve: in the middle of a swap");
            free.set(at, coldest);
        }
        Ok(())
    }

    /// Says how many bytes of rooms are used in turn. For tests, whose items are small.
    #[doc(hidden)]
    pub fn use_in_turn(&self, bytes: u32) {
        self.in_turn_bytes.store(bytes, Relaxed);
    }

    /// The file system must give the room before anything is stored there; if it will not, the slot goes back.
    fn ready_to_write(&self, reservation: Reservation) -> Result<Reservation> {
        if let Err(error) = self.commit_payload(reservation.number, reservation.len) {
            self.cancel_or_abandon(&reservation);
            return Err(error);
        }
        Ok(reservation)
    }

    /// Sees to it that the payload room for `len` bytes is committed.
    ///
    /// # Errors
    /// `NoSpace`, `Os`.
    pub(super) fn commit_payload(&self, number: u32, len: usize) -> Result<()> {
        let Some((at, bytes)) = self.slots().payload_extent(number, len) else { return Ok(()) };
        let Some(known) = self.committed_pages.get(number as usize) else { return Ok(()) };
        let pages = u32::try_from(bytes / crate::layout::PAGE as u64).unwrap_or(u32::MAX);
        if known.load(Relaxed) >= pages {
            return Ok(());
        }
        self.segment().file().commit(self.name(), at, bytes)?;
        known.fetch_max(pages, Relaxed);
        Ok(())
    }

    /// Copies `parts` into a reserved slot.
    pub(super) fn fill(&self, reservation: &Reservation, parts: &[&[u8]], len: usize) -> Result<()> {
        self.check_mine(reservation.me)?;
        let held = if Remedy::CopiedOutsideTheLock.is_on() { None } else { Some(self.try_lock_put()?) };
        fault::point("put: before copying");
        if !self.slots().write(reservation.number, parts, len) {
            return Err(self.segment().poison("a slot does not lie where the plan says"));
        }
        fault::point("put: copied");
        if let Some(held) = held {
            held.finish();
        }
        Ok(())
    }

    /// Where the reserved bytes lie: `len()` of them, this process's to write until commit or cancel.
    #[must_use]
    pub fn reserved_bytes(&self, reservation: &Reservation) -> *mut u8 {
        self.slots().place(reservation.number, reservation.len).unwrap_or(std::ptr::null_mut())
    }

    /// Sends the first `len` bytes of what was written.
    ///
    /// # Errors
    /// `ShutDown` (the slot went back), `LeaseLost` in a forked child, `Busy` or what the tick returns (still reserved), `Corrupted`.
    pub fn commit(&self, reservation: &Reservation, len: usize, wait: &mut Wait<'_>) -> Result<()> {
        self.check_mine(reservation.me)?;
        self.note_check(reservation, len);
        let held = self.lock_put(wait)?;
        self.commit_held(held, reservation, len)
    }

    /// Sends what was written if the lock is free within a moment.
    ///
    /// # Errors
    /// As [`Queue::commit`].
    pub fn try_commit(&self, reservation: &Reservation, len: usize) -> Result<()> {
        self.check_mine(reservation.me)?;
        self.note_check(reservation, len);
        let held = self.try_lock_put()?;
        self.commit_held(held, reservation, len)
    }

    /// Notes the check of an item that is to outlive a restart. Before the lock is taken: the slot is ours, and reading a
    /// large item would keep others waiting.
    fn note_check(&self, reservation: &Reservation, len: usize) {
        if !self.segment().header().is_file {
            return;
        }
        let Some(slot) = self.own_slot(reservation.number, reservation.word) else { return };
        let mut bytes = vec![0; len.min(reservation.len)];
        if self.slots().read(reservation.number, reservation.len, &mut bytes) {
            slot.check.store(item_check(&bytes), Relaxed);
        }
    }

    fn commit_held(&self, held: Held<'_>, reservation: &Reservation, len: usize) -> Result<()> {
        if let Err(shut) = self.check_takes_puts() {
            held.finish();
            self.abandon(reservation.number, reservation.word);
            return Err(shut);
        }
        let Some(slot) = self.own_slot(reservation.number, reservation.word) else {
            held.finish();
            return Err(self.lost("the reservation was settled before"));
        };
        // A shorter item may belong into the slot itself, although it was written to its payload room.
        let len = len.min(reservation.len);
        if !self.move_into_place(reservation, len) {
            held.finish();
            return Err(self.segment().corrupted("a slot does not lie where the plan says"));
        }
        self.publish(reservation.number, slot, reservation.word, len)?;
        held.finish();
        fault::point("commit: unlocked");
        event::signal(&self.control().ready.event, 1);
        Ok(())
    }

    /// Where an item lies follows from its length; at most `INLINE_MAX` bytes ever need moving.
    fn move_into_place(&self, reservation: &Reservation, len: usize) -> bool {
        if reservation.len <= self.plan.inline_bytes || len > self.plan.inline_bytes {
            return true;
        }
        let mut small = [0; crate::slots::INLINE_MAX];
        let Some(bytes) = small.get_mut(..len) else { return false };
        let Some(from) = self.slots().place(reservation.number, reservation.len) else { return false };
        // SAFETY: `place` vouches for reservation.len bytes, which is more than `len`; the slot is ours.
        unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), len) };
        self.slots().write(reservation.number, &[bytes], len)
    }

    /// Gives the slot back unsent.
    ///
    /// # Errors
    /// `LeaseLost` if it was settled before, or in a forked child.
    pub fn cancel(&self, reservation: &Reservation, wait: &mut Wait<'_>) -> Result<()> {
        self.check_mine(reservation.me)?;
        let held = self.lock_get(wait)?;
        let Some(slot) = self.own_slot(reservation.number, reservation.word) else {
            held.finish();
            return Err(self.lost("the reservation was settled before"));
        };
        self.free_slot(reservation.number, slot, reservation.word)?;
        held.finish();
        event::signal(&self.control().free.event, 1);
        Ok(())
    }

    /// Gives the slot back without waiting for a lock: whoever next looks for the dead takes it.
    pub fn abandon_reservation(&self, reservation: &Reservation) {
        if self.check_mine(reservation.me).is_ok() {
            self.abandon(reservation.number, reservation.word);
        }
    }

    /// The slot, if it still is exactly what `word` says.
    pub(super) fn own_slot(&self, number: u32, word: u64) -> Option<&SlotHead> {
        let slot = self.slots().head(number)?;
        let now = slot.state.load(Acquire);
        let is_his = now == word || (!Remedy::WordIsTheFence.is_on() && state_of(now) == state_of(word));
        is_his.then_some(slot)
    }

    /// Leaves a slot as if its owner had died: repair gives back what was reserved and delivers anew what was leased.
    pub(super) fn abandon(&self, number: u32, word: u64) {
        let Some(slot) = self.slots().head(number) else { return };
        let seq = slot.seq.load(Relaxed);
        let orphaned = match look(slot) {
            Some((State::Writing(_), seen)) if seen == word => shift(slot, word, State::Writing(Owner::BROKEN), 0),
            Some((State::Leased(_), seen)) if seen == word => shift(slot, word, State::Leased(Owner::BROKEN), seq),
            _ => None,
        };
        if orphaned.is_some() {
            // After the state: who sees the count sees an orphan.
            self.segment().control().unclean.fetch_add(1, AcqRel);
            self.wake_everybody();
        }
    }

    /// Frees a slot and tells the free ring. The get lock is held.
    #[inline(always)]
    pub(super) fn free_slot(&self, number: u32, slot: &SlotHead, word: u64) -> Result<()> {
        let set_free = || self.make_free(number, slot, word);
        if Remedy::FreeBeforeTold.is_on() {
            set_free()?;
        }
        let free = &self.control().free;
        let tail = free.tail.load(Relaxed);
        self.slots().free().set(tail, number);
        fault::point("free: entry written");
        // Release: pairs with the producer's acquire of the tail.
        free.tail.store(tail.wrapping_add(1), Release);
        fault::point("free: published");
        if !Remedy::FreeBeforeTold.is_on() {
            set_free()?;
        }
        Ok(())
    }

    /// Makes a slot FREE: from here on its item is gone, whatever becomes of us. The get lock is held.
    #[inline(always)]
    pub(super) fn make_free(&self, number: u32, slot: &SlotHead, word: u64) -> Result<()> {
        match shift(slot, word, State::Free, 0) {
            Some(_) => Ok(()),
            None => Err(self.segment().poison(format!("slot {number} was moved by somebody who does not own it"))),
        }
    }

    /// Settling is for the process that took the slot: a forked child inherits the handle, not the slot.
    #[inline]
    pub(super) fn check_mine(&self, owner: Owner) -> Result<()> {
        if self.segment().me()? == owner {
            Ok(())
        } else {
            Err(self.lost("it belongs to the process that took it, not to its child"))
        }
    }

    #[cold]
    pub(super) fn lost(&self, what: &'static str) -> Error {
        Error::LeaseLost { name: self.name().to_owned(), what }
    }

    pub(super) fn try_put_large(&self, parts: &[&[u8]], len: usize) -> Result<Option<Reservation>> {
        let reservation = self.try_reserve(len)?;
        self.fill(&reservation, parts, len)?;
        match self.try_commit(&reservation, len) {
            Ok(()) => Ok(None),
            Err(Error::Busy) => Ok(Some(reservation)),
            Err(error) => Err(error),
        }
    }

    /// Waits no longer than a moment for the lock, then leaves the slot to the next repair.
    pub fn cancel_or_abandon(&self, reservation: &Reservation) {
        let mut tick = || Ok(());
        let mut wait = Wait::until(crate::deadline::Deadline::after(Some(std::time::Duration::ZERO)), &mut tick);
        if self.cancel(reservation, &mut wait).map_err(busy_as(Error::Full)).is_err() {
            self.abandon_reservation(reservation);
        }
    }
}

/// The coarse clock, as slots keep it.
#[allow(clippy::cast_possible_truncation, reason = "wraps after 49 days; for people to read")]
pub(super) fn since_word() -> u32 {
    sys::now_ms() as u32
}

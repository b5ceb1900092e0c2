//! What can be known of a queue without its locks: counts that may be stale on return, and how to wait for them to change.

use super::Queue;
use crate::atomic::AtomicU32;
use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::event::{self, HEARTBEAT, SLOW_HEARTBEAT, Tick};
use crate::fault::Remedy;
use crate::layout::{POISONED, SHUT_AT_ONCE, SHUT_DOWN};
use crate::lock;
use crate::rings::between;
use crate::sys;
use std::time::Duration;

/// How long a call that is not to wait for items or room will still wait for a lock: its holder may just have lost its processor.
/// (A fuzzer's holders are made up, and never come back.)
pub const PUT_GRACE: Duration = Duration::from_micros(if cfg!(fuzzing) { 100 } else { 100_000 });

/// Who takes items without ever waiting looks for the dead once in so many.
const LOOK_EVERY: u32 = 8;

/// Looks after which counts that belong together have been seen. (A model's loads may stay behind for as long as they like.)
const COUNTS_AGREE_WITHIN: u32 = if cfg!(loom) { 2 } else { 1000 };

/// How long a call waits: for the lock, and for what it wants.
pub struct Wait<'a> {
    /// For a living holder of the lock.
    pub lock: Deadline,
    /// For an item, or for room.
    pub change: Deadline,
    /// Called between sleeps.
    pub tick: Tick<'a>,
}

impl<'a> Wait<'a> {
    /// Waits until `deadline` for a change, and at least a moment for the lock.
    pub fn until(deadline: Deadline, tick: Tick<'a>) -> Wait<'a> {
        let grace = Deadline::after(Some(PUT_GRACE));
        let lock = match (deadline, grace) {
            (Deadline::At(end), Deadline::At(least)) => Deadline::At(end.max(least)),
            _ => deadline,
        };
        Wait { lock, change: deadline, tick }
    }
}

/// How full a queue is. May be stale on return.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Items that wait.
    pub waiting: u64,
    /// Free slots.
    pub free: u64,
    /// Dead letters.
    pub dead: u64,
    /// Slots that are none of these: being written, leased, or on their way.
    pub held: u64,
}

impl Queue {
    /// Counts, each exact at one instant of the call; may be stale on return.
    #[must_use]
    pub fn depth(&self) -> Depth {
        let control = self.control();
        let count = |head: u64, tail: u64| between(head, tail, self.plan.slots);
        for _ in 0..COUNTS_AGREE_WITHIN {
            let before = (control.get.ready_head.load(Acquire), control.put.free_head.load(Acquire));
            let waiting = count(before.0, control.ready.tail.load(Acquire));
            let free = count(before.1, control.free.tail.load(Acquire));
            let dead = count(control.dead.head.load(Acquire), control.dead.tail.load(Acquire));
            let after = (control.get.ready_head.load(Acquire), control.put.free_head.load(Acquire));
            if let (Ok(waiting), Ok(free), Ok(dead), true) = (waiting, free, dead, before == after) {
                let held = self.plan.slots.saturating_sub(waiting + free + dead);
                return Depth { waiting, free, dead, held };
            }
            std::hint::spin_loop();
        }
        // Only a queue whose counts were overwritten stays impossible for so long; the verbs will say so.
        Depth { waiting: 0, free: 0, dead: 0, held: self.plan.slots }
    }

    /// Items that wait. May be stale on return.
    #[inline]
    #[must_use]
    pub fn len(&self) -> u64 {
        let control = self.control();
        loop {
            let head = control.get.ready_head.load(Acquire);
            let count = control.ready.tail.load(Acquire).wrapping_sub(head);
            if control.get.ready_head.load(Acquire) == head {
                return if count <= self.plan.slots { count } else { 0 };
            }
        }
    }

    /// No item waits. May be stale on return.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A put would have to wait. May be stale on return.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.has_room()
    }

    /// No more puts are taken. May be stale on return.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.status() & (SHUT_DOWN | SHUT_AT_ONCE) != 0
    }

    #[inline]
    pub(super) fn has_items(&self) -> bool {
        let control = self.control();
        control.ready.tail.load(Acquire) != control.get.ready_head.load(Relaxed)
    }

    #[inline]
    pub(super) fn has_room(&self) -> bool {
        let control = self.control();
        control.free.tail.load(Acquire).wrapping_sub(control.put.free_head.load(Relaxed)) > self.spare()
    }

    /// Free slots that are kept for dead letters to come.
    #[inline]
    pub(super) fn spare(&self) -> u64 {
        if self.plan.dead_capacity == 0 {
            return 0;
        }
        let dead = &self.control().dead;
        let letters = dead.tail.load(Acquire).wrapping_sub(dead.head.load(Acquire));
        self.plan.dead_capacity.saturating_sub(letters)
    }

    /// A get would return or raise at once. May be stale on return.
    #[must_use]
    pub fn is_gettable(&self) -> bool {
        self.has_items() || self.is_over()
    }

    /// A put would return or raise at once. May be stale on return.
    #[must_use]
    pub fn is_puttable(&self) -> bool {
        self.has_room() || self.is_over()
    }

    /// Shut down or damaged: nothing will come that is worth waiting for.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.status() & (SHUT_DOWN | SHUT_AT_ONCE | POISONED) != 0
    }

    /// Looks for an item for a moment, for a caller who keeps others waiting meanwhile.
    #[inline]
    pub fn glance_for_item(&self, looks: u32) -> bool {
        self.glance_item.until_some(&self.spin, looks, || if self.is_over() { 1 } else { self.items_now() })
    }

    /// Looks for room for a moment.
    #[inline]
    pub fn glance_for_room(&self, looks: u32) -> bool {
        self.glance_room.until_some(&self.spin, looks, || if self.is_over() { 1 } else { self.room_now() })
    }

    #[inline]
    fn items_now(&self) -> u64 {
        let control = self.control();
        control.ready.tail.load(Acquire).wrapping_sub(control.get.ready_head.load(Relaxed))
    }

    #[inline]
    fn room_now(&self) -> u64 {
        let control = self.control();
        control.free.tail.load(Acquire).wrapping_sub(control.put.free_head.load(Relaxed)).saturating_sub(self.spare())
    }

    /// Waits until a get would not have to. Takes nothing; somebody else may be quicker.
    ///
    /// # Errors
    /// `Busy` once the deadline has passed; `Removed` if the name is gone; what `tick` returns.
    pub fn wait_for_item(&self, deadline: Deadline, tick: Tick<'_>) -> Result<()> {
        let event = &self.control().ready.event;
        self.wait_for(event, deadline, tick, || self.is_gettable())?;
        // The wake-up may have been meant for somebody who would take something.
        event::signal(event, 1);
        Ok(())
    }

    /// Waits until a put would not have to. Takes nothing.
    ///
    /// # Errors
    /// As [`Queue::wait_for_item`].
    pub fn wait_for_room(&self, deadline: Deadline, tick: Tick<'_>) -> Result<()> {
        let event = &self.control().free.event;
        self.wait_for(event, deadline, tick, || self.is_puttable())?;
        event::signal(event, 1);
        Ok(())
    }

    pub(super) fn wait_for(
        &self,
        event: &AtomicU32,
        deadline: Deadline,
        tick: Tick<'_>,
        is_ready: impl Fn() -> bool,
    ) -> Result<()> {
        self.check_not_poisoned()?;
        if is_ready() {
            return Ok(());
        }
        if deadline.has_passed() {
            return self.sleep_for(event, deadline, tick, &is_ready);
        }
        self.spin.or_sleep(&is_ready, || self.sleep_for(event, deadline, tick, &is_ready))
    }

    fn sleep_for(
        &self,
        event: &AtomicU32,
        deadline: Deadline,
        tick: Tick<'_>,
        is_ready: &impl Fn() -> bool,
    ) -> Result<()> {
        // Who finds nothing looks for the dead: what they hold may be what is missing.
        if Remedy::LooksBeforeWaiting.is_on() {
            self.look_for_the_dead()?;
        }
        if is_ready() {
            return Ok(());
        }
        if deadline.has_passed() {
            return Err(Error::Busy);
        }
        self.segment().check_still_named()?;
        event::wait_until(event, deadline, tick, is_ready, || self.look_around())
    }

    /// Repairs if somebody died and left something.
    pub(super) fn look_for_the_dead(&self) -> Result<()> {
        let depth = self.depth();
        // Whoever shut the queue down at once may have died before it was empty, with nothing in hand: a join waits on that.
        let is_half_emptied = depth.waiting > 0 && self.status() & SHUT_AT_ONCE != 0;
        let is_suspect = depth.held > 0 || is_half_emptied || self.segment().control().unclean.load(Acquire) != 0;
        if is_suspect || self.is_a_lock_orphaned()? { self.repair_after_deaths() } else { Ok(()) }
    }

    /// Who waits for items takes the get lock only, so he would not meet a producer that died with an item half announced;
    /// nor would who waits for room meet a consumer that died with a slot half freed.
    fn is_a_lock_orphaned(&self) -> Result<bool> {
        let (control, table) = (self.control(), self.segment().table()?);
        let owners = [&control.put.lock, &control.get.lock].map(lock::owner_of);
        Ok(owners.into_iter().flatten().any(|owner| table.is_dead(owner)))
    }

    /// The same, for sleepers: all of them together look once in half a heartbeat.
    pub(super) fn look_for_the_dead_now_and_then(&self) -> Result<()> {
        let looked = &self.segment().control().looked_ms;
        let (before, now) = (looked.load(Relaxed), sys::now_ms());
        let is_due = now.wrapping_sub(before) >= u64::try_from(HEARTBEAT.as_millis()).unwrap_or(0) / 2;
        // Where nothing is held there is nothing to repair, and not everybody in the table has to be asked after.
        if is_due && looked.compare_exchange(before, now, AcqRel, Relaxed).is_ok() {
            return self.look_for_the_dead();
        }
        Ok(())
    }

    /// A queue that is never empty lets no consumer wait, so nobody would look for the dead, and what they had on loan would not
    /// come back: every so many items whoever takes one looks. True if somebody died; the next `look_in_passing` repairs.
    #[inline]
    pub(super) fn has_to_look(&self) -> bool {
        let taken = self.taken.load(Relaxed).wrapping_add(1);
        self.taken.store(taken, Relaxed);
        taken.is_multiple_of(LOOK_EVERY) && Remedy::LooksInPassing.is_on() && self.has_somebody_died()
    }

    #[cold]
    fn has_somebody_died(&self) -> bool {
        if !self.is_look_due() {
            return false;
        }
        let has_died = self.depth().held > 0 && self.segment().table().is_ok_and(|table| table.has_dead());
        // Only a whole look is noted as one: sleepers leave theirs to whoever looked last.
        if has_died || self.is_a_lock_orphaned().unwrap_or(false) {
            return true;
        }
        self.segment().control().looked_ms.store(sys::now_ms(), Relaxed);
        false
    }

    fn is_look_due(&self) -> bool {
        let looked = self.segment().control().looked_ms.load(Relaxed);
        sys::now_ms().wrapping_sub(looked) >= u64::try_from(SLOW_HEARTBEAT.as_millis()).unwrap_or(0)
    }

    /// Looks for the dead unless somebody did so lately.
    pub(super) fn look_in_passing(&self) -> Result<()> {
        if self.is_look_due() { self.look_for_the_dead_now_and_then() } else { Ok(()) }
    }

    /// Repairs if anybody died.
    pub(super) fn repair_after_deaths(&self) -> Result<()> {
        if !self.is_a_lock_orphaned()? && !self.segment().table()?.has_dead() {
            return Ok(());
        }
        // A living holder of a lock is not waited for here: the next look is due soon.
        match self.repair(&mut Wait::until(Deadline::after(Some(PUT_GRACE)), &mut || Ok(()))) {
            Err(Error::Busy) => Ok(()),
            done => done,
        }
    }

    /// What a sleeper does at each heartbeat, for those who wait on several objects.
    pub(crate) fn look_around(&self) -> Result<()> {
        self.segment().check_still_named()?;
        self.look_for_the_dead_now_and_then()
    }

    /// Wakes all who wait on anything of this queue; they look again.
    pub fn wake_everybody(&self) {
        let control = self.control();
        for word in [&control.ready.event, &control.free.event, &control.settle.event, &control.dead.event] {
            event::signal_all(word);
        }
    }

    /// The words that tell of items and of room, for those who wait on several objects.
    #[must_use]
    pub fn events(&self) -> (&AtomicU32, &AtomicU32) {
        let control = self.control();
        (&control.ready.event, &control.free.event)
    }
}

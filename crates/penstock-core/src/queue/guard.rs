//! Holding the two locks: producers the put lock, consumers the get lock, repair both and in this order.
//!
//! Whoever finds the put lock orphaned inherits it, takes the get lock too, repairs, and goes on with the put lock.
//! Whoever finds the get lock orphaned does not take it alone: two repairs that began with different locks would wait
//! for each other, or work on the same slots. It repairs from the put lock on, and then takes the get lock anew.

use super::state::PUT_GRACE;
use super::{Queue, Wait};
use crate::atomic::AtomicU32;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::fault::Remedy;
use crate::layout::Owner;
use crate::lock::{self, Coroner, OnDeath, Taken};
use crate::participant::Table;

/// A held lock. Dropped without `finish`, it says that a change was begun and not ended: the next holder repairs.
#[derive(Debug)]
#[must_use]
pub(super) struct Held<'q> {
    word: &'q AtomicU32,
    /// Who holds it.
    pub(super) me: Owner,
}

impl Held<'_> {
    /// The change is whole: gives the lock back.
    #[inline]
    pub(super) fn finish(self) {
        lock::give_back(self.word);
        std::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        lock::give_up(self.word);
    }
}

impl Coroner for Table<'_> {
    fn is_dead(&self, owner: Owner) -> bool {
        Table::is_dead(self, owner)
    }

    fn if_dead(&self, owner: Owner, act: &mut dyn FnMut() -> bool) -> Option<bool> {
        Table::if_dead(self, owner, act)
    }
}

impl Queue {
    /// Takes the put lock if it is free within a moment.
    ///
    /// # Errors
    /// `Busy`, `Corrupted`.
    #[inline]
    pub(super) fn try_lock_put(&self) -> Result<Held<'_>> {
        self.try_lock(&self.control().put.lock)
    }

    /// Takes the get lock if it is free within a moment.
    ///
    /// # Errors
    /// `Busy`, `Corrupted`.
    #[inline]
    pub(super) fn try_lock_get(&self) -> Result<Held<'_>> {
        self.try_lock(&self.control().get.lock)
    }

    /// The same, for who takes items; `Busy` also if somebody died, so that the caller comes back when it may wait, and repairs.
    ///
    /// # Errors
    /// `Busy`, `Corrupted`.
    #[inline]
    pub(super) fn try_lock_get_for_items(&self) -> Result<Held<'_>> {
        if self.has_to_look() { Err(Error::Busy) } else { self.try_lock_get() }
    }

    #[inline(always)]
    fn try_lock<'q>(&'q self, word: &'q AtomicU32) -> Result<Held<'q>> {
        let me = self.segment().me()?;
        self.check_not_poisoned()?;
        if lock::try_take_spinning(word, me) { Ok(Held { word, me }) } else { Err(Error::Busy) }
    }

    /// Takes the put lock, repairing if its owner died.
    ///
    /// # Errors
    /// `Busy` once `wait.lock` has passed, `Corrupted`, what the tick returns. The lock is not held then.
    pub(super) fn lock_put(&self, wait: &mut Wait<'_>) -> Result<Held<'_>> {
        let word = &self.control().put.lock;
        let me = self.segment().me()?;
        loop {
            let table = self.segment().table()?;
            self.check_not_poisoned()?;
            let taken = lock::take(word, me, &table, OnDeath::Inherit, wait.lock, wait.tick)?;
            let put = Held { word, me };
            if taken == Taken::Clean || !Remedy::HeirsRepair.is_on() {
                return Ok(put);
            }
            if !Remedy::NoTickUnderALock.is_on() {
                (wait.tick)()?;
            }
            match self.set_right_under(&put) {
                Ok(()) => return Ok(put),
                Err(error) => {
                    drop(put); // unfinished: the next holder repairs
                    go_on_after(error, wait)?;
                }
            }
        }
    }

    /// Takes the get lock, repairing if its owner died.
    ///
    /// # Errors
    /// As [`Queue::lock_put`].
    pub(super) fn lock_get(&self, wait: &mut Wait<'_>) -> Result<Held<'_>> {
        let word = &self.control().get.lock;
        let me = self.segment().me()?;
        loop {
            let table = self.segment().table()?;
            self.check_not_poisoned()?;
            match lock::take(word, me, &table, OnDeath::Report, wait.lock, wait.tick)? {
                Taken::Orphaned => self.repair(wait)?,
                Taken::Clean | Taken::Inherited => return Ok(Held { word, me }),
            }
        }
    }

    /// Takes the get lock with the put lock held, from the dead too, and repairs.
    ///
    /// Waits a moment only and runs no tick: what a tick runs may want the very lock that is held here.
    fn set_right_under(&self, put: &Held<'_>) -> Result<()> {
        let word = &self.control().get.lock;
        let table = self.segment().table()?;
        let soon = Deadline::after(Some(PUT_GRACE));
        lock::take(word, put.me, &table, OnDeath::Inherit, soon, &mut || Ok(()))?;
        let get = Held { word, me: put.me };
        self.set_right(put, &get)?;
        get.finish();
        Ok(())
    }

    /// Takes both locks and sets right what the dead left behind.
    ///
    /// # Errors
    /// `Busy` if a living peer holds a lock past `wait.lock`; `Corrupted` if the slots cannot be; what the tick returns.
    pub(super) fn repair(&self, wait: &mut Wait<'_>) -> Result<()> {
        let word = &self.control().put.lock;
        let me = self.segment().me()?;
        loop {
            let table = self.segment().table()?;
            let taken = lock::take(word, me, &table, OnDeath::Inherit, wait.lock, wait.tick)?;
            let put = Held { word, me };
            let outcome = self.set_right_under(&put);
            // Taken from the living and not set right, nothing was begun; from the dead, the next holder repairs.
            if outcome.is_ok() || (taken == Taken::Clean && outcome == Err(Error::Busy)) {
                put.finish();
            } else {
                drop(put);
            }
            match outcome {
                Ok(()) => return Ok(()),
                Err(error) => go_on_after(error, wait)?,
            }
        }
    }
}

/// After a repair that could not be had: `Ok` if the get lock's holder may be waited for once more.
fn go_on_after(error: Error, wait: &mut Wait<'_>) -> Result<()> {
    if error != Error::Busy || wait.lock.has_passed() {
        return Err(error);
    }
    (wait.tick)()
}

//! Exclusion that outlives its owner.
//!
//! | word | meaning | who moves it, where | if the mover dies right there |
//! |---|---|---|---|
//! | 0 | free | anybody: to its own name, by CAS | nothing happened, or it is held by the dead |
//! | owner | held | the owner: to 0, by swap; a waiter: sets the bit, by CAS; an heir of the dead: to its own name, by CAS | the next one inherits |
//! | owner and bit | held, somebody sleeps | as above | as above; sleepers look again by themselves |
//! | BROKEN | given up in the middle of a change | anybody: inherits | the next one inherits |
//!
//! Whoever inherits must repair before it goes on. The bit is sticky as in `event`: a woken waiter takes the lock
//! with the bit set, because it cannot know whether others sleep.

use crate::atomic::AtomicU32;
use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::event::{Patience, Tick};
use crate::fault::{self, Remedy};
use crate::layout::Owner;
use crate::sys;

const SLEEPERS: u32 = 1 << 31;

/// Looks at the free word before sleeping: about what a holder that is running needs. A model's holder runs when it is let.
const SPINS: u32 = if cfg!(loom) { 1 } else { 100 };

/// Who can tell the dead. The queue's is its table of participants.
pub trait Coroner {
    /// Whether `owner` is dead; may be stale if not.
    fn is_dead(&self, owner: Owner) -> bool;
    /// Runs `act` while nobody else can act on `owner`'s death; `None` if it lives.
    fn if_dead(&self, owner: Owner, act: &mut dyn FnMut() -> bool) -> Option<bool>;
}

/// How a lock was had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// From its last owner.
    Clean,
    /// From the dead, in the middle of something: repair first.
    Inherited,
    /// Not at all: its owner is dead, and the caller does not inherit this one first.
    Orphaned,
}

/// What to do when the owner is found dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDeath {
    /// Take the lock over.
    Inherit,
    /// Say so: another lock must be taken first.
    Report,
}

/// Takes a free lock with one CAS.
#[inline]
#[must_use]
pub fn try_take(word: &AtomicU32, me: Owner) -> bool {
    // Acquire: pairs with the release in `give_back`; what the last owner wrote is seen.
    // The release half: who finds our name sees our registration.
    word.compare_exchange(0, me.word(), AcqRel, Relaxed).is_ok()
}

/// Takes a lock that is free now or within a moment, without a system call.
#[inline]
#[must_use]
pub fn try_take_spinning(word: &AtomicU32, me: Owner) -> bool {
    try_take(word, me) || spin(word, me)
}

#[cold]
fn spin(word: &AtomicU32, me: Owner) -> bool {
    for _ in 0..SPINS {
        std::hint::spin_loop();
        if word.load(Relaxed) == 0 && try_take(word, me) {
            return true;
        }
    }
    false
}

/// Takes a lock, sleeping while a living peer holds it.
///
/// # Errors
/// `Busy` once the deadline has passed, what `tick` returns: the lock is not held then.
pub fn take(
    word: &AtomicU32,
    me: Owner,
    coroner: &dyn Coroner,
    on_death: OnDeath,
    deadline: Deadline,
    tick: Tick<'_>,
) -> Result<Taken> {
    if try_take_spinning(word, me) {
        return Ok(Taken::Clean);
    }
    let patience = Patience::new();
    let mut sleepers = 0;
    loop {
        // Acquire: who sees a name here must see that name's registration, or it would take the living for the dead.
        let seen = word.load(Acquire);
        let Some(owner) = Owner::from_word(seen) else {
            if word.compare_exchange(seen, me.word() | sleepers, AcqRel, Relaxed).is_ok() {
                return Ok(Taken::Clean);
            }
            continue;
        };
        if owner == Owner::BROKEN || coroner.is_dead(owner) {
            if on_death == OnDeath::Report {
                return Ok(Taken::Orphaned);
            }
            if inherit(word, seen, owner, me, coroner) {
                return Ok(Taken::Inherited);
            }
            if owner == Owner::BROKEN || word.load(Relaxed) != seen {
                continue;
            }
        }
        if !Remedy::NothingByTime.is_on() && deadline.has_passed() {
            word.store(me.word(), Release);
            return Ok(Taken::Inherited);
        }
        let is_over = deadline.has_passed() && Remedy::LockWaitsEnd.is_on();
        if is_over && sleepers == 0 {
            return Err(Error::Busy);
        }
        if seen & SLEEPERS == 0 && word.compare_exchange(seen, seen | SLEEPERS, AcqRel, Relaxed).is_err() {
            continue;
        }
        if is_over {
            // The bit stays behind: the wake-up that we had may have been another sleeper's, and whoever took the lock
            // before us took it without the bit.
            return Err(Error::Busy);
        }
        sleepers = if Remedy::TakenWithTheBit.is_on() { SLEEPERS } else { 0 };
        fault::point("lock: before sleep");
        if sys::sleep(word, seen | SLEEPERS, patience.bound(deadline)) != sys::Slept::Woken {
            tick()?;
        }
    }
}

/// One CAS from exactly the dead owner's word, made while nobody else can act on that death.
fn inherit(word: &AtomicU32, seen: u32, owner: Owner, me: Owner, coroner: &dyn Coroner) -> bool {
    let mut swap = || word.compare_exchange(seen, me.word() | (seen & SLEEPERS), AcqRel, Relaxed).is_ok();
    fault::point("lock: before inheriting");
    let inherited = if owner == Owner::BROKEN { swap() } else { coroner.if_dead(owner, &mut swap) == Some(true) };
    fault::point("lock: inherited");
    inherited
}

/// Gives a lock back and wakes one sleeper. By swap: a plain store would wipe a bit set meanwhile.
#[inline]
pub fn give_back(word: &AtomicU32) {
    let before = if Remedy::UnlockBySwap.is_on() { word.swap(0, AcqRel) } else { word.load(Relaxed) };
    if !Remedy::UnlockBySwap.is_on() {
        word.store(0, Release);
    }
    if before & SLEEPERS != 0 {
        wake_next(word);
    }
}

/// Gives a lock up in the middle of a change: whoever comes next inherits and repairs.
#[cold]
pub fn give_up(word: &AtomicU32) {
    if word.swap(Owner::BROKEN.word(), AcqRel) & SLEEPERS != 0 {
        sys::wake(word, u32::MAX);
    }
}

#[cold]
fn wake_next(word: &AtomicU32) {
    fault::point("unlock: before wake");
    sys::wake(word, 1);
}

/// The owner's name in the word, if it is held.
#[must_use]
pub fn owner_of(word: &AtomicU32) -> Option<Owner> {
    Owner::from_word(word.load(Acquire))
}

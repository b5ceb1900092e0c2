//! The mutex under a name: one thread at a time, of all processes; recursive; told once when its owner died.
//!
//! ```text
//! take     CAS lock: 0 -> me (from the dead: their word -> me) · depth = 1 · abandoned · holder = (me, thread)
//! again    depth + 1                                             (the thread that holds it)
//! release  depth - 1, and after the last: abandoned = 0 · depth = 0 · holder = 0 · swap lock: me -> 0 · signal
//! ```
//!
//! Killed anywhere between the CAS and the swap, the next owner inherits the lock, is told so, and writes the other
//! words anew; none of them is read before. So an heir that dies before it could act on the news leaves the same news
//! to the next. Killed after the swap and before the signal, whoever waits for several objects looks by himself within a heartbeat.

use crate::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::event::{self, Tick};
use crate::fault;
use crate::layout::{KIND_AT, Kind, MutexControl, Owner, PARAMS, holder_word};
use crate::lock::{self, OnDeath, Taken};
use crate::name::Location;
use crate::opening;
use crate::segment::{Attachment, Lifetime, Segment, Trust};
use crate::sys;
use std::sync::Arc;
use std::time::Duration;

/// A handle on a mutex. Share it between threads as it is; a forked child may go on using it, and holds nothing of
/// what its parent held.
///
/// The owner is a thread of a process. Only its process's death, or leaving by closing the last handle, passes the
/// mutex on: a thread that ends with the mutex in hand leaves it held.
#[derive(Debug)]
pub struct Mutex {
    attachment: Attachment,
}

impl Mutex {
    /// Makes a mutex, held by nobody.
    ///
    /// # Errors
    /// As [`Attachment::create`]. Nothing is left behind.
    pub fn create(location: &Location, lifetime: Lifetime) -> Result<Mutex> {
        let attachment = opening::create_small(location, Kind::Mutex, lifetime, [0; PARAMS], |_| {})?;
        Ok(Mutex { attachment })
    }

    /// Attaches to a mutex.
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` naming both values, and as [`Attachment::open`]. Nothing changed.
    pub fn open(location: &Location, lifetime: Option<Lifetime>, trust: Trust) -> Result<Mutex> {
        opening::open_simple(location, Kind::Mutex, lifetime, trust).map(|attachment| Mutex { attachment })
    }

    /// Attaches to a mutex, or makes it if there is none: until unlinked unless said otherwise.
    ///
    /// # Errors
    /// As `open` and `create`, but for `NotFound` and `Exists`. The flag tells whether it was made.
    pub fn open_or_create(location: &Location, lifetime: Option<Lifetime>, trust: Trust) -> Result<(Mutex, bool)> {
        opening::open_or_create(
            &location.name,
            || Mutex::open(location, lifetime, trust),
            || Mutex::create(location, lifetime.unwrap_or(Lifetime::UntilUnlinked)),
        )
    }

    /// The segment it lives in.
    #[inline]
    #[must_use]
    pub fn segment(&self) -> &Arc<Segment> {
        self.attachment.segment()
    }

    /// Gives this handle up. The caller sees to it that no call on it is under way and none follows.
    /// With the process's last handle goes what its threads still hold: the next owner is told.
    pub fn close(&self) {
        self.attachment.close();
    }

    /// Removes the name. Who waits gets `Removed`.
    ///
    /// # Errors
    /// `NotFound` if the name is gone, or names another object by now.
    pub fn unlink(&self) -> Result<()> {
        self.segment().unlink()?;
        self.wake_everybody();
        Ok(())
    }

    /// Wakes all who wait; they look again.
    pub fn wake_everybody(&self) {
        let control = self.control();
        sys::wake(&control.lock, u32::MAX);
        event::signal_all(&control.event);
    }

    #[inline]
    pub(crate) fn control(&self) -> &MutexControl {
        // SAFETY: the control lines lie inside every segment, aligned to a line; atomics only.
        unsafe { &*self.segment().bytes().base().add(KIND_AT).cast() }
    }

    /// Takes the mutex if it is free within a moment, or this thread's already.
    ///
    /// # Errors
    /// `Busy`: it is held, though perhaps by somebody dead, which only [`Mutex::take`] finds out. Nothing changed.
    #[inline]
    pub fn try_take(&self) -> Result<bool> {
        let me = self.segment().me()?;
        if self.is_mine(me) {
            return self.take_again();
        }
        if !lock::try_take_spinning(&self.control().lock, me) {
            return Err(Error::Busy);
        }
        self.enter(me, Taken::Clean);
        Ok(false)
    }

    /// Takes the mutex, waiting while a living thread holds it. True: it came from a dead owner, and what it protects
    /// may be half done.
    ///
    /// # Errors
    /// `Busy` once the deadline has passed; `Removed` if the name went meanwhile; what `tick` returns. Nothing changed.
    pub fn take(&self, deadline: Deadline, tick: Tick<'_>) -> Result<bool> {
        match self.try_take() {
            Err(Error::Busy) => self.take_slowly(deadline, tick),
            done => done,
        }
    }

    #[cold]
    fn take_slowly(&self, deadline: Deadline, tick: Tick<'_>) -> Result<bool> {
        let segment = self.segment();
        let (me, table) = (segment.me()?, segment.table()?);
        let word = &self.control().lock;
        let now = Deadline::after(Some(Duration::ZERO));
        // From the dead it is had at once, also under a name that is gone.
        let mut taken = lock::take(word, me, &table, OnDeath::Inherit, now, &mut || Ok(()));
        if taken == Err(Error::Busy) && !deadline.has_passed() {
            segment.check_still_named()?;
            let mut look_too = || tick().and_then(|()| segment.check_still_named());
            taken = lock::take(word, me, &table, OnDeath::Inherit, deadline, &mut look_too);
        }
        let taken = taken?;
        self.enter(me, taken);
        Ok(taken != Taken::Clean)
    }

    fn take_again(&self) -> Result<bool> {
        let depth = &self.control().depth;
        let deeper = depth.load(Relaxed).checked_add(1);
        let deeper =
            deeper.ok_or_else(|| self.segment().corrupted("it has been taken 4294967295 times by one owner"))?;
        depth.store(deeper, Relaxed);
        fault::point("mutex: taken again");
        Ok(false)
    }

    /// Writes who holds it. The lock is held; `holder` comes last, because it says that the others hold.
    #[inline]
    fn enter(&self, me: Owner, taken: Taken) {
        let control = self.control();
        fault::point("mutex: taken");
        control.depth.store(1, Relaxed);
        fault::point("mutex: depth written");
        control.abandoned.store(u32::from(taken != Taken::Clean), Relaxed);
        fault::point("mutex: past told");
        control.holder.store(holder_word(me, sys::thread_id()), Release);
        fault::point("mutex: holder written");
    }

    /// Gives the mutex back; if this thread has taken it more than once, once only.
    ///
    /// # Errors
    /// `NotOwner` if this thread does not hold it. Nothing changed.
    #[inline]
    pub fn release(&self) -> Result<()> {
        let me = self.segment().me()?;
        if !self.is_mine(me) {
            return Err(Error::NotOwner { name: self.segment().name().to_owned() });
        }
        let control = self.control();
        let depth = control.depth.load(Relaxed);
        if depth > 1 {
            control.depth.store(depth - 1, Relaxed);
            fault::point("mutex: one less");
            return Ok(());
        }
        fault::point("mutex: before release");
        control.abandoned.store(0, Relaxed);
        fault::point("mutex: past forgotten");
        control.depth.store(0, Relaxed);
        fault::point("mutex: depth gone");
        control.holder.store(0, Relaxed);
        fault::point("mutex: holder gone");
        lock::give_back(&control.lock); // releases all of the above, and what the mutex protects
        fault::point("mutex: given back");
        event::signal(&control.event, u32::MAX);
        fault::point("mutex: told");
        Ok(())
    }

    /// Whether the calling thread of participant `me` holds it. Nobody else writes that word, and that thread takes it
    /// away before it gives the lock back: so the answer cannot be stale.
    #[inline]
    fn is_mine(&self, me: Owner) -> bool {
        let control = self.control();
        control.holder.load(Acquire) == holder_word(me, sys::thread_id()) && lock::owner_of(&control.lock) == Some(me)
    }

    /// Whether the calling thread holds it.
    #[must_use]
    pub fn is_owned(&self) -> bool {
        self.segment().me().is_ok_and(|me| self.is_mine(me))
    }

    /// Whether the calling thread holds it and has it from a dead owner.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.is_owned() && self.control().abandoned.load(Relaxed) != 0
    }

    /// How often the calling thread has taken it; 0 if it does not hold it.
    #[must_use]
    pub fn depth(&self) -> u32 {
        if self.is_owned() { self.control().depth.load(Relaxed).max(1) } else { 0 }
    }

    /// Whether somebody living holds it. May be stale on return.
    ///
    /// # Errors
    /// `TooManyProcesses`, `Removed`, `Os`.
    pub fn is_locked(&self) -> Result<bool> {
        let table = self.segment().table()?;
        Ok(lock::owner_of(&self.control().lock).is_some_and(|owner| !table.is_dead(owner)))
    }

    /// The process that holds it, living or dead, for people to read. May be stale on return.
    ///
    /// # Errors
    /// As [`Mutex::is_locked`].
    pub fn owner_pid(&self) -> Result<Option<u32>> {
        Ok(self.segment().table()?.pid_of(lock::owner_of(&self.control().lock)))
    }

    /// Whether `take` would not have to wait. May be stale on return.
    pub(crate) fn is_takeable(&self) -> Result<bool> {
        Ok(self.is_owned() || !self.is_locked()?)
    }
}

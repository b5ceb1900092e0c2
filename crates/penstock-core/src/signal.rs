//! The event under a name: a flag to set and to wait for. (`event` is the word to sleep on, which all kinds have.)
//!
//! | state | meaning | who moves it | if the mover dies right there |
//! |---|---|---|---|
//! | n, clear | set n times so far | `set`: to n + 1, set | it is set, and sleepers look by themselves |
//! | n, set | set | `clear`, or a wait that uses the set up (auto reset): to n, clear | that set is used up |
//!
//! A waiter on one that resets by hand goes on when it is set, or was set since he began to wait: all who waited at a
//! `set` go on, also if `clear` follows before they have run.

use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::event::{self, Tick};
use crate::fault;
use crate::layout::{EventControl, KIND_AT, Kind, PARAMS, SET};
use crate::name::Location;
use crate::opening;
use crate::segment::{Attachment, Lifetime, Segment, Trust};
use crate::spin::Spin;
use std::sync::Arc;

/// One set, as it is counted in the state beside the flag.
const ONE: u32 = 2;

/// A handle on an event. Share it between threads as it is; a forked child may go on using it.
#[derive(Debug)]
pub struct Event {
    attachment: Attachment,
    resets_itself: bool,
    spin: Spin,
}

impl Event {
    /// Makes an event, not set. With `auto_reset` a wait that succeeds clears it: each `set` lets one waiter go on.
    ///
    /// # Errors
    /// As [`Attachment::create`]. Nothing is left behind.
    pub fn create(location: &Location, auto_reset: bool, lifetime: Lifetime) -> Result<Event> {
        let mut params = [0; PARAMS];
        params[0] = auto_reset.into();
        let attachment = opening::create_small(location, Kind::Event, lifetime, params, |_| {})?;
        Ok(Event { attachment, resets_itself: auto_reset, spin: Spin::new() })
    }

    /// Attaches to an event.
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` naming both values, and as [`Attachment::open`]. Nothing changed.
    pub fn open(
        location: &Location,
        auto_reset: Option<bool>,
        lifetime: Option<Lifetime>,
        trust: Trust,
    ) -> Result<Event> {
        let attachment = opening::open_simple(location, Kind::Event, lifetime, trust)?;
        let segment = attachment.segment();
        let have = match segment.header().params[0] {
            0 => false,
            1 => true,
            _ => return Err(segment.corrupted("it resets neither by hand nor by itself")),
        };
        opening::check_same(&location.name, "auto_reset", &have, auto_reset)?;
        Ok(Event { attachment, resets_itself: have, spin: Spin::new() })
    }

    /// Attaches to an event, or makes it if there is none: reset by hand and until unlinked unless said otherwise.
    ///
    /// # Errors
    /// As `open` and `create`, but for `NotFound` and `Exists`. The flag tells whether it was made.
    pub fn open_or_create(
        location: &Location,
        auto_reset: Option<bool>,
        lifetime: Option<Lifetime>,
        trust: Trust,
    ) -> Result<(Event, bool)> {
        opening::open_or_create(
            &location.name,
            || Event::open(location, auto_reset, lifetime, trust),
            || Event::create(location, auto_reset.unwrap_or(false), lifetime.unwrap_or(Lifetime::UntilUnlinked)),
        )
    }

    /// The segment it lives in.
    #[inline]
    #[must_use]
    pub fn segment(&self) -> &Arc<Segment> {
        self.attachment.segment()
    }

    /// How long this handle looks before it sleeps.
    #[must_use]
    pub fn spin(&self) -> &Spin {
        &self.spin
    }

    /// Gives this handle up. The caller sees to it that no call on it is under way and none follows.
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
        event::signal_all(&self.control().event);
    }

    #[inline]
    pub(crate) fn control(&self) -> &EventControl {
        // SAFETY: the control lines lie inside every segment, aligned to a line; atomics only.
        unsafe { &*self.segment().bytes().base().add(KIND_AT).cast() }
    }

    /// Whether a wait that succeeds clears it.
    #[must_use]
    pub fn auto_reset(&self) -> bool {
        self.resets_itself
    }

    /// Whether it is set. May be stale on return.
    #[inline]
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.control().state.load(Acquire) & SET != 0
    }

    /// Sets it: all waiters go on, or one if it resets itself.
    pub fn set(&self) {
        let control = self.control();
        fault::point("event: before set");
        self.change(|seen| seen.wrapping_add(ONE) | SET);
        fault::point("event: set");
        event::signal(&control.event, if self.resets_itself { 1 } else { u32::MAX });
        fault::point("event: told");
    }

    /// Clears it.
    pub fn clear(&self) {
        fault::point("event: before clear");
        self.change(|seen| seen & !SET);
        fault::point("event: cleared");
    }

    fn change(&self, to: impl Fn(u32) -> u32) {
        // AcqRel: what was done before the set is seen by who goes on because of it.
        let _ = self.control().state.fetch_update(AcqRel, Relaxed, |seen| Some(to(seen)));
    }

    /// Goes on if it is set, without waiting; uses the set up if it resets itself.
    ///
    /// # Errors
    /// `Busy`: it is not set. Nothing changed.
    #[inline]
    pub fn try_wait(&self) -> Result<()> {
        let state = &self.control().state;
        let mut seen = state.load(Acquire);
        while seen & SET != 0 {
            if !self.resets_itself {
                return Ok(());
            }
            fault::point("event: before use");
            match state.compare_exchange_weak(seen, seen & !SET, AcqRel, Acquire) {
                Ok(_) => {
                    fault::point("event: used up");
                    return Ok(());
                }
                Err(now) => seen = now,
            }
        }
        Err(Error::Busy)
    }

    /// Waits until it is set; uses the set up if it resets itself.
    ///
    /// # Errors
    /// `Busy` once the deadline has passed; `Removed` if the name went meanwhile; what `tick` returns. Nothing changed.
    pub fn wait(&self, deadline: Deadline, tick: Tick<'_>) -> Result<()> {
        let begun = self.sets();
        loop {
            match self.try_wait() {
                Err(Error::Busy) => {}
                done => return done,
            }
            if !self.resets_itself && self.sets() != begun {
                return Ok(());
            }
            self.wait_for_set(begun, deadline, tick)?;
        }
    }

    fn wait_for_set(&self, begun: u32, deadline: Deadline, tick: Tick<'_>) -> Result<()> {
        let is_ready = || self.is_set() || !self.resets_itself && self.sets() != begun;
        if deadline.has_passed() {
            return Err(Error::Busy);
        }
        self.spin.or_sleep(is_ready, || {
            self.segment().check_still_named()?;
            event::wait_until(&self.control().event, deadline, tick, is_ready, || self.segment().check_still_named())
        })
    }

    /// How often it was set, so far.
    fn sets(&self) -> u32 {
        self.control().state.load(Acquire) & !SET
    }
}

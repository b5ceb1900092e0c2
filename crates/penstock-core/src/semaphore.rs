//! The semaphore under a name: a count, as in POSIX and Win32.
//!
//! Nobody owns what was taken, so permits of the dead are lost: a count and who holds what would be two stores. Where
//! they must come back, a mutex or a queue of permits with leases is the tool.
//!
//! Each verb is one CAS on the count; killed before it nothing happened, killed after it all but the wake-up did, and
//! sleepers look by themselves at each heartbeat.

use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::event::{self, Tick};
use crate::fault::{self, Remedy};
use crate::layout::{KIND_AT, Kind, PARAMS, SemaphoreControl};
use crate::name::Location;
use crate::opening;
use crate::segment::{Attachment, Lifetime, Segment, Trust};
use crate::spin::Spin;
use crate::sys::Map;
use std::sync::Arc;

/// The highest maximum: what Win32 takes.
pub const MAXIMUM: u32 = i32::MAX as u32;

/// What a new semaphore is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Permits at the beginning, at most `maximum`.
    pub value: u32,
    /// Most permits, 1 to [`MAXIMUM`].
    pub maximum: u32,
    /// How long it stays.
    pub lifetime: Lifetime,
}

/// A handle on a semaphore. Share it between threads as it is; a forked child may go on using it.
#[derive(Debug)]
pub struct Semaphore {
    attachment: Attachment,
    maximum: u32,
    spin: Spin,
}

impl Semaphore {
    /// Makes a semaphore.
    ///
    /// # Errors
    /// `BadValue` for a value or maximum out of range; else as [`Attachment::create`]. Nothing is left behind.
    pub fn create(location: &Location, plan: &Plan) -> Result<Semaphore> {
        let within = |what, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(Error::BadValue { what, value: value.to_string(), limit: format!("between {low} and {high}") })
            }
        };
        within("maximum", plan.maximum, 1, MAXIMUM)?;
        within("value", plan.value, 0, plan.maximum)?;
        let mut params = [0; PARAMS];
        params[..2].copy_from_slice(&[plan.value.into(), plan.maximum.into()]);
        let fill = |map: &Map| control_of(map).count.store(plan.value, Relaxed);
        let attachment = opening::create_small(location, Kind::Semaphore, plan.lifetime, params, fill)?;
        Ok(Semaphore { attachment, maximum: plan.maximum, spin: Spin::new() })
    }

    /// Attaches to a semaphore. Its count stays as it is.
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` naming both values, and as [`Attachment::open`]. Nothing changed.
    pub fn open(
        location: &Location,
        maximum: Option<u32>,
        lifetime: Option<Lifetime>,
        trust: Trust,
    ) -> Result<Semaphore> {
        let attachment = opening::open_simple(location, Kind::Semaphore, lifetime, trust)?;
        let segment = attachment.segment();
        let have = u32::try_from(segment.header().params[1]).ok().filter(|have| (1..=MAXIMUM).contains(have));
        let have = have.ok_or_else(|| segment.corrupted("its maximum cannot be"))?;
        opening::check_same(&location.name, "maximum", &have, maximum)?;
        Ok(Semaphore { attachment, maximum: have, spin: Spin::new() })
    }

    /// Attaches to a semaphore, or makes it if there is none.
    ///
    /// # Errors
    /// As `open` and `create`, but for `NotFound` and `Exists`. The flag tells whether it was made.
    pub fn open_or_create(
        location: &Location,
        plan: &Plan,
        maximum: Option<u32>,
        lifetime: Option<Lifetime>,
        trust: Trust,
    ) -> Result<(Semaphore, bool)> {
        opening::open_or_create(
            &location.name,
            || Semaphore::open(location, maximum, lifetime, trust),
            || Semaphore::create(location, plan),
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
    pub(crate) fn control(&self) -> &SemaphoreControl {
        control_of(self.segment().bytes())
    }

    /// Most permits.
    #[must_use]
    pub fn maximum(&self) -> u32 {
        self.maximum
    }

    /// Permits left. May be stale on return.
    ///
    /// # Errors
    /// `Corrupted` if there are more than there can be.
    #[inline]
    pub fn value(&self) -> Result<u32> {
        let count = self.control().count.load(Acquire);
        if count <= self.maximum { Ok(count) } else { Err(self.impossible(count)) }
    }

    #[cold]
    fn impossible(&self, count: u32) -> Error {
        self.segment().corrupted(format!("its count is {count}, and its maximum {}", self.maximum))
    }

    /// Takes one permit without waiting.
    ///
    /// # Errors
    /// `Busy`: there is none. `Corrupted`. Nothing changed.
    #[inline]
    pub fn try_acquire(&self) -> Result<()> {
        let count = &self.control().count;
        loop {
            let seen = self.value()?;
            if seen == 0 {
                return Err(Error::Busy);
            }
            fault::point("acquire: before");
            if !Remedy::PermitsByCas.is_on() {
                count.store(seen - 1, Release);
                return Ok(());
            }
            // Acquire: what was done before the permit was given back is seen.
            if count.compare_exchange_weak(seen, seen - 1, AcqRel, Relaxed).is_ok() {
                fault::point("acquire: taken");
                return Ok(());
            }
        }
    }

    /// Takes one permit, waiting for one.
    ///
    /// # Errors
    /// `Busy` once the deadline has passed; `Removed` if the name went meanwhile; `Corrupted`, what `tick` returns.
    /// Nothing changed.
    pub fn acquire(&self, deadline: Deadline, tick: Tick<'_>) -> Result<()> {
        loop {
            match self.try_acquire() {
                Err(Error::Busy) => {}
                done => return done,
            }
            self.wait_for_permit(deadline, tick)?;
        }
    }

    fn wait_for_permit(&self, deadline: Deadline, tick: Tick<'_>) -> Result<()> {
        let is_ready = || self.control().count.load(Acquire) > 0;
        if deadline.has_passed() {
            return Err(Error::Busy);
        }
        self.spin.or_sleep(is_ready, || {
            self.segment().check_still_named()?;
            event::wait_until(&self.control().event, deadline, tick, is_ready, || self.segment().check_still_named())
        })
    }

    /// Gives `count` permits back, all or none. Returns how many there were before.
    ///
    /// # Errors
    /// `OverRelease` if there would be more than the maximum; `BadValue` for a count of 0; `Corrupted`. Nothing changed.
    #[inline]
    pub fn release(&self, count: u32) -> Result<u32> {
        if count == 0 {
            return Err(Error::BadValue { what: "n", value: "0".to_owned(), limit: "at least 1".to_owned() });
        }
        let control = self.control();
        loop {
            let seen = self.value()?;
            let after = seen.checked_add(count).filter(|after| *after <= self.maximum);
            let Some(after) = after else { return Err(self.over(seen, count)) };
            fault::point("release: before");
            if control.count.compare_exchange_weak(seen, after, AcqRel, Relaxed).is_ok() {
                fault::point("release: given");
                event::signal(&control.event, count);
                return Ok(seen);
            }
        }
    }

    #[cold]
    fn over(&self, seen: u32, count: u32) -> Error {
        Error::OverRelease {
            name: self.segment().name().to_owned(),
            what: format!(
                "releasing {count} would make {} of at most {}",
                u64::from(seen) + u64::from(count),
                self.maximum
            ),
        }
    }

    /// Whether `acquire` would return or raise at once. May be stale on return.
    pub(crate) fn is_ready(&self) -> bool {
        self.control().count.load(Acquire) > 0
    }
}

fn control_of(map: &Map) -> &SemaphoreControl {
    // SAFETY: the control lines lie inside every segment, aligned to a line; atomics only.
    unsafe { &*map.base().add(KIND_AT).cast() }
}

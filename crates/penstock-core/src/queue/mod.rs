//! The queue: a pool of slots and rings of slot numbers.
//!
//! `put` takes a number from the free ring, writes the item into that slot, and appends the number to the ready ring;
//! `get` is the way back. Producers serialise on the put lock (pop free, push ready), consumers on the get lock (pop
//! ready, push free). The slots are the truth; the rings can be rebuilt from them by any survivor.
//!
//! One file per verb family. Every verb that may meet a held lock exists twice: `try_x` never makes a system call that
//! waits and answers `Busy` instead; `x` waits, and calls its `tick` while it does.

mod batch;
mod dead;
mod get;
mod guard;
mod lease;
mod open;
mod peek;
mod put;
mod repair;
mod reserve;
mod settle;
mod state;

pub use batch::BATCH_MAX;
pub use get::{Got, Inline};
pub use lease::Lease;
pub use open::{Expectation, Plan};
pub use reserve::Reservation;
pub use state::{Depth, PUT_GRACE, Wait};

use crate::atomic::{AtomicU32, Ordering};
use crate::error::{Error, Result};
use crate::layout::{KIND_AT, POISONED, QueueControl};
use crate::segment::{Attachment, Segment};
use crate::slots::{Geometry, Slots};
use crate::spin::{Glance, Spin};
use std::path::Path;
use std::sync::Arc;

/// A handle on a queue. Share it between threads as it is; a forked child may go on using it.
#[derive(Debug)]
pub struct Queue {
    attachment: Attachment,
    plan: Geometry,
    /// How much of each slot's payload room this process has seen to be committed, in pages. Not shared: a count that
    /// others could write must not decide whether a store may fault.
    committed_pages: Box<[AtomicU32]>,
    spin: Spin,
    glance_item: Glance,
    glance_room: Glance,
    /// How many items this handle has taken or tried to take.
    taken: AtomicU32,
    /// How many bytes of rooms for large items are used in turn (`reserve`).
    in_turn_bytes: AtomicU32,
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    /// The queue's name, as messages show it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.segment().name()
    }

    /// The queue's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.segment().location().path
    }

    /// What an item is.
    #[must_use]
    pub fn item(&self) -> &str {
        &self.segment().header().item
    }

    /// Its sizes.
    #[must_use]
    pub fn plan(&self) -> &Geometry {
        &self.plan
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
        if self.attachment.is_open() {
            // Whose they are is not counted; a repair without need is cheap and rare.
            self.segment().note_hold(self.depth().held > 0);
        }
        self.attachment.close();
    }

    /// Removes the queue's name. Who is attached can go on until he has to wait, and then gets `Removed`.
    ///
    /// # Errors
    /// `NotFound` if the name is gone, or names another queue by now.
    pub fn unlink(&self) -> Result<()> {
        self.segment().unlink()?;
        self.wake_everybody();
        Ok(())
    }

    #[inline]
    pub(crate) fn control(&self) -> &QueueControl {
        // SAFETY: the control lines lie inside every segment, aligned to a line; atomics only.
        unsafe { &*self.segment().bytes().base().add(KIND_AT).cast() }
    }

    #[inline]
    pub(crate) fn slots(&self) -> Slots<'_> {
        Slots::new(self.segment().bytes(), &self.plan)
    }

    #[inline]
    fn status(&self) -> u32 {
        self.segment().control().status.load(Ordering::Acquire)
    }

    /// The error of a segment in which a repair, or anybody, found what cannot be.
    fn poisoned(&self) -> Error {
        self.segment().corrupted("a process found it in a state that cannot be")
    }

    #[inline]
    fn check_not_poisoned(&self) -> Result<()> {
        if self.status() & POISONED == 0 { Ok(()) } else { Err(self.poisoned()) }
    }
}

//! Many small items under one hold of the lock.
//!
//! Each item's own store makes it READY, as in a single put, so a death in the middle leaves a clean beginning of the
//! batch. The ring's tail and the wake-up come once for all.

use super::guard::Held;
use super::{Queue, Wait};
use crate::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::error::{Error, Result};
use crate::event;
use crate::fault;
use crate::slots::INLINE_MAX;

/// Most items under one hold of the lock: others wait for about ten microseconds at most.
pub const BATCH_MAX: usize = 256;

impl Queue {
    /// Puts as many fixed-size items out of `bytes` as fit now, in order, without waiting. Returns how many.
    ///
    /// # Errors
    /// `Full` if not even one fits; `BadValue` if it is not even one; `Busy`, `ShutDown`, `TooLarge`, `Corrupted`. Nothing
    /// changed then.
    pub fn try_put_batch(&self, bytes: &[u8]) -> Result<usize> {
        let held = self.try_lock_put()?;
        self.put_run(held, bytes)
    }

    /// The same, waiting for room for one.
    ///
    /// # Errors
    /// As [`Queue::put`]; `BadValue` if it is not even one item. Nothing changed.
    pub fn put_batch(&self, bytes: &[u8], wait: &mut Wait<'_>) -> Result<usize> {
        self.when_room(wait, |held| self.put_run(held, bytes))
    }

    fn batch_size(&self, bytes: &[u8]) -> Result<usize> {
        let size = usize::try_from(self.plan.item_bytes).unwrap_or(0);
        if size == 0 || size > self.plan.inline_bytes {
            return Err(self.too_large(size));
        }
        if bytes.len() < size {
            // Not "full": who waits for room would find it, and put nothing, for ever.
            return Err(Error::BadValue {
                what: "the batch",
                value: format!("{} bytes long", bytes.len()),
                limit: format!("at least one item of {size} bytes"),
            });
        }
        Ok(size)
    }

    fn put_run(&self, held: Held<'_>, bytes: &[u8]) -> Result<usize> {
        let size = match self.batch_size(bytes).and_then(|size| self.check_takes_puts().map(|()| size)) {
            Ok(size) => size,
            Err(error) => {
                held.finish();
                return Err(error);
            }
        };
        let mut count = 0;
        for item in bytes.chunks_exact(size).take(BATCH_MAX) {
            let Some((number, slot, word)) = self.next_free(&held)? else { break };
            if !self.slots().write(number, &[item], size) {
                return Err(self.segment().poison("a slot does not lie where the plan says"));
            }
            if self.segment().header().is_file {
                slot.check.store(super::repair::item_check(item), Relaxed);
            }
            self.publish(number, slot, word, size)?;
            let head = &self.control().put.free_head;
            head.store(head.load(Relaxed).wrapping_add(1), Release);
            fault::point("batch: one put");
            count += 1;
        }
        held.finish();
        if count == 0 {
            return Err(Error::Full);
        }
        event::signal(&self.control().ready.event, u32::try_from(count).unwrap_or(u32::MAX));
        Ok(count)
    }

    /// Takes up to `most` small items that wait, appending each to `out` with its length to `lens`, without waiting.
    /// Stops before a large one. Returns how many.
    ///
    /// # Errors
    /// `Empty`, `Busy`, `ShutDown`, `Corrupted`. Nothing changed then.
    pub fn try_get_batch(&self, most: usize, out: &mut Vec<u8>, lens: &mut Vec<usize>) -> Result<usize> {
        let held = self.try_lock_get_for_items()?;
        self.get_run(held, most, out, lens)
    }

    /// The same, waiting for the first. Returns 0 if the first is a large item, which `get` takes.
    ///
    /// # Errors
    /// As [`Queue::get`]. Nothing changed.
    pub fn get_batch(
        &self,
        most: usize,
        out: &mut Vec<u8>,
        lens: &mut Vec<usize>,
        wait: &mut Wait<'_>,
    ) -> Result<usize> {
        self.when_item(wait, |held| self.get_run(held, most, out, lens))
    }

    fn get_run(&self, held: Held<'_>, most: usize, out: &mut Vec<u8>, lens: &mut Vec<usize>) -> Result<usize> {
        let held = self.check_gives(held)?;
        let Some((held, first)) = self.next_ready(held)? else { return Err(Error::Empty) };
        let mut next = Some(first);
        let mut count = 0;
        // Room for the copies is made before the items are taken: what was taken must have a place to be.
        out.reserve(most.min(BATCH_MAX) * self.plan.inline_bytes.min(INLINE_MAX));
        while let Some(item) = next.take().filter(|item| item.len <= self.plan.inline_bytes) {
            let start = out.len();
            out.resize(start + item.len, 0);
            if !self.slots().read(item.number, item.len, &mut out[start..]) {
                return Err(self.segment().poison("a slot does not lie where the plan says"));
            }
            self.free_next(&item)?;
            lens.push(item.len);
            count += 1;
            if count < most.min(BATCH_MAX) {
                next = self.head_of_ready()?.filter(|item| self.is_deliverable(item.slot.deliveries.load(Acquire)));
            }
        }
        held.finish();
        if count > 0 {
            event::signal(&self.control().free.event, u32::try_from(count).unwrap_or(u32::MAX));
        }
        Ok(count)
    }

    /// An item that was delivered too often ends a batch: the next call makes a dead letter of it.
    fn is_deliverable(&self, deliveries: u32) -> bool {
        self.plan.max_deliveries == 0 || u64::from(deliveries) < self.plan.max_deliveries
    }
}

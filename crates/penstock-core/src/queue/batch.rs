//! Many small items under one hold of the lock.
//!
//! ```text
//! put: put lock · for each: bytes · state READY(seq), ready[tail + k] = i · then seq, tail and head + n · unlock · signal
//! get: get lock · for each: read · state FREE, free[tail + k] = i · then tail and head + n · unlock · signal
//! ```
//!
//! Each item's own store makes it READY, as in a single put, so a death in the middle leaves a clean beginning of the
//! batch; the heir of the lock writes the rings anew. The tails come once for all, because the other side looks at them
//! all the while: each store would send their line back and forth between two processors.
//!
//! A slot's line was last written on another processor, and fetching it takes longer than everything else that is done for an
//! item. So a few of them are asked for ahead of their turn, and travel at the same time.

use super::get::Next;
use super::guard::Held;
use super::{Queue, Wait};
use crate::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::error::{Error, Result};
use crate::event;
use crate::fault;
use crate::layout::State;
use crate::slots::{AHEAD, INLINE_MAX};

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
        let line = &self.control().put;
        let (head, seq, tail) =
            (line.free_head.load(Relaxed), line.seq.load(Relaxed), self.control().ready.tail.load(Relaxed));
        let most = self.room_seen(head)?.min((bytes.len() / size).min(BATCH_MAX) as u64);
        if most == 0 {
            held.finish();
            return Err(Error::Full);
        }
        let (free, ready) = (self.slots().free(), self.slots().ready());
        self.slots().expect_next(free, head, most);
        for (count, item) in (0..most).zip(bytes.chunks_exact(size)) {
            if count + AHEAD < most {
                self.slots().expect(free.get(head.wrapping_add(count + AHEAD)));
            }
            let (number, slot, word) = self.free_at(head.wrapping_add(count))?;
            self.fill_slot(number, slot, &[item], size)?;
            self.make_ready(number, slot, word, size, seq.wrapping_add(count))?;
            ready.set(tail.wrapping_add(count), number);
            fault::point("batch: one put");
        }
        line.seq.store(seq.wrapping_add(most), Relaxed);
        fault::point("batch: sequences taken");
        // Release: pairs with the consumer's acquire of the tail.
        self.control().ready.tail.store(tail.wrapping_add(most), Release);
        fault::point("batch: all told");
        line.free_head.store(head.wrapping_add(most), Release);
        held.finish();
        event::signal(&self.control().ready.event, u32::try_from(most).unwrap_or(u32::MAX));
        Ok(usize::try_from(most).unwrap_or(BATCH_MAX))
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
        // Room for the copies is made before the items are taken: what was taken must have a place to be.
        out.reserve(most.min(BATCH_MAX) * self.plan.inline_bytes.min(INLINE_MAX));
        lens.reserve(most.min(BATCH_MAX));
        let Some((held, first)) = self.next_ready(held)? else { return Err(Error::Empty) };
        let head = self.control().get.ready_head.load(Relaxed);
        let tail = self.control().free.tail.load(Relaxed);
        let most = self.items_seen(head)?.min(most.min(BATCH_MAX) as u64);
        let (free, ready) = (self.slots().free(), self.slots().ready());
        self.slots().expect_next(ready, head, most);
        let (mut next, mut count) = (first, 0);
        while next.len <= self.plan.inline_bytes && self.is_deliverable(next.slot.deliveries.load(Acquire)) {
            if count + AHEAD < most {
                self.slots().expect(ready.get(head.wrapping_add(count + AHEAD)));
            }
            self.copy_out(&next, out, lens)?;
            self.make_free(next.number, next.slot, next.word)?;
            free.set(tail.wrapping_add(count), next.number);
            fault::point("batch: one taken");
            count += 1;
            if count >= most {
                break;
            }
            next = self.checked_next(ready.get(head.wrapping_add(count)), State::Ready)?;
        }
        if count > 0 {
            // Release: pairs with the producer's acquire of the tail.
            self.control().free.tail.store(tail.wrapping_add(count), Release);
            fault::point("batch: rooms told");
            self.control().get.ready_head.store(head.wrapping_add(count), Release);
        }
        held.finish();
        let count = usize::try_from(count).unwrap_or(BATCH_MAX);
        if count > 0 {
            event::signal(&self.control().free.event, u32::try_from(count).unwrap_or(u32::MAX));
        }
        Ok(count)
    }

    fn copy_out(&self, item: &Next<'_>, out: &mut Vec<u8>, lens: &mut Vec<usize>) -> Result<()> {
        let start = out.len();
        out.resize(start + item.len, 0);
        if !self.slots().read(item.number, item.len, &mut out[start..]) {
            return Err(self.segment().poison("a slot does not lie where the plan says"));
        }
        lens.push(item.len);
        Ok(())
    }

    /// An item that was delivered too often ends a batch: the next call makes a dead letter of it.
    fn is_deliverable(&self, deliveries: u32) -> bool {
        self.plan.max_deliveries == 0 || u64::from(deliveries) < self.plan.max_deliveries
    }
}

//! Looking without taking.
//!
//! The numbers of the slots are read under the get lock; the bytes are copied outside it, and thrown away if the slot's
//! state moved meanwhile: an item that is gone by then was taken by somebody else, and is not shown.

use super::dead::place_of;
use super::{Queue, Wait};
use crate::atomic::Ordering::{Acquire, Relaxed};
use crate::atomic::fence;
use crate::error::Result;
use crate::layout::State;
use crate::rings::between;

/// Numbers read under one hold of the lock.
const CHUNK: usize = 1024;

impl Queue {
    /// Copies of the oldest items, at most `limit`, oldest first. Takes nothing; may be stale on return.
    ///
    /// # Errors
    /// `Busy`, `Corrupted`, what the tick returns.
    pub fn peek(&self, limit: usize, wait: &mut Wait<'_>) -> Result<Vec<Vec<u8>>> {
        let mut items = Vec::new();
        let mut skip = 0;
        while items.len() < limit {
            let places = self.ready_places(skip, CHUNK.min(limit - items.len()), wait)?;
            if places.is_empty() {
                break;
            }
            skip += places.len() as u64;
            items.extend(places.into_iter().filter_map(|place| self.copy_if_unmoved(place)));
        }
        Ok(items)
    }

    /// Copies of the oldest dead letters, at most `limit`, oldest first. Takes nothing.
    ///
    /// # Errors
    /// As [`Queue::peek`].
    pub fn peek_dead(&self, limit: usize, wait: &mut Wait<'_>) -> Result<Vec<Vec<u8>>> {
        let held = self.lock_get(wait)?;
        let places = self.dead_places(limit)?;
        held.finish();
        Ok(places.into_iter().filter_map(|place| self.copy_if_unmoved(place)).collect())
    }

    fn ready_places(&self, skip: u64, limit: usize, wait: &mut Wait<'_>) -> Result<Vec<(u32, u64, usize)>> {
        let held = self.lock_get(wait)?;
        let head = self.control().get.ready_head.load(Relaxed);
        let tail = self.control().ready.tail.load(Acquire);
        let count = between(head, tail, self.plan.slots)
            .map_err(|_| self.segment().poison("its ready ring is longer than its slots"))?;
        let end = count.min(skip.saturating_add(limit as u64));
        let places = (skip..end)
            .map(|step| {
                self.checked_next(self.slots().ready().get(head.wrapping_add(step)), State::Ready).map(place_of)
            })
            .collect::<Result<_>>()?;
        held.finish();
        Ok(places)
    }

    fn copy_if_unmoved(&self, (number, word, len): (u32, u64, usize)) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.commit_payload(number, len).ok()?;
        if !self.slots().read(number, len, &mut bytes) {
            return None;
        }
        // The copy must not move past the second look. Pairs with the release of whoever moves the slot on.
        fence(Acquire);
        let unmoved = self.slots().head(number)?.state.load(Acquire) == word;
        unmoved.then_some(bytes)
    }
}

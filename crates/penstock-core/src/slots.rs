//! The slots: room for one item each, and the one truth about what the queue holds.
//!
//! This file moves single slots from state to state and copies bytes in and out. When to do so, and under which lock,
//! is the queue's business; the table of states stands in `layout`.

use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::atomic::{reading, writing};
use crate::error::{Error, Result};
use crate::fault::{self, Remedy};
use crate::layout::{BODY_AT, LINE, PAGE, PAIR, PARAMS, SLOT_HEAD, SlotHead, State, state_of, state_word};
use crate::rings::{Length, Ring};
use crate::sys::Map;

/// Largest item that is copied under a lock; a slot then spans at most four lines.
pub const INLINE_MAX: usize = 224;
/// Room in the slot itself for items of varying size: with its head, two lines.
const INLINE_VARYING: u64 = 96;
/// How many slots' lines are asked for ahead of their turn.
pub const AHEAD: u64 = 10;
/// Most slots a queue may have.
pub const SLOTS_MAX: u64 = 1 << 26;
/// Largest item.
pub const ITEM_BYTES_MAX: u64 = u32::MAX as u64;

/// Where everything lies in a queue's segment. Planned once; a stored plan is only believed if planning it anew gives the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Most items waiting, being written or leased.
    pub capacity: u64,
    /// Exact size of an item; 0 if it varies.
    pub item_bytes: u64,
    /// Largest item.
    pub max_item_bytes: u64,
    /// After this many deliveries an item becomes a dead letter; 0 = never.
    pub max_deliveries: u64,
    /// Slots for dead letters, besides `capacity`.
    pub dead_capacity: u64,
    /// All slots.
    pub slots: u64,
    /// Largest item that lies in the slot itself.
    pub inline_bytes: usize,
    /// From slot to slot.
    pub stride: usize,
    /// Payload room of a slot, 0 if every item lies in the slot itself.
    pub payload_stride: usize,
    ring: Length,
    slots_at: usize,
    payload_at: usize,
    /// Length of the segment.
    pub total_bytes: u64,
}

fn round_up(n: u64, unit: usize) -> u64 {
    n.div_ceil(unit as u64) * unit as u64
}

impl Geometry {
    /// Plans a queue.
    ///
    /// # Errors
    /// `BadValue` if a number is outside its range, or all together are more than can be addressed.
    pub fn plan(
        capacity: u64,
        item_bytes: u64,
        max_item_bytes: u64,
        max_deliveries: u64,
        dead_capacity: u64,
    ) -> Result<Geometry> {
        let within = |what, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(Error::BadValue { what, value: value.to_string(), limit: format!("between {low} and {high}") })
            }
        };
        within("capacity", capacity, 1, SLOTS_MAX)?;
        within("dead_letters", dead_capacity, 0, SLOTS_MAX)?;
        within("max_deliveries", max_deliveries, 0, u32::MAX.into())?;
        within("max_item_bytes", max_item_bytes, 1, ITEM_BYTES_MAX)?;
        within("item_bytes", item_bytes, 0, max_item_bytes)?;
        let slots = capacity + dead_capacity;
        let in_slot = if item_bytes > 0 && item_bytes <= INLINE_MAX as u64 {
            item_bytes
        } else {
            INLINE_VARYING.min(max_item_bytes)
        };
        let ring = Length::of(slots);
        // A queue of few slots passes each of them on all the time, and can afford to keep them apart.
        let unit = if ring.is_short() { PAIR } else { LINE };
        let stride = round_up(SLOT_HEAD as u64 + in_slot, unit);
        let inline_bytes = (round_up(SLOT_HEAD as u64 + in_slot, LINE) - SLOT_HEAD as u64).min(INLINE_MAX as u64);
        let payload_stride = if max_item_bytes > inline_bytes { round_up(max_item_bytes, PAGE) } else { 0 };
        let slots_at = round_up(BODY_AT as u64 + 3 * 4 * ring.entries(), unit);
        let slots_end = slots_at + slots * stride;
        let payload_at = if payload_stride > 0 { round_up(slots_end, PAGE) } else { slots_end };
        let total = slots
            .checked_mul(payload_stride)
            .and_then(|payload| payload_at.checked_add(payload))
            .filter(|total| *total < 1 << 46);
        let Some(total) = total else {
            return Err(Error::BadValue {
                what: "capacity times max_item_bytes",
                value: format!("{slots} times {max_item_bytes}"),
                limit: "less than 64 TiB".to_owned(),
            });
        };
        let small = |n: u64| {
            usize::try_from(n).map_err(|_| Error::BadValue {
                what: "capacity",
                value: slots.to_string(),
                limit: "less than this machine can address".to_owned(),
            })
        };
        Ok(Geometry {
            capacity,
            item_bytes,
            max_item_bytes,
            max_deliveries,
            dead_capacity,
            slots,
            inline_bytes: small(inline_bytes)?,
            stride: small(stride)?,
            payload_stride: small(payload_stride)?,
            ring,
            slots_at: small(slots_at)?,
            payload_at: small(payload_at)?,
            total_bytes: round_up(total, PAGE),
        })
    }

    /// What must be committed before the queue can be used: everything but the payload rooms.
    #[must_use]
    pub fn committed_bytes(&self) -> u64 {
        if self.payload_stride > 0 { self.payload_at as u64 } else { self.total_bytes }
    }

    /// The numbers from which the plan follows, as they are kept in the fixed page.
    #[must_use]
    pub fn to_params(&self) -> [u64; PARAMS] {
        let mut params = [0; PARAMS];
        params[..6].copy_from_slice(&[
            self.capacity,
            self.item_bytes,
            self.max_item_bytes,
            self.max_deliveries,
            self.dead_capacity,
            self.total_bytes,
        ]);
        params
    }

    /// The plan that follows from stored numbers; `None` if they do not fit together.
    #[must_use]
    pub fn from_params(params: &[u64; PARAMS], total_bytes: u64) -> Option<Geometry> {
        let plan = Geometry::plan(params[0], params[1], params[2], params[3], params[4]).ok()?;
        (plan.total_bytes == params[5] && plan.total_bytes == total_bytes).then_some(plan)
    }

    /// Where a ring's entries start: 0 ready, 1 free, 2 dead.
    fn ring_at(&self, which: usize) -> usize {
        BODY_AT + which * 4 * self.ring_entries()
    }

    #[allow(clippy::cast_possible_truncation, reason = "part of a length that can be addressed")]
    fn ring_entries(&self) -> usize {
        self.ring.entries() as usize
    }
}

/// The slots and rings of one mapped queue.
#[derive(Debug, Clone, Copy)]
pub struct Slots<'a> {
    map: &'a Map,
    plan: &'a Geometry,
}

impl<'a> Slots<'a> {
    /// Lays `plan` over `map`, which is `plan.total_bytes` long.
    #[inline]
    #[must_use]
    pub fn new(map: &'a Map, plan: &'a Geometry) -> Slots<'a> {
        debug_assert!(map.len() as u64 >= plan.total_bytes);
        Slots { map, plan }
    }

    #[inline]
    fn ring(&self, which: usize) -> Ring<'a> {
        // SAFETY: the ring lies inside the map (the plan's total is checked against it); atomics only.
        let entries = unsafe {
            let at = self.map.base().add(self.plan.ring_at(which)).cast();
            std::slice::from_raw_parts(at, self.plan.ring_entries())
        };
        Ring::new(entries, self.plan.ring)
    }

    /// Numbers of slots whose items wait.
    #[inline]
    #[must_use]
    pub fn ready(&self) -> Ring<'a> {
        self.ring(0)
    }

    /// Numbers of slots that are nobody's.
    #[inline]
    #[must_use]
    pub fn free(&self) -> Ring<'a> {
        self.ring(1)
    }

    /// Numbers of slots that hold dead letters.
    #[must_use]
    pub fn dead(&self) -> Ring<'a> {
        self.ring(2)
    }

    /// The slot's words, or `None` for a number that is no slot's.
    #[inline]
    #[must_use]
    pub fn head(&self, number: u32) -> Option<&'a SlotHead> {
        if u64::from(number) >= self.plan.slots {
            return None;
        }
        // SAFETY: number < slots, so the head lies inside the map, aligned to a line; atomics only.
        Some(unsafe { &*self.map.base().add(self.plan.slots_at + number as usize * self.plan.stride).cast() })
    }

    /// Has the processor fetch a slot for writing while the caller is still busy with others: its line was last written on
    /// another processor, and waiting for it would be most of what a put or get costs.
    #[inline]
    pub fn expect(&self, number: u32) {
        if let Some(head) = self.head(number) {
            expect_line(head);
        }
    }

    /// The same for the first `count` slots that `ring` names from `head` on, or for as many as may be on their way at a
    /// time: they travel together.
    #[inline(never)] // once for several items; inlined, it takes registers from what is done for each
    pub fn expect_next(&self, ring: Ring<'_>, head: u64, count: u64) {
        (0..count.min(AHEAD)).for_each(|one| self.expect(ring.get(head.wrapping_add(one))));
    }

    /// Where an item of `len` bytes lies in slot `number`. Both are checked here: the bytes they come from are shared.
    #[inline]
    fn data(&self, number: u32, len: usize) -> Option<*mut u8> {
        if u64::from(number) >= self.plan.slots || len as u64 > self.plan.max_item_bytes {
            return None;
        }
        let at = if len <= self.plan.inline_bytes {
            self.plan.slots_at + number as usize * self.plan.stride + SLOT_HEAD
        } else {
            self.plan.payload_at + number as usize * self.plan.payload_stride
        };
        // SAFETY: by the plan, at + len lies inside the map: len is at most inline_bytes in the first case and
        // at most max_item_bytes <= payload_stride in the second.
        Some(unsafe { self.map.base().add(at) })
    }

    /// Offset and length of the payload room's part that an item of `len` bytes needs; `None` if it lies in the slot.
    #[must_use]
    pub fn payload_extent(&self, number: u32, len: usize) -> Option<(u64, u64)> {
        (len > self.plan.inline_bytes).then(|| {
            ((self.plan.payload_at + number as usize * self.plan.payload_stride) as u64, round_up(len as u64, PAGE))
        })
    }

    /// Copies `parts`, one after the other, into the slot. Returns false, writing nothing, if they do not fit.
    #[inline]
    pub fn write(&self, number: u32, parts: &[&[u8]], len: usize) -> bool {
        let Some(mut to) = self.data(number, len) else { return false };
        let mut left = len;
        writing(to);
        for part in parts {
            if part.len() > left {
                return false;
            }
            left -= part.len();
            // SAFETY: `data` vouches for `len` bytes at `to`; `left` keeps the parts' sum within it. Nobody else
            // writes there: the caller owns the slot. The source is not in the map.
            unsafe {
                copy(part.as_ptr(), to, part.len());
                to = to.add(part.len());
            }
        }
        true
    }

    /// Copies the item's first `out.len()` bytes out of a slot that holds `len` bytes. Returns false if it cannot hold so many.
    #[inline]
    pub fn read(&self, number: u32, len: usize, out: &mut [u8]) -> bool {
        match self.data(number, len) {
            Some(from) if out.len() <= len => {
                reading(from);
                // SAFETY: `data` vouches for `len` bytes at `from`; a peer may be writing them, which the caller
                // either excludes by a lock or state, or finds out by looking at the state again.
                unsafe { copy(from, out.as_mut_ptr(), out.len()) };
                true
            }
            _ => false,
        }
    }

    /// The item's place in memory, for use without a copy.
    #[must_use]
    pub fn place(&self, number: u32, len: usize) -> Option<*mut u8> {
        self.data(number, len)
    }
}

/// Has the processor fetch the line of `place` for writing.
///
/// (The intrinsic for this hint becomes a plain prefetch unless the whole program is compiled for newer processors; the
/// instruction itself is on all of 64 bits, without effect on the oldest.)
#[inline]
pub fn expect_line<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that changes no value and never faults.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) &raw const *place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place; // no stable hint
}

/// Copies `len` bytes that do not overlap. A number's size is worth a branch: a call of the general copy costs more
/// than the rest of a put.
///
/// # Safety
/// As `ptr::copy_nonoverlapping`.
#[inline]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller vouches for `len` bytes at both ends; each arm copies exactly so many.
    unsafe {
        match len {
            4 => to.cast::<u32>().write_unaligned(from.cast::<u32>().read_unaligned()),
            8 => to.cast::<u64>().write_unaligned(from.cast::<u64>().read_unaligned()),
            _ => std::ptr::copy_nonoverlapping(from, to, len),
        }
    }
}

/// The slot's state, and the very word for a later move. `None` if the word cannot be.
#[inline(always)]
#[must_use]
pub fn look(slot: &SlotHead) -> Option<(State, u64)> {
    let word = slot.state.load(Acquire);
    state_of(word).map(|state| (state, word))
}

/// Moves a slot from exactly `word` to `to`, publishing what was written into it. Returns the new word;
/// `None` if the slot is not what it was, which a move by its owner or under its lock never meets.
///
/// A CAS even under a lock: a process taken for dead that is not, or a stale move, is stopped by owner and sequence.
#[inline(always)]
#[must_use]
pub fn shift(slot: &SlotHead, word: u64, to: State, seq: u64) -> Option<u64> {
    let next = state_word(to, seq);
    fault::point("slot: before the move");
    // Release: pairs with the acquire in `look`. Who sees the new state sees the item.
    let moved = slot.state.compare_exchange(word, next, AcqRel, Relaxed).is_ok();
    if !Remedy::MovesByCas.is_on() {
        slot.state.store(next, Release);
        return Some(next);
    }
    fault::point("slot: moved");
    moved.then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_parameters() {
        for (capacity, item, max, dead) in
            [(10, 4, 4, 0), (1, 0, 1, 0), (1000, 0, 1 << 20, 0), (7, 0, 97, 5), (3, 200, 200, 0), (3, 300, 300, 1)]
        {
            let plan = Geometry::plan(capacity, item, max, 3, dead).expect("a good plan");
            assert_eq!(Geometry::from_params(&plan.to_params(), plan.total_bytes), Some(plan));
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (capacity, item, max) in [
            (0, 4, 4),
            (SLOTS_MAX + 1, 4, 4),
            (10, 0, 0),
            (10, 5, 4),
            (10, 0, ITEM_BYTES_MAX + 1),
            (SLOTS_MAX, 0, ITEM_BYTES_MAX),
        ] {
            assert!(
                matches!(Geometry::plan(capacity, item, max, 0, 0), Err(Error::BadValue { .. })),
                "{capacity} {item} {max}"
            );
        }
    }

    #[test]
    fn ten_small_numbers_fit_in_eleven_pages() {
        let plan = Geometry::plan(10, 4, 4, 0, 0).expect("a good plan");
        assert_eq!(plan.stride, 128);
        assert!(plan.total_bytes <= 11 * PAGE as u64, "{}", plan.total_bytes);
    }
}

//! Rings of slot numbers: arithmetic only. They wait for nobody and know no operating system.
//!
//! Heads and tails count for ever and wrap; a number's place is its count modulo the ring's length. A ring is an
//! index that any survivor can rebuild from the slots, so nothing in it is believed without a check.
//!
//! In a short ring each number has a line of memory of its own: one side reads a number while the other writes the next, and
//! both would wait for the line each time. In a long one they are close together, which is better for batches (taking
//! turns among sixteen lines made those a sixth slower, and single items a tenth).

use crate::atomic::AtomicU32;
use crate::atomic::Ordering::Relaxed;
use crate::layout::LINE;

/// Up to so many numbers have a line each.
pub const SHORT: u64 = 128;
/// Numbers in a line.
const IN_LINE: usize = LINE / size_of::<AtomicU32>();

/// The entries of one ring.
#[derive(Debug, Clone, Copy)]
pub struct Ring<'a> {
    entries: &'a [AtomicU32],
    /// How many numbers it holds, less one.
    mask: usize,
}

/// A ring's head and tail lie further apart than it is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Impossible;

impl<'a> Ring<'a> {
    /// A ring of `len` numbers, a power of two, over as many entries as [`Ring::entries_for`] says.
    #[inline]
    #[must_use]
    pub fn new(entries: &'a [AtomicU32], len: usize) -> Ring<'a> {
        debug_assert!(len.is_power_of_two() && entries.len() as u64 == Ring::entries_for(len as u64));
        Ring { entries, mask: len - 1 }
    }

    /// How many numbers a ring for `slots` holds.
    #[must_use]
    pub fn length_for(slots: u64) -> u64 {
        slots.max(2).next_power_of_two()
    }

    /// How many entries a ring of `len` numbers takes.
    #[must_use]
    pub fn entries_for(len: u64) -> u64 {
        if len <= SHORT { len * IN_LINE as u64 } else { len }
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "masked to the length")]
    fn place(&self, count: u64) -> &'a AtomicU32 {
        let at = count as usize & self.mask;
        &self.entries[if self.mask < SHORT as usize { at * IN_LINE } else { at }]
    }

    /// The number at `count`. Ordered by the tail's release and acquire, or by the lock.
    #[inline]
    #[must_use]
    pub fn get(&self, count: u64) -> u32 {
        self.place(count).load(Relaxed)
    }

    /// Writes the number at `count`.
    #[inline]
    pub fn set(&self, count: u64, number: u32) {
        self.place(count).store(number, Relaxed);
    }
}

/// How many numbers lie between head and tail.
///
/// # Errors
/// `Impossible` if that is more than there are slots.
#[inline]
pub fn between(head: u64, tail: u64, slots: u64) -> Result<u64, Impossible> {
    let count = tail.wrapping_sub(head);
    if count <= slots { Ok(count) } else { Err(Impossible) }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_wrap_without_losing_their_distance() {
        assert_eq!(between(u64::MAX - 1, 3, 10), Ok(5));
        assert_eq!(between(5, 4, 10), Err(Impossible));
        assert_eq!(between(0, 11, 10), Err(Impossible));
    }

    #[test]
    fn numbers_come_back_from_where_they_were_put() {
        for len in [2u64, 16, SHORT, 2 * SHORT, 4 * SHORT] {
            let entries: Vec<AtomicU32> = (0..Ring::entries_for(len)).map(|_| AtomicU32::new(0)).collect();
            let ring = Ring::new(&entries, usize::try_from(len).expect("small"));
            let counts = || (0..len).map(|n| (u64::MAX - 1).wrapping_add(n));
            for (number, count) in counts().enumerate() {
                ring.set(count, u32::try_from(number).expect("small"));
            }
            for (number, count) in counts().enumerate() {
                assert_eq!(ring.get(count) as usize, number, "in a ring of {len}");
            }
        }
    }
}

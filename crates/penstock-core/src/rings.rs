//! Rings of slot numbers: arithmetic only. They wait for nobody and know no operating system.
//!
//! Heads and tails count for ever and wrap; a number's place is its count modulo the ring's length. A ring is an
//! index that any survivor can rebuild from the slots, so nothing in it is believed without a check.

use crate::atomic::AtomicU32;
use crate::atomic::Ordering::Relaxed;

/// The entries of one ring.
#[derive(Debug, Clone, Copy)]
pub struct Ring<'a> {
    entries: &'a [AtomicU32],
}

/// A ring's head and tail lie further apart than it is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Impossible;

impl<'a> Ring<'a> {
    /// A ring over `entries`, whose number is a power of two.
    #[inline]
    #[must_use]
    pub fn new(entries: &'a [AtomicU32]) -> Ring<'a> {
        debug_assert!(entries.len().is_power_of_two());
        Ring { entries }
    }

    /// How long a ring for `slots` numbers is.
    #[must_use]
    pub fn length_for(slots: u64) -> u64 {
        slots.max(2).next_power_of_two()
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "masked to the length")]
    fn place(&self, count: u64) -> &'a AtomicU32 {
        &self.entries[count as usize & (self.entries.len() - 1)]
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
        let entries: Vec<AtomicU32> = (0..8).map(|_| AtomicU32::new(0)).collect();
        let ring = Ring::new(&entries);
        for count in u64::MAX - 3..=u64::MAX {
            ring.set(count, u32::try_from(count & 7).expect("small"));
        }
        for count in u64::MAX - 3..=u64::MAX {
            assert_eq!(u64::from(ring.get(count)), count & 7);
        }
    }
}

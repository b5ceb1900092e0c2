//! Rings of slot numbers: arithmetic only. They wait for nobody and know no operating system.
//!
//! Heads and tails count for ever and wrap; a number's place is its count modulo the ring's length. A ring is an
//! index that any survivor can rebuild from the slots, so nothing in it is believed without a check.
//!
//! A short ring has as many places as there are slots. So where slots go round in order, as in a stream, the same number
//! comes to the same place each time: it stands there already, nothing is stored, and the line stays in the caches of
//! both sides. And each number has a line of its own: one side reads a number while the other may be writing the next.
//!
//! In a long one they are close together, which is better for batches (taking turns among sixteen lines made those a
//! sixth slower, and single items a tenth), and its length is a power of two, by which dividing costs nothing.

use crate::atomic::AtomicU32;
use crate::atomic::Ordering::Relaxed;
use crate::layout::LINE;

/// Up to so many numbers have a line each.
pub const SHORT: u64 = 128;
/// Numbers in a line.
const IN_LINE: usize = LINE / size_of::<AtomicU32>();

/// How many numbers a ring holds, made ready for dividing by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// As many as there are slots.
    Short {
        /// How many.
        len: u64,
        /// 2^64 / `len`, rounded down.
        reciprocal: u64,
        /// A multiple of `len`, about 2^63, that is added to counts: so the place of one less than 0 is beside that of 0.
        /// Only at 2^63 do places jump, where no count comes within a thousand years.
        bias: u64,
    },
    /// A power of two.
    Long {
        /// One less than that.
        mask: u64,
    },
}

impl Length {
    /// The length for `slots`, of which there is at least one.
    #[must_use]
    pub fn of(slots: u64) -> Length {
        let len = slots.max(1);
        if len <= SHORT {
            Length::Short { len, reciprocal: u64::MAX / len, bias: (1 << 63) / len * len }
        } else {
            Length::Long { mask: len.next_power_of_two() - 1 }
        }
    }

    /// The place of a count: the remainder.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "less than the length; the high half")]
    fn place(self, count: u64) -> usize {
        match self {
            Length::Short { len, reciprocal, bias } => {
                let count = count.wrapping_add(bias);
                let quotient = ((u128::from(count) * u128::from(reciprocal)) >> 64) as u64;
                let rest = count - quotient * len; // the quotient is right or one too small
                (if rest >= len { rest - len } else { rest }) as usize
            }
            Length::Long { mask } => (count & mask) as usize,
        }
    }

    /// How many entries the numbers take.
    #[must_use]
    pub fn entries(self) -> u64 {
        match self {
            Length::Short { len, .. } => len * IN_LINE as u64,
            Length::Long { mask } => mask + 1,
        }
    }

    /// Whether each number has a line of its own.
    #[must_use]
    pub fn is_short(self) -> bool {
        matches!(self, Length::Short { .. })
    }
}

/// The entries of one ring.
#[derive(Debug, Clone, Copy)]
pub struct Ring<'a> {
    entries: &'a [AtomicU32],
    length: Length,
}

/// A ring's head and tail lie further apart than it is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Impossible;

impl<'a> Ring<'a> {
    /// A ring of that length over as many entries as it says.
    #[inline]
    #[must_use]
    pub fn new(entries: &'a [AtomicU32], length: Length) -> Ring<'a> {
        debug_assert!(entries.len() as u64 == length.entries());
        Ring { entries, length }
    }

    #[inline]
    fn place(&self, count: u64) -> &'a AtomicU32 {
        match self.length {
            Length::Short { .. } => &self.entries[self.length.place(count) * IN_LINE],
            Length::Long { .. } => &self.entries[self.length.place(count)],
        }
    }

    /// The number at `count`. Ordered by the tail's release and acquire, or by the lock.
    #[inline]
    #[must_use]
    pub fn get(&self, count: u64) -> u32 {
        self.place(count).load(Relaxed)
    }

    /// Writes the number at `count`; in a short ring, unless it stands there. (In a long one looking would cost a second
    /// journey of the line.)
    #[inline]
    pub fn set(&self, count: u64, number: u32) {
        let place = self.place(count);
        if matches!(self.length, Length::Long { .. }) || place.load(Relaxed) != number {
            place.store(number, Relaxed);
        }
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
        for len in [1, 2, 3, 10, 16, SHORT, SHORT + 1, 4 * SHORT, 1000] {
            let length = Length::of(len);
            let entries: Vec<AtomicU32> = (0..length.entries()).map(|_| AtomicU32::new(0)).collect();
            let ring = Ring::new(&entries, length);
            let counts = || (0..len).map(|n| (u64::MAX - 1).wrapping_add(n));
            for (number, count) in counts().enumerate() {
                ring.set(count, u32::try_from(number).expect("small"));
            }
            for (number, count) in counts().enumerate() {
                assert_eq!(ring.get(count) as usize, number, "in a ring of {len}");
            }
        }
    }

    #[test]
    fn a_place_is_the_remainder_and_one_before_the_first_is_the_last() {
        for len in (1..2000).chain([1 << 26, (1 << 26) - 1, (1 << 27) + 1, u64::from(u32::MAX)]) {
            let length = Length::of(len);
            let some = [0, 1, len - 1, len, len + 1, 7 * len - 1, 1 << 32, 1 << 40, (1 << 61) + 12_345];
            for count in some {
                let len = if length.is_short() { len } else { len.next_power_of_two() };
                assert_eq!(length.place(count) as u64, count % len, "{count} in {len}");
                let back = (len - count % len) % len;
                assert_eq!(length.place(0u64.wrapping_sub(count)) as u64, back, "{count} before the first in {len}");
            }
        }
    }
}

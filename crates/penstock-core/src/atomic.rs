//! The only place that imports atomics: the standard ones, or words that loom watches in its models.

#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub mod model;
#[cfg(loom)]
pub use model::{AtomicU32, AtomicU64, Ordering, fence, reading, writing};

/// Bytes that are no words are about to be written: in a model, nobody may read them without having been told.
#[cfg(not(loom))]
#[inline(always)]
pub fn writing(_bytes: *const u8) {}

/// Bytes that are no words are about to be read, and whoever wrote them has told of it.
#[cfg(not(loom))]
#[inline(always)]
pub fn reading(_bytes: *const u8) {}

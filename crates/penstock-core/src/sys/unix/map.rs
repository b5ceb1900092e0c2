//! A file's bytes as memory.

use super::{PAGE, os_error};
use crate::error::Result;
use std::ptr;

/// The unit in which this kernel maps; `PAGE`, or a multiple of it on some machines.
fn page_bytes() -> usize {
    // SAFETY: sysconf has no conditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(PAGE)
}

/// Where the next map of `len` bytes goes: anywhere.
#[cfg(not(fuzzing))]
fn place_for(_len: usize) -> (*mut libc::c_void, i32) {
    (ptr::null_mut(), 0)
}

/// Where the next map of `len` bytes goes: between two pages that nobody may touch, so that a read or a store outside
/// of it is found out.
#[cfg(fuzzing)]
fn place_for(len: usize) -> (*mut libc::c_void, i32) {
    let whole = len.next_multiple_of(PAGE) + 2 * PAGE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping without access, at an address of the kernel's choice.
    let around = unsafe { libc::mmap(ptr::null_mut(), whole, libc::PROT_NONE, flags, -1, 0) };
    assert!(around != libc::MAP_FAILED, "address space for a fuzzer");
    // SAFETY: the second page of what was mapped just above.
    (unsafe { around.byte_add(PAGE) }, libc::MAP_FIXED)
}

/// Bytes shared with others. Nothing here forms a reference to them: what lies above copies, or uses atomics.
#[derive(Debug)]
pub struct Map {
    base: *mut u8,
    len: usize,
}

// SAFETY: the map is plain memory shared between processes anyway; all access goes through atomics or raw copies.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    pub(super) fn of(fd: i32, name: &str, len: usize, writable: bool) -> Result<Map> {
        let protection = if writable { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ };
        let (place, fixed) = place_for(len);
        // SAFETY: a new mapping at an address of the kernel's choice, or where `place_for` has kept room for it.
        let base = unsafe { libc::mmap(place, len, protection, libc::MAP_SHARED | libc::MAP_NORESERVE | fixed, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(os_error(name, "mapping it"));
        }
        Ok(Map { base: base.cast(), len })
    }

    /// The first byte.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.base
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never true: an empty map cannot be made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the range back to its file and waits for it.
    ///
    /// # Errors
    /// `Os`.
    pub fn flush(&self, name: &str, offset: usize, bytes: usize) -> Result<()> {
        let end = offset.saturating_add(bytes).min(self.len);
        let start = (offset / page_bytes() * page_bytes()).min(end);
        if start == end {
            return Ok(());
        }
        // SAFETY: start..end lies inside the mapping, start on a page.
        if unsafe { libc::msync(self.base.add(start).cast(), end - start, libc::MS_SYNC) } != 0 {
            return Err(os_error(name, "writing it back"));
        }
        Ok(())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: made by mmap with this length, and nobody holds a pointer into it past the map's life.
        unsafe { libc::munmap(self.base.cast(), self.len) };
        #[cfg(fuzzing)]
        // SAFETY: the pages around it, mapped in `place_for`.
        unsafe {
            let around: *mut libc::c_void = self.base.sub(PAGE).cast();
            libc::munmap(around, self.len.next_multiple_of(PAGE) + 2 * PAGE);
        }
    }
}

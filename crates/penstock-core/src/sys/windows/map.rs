//! Bytes shared with others.

use super::section::View;
use super::{last_error, os_error, sleeping};
use crate::error::Result;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use windows_sys::Win32::Foundation::{ERROR_ACCESS_DENIED, HANDLE};
use windows_sys::Win32::Storage::FileSystem::FlushFileBuffers;
use windows_sys::Win32::System::Memory::{CreateFileMappingW, FlushViewOfFile, PAGE_READONLY, PAGE_READWRITE};

/// Bytes shared with others. Nothing here forms a reference to them: what lies above copies, or uses atomics.
#[derive(Debug)]
pub struct Map {
    /// Where threads can sleep on its words, if it is a segment's. Gone before the address can become another map's.
    pub(super) region: Option<sleeping::Registration>,
    view: View,
    len: usize,
    file: OwnedHandle,
}

// SAFETY: the map is plain memory shared between processes anyway; all access goes through atomics or raw copies.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    pub(super) fn of(file: HANDLE, name: &str, len: usize, writable: bool) -> Result<Map> {
        let protection = if writable { PAGE_READWRITE } else { PAGE_READONLY };
        // SAFETY: an open file, no name, no attributes; of all its length.
        let section = unsafe { CreateFileMappingW(file, ptr::null(), protection, 0, 0, ptr::null()) };
        if section.is_null() {
            return Err(os_error(name, "mapping it"));
        }
        // SAFETY: made just above, and ours. The view keeps what it needs of it.
        let section = unsafe { OwnedHandle::from_raw_handle(section) };
        Map::of_section(section.as_raw_handle(), file, name, len, writable)
    }

    pub(super) fn of_section(section: HANDLE, file: HANDLE, name: &str, len: usize, writable: bool) -> Result<Map> {
        let failed = || os_error(name, "mapping it");
        // SAFETY: the handle is open while it is borrowed here.
        let file = unsafe { BorrowedHandle::borrow_raw(file) };
        let file = file.try_clone_to_owned().map_err(|_| failed())?;
        let view = View::of(section, len, writable).ok_or_else(failed)?;
        Ok(Map { region: None, view, len, file })
    }

    /// The first byte.
    #[must_use]
    pub fn base(&self) -> *mut u8 {
        self.view.base()
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
        if offset >= end {
            return Ok(());
        }
        // SAFETY: offset..end lies inside the view.
        let begun = unsafe { FlushViewOfFile(self.base().add(offset).cast(), end - offset) };
        // SAFETY: the handle is open. Without this the writing has only begun. A read-only map has nothing to write.
        let done = begun != 0
            && (unsafe { FlushFileBuffers(self.file.as_raw_handle()) } != 0 || last_error() == ERROR_ACCESS_DENIED);
        if done { Ok(()) } else { Err(os_error(name, "writing it back")) }
    }
}

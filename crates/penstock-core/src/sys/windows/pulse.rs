//! Signs of life: locks on single bytes far past the end of a segment's file.
//!
//! Such a lock belongs to the open file and goes when that is closed, however the process went. Nothing inherits it.
//! There is no call that asks who holds one, so whoever asks takes it for a moment, shared with others who ask.

use super::file::File;
use crate::error::{Error, Result};
use std::os::windows::io::{AsRawHandle, BorrowedHandle, OwnedHandle};
use windows_sys::Win32::Foundation::{ERROR_LOCK_VIOLATION, HANDLE};
use windows_sys::Win32::Storage::FileSystem::{
    LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::OVERLAPPED;

/// Where those bytes start, in units of 4 GiB: locks bind whoever reads or writes, so they lie where nobody does.
const PULSE_AT_HIGH: u32 = 0x4000_0000;

fn place_of(first: u32) -> OVERLAPPED {
    let mut place = OVERLAPPED::default();
    place.Anonymous.Anonymous.Offset = first;
    place.Anonymous.Anonymous.OffsetHigh = PULSE_AT_HIGH;
    place
}

/// Takes the bytes, if nobody holds one: alone, or shared with those who only ask.
pub(super) fn try_lock(handle: HANDLE, first: u32, count: u32, alone: bool) -> bool {
    let how = LOCKFILE_FAIL_IMMEDIATELY | if alone { LOCKFILE_EXCLUSIVE_LOCK } else { 0 };
    let mut place = place_of(first);
    // SAFETY: the handle is open, and the place lives through the call, which does not wait.
    unsafe { LockFileEx(handle, how, 0, count, 0, &raw mut place) != 0 }
}

pub(super) fn unlock(handle: HANDLE, first: u32, count: u32) {
    let mut place = place_of(first);
    // SAFETY: as above.
    unsafe { UnlockFileEx(handle, 0, count, 0, &raw mut place) };
}

/// Runs `act` while holding every number, if nobody living holds one.
pub(super) fn lock_all<R>(handle: HANDLE, act: impl FnOnce() -> R) -> Option<R> {
    Held::take(handle, 0, u32::MAX).map(|_held| act())
}

/// Numbers held alone, for as long as this lives.
struct Held(HANDLE, u32, u32);

impl Held {
    fn take(handle: HANDLE, first: u32, count: u32) -> Option<Held> {
        try_lock(handle, first, count, true).then_some(Held(handle, first, count))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        unlock(self.0, self.1, self.2);
    }
}

/// `None` if the system cannot be asked.
fn is_locked(handle: HANDLE, first: u32, count: u32) -> Option<bool> {
    if try_lock(handle, first, count, false) {
        unlock(handle, first, count);
        return Some(false);
    }
    (super::last_error() == ERROR_LOCK_VIOLATION).then_some(true)
}

/// A sign of life at a number: the system takes it back when this process is gone, however it went.
#[derive(Debug)]
pub struct Pulse {
    /// Of the same open file as the segment's own, which may be closed before this.
    file: OwnedHandle,
    number: u32,
}

impl Pulse {
    /// Takes the sign of life at `number`. `None`: somebody living has it, or was just asking for it.
    ///
    /// # Errors
    /// `Os`; nothing is held then.
    pub fn take(file: &File, name: &str, number: u32) -> Result<Option<Pulse>> {
        // SAFETY: the file is open while it is borrowed here.
        let borrowed = unsafe { BorrowedHandle::borrow_raw(file.raw()) };
        let own = borrowed.try_clone_to_owned().map_err(|error| Error::Os {
            name: name.to_owned(),
            what: "taking its sign of life",
            errno: error.raw_os_error().unwrap_or(0),
        })?;
        Ok(try_lock(own.as_raw_handle(), number, 1, true).then(|| Pulse { file: own, number }))
    }

    /// Whether somebody living holds `number`. Never ask about one's own: compare first.
    /// When the system cannot be asked the answer is "alive": nothing is ever taken on a guess.
    #[must_use]
    pub fn is_held(file: &File, _name: &str, number: u32) -> bool {
        is_locked(file.raw(), number, 1).unwrap_or(true)
    }

    /// Whether somebody living holds any of the numbers `1..=count`.
    #[must_use]
    pub fn is_any_held(file: &File, _name: &str, count: u32) -> bool {
        is_locked(file.raw(), 1, count).unwrap_or(true)
    }

    /// Runs `act` while holding the signs `first..first+count` that nobody living holds; `None` if somebody does.
    /// Meanwhile nobody can register there or act on the same death. Should this process be killed in `act`, they go.
    pub fn while_dead<R>(file: &File, _name: &str, first: u32, count: u32, act: impl FnOnce() -> R) -> Option<R> {
        Held::take(file.raw(), first, count).map(|_held| act())
    }

    /// False: another process cannot keep it alive.
    #[must_use]
    pub fn is_by_descriptor(&self) -> bool {
        false
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        unlock(self.file.as_raw_handle(), self.number, 1);
    }
}

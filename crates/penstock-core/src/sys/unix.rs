//! What Linux and macOS share: files, maps, directories, `fork`, locks on bytes. What each has of its own lies in
//! `sys/linux` and `sys/macos`, and is called `system` here.

mod directory;
mod draft;
mod file;
mod fork;
mod map;
mod plain_file;
mod process;
mod pulse;

pub use directory::{Directory, check_directory};
pub use draft::{BUILDER, Draft, UNFINISHED};
pub use file::{File, unlink_if_same};
pub use fork::{ForkLocked, epoch};
pub use map::Map;
pub use plain_file::map_plain_file;
#[cfg(feature = "crash-points")]
pub use process::{die, stop_self};
pub use process::{thread_id, user_id};
pub use pulse::Pulse;

#[cfg(target_os = "macos")]
pub(super) use fork::watch_forks;
pub(super) use process::boot_id_of;
pub(super) use pulse::Pinned;
#[cfg(target_os = "linux")]
pub(super) use pulse::{is_locked, try_lock};

#[cfg(target_os = "linux")]
use super::linux as system;
#[cfg(target_os = "macos")]
use super::macos as system;

use crate::error::Error;
use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What every supported processor's page is a multiple of.
pub(super) const PAGE: usize = 4096;

pub(in crate::sys) fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

pub(in crate::sys) fn os_error(name: &str, what: &'static str) -> Error {
    Error::Os { name: name.to_owned(), what, errno: last_errno() }
}

/// True for the errors that mean "the file system is full".
#[must_use]
pub fn errno_is_no_space(errno: i32) -> bool {
    errno == libc::ENOSPC || errno == libc::EDQUOT
}

pub(in crate::sys) fn c_path(path: &Path) -> CString {
    // A NUL was refused where the name was checked; an empty path fails cleanly in the kernel.
    CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
}

pub(in crate::sys) fn open_raw(path: &CStr, flags: i32) -> i32 {
    // SAFETY: `path` is a C string; the mode is ignored without O_CREAT.
    unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o600) }
}

pub(in crate::sys) fn close_raw(fd: i32) {
    // SAFETY: the caller owns `fd`.
    unsafe { libc::close(fd) };
}

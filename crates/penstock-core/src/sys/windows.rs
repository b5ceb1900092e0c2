//! Windows: files of the user's own directory, byte-range locks, named semaphores.
//!
//! | need | here |
//! |---|---|
//! | a name | a file in a directory of this start of the machine, so that names go with a restart |
//! | memory that goes with its users | a section of the page file, which a small file stands for |
//! | a sign of life | a lock on one byte far past the file's end, which goes with the process |
//! | sleeping on a word of shared memory | a semaphore named after the file and the word's place in it |
//! | a name that is free at once | deleted the POSIX way, else renamed out of the way first |
//! | `fork` | there is none |

mod directory;
mod draft;
mod file;
mod map;
mod plain_file;
mod process;
mod pulse;
mod section;
mod sleeping;
mod trust;

pub use directory::{Directory, check_directory, default_directory};
pub use draft::{BUILDER, Draft, UNFINISHED};
pub use file::{File, unlink_if_same};
pub use map::Map;
pub use plain_file::map_plain_file;
pub use process::{ForkLocked, epoch, features, host, now_ms, thread_id};
#[cfg(feature = "crash-points")]
pub use process::{die, stop_self};
pub use pulse::Pulse;
pub use sleeping::{sleep, sleep_any, wake};
pub use trust::user_id;

use crate::error::Error;
use std::os::windows::ffi::OsStrExt;
use std::path::Path;
use windows_sys::Win32::Foundation::{
    ERROR_DISK_FULL, ERROR_DISK_QUOTA_EXCEEDED, ERROR_HANDLE_DISK_FULL, GetLastError,
};

use crate::sys::{process_id, unix_ms};

fn last_error() -> u32 {
    // SAFETY: no conditions.
    unsafe { GetLastError() }
}

fn os_error(name: &str, what: &'static str) -> Error {
    Error::Os { name: name.to_owned(), what, errno: last_error().cast_signed() }
}

/// True for the errors that mean "the file system is full".
#[must_use]
pub fn errno_is_no_space(errno: i32) -> bool {
    matches!(errno.cast_unsigned(), ERROR_DISK_FULL | ERROR_HANDLE_DISK_FULL | ERROR_DISK_QUOTA_EXCEEDED)
}

/// A path for the system, with the NUL that ends it, free of the old limit of 260 units.
fn wide(path: &Path) -> Vec<u16> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let units: Vec<u16> = whole.as_os_str().encode_wide().collect();
    let slash = u16::from(b'\\');
    let is_drive = units.get(1) == Some(&u16::from(b':')) && units.get(2) == Some(&slash);
    let mut out: Vec<u16> = if is_drive { r"\\?\".encode_utf16().collect() } else { Vec::new() };
    out.extend(units);
    out.push(0);
    out
}

fn wide_text(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

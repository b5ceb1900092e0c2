//! What this machine, and a directory on it, can do: found out by trying.

use super::file_system::open_unnamed;
use super::host;
use crate::sys::Features;
use crate::sys::unix::{PAGE, close_raw, is_locked, last_errno};
use std::path::Path;
use std::ptr;
use std::sync::atomic::AtomicU32;

/// Tries each. `directory` must exist.
#[must_use]
pub fn features(directory: &Path) -> Features {
    Features {
        ofd_locks: has_ofd_locks(),
        futex: has_futex(),
        futex_waitv: host().can_sleep_on_many,
        otmpfile: has_unnamed_files(directory),
        wipe_on_fork: can_wipe_on_fork(),
    }
}

fn has_ofd_locks() -> bool {
    // SAFETY: a C string and no other memory.
    let fd = unsafe { libc::memfd_create(c"penstock-probe".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return true; // cannot be asked so; attaching will tell
    }
    let answered = is_locked(fd, 1, 1).is_some();
    close_raw(fd);
    answered
}

fn has_futex() -> bool {
    let word = AtomicU32::new(0);
    // SAFETY: the kernel uses the address only; nobody sleeps there.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1, ptr::null::<libc::timespec>()) >= 0 }
}

fn has_unnamed_files(directory: &Path) -> bool {
    let fd = open_unnamed(directory);
    if fd >= 0 {
        close_raw(fd);
        return true;
    }
    // Refused for another reason, it may be had all the same.
    !matches!(last_errno(), libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL)
}

fn can_wipe_on_fork() -> bool {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh anonymous mapping.
    let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, libc::PROT_READ, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return false;
    }
    // SAFETY: the page was mapped just above.
    let can = unsafe { libc::madvise(page, PAGE, libc::MADV_WIPEONFORK) } == 0;
    // SAFETY: as above; nobody else has seen it.
    unsafe { libc::munmap(page, PAGE) };
    can
}

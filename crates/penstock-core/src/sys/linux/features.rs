//! What this machine, and a directory on it, can do: found out by trying.

use super::{PAGE, c_path, close_raw, host, is_locked, last_errno, open_raw};
use std::path::Path;
use std::ptr;
use std::sync::atomic::AtomicU32;

/// What the machine or the directory's file system has of what is used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "a list of yes and no")]
pub struct Features {
    /// Locks that belong to an open file: the signs of life.
    pub ofd_locks: bool,
    /// Sleeping on a word of shared memory.
    pub futex: bool,
    /// Sleeping on several at once.
    pub futex_waitv: bool,
    /// Files without a name until they are complete.
    pub otmpfile: bool,
    /// Pages that a forked child finds empty.
    pub wipe_on_fork: bool,
}

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
    let fd = open_raw(&c_path(directory), libc::O_RDWR | libc::O_TMPFILE);
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

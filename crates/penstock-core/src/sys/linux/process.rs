//! This process and this machine, as Linux tells them.

use super::sleeping::probe_waitv;
use crate::fault::Remedy;
use crate::sys::Host;
use crate::sys::unix::{PAGE, boot_id_of, user_id};
use std::path::{Path, PathBuf};

/// Has the kernel fill the page with zeros in children, also in those made by a bare `clone`, for which no handler runs.
pub(in crate::sys) fn wipe_on_fork(page: *mut libc::c_void) {
    let is_to_be_wiped = Remedy::WipedByTheKernel.is_on() && Remedy::ForgottenAtFork.is_on();
    let advice = if is_to_be_wiped { libc::MADV_WIPEONFORK } else { libc::MADV_NORMAL };
    // SAFETY: one page, mapped by the caller just now.
    let wiped = unsafe { libc::madvise(page, PAGE, advice) };
    assert!(wiped == 0, "the kernel is older than 4.14: it cannot wipe a page on fork");
}

/// The number of the calling thread.
pub(in crate::sys) fn thread_number() -> u32 {
    // SAFETY: gettid has no conditions.
    u32::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

/// Milliseconds of the monotonic clock, coarse and cheap.
#[must_use]
pub fn now_ms() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut t) };
    t.tv_sec.unsigned_abs() * 1000 + t.tv_nsec.unsigned_abs() / 1_000_000
}

/// Facts about this host, read once.
pub fn host() -> &'static Host {
    static HOST: std::sync::OnceLock<Host> = std::sync::OnceLock::new();
    HOST.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let namespace = std::fs::metadata("/proc/self/ns/pid").map_or(0, |m| std::os::unix::fs::MetadataExt::ino(&m));
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        Host { boot_id: boot_id_of(&text), pid_namespace: namespace, kernel, can_sleep_on_many: probe_waitv() }
    })
}

/// `$PENSTOCK_DIR`, else one per user in shared memory.
#[must_use]
pub fn default_directory() -> PathBuf {
    match std::env::var_os("PENSTOCK_DIR") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => PathBuf::from(format!("/dev/shm/penstock-{}", user_id())),
    }
}

/// Shared memory is there.
pub(in crate::sys) fn ready_parent_of(_directory: &Path) {}

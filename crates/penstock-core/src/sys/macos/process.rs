//! This process and this machine, as macOS tells them.

use crate::sys::unix::{boot_id_of, watch_forks};
use crate::sys::{Features, Host};
use std::ffi::{CStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::ptr;

/// Nothing in the kernel does that here; the handler that runs in a child does, and `fork` cannot be had without it.
pub(in crate::sys) fn wipe_on_fork(_page: *mut libc::c_void) {
    watch_forks();
}

/// The number of the calling thread: the low half, for the kernel counts them up from the machine's start.
#[allow(clippy::cast_possible_truncation, reason = "told above")]
pub(in crate::sys) fn thread_number() -> u32 {
    let mut number = 0;
    // SAFETY: 0 is the calling thread, and `number` a valid place for the answer.
    unsafe { libc::pthread_threadid_np(0, &raw mut number) };
    number as u32
}

/// Milliseconds of the monotonic clock, coarse and cheap. It goes on while the machine sleeps.
#[must_use]
pub fn now_ms() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_RAW_APPROX, &raw mut t) };
    t.tv_sec.unsigned_abs() * 1000 + t.tv_nsec.unsigned_abs() / 1_000_000
}

/// A fact of the kernel that is a text; empty if it has none of that name.
fn text_of(name: &CStr) -> String {
    let mut text = [0_u8; 256];
    let mut bytes = text.len();
    // SAFETY: a C string, and a valid place of the length given.
    let failed =
        unsafe { libc::sysctlbyname(name.as_ptr(), text.as_mut_ptr().cast(), &raw mut bytes, ptr::null_mut(), 0) };
    if failed != 0 {
        return String::new();
    }
    CStr::from_bytes_until_nul(&text).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Facts about this host, read once.
pub fn host() -> &'static Host {
    static HOST: std::sync::OnceLock<Host> = std::sync::OnceLock::new();
    HOST.get_or_init(|| Host {
        boot_id: boot_id_of(&text_of(c"kern.bootsessionuuid")),
        pid_namespace: 0,
        kernel: text_of(c"kern.osrelease"),
        can_sleep_on_many: false,
    })
}

/// Where the user's caches are: a directory that only he may enter and that nothing tidies up while the machine runs.
fn all_boots() -> PathBuf {
    let mut path = vec![0_u8; 1024];
    // SAFETY: a valid place of the length given.
    let bytes = unsafe { libc::confstr(libc::_CS_DARWIN_USER_CACHE_DIR, path.as_mut_ptr().cast(), path.len()) };
    if bytes == 0 || bytes > path.len() {
        return std::env::temp_dir().join("penstock");
    }
    path.truncate(bytes - 1); // the NUL counts
    PathBuf::from(OsString::from_vec(path)).join("penstock")
}

/// `$PENSTOCK_DIR`, else one in the user's caches, anew for each start of the machine: names go with a restart.
#[must_use]
pub fn default_directory() -> PathBuf {
    match std::env::var_os("PENSTOCK_DIR") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => all_boots().join(format!("{:016x}", host().boot_id[0])),
    }
}

/// Of an earlier start of the machine nobody lives. What cannot be removed does no harm, and is tried again next time;
/// what cannot be made is told when the directory itself is.
pub(in crate::sys) fn ready_parent_of(directory: &Path) {
    let all = all_boots();
    if directory.exists() || !directory.starts_with(&all) {
        return;
    }
    let _ = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&all);
    for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
        if entry.path() != directory {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// What every macOS of that age has.
#[must_use]
pub fn features(_directory: &Path) -> Features {
    Features { ofd_locks: true, futex: true, futex_waitv: false, otmpfile: false, wipe_on_fork: false }
}

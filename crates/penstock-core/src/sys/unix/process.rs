//! This process, its threads, and what there is to know of the machine.

use super::{epoch, system};
use std::cell::Cell;

/// This process's number, for people to read; never trusted for liveness on its own.
#[must_use]
pub fn process_id() -> u32 {
    std::process::id()
}

/// This thread's number within the system. Right in a forked child as well. The kernel is asked once a thread and process.
#[inline]
#[must_use]
pub fn thread_id() -> u32 {
    thread_local!(static KNOWN: Cell<(u32, u32)> = const { Cell::new((0, 0)) });
    let epoch = epoch();
    KNOWN.with(|known| match known.get() {
        (then, id) if then == epoch => id,
        _ => {
            let id = system::thread_number();
            known.set((epoch, id));
            id
        }
    })
}

/// The effective user.
#[must_use]
pub fn user_id() -> u32 {
    // SAFETY: geteuid has no conditions.
    unsafe { libc::geteuid() }
}

/// Milliseconds since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// How many processors this process may run on.
#[must_use]
pub fn spin_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What does not change while the machine is up.
#[derive(Debug, Clone)]
pub struct Host {
    /// Changes with every start of the machine.
    pub boot_id: [u64; 2],
    /// The pid namespace's inode: pids compare only within one. 0 where there is but one.
    pub pid_namespace: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The kernel can sleep on several words at once.
    pub can_sleep_on_many: bool,
}

/// What the machine or the directory's file system has of what is used here; the names are those of Linux' means.
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

/// Dies as if killed from outside.
#[cfg(feature = "crash-points")]
pub fn die() -> ! {
    // SAFETY: SIGKILL to oneself does not return.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        std::hint::spin_loop();
    }
}

/// Stops until somebody sends SIGCONT.
#[cfg(feature = "crash-points")]
pub fn stop_self() {
    // SAFETY: raising SIGSTOP has no memory effects.
    unsafe { libc::raise(libc::SIGSTOP) };
}

//! The whole surface of the operating system: files, maps, signs of life, sleeping and waking.
//!
//! One file per system stands behind it and is the only one that calls it. What a port must provide is
//! what this module re-exports; nothing above it knows which system it runs on.
//!
//! | need | meaning |
//! |---|---|
//! | [`File`] | a segment's file: facts, commit, reopen, map |
//! | [`Draft`], [`Backing`] | a file that nobody can see until it is complete, or what stands for memory |
//! | [`Map`] | its bytes, shared |
//! | [`map_plain_file`] | a file of the user's own as memory, without anything of ours in it |
//! | [`Pulse`] | a kernel-owned sign of life at a number; gone when the process is |
//! | [`sleep`], [`wake`], [`sleep_any`] | wait on a word of shared memory |
//! | [`epoch`] | who am I: changes in a forked child |
//! | [`ForkLocked`] | this process's own state, safe across `fork` |
//! | [`host`], [`features`], [`Directory`] | facts about the machine and its file systems |

mod facts;
pub use facts::{Facts, Features, Host};
#[cfg(not(loom))]
pub use facts::{process_id, spin_cpus, unix_ms};

#[cfg(loom)]
pub mod model;
#[cfg(loom)]
pub use model::{
    BUILDER, Draft, File, ForkLocked, Map, Pulse, UNFINISHED, epoch, errno_is_no_space, host, now_ms, process_id,
    sleep, sleep_any, spin_cpus, thread_id, unix_ms, unlink_if_same, user_id, wake,
};

#[cfg(all(target_os = "linux", not(loom)))]
mod linux;
#[cfg(all(target_os = "linux", not(loom)))]
pub use linux::{default_directory, features, host, now_ms, sleep, sleep_any, wake};

#[cfg(all(target_os = "macos", not(loom)))]
mod macos;
#[cfg(all(target_os = "macos", not(loom)))]
pub use macos::{default_directory, features, host, now_ms, sleep, sleep_any, wake};

#[cfg(all(any(target_os = "linux", target_os = "macos"), not(loom)))]
mod unix;
#[cfg(all(any(target_os = "linux", target_os = "macos"), not(loom)))]
pub use unix::{
    BUILDER, Directory, Draft, File, ForkLocked, Map, Pulse, UNFINISHED, check_directory, epoch, errno_is_no_space,
    map_plain_file, thread_id, unlink_if_same, user_id,
};
#[cfg(all(any(target_os = "linux", target_os = "macos"), feature = "crash-points", not(loom)))]
pub use unix::{die, stop_self};

#[cfg(all(windows, not(loom)))]
mod windows;
#[cfg(all(windows, not(loom)))]
pub use windows::{
    BUILDER, Directory, Draft, File, ForkLocked, Map, Pulse, UNFINISHED, check_directory, default_directory, epoch,
    errno_is_no_space, features, host, map_plain_file, now_ms, sleep, sleep_any, thread_id, unlink_if_same, user_id,
    wake,
};
#[cfg(all(windows, feature = "crash-points", not(loom)))]
pub use windows::{die, stop_self};

#[cfg(not(any(target_os = "linux", target_os = "macos", windows, loom)))]
compile_error!(
    "penstock-core has no operating-system layer for this target yet: see src/sys/mod.rs for what one provides"
);

/// What a segment's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backing {
    /// Those of its file, which stays until it is removed.
    File,
    /// Memory that need not outlive its users, where the system has such a thing under a name.
    Memory,
}

/// Why a sleep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slept {
    /// Woken, or the word had changed already.
    Woken,
    /// The bound passed.
    TimedOut,
    /// A signal arrived. Never so on Windows.
    Interrupted,
}

//! macOS 14.4 and newer: files of the user's own cache, open-file-description locks, `os_sync` waits on shared words.
//!
//! It has been type-checked, and never run. docs/platforms.md tells what differs for a user.

mod file_system;
mod process;
mod pulse;
mod sleeping;

pub use process::{default_directory, features, host, now_ms};
pub use sleeping::{sleep, sleep_any, wake};

pub(super) use file_system::{
    FILE_SYSTEMS, commit_raw, descriptor_path, file_system, grow, open_again, open_unnamed, size_raw,
};
pub(super) use process::{ready_parent_of, thread_number, wipe_on_fork};
pub(super) use pulse::{ASK_LOCK, Pin, SET_LOCK, TOO_MANY_KEPT};

//! Linux: tmpfs files, open-file-description locks held by maps, futexes.

mod features;
mod file_system;
mod process;
mod pulse;
mod sleeping;

pub use features::features;
pub use process::{default_directory, host, now_ms};
pub use sleeping::{sleep, sleep_any, wake};

pub(super) use file_system::{
    FILE_SYSTEMS, commit_raw, descriptor_path, file_system, grow, open_again, open_unnamed, size_raw,
};
pub(super) use process::{ready_parent_of, thread_number, wipe_on_fork};
pub(super) use pulse::{ASK_LOCK, Pin, SET_LOCK, TOO_MANY_KEPT};

//! A bounded first-in-first-out queue in shared memory that loses nothing when a process is killed at any instruction,
//! and the named mutex, semaphore, event and mapping that such a queue is made of.
//!
//! A file imports only files listed above it:
//! `error`, `name`, `deadline`, `atomic`, `layout`, `fault`, `sys`, `participant`, `segment`, `event`, `lock`, `spin`, `rings`, `slots`, `opening`, `queue`,
//! then the other named objects (`mutex`, `semaphore`, `signal`, `mapping`), `waiting`, `stats`, `listing` and `doctor`.

pub mod atomic;
pub mod deadline;
#[cfg(not(loom))]
pub mod doctor;
pub mod error;
pub mod event;
pub mod fault;
pub mod layout;
#[cfg(not(loom))]
pub mod listing;
pub mod lock;
#[cfg(not(loom))]
pub mod mapping;
pub mod mutex;
pub mod name;
mod opening;
pub mod participant;
pub mod queue;
pub mod rings;
pub mod segment;
pub mod semaphore;
pub mod signal;
pub mod slots;
pub mod spin;
pub mod stats;
pub mod sys;
pub mod waiting;

pub use deadline::Deadline;
pub use error::{Error, Result};
#[cfg(not(loom))]
pub use mapping::Mapping;
pub use mutex::Mutex;
pub use name::Location;
pub use queue::Queue;
pub use semaphore::Semaphore;
pub use signal::Event;

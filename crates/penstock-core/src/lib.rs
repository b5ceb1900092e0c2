//! A bounded first-in-first-out queue in shared memory that loses nothing when a process is killed at any instruction,
//! and the named mutex, semaphore, event and mapping that such a queue is made of.
//!
//! A file imports only files listed above it:
//! `error`, `name`, `deadline`, `atomic`, `layout`, `fault`, `sys`, `participant`, `segment`, `event`, `lock`, `spin`, `rings`, `slots`, `queue`,
//! then the other named objects, `stats` and `waiting`.

pub mod atomic;
pub mod deadline;
pub mod error;
pub mod event;
pub mod fault;
pub mod layout;
pub mod lock;
pub mod name;
pub mod participant;
pub mod queue;
pub mod rings;
pub mod segment;
pub mod slots;
pub mod spin;
pub mod sys;

pub use deadline::Deadline;
pub use error::{Error, Result};
pub use name::Location;
pub use queue::Queue;

//! What can go wrong, one variant for each thing a caller can do about it.

use std::fmt;

/// The result of a call on a segment.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call did not do what it was asked to. Every message names the object, the value and the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Not now: nothing to take. Nothing changed.
    Empty,
    /// Not now: no room. Nothing changed.
    Full,
    /// Not now: a peer held the lock for longer than the caller would wait. Nothing changed.
    Busy,
    /// The caller's own check during a wait asked to stop. Nothing changed.
    Interrupted,
    /// The queue takes no more items, or has no more to give.
    ShutDown,
    /// What exists differs from what was asked for.
    Mismatch {
        /// The object's name.
        name: String,
        /// Which property differs.
        what: &'static str,
        /// What exists.
        have: String,
        /// What was asked for.
        want: String,
    },
    /// Nothing lies under the name.
    NotFound {
        /// The object's name.
        name: String,
    },
    /// Something lies under the name already.
    Exists {
        /// The object's name.
        name: String,
    },
    /// The name was unlinked while this process was attached.
    Removed {
        /// The object's name.
        name: String,
    },
    /// The name cannot be a name.
    BadName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A parameter is outside its range.
    BadValue {
        /// Which parameter.
        what: &'static str,
        /// The value as given.
        value: String,
        /// The range it must lie in.
        limit: String,
    },
    /// The item is larger than the queue takes. Nothing changed.
    TooLarge {
        /// The queue's name.
        name: String,
        /// Size of the item.
        bytes: u64,
        /// Largest size the queue takes.
        limit: u64,
    },
    /// The file system has no room. Nothing changed.
    NoSpace {
        /// The object's name.
        name: String,
        /// How many bytes were asked for.
        bytes: u64,
    },
    /// The bytes of the segment cannot be.
    Corrupted {
        /// The object's name.
        name: String,
        /// What was found.
        what: String,
    },
    /// What lies under the name is not a segment.
    Foreign {
        /// The object's name.
        name: String,
        /// What it is instead.
        what: String,
    },
    /// The segment was made by a build with a later layout.
    NewerVersion {
        /// The object's name.
        name: String,
        /// The version found.
        found: u32,
        /// The version this build knows.
        known: u32,
    },
    /// The file or its directory belongs to another user, or others may write it.
    Untrusted {
        /// The object's name.
        name: String,
        /// Which condition failed.
        what: String,
    },
    /// The system cannot do what is needed here.
    Unsupported {
        /// The object's name.
        name: String,
        /// What is missing.
        what: String,
    },
    /// Every participant's number is taken by a living process.
    TooManyProcesses {
        /// The object's name.
        name: String,
        /// How many may attach.
        limit: u32,
    },
    /// The caller does not hold what it releases.
    NotOwner {
        /// The object's name.
        name: String,
    },
    /// More was given back than had been taken.
    OverRelease {
        /// The object's name.
        name: String,
        /// What was given back.
        what: String,
    },
    /// The lease or reservation is not this process's to settle any more.
    LeaseLost {
        /// The queue's name.
        name: String,
        /// Why it is lost.
        what: &'static str,
    },
    /// The operating system said no.
    Os {
        /// The object's name.
        name: String,
        /// What was tried.
        what: &'static str,
        /// The system's error number.
        errno: i32,
    },
}

const PLACE_OF_BYTES: &str =
    if cfg!(windows) { "its file system, or the page file if it lives while it is open" } else { "its file system" };

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Empty => write!(f, "nothing to take"),
            Error::Full => write!(f, "no room"),
            Error::Busy => write!(f, "a peer holds the lock"),
            Error::Interrupted => write!(f, "interrupted"),
            Error::ShutDown => write!(f, "shut down"),
            Error::Mismatch { name, what, have, want } => {
                write!(
                    f,
                    "'{name}' exists with {what} {have}, but {want} was asked for: leave the parameter out to take what is there, or choose another name"
                )
            }
            Error::NotFound { name } => {
                write!(f, "'{name}' does not exist: create it first, or check the name and the directory")
            }
            Error::Exists { name } => write!(f, "'{name}' exists already: open it, or unlink it first"),
            Error::Removed { name } => write!(f, "'{name}' was removed while it was in use: open or create it again"),
            Error::BadName { name, why } => write!(f, "{name:?} cannot be a name: {why}"),
            Error::BadValue { what, value, limit } => write!(f, "{what} is {value}; it must be {limit}"),
            Error::TooLarge { name, bytes, limit } => {
                write!(
                    f,
                    "item is {bytes} bytes; '{name}' takes at most {limit}: create the queue with a larger max_item_bytes"
                )
            }
            Error::NoSpace { name, bytes } => write!(
                f,
                "no room for {bytes} more bytes of '{name}' in {PLACE_OF_BYTES}: free some, enlarge it (Docker: --shm-size), or choose another directory"
            ),
            Error::Corrupted { name, what } => write!(f, "'{name}' is damaged: {what}; unlink it and create it anew"),
            Error::Foreign { name, what } => write!(
                f,
                "what lies under '{name}' is {what}, which is of no use here: remove it, or choose another name"
            ),
            Error::NewerVersion { name, found, known } => {
                write!(
                    f,
                    "'{name}' has layout version {found}; this build knows {known}: update penstock here, or unlink it"
                )
            }
            Error::Untrusted { name, what } => write!(f, "'{name}' is not trusted: {what}"),
            Error::Unsupported { name, what } => write!(f, "'{name}' cannot be used: {what}"),
            Error::TooManyProcesses { name, limit } => {
                write!(f, "'{name}' has {limit} living processes attached, which is the limit: close some")
            }
            Error::NotOwner { name } => write!(f, "this thread does not hold '{name}'"),
            Error::OverRelease { name, what } => write!(f, "'{name}': {what}"),
            Error::LeaseLost { name, what } => write!(f, "'{name}': {what}"),
            Error::Os { name, what, errno } => {
                write!(f, "'{name}': {what} failed: {}", words_for(*errno))
            }
        }
    }
}

/// The system's words for an error number, without the number: exceptions carry it apart.
fn words_for(errno: i32) -> String {
    let words = std::io::Error::from_raw_os_error(errno).to_string();
    words.split(" (os error").next().unwrap_or_default().to_owned()
}

impl std::error::Error for Error {}

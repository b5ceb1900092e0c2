//! Where an object lives: directory and name, or a file of the user's own.

use penstock_core::segment::{Lifetime, Trust};
use penstock_core::{Error, Location, listing, name, sys};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is to happen if the object exists or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It must exist.
    Open,
    /// It must not.
    Create,
    /// Either.
    OpenOrCreate,
}

impl How {
    /// Reads the word.
    pub fn from_word(word: &str) -> PyResult<How> {
        match word {
            "open" => Ok(How::Open),
            "create" => Ok(How::Create),
            "open_or_create" => Ok(How::OpenOrCreate),
            _ => {
                Err(PyValueError::new_err(format!("how is {word:?}; it must be 'open', 'create' or 'open_or_create'")))
            }
        }
    }
}

/// The lifetime that a word names.
pub fn lifetime(word: Option<&str>) -> PyResult<Option<Lifetime>> {
    match word {
        None => Ok(None),
        Some("until_unlinked") => Ok(Some(Lifetime::UntilUnlinked)),
        Some("while_open") => Ok(Some(Lifetime::WhileOpen)),
        Some(word) => {
            Err(PyValueError::new_err(format!("lifetime is {word:?}; it must be 'until_unlinked' or 'while_open'")))
        }
    }
}

/// The word for a lifetime.
pub fn lifetime_word(lifetime: Lifetime) -> &'static str {
    match lifetime {
        Lifetime::UntilUnlinked => "until_unlinked",
        Lifetime::WhileOpen => "while_open",
    }
}

/// How long a new object stays: until unlinked unless said otherwise, a private one (without a name) while it is open.
pub fn lifetime_or_usual(given: Option<Lifetime>, name: &str) -> Lifetime {
    given.unwrap_or(if name.is_empty() { Lifetime::WhileOpen } else { Lifetime::UntilUnlinked })
}

/// Whom to trust.
pub fn trust(anyone: bool) -> Trust {
    if anyone { Trust::Anyone } else { Trust::OwnOnly }
}

/// The directory that is meant; an empty string means the default one.
pub fn directory(given: &str) -> PathBuf {
    if given.is_empty() { sys::default_directory() } else { PathBuf::from(given) }
}

/// Finds the place. An empty name makes one up, for a private object.
///
/// # Errors
/// `BadName`; `Untrusted` for a directory that is not ours alone, unless it is trusted.
pub fn locate(given: &str, name: &str, path: Option<&str>, trust: bool) -> Result<Location, Error> {
    if let Some(path) = path {
        return Location::file(Path::new(path));
    }
    let directory = directory(given);
    match sys::check_directory(&directory) {
        Err(Error::Untrusted { .. }) if trust => {}
        checked => drop(checked?),
    }
    if name.is_empty() {
        sweep_once(&directory);
        return Ok(Location::hidden(&directory, &made_up_name()));
    }
    if is_made_up(name) {
        return Ok(Location::hidden(&directory, name));
    }
    Location::named(&directory, name)
}

/// Private objects go with their last user; where all were killed nobody was left to see to it. Whoever makes the next
/// one does, once in its life: nobody would ever look for a name that was made up.
fn sweep_once(directory: &Path) {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| {
        // What cannot be swept now is no reason to refuse a new object; `penstock rm --stale` says what is wrong.
        let _ = listing::remove_stale(directory);
    });
}

const MADE_UP: &str = ".private-";

fn is_made_up(name: &str) -> bool {
    name.len() <= name::NAME_MAX_BYTES
        && name
            .strip_prefix(MADE_UP)
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

/// Unique on this machine: process, moment and count. Whoever meets it all the same gets `Exists`.
fn made_up_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{MADE_UP}{:x}-{:x}-{count:x}", sys::process_id(), sys::unix_ms())
}

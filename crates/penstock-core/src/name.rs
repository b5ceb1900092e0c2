//! A name is checked once, at the door, so that it can be one entry of a directory and nothing else.

use crate::error::{Error, Result};
use crate::sys;
use std::path::{Path, PathBuf};

/// Longest name, in bytes of UTF-8: leaves room below every file system's 255.
pub const NAME_MAX_BYTES: usize = 200;

/// Entries that start with this belong to penstock itself: private objects and unfinished files.
pub const HIDDEN_PREFIX: char = '.';

/// Where a segment lives: the name that messages show, and the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// What messages show.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// True if the user named a file of his own rather than an entry of the shared directory.
    pub is_file: bool,
}

impl Location {
    /// Names an entry of the shared directory `directory`.
    ///
    /// # Errors
    /// `BadName` if `name` cannot be one entry of a directory, or would be taken for one of penstock's own.
    pub fn named(directory: &Path, name: &str) -> Result<Location> {
        let bad = |why| Err(Error::BadName { name: shortened(name), why });
        if name.is_empty() {
            return bad("it is empty");
        }
        if name.len() > NAME_MAX_BYTES {
            return bad("it is longer than 200 bytes");
        }
        if name.starts_with(HIDDEN_PREFIX) {
            return bad("names that start with '.' are penstock's own");
        }
        if name.contains('/') || name.chars().any(char::is_control) {
            return bad("'/' and control characters cannot stand in a name");
        }
        Ok(Location { name: name.to_owned(), path: directory.join(sys::entry_for(name)), is_file: false })
    }

    /// Names an entry that penstock made up itself (a private object).
    #[must_use]
    pub fn hidden(directory: &Path, name: &str) -> Location {
        Location { name: name.to_owned(), path: directory.join(name), is_file: false }
    }

    /// Names a file of the user's own.
    ///
    /// # Errors
    /// `BadName` if the path does not end in a file's name or holds a NUL.
    pub fn file(path: &Path) -> Result<Location> {
        let name = path.display().to_string();
        if path.file_name().is_none() || name.contains('\0') {
            return Err(Error::BadName { name: shortened(&name), why: "it does not end in a file's name" });
        }
        let path =
            std::path::absolute(path).map_err(|_| Error::BadName { name: shortened(&name), why: "it is no path" })?;
        Ok(Location { name, path, is_file: true })
    }
}

/// A message must stay readable whatever was given as a name.
fn shortened(name: &str) -> String {
    if name.chars().count() <= 80 {
        name.to_owned()
    } else {
        format!("{}...", name.chars().take(77).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        for name in ["", ".", "..", ".hidden", "a/b", "/etc/passwd", "a\0b", "a\nb", &"x".repeat(201)] {
            assert!(matches!(Location::named(Path::new("/d"), name), Err(Error::BadName { .. })), "{name:?}");
        }
    }

    #[test]
    fn ordinary_names_become_entries_of_the_directory() {
        for name in ["jobs", "Größe 7", "a.b-c_d", &"x".repeat(200)] {
            let location = Location::named(Path::new("/d"), name).expect("a good name");
            assert_eq!(location.path, Path::new("/d").join(name));
        }
    }
}

//! A name is checked once, at the door, so that it can be one entry of a directory and nothing else.

use crate::error::{Error, Result};
use std::fmt::Write as _;
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
        Ok(Location { name: name.to_owned(), path: directory.join(entry_for(name)), is_file: false })
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

/// Characters that a file's name cannot have on Windows, and the one that stands for them.
const FORBIDDEN: &str = "<>:\"/\\|?*%";

/// Names that are devices in every directory, with or without an ending.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    let is_numbered =
        |kind: &str| stem.strip_prefix(kind).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit());
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || is_numbered("COM")
        || is_numbered("LPT")
}

/// The file's name for `name`: the same, but on Windows, which keeps some for itself.
fn entry_for(name: &str) -> String {
    if cfg!(windows) { escaped(name) } else { name.to_owned() }
}

/// The name whose file is called `entry`.
#[must_use]
pub fn name_of(entry: &str) -> String {
    if cfg!(windows) { unescaped(entry) } else { entry.to_owned() }
}

/// `name` as Windows takes it: what it keeps for itself is written `%3A`.
fn escaped(name: &str) -> String {
    let mut entry = String::with_capacity(name.len());
    let last = name.chars().count().saturating_sub(1);
    let first_is_device = is_device(name);
    for (place, letter) in name.chars().enumerate() {
        let is_lost_at_end = place == last && matches!(letter, '.' | ' ');
        if FORBIDDEN.contains(letter) || is_lost_at_end || (first_is_device && place == 0) {
            let _ = write!(entry, "%{:02X}", u32::from(letter));
        } else {
            entry.push(letter);
        }
    }
    entry
}

/// The name that [`escaped`] made `entry` of.
fn unescaped(entry: &str) -> String {
    let mut name = String::with_capacity(entry.len());
    let mut rest = entry;
    while let Some((before, after)) = rest.split_once('%') {
        name.push_str(before);
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                name.push(char::from(code));
                rest = &after[2..];
            }
            None => {
                name.push('%');
                rest = after;
            }
        }
    }
    name + rest
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
    #[test]
    fn what_windows_keeps_for_itself_is_escaped_and_comes_back() {
        for (name, entry) in [("a:b", "a%3Ab"), ("con", "%63on"), ("nul.txt", "%6Eul.txt"), ("end.", "end%2E")] {
            assert_eq!(escaped(name), entry);
        }
        for name in ["a:b", "COM1", "com10", "a\\b", "50%", "100%41", "x ", "Größe 7", "..x", "<|>?*"] {
            let entry = escaped(name);
            assert_eq!(unescaped(&entry), name);
            assert!(!entry.contains(['<', '>', ':', '"', '/', '\\', '|', '?', '*']), "{entry}");
        }
    }
}

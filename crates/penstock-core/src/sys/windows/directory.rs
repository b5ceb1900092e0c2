//! The directory of names, and how a name becomes a file's.

use super::file::{Access, identify, open_raw};
use super::trust::{Private, owner_and_mode};
use super::{host, last_error, os_error, wide};
use crate::error::{Error, Result};
use std::fmt::Write as _;
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};
use windows_sys::Win32::Foundation::ERROR_ALREADY_EXISTS;
use windows_sys::Win32::Storage::FileSystem::{CreateDirectoryW, GetDiskFreeSpaceExW};

/// The directory in which names live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(pub PathBuf);

fn all_boots() -> PathBuf {
    let local = std::env::var_os("LOCALAPPDATA").filter(|dir| !dir.is_empty());
    local.map_or_else(std::env::temp_dir, PathBuf::from).join("penstock")
}

/// `$PENSTOCK_DIR`, else one in the user's local data, anew for each start of the machine: names go with a restart.
#[must_use]
pub fn default_directory() -> PathBuf {
    match std::env::var_os("PENSTOCK_DIR") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => all_boots().join(format!("{:016x}", host().boot_id[0])),
    }
}

/// Makes `path` if it is missing, for this user alone, and refuses one that is not ours or that others may enter.
///
/// # Errors
/// `Untrusted` for a directory of another user, a link, or one open to others; `Os` if it cannot be made.
pub fn check_directory(path: &Path) -> Result<Directory> {
    let name = path.display().to_string();
    if path.starts_with(all_boots()) && !path.exists() {
        remove_earlier_boots(&name)?;
    }
    make(&name, path)?;
    let handle = open_raw(path, Access::Look).map_err(|_| os_error(&name, "looking at the directory"))?;
    let facts = identify(handle.as_raw_handle()).ok_or_else(|| os_error(&name, "looking at the directory"))?;
    let untrusted = |what: String| Err(Error::Untrusted { name: name.clone(), what });
    if !facts.is_directory || facts.is_link {
        return untrusted("it is not a directory; remove it, or set PENSTOCK_DIR to another".into());
    }
    let (owner, mode) = owner_and_mode(handle.as_raw_handle()).map_err(|errno| Error::Os {
        name: name.clone(),
        what: "asking for the directory's owner",
        errno: errno.cast_signed(),
    })?;
    if owner != super::user_id() {
        return untrusted(format!(
            "it belongs to user {owner}, not to user {}; set PENSTOCK_DIR to a directory of your own",
            super::user_id()
        ));
    }
    if mode & 0o077 != 0 {
        return untrusted("others may enter it; take their rights away, or set PENSTOCK_DIR to another".into());
    }
    Ok(Directory(path.to_owned()))
}

fn make(name: &str, path: &Path) -> Result<()> {
    let private = Private::new("OICI").map_err(|errno| Error::Os {
        name: name.to_owned(),
        what: "making the directory private",
        errno: errno.cast_signed(),
    })?;
    let attributes = private.attributes();
    // SAFETY: a path that ends with a NUL, and attributes that live through the call.
    let made = unsafe { CreateDirectoryW(wide(path).as_ptr(), &raw const attributes) };
    if made == 0 && last_error() != ERROR_ALREADY_EXISTS {
        return Err(os_error(name, "making the directory"));
    }
    Ok(())
}

/// Of an earlier start of the machine nobody lives. What cannot be removed does no harm, and is tried again next time.
fn remove_earlier_boots(name: &str) -> Result<()> {
    let all = all_boots();
    make(name, &all)?;
    let current = default_directory();
    for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
        if entry.path() != current {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

impl Directory {
    /// Name, free bytes and all bytes of the directory's file system.
    ///
    /// # Errors
    /// `Os` if it cannot be asked.
    pub fn room(&self) -> Result<(String, u64, u64)> {
        let name = self.0.display().to_string();
        let (mut free, mut total) = (0, 0);
        let path = wide(&self.0);
        // SAFETY: a path that ends with a NUL, and valid places for the answers.
        let told = unsafe { GetDiskFreeSpaceExW(path.as_ptr(), &raw mut free, &raw mut total, std::ptr::null_mut()) };
        if told == 0 {
            return Err(os_error(&name, "asking for its file system"));
        }
        let kind = open_raw(&self.0, Access::Look)
            .ok()
            .and_then(|handle| super::file::file_system(handle.as_raw_handle()))
            .unwrap_or_else(|| "unknown".to_owned());
        Ok((kind, free, total))
    }
}

/// Characters that a file's name cannot have here, and the one that stands for them.
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

/// The file's name for `name`, which may have any character: those that Windows keeps for itself are written `%3A`.
#[must_use]
pub fn entry_for(name: &str) -> String {
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

/// The name that [`entry_for`] made `entry` of.
#[must_use]
pub fn name_of(entry: &str) -> String {
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

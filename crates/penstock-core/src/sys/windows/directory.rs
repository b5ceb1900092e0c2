//! The directory of names.

use super::file::{Access, identify, open_raw};
use super::trust::{Private, owner_and_mode};
use super::{host, last_error, os_error, wide};
use crate::error::{Error, Result};
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

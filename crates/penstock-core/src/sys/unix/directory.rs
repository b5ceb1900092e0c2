//! The directory of names.

use super::file::lstat;
use super::{c_path, last_errno, os_error, system, user_id};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The directory in which names live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory(pub PathBuf);

/// Makes `path` if it is missing (mode 0700) and refuses one that is not ours or that others may enter.
///
/// # Errors
/// `Untrusted` for a directory of another user, a link, or one open to others; `Os` if it cannot be made.
pub fn check_directory(path: &Path) -> Result<Directory> {
    let name = path.display().to_string();
    system::ready_parent_of(path);
    let c = c_path(path);
    // SAFETY: `c` is a C string; mkdir has no memory effects.
    if unsafe { libc::mkdir(c.as_ptr(), 0o700) } != 0 && last_errno() != libc::EEXIST {
        return Err(os_error(&name, "making the directory"));
    }
    let facts = lstat(&c).ok_or_else(|| os_error(&name, "looking at the directory"))?;
    let untrusted = |what: String| Err(Error::Untrusted { name: name.clone(), what });
    if facts.st_mode & libc::S_IFMT != libc::S_IFDIR {
        return untrusted("it is not a directory; remove it, or set PENSTOCK_DIR to another".into());
    }
    if facts.st_uid != user_id() {
        return untrusted(format!(
            "it belongs to user {}, not to user {}; set PENSTOCK_DIR to a directory of your own",
            facts.st_uid,
            user_id()
        ));
    }
    if facts.st_mode & 0o077 != 0 {
        return untrusted(format!(
            "its mode is {:o}, so others may enter it; chmod it to 700, or set PENSTOCK_DIR to another",
            facts.st_mode & 0o7777
        ));
    }
    Ok(Directory(path.to_owned()))
}

impl Directory {
    /// Name, free bytes and all bytes of the directory's file system.
    ///
    /// # Errors
    /// `Os` if it cannot be asked.
    pub fn room(&self) -> Result<(String, u64, u64)> {
        let name = self.0.display().to_string();
        // SAFETY: all-zero bytes are a valid `statfs` to be written over.
        let mut st: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: a C string and a valid place for the answer.
        if unsafe { libc::statfs(c_path(&self.0).as_ptr(), &raw mut st) } != 0 {
            return Err(os_error(&name, "asking for its file system"));
        }
        #[allow(
            clippy::cast_sign_loss,
            clippy::unnecessary_cast,
            reason = "a block size is positive; the field's type varies"
        )]
        let block = st.f_bsize as u64;
        let (kind, _) = system::file_system(&st);
        Ok((kind, st.f_bavail * block, st.f_blocks * block))
    }
}

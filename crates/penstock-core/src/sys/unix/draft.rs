//! Files that nobody can see until they are complete.

use super::file::File;
use super::pulse::{try_lock, unlock};
use super::{c_path, errno_is_no_space, last_errno, open_raw, os_error, system, thread_id};
use crate::error::{Error, Result};
use crate::fault::Remedy;
use crate::sys::{Backing, process_id, unix_ms};
use std::path::{Path, PathBuf};

/// How the names of files begin that are being built where the file system has no unnamed ones.
pub const UNFINISHED: &str = ".unfinished-";

/// The number at which who builds such a file has his sign of life; no participant has it.
pub const BUILDER: u32 = 0;

/// A file that is built completely before anybody can see it.
#[derive(Debug)]
pub struct Draft {
    location: PathBuf,
    /// Set where the file system has no unnamed files: the name it has meanwhile.
    temporary: Option<PathBuf>,
}

impl Draft {
    /// Starts a file of `len` bytes beside `path`, none of them committed. Memory is a file here as well.
    ///
    /// # Errors
    /// `Untrusted` where the directory cannot be written, `NoSpace`, `Os`.
    pub fn begin(name: &str, path: &Path, len: u64, _backing: Backing) -> Result<(Draft, File)> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        let mut temporary = None;
        let mut fd = system::open_unnamed(parent);
        if fd < 0 && matches!(last_errno(), libc::EOPNOTSUPP | libc::EISDIR | libc::EINVAL) {
            let made_up = parent.join(format!("{UNFINISHED}{}-{}-{}", process_id(), thread_id(), unix_ms()));
            fd = open_raw(&c_path(&made_up), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW);
            if fd >= 0 {
                try_lock(fd, BUILDER, 1); // says that somebody builds it, for as long as the descriptor is open
            }
            temporary = Some(made_up);
        }
        if fd < 0 {
            return match last_errno() {
                libc::EACCES | libc::EPERM | libc::EROFS => Err(Error::Untrusted {
                    name: name.to_owned(),
                    what: format!("this user may not write in {}", parent.display()),
                }),
                errno if errno_is_no_space(errno) => Err(Error::NoSpace { name: name.to_owned(), bytes: len }),
                _ => Err(os_error(name, "making its file")),
            };
        }
        let draft = Draft { location: path.to_owned(), temporary };
        let (file, _) = File::from_raw(name, path, fd)?;
        system::size_raw(fd, name, len)?;
        // The creator's umask must not decide who may attach.
        // SAFETY: no memory is passed.
        if unsafe { libc::fchmod(fd, 0o600) } != 0 {
            return Err(os_error(name, "setting its mode"));
        }
        Ok((draft, file))
    }

    /// Gives the finished file its name, at once and only if the name is free.
    ///
    /// # Errors
    /// `Exists` if somebody was first; `NoSpace`, `Os`.
    pub fn publish(&self, file: &File, name: &str) -> Result<()> {
        let from = match &self.temporary {
            Some(path) => c_path(path),
            None => system::descriptor_path(file.checked(name)?),
        };
        if !Remedy::NameIsGivenOnce.is_on() {
            let _ = std::fs::remove_file(&self.location);
        }
        // SAFETY: C strings only.
        let linked = unsafe {
            libc::linkat(
                libc::AT_FDCWD,
                from.as_ptr(),
                libc::AT_FDCWD,
                c_path(&self.location).as_ptr(),
                libc::AT_SYMLINK_FOLLOW,
            )
        };
        if linked == 0 {
            if self.temporary.is_some() {
                unlock(file.checked(name)?, BUILDER, 1); // it is built; recovery after a restart asks for the same lock
            }
            return Ok(());
        }
        match last_errno() {
            libc::EEXIST => Err(Error::Exists { name: name.to_owned() }),
            errno if errno_is_no_space(errno) => Err(Error::NoSpace { name: name.to_owned(), bytes: 0 }),
            _ => Err(os_error(name, "giving it its name")),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // SAFETY: a C string.
            unsafe { libc::unlink(c_path(temporary).as_ptr()) };
        }
    }
}

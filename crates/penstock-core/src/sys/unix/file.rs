//! Files: what they are, and open ones of ours.

use super::map::Map;
use super::{c_path, close_raw, last_errno, open_raw, os_error, system};
use crate::error::{Error, Result};
use crate::fault::Remedy;
use crate::sys::Facts;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};

impl Facts {
    fn is_same_file(&self, other: &Facts) -> bool {
        self.device == other.device && self.inode == other.inode
    }
}

// These fields are of other types on other systems.
#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "i32 on macOS")]
fn device_of(st: &libc::stat) -> u64 {
    st.st_dev as u64
}

#[allow(clippy::unnecessary_cast, reason = "u32 on aarch64, u16 on macOS")]
fn links_of(st: &libc::stat) -> u64 {
    st.st_nlink as u64
}

#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "u16 on macOS")]
fn mode_of(st: &libc::stat) -> u32 {
    st.st_mode.into()
}

fn facts_of(st: &libc::stat) -> Facts {
    Facts {
        device: device_of(st),
        inode: st.st_ino,
        links: links_of(st),
        user: st.st_uid,
        mode: mode_of(st) & 0o7777,
        len: st.st_size.unsigned_abs(),
        committed: st.st_blocks.unsigned_abs() * 512,
        is_regular: st.st_mode & libc::S_IFMT == libc::S_IFREG,
    }
}

pub(super) fn fstat(fd: i32) -> Option<Facts> {
    // SAFETY: all-zero bytes are a valid `stat` to be written over.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `st` is a valid place for the answer; a bad descriptor is an error, not a fault.
    (unsafe { libc::fstat(fd, &raw mut st) } == 0).then(|| facts_of(&st))
}

/// An open file of ours. Its descriptor is checked before each use, because a program may have closed it under us
/// (`os.closerange`, a daemon's start) and opened something else at the same number.
#[derive(Debug)]
pub struct File {
    fd: AtomicI32,
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl File {
    /// Opens `path` without following a link or waiting for a FIFO.
    ///
    /// # Errors
    /// `NotFound`, `Foreign` for anything but a regular file, `Untrusted` where access is denied, else `Os`.
    pub fn open(name: &str, path: &Path) -> Result<(File, Facts)> {
        let fd = open_raw(&c_path(path), libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK);
        if fd < 0 {
            let foreign = |what: &str| Err(Error::Foreign { name: name.to_owned(), what: what.to_owned() });
            return match last_errno() {
                libc::ENOENT | libc::ENOTDIR => Err(Error::NotFound { name: name.to_owned() }),
                libc::ELOOP => foreign("a symbolic link"),
                libc::EISDIR => foreign("a directory"),
                libc::ENXIO => foreign("a socket or device"),
                libc::EACCES | libc::EPERM => {
                    Err(Error::Untrusted { name: name.to_owned(), what: "this user may not read and write it".into() })
                }
                _ => Err(os_error(name, "opening it")),
            };
        }
        File::from_raw(name, path, fd)
    }

    pub(super) fn from_raw(name: &str, path: &Path, fd: i32) -> Result<(File, Facts)> {
        let Some(facts) = fstat(fd) else {
            let error = os_error(name, "looking at it");
            close_raw(fd);
            return Err(error);
        };
        let file = File { fd: AtomicI32::new(fd), path: path.to_owned(), device: facts.device, inode: facts.inode };
        if !facts.is_regular {
            return Err(Error::Foreign { name: name.to_owned(), what: "a FIFO, socket or device".into() });
        }
        Ok((file, facts))
    }

    fn is_ours(&self, facts: &Facts) -> bool {
        facts.device == self.device && facts.inode == self.inode
    }

    /// The descriptor, proven to be this file's still; reopened by path if it was closed under us.
    pub(in crate::sys) fn checked(&self, name: &str) -> Result<i32> {
        let fd = self.fd.load(Ordering::Acquire);
        if fstat(fd).is_some_and(|facts| self.is_ours(&facts)) || !Remedy::DescriptorsAreChecked.is_on() {
            return Ok(fd);
        }
        let again = open_raw(&c_path(&self.path), libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK);
        if again < 0 || !fstat(again).is_some_and(|facts| self.is_ours(&facts)) {
            if again >= 0 {
                close_raw(again);
            }
            return Err(Error::Removed { name: name.to_owned() });
        }
        // Another thread may have repaired it meanwhile: then its descriptor stays and ours goes.
        if self.fd.compare_exchange(fd, again, Ordering::AcqRel, Ordering::Acquire).is_err() {
            close_raw(again);
            return self.checked(name);
        }
        Ok(again)
    }

    /// The facts as they are now.
    ///
    /// # Errors
    /// `Removed` if the descriptor was closed under us and the name is gone.
    pub fn facts(&self, name: &str) -> Result<Facts> {
        let fd = self.checked(name)?;
        fstat(fd).ok_or_else(|| os_error(name, "looking at it"))
    }

    /// Has the file system give the bytes now, so that a later store cannot be how we find out that it is full.
    ///
    /// # Errors
    /// `NoSpace`, or `Os`. Bytes given so far stay given.
    pub fn commit(&self, name: &str, offset: u64, bytes: u64) -> Result<()> {
        system::commit_raw(self.checked(name)?, name, offset, bytes)
    }

    /// Another descriptor of the same file with locks of its own.
    pub(in crate::sys) fn reopen(&self, name: &str) -> Result<i32> {
        let fd = self.checked(name)?;
        let mut again = system::open_again(fd);
        if again < 0 {
            again = open_raw(&c_path(&self.path), libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK);
        }
        if again < 0 {
            return Err(os_error(name, "opening it a second time"));
        }
        if fstat(again).is_some_and(|facts| self.is_ours(&facts)) {
            return Ok(again);
        }
        close_raw(again);
        Err(Error::Removed { name: name.to_owned() })
    }

    /// True if the path names this very file still.
    #[must_use]
    pub fn is_at_its_path(&self) -> bool {
        lstat(&c_path(&self.path)).is_some_and(|st| self.is_ours(&facts_of(&st)))
    }

    /// Reads up to `out.len()` bytes at the start; returns how many there were.
    ///
    /// # Errors
    /// `Os`.
    pub fn read_start(&self, name: &str, out: &mut [u8]) -> Result<usize> {
        let fd = self.checked(name)?;
        // SAFETY: `out` is valid for writes of its length.
        let n = unsafe { libc::pread(fd, out.as_mut_ptr().cast(), out.len(), 0) };
        usize::try_from(n).map_err(|_| os_error(name, "reading it"))
    }

    /// Maps the first `len` bytes, shared.
    ///
    /// # Errors
    /// `Os` if there is no address space.
    pub fn map(&self, name: &str, len: usize, writable: bool) -> Result<Map> {
        Map::of(self.checked(name)?, name, len, writable)
    }

    /// Refuses a file system on which locks or shared maps do not mean what they must.
    ///
    /// # Errors
    /// `Unsupported`, naming the file system.
    pub fn check_file_system(&self, name: &str) -> Result<()> {
        let fd = self.checked(name)?;
        // SAFETY: all-zero bytes are a valid `statfs` to be written over.
        let mut st: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: `st` is a valid place for the answer.
        if unsafe { libc::fstatfs(fd, &raw mut st) } != 0 {
            return Err(os_error(name, "asking for its file system"));
        }
        let (kind, is_known) = system::file_system(&st);
        if is_known || !Remedy::KnownFileSystemsOnly.is_on() {
            return Ok(());
        }
        Err(Error::Unsupported {
            name: name.to_owned(),
            what: format!(
                "its file system ({kind}) is not one on which locks and shared memory are known to hold ({}); choose another directory",
                system::FILE_SYSTEMS
            ),
        })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let fd = self.fd.load(Ordering::Acquire);
        // Never close what somebody else has opened at our number meanwhile.
        if fstat(fd).is_some_and(|facts| self.is_ours(&facts)) {
            close_raw(fd);
        }
    }
}

pub(super) fn lstat(c: &CStr) -> Option<libc::stat> {
    // SAFETY: all-zero bytes are a valid `stat` to be written over.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `c` is a C string and `st` a valid place for the answer.
    (unsafe { libc::lstat(c.as_ptr(), &raw mut st) } == 0).then_some(st)
}

/// Unlinks `path` if it still names the file `facts` were taken of. Returns whether it did.
///
/// # Errors
/// `Os` if the system refuses.
pub fn unlink_if_same(path: &Path, facts: &Facts) -> Result<bool> {
    let c = c_path(path);
    match lstat(&c) {
        Some(st) if facts_of(&st).is_same_file(facts) => {}
        _ => return Ok(false),
    }
    // SAFETY: `c` is a C string.
    if unsafe { libc::unlink(c.as_ptr()) } == 0 {
        return Ok(true);
    }
    if last_errno() == libc::ENOENT {
        Ok(false)
    } else {
        Err(os_error(&path.display().to_string(), "removing the name"))
    }
}

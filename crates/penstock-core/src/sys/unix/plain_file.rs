//! The user's own files as memory: plain `mmap`, without a header, a participant or a lock in it.
//!
//! Any file system will do, because nothing here needs more of it than a shared map: no signs of life, no waiting.

use super::file::{fstat, unlink_if_same};
use super::map::Map;
use super::{c_path, close_raw, errno_is_no_space, last_errno, open_raw, os_error, system};
use crate::error::{Error, Result};
use crate::sys::Facts;
use std::path::Path;

/// Maps the first `bytes` of the file `path`, all of it if `None`. A writable file that is shorter, or not there, is
/// made so long first, and given its room, so that a full file system is an error here and no SIGBUS later. (Holes that
/// a sparse file had before stay holes, and on file systems without `fallocate` new bytes are written as zeros.)
///
/// # Errors
/// `NotFound`, `Foreign` for anything but a regular file, `Untrusted` where access is denied, `BadValue` for a size that
/// cannot be, `NoSpace`, `Os`. A file that was there is as long as it was; one that was not is not.
pub fn map_plain_file(name: &str, path: &Path, bytes: Option<u64>, writable: bool) -> Result<(Map, Facts)> {
    let (fd, is_new) = open_plain(name, path, writable, bytes.is_some())?;
    let mapped = map_opened(name, fd, bytes, writable);
    if mapped.is_err()
        && is_new
        && let Some(facts) = fstat(fd)
    {
        let _ = unlink_if_same(path, &facts);
    }
    close_raw(fd); // the map holds the file by itself
    mapped
}

/// Opens the file; makes it if it may be made and is not there. Unlike a segment's, a link is followed.
fn open_plain(name: &str, path: &Path, writable: bool, has_size: bool) -> Result<(i32, bool)> {
    const TRIES: u32 = 10;
    let c = c_path(path);
    let access = if writable { libc::O_RDWR } else { libc::O_RDONLY };
    for _ in 0..TRIES {
        let fd = open_raw(&c, access | libc::O_NONBLOCK | libc::O_NOCTTY);
        if fd >= 0 {
            return Ok((fd, false));
        }
        if last_errno() != libc::ENOENT || !writable || !has_size {
            return Err(refused(name, writable));
        }
        let fd = open_raw(&c, access | libc::O_CREAT | libc::O_EXCL | libc::O_NOCTTY);
        if fd >= 0 {
            return Ok((fd, true));
        }
        if last_errno() != libc::EEXIST {
            return Err(refused(name, writable));
        }
    }
    Err(os_error(name, "opening it")) // a link to nothing, or somebody makes and removes it all the time
}

fn refused(name: &str, writable: bool) -> Error {
    let foreign = |what: &str| Error::Foreign { name: name.to_owned(), what: what.to_owned() };
    match last_errno() {
        libc::ENOENT | libc::ENOTDIR => Error::NotFound { name: name.to_owned() },
        libc::EISDIR => foreign("a directory"),
        libc::ENXIO => foreign("a socket or device"),
        libc::EACCES | libc::EPERM | libc::EROFS => Error::Untrusted {
            name: name.to_owned(),
            what: format!("this user may not {} it", if writable { "write" } else { "read" }),
        },
        errno if errno_is_no_space(errno) => Error::NoSpace { name: name.to_owned(), bytes: 0 },
        _ => os_error(name, "opening it"),
    }
}

fn map_opened(name: &str, fd: i32, bytes: Option<u64>, writable: bool) -> Result<(Map, Facts)> {
    let facts = fstat(fd).ok_or_else(|| os_error(name, "looking at it"))?;
    if !facts.is_regular {
        return Err(Error::Foreign { name: name.to_owned(), what: "a directory, FIFO, socket or device".into() });
    }
    let want = bytes.unwrap_or(facts.len);
    let bad = |value: u64, limit: String| Err(Error::BadValue { what: "size", value: value.to_string(), limit });
    if want == 0 {
        return bad(0, format!("at least 1; '{name}' has {} bytes", facts.len));
    }
    let Ok(len) = usize::try_from(want) else {
        return bad(want, "less than this machine can address".into());
    };
    if want > facts.len {
        if !writable {
            return bad(want, format!("at most {}, the length of '{name}', which is not to be written", facts.len));
        }
        system::grow(name, fd, facts.len, want)?;
    }
    let facts = fstat(fd).ok_or_else(|| os_error(name, "looking at it"))?;
    Map::of(fd, name, len, writable).map(|map| (map, facts))
}

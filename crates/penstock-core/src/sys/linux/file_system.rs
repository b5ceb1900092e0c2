//! What differs between file systems and their calls: room, names for open files, and which ones will do.

use crate::error::{Error, Result};
use crate::fault::Remedy;
use crate::sys::unix::{c_path, errno_is_no_space, last_errno, open_raw, os_error};
use std::ffi::CString;
use std::path::Path;

/// Those on which a segment may lie.
pub(in crate::sys) const FILE_SYSTEMS: &str = "tmpfs, ext4, xfs, btrfs, f2fs, overlay";

/// The file system's name, and whether a segment may lie there.
pub(in crate::sys) fn file_system(st: &libc::statfs) -> (String, bool) {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "the magic is 32 bits; the field's type varies"
    )]
    let kind = st.f_type as u64 as u32;
    match file_system_name(kind) {
        Some(name) => (name.to_owned(), true),
        None => (format!("type {kind:#x}"), false),
    }
}

/// The file systems on which a segment may lie, by the magic number of `statfs(2)`.
fn file_system_name(kind: u32) -> Option<&'static str> {
    Some(match kind {
        0x0102_1994 => "tmpfs",
        0xEF53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0xF2F5_2010 => "f2fs",
        0x794C_7630 => "overlay",
        _ => return None,
    })
}

/// A file without a name in `directory`. Negative, and `errno` says why, where there are none.
pub(in crate::sys) fn open_unnamed(directory: &Path) -> i32 {
    open_raw(&c_path(directory), libc::O_RDWR | libc::O_TMPFILE)
}

/// A path of an open file, whether it has a name or not.
pub(in crate::sys) fn descriptor_path(fd: i32) -> CString {
    CString::new(format!("/proc/self/fd/{fd}")).unwrap_or_default()
}

/// Opens an open file once more, with locks of its own; negative where that cannot be.
pub(in crate::sys) fn open_again(fd: i32) -> i32 {
    open_raw(&descriptor_path(fd), libc::O_RDWR | libc::O_NONBLOCK)
}

/// Makes a new file so long, without giving it room.
pub(in crate::sys) fn size_raw(fd: i32, name: &str, len: u64) -> Result<()> {
    let Ok(signed) = libc::off64_t::try_from(len) else {
        return Err(Error::NoSpace { name: name.to_owned(), bytes: len });
    };
    // SAFETY: no memory is passed.
    if unsafe { libc::ftruncate64(fd, signed) } == 0 {
        return Ok(());
    }
    let errno = last_errno();
    if errno == libc::EFBIG || errno == libc::EINVAL || errno_is_no_space(errno) {
        return Err(Error::NoSpace { name: name.to_owned(), bytes: len });
    }
    Err(os_error(name, "sizing its file"))
}

pub(in crate::sys) fn commit_raw(fd: i32, name: &str, offset: u64, bytes: u64) -> Result<()> {
    let range = |n: u64| libc::off64_t::try_from(n).map_err(|_| Error::NoSpace { name: name.to_owned(), bytes });
    let (at, len) = (range(offset)?, range(bytes)?);
    if len == 0 || !Remedy::RoomBeforeStores.is_on() {
        return Ok(());
    }
    loop {
        // SAFETY: no memory is passed. The error comes as the result, not through errno.
        match unsafe { libc::posix_fallocate64(fd, at, len) } {
            0 => return Ok(()),
            libc::EINTR => {}
            libc::EFBIG => return Err(Error::NoSpace { name: name.to_owned(), bytes }),
            errno if errno_is_no_space(errno) => return Err(Error::NoSpace { name: name.to_owned(), bytes }),
            errno => return Err(Error::Os { name: name.to_owned(), what: "making room in its file", errno }),
        }
    }
}

/// Makes the file longer and gives it the room. First the room, then the length: so a failure leaves the length as it
/// was. Never shortens what somebody else has made longer meanwhile.
pub(in crate::sys) fn grow(name: &str, fd: i32, from: u64, to: u64) -> Result<()> {
    let signed = |n: u64| libc::off64_t::try_from(n).map_err(|_| Error::NoSpace { name: name.to_owned(), bytes: to });
    let (at, len) = (signed(from)?, signed(to - from)?);
    loop {
        // SAFETY: no memory is passed.
        if unsafe { libc::fallocate64(fd, libc::FALLOC_FL_KEEP_SIZE, at, len) } == 0 {
            break;
        }
        match last_errno() {
            libc::EINTR => {}
            libc::EOPNOTSUPP | libc::ENOSYS => break,
            libc::EFBIG => return Err(Error::NoSpace { name: name.to_owned(), bytes: to - from }),
            errno if errno_is_no_space(errno) => {
                return Err(Error::NoSpace { name: name.to_owned(), bytes: to - from });
            }
            _ => return Err(os_error(name, "making room in its file")),
        }
    }
    commit_raw(fd, name, from, to - from)
}

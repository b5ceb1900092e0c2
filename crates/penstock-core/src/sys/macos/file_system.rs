//! Room, names for open files, and which file systems will do.
//!
//! No call here fills the holes of a file, so a new one is given all its room at once, past its end, and made so long then.

use crate::error::{Error, Result};
use crate::fault::Remedy;
use crate::sys::unix::{errno_is_no_space, last_errno, os_error};
use std::ffi::{CStr, CString};
use std::path::Path;

/// Those on which a segment may lie.
pub(in crate::sys) const FILE_SYSTEMS: &str = "apfs, hfs";

/// The file system's name, and whether a segment may lie there.
pub(in crate::sys) fn file_system(st: &libc::statfs) -> (String, bool) {
    // SAFETY: the kernel ends the name with a NUL within the field.
    let name = unsafe { CStr::from_ptr(st.f_fstypename.as_ptr()) }.to_string_lossy().into_owned();
    let is_known = FILE_SYSTEMS.split(", ").any(|known| known == name);
    (name, is_known)
}

/// There are no files without a name.
pub(in crate::sys) fn open_unnamed(_directory: &Path) -> i32 {
    // SAFETY: the calling thread's own errno.
    unsafe { *libc::__error() = libc::EOPNOTSUPP };
    -1
}

/// A path of an open file.
pub(in crate::sys) fn descriptor_path(fd: i32) -> CString {
    CString::new(format!("/dev/fd/{fd}")).unwrap_or_default()
}

/// Not to be had: opening `/dev/fd/N` gives the same description, with the same locks. Whoever asks goes by the path then.
pub(in crate::sys) fn open_again(_fd: i32) -> i32 {
    -1
}

fn refused(name: &str, bytes: u64, what: &'static str) -> Error {
    let errno = last_errno();
    if errno == libc::EFBIG || errno_is_no_space(errno) {
        return Error::NoSpace { name: name.to_owned(), bytes };
    }
    Error::Os { name: name.to_owned(), what, errno }
}

/// Gives the file `bytes` more than it has been given, all of them or none.
fn allocate(fd: i32, name: &str, bytes: i64) -> Result<()> {
    let mut room = libc::fstore_t {
        fst_flags: libc::F_ALLOCATEALL,
        fst_posmode: libc::F_PEOFPOSMODE,
        fst_offset: 0,
        fst_length: bytes,
        fst_bytesalloc: 0,
    };
    // SAFETY: `room` is valid for the kernel to read and write.
    if unsafe { libc::fcntl(fd, libc::F_PREALLOCATE, &raw mut room) } < 0 {
        return Err(refused(name, bytes.unsigned_abs(), "making room in its file"));
    }
    Ok(())
}

fn signed(name: &str, bytes: u64) -> Result<i64> {
    i64::try_from(bytes).map_err(|_| Error::NoSpace { name: name.to_owned(), bytes })
}

/// Makes a new file so long and gives it all the room.
pub(in crate::sys) fn size_raw(fd: i32, name: &str, len: u64) -> Result<()> {
    let len_signed = signed(name, len)?;
    if Remedy::RoomBeforeStores.is_on() {
        allocate(fd, name, len_signed)?;
    }
    // SAFETY: no memory is passed.
    if unsafe { libc::ftruncate(fd, len_signed) } != 0 {
        return Err(refused(name, len, "sizing its file"));
    }
    Ok(())
}

/// Checks that the file has its room: it was given when the file was made. A copy may have lost it.
pub(in crate::sys) fn commit_raw(fd: i32, name: &str, offset: u64, bytes: u64) -> Result<()> {
    // SAFETY: all-zero bytes are a valid `stat` to be written over.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `st` is a valid place for the answer.
    if unsafe { libc::fstat(fd, &raw mut st) } != 0 {
        return Err(os_error(name, "looking at it"));
    }
    if st.st_blocks.unsigned_abs() * 512 >= offset.saturating_add(bytes) {
        return Ok(());
    }
    Err(Error::Unsupported {
        name: name.to_owned(),
        what: "its file has holes, as a sparse copy has, which cannot be filled here; copy it whole, as cat does"
            .into(),
    })
}

/// Makes the file longer and gives it the room first, so that a failure leaves the length as it was.
pub(in crate::sys) fn grow(name: &str, fd: i32, from: u64, to: u64) -> Result<()> {
    allocate(fd, name, signed(name, to - from)?)?;
    let end = signed(name, to)?;
    // SAFETY: all-zero bytes are a valid `stat` to be written over.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // Somebody may have made it longer meanwhile; then it stays so.
    // SAFETY: `st` is a valid place for the answer.
    if unsafe { libc::fstat(fd, &raw mut st) } == 0 && st.st_size >= end {
        return Ok(());
    }
    // SAFETY: no memory is passed.
    if unsafe { libc::ftruncate(fd, end) } != 0 {
        return Err(refused(name, to - from, "making it longer"));
    }
    Ok(())
}

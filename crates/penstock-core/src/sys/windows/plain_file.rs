//! The user's own files as memory, without a header, a participant or a lock in them.

use super::draft::set_length;
use super::file::{Access, File, facts_of, open_with, refused, unlink_if_same};
use super::map::Map;
use crate::error::{Error, Result};
use crate::sys::Facts;
use std::os::windows::io::OwnedHandle;
use std::path::Path;
use std::ptr;
use windows_sys::Win32::Foundation::{ERROR_FILE_EXISTS, ERROR_FILE_NOT_FOUND};

/// Maps the first `bytes` of the file `path`, all of it if `None`. A writable file that is shorter, or not there, is
/// made so long first, and given its room.
///
/// # Errors
/// `NotFound`, `Foreign` for anything but a regular file, `Untrusted` where access is denied, `BadValue` for a size that
/// cannot be, `NoSpace`, `Os`. A file that was there is as long as it was; one that was not is not.
pub fn map_plain_file(name: &str, path: &Path, bytes: Option<u64>, writable: bool) -> Result<(Map, Facts)> {
    let (handle, is_new) = open_plain(name, path, writable, bytes.is_some())?;
    let (file, facts) = File::from_handle(name, path, handle)?;
    let mapped = map_opened(name, &file, &facts, bytes, writable);
    if mapped.is_err() && is_new {
        let _ = unlink_if_same(path, &facts);
    }
    mapped
}

/// Opens the file; makes it if it may be made and is not there. Unlike a segment's, a link is followed.
fn open_plain(name: &str, path: &Path, writable: bool, has_size: bool) -> Result<(OwnedHandle, bool)> {
    const TRIES: u32 = 10;
    let access = if writable { Access::Write } else { Access::Read };
    let may_not = format!("this user may not {} it", if writable { "write" } else { "read" });
    let mut last = ERROR_FILE_NOT_FOUND;
    for _ in 0..TRIES {
        match open_with(path, access, 0, ptr::null()) {
            Ok(handle) => return Ok((handle, false)),
            Err(errno) if errno != ERROR_FILE_NOT_FOUND || !writable || !has_size => {
                return Err(refused(name, errno, &may_not));
            }
            Err(_) => {}
        }
        match open_with(path, Access::New, 0, ptr::null()) {
            Ok(handle) => return Ok((handle, true)),
            Err(ERROR_FILE_EXISTS) => last = ERROR_FILE_EXISTS,
            Err(errno) => return Err(refused(name, errno, &may_not)),
        }
    }
    Err(refused(name, last, &may_not)) // a link to nothing, or somebody makes and removes it all the time
}

fn map_opened(name: &str, file: &File, facts: &Facts, bytes: Option<u64>, writable: bool) -> Result<(Map, Facts)> {
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
        set_length(file, name, want)?;
        file.commit(name, facts.len, want - facts.len)?;
    }
    let map = Map::of(file.raw(), name, len, writable)?;
    Ok((map, facts_of(file.raw(), name)?))
}

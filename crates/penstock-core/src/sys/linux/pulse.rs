//! What holds a sign of life open: a mapping of a page of the file that may not be touched and that no child inherits. So
//! nothing that closes descriptors can drop it, and nothing that inherits or receives descriptors can prolong it.
//!
//! On overlay file systems closing the descriptor drops the lock although the mapping stays; that is found out by asking.

use crate::error::Result;
use crate::fault::Remedy;
use crate::sys::unix::{File, PAGE, Pinned, close_raw, is_locked, os_error, try_lock};
use std::ptr;

pub(in crate::sys) const SET_LOCK: i32 = libc::F_OFD_SETLK;
pub(in crate::sys) const ASK_LOCK: i32 = libc::F_OFD_GETLK;
pub(in crate::sys) const TOO_MANY_KEPT: &str =
    "256 segments on overlay file systems are attached already; put some on tmpfs";

/// A sign of life held by a mapping.
#[derive(Debug)]
pub(in crate::sys) struct Pin(*mut libc::c_void);

// SAFETY: the page is never read or written; it is only unmapped.
unsafe impl Send for Pin {}
// SAFETY: as above.
unsafe impl Sync for Pin {}

impl Pin {
    pub(in crate::sys) fn take(file: &File, name: &str, number: u32) -> Result<Pinned> {
        let fd = file.reopen(name)?;
        // SAFETY: a new mapping without access; it exists only to keep the description open.
        let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, libc::PROT_NONE, libc::MAP_SHARED, fd, 0) };
        if page == libc::MAP_FAILED {
            let error = os_error(name, "mapping its sign of life");
            close_raw(fd);
            return Err(error);
        }
        // SAFETY: `page` was mapped just above.
        let kept_from_children = unsafe { libc::madvise(page, PAGE, libc::MADV_DONTFORK) } == 0;
        if !Remedy::MapsAreNotInherited.is_on() {
            // SAFETY: as above.
            unsafe { libc::madvise(page, PAGE, libc::MADV_DOFORK) };
        }
        let taken = kept_from_children && try_lock(fd, number, 1);
        close_raw(fd);
        let pin = Pin(page);
        if !kept_from_children {
            return Err(os_error(name, "keeping its sign of life from children"));
        }
        if !taken {
            return Ok(Pinned::Refused);
        }
        if is_locked(file.checked(name)?, number, 1) == Some(true) || !Remedy::OverlayIsProbed.is_on() {
            return Ok(Pinned::Held(pin));
        }
        Ok(Pinned::Impossible)
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // SAFETY: mapped in `take`, one page, never accessed. A forked child never runs this: it forgets the pulse, because
        // the mapping does not exist there.
        unsafe { libc::munmap(self.0, PAGE) };
    }
}

//! What holds a sign of life open: a descriptor, for want of anything better. Here a mapping keeps the file, but not the
//! open file description that the lock belongs to.

use crate::error::Result;
use crate::sys::unix::{File, Pinned};

/// `F_OFD_SETLK` and `F_OFD_GETLK` of XNU's `bsd/sys/fcntl.h`; the libc crate has the first only.
pub(in crate::sys) const SET_LOCK: i32 = libc::F_OFD_SETLK;
pub(in crate::sys) const ASK_LOCK: i32 = 92;
pub(in crate::sys) const TOO_MANY_KEPT: &str = "256 segments are attached already; close some";

/// There is none.
#[derive(Debug)]
pub(in crate::sys) enum Pin {}

impl Pin {
    #[allow(clippy::unnecessary_wraps, reason = "it can fail where there is one")]
    pub(in crate::sys) fn take(_file: &File, _name: &str, _number: u32) -> Result<Pinned> {
        Ok(Pinned::Impossible)
    }
}

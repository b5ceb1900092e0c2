//! Signs of life: locks on single bytes far past the end of a segment's file, which go with the process.
//!
//! Such a lock belongs to an open file description. What holds that open is a [`Pin`] where the system has one that nothing
//! can drop or inherit; else a high descriptor, closed in forked children.

use super::file::File;
use super::{close_raw, system};
use crate::error::{Error, Result};
use crate::fault::Remedy;
use std::sync::atomic::{AtomicI32, Ordering};
use system::Pin;

/// Where these bytes start: far past any segment's end, so that they never meet its data.
const PULSE_AT: i64 = 1 << 40;

// Of other types on other systems; the field is an i16 on all.
#[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation, reason = "told above")]
const EXCLUSIVE: i16 = libc::F_WRLCK as i16;
#[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation, reason = "told above")]
const UNLOCKED: i16 = libc::F_UNLCK as i16;

fn byte_lock(fd: i32, command: i32, kind: i16, first: u32, count: u32) -> Option<libc::flock> {
    // SAFETY: all-zero bytes are a valid `flock`; OFD locks demand l_pid 0.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    #[allow(clippy::cast_possible_truncation, reason = "lock kinds and SEEK_SET are tiny")]
    {
        lock.l_type = kind;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
    }
    lock.l_start = PULSE_AT + i64::from(first);
    lock.l_len = i64::from(count);
    // SAFETY: `lock` is valid for the kernel to read and write.
    (unsafe { libc::fcntl(fd, command, &raw mut lock) } == 0).then_some(lock)
}

/// Takes the bytes, if nobody else's description holds one. `None`: somebody does.
pub(in crate::sys) fn try_lock(fd: i32, first: u32, count: u32) -> bool {
    byte_lock(fd, system::SET_LOCK, EXCLUSIVE, first, count).is_some()
}

/// Lets go of the bytes that this description holds.
pub(super) fn unlock(fd: i32, first: u32, count: u32) {
    byte_lock(fd, system::SET_LOCK, UNLOCKED, first, count);
}

/// `None` if the kernel cannot be asked.
pub(in crate::sys) fn is_locked(fd: i32, first: u32, count: u32) -> Option<bool> {
    byte_lock(fd, system::ASK_LOCK, EXCLUSIVE, first, count).map(|lock| lock.l_type != UNLOCKED)
}

/// What came of holding a sign of life by a [`Pin`].
#[derive(Debug)]
#[cfg_attr(target_os = "macos", allow(dead_code, reason = "there is no pin there"))]
pub(in crate::sys) enum Pinned {
    /// It is held.
    Held(Pin),
    /// Somebody living has it.
    Refused,
    /// This system, or this file system, has no such means.
    Impossible,
}

/// A sign of life at a number: the kernel takes it back when this process is gone, however it went.
#[derive(Debug)]
pub struct Pulse {
    /// Held open by it, and let go with it.
    _pin: Option<Pin>,
    /// The descriptor kept where there is no pin, else -1.
    kept: i32,
}

const KEPT_MAX: usize = 256;
static KEPT: [AtomicI32; KEPT_MAX] = [const { AtomicI32::new(-1) }; KEPT_MAX];

pub(super) fn close_kept_descriptors() {
    for kept in &KEPT {
        let fd = kept.swap(-1, Ordering::AcqRel);
        if fd >= 0 {
            close_raw(fd);
        }
    }
}

impl Pulse {
    /// Takes the sign of life at `number`. `None`: somebody living has it.
    ///
    /// # Errors
    /// `Removed` or `Os`; nothing is held then.
    pub fn take(file: &File, name: &str, number: u32) -> Result<Option<Pulse>> {
        if !Remedy::SignOfLifeOnAMap.is_on() {
            return Pulse::take_by_descriptor(file, name, number);
        }
        match Pin::take(file, name, number)? {
            Pinned::Held(pin) => Ok(Some(Pulse { _pin: Some(pin), kept: -1 })),
            Pinned::Refused => Ok(None),
            Pinned::Impossible => Pulse::take_by_descriptor(file, name, number),
        }
    }

    fn take_by_descriptor(file: &File, name: &str, number: u32) -> Result<Option<Pulse>> {
        let low = file.reopen(name)?;
        // SAFETY: no memory is passed.
        let high = unsafe { libc::fcntl(low, libc::F_DUPFD_CLOEXEC, 500) };
        let fd = if high < 0 {
            low
        } else {
            close_raw(low);
            high
        };
        if !try_lock(fd, number, 1) {
            close_raw(fd);
            return Ok(None);
        }
        if !KEPT.iter().any(|kept| kept.compare_exchange(-1, fd, Ordering::AcqRel, Ordering::Relaxed).is_ok()) {
            close_raw(fd);
            return Err(Error::Unsupported { name: name.to_owned(), what: system::TOO_MANY_KEPT.into() });
        }
        Ok(Some(Pulse { _pin: None, kept: fd }))
    }

    /// Whether somebody living holds `number`. Never ask about one's own: compare first.
    /// When the kernel cannot be asked the answer is "alive": nothing is ever taken on a guess.
    #[must_use]
    pub fn is_held(file: &File, name: &str, number: u32) -> bool {
        file.checked(name).ok().and_then(|fd| is_locked(fd, number, 1)).unwrap_or(true)
    }

    /// Whether somebody living holds any of the numbers `1..=count`.
    #[must_use]
    pub fn is_any_held(file: &File, name: &str, count: u32) -> bool {
        file.checked(name).ok().and_then(|fd| is_locked(fd, 1, count)).unwrap_or(true)
    }

    /// Runs `act` while holding the signs `first..first+count` that nobody living holds; `None` if somebody does.
    /// Meanwhile nobody can register there or act on the same death.
    ///
    /// Through a descriptor of its own: the file's is shared with children that were forked before, and should this process be
    /// killed in `act`, they would keep the locks. Call with the process's fork lock held, so that none is forked meanwhile.
    pub fn while_dead<R>(file: &File, name: &str, first: u32, count: u32, act: impl FnOnce() -> R) -> Option<R> {
        struct Own(i32);
        impl Drop for Own {
            fn drop(&mut self) {
                close_raw(self.0);
            }
        }
        if !Remedy::OwnDescription.is_on() {
            let shared = file.checked(name).ok()?;
            return try_lock(shared, first, count).then(|| {
                let done = act();
                unlock(shared, first, count);
                done
            });
        }
        let own = Own(file.reopen(name).ok()?);
        try_lock(own.0, first, count).then(act)
    }

    /// True where the sign hangs on a descriptor, so that another process may be keeping it open.
    #[must_use]
    pub fn is_by_descriptor(&self) -> bool {
        self.kept >= 0
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if self.kept >= 0
            && KEPT.iter().any(|kept| kept.compare_exchange(self.kept, -1, Ordering::AcqRel, Ordering::Relaxed).is_ok())
        {
            close_raw(self.kept);
        }
    }
}

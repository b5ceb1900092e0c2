//! Sleeping on words of shared memory, and waking who sleeps there: `os_sync_wait_on_address`, between processes.

use crate::sys::Slept;
use crate::sys::unix::last_errno;
use std::mem::size_of;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn slept(result: libc::c_int) -> Slept {
    if result >= 0 {
        return Slept::Woken;
    }
    match last_errno() {
        libc::ETIMEDOUT => Slept::TimedOut,
        libc::EINTR => Slept::Interrupted,
        _ => Slept::Woken,
    }
}

/// Sleeps while `word` is `expected`, at most for `bound`. The word may lie in shared memory.
pub fn sleep(word: &AtomicU32, expected: u32, bound: Duration) -> Slept {
    // 0 would be no bound at all.
    let nanoseconds = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX).max(1);
    // SAFETY: the word is alive for the call; the kernel only reads it.
    slept(unsafe {
        libc::os_sync_wait_on_address_with_timeout(
            word.as_ptr().cast(),
            expected.into(),
            size_of::<u32>(),
            libc::OS_SYNC_WAIT_ON_ADDRESS_SHARED,
            libc::OS_CLOCK_MACH_ABSOLUTE_TIME,
            nanoseconds,
        )
    })
}

/// Wakes one sleeper of `word`, or all of them if `count` is more; returns 0 if there was none. Who is woken for nothing
/// looks again and goes on sleeping.
pub fn wake(word: &AtomicU32, count: u32) -> usize {
    let (address, bytes, shared) = (word.as_ptr().cast(), size_of::<u32>(), libc::OS_SYNC_WAKE_BY_ADDRESS_SHARED);
    let failed = if count == 1 {
        // SAFETY: the kernel uses the address only.
        unsafe { libc::os_sync_wake_by_address_any(address, bytes, shared) }
    } else {
        // SAFETY: as above.
        unsafe { libc::os_sync_wake_by_address_all(address, bytes, shared) }
    };
    usize::from(failed == 0) // else ENOENT: nobody sleeps there
}

/// Sleeps while every word has its expected value, at most for `bound`. There is no call for several words: beyond one
/// it looks again every millisecond.
pub fn sleep_any(words: &[(&AtomicU32, u32)], bound: Duration) -> Slept {
    match words {
        [] => {
            std::thread::sleep(bound);
            Slept::TimedOut
        }
        [(word, expected)] => sleep(word, *expected, bound),
        [(word, expected), ..] => match sleep(word, *expected, bound.min(Duration::from_millis(1))) {
            Slept::TimedOut if words.iter().any(|(w, e)| w.load(Ordering::Acquire) != *e) => Slept::Woken,
            ended => ended,
        },
    }
}

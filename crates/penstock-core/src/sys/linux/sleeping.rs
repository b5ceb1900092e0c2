//! Sleeping on words of shared memory, and waking who sleeps there: futexes.

use super::host;
use crate::sys::Slept;
use crate::sys::unix::last_errno;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn slept(result: libc::c_long) -> Slept {
    if result >= 0 {
        return Slept::Woken;
    }
    match last_errno() {
        libc::ETIMEDOUT => Slept::TimedOut,
        libc::EINTR => Slept::Interrupted,
        _ => Slept::Woken,
    }
}

fn timespec(d: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(d.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: d.subsec_nanos().into(),
    }
}

/// Sleeps while `word` is `expected`, at most for `bound`. The word may lie in shared memory.
pub fn sleep(word: &AtomicU32, expected: u32, bound: Duration) -> Slept {
    let t = timespec(bound);
    // SAFETY: the word is alive for the call; the kernel only reads it and the time.
    slept(unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, &raw const t, ptr::null::<u32>(), 0)
    })
}

/// Wakes at most `count` sleepers of `word`; returns how many there were.
pub fn wake(word: &AtomicU32, count: u32) -> usize {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: the kernel uses the address only.
    let woken = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            count,
            ptr::null::<libc::timespec>(),
            ptr::null::<u32>(),
            0,
        )
    };
    usize::try_from(woken).unwrap_or(0)
}

/// One entry of `futex_waitv(2)`, as the kernel reads it.
#[repr(C)]
struct WaitEntry {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

const WAIT_ENTRY_U32: u32 = 2;

/// The most words that one sleep can watch.
pub const SLEEP_ANY_MAX: usize = 128;

fn waitv(words: &[(&AtomicU32, u32)], bound: Duration) -> libc::c_long {
    let entries: Vec<WaitEntry> = words
        .iter()
        .map(|(word, expected)| WaitEntry {
            value: (*expected).into(),
            address: word.as_ptr() as u64,
            flags: WAIT_ENTRY_U32,
            reserved: 0,
        })
        .collect();
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place for the time. futex_waitv takes an instant, not a duration.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut t) };
    let until = timespec(Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0)) + bound);
    // SAFETY: `entries` and `until` live through the call and have the kernel's layout; each word is alive.
    unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            entries.as_ptr(),
            entries.len(),
            0,
            &raw const until,
            libc::CLOCK_MONOTONIC,
        )
    }
}

pub(in crate::sys) fn probe_waitv() -> bool {
    let word = AtomicU32::new(1);
    // The value differs, so a kernel that knows the call answers EAGAIN at once.
    waitv(&[(&word, 0)], Duration::ZERO) < 0 && last_errno() != libc::ENOSYS && last_errno() != libc::EPERM
}

/// Sleeps while every word has its expected value, at most for `bound`. On kernels before 5.16, and beyond 128 words,
/// it looks again every millisecond instead.
pub fn sleep_any(words: &[(&AtomicU32, u32)], bound: Duration) -> Slept {
    match words {
        [] => {
            std::thread::sleep(bound);
            Slept::TimedOut
        }
        [(word, expected)] => sleep(word, *expected, bound),
        _ if host().can_sleep_on_many && words.len() <= SLEEP_ANY_MAX => slept(waitv(words, bound)),
        [(word, expected), ..] => match sleep(word, *expected, bound.min(Duration::from_millis(1))) {
            Slept::TimedOut if words.iter().any(|(w, e)| w.load(Ordering::Acquire) != *e) => Slept::Woken,
            ended => ended,
        },
    }
}

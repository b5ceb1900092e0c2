//! Who am I: a forked child is another process, and must not take its parent's state for its own.

use super::pulse::close_kept_descriptors;
use super::{PAGE, system};
use crate::fault::Remedy;
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::time::Duration;
use system::{sleep, wake};

/// The words of this process that a forked child must find as zero: see `system::wipe_on_fork`.
struct ProcessPage {
    epoch: AtomicU32,
    lock: AtomicU32,
}

static PAGE_AT: AtomicPtr<ProcessPage> = AtomicPtr::new(ptr::null_mut());
static LAST_EPOCH: AtomicU32 = AtomicU32::new(0);

/// A number that is this process's own along its line of descent; never 0. A forked child has another.
#[inline]
#[must_use]
pub fn epoch() -> u32 {
    let page = PAGE_AT.load(Ordering::Acquire);
    if page.is_null() {
        return new_epoch();
    }
    // SAFETY: a non-null PAGE_AT points to a ProcessPage that is never unmapped.
    let found = unsafe { &*page }.epoch.load(Ordering::Relaxed);
    if found == 0 { new_epoch() } else { found }
}

fn process_page() -> &'static ProcessPage {
    let page = PAGE_AT.load(Ordering::Acquire);
    let page = if page.is_null() { map_process_page() } else { page };
    // SAFETY: as in `epoch`; atomics only, so sharing is sound.
    unsafe { &*page }
}

#[cold]
fn map_process_page() -> *mut ProcessPage {
    // SAFETY: a fresh anonymous mapping, aligned to a page, zeroed: a valid ProcessPage.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert!(page != libc::MAP_FAILED, "no memory for one page");
    system::wipe_on_fork(page);
    match PAGE_AT.compare_exchange(ptr::null_mut(), page.cast(), Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => page.cast(),
        Err(other) => {
            // SAFETY: our page lost the race and nobody has seen it.
            unsafe { libc::munmap(page, PAGE) };
            other
        }
    }
}

#[cold]
fn new_epoch() -> u32 {
    let page = process_page();
    let next = LAST_EPOCH.load(Ordering::Relaxed).wrapping_add(1).max(1);
    match page.epoch.compare_exchange(0, next, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            LAST_EPOCH.store(next, Ordering::Relaxed);
            next
        }
        Err(found) => found,
    }
}

/// State of this process that threads share, in a lock that survives `fork`: a handler takes it before the fork
/// and gives it back on both sides, so that a child never inherits a half-changed state or a lock nobody will release.
/// Its word lies in the wiped page, so that on Linux a bare `clone` leaves it open too.
pub struct ForkLocked<T> {
    state: UnsafeCell<T>,
}

impl<T> std::fmt::Debug for ForkLocked<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ForkLocked")
    }
}

// SAFETY: `with` is the only way to the state and lets in one thread at a time.
unsafe impl<T: Send> Sync for ForkLocked<T> {}

impl<T> ForkLocked<T> {
    /// Wraps `state`. There is one lock for the whole process: do not nest `with`.
    pub const fn new(state: T) -> ForkLocked<T> {
        ForkLocked { state: UnsafeCell::new(state) }
    }

    /// Runs `act` alone in this process. Short, and never waits for a peer: a fork waits for it.
    pub fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        struct Unlock;
        impl Drop for Unlock {
            fn drop(&mut self) {
                fork_unlock();
            }
        }
        watch_forks();
        fork_lock();
        let _unlock = Unlock;
        // SAFETY: the process's fork lock is held; `with` is never nested.
        act(unsafe { &mut *self.state.get() })
    }
}

extern "C" fn fork_lock() {
    let word = &process_page().lock;
    while word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        sleep(word, 1, Duration::from_millis(1));
    }
}

extern "C" fn fork_unlock() {
    let word = &process_page().lock;
    word.store(0, Ordering::Release);
    wake(word, 1);
}

extern "C" fn fork_in_child() {
    // Linux has wiped it already; macOS has not, nor has an emulator of processes.
    if Remedy::ForgottenAtFork.is_on() {
        process_page().epoch.store(0, Ordering::Relaxed);
    }
    close_kept_descriptors();
    fork_unlock();
}

pub(in crate::sys) fn watch_forks() {
    static WATCHING: std::sync::Once = std::sync::Once::new();
    WATCHING.call_once(|| {
        // SAFETY: the handlers only touch atomics, close descriptors and make futex calls.
        unsafe { libc::pthread_atfork(Some(fork_lock), Some(fork_unlock), Some(fork_in_child)) };
    });
}

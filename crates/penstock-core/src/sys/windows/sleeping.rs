//! Sleeping on a word of shared memory until another process wakes us. Windows has that within a process only.
//!
//! A word is known everywhere by its file and its place in it, and a semaphore of that name stands for it: made by the
//! first who sleeps or wakes there, gone with the last. It counts to one. A wake-up is one post: it lets one sleeper
//! go, at once, or stays for the next, who then wakes for nothing and looks again. A post that finds one there already
//! shows that nobody sleeps. A killed sleeper takes at most the post that was meant for it; the next one to sleep finds
//! out by its bound, which every sleep has.

use crate::sys::Slept;
use std::collections::HashMap;
use std::mem::size_of;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use windows_sys::Win32::Foundation::{HANDLE, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{
    CreateSemaphoreW, ReleaseSemaphore, WaitForMultipleObjects, WaitForSingleObject, WaitOnAddress, WakeByAddressAll,
    WakeByAddressSingle,
};

/// A mapped segment, and the semaphores of its words that this process has used so far.
#[derive(Debug)]
struct Region {
    base: usize,
    len: usize,
    device: u64,
    inode: u64,
    semaphores: Mutex<HashMap<usize, Arc<OwnedHandle>>>,
}

static REGIONS: RwLock<Vec<Arc<Region>>> = RwLock::new(Vec::new());

/// Keeps a map known to sleepers and wakers while it exists.
#[derive(Debug)]
pub(super) struct Registration(Arc<Region>);

/// Says that the file `device`, `inode` is mapped there.
pub(super) fn register(base: usize, len: usize, device: u64, inode: u64) -> Registration {
    let region = Arc::new(Region { base, len, device, inode, semaphores: Mutex::new(HashMap::new()) });
    REGIONS.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&region));
    Registration(region)
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut regions = REGIONS.write().unwrap_or_else(PoisonError::into_inner);
        regions.retain(|region| !Arc::ptr_eq(region, &self.0));
    }
}

impl Region {
    /// The semaphore of the word at `address`. In no session's own space: the file is not in one either.
    fn semaphore(&self, address: usize) -> Option<Arc<OwnedHandle>> {
        let offset = address - self.base;
        let mut known = self.semaphores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = known.get(&offset) {
            return Some(Arc::clone(semaphore));
        }
        let name = super::wide_text(&format!("Global\\penstock-{:x}-{:x}-{offset:x}", self.device, self.inode));
        // SAFETY: no attributes; a name that ends with a NUL.
        let made = unsafe { CreateSemaphoreW(ptr::null(), 0, 1, name.as_ptr()) };
        if made.is_null() {
            return None;
        }
        // SAFETY: made just above, and ours.
        let semaphore = Arc::new(unsafe { OwnedHandle::from_raw_handle(made) });
        known.insert(offset, Arc::clone(&semaphore));
        Some(semaphore)
    }
}

fn region_of(address: usize) -> Option<Arc<Region>> {
    let regions = REGIONS.read().unwrap_or_else(PoisonError::into_inner);
    regions.iter().find(|region| (region.base..region.base + region.len).contains(&address)).map(Arc::clone)
}

/// Whole milliseconds, and never so many that it would mean "for ever". Rounded up, or the last one would be spun away.
fn milliseconds(bound: Duration) -> u32 {
    const MOST: u32 = 1 << 30;
    u32::try_from(bound.as_nanos().div_ceil(1_000_000)).unwrap_or(MOST).min(MOST)
}

/// Sleeps while `word` is `expected`, at most for `bound`. The word may lie in shared memory.
pub fn sleep(word: &AtomicU32, expected: u32, bound: Duration) -> Slept {
    let address = word.as_ptr() as usize;
    let Some(region) = region_of(address) else { return sleep_on_own(word, expected, bound) };
    let Some(semaphore) = region.semaphore(address) else { return look_again(&[(word, expected)], bound) };
    if word.load(Ordering::Acquire) != expected {
        return Slept::Woken;
    }
    // SAFETY: the handle is open.
    match unsafe { WaitForSingleObject(semaphore.as_raw_handle(), milliseconds(bound)) } {
        WAIT_TIMEOUT => Slept::TimedOut,
        _ => Slept::Woken,
    }
}

/// A word of this process's own.
fn sleep_on_own(word: &AtomicU32, expected: u32, bound: Duration) -> Slept {
    let (address, unlike) = (word.as_ptr().cast_const().cast(), (&raw const expected).cast());
    // SAFETY: both are words that live through the call.
    let woken = unsafe { WaitOnAddress(address, unlike, size_of::<u32>(), milliseconds(bound)) };
    if woken == 0 { Slept::TimedOut } else { Slept::Woken }
}

/// Where the system gives no semaphore: a nap, and then the caller looks for himself.
fn look_again(words: &[(&AtomicU32, u32)], bound: Duration) -> Slept {
    std::thread::sleep(bound.min(Duration::from_millis(1)));
    let changed = words.iter().any(|(word, expected)| word.load(Ordering::Acquire) != *expected);
    if changed { Slept::Woken } else { Slept::TimedOut }
}

/// Wakes at most `count` sleepers of `word`; returns how many there were, as far as can be told: 0 only if nobody sleeps.
pub fn wake(word: &AtomicU32, count: u32) -> usize {
    let address = word.as_ptr() as usize;
    let Some(region) = region_of(address) else { return wake_own(word, count) };
    let Some(semaphore) = region.semaphore(address) else { return 1 };
    let mut woken = 0;
    // Each post that is accepted lets a sleeper go at once, or stays; the one after that is refused.
    // SAFETY: the handle is open; the count before is not asked for.
    while woken < count && unsafe { ReleaseSemaphore(semaphore.as_raw_handle(), 1, ptr::null_mut()) } != 0 {
        woken += 1;
    }
    woken as usize
}

fn wake_own(word: &AtomicU32, count: u32) -> usize {
    let address = word.as_ptr().cast_const().cast();
    // SAFETY: the system uses the address only.
    unsafe { if count == 1 { WakeByAddressSingle(address) } else { WakeByAddressAll(address) } };
    1
}

/// The most objects that one wait can watch (`MAXIMUM_WAIT_OBJECTS`).
const SLEEP_ANY_MAX: usize = 64;

/// Sleeps while every word has its expected value, at most for `bound`. Beyond 64 words it looks again every
/// millisecond instead.
pub fn sleep_any(words: &[(&AtomicU32, u32)], bound: Duration) -> Slept {
    if words.is_empty() {
        std::thread::sleep(bound);
        return Slept::TimedOut;
    }
    let Some(semaphores) = semaphores_of(words) else { return look_again(words, bound) };
    if words.iter().any(|(word, expected)| word.load(Ordering::Acquire) != *expected) {
        return Slept::Woken;
    }
    let handles: Vec<HANDLE> = semaphores.iter().map(|semaphore| semaphore.as_raw_handle()).collect();
    let count = u32::try_from(handles.len()).unwrap_or(0);
    // SAFETY: that many open handles, each only once.
    match unsafe { WaitForMultipleObjects(count, handles.as_ptr(), 0, milliseconds(bound)) } {
        WAIT_TIMEOUT => Slept::TimedOut,
        _ => Slept::Woken,
    }
}

/// The semaphore of each word, once; `None` if they are too many for one wait, or cannot be had.
fn semaphores_of(words: &[(&AtomicU32, u32)]) -> Option<Vec<Arc<OwnedHandle>>> {
    let mut found: Vec<Arc<OwnedHandle>> = Vec::new();
    for (word, _) in words {
        let address = word.as_ptr() as usize;
        let semaphore = region_of(address)?.semaphore(address)?;
        // The system refuses to wait for one object twice.
        if !found.iter().any(|other| Arc::ptr_eq(other, &semaphore)) {
            found.push(semaphore);
        }
    }
    (found.len() <= SLEEP_ANY_MAX).then_some(found)
}

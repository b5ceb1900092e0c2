//! What tests share on every system, also without `fork`: a directory of one's own, and items that show when they are torn.
#![allow(dead_code, reason = "each test file uses its part")]

use penstock_core::deadline::Deadline;
use penstock_core::queue::{Got, Plan, Wait};
use penstock_core::segment::Lifetime;
use penstock_core::slots::INLINE_MAX;
use penstock_core::{Error, Location, Queue};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A directory of its own for each test, gone afterwards.
pub struct Place(PathBuf);

impl Place {
    pub fn new(test: &str) -> Place {
        let shared = if cfg!(unix) { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        let path = shared.join(format!("penstock-test-{}-{test}", std::process::id()));
        penstock_core::sys::check_directory(&path).expect("a directory of our own");
        Place(path)
    }

    pub fn at(&self, name: &str) -> Location {
        Location::named(&self.0, name).expect("a good name")
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What lies in it, hidden entries included.
    pub fn entries(&self) -> Vec<String> {
        let read = std::fs::read_dir(&self.0).expect("the directory is there");
        read.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir_all(&self.0);
        assert!(removed.is_ok() || std::thread::panicking(), "the directory goes: {removed:?}");
    }
}

pub fn plan(capacity: u64, item_bytes: u64, max_item_bytes: u64) -> Plan {
    Plan {
        capacity,
        item: "bytes".into(),
        item_bytes,
        max_item_bytes,
        max_deliveries: 0,
        dead_letters: 0,
        lifetime: Lifetime::UntilUnlinked,
    }
}

/// Waits as long as a test may.
pub fn patiently<R>(act: impl FnOnce(&mut Wait<'_>) -> R) -> R {
    within(Duration::from_secs(20), act)
}

pub fn at_once<R>(act: impl FnOnce(&mut Wait<'_>) -> R) -> R {
    within(Duration::ZERO, act)
}

pub fn within<R>(time: Duration, act: impl FnOnce(&mut Wait<'_>) -> R) -> R {
    let mut tick = || Ok(());
    act(&mut Wait::until(Deadline::after(Some(time)), &mut tick))
}

pub fn put(queue: &Queue, item: &[u8]) -> Result<(), Error> {
    at_once(|wait| queue.put(&[item], wait))
}

pub fn get(queue: &Queue) -> Result<Vec<u8>, Error> {
    at_once(|wait| get_waiting(queue, wait))
}

pub fn get_waiting(queue: &Queue, wait: &mut Wait<'_>) -> Result<Vec<u8>, Error> {
    let mut small = [0; INLINE_MAX];
    match queue.get(&mut small, wait)? {
        Got::Copied(len) => Ok(small[..len].to_vec()),
        Got::Leased(lease) => {
            let mut out = vec![0; lease.len()];
            queue.read(&lease, &mut out)?;
            queue.release(&lease, wait)?;
            Ok(out)
        }
    }
}

pub fn get_dead(queue: &Queue) -> Result<Vec<u8>, Error> {
    let mut small = [0; INLINE_MAX];
    match at_once(|wait| queue.get_dead(&mut small, wait))? {
        Got::Copied(len) => Ok(small[..len].to_vec()),
        Got::Leased(lease) => {
            let mut out = vec![0; lease.len()];
            queue.read(&lease, &mut out)?;
            at_once(|wait| queue.ack(&lease, wait))?;
            Ok(out)
        }
    }
}

// ------------------------------------------------------------------------------------------------------- items

/// An item of `len` bytes, at least 8, every part of which tells its number. Quick to make: some victims go by single steps.
pub fn item(id: u32, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        let place = u32::try_from(bytes.len()).expect("short").wrapping_mul(0x9E37_79B9);
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(&(id ^ place ^ 0x5EED_5EED).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The number of an item that is whole.
pub fn id_of(bytes: &[u8]) -> Result<u32, String> {
    let id = bytes.get(..4).ok_or_else(|| format!("an item of {} bytes", bytes.len()))?;
    let id = u32::from_le_bytes(id.try_into().expect("four bytes"));
    if item(id, bytes.len()) == bytes { Ok(id) } else { Err(format!("item {id} of {} bytes is torn", bytes.len())) }
}

/// Waits for a condition that something else brings about.
pub fn wait_for(what: &str, time: Duration, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + time;
    while !is_so() {
        assert!(Instant::now() < until, "waited {time:?} for {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

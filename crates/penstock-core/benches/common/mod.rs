//! What the benchmarks share: a queue in a directory of its own.
#![allow(dead_code, reason = "each benchmark uses its part")]

use penstock_core::name::Location;
use penstock_core::queue::{Expectation, Got, Plan, Wait};
use penstock_core::segment::{Lifetime, Trust};
use penstock_core::slots::INLINE_MAX;
use penstock_core::{Deadline, Error, Queue};
use std::path::{Path, PathBuf};

/// A directory for queues, gone afterwards.
pub struct Place(PathBuf);

impl Place {
    pub fn new(bench: &str) -> Place {
        let path = PathBuf::from(format!("/dev/shm/penstock-bench-{bench}-{}", std::process::id()));
        penstock_core::sys::check_directory(&path).expect("a directory of our own");
        Place(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn location(place: &Path) -> Location {
    Location::named(place, "bench").expect("a good name")
}

/// A new queue of items of one size.
pub fn create(place: &Path, capacity: u64, item_bytes: usize) -> Queue {
    let _ = std::fs::remove_file(place.join("bench"));
    let plan = Plan {
        capacity,
        item: "bytes".into(),
        item_bytes: item_bytes as u64,
        max_item_bytes: item_bytes as u64,
        max_deliveries: 0,
        dead_letters: 0,
        lifetime: Lifetime::UntilUnlinked,
    };
    Queue::create(&location(place), &plan).expect("a new queue")
}

/// The queue that `create` made, as another process opens it.
pub fn open(place: &Path) -> Queue {
    Queue::open(&location(place), &Expectation::default(), Trust::OwnOnly).expect("the queue is there")
}

/// Puts as the binding does: at once if that can be, else waiting for room.
pub fn put(queue: &Queue, item: &[u8]) {
    match queue.try_put(&[item]) {
        Ok(None) => {}
        Ok(Some(room)) => waiting(|wait| queue.commit(&room, room.len(), wait)),
        Err(Error::Full | Error::Busy) => waiting(|wait| queue.put(&[item], wait)),
        Err(error) => panic!("the queue takes it: {error}"),
    }
}

/// Gets as the binding does: at once if that can be, else waiting for an item.
pub fn get(queue: &Queue, small: &mut [u8; INLINE_MAX], large: &mut [u8]) {
    let got = match queue.try_get(small) {
        Err(Error::Empty | Error::Busy) => waiting(|wait| queue.get(small, wait)),
        tried => tried.expect("an item"),
    };
    if let Got::Leased(lease) = got {
        queue.read(&lease, large).expect("its bytes");
        if queue.try_release(&lease).is_err() {
            waiting(|wait| queue.release(&lease, wait));
        }
    }
}

#[cold]
fn waiting<R>(act: impl FnOnce(&mut Wait<'_>) -> penstock_core::Result<R>) -> R {
    let mut tick = || Ok(());
    act(&mut Wait::until(Deadline::Never, &mut tick)).expect("it comes about")
}

//! Does one verb so many times, for a tool that counts instructions: `instructions VERB COUNT`.
//!
//! What a verb costs is the difference between two counts, divided by how far they are apart: all else is the same.
//! Run as it is, it does nothing of interest; `tests/test_instructions.py` runs it under callgrind.

use penstock_core::queue::{Got, Plan, Wait};
use penstock_core::segment::Lifetime;
use penstock_core::slots::INLINE_MAX;
use penstock_core::{Deadline, Location, Queue};
use std::hint::black_box;

/// Room for the largest count.
const CAPACITY: u64 = 12_000;
const LARGE: usize = 1024;
const BATCH: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, count] = arguments.as_slice() else { panic!("instructions VERB COUNT") };
    let count: usize = count.parse().expect("a count");
    let directory = std::path::PathBuf::from(format!("/dev/shm/penstock-instructions-{}", std::process::id()));
    penstock_core::sys::check_directory(&directory).expect("a directory of our own");
    let queue = Queue::create(&Location::named(&directory, "counted").expect("a name"), &plan(verb)).expect("a queue");
    prepare(&queue, verb);
    act(&queue, verb, count);
    queue.unlink().expect("our own name");
    queue.close();
    drop(queue);
    std::fs::remove_dir(&directory).expect("an empty directory");
}

fn plan(verb: &str) -> Plan {
    let item_bytes = if verb.ends_with("large") { 0 } else { 4 };
    Plan {
        capacity: CAPACITY,
        item: "bytes".into(),
        item_bytes,
        max_item_bytes: if item_bytes == 0 { LARGE as u64 } else { item_bytes },
        max_deliveries: 0,
        dead_letters: 0,
        lifetime: Lifetime::UntilUnlinked,
    }
}

/// Uses every slot once, then leaves the queue full for those that take and empty for those that put.
fn prepare(queue: &Queue, verb: &str) {
    let size = if verb.ends_with("large") { LARGE } else { 4 };
    put_waiting(queue, size, CAPACITY as usize);
    if verb.starts_with("put") {
        get(queue, CAPACITY as usize);
    }
}

fn act(queue: &Queue, verb: &str, count: usize) {
    match verb {
        "put" => (0..count).for_each(|_| {
            let room = queue.try_put(&[black_box(&[7; 4])]).expect("room and a free lock");
            assert!(room.is_none(), "a small item needs nothing after it");
        }),
        "put-large" => put_waiting(queue, LARGE, count),
        "get" | "get-large" => get(queue, count),
        "lease" => (0..count).for_each(|_| {
            let lease = queue.try_lease().expect("an item");
            queue.try_ack(&lease).expect("a free lock");
        }),
        "put-batch" => (0..count / BATCH).for_each(|_| {
            let done = queue.try_put_batch(black_box(&[7; 4 * BATCH])).expect("a free lock");
            assert_eq!(done, BATCH);
        }),
        "get-batch" => {
            let (mut bytes, mut lens) = (Vec::with_capacity(4 * BATCH), Vec::with_capacity(BATCH));
            (0..count / BATCH).for_each(|_| {
                bytes.clear();
                lens.clear();
                let done = queue.try_get_batch(BATCH, &mut bytes, &mut lens).expect("items");
                assert_eq!(done, BATCH);
            });
        }
        _ => panic!("no such verb: {verb}"),
    }
}

fn put_waiting(queue: &Queue, size: usize, count: usize) {
    let item = vec![7; size];
    let mut tick = || Ok(());
    for _ in 0..count {
        queue.put(&[black_box(&item)], &mut Wait::until(Deadline::Never, &mut tick)).expect("room");
    }
}

fn get(queue: &Queue, count: usize) {
    let mut small = [0; INLINE_MAX];
    let mut large = vec![0; LARGE];
    for _ in 0..count {
        match queue.try_get(&mut small).expect("an item") {
            Got::Copied(_) => {}
            Got::Leased(lease) => {
                queue.read(&lease, &mut large).expect("its bytes");
                queue.try_release(&lease).expect("a free lock");
            }
        }
        black_box(&mut small);
    }
}

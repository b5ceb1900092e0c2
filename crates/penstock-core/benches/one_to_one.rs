//! How fast do items go from one thread to another? Each has a handle of its own; beside crossbeam's queue, whose
//! waiting is spinning.

mod common;

use common::{Place, create, get, open, put};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use penstock_core::slots::INLINE_MAX;
use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

const CAPACITIES: [u64; 3] = [10, 1000, 100_000];

fn one_to_one(criterion: &mut Criterion) {
    let place = Place::new("one-to-one");
    let mut group = criterion.benchmark_group("one thread to another");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    for capacity in CAPACITIES {
        let queue = create(place.path(), capacity, 4);
        group.bench_function(BenchmarkId::new("penstock", capacity), |bencher| {
            bencher.iter_custom(|count| stream(count, || open(place.path()), |q| put(q, &[7; 4]), take_four));
        });
        drop(queue);
        let array = ArrayQueue::new(capacity as usize);
        group.bench_function(BenchmarkId::new("ArrayQueue", capacity), |bencher| {
            bencher.iter_custom(|count| stream(count, || &array, |q| push(q), |q| pop(q)));
        });
    }
    group.finish();
}

/// Passes `count` items from one thread to another, and returns how long it took.
fn stream<Q>(count: u64, handle: impl Fn() -> Q + Sync, put: impl Fn(&Q) + Sync, get: impl Fn(&Q) + Sync) -> Duration {
    let start = std::sync::Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            let queue = handle();
            start.wait();
            (0..count).for_each(|_| put(&queue));
        });
        let queue = handle();
        start.wait();
        let started = Instant::now();
        (0..count).for_each(|_| get(&queue));
        started.elapsed()
    })
}

fn take_four(queue: &penstock_core::Queue) {
    get(queue, &mut [0; INLINE_MAX], &mut []);
}

fn push(queue: &ArrayQueue<u32>) {
    while queue.push(7).is_err() {
        spin_loop();
    }
}

fn pop(queue: &ArrayQueue<u32>) {
    while queue.pop().is_none() {
        spin_loop();
    }
}

criterion_group!(benches, one_to_one);
criterion_main!(benches);

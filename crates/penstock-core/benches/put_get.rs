//! What do a put and a get cost that nobody disturbs? Beside the same on crossbeam's queue, which shares nothing with
//! other processes and survives nobody's death.

mod common;

use common::{Place, create, get, put};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use crossbeam_queue::ArrayQueue;
use penstock_core::slots::INLINE_MAX;
use std::hint::black_box;

const CAPACITY: u64 = 10;

fn put_and_get(criterion: &mut Criterion) {
    let place = Place::new("put-get");
    let mut group = criterion.benchmark_group("a put and a get");
    for bytes in [4, 64, INLINE_MAX, 1024] {
        let queue = create(place.path(), CAPACITY, bytes);
        let item = vec![7; bytes];
        let (mut small, mut large) = ([0; INLINE_MAX], vec![0; bytes]);
        group.bench_function(BenchmarkId::new("penstock", bytes), |bencher| {
            bencher.iter(|| {
                put(&queue, black_box(&item));
                get(&queue, &mut small, &mut large);
            });
        });
    }
    let array = ArrayQueue::new(CAPACITY as usize);
    group.bench_function(BenchmarkId::new("ArrayQueue", 4), |bencher| {
        bencher.iter(|| {
            array.push(black_box(7_u32)).expect("room");
            black_box(array.pop()).expect("an item");
        });
    });
    let array = ArrayQueue::new(CAPACITY as usize);
    group.bench_function(BenchmarkId::new("ArrayQueue", 64), |bencher| {
        bencher.iter(|| {
            array.push(black_box([7_u8; 64])).expect("room");
            black_box(array.pop()).expect("an item");
        });
    });
    group.finish();
}

fn others(criterion: &mut Criterion) {
    let place = Place::new("others");
    let queue = create(place.path(), CAPACITY, 4);
    let mut group = criterion.benchmark_group("a put and");
    group.bench_function("a lease with its acknowledgement", |bencher| {
        bencher.iter(|| {
            put(&queue, black_box(&[7; 4]));
            let lease = queue.try_lease().expect("an item");
            queue.try_ack(&lease).expect("a free lock");
        });
    });
    group.finish();
    let queue = create(place.path(), 1000, 4);
    let (mut bytes, mut lens) = (Vec::new(), Vec::new());
    criterion.bench_function("a batch of 100 in and out", |bencher| {
        bencher.iter(|| {
            queue.try_put_batch(black_box(&[7; 400])).expect("room");
            bytes.clear();
            lens.clear();
            queue.try_get_batch(100, &mut bytes, &mut lens).expect("items");
        });
    });
}

criterion_group!(benches, put_and_get, others);
criterion_main!(benches);

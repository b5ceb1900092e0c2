//! What do the parts of a put and a get cost? docs/performance.md adds them up.
//!
//! Each is measured over and over on lines of memory that this processor has: what is lost when another one has them is
//! the difference to `one_to_one`.

use criterion::{Criterion, criterion_group, criterion_main};
use penstock_core::layout::Owner;
use penstock_core::{event, lock};
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Relaxed, Ordering::Release};
use std::time::Instant;

fn parts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("part");
    let word = AtomicU32::new(0);
    let me = Owner::new(1, 1);
    group.bench_function("lock and unlock", |bencher| {
        bencher.iter(|| {
            assert!(lock::try_take(black_box(&word), me));
            lock::give_back(black_box(&word));
        });
    });
    group.bench_function("event without a sleeper", |bencher| bencher.iter(|| event::signal(black_box(&word), 1)));
    let state = AtomicU64::new(0);
    group.bench_function("state of a slot", |bencher| {
        bencher.iter(|| {
            let seen = black_box(&state).load(Relaxed);
            black_box(state.compare_exchange(seen, seen.wrapping_add(1), AcqRel, Relaxed))
                .expect("nobody else is here");
        });
    });
    let (from, to) = (AtomicU32::new(7), AtomicU32::new(0));
    group.bench_function("four bytes and two ring ends", |bencher| {
        bencher.iter(|| {
            black_box(&to).store(black_box(&from).load(Relaxed), Relaxed);
            black_box(&state).store(1, Release);
            black_box(&state).store(2, Release);
        });
    });
    group.bench_function("a glance at the clock", |bencher| bencher.iter(Instant::now));
    group.finish();
}

criterion_group!(benches, parts);
criterion_main!(benches);

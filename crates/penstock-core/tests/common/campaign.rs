//! How much a run of single-stepped victims goes through, by which chance, and what came of it.

use super::scene::First;
use super::tally::Tally;
use super::{Dice, one_at_a_time, seed, tell};
use std::sync::{Mutex, MutexGuard, OnceLock};

/// What a copy is met by: all but who takes the dead one's number, for which it takes one more process.
pub const MEETINGS: [First; 4] = [First::Drain, First::Fill, First::Reserve, First::Attach];

/// Runs alone, and on one processor: victim and tracer take turns, and so does whoever they fork.
pub fn begin() -> MutexGuard<'static, ()> {
    let one = one_at_a_time();
    // SAFETY: all-zero bytes are an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the processor that runs this has a number; the set has room for it.
    unsafe { libc::CPU_SET(usize::try_from(libc::sched_getcpu()).unwrap_or(0), &mut set) };
    // SAFETY: a valid set of this size. Should it be refused, the test is slower.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    one
}

/// Everything, for minutes; else a fixed choice in which every operation has its turn.
pub fn is_all() -> bool {
    std::env::var_os("PENSTOCK_TEST_ALL").is_some()
}

/// Where victims die for real: by chance where everything is gone through, else at the same points each time.
pub fn dice() -> Dice {
    static SEED: OnceLock<u64> = OnceLock::new();
    Dice::new(*SEED.get_or_init(|| {
        let is_given = std::env::var_os("PENSTOCK_TEST_SEED").is_some();
        let seed = if is_all() || is_given { seed() } else { 1 };
        tell(&format!("PENSTOCK_TEST_SEED={seed}"));
        seed
    }))
}

/// Victims that die for real in each scene.
pub fn kills_a_scene() -> usize {
    if is_all() { 18 } else { 3 }
}

/// What survivors do first with the `nth` state.
pub fn meetings(nth: usize) -> &'static [First] {
    if is_all() { &MEETINGS } else { &MEETINGS[nth % 4..=nth % 4] }
}

/// All tests of this file together, as far as they have come.
static SO_FAR: Mutex<Option<Tally>> = Mutex::new(None);

pub fn finish(tally: Tally) {
    let mut so_far = SO_FAR.lock().expect("no panic in here");
    let all = so_far.get_or_insert_with(|| Tally::new("killed at every instruction, so far"));
    all.add(&tally);
    tell(&all.line());
    drop(so_far);
    tally.finish();
}

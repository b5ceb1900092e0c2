//! Cases that a fuzzer found to lead somewhere new, or that did harm once, each tried again. `make fuzz` starts from
//! them, and `tools/corpus.py pack` adds to them.

mod common;

use common::attack::{Door, Script, World};
use common::{Board, Child, Place, WELL, one_at_a_time, tell, wait_for};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// As in the fuzz targets: a case there is a case here.
const STEPS: u32 = 24;

const NUMBER: usize = 0;
const READY: usize = 1;

/// The cases in a packed file: each its length in two bytes, and its bytes.
fn cases(mut packed: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((len, rest)) = packed.split_first_chunk::<2>() {
        let (case, rest) = rest.split_at(u16::from_le_bytes(*len).into());
        found.push(case);
        packed = rest;
    }
    found
}

/// Tries each case in a process that is watched: a case that takes longer than a moment hangs.
fn replay(what: &str, packed: &[u8], prepare: impl FnOnce(&Place) -> Box<dyn Fn(&[u8])>) {
    const A_MOMENT: Duration = Duration::from_secs(20);
    let _one = one_at_a_time();
    let place = Place::new(what);
    let board = Board::new(2);
    let cases = cases(packed);
    assert!(cases.len() > 100, "only {} cases", cases.len());
    let mut child = Child::run(|| {
        let attempt = prepare(&place);
        for (number, case) in (1u64..).zip(&cases) {
            board[NUMBER].store(number, SeqCst);
            attempt(case);
        }
    });
    loop {
        let number = board[NUMBER].load(SeqCst);
        match child.wait(A_MOMENT) {
            Some(ended) => break assert_eq!(ended, WELL, "{what}: case {}", board[NUMBER].load(SeqCst)),
            None => assert_ne!(board[NUMBER].load(SeqCst), number, "{what}: case {number} hangs"),
        }
    }
    tell(&format!("{what}: {} cases, 0 failures", cases.len()));
}

#[test]
fn overwritten_words_that_the_fuzzer_found_give_errors_and_nothing_worse() {
    replay("corpus-live", include_bytes!("corpus/live.bin"), |place| {
        let world = World::new(place);
        let board = Board::new(2);
        let bystander = Child::run(|| {
            world.attach_all();
            board[READY].store(1, SeqCst);
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        wait_for("the bystander", Duration::from_secs(5), || board[READY].load(SeqCst) == 1);
        Box::new(move |case| {
            let _ = &bystander;
            world.attack(&mut Script(case), STEPS);
        })
    });
}

#[test]
fn files_that_the_fuzzer_found_are_opened_or_refused_and_nothing_worse() {
    replay("corpus-open", include_bytes!("corpus/open.bin"), |place| {
        let door = Door::new(place);
        Box::new(move |case| door.visit_as_told(case))
    });
}

//! What many deaths came to: counted, and told in one line.

use super::scene::{First, Scene};
use super::tell;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Instant;

/// What many deaths came to.
pub struct Tally {
    what: &'static str,
    begun: Instant,
    points: u64,
    distinct: HashSet<u64>,
    failures: Vec<String>,
}

impl Tally {
    pub fn new(what: &'static str) -> Tally {
        Tally { what, begun: Instant::now(), points: 0, distinct: HashSet::new(), failures: Vec::new() }
    }

    /// Counts one death, and lets the survivor go on.
    pub fn count(&mut self, scene: &mut Scene, first: First, story: impl FnOnce() -> String) {
        self.distinct.insert(scene.fingerprint(&scene.snapshot()));
        let outcome = scene.survive(first);
        self.count_outcome(outcome, || format!("{}, then {first:?}", story()));
    }

    pub fn count_outcome(&mut self, outcome: Result<(), String>, story: impl FnOnce() -> String) {
        self.points += 1;
        if let Err(why) = outcome {
            self.failures.push(format!("{}: {why}", story()));
        }
    }

    /// Says how it went, in one line, and fails if anything did.
    pub fn finish(self) {
        let mut line = format!(
            "{}: {} points, {} distinct states, {} failures, {:.1} s",
            self.what,
            self.points,
            self.distinct.len(),
            self.failures.len(),
            self.begun.elapsed().as_secs_f64()
        );
        tell(&line);
        for failure in self.failures.iter().take(20) {
            let _ = write!(line, "\n  {failure}");
        }
        assert!(self.failures.is_empty(), "{line}");
    }
}

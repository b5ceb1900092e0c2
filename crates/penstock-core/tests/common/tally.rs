//! What many deaths came to: counted, and told in one line.

use super::scene::{First, Scene};
use super::tell;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Instant;

/// What many deaths came to.
pub struct Tally {
    what: String,
    begun: Instant,
    points: u64,
    kills: u64,
    distinct: HashSet<u64>,
    failures: Vec<String>,
}

impl Tally {
    pub fn new(what: impl Into<String>) -> Tally {
        Tally {
            what: what.into(),
            begun: Instant::now(),
            points: 0,
            kills: 0,
            distinct: HashSet::new(),
            failures: Vec::new(),
        }
    }

    /// Counts one death, and lets the survivor go on.
    pub fn count(&mut self, scene: &mut Scene, first: First, story: impl FnOnce() -> String) {
        self.distinct.insert(scene.fingerprint(&scene.snapshot()));
        let outcome = scene.survive(first);
        self.count_outcome(outcome, || format!("{}, then {first:?}", story()));
    }

    /// One more point of death, at which nothing is to be looked at.
    pub fn pass(&mut self) {
        self.points += 1;
    }

    /// One more real death.
    pub fn kill(&mut self, outcome: Result<(), String>, story: impl FnOnce() -> String) {
        self.kills += 1;
        self.count_outcome(outcome, story);
    }

    /// Whether this state was not met before.
    pub fn is_new(&mut self, state: u64) -> bool {
        self.distinct.insert(state)
    }

    pub fn fail(&mut self, story: String) {
        self.failures.push(story);
    }

    /// So many failures that more would tell nothing.
    pub fn is_hopeless(&self) -> bool {
        self.failures.len() >= 5
    }

    pub fn count_outcome(&mut self, outcome: Result<(), String>, story: impl FnOnce() -> String) {
        self.points += 1;
        if let Err(why) = outcome {
            self.failures.push(format!("{}: {why}", story()));
            if self.is_hopeless() {
                self.finish(); // each failure may have taken its time
            }
        }
    }

    /// How it went so far, in one line.
    pub fn line(&self) -> String {
        let kills = if self.kills > 0 { format!(" ({} by SIGKILL)", self.kills) } else { String::new() };
        format!(
            "{}: {} points{kills}, {} distinct states, {} failures, {:.1} s",
            self.what,
            self.points,
            self.distinct.len(),
            self.failures.len(),
            self.begun.elapsed().as_secs_f64()
        )
    }

    /// Takes over what another counted. States of the other count as distinct from those here.
    pub fn add(&mut self, other: &Tally) {
        self.points += other.points;
        self.kills += other.kills;
        self.begun = self.begun.min(other.begun);
        let salt = penstock_core::layout::checksum(other.what.as_bytes());
        self.distinct.extend(other.distinct.iter().map(|state| state ^ salt));
        self.failures.extend(other.failures.iter().cloned());
    }

    /// Says how it went, in one line, and fails if anything did.
    pub fn finish(&self) {
        let mut line = self.line();
        tell(&line);
        let (points, states) = (self.points, self.distinct.len());
        tell(&format!("figures: points={points} failed={} states={states}", self.failures.len()));
        for failure in self.failures.iter().take(20) {
            let _ = write!(line, "\n  {failure}");
        }
        assert!(self.failures.is_empty(), "{line}");
    }
}

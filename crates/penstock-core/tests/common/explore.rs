//! Has loom try everything that a few processes can do to each other, within stated bounds, and says how much it was.
#![allow(dead_code, reason = "each model uses its part")]

use penstock_core::atomic::model::{self as words, Doom, Process};
use penstock_core::sys::model as system;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most choices in one execution: each store, load and sleep of a process is one or two.
const CHOICES_MOST: usize = 50_000;

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    /// What holds.
    pub name: &'static str,
    /// How often a process may be put off in favour of another although it could go on. A process that waits, sleeps
    /// or ends gives way without being counted.
    pub preemptions: usize,
    /// Whose sleeps may end by themselves, because they have a deadline.
    pub impatient: &'static [Process],
}

/// How much was tried.
#[derive(Debug, Default, Clone, Copy)]
struct Tried {
    executions: u64,
    deaths: u64,
}

/// `PENSTOCK_MODEL_DEEPER`: so many preemptions more than by default.
fn deeper() -> usize {
    std::env::var("PENSTOCK_MODEL_DEEPER").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether a longer run was asked for.
pub fn is_longer() -> bool {
    deeper() > 0
}

impl Model {
    pub const fn new(name: &'static str, preemptions: usize) -> Model {
        Model { name, preemptions, impatient: &[] }
    }

    pub const fn with_impatient(name: &'static str, preemptions: usize, impatient: &'static [Process]) -> Model {
        Model { name, preemptions, impatient }
    }

    /// It holds as long as nobody dies; and no sleep has to end by itself, but for those of the impatient.
    pub fn holds(&self, scenario: impl Fn() + Send + Sync + 'static) {
        let begun = Instant::now();
        let tried = self.explore(None, &Arc::new(scenario));
        self.tell(&format!("{} executions", tried.executions), tried.executions, begun.elapsed());
    }

    /// It holds whenever `victim` dies: at each of its steps.
    pub fn holds_whenever_dies(&self, victim: Process, scenario: impl Fn() + Send + Sync + 'static) {
        let begun = Instant::now();
        let (executions, steps) = self.kill_at_each_step(victim, &Arc::new(scenario));
        let much = format!("process {victim} killed at each of {steps} steps: {executions} executions");
        self.tell(&much, executions, begun.elapsed());
    }

    /// The same, for several scenarios, of which one line is told.
    pub fn hold_whenever_dies<S: Fn() + Send + Sync + 'static>(&self, victim: Process, each: impl Iterator<Item = S>) {
        let begun = Instant::now();
        let (mut scenarios, mut executions, mut steps) = (0, 0, 0);
        for scenario in each {
            let (more, passed) = self.kill_at_each_step(victim, &Arc::new(scenario));
            (scenarios, executions, steps) = (scenarios + 1, executions + more, steps + passed);
        }
        let much = format!(
            "{scenarios} beginnings, process {victim} killed at each of {steps} steps: {executions} executions"
        );
        self.tell(&much, executions, begun.elapsed());
    }

    fn kill_at_each_step<S: Fn() + Send + Sync + 'static>(&self, victim: Process, scenario: &Arc<S>) -> (u64, u32) {
        let mut executions = 0;
        for after in 0.. {
            let tried = self.explore(Some(Doom { process: victim, after }), scenario);
            executions += tried.executions;
            if tried.deaths == 0 {
                return (executions, after);
            }
        }
        unreachable!("a process ends")
    }

    fn tell(&self, much: &str, executions: u64, time: Duration) {
        let bound = self.preemptions + deeper();
        // Past the test's capture: what was tried is part of the result.
        let line = format!(
            "model: {}: at most {bound} preemptions, {much}, {:.1} s\nfigures: executions={executions} failed=0\n",
            self.name,
            time.as_secs_f64()
        );
        // SAFETY: valid bytes; what cannot be written is not needed.
        unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    }

    fn explore<S: Fn() + Send + Sync + 'static>(&self, doom: Option<Doom>, scenario: &Arc<S>) -> Tried {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(self.preemptions + deeper());
        builder.max_branches = CHOICES_MOST;
        let tried = Arc::new(std::sync::Mutex::new(Tried::default()));
        let (noted, impatient, acted) = (Arc::clone(&tried), self.impatient, Arc::clone(scenario));
        system::keep();
        let explored = catch_unwind(AssertUnwindSafe(|| {
            builder.check(move || {
                system::begin(doom, impatient);
                if let Err(failed) = catch_unwind(AssertUnwindSafe(|| acted())) {
                    words::fail();
                    resume_unwind(failed);
                }
                let has_died = system::end();
                let mut noted = noted.lock().expect("nobody panics with it");
                noted.executions += 1;
                noted.deaths += u64::from(has_died);
            });
        }));
        let tried = *tried.lock().expect("nobody panics with it");
        if let Err(failed) = explored {
            system::end();
            eprintln!("'{}' does not hold: {doom:?}, execution {}", self.name, tried.executions + 1);
            resume_unwind(failed);
        }
        tried
    }
}

/// What threads of a model tell whoever checks, past loom: it is no part of what is modelled.
pub struct Notes<T>(Rc<Cell<T>>);

impl<T> Clone for Notes<T> {
    fn clone(&self) -> Notes<T> {
        Notes(Rc::clone(&self.0))
    }
}

impl<T: Default + Clone> Notes<T> {
    pub fn new() -> Notes<T> {
        Notes(Rc::new(Cell::new(T::default())))
    }

    pub fn note(&self, change: impl FnOnce(&mut T)) {
        let mut noted = self.0.take();
        change(&mut noted);
        self.0.set(noted);
    }

    pub fn read(&self) -> T {
        let noted = self.0.take();
        self.0.set(noted.clone());
        noted
    }
}

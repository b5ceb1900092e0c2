//! Victims that are followed instruction by instruction, and looked at in a copy wherever shared memory changed; and
//! victims that die for real where those have been.

use super::scene::{FIRSTS, First, Scene};
use super::tally::Tally;
use super::trace::{Spot, Traced, Watch};
use super::victim::Op;
use super::{Dice, panic_of};
use penstock_core::Location;
use penstock_core::layout::checksum;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A state that the first dead one left, and what it had written down.
pub struct Left {
    pub story: String,
    pub snapshot: Vec<u8>,
    pub notes: Vec<u64>,
}

/// Where a victim has been.
#[derive(Default)]
pub struct Course {
    /// Before every instruction.
    pub spots: Vec<Spot>,
    /// Where it stood when something had just changed: places in `spots`.
    pub changes: Vec<usize>,
}

impl Course {
    fn note(&mut self, victim: &Traced, been: &mut HashMap<u64, u32>) {
        let address = victim.address();
        let times = been.entry(address).or_default();
        self.spots.push(Spot { address, nth: *times });
        *times += 1;
    }

    /// Up to `count` points of the second half, at equal distances.
    pub fn last_half(&self, count: usize) -> impl Iterator<Item = (usize, Spot)> {
        let half = self.spots.len() / 2;
        self.spots.iter().copied().enumerate().skip(half).step_by(half.div_ceil(count).max(1))
    }

    /// Up to `count` points of death: half of them where something had just changed, half of them anywhere.
    pub fn sample(&self, dice: &mut Dice, count: usize) -> Vec<usize> {
        let count = count.min(self.spots.len());
        let mut pick = |end: usize| usize::try_from(dice.below(end as u64)).expect("below");
        (0..count)
            .map(|nth| if nth % 2 == 0 { self.changes[pick(self.changes.len())] } else { pick(self.spots.len()) })
            .collect()
    }
}

/// One followed victim: what is watched, and how it is called in messages.
pub struct Path<'a> {
    pub location: &'a Location,
    pub story: String,
    /// Tells whether the victim has written something down.
    pub notes: &'a dyn Fn() -> u64,
}

/// Follows a victim through what it does; `visit` looks at the bytes wherever they, or the victim's notes, have changed.
pub fn follow(
    tally: &mut Tally,
    mut victim: Traced,
    path: &Path<'_>,
    mut visit: impl FnMut(&mut Tally, &str, &Watch),
) -> Course {
    let mut watch = Watch::on(path.location);
    let mut course = Course::default();
    let mut been = HashMap::new();
    let mut notes = None;
    loop {
        tally.pass();
        course.note(&victim, &mut been);
        let step = victim.steps();
        let notes_now = Some((path.notes)());
        if watch.has_changed() || notes != notes_now {
            notes = notes_now;
            course.changes.push(course.spots.len() - 1);
            visit(tally, &format!("{}, killed at step {step}", path.story), &watch);
        }
        if victim.is_over() || tally.is_hopeless() {
            break;
        }
        if let Err(why) = victim.step() {
            tally.fail(format!("{}, step {step}: {why}", path.story));
            break;
        }
    }
    if !watch.has_seen_all() {
        tally.fail(format!("{}: it wrote where nobody looked", path.story));
    }
    victim.kill();
    course
}

impl Scene {
    /// Forks the `nth` victim; it stands before the operation.
    pub fn trace(&self, op: &Op, nth: u32, registers: bool) -> Traced {
        let victim = self.victim(nth);
        let get_ready = || {
            if !registers {
                self.me();
            }
        };
        Traced::before(get_ready, || (op.run)(&victim))
    }
}

/// Lets survivors go on in the copy after a death, unless the same has been seen before.
pub fn look(tally: &mut Tally, scene: &Scene, twin: &mut Scene, story: &str, snapshot: &[u8], meetings: &[First]) {
    let notes = scene.log.notes();
    let mut state: Vec<u8> = scene.fingerprint(snapshot).to_le_bytes().to_vec();
    state.extend(notes.iter().flat_map(|note| note.to_le_bytes()));
    if !tally.is_new(checksum(&state)) {
        return;
    }
    for first in meetings {
        twin.take_over(scene.me(), snapshot, &notes);
        if let Err(why) = attempt(|| twin.survive(*first)) {
            tally.fail(format!("{story}, then {first:?}: {why}"));
        }
    }
}

/// The course of a victim beside which others run: it is not known when what changed.
pub fn course_of(mut victim: Traced) -> Result<Course, String> {
    let mut course = Course::default();
    let mut been = HashMap::new();
    while !victim.is_over() {
        course.note(&victim, &mut been);
        victim.step()?;
    }
    victim.kill();
    Ok(course)
}

/// Runs a survivor; its panic is a failure like any other.
pub fn attempt(act: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| Err(panic_of(&*panic)))
}

/// Kills a victim by SIGKILL where another has been, or after the operation if it does not come there.
pub fn kill_at(mut victim: Traced, spot: Spot) -> Result<(), String> {
    victim.run_to(spot)?;
    victim.kill();
    Ok(())
}

/// Kills victims for real at some points of the course of one, and lets the survivor go on with the queue itself.
pub fn kill_some(
    tally: &mut Tally,
    op: &Op,
    registers: bool,
    (course, at): (&Course, &[usize]),
    story: &str,
    make: &dyn Fn() -> Scene,
) {
    for step in at {
        let mut scene = make();
        let killed = kill_at(scene.trace(op, 1, registers), course.spots[*step]);
        let first = FIRSTS[step % FIRSTS.len()];
        let outcome = killed.and_then(|()| attempt(|| scene.survive(first)));
        tally.kill(outcome, || format!("{story}, killed by SIGKILL at step {step}, then {first:?}"));
        if tally.is_hopeless() {
            return;
        }
    }
}

//! Victims that are followed through the verbs of a mutex, a semaphore or an event, and heirs of what they left.

use super::campaign::{is_all, kills_a_scene};
use super::follow::{Left, Path, attempt, follow, kill_at};
use super::tally::Tally;
use super::trace::Traced;
use super::{Board, Dice, Place, Raw};
use penstock_core::Location;
use penstock_core::layout::{CONTROL_AT, Control, KIND_AT, checksum};
use std::cell::RefCell;
use std::mem::offset_of;
use std::sync::atomic::Ordering::SeqCst;

/// A mutex, a semaphore or an event; what a victim does with it; and what others must find.
pub struct Object<T> {
    pub name: &'static str,
    pub make: fn(&Location) -> T,
    pub open: fn(&Location) -> T,
    pub cycle: fn(&T, &Board),
    /// Whether what was there before was left by the dead.
    pub check: fn(&T, &Board, bool),
}

/// From here on there are numbers that no victim has.
const FAR_CURSOR: u32 = 500;

impl<T> Object<T> {
    /// Forks a victim that is attached and stands before its first verb.
    fn trace(&self, location: &Location, board: &Board) -> Traced {
        let object = RefCell::new(None);
        let get_ready = || _ = object.replace(Some((self.open)(location)));
        Traced::before(get_ready, || (self.cycle)(object.borrow().as_ref().expect("opened"), board))
    }

    /// Follows a victim on what lies at `location`; returns what it left wherever it could have died.
    fn follow(
        &self,
        tally: &mut Tally,
        copies: &Place,
        location: &Location,
        (story, is_orphaned): (String, bool),
        dice: &mut Dice,
    ) -> Vec<Left> {
        let (board, before, mut left) = (Board::new(3), Raw::of(location).all(), Vec::new());
        let notes = || (0..3).map(|at| board[at].load(SeqCst)).sum();
        let path = Path { location, story: story.clone(), notes: &notes };
        let course = follow(tally, self.trace(location, &board), &path, |tally, story, watch| {
            tally.is_new(checksum(&[watch.seen(), &notes().to_le_bytes()].concat()));
            for is_attached in [false, true] {
                let copy = copies.copy(self.name, watch.seen());
                let outcome = attempt(|| {
                    (self.check)(&self.open_copy(&copy, watch.seen(), is_attached), &board, is_orphaned);
                    Ok(())
                });
                std::fs::remove_file(&copy.path).expect("removed");
                if let Err(why) = outcome {
                    tally.fail(format!("{story}, survivor attached before: {is_attached}: {why}"));
                }
            }
            left.push(Left { story: story.to_owned(), snapshot: watch.seen().to_vec(), notes: Vec::new() });
        });
        for step in course.sample(dice, kills_a_scene()) {
            let board = Board::new(3);
            Raw::of(location).write(0, &before);
            let killed = kill_at(self.trace(location, &board), course.spots[step]);
            let survive = || {
                (self.check)(&(self.open)(location), &board, is_orphaned);
                Ok(())
            };
            let outcome = killed.and_then(|()| attempt(survive));
            tally.kill(outcome, || format!("{story}, killed by SIGKILL at step {step}"));
        }
        left
    }

    /// Opens a copy, as one who was attached before the death or as one who comes only now.
    fn open_copy(&self, copy: &Location, snapshot: &[u8], is_attached: bool) -> T {
        if !is_attached {
            return (self.open)(copy);
        }
        let raw = Raw::of(copy);
        raw.write(CONTROL_AT + offset_of!(Control, cursor), &FAR_CURSOR.to_le_bytes());
        let object = (self.open)(copy);
        raw.write(0, snapshot);
        object
    }
}

/// Follows a victim, and, where the first word says that the dead hold it, heirs of what that one left.
pub fn follow_object<T>(object: &Object<T>, is_inherited: bool, dice: &mut Dice) -> Tally {
    let (place, copies) = (Place::new("steps-objects"), Place::new("steps-copies"));
    let (mut tally, location) = (Tally::new(object.name), place.at("o"));
    drop((object.make)(&location));
    let left = object.follow(&mut tally, &copies, &location, (object.name.to_owned(), false), dice);
    let step = if is_all() { 1 } else { 4 };
    for first in left.iter().step_by(step).filter(|_| is_inherited) {
        Raw::of(&location).write(0, &first.snapshot);
        let is_orphaned = first.snapshot[KIND_AT..KIND_AT + 4] != [0; 4];
        let story = format!("{}, then the same again", first.story);
        object.follow(&mut tally, &copies, &location, (story, is_orphaned), dice);
    }
    println!("  {}", tally.line());
    tally
}

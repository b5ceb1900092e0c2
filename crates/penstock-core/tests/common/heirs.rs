//! One death, and two: victims that are followed through an operation, and heirs that are followed through what they do
//! about the first one's death.

use super::campaign::{MEETINGS, kills_a_scene, meetings};
use super::follow::{Course, Left, Path, attempt, follow, kill_at, kill_some, look};
use super::ops::{GET, OPEN, PUT};
use super::scene::{Fill, Scene, Size};
use super::tally::Tally;
use super::victim::Op;
use super::{Dice, Place};

/// One victim, looked at wherever it changed something, and some that die for real where it has been.
pub fn follow_in(place: &Place, op: &Op, size: Size, fill: Fill, registers: bool, dice: &mut Dice) -> Tally {
    let story = format!("{} {size:?} {fill:?}", op.name);
    let mut tally = Tally::new(story.clone());
    let course = {
        let scene = Scene::new(place, op, size, fill);
        let mut twin = scene.twin(place);
        let path = Path { location: scene.location(), story: story.clone(), notes: &|| scene.log.len() };
        let mut nth = 0;
        follow(&mut tally, scene.trace(op, 1, registers), &path, |tally, story, watch| {
            nth += 1;
            look(tally, &scene, &mut twin, story, watch.seen(), meetings(nth));
        })
    };
    let at = course.sample(dice, kills_a_scene());
    kill_some(&mut tally, op, registers, (&course, &at), &story, &|| Scene::new(place, op, size, fill));
    tally
}

/// What victims of `op` leave, wherever they are killed.
fn what_is_left(tally: &mut Tally, scene: &Scene, op: &Op, story: String) -> Vec<Left> {
    let path = Path { location: scene.location(), story, notes: &|| scene.log.len() };
    let mut left = Vec::new();
    follow(tally, scene.trace(op, 1, false), &path, |_, story, watch| {
        left.push(Left { story: story.to_owned(), snapshot: watch.seen().to_vec(), notes: scene.log.notes() });
    });
    left
}

/// Follows heirs that meet what a first victim left: they inherit its lock, and repair, and do what they came for. Then
/// some die at that for real.
pub fn follow_heirs(
    place: &Place,
    (from, op): (usize, &Op),
    (size, fill): (Size, Fill),
    most: usize,
    dice: &mut Dice,
) -> Tally {
    const HEIRS: [Op; 3] = [GET, OPEN, PUT];
    let name = format!("{} {size:?} {fill:?}", op.name);
    let mut tally = Tally::new(name.clone());
    let left = what_is_left(&mut tally, &Scene::new(place, op, size, fill), op, name);
    let stride = left.len().div_ceil(most);
    for (nth, first) in left.iter().skip(stride / 2).step_by(stride).enumerate() {
        let heir = &HEIRS[(from + nth) % HEIRS.len()];
        let story = format!("{}, then {}", first.story, heir.name);
        let course = follow_heir(&mut tally, place, op, (size, fill), first, heir, &story);
        for step in course.sample(dice, kills_a_scene()) {
            let mut scene = Scene::new(place, op, size, fill);
            scene.restore(&first.snapshot, &first.notes);
            let killed = kill_at(scene.trace(heir, 2, false), course.spots[step]);
            let meeting = MEETINGS[step % MEETINGS.len()];
            let outcome = killed.and_then(|()| attempt(|| scene.survive(meeting)));
            tally.kill(outcome, || format!("{story}, killed by SIGKILL at step {step}, then {meeting:?}"));
        }
        if tally.is_hopeless() {
            break;
        }
    }
    tally
}

fn follow_heir(
    tally: &mut Tally,
    place: &Place,
    op: &Op,
    (size, fill): (Size, Fill),
    first: &Left,
    heir: &Op,
    story: &str,
) -> Course {
    let scene = Scene::new(place, op, size, fill);
    let mut twin = scene.twin(place);
    scene.restore(&first.snapshot, &first.notes);
    let path = Path { location: scene.location(), story: story.to_owned(), notes: &|| scene.log.len() };
    let mut nth = 0;
    follow(tally, scene.trace(heir, 2, false), &path, |tally, story, watch| {
        nth += 1;
        look(tally, &scene, &mut twin, story, watch.seen(), meetings(nth));
    })
}

//! Victims that are followed while they make, open, close or remove a queue, whose name is watched as its bytes are.

use super::campaign::kills_a_scene;
use super::follow::{Path, attempt, follow, kill_at};
use super::lifetimes::{check_closed, check_created, check_opened, check_unlinked, create_with_three, lasting, open};
use super::tally::Tally;
use super::trace::{Traced, Watch};
use super::{Board, Child, Dice, Place, WELL, get};
use penstock_core::layout::checksum;
use penstock_core::segment::Lifetime;
use penstock_core::{Location, Queue};
use std::cell::RefCell;
use std::sync::atomic::Ordering::SeqCst;

fn in_child(act: impl FnOnce()) {
    assert_eq!(Child::run(act).end(), WELL);
}

/// What a victim does to a queue's name.
pub struct Life {
    name: &'static str,
    /// What others have done before.
    begin: fn(&Location),
    /// What the victim does at full speed.
    get_ready: fn(&Location) -> Option<Queue>,
    act: fn(&Location, Option<&Queue>),
    /// Whether somebody was attached to the queue before.
    is_attached: bool,
    /// Looks at what is left, with a queue to which somebody was attached before, and whether the victim had returned.
    check: fn(&Place, &Location, &dyn Fn() -> Queue, bool),
}

pub const LIVES: [Life; 5] = [
    Life {
        name: "create",
        begin: |_| (),
        get_ready: |_| None,
        act: |location, _| std::mem::forget(Queue::create(location, &lasting(Lifetime::UntilUnlinked))),
        is_attached: false,
        check: |place, location, _, has_returned| check_created(place, location, has_returned),
    },
    Life {
        name: "open by a newcomer",
        begin: |location| in_child(|| create_with_three(location)),
        get_ready: |_| None,
        act: |location, _| std::mem::forget(open(location).expect("opened")),
        is_attached: false,
        check: |_, location, _, _| check_opened(location),
    },
    Life {
        name: "close the last handle",
        begin: |_| (),
        get_ready: |location| Queue::create(location, &lasting(Lifetime::UntilUnlinked)).ok(),
        act: |_, queue| queue.expect("made").close(),
        is_attached: false,
        check: |place, location, _, returned| check_closed(place, location, Lifetime::UntilUnlinked, returned),
    },
    Life {
        name: "close the last handle of one that goes with it",
        begin: |_| (),
        get_ready: |location| Queue::create(location, &lasting(Lifetime::WhileOpen)).ok(),
        act: |_, queue| queue.expect("made").close(),
        is_attached: false,
        check: |place, location, _, returned| check_closed(place, location, Lifetime::WhileOpen, returned),
    },
    Life {
        name: "unlink",
        begin: |location| in_child(|| create_with_three(location)),
        get_ready: |location| open(location).ok(),
        act: |_, queue| queue.expect("opened").unlink().expect("unlinked"),
        is_attached: true,
        check: |place, location, attached, returned| {
            let attached = attached();
            (0..3u64).for_each(|i| assert_eq!(get(&attached), Ok(i.to_le_bytes().to_vec())));
            check_unlinked(place, location, &attached, returned);
        },
    },
];

impl Life {
    /// Forks a victim that stands before what it does to the name; it says on the board when it has returned.
    fn trace(&self, location: &Location, board: &Board) -> Traced {
        let queue = RefCell::new(None);
        let get_ready = || _ = queue.replace((self.get_ready)(location));
        Traced::before(get_ready, || {
            (self.act)(location, queue.borrow().as_ref());
            board[0].store(1, SeqCst);
        })
    }

    /// Looks at a copy: under the name if the name was there.
    fn look(&self, copies: &Place, watch: &Watch, has_returned: bool) -> Result<(), String> {
        let is_anything = !watch.seen().is_empty();
        let location = if is_anything { copies.copy("q", watch.seen()) } else { copies.at("q") };
        let attach = || {
            let queue = open(&location).expect("opened");
            if !watch.is_named() {
                std::fs::remove_file(&location.path).expect("removed");
            }
            queue
        };
        if is_anything && !watch.is_named() && !self.is_attached {
            std::fs::remove_file(&location.path).expect("removed");
        }
        let outcome = attempt(|| {
            (self.check)(copies, &location, &attach, has_returned);
            Ok(())
        });
        let _ = std::fs::remove_file(&location.path);
        outcome
    }
}

pub fn follow_life(place: &Place, copies: &Place, life: &Life, dice: &mut Dice) -> Tally {
    let (mut tally, location) = (Tally::new(life.name), place.at("q"));
    let course = {
        let board = Board::new(1);
        (life.begin)(&location);
        let path = Path { location: &location, story: life.name.to_owned(), notes: &|| board[0].load(SeqCst) };
        follow(&mut tally, life.trace(&location, &board), &path, |tally, story, watch| {
            let state = [&[u8::from(watch.is_named()), (path.notes)() as u8], watch.seen()].concat();
            tally.is_new(checksum(&state));
            if let Err(why) = life.look(copies, watch, board[0].load(SeqCst) == 1) {
                tally.fail(format!("{story}: {why}"));
            }
        })
    };
    let _ = std::fs::remove_file(&location.path);
    for step in course.sample(dice, 3 * kills_a_scene()) {
        let board = Board::new(1);
        (life.begin)(&location);
        let attached = RefCell::new(if life.is_attached { open(&location).ok() } else { None });
        let killed = kill_at(life.trace(&location, &board), course.spots[step]);
        let attach = || attached.take().expect("attached before");
        let outcome = killed.and_then(|()| {
            attempt(|| {
                (life.check)(place, &location, &attach, board[0].load(SeqCst) == 1);
                Ok(())
            })
        });
        let _ = std::fs::remove_file(&location.path);
        tally.kill(outcome, || format!("{}, killed by SIGKILL at step {step}", life.name));
    }
    tally
}

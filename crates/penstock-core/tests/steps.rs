//! Killed at every instruction of every operation: nothing lost, doubled, torn or stuck, and the whole capacity back.
//!
//! A victim is traced by single steps, without crash points: what is stepped through is what others are given. Wherever
//! shared memory changed, the segment is copied to a fresh file. There nobody's sign of life is held, so the victim is
//! dead in the copy although it stands; a survivor goes on with the copy and accounts for everything. Then a sample of
//! points is died at for real, by SIGKILL, and the survivor goes on with the segment itself.
//!
//! For x86-64 Linux only: it counts on `ptrace` single steps, which other processors and emulators have in other ways or
//! not at all. Elsewhere `crash` kills at the named points.
//!
//! `PENSTOCK_TEST_ALL=1` goes through everything, which takes minutes; without it every operation has its turn, but not
//! in every scene. `PENSTOCK_TEST_SEED` repeats the sample.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod common;

use common::campaign::{begin, dice, finish, is_all};
use common::follow::{course_of, kill_at};
use common::handles::{Object, follow_object};
use common::heirs::{follow_heirs, follow_in};
use common::lives::{LIVES, follow_life};
use common::objects::{check_event, check_mutex, check_semaphore, cycle_event, cycle_mutex, cycle_semaphore};
use common::ops::{
    ACK, ATTACH_AND_DETACH, CANCEL, COMMIT, COMMIT_SHORT, EXPIRE, EXPIRE_AT_DEATH, FORGET_LEASE, FORGET_ROOM, GET,
    GET_BATCH, GET_DEAD, GIVE_BACK, HOLD, HOLD_ROOM, PEEK, PURGE, PURGE_DEAD, PUT, PUT_BATCH, REQUEUE_DEAD, SHUT_DOWN,
    SHUT_DOWN_AT_ONCE, SHUT_DOWN_HOLDING, TASK_DONE, TRY_GET, TRY_PUT,
};
use common::scene::{BOTH, FILLS, Fill, SMALL, Scene, Size};
use common::sleepers::{
    GONE_ON, Waits, bring_item, bring_room, finish_all, sleep_for_item, sleep_for_room, sleep_in_join, sleeper,
};
use common::tally::Tally;
use common::trace::Traced;
use common::victim::Op;
use common::{Board, Place, get};
use penstock_core::segment::{Lifetime, Trust};
use penstock_core::{Event, Location, Mutex, Queue, Semaphore, semaphore};
use std::sync::atomic::Ordering::SeqCst;

/// All scenes of the `nth` operation; or, of a queue that is half full, one in which most happens, and the large items
/// of every other operation; and of the first one every filling.
fn scenes(nth: usize, op: &Op) -> Vec<(Size, Fill)> {
    let all = op.sizes.iter().flat_map(|size| FILLS.map(|fill| (*size, fill)));
    let is_chosen = |(size, fill)| {
        let is_first_size = size == op.sizes[0];
        fill == Fill::Half && (is_first_size || nth.is_multiple_of(2)) || nth == 0 && is_first_size
    };
    all.filter(|scene| is_all() || is_chosen(*scene)).collect()
}

fn follow_all(what: &'static str, ops: &[Op], registers: bool) {
    let _one = begin();
    let place = Place::new("steps");
    let (mut tally, mut dice) = (Tally::new(what), dice());
    for (nth, op) in ops.iter().enumerate() {
        let mut of_op = Tally::new(op.name);
        for (size, fill) in scenes(nth, op) {
            of_op.add(&follow_in(&place, op, size, fill, registers, &mut dice));
            if of_op.is_hopeless() {
                break;
            }
        }
        println!("  {}", of_op.line());
        tally.add(&of_op);
    }
    finish(tally);
}

#[test]
fn killed_at_every_instruction_while_putting() {
    follow_all(
        "killed while putting",
        &[PUT, TRY_PUT, PUT_BATCH, COMMIT, COMMIT_SHORT, CANCEL, FORGET_ROOM, HOLD_ROOM],
        false,
    );
}

#[test]
fn killed_at_every_instruction_while_taking() {
    follow_all("killed while taking", &[GET, TRY_GET, GET_BATCH, ACK, HOLD, GIVE_BACK, FORGET_LEASE, PEEK], false);
}

#[test]
fn killed_at_every_instruction_while_settling() {
    let ops = [PURGE, TASK_DONE, SHUT_DOWN, SHUT_DOWN_AT_ONCE, SHUT_DOWN_HOLDING];
    follow_all("killed while settling", &ops, false);
}

#[test]
fn killed_at_every_instruction_among_dead_letters() {
    let ops = [EXPIRE, EXPIRE_AT_DEATH, GET_DEAD, REQUEUE_DEAD, PURGE_DEAD];
    follow_all("killed among dead letters", &ops, false);
}

#[test]
fn killed_at_every_instruction_while_attaching_and_detaching() {
    follow_all("killed while attaching and detaching", &[ATTACH_AND_DETACH], true);
}

// ------------------------------------------------------------------------------------------------------- two deaths

#[test]
fn killed_at_every_instruction_while_repairing_after_another() {
    let _one = begin();
    let place = Place::new("steps-repair");
    let (mut tally, mut dice) = (Tally::new("killed while repairing after another"), dice());
    let some = [PUT, ACK];
    let more = [
        PUT_BATCH,
        COMMIT,
        CANCEL,
        EXPIRE,
        GET,
        GET_BATCH,
        HOLD,
        GIVE_BACK,
        PURGE,
        SHUT_DOWN_AT_ONCE,
        GET_DEAD,
        REQUEUE_DEAD,
    ];
    let most = if is_all() { 6 } else { 1 };
    for (nth, op) in some.iter().chain(more.iter().filter(|_| is_all())).enumerate() {
        let of_op = follow_heirs(&place, (nth, op), (Size::Small, Fill::Half), most, &mut dice);
        println!("  after {}", of_op.line());
        tally.add(&of_op);
    }
    finish(tally);
}

// ------------------------------------------------------------------------------------------------------- lifetimes

#[test]
fn killed_at_every_instruction_while_creating_opening_closing_and_unlinking() {
    let _one = begin();
    let (place, copies) = (Place::new("steps-lives"), Place::new("steps-copies"));
    let (mut tally, mut dice) = (Tally::new("killed while creating, opening, closing, unlinking"), dice());
    for life in &LIVES {
        let of_life = follow_life(&place, &copies, life, &mut dice);
        println!("  {}", of_life.line());
        tally.add(&of_life);
    }
    finish(tally);
}

// ------------------------------------------------------------------------------------------------------- other objects

fn event(name: &'static str, make: fn(&Location) -> Event) -> Object<Event> {
    let open = |location: &Location| Event::open(location, None, None, Trust::OwnOnly).expect("opened");
    Object { name, make, open, cycle: cycle_event, check: |event, board, _| check_event(event, board) }
}

#[test]
fn killed_at_every_instruction_with_a_mutex_a_semaphore_or_an_event() {
    let _one = begin();
    let (mut tally, mut dice) = (Tally::new("killed with a mutex, semaphore or event"), dice());
    let mutex = Object {
        name: "mutex",
        make: |location| Mutex::create(location, Lifetime::UntilUnlinked).expect("made"),
        open: |location| Mutex::open(location, None, Trust::OwnOnly).expect("opened"),
        cycle: cycle_mutex,
        check: check_mutex,
    };
    let semaphore = Object {
        name: "semaphore",
        make: |location| {
            let plan = semaphore::Plan { value: 1, maximum: 3, lifetime: Lifetime::UntilUnlinked };
            Semaphore::create(location, &plan).expect("made")
        },
        open: |location| Semaphore::open(location, None, None, Trust::OwnOnly).expect("opened"),
        cycle: cycle_semaphore,
        check: |semaphore, board, _| check_semaphore(semaphore, board),
    };
    let by_hand = event("event", |location| Event::create(location, false, Lifetime::UntilUnlinked).expect("made"));
    let by_itself = event("event that resets itself", |location| {
        Event::create(location, true, Lifetime::UntilUnlinked).expect("made")
    });
    tally.add(&follow_object(&mutex, true, &mut dice));
    tally.add(&follow_object(&semaphore, false, &mut dice));
    tally.add(&follow_object(&by_hand, false, &mut dice));
    tally.add(&follow_object(&by_itself, false, &mut dice));
    finish(tally);
}

// ------------------------------------------------------------------------------------------------------- sleepers

/// Somebody sleeps on what the victim is about to bring.
struct Sleep {
    op: Op,
    fill: Fill,
    sleep: fn(&Queue) -> u64,
    has_brought: fn(&Scene) -> bool,
    bring: fn(&Scene),
}

const SLEEPS: [Sleep; 3] = [
    Sleep {
        op: Op::new("put one", BOTH, |victim| victim.put(victim.fresh)),
        fill: Fill::Empty,
        sleep: sleep_for_item,
        has_brought: |scene| scene.counts().ready > 0,
        bring: bring_item,
    },
    Sleep {
        op: Op::new("get one", SMALL, |victim| drop(get(victim.queue).expect("an item"))),
        fill: Fill::Full,
        sleep: sleep_for_room,
        has_brought: |scene| scene.counts().free > 0,
        bring: bring_room,
    },
    Sleep {
        op: PURGE,
        fill: Fill::Half,
        sleep: sleep_in_join,
        has_brought: |scene| scene.queue().unsettled() == 0,
        bring: finish_all,
    },
];

#[test]
fn sleepers_go_on_whoever_is_killed_at_any_instruction() {
    let _one = begin();
    let place = Place::new("steps-sleepers");
    let mut tally = Tally::new("somebody asleep, its waker killed");
    let most = if is_all() { 100 } else { 12 };
    for asleep in &SLEEPS {
        let op = &asleep.op;
        let mut waits = Waits::new(op.name);
        for size in op.sizes {
            let make = || Scene::new(&place, op, *size, asleep.fill);
            let course = {
                let (scene, board) = (make(), Board::new(2));
                let _child = sleeper(&board, || (asleep.sleep)(scene.queue()));
                course_of(scene.trace(op, 1, false)).expect("to its end")
            };
            // What it does last: the change, and the wake-up.
            for (step, spot) in course.last_half(most) {
                let (scene, board) = (make(), Board::new(2));
                let mut child = sleeper(&board, || (asleep.sleep)(scene.queue()));
                tally.kill(kill_at(scene.trace(op, 1, false), spot), || format!("{} {size:?}, step {step}", op.name));
                let is_by_the_dead = board[GONE_ON].load(SeqCst) == 1 || (asleep.has_brought)(&scene);
                if !is_by_the_dead {
                    (asleep.bring)(&scene);
                }
                waits.expect_to_go_on(&board, is_by_the_dead, || format!("{size:?}, killed at step {step}"));
                child.kill();
            }
        }
        waits.finish();
    }
    finish(tally);
}

#[test]
fn the_second_sleeper_goes_on_when_the_first_is_woken_and_killed_at_any_instruction() {
    let _one = begin();
    let place = Place::new("steps-two-sleepers");
    let mut tally = Tally::new("two asleep, the one who was woken killed");
    let mut waits = Waits::new("two asleep, the one who was woken killed");
    let stride = if is_all() { 9 } else { 97 };
    let mut steps = 0;
    loop {
        let scene = Scene::new(&place, &PUT, Size::Small, Fill::Empty);
        let (board, has_taken) = (Board::new(2), Board::new(1));
        let mut first = Traced::before(|| _ = scene.me(), || has_taken[0].store(sleep_for_item(scene.queue()), SeqCst));
        // First in the kernel's line, and it stands as soon as it is woken.
        first.run_to_sleep().expect("to its sleep");
        first.go_to_system_call();
        first.falls_asleep();
        let mut second = sleeper(&board, || sleep_for_item(scene.queue()));
        bring_item(&scene);
        first.stands().expect("woken, or its heartbeat came first");
        if first.result() != 0 {
            first.kill();
            second.kill();
            continue; // its heartbeat: the second one was woken
        }
        for _ in 0..steps {
            if first.is_over() {
                break;
            }
            first.step().expect("on its way to the item");
        }
        // On a machine where steps are slow, the second one's heartbeat comes first some time, and the item is taken.
        let is_over = first.is_over() || board[GONE_ON].load(SeqCst) == 1;
        first.kill();
        let is_there = scene.counts().ready > 0 || board[GONE_ON].load(SeqCst) == 1;
        if !is_there {
            bring_item(&scene);
        }
        waits.expect_to_go_on(&board, is_there, || format!("the first killed {steps} steps after it woke"));
        tally.kill(Ok(()), String::new);
        second.kill();
        if is_over {
            break;
        }
        steps += stride;
    }
    assert!(steps > stride, "the first one never stood on its way");
    waits.finish();
    finish(tally);
}

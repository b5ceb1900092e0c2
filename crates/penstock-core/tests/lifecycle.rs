//! Killed while making, opening, closing and removing a queue; and what those leave behind who go without a word.
#![cfg(unix)] // forks its peers

mod common;

use common::lifetimes::{check_closed, check_created, check_opened, check_unlinked, check_works};
use common::lifetimes::{create_with_three, lasting, open, open_or_create};
use common::{
    BY_SIGKILL, Board, Child, Place, Raw, WELL, at_once, die, get, one_at_a_time, plan, put, tell, wait_for, within,
};
use penstock_core::layout::{CONTROL_AT, Control, KIND_AT, PutLine, QueueControl};
use penstock_core::queue::Plan;
use penstock_core::segment::Lifetime;
use penstock_core::{Error, Queue, fault};
use std::mem::offset_of;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Runs `act` in a child that dies at the `n`th point that it passes. True if `act` had returned: then the child died there.
fn kill_in(n: i64, act: impl FnOnce()) -> bool {
    let board = Board::new(1);
    let mut child = Child::run(|| {
        fault::arm(n);
        act();
        fault::arm(-1);
        board[0].store(1, SeqCst);
        die();
    });
    assert_eq!(child.end(), BY_SIGKILL);
    board[0].load(SeqCst) == 1
}

/// Runs `act` in a child that ends well.
fn in_child(act: impl FnOnce()) {
    assert_eq!(Child::run(act).end(), WELL);
}

fn say(what: &str, points: i64) {
    tell(&format!("{what}: {points} points, 0 failures"));
}

#[test]
fn killed_while_creating_leaves_a_whole_queue_or_none() {
    let _one = one_at_a_time();
    let place = Place::new("creating");
    let location = place.at("q");
    for n in 0.. {
        let has_returned = kill_in(n, || drop(Queue::create(&location, &plan(4, 8, 8)).map(std::mem::forget)));
        check_created(&place, &location, has_returned);
        if has_returned {
            return say("killed while creating", n + 1);
        }
    }
}

#[test]
fn killed_while_opening_leaves_the_queue_as_it_was() {
    let _one = one_at_a_time();
    let place = Place::new("opening");
    let location = place.at("q");
    for n in 0.. {
        in_child(|| create_with_three(&location));
        let has_returned = kill_in(n, || open(&location).map(std::mem::forget).expect("opened"));
        check_opened(&location);
        if has_returned {
            return say("killed while opening", n + 1);
        }
    }
}

#[test]
fn killed_while_closing_leaves_a_queue_or_a_free_name() {
    let _one = one_at_a_time();
    let place = Place::new("closing");
    let location = place.at("q");
    for lifetime in [Lifetime::UntilUnlinked, Lifetime::WhileOpen] {
        for n in 0.. {
            let has_returned = kill_in(n, || {
                let queue = Queue::create(&location, &lasting(lifetime)).expect("created");
                queue.close();
            });
            check_closed(&place, &location, lifetime, has_returned);
            if has_returned {
                say(&format!("killed while closing, {lifetime:?}"), n + 1);
                break;
            }
        }
    }
}

#[test]
fn killed_while_unlinking_leaves_the_name_or_tells_of_its_end() {
    let _one = one_at_a_time();
    let place = Place::new("unlinking");
    let location = place.at("q");
    for n in 0.. {
        let queue = Queue::create(&location, &plan(4, 8, 8)).expect("created");
        let has_returned = kill_in(n, || queue.unlink().expect("unlinked"));
        check_unlinked(&place, &location, &queue, has_returned);
        if has_returned {
            return say("killed while unlinking", n + 1);
        }
    }
}

#[test]
fn whoever_leaves_with_something_in_hand_leaves_it_to_others() {
    let _one = one_at_a_time();
    let place = Place::new("leaving");
    let location = place.at("q");
    let queue = Queue::create(&location, &plan(2, 0, 4000)).expect("created");
    put(&queue, b"first").expect("room");
    in_child(|| {
        let queue = open(&location).expect("opened");
        let _lease = queue.try_lease().expect("an item");
        let _room = at_once(|wait| queue.reserve(3000, wait)).expect("room");
        // Leaves in good order, but for these two.
    });
    assert_eq!(get(&queue), Ok(b"first".to_vec()));
    put(&queue, &[1; 3000]).expect("room");
    put(&queue, &[2; 3000]).expect("room for two");
    // The same within one process: its next registration is another participant.
    let lease = at_once(|wait| queue.lease(wait)).expect("an item");
    drop(queue);
    let queue = open(&location).expect("opened");
    assert!(matches!(at_once(|wait| queue.ack(&lease, wait)), Err(Error::LeaseLost { .. })));
    assert_eq!(get(&queue), Ok(vec![1; 3000]), "whoever opens the queue finds what had been leased in its old place");
    assert_eq!(get(&queue), Ok(vec![2; 3000]));
    assert_eq!(queue.depth().held, 0);
}

#[test]
fn what_the_dead_had_on_loan_comes_back_although_the_queue_never_runs_empty() {
    let _one = one_at_a_time();
    let place = Place::new("busy");
    for bytes in [8, 3000] {
        let location = place.at(&format!("q{bytes}"));
        let queue = Queue::create(&location, &plan(10, 0, 4000)).expect("created");
        (0..5).for_each(|_| put(&queue, &vec![1; bytes]).expect("room"));
        put(&queue, &vec![7; bytes]).expect("room");
        (0..5).for_each(|_| drop(get(&queue).expect("an item")));
        let mut child = Child::run(|| {
            let _lease = queue.try_lease().expect("an item");
            die();
        });
        assert_eq!(child.end(), BY_SIGKILL);
        (0..5).for_each(|_| put(&queue, &vec![2; bytes]).expect("room"));
        // As the binding does it: without waiting, and the waiting way only where that says so.
        let take = || match queue.try_lease() {
            Err(Error::Busy) => at_once(|wait| queue.lease(wait)),
            tried => tried,
        };
        wait_for("what the dead had on loan", Duration::from_secs(1), || {
            put(&queue, &vec![2; bytes]).expect("room");
            let lease = take().expect("an item");
            let mut first = [0];
            queue.read(&lease, &mut first).expect("read");
            queue.try_ack(&lease).expect("acknowledged");
            first == [7]
        });
    }
}

/// A process that knows of the queue, shares its parent's descriptors, and does nothing.
fn leave_a_bystander(board: &Board) {
    let bystander = Child::run_on(|| {
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    board[0].store(u64::try_from(bystander.pid).expect("a pid"), SeqCst);
    std::mem::forget(bystander);
}

#[test]
fn a_bystander_of_a_killed_heir_does_not_keep_the_dead_alive() {
    let _one = one_at_a_time();
    let place = Place::new("bystander");
    const PUT_LOCK: usize = KIND_AT + offset_of!(QueueControl, put) + offset_of!(PutLine, lock);
    let mut points = 0;
    for n in 0.. {
        let location = place.at(&format!("q{n}"));
        // Each opens it for itself: descriptors are shared with the bystander only.
        in_child(|| drop(Queue::create(&location, &plan(4, 8, 8)).expect("created")));
        let board = Board::new(3);
        // The heir attaches while all is well, and makes a child that goes on.
        let mut heir = Child::run(|| {
            let queue = open(&location).expect("opened");
            leave_a_bystander(&board);
            board[1].store(1, SeqCst);
            wait_for("the first death", Duration::from_secs(10), || board[1].load(SeqCst) == 2);
            fault::arm(n);
            put(&queue, &[1; 8]).expect("room");
            fault::arm(-1);
            board[2].store(1, SeqCst);
            die();
        });
        wait_for("the heir", Duration::from_secs(10), || board[1].load(SeqCst) == 1);
        // The first dies with the put lock in hand; the heir inherits it and dies at that.
        assert!(!kill_in(-1, || {
            let queue = open(&location).expect("opened");
            fault::arm(1);
            put(&queue, &[0; 8]).expect("room");
        }));
        assert_ne!(Raw::of(&location).u32(PUT_LOCK), 0);
        board[1].store(2, SeqCst);
        assert_eq!(heir.end(), BY_SIGKILL);
        let has_returned = board[2].load(SeqCst) == 1;
        let queue = open(&location).expect("opened");
        let begun = Instant::now();
        let put = within(Duration::from_secs(3), |wait| queue.put(&[&[2; 8]], wait));
        let pid = i32::try_from(board[0].load(SeqCst)).expect("a pid");
        // SAFETY: the bystander, which nobody else ends.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        assert_eq!(put, Ok(()), "the heir killed at {n}");
        assert!(begun.elapsed() < Duration::from_secs(1), "the heir killed at {n}: {:?}", begun.elapsed());
        points += 1;
        if has_returned {
            break;
        }
    }
    say("heir killed beside a bystander", points);
}

/// A process that stops at the `n`th point of `act`, or is beyond it: then it says so on the board, and stays.
fn stopped_at(n: i64, board: &Board, act: impl FnOnce() -> Queue) -> Child {
    let child = Child::run(|| {
        fault::arm_to_stop(n);
        let queue = act();
        fault::arm(-1);
        board[0].store(1, SeqCst);
        wait_for("leave to go", Duration::from_secs(20), || board[1].load(SeqCst) == 1);
        drop(queue);
    });
    wait_for("a stop or an end", Duration::from_secs(10), || child.state() == 'T' || board[0].load(SeqCst) == 1);
    child
}

#[test]
fn whoever_opens_a_name_that_is_made_anew_meets_the_others() {
    let _one = one_at_a_time();
    let place = Place::new("made-anew");
    let location = place.at("q");
    for n in 0.. {
        let old = Queue::create(&location, &plan(4, 8, 8)).expect("created");
        let board = Board::new(2);
        let mut visitor = stopped_at(n, &board, || open(&location).expect("opened"));
        if board[0].load(SeqCst) == 1 {
            board[1].store(1, SeqCst);
            assert_eq!(visitor.end(), WELL);
            return say("stopped while opening", n);
        }
        old.unlink().expect("unlinked");
        let new = Queue::create(&location, &plan(4, 8, 8)).expect("the name is free");
        visitor.go_on();
        wait_for("the visitor", Duration::from_secs(10), || board[0].load(SeqCst) == 1);
        let living = new.segment().table().expect("a table").list();
        assert!(living.iter().any(|one| i64::from(one.pid) == i64::from(visitor.pid)), "stopped at {n}: {living:?}");
        board[1].store(1, SeqCst);
        assert_eq!(visitor.end(), WELL);
        new.unlink().expect("unlinked");
    }
}

#[test]
fn a_visitor_while_it_is_being_made_takes_nothing_away() {
    let _one = one_at_a_time();
    let place = Place::new("visited");
    let location = place.at("q");
    let plan = Plan { lifetime: Lifetime::WhileOpen, ..plan(4, 8, 8) };
    for n in 0.. {
        let board = Board::new(2);
        let mut maker = stopped_at(n, &board, || Queue::create(&location, &plan).expect("created"));
        let has_made = board[0].load(SeqCst) == 1;
        drop(open(&location)); // comes and goes, if there is something to come to
        maker.go_on();
        wait_for("the maker", Duration::from_secs(10), || board[0].load(SeqCst) == 1);
        check_works(&open(&location).expect("it is there while its maker is"));
        board[1].store(1, SeqCst);
        assert_eq!(maker.end(), WELL);
        assert_eq!(place.entries(), Vec::<String>::new());
        if has_made {
            return say("visited while it is being made", n);
        }
    }
}

#[test]
fn a_name_is_not_removed_under_somebody_who_has_just_come() {
    let _one = one_at_a_time();
    let place = Place::new("just-come");
    let location = place.at("q");
    let plan = Plan { lifetime: Lifetime::WhileOpen, ..plan(4, 8, 8) };
    for n in 0.. {
        let boards = [Board::new(2), Board::new(2)];
        let mut leaver = Child::run(|| {
            let queue = Queue::create(&location, &plan).expect("created");
            fault::arm_to_stop(n);
            queue.close();
            fault::arm(-1);
            boards[0][0].store(1, SeqCst);
        });
        wait_for("a stop or an end", Duration::from_secs(10), || {
            leaver.state() == 'T' || boards[0][0].load(SeqCst) == 1
        });
        let is_over = boards[0][0].load(SeqCst) == 1;
        let mut newcomer = Child::run(|| {
            // Refused or not: in a name's last moment there is nobody to come to.
            let queue = open(&location);
            boards[1][0].store(if queue.is_ok() { 2 } else { 1 }, SeqCst);
            wait_for("leave to go", Duration::from_secs(20), || boards[1][1].load(SeqCst) == 1);
        });
        wait_for("the newcomer", Duration::from_secs(10), || boards[1][0].load(SeqCst) != 0);
        leaver.go_on();
        assert_eq!(leaver.end(), WELL);
        if boards[1][0].load(SeqCst) == 2 {
            check_works(&open(&location).expect("where the newcomer is"));
        }
        boards[1][1].store(1, SeqCst);
        assert_eq!(newcomer.end(), WELL);
        assert_eq!(place.entries(), Vec::<String>::new());
        if is_over {
            return say("stopped while closing", n);
        }
    }
}

#[test]
fn what_a_leaver_had_in_hand_comes_back_wherever_it_was_killed_or_overtaken_in_leaving() {
    let _one = one_at_a_time();
    let place = Place::new("leaving-killed");
    let location = place.at("q");
    let lease_and_leave = |queue: &Queue, arm: fn(i64), n: i64, board: &Board| {
        Child::run(|| {
            let _lease = queue.try_lease().expect("an item");
            arm(n);
            queue.close();
            fault::arm(-1);
            board[0].store(1, SeqCst);
        })
    };
    for n in 0.. {
        for is_killed in [true, false] {
            let queue = Queue::create(&location, &plan(4, 8, 8)).expect("created");
            put(&queue, &[1; 8]).expect("room");
            let board = Board::new(1);
            let mut leaver =
                lease_and_leave(&queue, if is_killed { fault::arm } else { fault::arm_to_stop }, n, &board);
            wait_for("the leaver", Duration::from_secs(10), || {
                leaver.state() == 'T' || leaver.wait(Duration::ZERO).is_some()
            });
            // Somebody repairs while the leaver is not gone yet: there is nothing to repair then.
            let early = get(&queue);
            leaver.go_on();
            leaver.end();
            let got = early.or_else(|_| within(Duration::from_secs(2), |wait| common::get_waiting(&queue, wait)));
            assert_eq!(got, Ok(vec![1; 8]), "at {n}, killed: {is_killed}");
            check_works(&queue);
            queue.unlink().expect("unlinked");
            if board[0].load(SeqCst) == 1 && is_killed {
                assert!(n >= 3, "the points of leaving were passed: {n}");
                return say("leaving with something in hand", n);
            }
        }
    }
}

#[test]
fn whoever_comes_while_a_name_is_being_removed_is_not_told_that_too_many_are_there() {
    const CURSOR: usize = CONTROL_AT + offset_of!(Control, cursor);
    let _one = one_at_a_time();
    let place = Place::new("being-removed");
    let location = place.at("q");
    let plan = Plan { lifetime: Lifetime::WhileOpen, ..plan(4, 8, 8) };
    for n in 0.. {
        let board = Board::new(2);
        let mut leaver = Child::run(|| {
            let queue = Queue::create(&location, &plan).expect("created");
            fault::arm_to_stop(n);
            queue.close();
            fault::arm(-1);
            board[0].store(1, SeqCst);
        });
        wait_for("a stop or an end", Duration::from_secs(10), || leaver.state() == 'T' || board[0].load(SeqCst) == 1);
        if board[0].load(SeqCst) == 1 {
            return say("visited while it is being removed", n);
        }
        let raw = Raw::of(&location);
        let looks_before = raw.u32(CURSOR);
        let mut visitor = Child::run(|| {
            let queue = open_or_create(&location, &plan);
            board[1].store(1, SeqCst);
            check_works(&queue);
        });
        // It has got in, or has been refused a number once already.
        wait_for("the visitor", Duration::from_secs(10), || {
            board[1].load(SeqCst) == 1 || raw.u32(CURSOR) - looks_before >= 2 || visitor.wait(Duration::ZERO).is_some()
        });
        leaver.go_on();
        assert_eq!((leaver.end(), visitor.end()), (WELL, WELL), "the leaver stopped at {n}");
        assert_eq!(place.entries(), Vec::<String>::new());
    }
}

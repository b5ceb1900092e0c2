//! Who is alive, as the kernel tells it: whatever processes do to their descriptors, and however many come and go.
#![cfg(unix)] // forks its peers

mod common;

use common::{
    BY_SIGKILL, Board, Child, Place, Raw, WELL, at_once, die, get, get_waiting, one_at_a_time, plan, put, tell,
    wait_for, within,
};
use penstock_core::layout::{CONTROL_AT, Control, Owner, PARTICIPANTS};
use penstock_core::queue::Expectation;
use penstock_core::segment::Trust;
use penstock_core::{Error, Location, Queue, sys};
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn open(location: &Location) -> Result<Queue, Error> {
    Queue::open(location, &Expectation::default(), Trust::OwnOnly)
}

fn pause() -> ! {
    loop {
        // SAFETY: no memory is passed.
        unsafe { libc::pause() };
    }
}

/// Descriptors and maps of this process that belong to segments. Others come and go with the test's own threads.
fn count_own() -> (usize, usize) {
    let fds = std::fs::read_dir("/proc/self/fd").expect("proc");
    let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    let of_segments = links.filter(|link| link.to_string_lossy().starts_with("/dev/shm/")).count();
    let maps = std::fs::read_to_string("/proc/self/maps").expect("proc");
    (of_segments, maps.lines().filter(|line| line.contains(" /dev/shm/")).count())
}

/// Nothing of `queue` is held by anybody, and all of it is there.
fn check_whole(queue: &Queue) {
    while get(queue).is_ok() {}
    for _ in 0..2 {
        (0..queue.plan().capacity).for_each(|i| put(queue, &i.to_le_bytes()).expect("room"));
        assert_eq!(put(queue, &[0; 8]), Err(Error::Full));
        (0..queue.plan().capacity).for_each(|i| assert_eq!(get(queue), Ok(i.to_le_bytes().to_vec())));
    }
    assert_eq!(queue.depth().held, 0);
}

#[test]
fn five_thousand_attach_and_are_killed_and_nothing_is_used_up() {
    let _one = one_at_a_time();
    let place = Place::new("five-thousand");
    let queue = Queue::create(&place.at("q"), &plan(10, 8, 8)).expect("created");
    let live_and_die = |nth: u64| {
        put(&queue, &nth.to_le_bytes()).expect("room");
        let mut child = Child::run(|| {
            queue.segment().me().expect("registered");
            if nth.is_multiple_of(10) {
                let _lease = queue.try_lease().expect("an item");
                die();
            }
            die();
        });
        assert_eq!(child.end(), BY_SIGKILL);
        assert_eq!(get(&queue), Ok(nth.to_le_bytes().to_vec()));
    };
    (0..10).for_each(live_and_die);
    let before = count_own();
    (10..5000).for_each(live_and_die);
    assert_eq!(count_own(), before, "descriptors and maps of the survivor");
    assert!(before.0 > 0 && before.1 > 1, "there is something to count: {before:?}");
    check_whole(&queue);
    let living = queue.segment().table().expect("a table").list().iter().filter(|one| one.is_alive).count();
    assert_eq!(living, 1);
    drop(queue);
    check_whole(&open(&place.at("q")).expect("opened"));
    tell("5000 attached and killed: 0 failures");
}

#[test]
fn attaching_and_leaving_uses_nothing_up() {
    let _one = one_at_a_time();
    let place = Place::new("leaks");
    let location = place.at("q");
    let come_and_go = || {
        let queue = Queue::create(&location, &plan(4, 8, 8)).expect("created");
        let again = open(&location).expect("opened");
        assert!(matches!(Queue::create(&location, &plan(4, 8, 8)), Err(Error::Exists { .. })));
        let wrong = Expectation { capacity: Some(5), ..Expectation::default() };
        assert!(matches!(Queue::open(&location, &wrong, Trust::OwnOnly), Err(Error::Mismatch { .. })));
        put(&queue, &[1; 8]).expect("room");
        drop(queue);
        assert_eq!(get(&again), Ok(vec![1; 8]));
        again.unlink().expect("unlinked");
    };
    (0..3).for_each(|_| come_and_go());
    let before = count_own();
    (0..2000).for_each(|_| come_and_go());
    assert_eq!((before, count_own()), ((0, 0), (0, 0)), "descriptors and maps");
}

#[test]
fn the_last_number_can_be_had_and_one_more_is_refused_until_somebody_leaves() {
    let _one = one_at_a_time();
    let place = Place::new("all-numbers");
    let queue = Queue::create(&place.at("q"), &plan(4, 8, 8)).expect("created");
    let board = Board::new(1);
    let mut children: Vec<Child> = (1..PARTICIPANTS)
        .map(|_| {
            Child::run(|| {
                queue.segment().me().expect("registered");
                board[0].fetch_add(1, SeqCst);
                pause();
            })
        })
        .collect();
    let all = u64::from(PARTICIPANTS) - 1;
    wait_for("everybody", Duration::from_secs(30), || board[0].load(SeqCst) == all);
    let try_one_more = || {
        let mut child = Child::run(|| {
            let refused = Err(Error::TooManyProcesses { name: "q".into(), limit: PARTICIPANTS });
            assert_eq!(put(&queue, &[1; 8]), refused);
            assert!(matches!(open(&place.at("q")), Err(Error::TooManyProcesses { .. })));
        });
        child.end()
    };
    assert_eq!(try_one_more(), WELL);
    put(&queue, &[2; 8]).expect("the others go on");
    children[500].kill();
    let mut next = Child::run(|| {
        put(&queue, &[3; 8]).expect("room, and a number");
        board[0].fetch_add(1, SeqCst);
        pause();
    });
    wait_for("the next", Duration::from_secs(10), || board[0].load(SeqCst) == all + 1);
    assert_eq!(try_one_more(), WELL);
    next.kill();
    assert_eq!((get(&queue), get(&queue)), (Ok(vec![2; 8]), Ok(vec![3; 8])));
    // A death among a thousand: the survivors go on as quickly.
    put(&queue, &[4; 8]).expect("room");
    let mut victim = Child::run(|| {
        let _lease = queue.try_lease().expect("an item");
        die();
    });
    victim.end();
    let begun = std::time::Instant::now();
    assert_eq!(within(Duration::from_secs(2), |wait| get_waiting(&queue, wait)), Ok(vec![4; 8]));
    tell(&format!("repair among {PARTICIPANTS} living: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3));
    children.iter().for_each(|child| child.signal(libc::SIGKILL));
    drop(children);
    check_whole(&queue);
}

#[test]
fn a_forked_child_is_somebody_else() {
    let _one = one_at_a_time();
    let place = Place::new("forked");
    let queue = Queue::create(&place.at("q"), &plan(4, 0, 4000)).expect("created");
    put(&queue, b"a").expect("room");
    put(&queue, b"b").expect("room");
    let lease = queue.try_lease().expect("an item");
    let room = at_once(|wait| queue.reserve(3000, wait)).expect("room");
    let mine = queue.segment().me().expect("registered");
    let mut child = Child::run(|| {
        assert_ne!(queue.segment().me().expect("registered"), mine);
        let is_lost = |result: Result<(), Error>| matches!(result, Err(Error::LeaseLost { .. }));
        assert!(is_lost(at_once(|wait| queue.ack(&lease, wait))));
        assert!(is_lost(queue.try_ack(&lease)));
        assert!(is_lost(at_once(|wait| queue.give_back(&lease, wait))));
        assert!(is_lost(at_once(|wait| queue.release(&lease, wait))));
        assert!(is_lost(queue.read(&lease, &mut [0])));
        assert!(is_lost(at_once(|wait| queue.commit(&room, 3000, wait))));
        assert!(is_lost(at_once(|wait| queue.cancel(&room, wait))));
        queue.abandon_lease(&lease);
        queue.abandon_reservation(&room);
        assert_eq!(get(&queue), Ok(b"b".to_vec()));
        let _hold = put(&queue, b"c").and_then(|()| queue.try_lease()).expect("an item");
        queue.close(); // the child's own claim, not the parent's
    });
    assert_eq!(child.end(), WELL);
    assert_eq!(queue.depth().held, 3, "the parent's two, and what the child left");
    assert_eq!(get(&queue), Ok(b"c".to_vec()));
    at_once(|wait| queue.commit(&room, 3000, wait)).expect("the parent's still");
    at_once(|wait| queue.give_back(&lease, wait)).expect("the parent's still");
    assert_eq!(get(&queue), Ok(b"a".to_vec()));
    assert_eq!(get(&queue).expect("an item").len(), 3000);
    assert_eq!(queue.depth().held, 0);
    // The parent dies while the child lives on: what the parent held comes back.
    let other = Queue::create(&place.at("other"), &plan(4, 8, 8)).expect("created");
    put(&other, &[1; 8]).expect("room");
    let board = Board::new(1);
    let mut parent = Child::run(|| {
        let _lease = other.try_lease().expect("an item");
        let child = Child::run_on(|| {
            other.segment().me().expect("registered");
            board[0].store(u64::from(std::process::id()), SeqCst);
            pause();
        });
        wait_for("the child", Duration::from_secs(5), || board[0].load(SeqCst) != 0);
        std::mem::forget(child);
        die();
    });
    assert_eq!(parent.end(), BY_SIGKILL);
    assert_eq!(within(Duration::from_secs(1), |wait| get_waiting(&other, wait)), Ok(vec![1; 8]));
    kill(&board);
}

/// Ends the process whose number stands on the board: a grandchild, which nobody waits for.
fn kill(board: &Board) {
    let pid = i32::try_from(board[0].load(SeqCst)).expect("a pid");
    assert!(pid > 1);
    // SAFETY: no memory is passed.
    unsafe { libc::kill(pid, libc::SIGKILL) };
}

#[test]
fn whoever_closes_all_descriptors_lives_on() {
    let _one = one_at_a_time();
    let place = Place::new("closerange");
    let location = place.at("q");
    // Made by a child, so that no descriptor is shared.
    let make = || {
        let queue = Queue::create(&location, &plan(4, 0, 4000)).expect("created");
        put(&queue, b"held").expect("room");
        put(&queue, &[1; 3000]).expect("room");
    };
    assert_eq!(Child::run(make).end(), WELL);
    let board = Board::new(2);
    let mut child = Child::run(|| {
        let queue = open(&location).expect("opened");
        let lease = queue.try_lease().expect("an item");
        // SAFETY: this process is a test's own; what it had open is not needed.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        // Somebody else's file under the same number.
        let strangers: Vec<_> = (0..8).map(|_| std::fs::File::open("/dev/null").expect("opened")).collect();
        board[0].store(1, SeqCst);
        wait_for("leave to go on", Duration::from_secs(20), || board[1].load(SeqCst) == 1);
        put(&queue, &[2; 3000]).expect("room, and a descriptor to commit it by");
        let mut bytes = vec![0; 4];
        queue.read(&lease, &mut bytes).expect("read");
        at_once(|wait| queue.ack(&lease, wait)).expect("acknowledged");
        assert_eq!(get(&queue), Ok(vec![1; 3000]));
        assert!(within(Duration::from_millis(120), |wait| queue.join(wait)).is_err());
        drop(queue);
        for stranger in &strangers {
            assert!(stranger.metadata().is_ok(), "a stranger's descriptor was closed");
        }
    });
    wait_for("the child", Duration::from_secs(5), || board[0].load(SeqCst) == 1);
    let queue = open(&location).expect("opened");
    // A death, so that somebody has to find out who lives.
    let mut victim = Child::run(|| {
        let _lease = queue.try_lease().expect("an item");
        die();
    });
    victim.end();
    assert_eq!(get(&queue), Ok(vec![1; 3000]));
    assert_eq!(get(&queue), Err(Error::Empty), "what the living one holds is not given to others");
    put(&queue, &[1; 3000]).expect("room");
    board[1].store(1, SeqCst);
    assert_eq!(child.end(), WELL);
    assert_eq!(get(&queue), Ok(vec![2; 3000]));
    assert_eq!(queue.depth().held, 0);
}

#[test]
fn a_child_made_past_the_c_library_keeps_nobody_alive() {
    let _one = one_at_a_time();
    let place = Place::new("raw-clone");
    let location = place.at("q");
    assert_eq!(Child::run(|| drop(Queue::create(&location, &plan(4, 8, 8)).expect("created"))).end(), WELL);
    let board = Board::new(1);
    let mut victim = Child::run(|| {
        let queue = open(&location).expect("opened");
        put(&queue, &[1; 8]).expect("room");
        let _lease = queue.try_lease().expect("an item");
        // SAFETY: the child does nothing but sleep.
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        if pid == 0 {
            pause();
        }
        board[0].store(u64::try_from(pid).expect("a pid"), SeqCst);
        die();
    });
    assert_eq!(victim.end(), BY_SIGKILL);
    let queue = open(&location).expect("opened");
    let got = within(Duration::from_secs(1), |wait| get_waiting(&queue, wait));
    let living = queue.segment().table().expect("a table").list().iter().filter(|one| one.is_alive).count();
    kill(&board);
    assert_eq!((got, living), (Ok(vec![1; 8]), 1));
}

#[test]
fn descriptors_sent_to_others_keep_nobody_alive() {
    let _one = one_at_a_time();
    let place = Place::new("scm-rights");
    let location = place.at("q");
    assert_eq!(Child::run(|| drop(Queue::create(&location, &plan(4, 8, 8)).expect("created"))).end(), WELL);
    let (ours, theirs) = UnixDatagram::pair().expect("a pair");
    let mut victim = Child::run(|| {
        let queue = open(&location).expect("opened");
        put(&queue, &[1; 8]).expect("room");
        let _lease = queue.try_lease().expect("an item");
        let mut sent = 0;
        for fd in 3..100 {
            let target = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
            if target == location.path {
                send_descriptor(&theirs, fd);
                sent += 1;
            }
        }
        assert!(sent > 0, "the segment's descriptor was found");
        die();
    });
    assert_eq!(victim.end(), BY_SIGKILL);
    // In the message or out of it, the descriptor lives on here.
    let queue = open(&location).expect("opened");
    assert_eq!(within(Duration::from_secs(1), |wait| get_waiting(&queue, wait)), Ok(vec![1; 8]));
    drop(ours);
    check_whole(&queue);
}

fn send_descriptor(socket: &UnixDatagram, fd: i32) {
    let mut byte = 1u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    let mut space = [0u64; 8];
    // SAFETY: all-zero bytes are a valid message header; the pointers live through the call, and `space` has room for
    // one descriptor.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = space.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(4) as _;
        let control = libc::CMSG_FIRSTHDR(&raw const message);
        (*control).cmsg_level = libc::SOL_SOCKET;
        (*control).cmsg_type = libc::SCM_RIGHTS;
        (*control).cmsg_len = libc::CMSG_LEN(4) as _;
        libc::CMSG_DATA(control).cast::<i32>().write_unaligned(fd);
        assert_eq!(libc::sendmsg(socket.as_raw_fd(), &raw const message, 0), 1);
    }
}

/// Where the next participant starts to look for a number.
const CURSOR: usize = CONTROL_AT + offset_of!(Control, cursor);

/// A process that registers once it is told to, says who it is, and stays. It does not repair, as who opens would.
fn newcomer(queue: &Queue, board: &Board) -> Child {
    Child::run(|| {
        wait_for("the word", Duration::from_secs(20), || board[0].load(SeqCst) == 1);
        board[1].store(queue.segment().me().expect("registered").word().into(), SeqCst);
        pause();
    })
}

fn owner_on(board: &Board) -> Owner {
    wait_for("a newcomer", Duration::from_secs(10), || board[1].load(SeqCst) != 0);
    Owner::from_word(u32::try_from(board[1].load(SeqCst)).expect("a word")).expect("an owner")
}

/// Somebody who registered and was killed.
fn dead_one(queue: &Queue) -> Owner {
    let board = Board::new(2);
    let mut victim = Child::run(|| {
        board[1].store(queue.segment().me().expect("registered").word().into(), SeqCst);
        die();
    });
    assert_eq!(victim.end(), BY_SIGKILL);
    owner_on(&board)
}

#[test]
fn nobody_gets_the_number_of_one_whose_death_is_being_acted_on() {
    let _one = one_at_a_time();
    let place = Place::new("born-meanwhile");
    let location = place.at("q");
    let queue = Queue::create(&location, &plan(4, 8, 8)).expect("created");
    let dead = dead_one(&queue);
    let boards = [Board::new(2), Board::new(2)];
    let _newcomers = boards.each_ref().map(|board| newcomer(&queue, board));
    let come = |board: &Board| {
        Raw::of(&location).write(CURSOR, &(dead.index() - 1).to_le_bytes());
        board[0].store(1, SeqCst);
        owner_on(board).index()
    };
    let meanwhile = queue.segment().table().expect("a table").if_dead(dead, || come(&boards[0]));
    assert!(meanwhile.is_some_and(|index| index != dead.index()), "{meanwhile:?}, and {} is dead", dead.index());
    assert_eq!(come(&boards[1]), dead.index(), "afterwards the number can be had");
}

#[test]
fn whoever_took_a_dead_ones_number_is_not_forgotten_with_it() {
    let _one = one_at_a_time();
    let place = Place::new("not-forgotten");
    let location = place.at("q");
    let queue = Queue::create(&location, &plan(4, 8, 8)).expect("created");
    let dead = dead_one(&queue);
    let table = queue.segment().table().expect("a table");
    let (found, unclean) = (table.dead(), table.control.unclean.load(SeqCst));
    assert_eq!(found, [dead]);
    // Between a repair's look at who is dead and its end, somebody comes.
    let board = Board::new(2);
    let newcomer = newcomer(&queue, &board);
    Raw::of(&location).write(CURSOR, &(dead.index() - 1).to_le_bytes());
    board[0].store(1, SeqCst);
    assert_eq!(owner_on(&board).index(), dead.index());
    table.forget(&found, unclean);
    let is_listed = table.list().iter().any(|one| i64::from(one.pid) == i64::from(newcomer.pid) && one.is_alive);
    assert!(is_listed, "{:?}", table.list());
    assert_ne!(table.control.unclean.load(SeqCst), 0, "that one did not see what the dead one left");
}

#[test]
fn a_fork_in_the_middle_of_a_reaping_does_not_keep_the_dead_alive() {
    let _one = one_at_a_time();
    let place = Place::new("fork-reaping");
    let location = place.at("q");
    assert_eq!(Child::run(|| drop(Queue::create(&location, &plan(4, 8, 8)).expect("created"))).end(), WELL);
    let queue = open(&location).expect("opened");
    let board = Board::new(4); // the reaper is at it, the forking thread, its child, the dead one
    let mut reaper = Child::run(|| {
        let queue = open(&location).expect("opened");
        board[1].store(1, SeqCst);
        wait_for("a death", Duration::from_secs(10), || board[3].load(SeqCst) != 0);
        board[1].store(0, SeqCst);
        let dead = Owner::from_word(u32::try_from(board[3].load(SeqCst)).expect("a word")).expect("an owner");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                board[1].store(sys::thread_id().into(), SeqCst);
                while board[0].load(SeqCst) == 0 {
                    std::hint::spin_loop(); // awake: its first sleep is in the fork
                }
                std::mem::forget(Child::run_on(|| {
                    board[2].store(std::process::id().into(), SeqCst);
                    pause();
                }));
            });
            wait_for("the other thread", Duration::from_secs(10), || board[1].load(SeqCst) != 0);
            queue.segment().table().expect("a table").if_dead(dead, || {
                board[0].store(1, SeqCst);
                let stat = format!("/proc/self/task/{}/stat", board[1].load(SeqCst));
                let mut looks = 0;
                wait_for("a fork, or somebody who waits for it", Duration::from_secs(10), || {
                    let is_asleep = std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") S "));
                    looks = if is_asleep { looks + 1 } else { 0 };
                    looks == 3 || board[2].load(SeqCst) != 0
                });
                die();
            });
        });
    });
    wait_for("the reaper", Duration::from_secs(10), || board[1].load(SeqCst) != 0);
    let dead = dead_one(&queue);
    board[3].store(dead.word().into(), SeqCst);
    assert_eq!(reaper.end(), BY_SIGKILL);
    let found = queue.segment().table().expect("a table").if_dead(dead, || ());
    if board[2].load(SeqCst) != 0 {
        board[0].store(board[2].load(SeqCst), SeqCst);
        kill(&board);
    }
    assert_eq!(found, Some(()), "the reaper's child keeps the lock that was meant for the reaping");
}

#[test]
fn a_child_made_past_the_c_library_is_somebody_else() {
    let _one = one_at_a_time();
    let place = Place::new("raw-clone-me");
    let location = place.at("q");
    let board = Board::new(2);
    let mut parent = Child::run(|| {
        let queue = Queue::create(&location, &plan(4, 8, 8)).expect("created");
        let mine = queue.segment().me().expect("registered");
        // SAFETY: this process has one thread, so its child may do what it likes.
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        if pid == 0 {
            board[1].store(queue.segment().me().expect("registered").word().into(), SeqCst);
            die();
        }
        assert_ne!(owner_on(&board), mine);
    });
    assert_eq!(parent.end(), WELL);
}

#[test]
fn whoever_leaves_in_good_order_is_not_among_the_dead() {
    let _one = one_at_a_time();
    let place = Place::new("good-order");
    let queue = Queue::create(&place.at("q"), &plan(4, 8, 8)).expect("created");
    let mut visitor = Child::run(|| {
        put(&queue, &[1; 8]).expect("room");
        queue.close();
    });
    assert_eq!(visitor.end(), WELL);
    let table = queue.segment().table().expect("a table");
    assert_eq!((table.dead(), table.has_dead(), table.list().len()), (vec![], false, 1));
}

#[test]
fn a_child_that_only_closes_takes_nothing_from_its_parent() {
    let _one = one_at_a_time();
    let place = Place::new("only-closes");
    let location = place.at("q");
    let queue = Queue::create(&location, &plan(4, 8, 8)).expect("created");
    put(&queue, &[1; 8]).expect("room");
    let lease = queue.try_lease().expect("an item");
    assert_eq!(Child::run(|| queue.close()).end(), WELL);
    let mut other = Child::run(|| {
        assert_eq!(get(&queue), Err(Error::Empty));
        put(&queue, &[2; 8]).expect("room");
        let _lease = queue.try_lease().expect("an item");
        die();
    });
    assert_eq!(other.end(), BY_SIGKILL);
    assert_eq!(get(&queue), Ok(vec![2; 8]), "repaired");
    queue.try_ack(&lease).expect("the parent's still");
}

#[test]
fn who_died_is_forgotten_once_it_is_set_right() {
    let _one = one_at_a_time();
    let place = Place::new("forgotten");
    let queue = Queue::create(&place.at("q"), &plan(4, 8, 8)).expect("created");
    let dead = dead_one(&queue);
    let table = queue.segment().table().expect("a table");
    assert_eq!(table.dead(), [dead]);
    put(&queue, &[1; 8]).expect("room");
    let mut victim = Child::run(|| {
        let _lease = queue.try_lease().expect("an item");
        die();
    });
    assert_eq!(victim.end(), BY_SIGKILL);
    assert_eq!(get(&queue), Ok(vec![1; 8]));
    assert_eq!((table.dead(), table.has_dead()), (vec![], false));
}

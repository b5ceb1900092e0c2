//! The system says no, or looks away, at each single call: no room at every allocation, a signal at every wait, a name
//! that changes hands between any two steps of an open.
//!
//! The C library's functions stand here once more and are what this binary is linked to. Each counts its calls; the one
//! whose turn it is fails, or lets something happen first. So every call that the core makes has its turn, and one that is
//! added later has it too.

mod common;

use common::{Child, Place, Raw, WELL, at_once, get, one_at_a_time, plan, put, tell, wait_for};
use penstock_core::deadline::Deadline;
use penstock_core::layout::{KIND_AT, Owner, QueueControl};
use penstock_core::mapping::Mapping;
use penstock_core::mutex::Mutex;
use penstock_core::queue::{Expectation, Wait};
use penstock_core::segment::{Lifetime, Trust};
use penstock_core::semaphore::{self, Semaphore};
use penstock_core::signal::Event;
use penstock_core::slots::INLINE_MAX;
use penstock_core::waiting::{Target, wait_any};
use penstock_core::{Error, Location, Queue};
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::mem::{offset_of, transmute_copy};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, Ordering::SeqCst};
use std::time::Duration;

// ------------------------------------------------------------------------------------------------------- injection

/// How many more calls of the kind go well before the one whose turn it is; negative: it was, or none is to be.
static ALLOCATIONS: AtomicI64 = AtomicI64::new(-1);
static STEPS: AtomicI64 = AtomicI64::new(-1);
/// How many waits are yet to be interrupted, each before it sleeps.
static INTERRUPTIONS: AtomicI64 = AtomicI64::new(0);
/// How often the making of room is yet to be interrupted.
static ROOM_INTERRUPTIONS: AtomicI64 = AtomicI64::new(0);
/// What happens at the step whose turn it is.
static MEDDLER: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// Whether a sign of life was asked for, and whether it had been when the meddler came.
static IS_REGISTERED: AtomicBool = AtomicBool::new(false);
static WAS_REGISTERED: AtomicBool = AtomicBool::new(false);

fn is_its_turn(counter: &AtomicI64) -> bool {
    counter.fetch_sub(1, SeqCst) == 0
}

fn step() {
    if is_its_turn(&STEPS) {
        WAS_REGISTERED.store(IS_REGISTERED.load(SeqCst), SeqCst);
        let meddler = MEDDLER.load(SeqCst);
        // SAFETY: a step is armed only with a `fn()` in MEDDLER.
        unsafe { transmute_copy::<*mut c_void, fn()>(&meddler)() };
    }
}

fn fail(errno: i32) {
    // SAFETY: this thread's own error number.
    unsafe { *libc::__errno_location() = errno };
}

/// The C library's own function of that name, as an `F`.
fn real<F: Copy>(name: &CStr) -> F {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: a C string; the answer is a function's address, and `F` is what that function is declared as.
    unsafe {
        let found = libc::dlsym(libc::RTLD_NEXT, name.as_ptr());
        assert!(!found.is_null());
        transmute_copy(&found)
    }
}

#[unsafe(no_mangle)]
extern "C" fn posix_fallocate64(fd: c_int, at: i64, len: i64) -> c_int {
    step();
    if ROOM_INTERRUPTIONS.fetch_sub(1, SeqCst) > 0 {
        return libc::EINTR;
    }
    if is_its_turn(&ALLOCATIONS) {
        return libc::ENOSPC;
    }
    real::<extern "C" fn(c_int, i64, i64) -> c_int>(c"posix_fallocate64")(fd, at, len)
}

#[unsafe(no_mangle)]
extern "C" fn open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    step();
    if flags & libc::O_TMPFILE == libc::O_TMPFILE && is_its_turn(&ALLOCATIONS) {
        fail(libc::ENOSPC);
        return -1;
    }
    real::<extern "C" fn(*const c_char, c_int, libc::mode_t) -> c_int>(c"open")(path, flags, mode)
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(fd: c_int, len: i64) -> c_int {
    if is_its_turn(&ALLOCATIONS) {
        fail(libc::ENOSPC);
        return -1;
    }
    real::<extern "C" fn(c_int, i64) -> c_int>(c"ftruncate64")(fd, len)
}

#[unsafe(no_mangle)]
extern "C" fn linkat(from: c_int, old: *const c_char, to: c_int, new: *const c_char, flags: c_int) -> c_int {
    step();
    if is_its_turn(&ALLOCATIONS) {
        fail(libc::ENOSPC);
        return -1;
    }
    type LinkAt = extern "C" fn(c_int, *const c_char, c_int, *const c_char, c_int) -> c_int;
    real::<LinkAt>(c"linkat")(from, old, to, new, flags)
}

#[unsafe(no_mangle)]
extern "C" fn mmap(at: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void {
    step();
    if fd >= 0 && is_its_turn(&ALLOCATIONS) {
        fail(libc::ENOMEM);
        return libc::MAP_FAILED;
    }
    type MMap = extern "C" fn(*mut c_void, usize, c_int, c_int, c_int, i64) -> *mut c_void;
    real::<MMap>(c"mmap")(at, len, prot, flags, fd, offset)
}

#[unsafe(no_mangle)]
extern "C" fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    step();
    IS_REGISTERED.fetch_or(command == libc::F_OFD_SETLK, SeqCst);
    real::<extern "C" fn(c_int, c_int, usize) -> c_int>(c"fcntl")(fd, command, argument)
}

#[unsafe(no_mangle)]
extern "C" fn fstat(fd: c_int, facts: *mut libc::stat) -> c_int {
    step();
    real::<extern "C" fn(c_int, *mut libc::stat) -> c_int>(c"fstat")(fd, facts)
}

#[unsafe(no_mangle)]
extern "C" fn lstat(path: *const c_char, facts: *mut libc::stat) -> c_int {
    step();
    real::<extern "C" fn(*const c_char, *mut libc::stat) -> c_int>(c"lstat")(path, facts)
}

#[unsafe(no_mangle)]
extern "C" fn syscall(n: c_long, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> c_long {
    // The core's plain waits; the standard library's are others, and not to be disturbed.
    let is_wait = n == libc::SYS_futex && b == libc::FUTEX_WAIT as usize || n == libc::SYS_futex_waitv;
    if is_wait && INTERRUPTIONS.fetch_sub(1, SeqCst) > 0 {
        fail(libc::EINTR);
        return -1;
    }
    type Syscall = extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;
    real::<Syscall>(c"syscall")(n, a, b, c, d, e, f)
}

// ------------------------------------------------------------------------------------------------------- no room

/// Does it; if there was no room, says so in a proper error, and with room it goes well.
fn again<T>(failures: &mut u32, act: impl Fn() -> Result<T, Error>) -> T {
    match act() {
        Ok(done) => done,
        Err(error) => {
            let is_shortage = matches!(error, Error::NoSpace { .. } | Error::Os { errno: libc::ENOMEM, .. });
            assert!(is_shortage, "{error:?}");
            *failures += 1;
            act().expect("nothing has changed, and now there is room")
        }
    }
}

/// Everything for which the file system or the kernel has to give something, on every kind of object.
fn all_that_needs_room(place: &Place) -> u32 {
    let mut failures = 0;
    let failed = &mut failures;
    let (q, m, s, e, b) = (place.at("q"), place.at("m"), place.at("s"), place.at("e"), place.at("b"));
    let queue = again(failed, || {
        let made = Queue::create(&q, &plan(3, 0, 9000));
        assert!(made.is_ok() || place.entries().is_empty(), "something was left behind");
        made
    });
    let stay = Lifetime::UntilUnlinked;
    let mutex = again(failed, || Mutex::create(&m, stay));
    let semaphore = again(failed, || Semaphore::create(&s, &semaphore::Plan { value: 1, maximum: 2, lifetime: stay }));
    let event = again(failed, || Event::create(&e, false, stay));
    let mapping = again(failed, || Mapping::create(&b, 10_000, stay));
    drop((mutex, semaphore, event, mapping));
    drop(again(failed, || Mutex::open(&m, None, Trust::OwnOnly)));
    drop(again(failed, || Semaphore::open(&s, None, None, Trust::OwnOnly)));
    drop(again(failed, || Event::open(&e, None, None, Trust::OwnOnly)));
    drop(again(failed, || Mapping::open(&b, None, None, Trust::OwnOnly)));
    again(failed, || put(&queue, b"small"));
    again(failed, || put(&queue, &[2; 9000]));
    let room = again(failed, || at_once(|wait| queue.reserve(8000, wait)));
    again(failed, || at_once(|wait| queue.commit(&room, 8000, wait)));
    assert_eq!(put(&queue, b"more"), Err(Error::Full), "what had failed has taken no slot");
    drop(queue);
    let queue = again(failed, || Queue::open(&q, &Expectation::default(), Trust::OwnOnly));
    assert_eq!(get(&queue), Ok(b"small".to_vec()));
    let lease = again(failed, || at_once(|wait| queue.lease(wait)));
    let mut out = vec![0; lease.len()];
    // Once more, outside of `again`: it wants `Fn`.
    if queue.read(&lease, &mut out).is_err() {
        *failed += 1;
        queue.read(&lease, &mut out).expect("now there is room");
    }
    assert_eq!(out, [2; 9000]);
    at_once(|wait| queue.ack(&lease, wait)).expect("acknowledged");
    let seen = at_once(|wait| queue.peek(5, wait)).expect("a look");
    assert!(seen.is_empty() || seen == [[0; 8000]], "what was seen was whole");
    *failed += u32::from(seen.is_empty());
    assert_eq!(get(&queue).map(|item| item.len()), Ok(8000));
    for _ in 0..2 {
        (0..3).for_each(|_| put(&queue, b"x").expect("the whole capacity"));
        assert_eq!(put(&queue, b"x"), Err(Error::Full));
        (0..3).for_each(|_| drop(get(&queue).expect("an item")));
    }
    failures
}

#[test]
fn no_room_at_any_single_allocation_is_told_and_changes_nothing() {
    let _one = one_at_a_time();
    let mut turns = 0;
    for n in 0.. {
        let place = Place::new(&format!("no-room-{n}"));
        let mut child = Child::run(|| {
            ALLOCATIONS.store(n, SeqCst);
            let failures = all_that_needs_room(&place);
            let had_its_turn = ALLOCATIONS.load(SeqCst) < 0;
            // A large item for which one slot gets no room is tried in another, and nobody need know.
            assert!(failures <= u32::from(had_its_turn), "allocation {n}: {failures} failures");
            // SAFETY: ends the process.
            unsafe { libc::_exit(if had_its_turn { 0 } else { 42 }) };
        });
        match child.end() {
            WELL => turns += 1,
            ended => {
                assert_eq!(ended, common::Ended::Exited(42), "no room at allocation {n}");
                break;
            }
        }
    }
    tell(&format!("no room: at each of {turns} allocations, 0 failures"));
    assert!(turns > 20, "only {turns} allocations");
}

// ------------------------------------------------------------------------------------------------------- signals

const MANY: i64 = 1 << 40;

fn small(location: &Location) -> Queue {
    Queue::create(location, &plan(1, 0, 5000)).expect("created")
}

/// Waits; `Busy`, `Empty` or `Full` when the time is over.
type Verb<'a> = Box<dyn Fn(&mut Wait<'_>) -> Result<(), Error> + 'a>;

/// One way to wait: on what, for what, and what ends the wait.
struct Waiting<'a> {
    name: &'static str,
    wait: Verb<'a>,
    /// Brings about what is waited for.
    bring: Box<dyn Fn() + 'a>,
    /// Has it to be waited for again.
    reset: Box<dyn Fn() + 'a>,
}

/// Each wait is interrupted again and again: the time is kept all the same, what a handler raises ends it with nothing
/// changed, and what is waited for ends it whenever it comes.
fn interrupt(waiting: &Waiting<'_>) -> u32 {
    let run = |time: Duration, tick: &mut dyn FnMut() -> Result<(), Error>| {
        INTERRUPTIONS.store(MANY, SeqCst);
        let until = Deadline::after(Some(time));
        let outcome = (waiting.wait)(&mut Wait { lock: until, change: until, tick });
        INTERRUPTIONS.store(0, SeqCst);
        outcome
    };
    let name = waiting.name;
    let mut cases = 0;
    (waiting.reset)();
    let looks = |most_ms| {
        let mut ticks = 0;
        let outcome = run(Duration::from_millis(most_ms), &mut || {
            ticks += 1;
            Ok(())
        });
        assert!(matches!(outcome, Err(Error::Busy | Error::Empty | Error::Full)), "{name}: {outcome:?}");
        ticks > 0
    };
    // Whoever loses his processor on the way finds a short time over before he has come to wait.
    assert!([5, 50, 500, 5000].into_iter().any(looks), "{name}: nobody looked for signals");
    for n in 1..20 {
        let mut count = 0;
        let outcome = run(Duration::from_secs(20), &mut || {
            count += 1;
            if count == n { Err(Error::Interrupted) } else { Ok(()) }
        });
        assert_eq!(outcome, Err(Error::Interrupted), "{name}: a handler raises at interruption {n}");
        let mut count = 0;
        let outcome = run(Duration::from_secs(20), &mut || {
            count += 1;
            if count == n {
                (waiting.bring)();
            }
            Ok(())
        });
        assert_eq!(outcome, Ok(()), "{name}: it comes at interruption {n}");
        (waiting.reset)();
        cases += 2;
    }
    cases
}

#[test]
fn a_signal_at_any_single_wait_neither_ends_nor_prolongs_it() {
    let _one = one_at_a_time();
    let place = Place::new("signals");
    let mut child = Child::run(|| {
        let (empty, full) = (small(&place.at("empty")), small(&place.at("full")));
        put(&full, b"there").expect("room");
        let queue_waits = queue_waits(&empty, &full);
        let count: u32 = queue_waits.iter().map(interrupt).sum();
        let (locked, others) = (lock_waits(&place), other_waits(&place));
        let count = count + locked + others;
        tell(&format!("signals: {count} cases, 0 failures"));
    });
    assert_eq!(child.wait(Duration::from_secs(60)), Some(WELL));
}

fn queue_waits<'a>(empty: &'a Queue, full: &'a Queue) -> Vec<Waiting<'a>> {
    let drain = move || while get(empty).is_ok() {};
    let bring = move || put(empty, b"x").expect("room");
    let fill = move || drop(put(full, b"x"));
    let free = move || drop(get(full).expect("an item"));
    let of = |name, wait, bring, reset| Waiting { name, wait, bring, reset };
    vec![
        of(
            "get",
            Box::new(move |wait| empty.get(&mut [0; INLINE_MAX], wait).map(drop)),
            Box::new(bring),
            Box::new(drain),
        ),
        of(
            "lease",
            Box::new(move |wait| empty.lease(wait).map(|lease| empty.try_ack(&lease).expect("mine"))),
            Box::new(bring),
            Box::new(drain),
        ),
        of(
            "wait for any",
            Box::new(move |wait| {
                let ready = wait_any(&[Target::Queue(empty)], wait.change, wait.tick)?;
                if ready.is_empty() { Err(Error::Busy) } else { Ok(()) }
            }),
            Box::new(bring),
            Box::new(drain),
        ),
        of("put", Box::new(move |wait| full.put(&[b"y"], wait)), Box::new(free), Box::new(fill)),
        of("put large", Box::new(move |wait| full.put(&[&[1; 5000]], wait)), Box::new(free), Box::new(fill)),
        of(
            "reserve",
            Box::new(move |wait| full.reserve(5000, wait).map(|room| full.cancel_or_abandon(&room))),
            Box::new(free),
            Box::new(fill),
        ),
        of(
            "join",
            Box::new(move |wait| full.join(wait)),
            Box::new(move || {
                let unsettled = full.unsettled();
                at_once(|wait| full.task_done(unsettled, wait)).expect("as many as there are");
            }),
            Box::new(move || {
                while get(full).is_ok() {}
                put(full, b"x").expect("room");
            }),
        ),
    ]
}

/// Locks that a living process holds: nobody but it can end the wait.
fn lock_waits(place: &Place) -> u32 {
    let location = place.at("locked");
    let queue = small(&location);
    let board = common::Board::new(1);
    let _bystander = Child::run(|| {
        board[0].store(u64::from(queue.segment().me().expect("registered").word()), SeqCst);
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    wait_for("the bystander", Duration::from_secs(5), || board[0].load(SeqCst) != 0);
    let bystander = Owner::from_word(u32::try_from(board[0].load(SeqCst)).expect("a word")).expect("somebody");
    let raw = Raw::of(&location);
    let lock = |at: usize, owner: Option<Owner>| {
        let word = owner.map_or(0, Owner::word);
        raw.write(KIND_AT + at, &word.to_le_bytes());
    };
    let put_at = offset_of!(QueueControl, put);
    let get_at = offset_of!(QueueControl, get);
    let (queue, lock) = (&queue, &lock);
    let waits = [
        Waiting {
            name: "the put lock",
            wait: Box::new(move |wait| {
                queue.put(&[b"x"], wait)?;
                get(queue).map(drop)
            }),
            bring: Box::new(move || lock(put_at, None)),
            reset: Box::new(move || lock(put_at, Some(bystander))),
        },
        Waiting {
            name: "the get lock",
            wait: Box::new(move |wait| queue.purge(wait).map(drop)),
            bring: Box::new(move || lock(get_at, None)),
            reset: Box::new(move || {
                lock(put_at, None);
                lock(get_at, Some(bystander));
            }),
        },
    ];
    let count = waits.iter().map(interrupt).sum();
    lock(get_at, None);
    count
}

fn other_waits(place: &Place) -> u32 {
    let stay = Lifetime::UntilUnlinked;
    let plan = semaphore::Plan { value: 0, maximum: 9, lifetime: stay };
    let semaphore = &Semaphore::create(&place.at("s"), &plan).expect("created");
    let event = &Event::create(&place.at("e"), false, stay).expect("created");
    let mutex_at = place.at("m");
    let mutex = &Mutex::create(&mutex_at, stay).expect("created");
    let board = common::Board::new(2);
    let holder = Child::run(|| {
        assert_eq!(mutex.try_take(), Ok(false));
        board[0].store(u64::from(mutex.segment().me().expect("registered").word()), SeqCst);
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    wait_for("the holder", Duration::from_secs(5), || board[0].load(SeqCst) != 0);
    let raw = &Raw::of(&mutex_at);
    let word = u32::try_from(board[0].load(SeqCst)).expect("a word");
    let waits = [
        Waiting {
            name: "semaphore",
            wait: Box::new(move |wait| semaphore.acquire(wait.change, wait.tick)),
            bring: Box::new(move || assert!(semaphore.release(1).is_ok())),
            reset: Box::new(|| ()),
        },
        Waiting {
            name: "event",
            wait: Box::new(move |wait| event.wait(wait.change, wait.tick)),
            bring: Box::new(move || event.set()),
            reset: Box::new(move || event.clear()),
        },
        Waiting {
            name: "mutex",
            wait: Box::new(move |wait| mutex.take(wait.change, wait.tick).and_then(|_| mutex.release())),
            bring: Box::new(move || raw.write(KIND_AT, &0u32.to_le_bytes())),
            reset: Box::new(move || raw.write(KIND_AT, &word.to_le_bytes())),
        },
    ];
    let count = waits.iter().map(interrupt).sum();
    drop(holder);
    count
}

#[test]
fn a_signal_while_room_is_made_has_it_made_again() {
    let _one = one_at_a_time();
    let place = Place::new("interrupted-room");
    let mut child = Child::run(|| {
        let queue = small(&place.at("q"));
        ROOM_INTERRUPTIONS.store(5, SeqCst);
        put(&queue, &[1; 5000]).expect("room");
        assert!(ROOM_INTERRUPTIONS.load(SeqCst) < 0, "five times in vain, and once more");
        assert_eq!(get(&queue), Ok(vec![1; 5000]));
    });
    assert_eq!(child.end(), WELL);
}

// ------------------------------------------------------------------------------------------------------- names

const NAME: &CStr = c"q";
const OTHER: &CStr = c"other";

/// Another queue comes under the name; who stands in the directory can use bare names.
fn swap_for_another() {
    // SAFETY: C strings.
    assert_eq!(unsafe { libc::rename(OTHER.as_ptr(), NAME.as_ptr()) }, 0);
}

fn swap_for_a_link() {
    // SAFETY: C strings.
    unsafe {
        assert_eq!(libc::symlink(OTHER.as_ptr(), c"link".as_ptr()), 0);
        assert_eq!(libc::rename(c"link".as_ptr(), NAME.as_ptr()), 0);
    }
}

fn remove_the_name() {
    // SAFETY: a C string.
    assert_eq!(unsafe { libc::unlink(NAME.as_ptr()) }, 0);
}

/// Opens a queue whose name changes hands at the `n`-th step. What comes of it must be what lies under the name, or
/// learn that it does not.
fn open_meddled(place: &Place, n: i64, meddler: fn(), is_refusal: fn(&Error) -> bool) -> bool {
    const BEFORE: u64 = 3;
    std::env::set_current_dir(place.path()).expect("there");
    MEDDLER.store(meddler as *mut c_void, SeqCst);
    IS_REGISTERED.store(false, SeqCst);
    STEPS.store(n, SeqCst);
    let opened = Queue::open(&place.at("q"), &Expectation::default(), Trust::OwnOnly);
    let had_its_turn = STEPS.swap(-1, SeqCst) < 0;
    match &opened {
        Err(error) => assert!(had_its_turn && is_refusal(error), "step {n}: {error:?}"),
        Ok(queue) if queue.plan().capacity == BEFORE && had_its_turn => {
            // It went after the last look, which comes once the sign of life is there. A wait finds out.
            assert!(WAS_REGISTERED.load(SeqCst), "step {n}: opened what had lost its name before");
            let found = common::within(Duration::from_secs(5), |wait| common::get_waiting(queue, wait));
            assert!(matches!(found, Err(Error::Removed { .. })), "step {n}: {found:?}");
        }
        Ok(queue) => {
            put(queue, b"x").expect("room");
            assert_eq!(get(queue), Ok(b"x".to_vec()));
        }
    }
    had_its_turn
}

#[test]
fn a_name_that_changes_hands_at_any_step_of_an_open_leads_to_no_world_of_its_own() {
    let _one = one_at_a_time();
    type Refusal = fn(&Error) -> bool;
    let meddlers: [(&str, fn(), Refusal); 3] = [
        ("another queue", swap_for_another, |_| false),
        ("a link", swap_for_a_link, |error| matches!(error, Error::Foreign { .. })),
        ("nothing", remove_the_name, |error| matches!(error, Error::NotFound { .. } | Error::Removed { .. })),
    ];
    let mut turns = 0;
    for (what, meddler, is_refusal) in meddlers {
        for n in 0.. {
            let place = Place::new(&format!("meddled-{n}"));
            for (name, capacity) in [("q", 3), ("other", 7)] {
                let make = || drop(Queue::create(&place.at(name), &plan(capacity, 0, 100)).expect("created"));
                assert_eq!(Child::run(make).end(), WELL);
            }
            let mut child = Child::run(|| {
                let had_its_turn = open_meddled(&place, n, meddler, is_refusal);
                // SAFETY: ends the process.
                unsafe { libc::_exit(if had_its_turn { 0 } else { 42 }) };
            });
            match child.end() {
                WELL => turns += 1,
                ended => {
                    assert_eq!(ended, common::Ended::Exited(42), "{what} at step {n}");
                    break;
                }
            }
        }
    }
    tell(&format!("names: changed hands at each of {turns} steps, 0 failures"));
    assert!(turns > 20, "only {turns} steps");
}

//! What stands behind the core on Windows: files, locks, wake-ups, and processes that die at every crash point.
#![cfg(windows)]

#[path = "common/portable.rs"]
mod common;

use common::{Place, at_once, get, item, patiently, plan, put};
use penstock_core::listing::listing;
use penstock_core::queue::{Expectation, Plan};
use penstock_core::segment::{Lifetime, Trust};
use penstock_core::semaphore::{self, Semaphore};
use penstock_core::signal::Event;
use penstock_core::{Deadline, Error, Location, Mutex, Queue};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NAME: &str = "PENSTOCK_TEST_NAME";
const TASK: &str = "PENSTOCK_TEST_TASK";

/// Runs this program again with nothing but the test `child`, which does `task`.
fn start(location: &Location, task: &str) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["child", "--exact", "--nocapture"])
        .env(TASK, task)
        .env(NAME, &location.path)
        .stdout(Stdio::null())
        .spawn()
        .expect("started")
}

fn open(location: &Location) -> Queue {
    Queue::open(location, &Expectation::default(), Trust::OwnOnly).expect("opened")
}

/// A plan for memory that goes with its users.
fn while_open(capacity: u64, max_item_bytes: u64) -> Plan {
    Plan { lifetime: Lifetime::WhileOpen, ..plan(capacity, 0, max_item_bytes) }
}

/// Does it and dies at the crash point of that number on the way, if there are as many.
#[cfg(feature = "crash-points")]
fn dying_at(point: i64, act: impl FnOnce()) {
    penstock_core::fault::arm(point);
    act();
    penstock_core::fault::arm(-1);
}

/// Not a test of its own: what a child does.
#[test]
fn child() {
    let (Ok(task), Some(path)) = (std::env::var(TASK), std::env::var_os(NAME)) else { return };
    let location = Location { name: "theirs".into(), path: path.into(), is_file: false };
    let (kind, number) = task.split_once(' ').unwrap_or((&task, "0"));
    let number: i64 = number.parse().expect("a number");
    match kind {
        "echo" => {
            let queue = open(&location);
            let got = patiently(|wait| common::get_waiting(&queue, wait)).expect("an item");
            put(&queue, &got).expect("room");
        }
        "hold" => {
            let mutex = Mutex::open(&location, None, Trust::OwnOnly).expect("opened");
            assert_eq!(mutex.try_take(), Ok(false), "nobody died before");
            std::process::abort();
        }
        "scratch" => {
            let _queue = Queue::create(&location, &while_open(1, 100));
            std::process::abort();
        }
        #[cfg(feature = "crash-points")]
        "deed" => {
            let (point, deed, len) = (number / 1_000_000, number / 100_000 % 10, number % 100_000);
            let queue = open(&location);
            queue.use_in_turn(0); // or only items of megabytes would change their places
            let (deed, len) = (usize::try_from(deed).expect("small"), usize::try_from(len).expect("small"));
            dying_at(point, || (DEEDS[deed].act)(&queue, len));
        }
        #[cfg(feature = "crash-points")]
        "attach" => dying_at(number, || drop(open(&location))),
        #[cfg(feature = "crash-points")]
        "create" => dying_at(number, || drop(Queue::create(&location, &plan(2, 0, 100)).expect("created"))),
        #[cfg(feature = "crash-points")]
        "create-while-open" => {
            dying_at(number, || drop(Queue::create(&location, &while_open(2, 100)).expect("created")))
        }
        #[cfg(feature = "crash-points")]
        "mutex" => {
            let mutex = Mutex::open(&location, None, Trust::OwnOnly).expect("opened");
            dying_at(number, || {
                mutex.try_take().expect("free");
                mutex.release().expect("released");
            });
        }
        #[cfg(feature = "crash-points")]
        "event" => {
            let event = Event::open(&location, None, None, Trust::OwnOnly).expect("opened");
            dying_at(number, || {
                event.set();
                event.try_wait().expect("set");
            });
        }
        #[cfg(feature = "crash-points")]
        "semaphore" => {
            let semaphore = Semaphore::open(&location, None, None, Trust::OwnOnly).expect("opened");
            dying_at(number, || {
                semaphore.try_acquire().expect("three");
                semaphore.release(1).expect("and back");
            });
        }
        other => panic!("no task {other} {number}"),
    }
}

#[test]
fn names_that_windows_keeps_for_itself_are_names_like_others() {
    let place = Place::new("names");
    for name in ["a:b", "con", "NUL.txt", "what?", "ends.", "50%", "a\\b", "<|>"] {
        let location = place.at(name);
        let queue = Queue::create(&location, &plan(2, 0, 100)).unwrap_or_else(|error| panic!("{name}: {error}"));
        put(&queue, b"x").expect("room");
        let listed = penstock_core::listing::listing(place.path()).expect("listed");
        assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), [name]);
        queue.segment().unlink().expect("removed");
    }
}

#[test]
fn a_removed_name_is_free_at_once_and_its_users_learn_of_it() {
    let place = Place::new("unlink");
    let location = place.at("q");
    let old = Queue::create(&location, &plan(2, 0, 100)).expect("created");
    let outside = open(&location);
    penstock_core::listing::remove(&location).expect("removed without attaching");
    assert!(matches!(old.segment().check_still_named(), Err(Error::Removed { .. })));
    let new = Queue::create(&location, &plan(2, 0, 100)).expect("the name is free");
    put(&new, b"new").expect("room");
    put(&old, b"old").expect("who is attached goes on");
    assert_eq!(get(&outside).expect("an item"), b"old");
    assert_eq!(get(&new).expect("an item"), b"new");
}

#[test]
fn of_two_who_create_one_name_one_is_first() {
    let place = Place::new("first");
    let location = place.at("q");
    let made = |_| {
        std::thread::spawn({
            let location = location.clone();
            move || Queue::create(&location, &plan(1, 0, 100)).map(|_| ())
        })
    };
    let ends: Vec<_> = (0..4).map(made).collect::<Vec<_>>().into_iter().map(|t| t.join().expect("ends")).collect();
    assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 1, "{ends:?}");
}

#[test]
fn a_file_goes_with_its_last_user() {
    let place = Place::new("while-open");
    drop(Queue::create(&place.at("q"), &while_open(1, 100)).expect("created"));
    assert_eq!(place.entries(), [""; 0]);
}

#[test]
fn another_process_wakes_when_an_item_comes_and_answers() {
    for (name, plan) in [("file", plan(1, 0, 1_000_000)), ("memory", while_open(1, 1_000_000))] {
        let place = Place::new(&format!("echo-{name}"));
        let location = place.at("q");
        let queue = Queue::create(&location, &plan).expect("created");
        let mut peer = start(&location, "echo");
        common::wait_for("the peer to attach", Duration::from_secs(20), || {
            queue.segment().table().expect("a table").list().len() == 2
        });
        // So large that its room is given now, after both have mapped it.
        let committed = || queue.segment().extent().expect("an extent").1;
        let before = committed();
        put(&queue, &item(5, 600_000)).expect("room");
        assert!(committed() >= before + 600_000, "{name}: {before} bytes before, {} now", committed());
        assert!(peer.wait().expect("waited for").success());
        assert_eq!(get(&queue).expect("an answer"), item(5, 600_000));
    }
}

#[test]
fn a_wake_up_is_not_the_heartbeat() {
    let place = Place::new("wake");
    let queue = std::sync::Arc::new(Queue::create(&place.at("q"), &plan(1, 0, 100)).expect("created"));
    let rounds = 40;
    let getter = std::thread::spawn({
        let queue = std::sync::Arc::clone(&queue);
        move || (0..rounds).for_each(|_| drop(patiently(|wait| common::get_waiting(&queue, wait)).expect("an item")))
    });
    let word = queue.events().0;
    let mut woken = 0;
    for _ in 0..rounds {
        // Until it sleeps: the bit that says so, and a moment more.
        common::wait_for("a sleeper", Duration::from_secs(20), || {
            word.load(std::sync::atomic::Ordering::SeqCst) & 1 == 1
        });
        std::thread::sleep(Duration::from_millis(3));
        let begun = std::time::Instant::now();
        patiently(|wait| queue.put(&[b"x"], wait)).expect("room");
        common::wait_for("it to be taken", Duration::from_secs(20), || queue.is_empty());
        woken += u32::from(begun.elapsed() < Duration::from_millis(20));
    }
    getter.join().expect("ends well");
    assert!(woken * 2 > rounds, "only {woken} of {rounds} were taken at once");
}

#[test]
fn the_mutex_of_a_dead_process_is_handed_on() {
    let place = Place::new("mutex");
    let location = place.at("m");
    let mutex = Mutex::create(&location, Lifetime::UntilUnlinked).expect("created");
    assert!(!start(&location, "hold").wait().expect("waited for").success());
    let mut tick = || Ok(());
    let was_abandoned = mutex.take(Deadline::after(Some(Duration::from_secs(20))), &mut tick);
    assert_eq!(was_abandoned, Ok(true));
    mutex.release().expect("released");
}

/// What a child does to a queue with items 1 and 2 in it.
#[cfg(feature = "crash-points")]
struct Deed {
    name: &'static str,
    act: fn(&Queue, usize),
    /// What may be left of it, wherever the child dies; the last is what is left when it does not.
    left: &'static [&'static [u32]],
}

#[cfg(feature = "crash-points")]
const DEEDS: [Deed; 8] = [
    Deed {
        name: "put and get",
        act: |queue, len| {
            put(queue, &item(7, len)).expect("room");
            get(queue).expect("an item");
        },
        left: &[&[1, 2], &[1, 2, 7], &[2, 7]],
    },
    Deed {
        name: "put and get a batch",
        act: |queue, len| {
            let bytes = [item(7, len), item(8, len)].concat();
            assert_eq!(at_once(|wait| queue.put_batch(&bytes, wait)), Ok(2));
            let (mut out, mut lens) = (Vec::new(), Vec::new());
            assert_eq!(at_once(|wait| queue.get_batch(2, &mut out, &mut lens, wait)).expect("items"), 2);
        },
        left: &[&[1, 2], &[1, 2, 7], &[1, 2, 7, 8], &[2, 7, 8], &[7, 8]],
    },
    Deed {
        name: "lease and ack",
        act: |queue, _| {
            let lease = at_once(|wait| queue.lease(wait)).expect("an item");
            at_once(|wait| queue.ack(&lease, wait)).expect("acknowledged");
        },
        left: &[&[1, 2], &[2]],
    },
    Deed {
        name: "lease and give back",
        act: |queue, _| {
            let lease = at_once(|wait| queue.lease(wait)).expect("an item");
            at_once(|wait| queue.give_back(&lease, wait)).expect("given back");
        },
        left: &[&[1, 2]],
    },
    Deed {
        name: "reserve and commit",
        act: |queue, len| {
            let room = at_once(|wait| queue.reserve(len, wait)).expect("room");
            // SAFETY: the reservation is ours, and of this length.
            unsafe { std::ptr::copy_nonoverlapping(item(7, len).as_ptr(), queue.reserved_bytes(&room), len) };
            at_once(|wait| queue.commit(&room, len, wait)).expect("sent");
        },
        left: &[&[1, 2], &[1, 2, 7]],
    },
    Deed {
        name: "reserve and cancel",
        act: |queue, len| {
            let room = at_once(|wait| queue.reserve(len, wait)).expect("room");
            at_once(|wait| queue.cancel(&room, wait)).expect("given back");
        },
        left: &[&[1, 2]],
    },
    Deed {
        name: "purge",
        act: |queue, _| assert_eq!(at_once(|wait| queue.purge(wait)), Ok(2)),
        left: &[&[1, 2], &[2], &[]],
    },
    Deed {
        name: "shut down",
        act: |queue, _| at_once(|wait| queue.shut_down(wait)).expect("shut down"),
        left: &[&[1, 2]],
    },
];

/// Has a child do that. False: it died at its crash point.
#[cfg(feature = "crash-points")]
fn lives(location: &Location, task: &str) -> bool {
    match start(location, task).wait().expect("waited for").code() {
        Some(0) => true,
        Some(9) => false,
        other => panic!("the child that was to {task} ended with {other:?}"),
    }
}

/// Has children do it and die, each one point later, until one does not. Returns how many died.
#[cfg(feature = "crash-points")]
fn die_at_every_point(what: &str, mut once: impl FnMut(i64) -> bool) -> u32 {
    for point in 0..400 {
        if once(point) {
            return u32::try_from(point).expect("few");
        }
    }
    panic!("{what}: the child never came to its end");
}

#[cfg(feature = "crash-points")]
fn die_in(deed: usize, len: usize) -> u32 {
    let Deed { name, left: may_be_left, .. } = &DEEDS[deed];
    let place = Place::new(&format!("die-{deed}-{len}"));
    die_at_every_point(name, |point| {
        let location = place.at("q");
        let fixed = u64::try_from(len).expect("short");
        let queue = Queue::create(&location, &plan(4, fixed, fixed)).expect("created");
        (1..3).for_each(|id| put(&queue, &item(id, len)).expect("room"));
        let lived = lives(
            &location,
            &format!("deed {}", point * 1_000_000 + i64::try_from(deed * 100_000 + len).expect("small")),
        );
        drop(open(&location)); // a newcomer repairs
        let mut left = Vec::new();
        while let Ok(bytes) = get(&queue) {
            left.push(common::id_of(&bytes).expect("whole"));
        }
        assert!(may_be_left.contains(&&left[..]), "{name}, {len} bytes, dead at {point}: left {left:?}");
        assert!(!lived || may_be_left.last() == Some(&&left[..]), "{name}: alive, left {left:?}");
        if !queue.is_shut_down() {
            (0..4).for_each(|id| put(&queue, &item(id, len)).expect("all slots are free again"));
        }
        queue.segment().unlink().expect("removed");
        lived
    })
}

/// Wherever the child dies, what is there afterwards is whole and in order, nothing is lost but what it may have taken, and
/// the whole capacity is free.
#[cfg(feature = "crash-points")]
#[test]
fn a_process_may_die_at_every_point_of_every_verb() {
    let mut deaths = 0;
    for (deed, Deed { name, .. }) in DEEDS.iter().enumerate() {
        let few = die_in(deed, 64);
        println!("{name}: died at {few} points");
        deaths += few;
    }
    // Put, batch, lease, reservation of what does not fit a slot, so that its room is committed on the way.
    for deed in [0, 2, 3, 4, 5] {
        deaths += die_in(deed, 50_000);
    }
    assert!(deaths > 150, "only {deaths} points");
}

#[cfg(feature = "crash-points")]
#[test]
fn a_process_may_die_at_every_point_of_attaching_and_detaching() {
    let place = Place::new("die-attaching");
    let location = place.at("q");
    let queue = Queue::create(&location, &plan(2, 0, 100)).expect("created");
    put(&queue, b"whole").expect("room");
    let deaths = die_at_every_point("attach", |point| {
        let lived = lives(&location, &format!("attach {point}"));
        drop(open(&location)); // a newcomer removes the dead
        assert_eq!(queue.segment().table().expect("a table").list().len(), 1, "dead at {point}");
        lived
    });
    assert!(deaths > 3, "only {deaths} points");
    assert_eq!(get(&queue).expect("an item"), b"whole");
}

#[cfg(feature = "crash-points")]
#[test]
fn a_process_may_die_at_every_point_of_creating_a_queue() {
    let place = Place::new("die-creating");
    let deaths = die_at_every_point("create", |point| {
        let location = place.at("q");
        let lived = lives(&location, &format!("create {point}"));
        let (queue, _) = Queue::open_or_create(&location, &plan(2, 0, 100), &Expectation::default(), Trust::OwnOnly)
            .unwrap_or_else(|error| panic!("dead at {point}: {error}"));
        put(&queue, b"whole").expect("room");
        assert_eq!(get(&queue).expect("an item"), b"whole");
        queue.segment().unlink().expect("removed");
        lived
    });
    assert!(deaths > 3, "only {deaths} points");
    // What is a minute old counts as given up; these are made so old.
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(120);
    for entry in place.entries() {
        let file = std::fs::OpenOptions::new().write(true).open(place.path().join(entry)).expect("there");
        file.set_modified(long_ago).expect("made older");
    }
    assert!(!place.entries().is_empty(), "some died while they built");
    penstock_core::listing::remove_stale(place.path()).expect("looked for");
    assert_eq!(place.entries(), [""; 0], "what the dead had begun is removed");
}

#[cfg(feature = "crash-points")]
#[test]
fn a_process_may_die_at_every_point_of_a_mutex_a_semaphore_and_an_event() {
    let place = Place::new("die-signals");
    let wait = || Deadline::after(Some(Duration::from_secs(20)));
    let mut tick = || Ok(());
    let mutex_at = place.at("mutex");
    let mutex = Mutex::create(&mutex_at, Lifetime::UntilUnlinked).expect("created");
    let deaths = die_at_every_point("mutex", |point| {
        let lived = lives(&mutex_at, &format!("mutex {point}"));
        mutex.take(wait(), &mut tick).unwrap_or_else(|error| panic!("dead at {point}: {error}"));
        mutex.release().expect("released");
        lived
    });
    assert!(deaths > 1, "only {deaths} points of a mutex");
    let event_at = place.at("event");
    let event = Event::create(&event_at, true, Lifetime::UntilUnlinked).expect("created");
    let deaths = die_at_every_point("event", |point| {
        let lived = lives(&event_at, &format!("event {point}"));
        event.set();
        event.wait(wait(), &mut tick).unwrap_or_else(|error| panic!("dead at {point}: {error}"));
        assert!(event.try_wait().is_err(), "dead at {point}: it resets itself");
        lived
    });
    assert!(deaths > 1, "only {deaths} points of an event");
    let semaphore_at = place.at("semaphore");
    let deaths = die_at_every_point("semaphore", |point| {
        let three = semaphore::Plan { value: 3, maximum: 3, lifetime: Lifetime::UntilUnlinked };
        let semaphore = Semaphore::create(&semaphore_at, &three).expect("created");
        let lived = lives(&semaphore_at, &format!("semaphore {point}"));
        let value = semaphore.value().expect("a value");
        assert!(value == 3 || (value == 2 && !lived), "dead at {point}: {value}");
        (0..value).for_each(|_| semaphore.try_acquire().expect("as many as it says"));
        assert!(semaphore.try_acquire().is_err());
        semaphore.release(3).expect("and back");
        semaphore.segment().unlink().expect("removed");
        lived
    });
    assert!(deaths > 1, "only {deaths} points of a semaphore");
}

/// Its memory went with its users. What stood for that is found to mean nothing by whoever looks there next.
#[test]
fn a_while_open_name_is_free_when_all_its_users_were_killed() {
    let place = Place::new("while-open-killed");
    let location = place.at("q");
    let kill = || assert!(!start(&location, "scratch").wait().expect("waited for").success());
    kill();
    assert_eq!(place.entries().len(), 1);
    assert_eq!(listing(place.path()), Ok(Vec::new()));
    assert_eq!(place.entries(), [""; 0]);
    kill();
    let opened = Queue::open(&location, &Expectation::default(), Trust::OwnOnly);
    assert!(matches!(opened, Err(Error::NotFound { .. })), "{opened:?}");
    kill();
    drop(Queue::create(&location, &while_open(1, 100)).expect("free"));
    kill();
    let (queue, is_new) =
        Queue::open_or_create(&location, &while_open(1, 100), &Expectation::default(), Trust::OwnOnly).expect("free");
    assert!(is_new);
    assert_eq!(queue.depth().waiting, 0);
}

/// The section is known by its name, so it must be the users' handles that keep it, and not the file.
#[test]
fn memory_goes_only_with_the_last_of_its_users() {
    let place = Place::new("while-open-shared");
    let location = place.at("q");
    let queue = Queue::create(&location, &while_open(2, 100)).expect("created");
    put(&queue, b"kept").expect("room");
    let other = open(&location);
    drop(queue);
    assert_eq!(get(&other).expect("an item"), b"kept");
    let mut peer = start(&location, "echo");
    put(&other, b"more").expect("room");
    assert!(peer.wait().expect("waited for").success());
    assert_eq!(get(&other).expect("an item"), b"more");
    drop(other);
    assert_eq!(place.entries(), [""; 0]);
}

#[test]
fn what_stands_for_memory_is_looked_at_before_it_is_believed() {
    let place = Place::new("while-open-lies");
    let location = place.at("q");
    let queue = Queue::create(&location, &while_open(2, 100)).expect("created");
    let told = std::fs::read(&location.path).expect("a small file");
    assert_eq!(told.len(), 32, "{told:?}");
    let with_length = |length: u64| [&told[..24], &length.to_le_bytes()].concat();
    for length in [0, queue.segment().header().total_bytes + 1, u64::MAX] {
        let copy = place.at(&format!("length-{length}"));
        std::fs::write(&copy.path, with_length(length)).expect("written");
        let opened = Queue::open(&copy, &Expectation::default(), Trust::Anyone);
        assert!(matches!(opened, Err(Error::Corrupted { .. })), "{length}: {opened:?}");
    }
    let short = place.at("short");
    std::fs::write(&short.path, &told[..31]).expect("written");
    let opened = Queue::open(&short, &Expectation::default(), Trust::Anyone);
    assert!(matches!(opened, Err(Error::Foreign { .. })), "{opened:?}");
    let nothing = place.at("nothing");
    std::fs::write(&nothing.path, [&told[..8], &[7; 16], &told[24..]].concat()).expect("written");
    let opened = Queue::open(&nothing, &Expectation::default(), Trust::Anyone);
    assert!(matches!(opened, Err(Error::NotFound { .. })), "{opened:?}");
    assert!(!nothing.path.exists(), "it means nothing");
}

#[cfg(feature = "crash-points")]
#[test]
fn a_process_may_die_at_every_point_of_creating_memory_that_goes_with_its_users() {
    let place = Place::new("create-while-open");
    let location = place.at("q");
    let deaths = die_at_every_point("create", |point| {
        let lived = lives(&location, &format!("create-while-open {point}"));
        assert_eq!(listing(place.path()), Ok(Vec::new()), "dead at {point}: nobody is left");
        assert_eq!(place.entries(), [""; 0], "dead at {point}");
        lived
    });
    assert!(deaths > 3, "only {deaths} points of creating");
}

//! What stands behind the core on Windows: files, locks, wake-ups, and processes that die at every crash point.
#![cfg(windows)]

#[path = "common/portable.rs"]
mod common;

use common::{Place, get, item, patiently, plan, put};
use penstock_core::queue::Expectation;
use penstock_core::segment::{Lifetime, Trust};
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
        #[cfg(feature = "crash-points")]
        "die" => {
            let queue = open(&location);
            penstock_core::fault::arm(number);
            put(&queue, &item(7, 300)).expect("room");
            get(&queue).expect("an item");
            penstock_core::fault::arm(-1);
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
    let mut wanted = plan(1, 0, 100);
    wanted.lifetime = Lifetime::WhileOpen;
    drop(Queue::create(&place.at("q"), &wanted).expect("created"));
    assert_eq!(place.entries(), [""; 0]);
}

#[test]
fn another_process_wakes_when_an_item_comes_and_answers() {
    let place = Place::new("echo");
    let location = place.at("q");
    let queue = Queue::create(&location, &plan(1, 0, 1000)).expect("created");
    let mut peer = start(&location, "echo");
    common::wait_for("the peer to attach", Duration::from_secs(20), || {
        queue.segment().table().expect("a table").list().len() == 2
    });
    put(&queue, &item(5, 600)).expect("room");
    assert!(peer.wait().expect("waited for").success());
    assert_eq!(get(&queue).expect("an answer"), item(5, 600));
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

/// The child puts an item and gets the oldest. Wherever it dies, what is there afterwards is whole, in order, and ours
/// is there unless the child has taken it.
#[cfg(feature = "crash-points")]
#[test]
fn a_process_may_die_at_every_point_of_a_put_and_a_get() {
    let place = Place::new("die");
    let mut deaths = 0;
    for point in 0..200 {
        let location = place.at(&format!("q{point}"));
        let queue = Queue::create(&location, &plan(4, 0, 1000)).expect("created");
        put(&queue, &item(1, 300)).expect("room");
        let ended = start(&location, &format!("die {point}")).wait().expect("waited for");
        let mut left = Vec::new();
        drop(open(&location)); // a newcomer repairs
        while let Ok(bytes) = get(&queue) {
            left.push(common::id_of(&bytes).expect("whole"));
        }
        assert!([&[1u32][..], &[1, 7], &[7]].contains(&&left[..]), "point {point} left {left:?}");
        for id in 0..4 {
            put(&queue, &item(id, 300)).expect("all slots are free again");
        }
        queue.segment().unlink().expect("removed");
        if ended.success() {
            assert_eq!(left, [7]);
            assert!(deaths > 20, "only {deaths} points");
            return;
        }
        deaths += 1;
    }
    panic!("the child never came to its end");
}

//! A queue in a file of the user's own, after the machine was restarted: nobody of before lives, and nothing says which
//! pages came to disk.

mod common;

use common::{Place, Raw, at_once, get, plan, put};
use penstock_core::layout::{
    CONTROL_AT, Control, Entry, GENERATION_MASK, KIND_AT, Owner, QueueControl, SLOT_HEAD, SlotHead, TABLE_AT,
};
use penstock_core::queue::Expectation;
use penstock_core::segment::Trust;
use penstock_core::{Error, Location, Queue};
use std::mem::{offset_of, size_of};

const BOOT_AT: usize = CONTROL_AT + offset_of!(Control, boot);
const PUT_LOCK_AT: usize = KIND_AT + offset_of!(QueueControl, put);
const GET_LOCK_AT: usize = KIND_AT + offset_of!(QueueControl, get);

fn restart(disk: &Raw) {
    disk.write(BOOT_AT, &[7; 16]);
}

/// The name that the next participant will get.
fn next_owner(disk: &Raw) -> Owner {
    let index = 1 + disk.u32(CONTROL_AT + offset_of!(Control, cursor)) % penstock_core::layout::PARTICIPANTS;
    let word = disk.u32(TABLE_AT + index as usize * size_of::<Entry>() + offset_of!(Entry, word));
    Owner::new(index, (word & GENERATION_MASK) + 1)
}

fn open(location: &Location) -> Result<Queue, Error> {
    Queue::open(location, &Expectation::default(), Trust::OwnOnly)
}

fn queue_of_four(place: &Place) -> Location {
    let location = Location::file(&place.path().join("q")).expect("a path");
    let queue = Queue::create(&location, &plan(4, 0, 5000)).expect("created");
    for item in [&b"one"[..], &[2; 5000], b"three", &[4; 5000]] {
        put(&queue, item).expect("room");
    }
    location
}

#[test]
fn items_survive_a_restart_in_order() {
    let place = Place::new("restart");
    let location = queue_of_four(&place);
    restart(&Raw::of(&location));
    let queue = open(&location).expect("recovered");
    for item in [&b"one"[..], &[2; 5000], b"three", &[4; 5000]] {
        assert_eq!(get(&queue), Ok(item.to_vec()));
    }
    for i in 0..4 {
        put(&queue, &[i]).expect("all four slots are back");
    }
}

#[test]
fn an_item_that_came_to_disk_in_part_is_not_delivered() {
    let place = Place::new("torn");
    let location = queue_of_four(&place);
    let disk = Raw::of(&location);
    let bytes = std::fs::read(&location.path).expect("read");
    let at = bytes.windows(5000).position(|run| run == [2; 5000]).expect("the second item's bytes");
    disk.write(at + 4096, &[0; 100]);
    restart(&disk);
    let queue = open(&location).expect("recovered");
    for item in [&b"one"[..], b"three", &[4; 5000]] {
        assert_eq!(get(&queue), Ok(item.to_vec()));
    }
    assert_eq!(get(&queue), Err(Error::Empty));
    assert_eq!(queue.depth().free, 4);
}

#[test]
fn a_length_that_cannot_be_takes_no_room() {
    let place = Place::new("length");
    let location = queue_of_four(&place);
    let disk = Raw::of(&location);
    let bytes = std::fs::read(&location.path).expect("read");
    let item = bytes.windows(5).position(|run| run == b"three").expect("the third item's bytes");
    disk.write(item - SLOT_HEAD + offset_of!(SlotHead, len), &[0xFF; 4]);
    restart(&disk);
    let queue = open(&location).expect("recovered");
    let len = std::fs::metadata(&location.path).expect("there").len();
    assert_eq!(len, bytes.len() as u64, "four gigabytes were asked for");
    for item in [&b"one"[..], &[2; 5000], &[4; 5000]] {
        assert_eq!(get(&queue), Ok(item.to_vec()));
    }
    assert_eq!(get(&queue), Err(Error::Empty));
}

#[test]
fn locks_of_before_are_nobodys_even_if_they_name_the_newcomer() {
    let place = Place::new("stale");
    let location = queue_of_four(&place);
    let disk = Raw::of(&location);
    let stale = next_owner(&disk).word().to_le_bytes();
    disk.write(PUT_LOCK_AT, &stale);
    disk.write(GET_LOCK_AT, &stale);
    restart(&disk);
    let queue = open(&location).expect("recovered");
    assert_eq!(get(&queue), Ok(b"one".to_vec()));
}

#[test]
fn what_was_leased_before_waits_again() {
    let place = Place::new("leased");
    let location = queue_of_four(&place);
    let queue = open(&location).expect("opened");
    let lease = queue.try_lease().expect("an item");
    assert_eq!(lease.len(), 3);
    let copy = Location::file(&place.path().join("copy")).expect("a path");
    std::fs::copy(&location.path, &copy.path).expect("what the disk has when the power goes");
    restart(&Raw::of(&copy));
    let after = open(&copy).expect("recovered");
    assert_eq!(get(&after), Ok(b"one".to_vec()));
    at_once(|wait| queue.give_back(&lease, wait)).expect("the old queue goes on by itself");
}

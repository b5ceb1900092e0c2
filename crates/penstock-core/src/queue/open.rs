//! Making a queue and attaching to one.

use super::Queue;
use super::reserve::IN_TURN_BYTES;
use crate::atomic::AtomicU32;
use crate::atomic::Ordering::Relaxed;
use crate::error::Result;
use crate::fault;
use crate::layout::{KIND_AT, Kind, QueueControl, SlotHead};
use crate::name::Location;
use crate::opening;
use crate::segment::{Attachment, Blueprint, Lifetime, Trust};
use crate::slots::{Geometry, Slots};
use crate::spin::{Glance, Spin};
use crate::sys::Map;

/// What a new queue is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Most items waiting, being written or leased; at least 1.
    pub capacity: u64,
    /// What an item is, for those who attach.
    pub item: String,
    /// Exact size of an item; 0 if it varies.
    pub item_bytes: u64,
    /// Largest item.
    pub max_item_bytes: u64,
    /// After this many deliveries an item becomes a dead letter; 0 = never.
    pub max_deliveries: u64,
    /// Slots for dead letters.
    pub dead_letters: u64,
    /// How long it stays.
    pub lifetime: Lifetime,
}

/// What an existing queue must be; `None` takes what is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expectation {
    /// See [`Plan`].
    pub capacity: Option<u64>,
    /// See [`Plan`].
    pub item: Option<String>,
    /// See [`Plan`].
    pub max_item_bytes: Option<u64>,
    /// See [`Plan`].
    pub max_deliveries: Option<u64>,
    /// See [`Plan`].
    pub dead_letters: Option<u64>,
    /// See [`Plan`].
    pub lifetime: Option<Lifetime>,
}

impl Queue {
    /// Makes a queue: complete before anybody can see it.
    ///
    /// # Errors
    /// `Exists`, `BadValue`, `NoSpace`, `Untrusted`, `Unsupported`, `Os`. Nothing is left behind.
    pub fn create(location: &Location, plan: &Plan) -> Result<Queue> {
        let geometry = Geometry::plan(
            plan.capacity,
            plan.item_bytes,
            plan.max_item_bytes,
            plan.max_deliveries,
            plan.dead_letters,
        )?;
        let blueprint = Blueprint {
            kind: Kind::Queue,
            lifetime: plan.lifetime,
            params: geometry.to_params(),
            item: plan.item.clone(),
            total_bytes: geometry.total_bytes,
            committed_bytes: geometry.committed_bytes(),
        };
        let attachment = Attachment::create(location, &blueprint, |map| fill(map, &geometry))?;
        Ok(Queue::on(attachment, geometry))
    }

    /// Attaches to a queue.
    ///
    /// # Errors
    /// `NotFound`, `Mismatch` naming both values, and whatever is wrong with what lies there. Nothing changed.
    pub fn open(location: &Location, expected: &Expectation, trust: Trust) -> Result<Queue> {
        let attachment = Attachment::open(location, trust)?;
        opening::check_kind(&attachment, Kind::Queue)?;
        let header = attachment.segment().header();
        let Some(geometry) = Geometry::from_params(&header.params, header.total_bytes) else {
            return Err(attachment.segment().corrupted("its sizes do not fit together"));
        };
        if header.committed_bytes != geometry.committed_bytes() {
            // Less, and a store into a full file system could be how somebody finds out.
            return Err(attachment.segment().corrupted("not all is in use that has to be"));
        }
        check_expected(location, &geometry, &header.item, header.lifetime, expected)?;
        let queue = Queue::on(attachment, geometry);
        if queue.segment().is_from_another_boot() {
            queue.recover_after_restart()?;
        }
        // A newcomer often comes in the place of one who died: what that one held is to wait again before anything newer.
        queue.repair_after_deaths()?;
        Ok(queue)
    }

    /// Attaches to a queue, or makes it if there is none.
    ///
    /// # Errors
    /// As `open` and `create`, but for `NotFound` and `Exists`. The flag tells whether it was made.
    pub fn open_or_create(
        location: &Location,
        plan: &Plan,
        expected: &Expectation,
        trust: Trust,
    ) -> Result<(Queue, bool)> {
        opening::open_or_create(
            &location.name,
            || Queue::open(location, expected, trust),
            || Queue::create(location, plan),
        )
    }

    fn on(attachment: Attachment, plan: Geometry) -> Queue {
        let tracked = if plan.payload_stride > 0 { plan.slots } else { 0 };
        let committed_pages = (0..tracked).map(|_| AtomicU32::new(0)).collect();
        Queue {
            attachment,
            plan,
            committed_pages,
            spin: Spin::new(),
            glance_item: Glance::default(),
            glance_room: Glance::default(),
            taken: AtomicU32::new(0),
            in_turn_bytes: AtomicU32::new(IN_TURN_BYTES),
        }
    }
}

fn check_expected(
    location: &Location,
    have: &Geometry,
    item: &str,
    lifetime: Lifetime,
    expected: &Expectation,
) -> Result<()> {
    let name = &location.name;
    opening::check_same(name, "item", &format!("'{item}'"), expected.item.as_ref().map(|want| format!("'{want}'")))?;
    opening::check_same(name, "capacity", &have.capacity, expected.capacity)?;
    opening::check_same(name, "max_item_bytes", &have.max_item_bytes, expected.max_item_bytes)?;
    opening::check_same(name, "max_deliveries", &have.max_deliveries, expected.max_deliveries)?;
    opening::check_same(name, "dead_letters", &have.dead_capacity, expected.dead_letters)?;
    opening::check_lifetime(name, lifetime, expected.lifetime)
}

/// Writes what is not zero in a fresh queue: every slot's number into the free ring.
fn fill(map: &Map, plan: &Geometry) {
    // SAFETY: the control lines lie inside the segment, aligned to a line; atomics only.
    let control: &QueueControl = unsafe { &*map.base().add(KIND_AT).cast() };
    let free = Slots::new(map, plan).free();
    for number in 0..plan.slots {
        free.set(number, u32::try_from(number).unwrap_or(u32::MAX));
    }
    control.free.tail.store(plan.slots, Relaxed);
    control.put.seq.store(1, Relaxed);
    control.settle.settled.store(1, Relaxed); // counts with `seq`, which starts at 1
    fault::point("create: filled");
    const { assert!(std::mem::align_of::<SlotHead>() <= crate::layout::LINE) };
}

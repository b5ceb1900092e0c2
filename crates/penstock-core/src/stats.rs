//! Plain snapshots for people to read. Reading never takes a lock, so the numbers of one snapshot need not agree with each other to the item.

use crate::atomic::Ordering::{Acquire, Relaxed};
use crate::error::Result;
use crate::layout::{Kind, State, state_of};
use crate::lock;
use crate::participant::Participant;
use crate::queue::Queue;
use crate::segment::{Lifetime, Segment};
use crate::sys;
use std::path::PathBuf;

/// What is known of every named object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Its kind.
    pub kind: Kind,
    /// How long it stays.
    pub lifetime: Lifetime,
    /// When it was made, Unix milliseconds.
    pub created_unix_ms: u64,
    /// Length of its file: address space, not memory.
    pub bytes_reserved: u64,
    /// How much of that the file system has given.
    pub bytes_committed: u64,
    /// Who is attached, and who died attached and was not forgotten yet.
    pub participants: Vec<Participant>,
}

impl Common {
    /// Looks at `segment`.
    ///
    /// # Errors
    /// `TooManyProcesses`, `Removed`, `Os`.
    pub fn of(segment: &Segment) -> Result<Common> {
        let (bytes_reserved, bytes_committed) = segment.extent()?;
        let header = segment.header();
        Ok(Common {
            name: segment.name().to_owned(),
            path: segment.location().path.clone(),
            kind: header.kind,
            lifetime: header.lifetime,
            created_unix_ms: header.created_unix_ms,
            bytes_reserved,
            bytes_committed,
            participants: segment.table()?.list(),
        })
    }
}

/// What is known of a queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueStats {
    /// What every object has.
    pub common: Common,
    /// What an item is.
    pub item: String,
    /// Most items waiting, being written or leased.
    pub capacity: u64,
    /// Largest item.
    pub max_item_bytes: u64,
    /// After so many deliveries an item becomes a dead letter; `None`: never.
    pub max_deliveries: Option<u64>,
    /// Items that wait.
    pub waiting: u64,
    /// Items being written.
    pub writing: u64,
    /// Items taken and not yet acknowledged.
    pub leased: u64,
    /// Items for which there is room.
    pub free: u64,
    /// Items delivered too often.
    pub dead_letters: u64,
    /// Items ever put.
    pub put_total: u64,
    /// Items dealt with, as `join` counts them.
    pub settled_total: u64,
    /// No more puts are taken.
    pub is_shut_down: bool,
    /// The process that holds the put lock, living or dead.
    pub put_lock_holder: Option<u32>,
    /// The process that holds the get lock, living or dead.
    pub get_lock_holder: Option<u32>,
    /// How long the item leased longest ago has been so.
    pub oldest_lease_seconds: Option<f64>,
}

/// What the slots say that the rings do not.
#[derive(Default)]
struct InHand {
    writing: u64,
    leased: u64,
    oldest_lease_ms: Option<u32>,
}

impl QueueStats {
    /// Looks at `queue`.
    ///
    /// # Errors
    /// `TooManyProcesses`, `Removed`, `Os`.
    pub fn of(queue: &Queue) -> Result<QueueStats> {
        let (plan, control, depth) = (queue.plan(), queue.control(), queue.depth());
        // Only what is in somebody's hands has to be looked for slot by slot.
        let in_hand = if depth.held > 0 { look_at_slots(queue) } else { InHand::default() };
        let (put_total, settled_total) = queue.totals();
        let table = queue.segment().table()?;
        Ok(QueueStats {
            common: Common::of(queue.segment())?,
            item: queue.item().to_owned(),
            capacity: plan.capacity,
            max_item_bytes: plan.max_item_bytes,
            max_deliveries: Some(plan.max_deliveries).filter(|most| *most > 0),
            waiting: depth.waiting,
            writing: in_hand.writing,
            leased: in_hand.leased,
            free: depth.free.saturating_sub(plan.dead_capacity.saturating_sub(depth.dead)),
            dead_letters: depth.dead,
            put_total,
            settled_total,
            is_shut_down: queue.is_shut_down(),
            put_lock_holder: table.pid_of(lock::owner_of(&control.put.lock)),
            get_lock_holder: table.pid_of(lock::owner_of(&control.get.lock)),
            oldest_lease_seconds: in_hand.oldest_lease_ms.map(|age| f64::from(age) / 1000.0),
        })
    }
}

fn look_at_slots(queue: &Queue) -> InHand {
    let (slots, now) = (queue.slots(), sys::now_ms());
    let mut found = InHand::default();
    for number in 0..u32::try_from(queue.plan().slots).unwrap_or(u32::MAX) {
        let Some(slot) = slots.head(number) else { break };
        match state_of(slot.state.load(Acquire)) {
            Some(State::Writing(_)) => found.writing += 1,
            Some(State::Leased(_)) => {
                found.leased += 1;
                let age = age_ms(now, slot.since_ms.load(Relaxed));
                found.oldest_lease_ms = Some(found.oldest_lease_ms.map_or(age, |oldest| oldest.max(age)));
            }
            _ => {}
        }
    }
    found
}

/// The slot keeps the low half of the clock only. One that lies ahead of ours was written a moment ago.
#[allow(clippy::cast_possible_truncation, reason = "both halves wrap alike")]
fn age_ms(now: u64, since: u32) -> u32 {
    let age = (now as u32).wrapping_sub(since);
    if age > u32::MAX - 60_000 { 0 } else { age }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_survives_the_wrapping_of_the_clock() {
        assert_eq!(age_ms((1 << 32) + 5, u32::MAX - 4), 10);
        assert_eq!(age_ms(1000, 990), 10);
        assert_eq!(age_ms(1000, 1003), 0);
    }
}

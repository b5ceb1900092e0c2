//! Setting right what the dead left behind.
//!
//! Both locks are held, so the living are outside: their Writing and Leased slots stay as they are. What the dead were
//! writing becomes free, what they had leased waits again in its old place, and both rings and the sequence are
//! written anew from the slots. It can be done twice: who dies in it leaves the next one the same work, because both
//! lock words then name a dead owner.

use super::guard::Held;
use super::{Queue, Wait};
use crate::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::deadline::Deadline;
use crate::error::Result;
use crate::fault::{self, Remedy};
use crate::layout::{Owner, PARTICIPANTS, SHUT_AT_ONCE, SlotHead, State, carries_seq, checksum, state_of, state_word};
use crate::lock;
use crate::participant::Table;
use crate::slots::{look, shift};
use crate::sys::{self, Pulse};
use std::time::Duration;

/// What repair knows of one item.
type Place = (u64, u32);

/// What the slots hold, in the order in which the rings will have it.
#[derive(Default)]
struct Inventory {
    ready: Vec<Place>,
    dead: Vec<Place>,
    free: Vec<u32>,
    next_seq: u64,
}

/// How long to leave a recovery to the process that is at it before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

impl Queue {
    pub(super) fn set_right(&self, _put: &Held<'_>, _get: &Held<'_>) -> Result<()> {
        let table = self.segment().table()?;
        let unclean = table.control.unclean.load(Acquire);
        let dead = table.dead();
        fault::point("repair: begun");
        let inventory = self.take_inventory(&table, &dead)?;
        self.finish_settlement()?;
        self.write_rings(&inventory);
        fault::point("repair: rings written");
        if self.status() & SHUT_AT_ONCE != 0 {
            // Whoever shut the queue down, or held an item then, died before it was empty. A join may be all that waits.
            self.discard_ready()?;
        }
        table.forget(&dead, unclean);
        // The dead may have owed wake-ups.
        if Remedy::WakesAfterRepair.is_on() {
            self.wake_everybody();
        }
        fault::point("repair: done");
        Ok(())
    }

    fn take_inventory(&self, table: &Table<'_>, dead: &[Owner]) -> Result<Inventory> {
        let mut inventory = Inventory { next_seq: self.control().put.seq.load(Relaxed).max(1), ..Inventory::default() };
        let mut verdicts = Verdicts::new(table, dead);
        for number in 0..u32::try_from(self.plan.slots).unwrap_or(u32::MAX) {
            let Some(slot) = self.slots().head(number) else { break };
            self.take_stock_of(number, slot, &mut verdicts, &mut inventory)?;
        }
        inventory.ready.sort_unstable_by_key(|(seq, _)| *seq);
        inventory.dead.sort_unstable_by_key(|(seq, _)| *seq);
        Ok(inventory)
    }

    fn take_stock_of(
        &self,
        number: u32,
        slot: &SlotHead,
        verdicts: &mut Verdicts<'_>,
        inventory: &mut Inventory,
    ) -> Result<()> {
        let impossible = |what: &str| self.segment().poison(format!("repair found slot {number} {what}"));
        let (mut state, mut word) = look(slot).ok_or_else(|| impossible("in no state that exists"))?;
        let seq = slot.seq.load(Relaxed);
        let back_to = match state {
            State::Writing(owner) if verdicts.is_dead(owner) && Remedy::ReservedComesBack.is_on() => Some(State::Free),
            State::Leased(owner) if verdicts.is_dead(owner) && self.is_worn_out(slot.deliveries.load(Relaxed)) => {
                Some(State::Expired)
            }
            State::Leased(owner) if verdicts.is_dead(owner) && Remedy::LeasedComesBack.is_on() => Some(State::Ready),
            _ => None,
        };
        if let Some(to) = back_to {
            word = shift(slot, word, to, seq).ok_or_else(|| impossible("moved by somebody who holds no lock"))?;
            state = to;
        }
        if matches!(state, State::Ready | State::Leased(_) | State::Expired) {
            if !carries_seq(word, seq) || u64::from(slot.len.load(Relaxed)) > self.plan.max_item_bytes {
                return Err(impossible("with a sequence or length that cannot be"));
            }
            inventory.next_seq = inventory.next_seq.max(seq.wrapping_add(1));
        }
        match state {
            State::Free => inventory.free.push(number),
            State::Ready => inventory.ready.push((seq, number)),
            State::Expired => inventory.dead.push((seq, number)),
            State::Writing(_) | State::Leased(_) => {} // the living's
        }
        Ok(())
    }

    /// A settlement cut short is finished or forgotten, as the slot tells: see `settle`.
    fn finish_settlement(&self) -> Result<()> {
        let settle = &self.control().settle;
        let noted = settle.note_slot.load(Acquire);
        if noted == 0 || !Remedy::SettlementIsNoted.is_on() {
            return Ok(());
        }
        let slot =
            self.slots().head(noted - 1).ok_or_else(|| self.segment().poison("its settlement note names no slot"))?;
        let (state, _) = look(slot)
            .ok_or_else(|| self.segment().poison("its settlement note names a slot in no state that exists"))?;
        // A living producer may have taken the freed slot meanwhile: until it commits, the old sequence stands there.
        let holds_an_item = matches!(state, State::Ready | State::Leased(_) | State::Expired);
        let is_still_there = holds_an_item && slot.seq.load(Relaxed) == settle.note_seq.load(Relaxed);
        if !is_still_there {
            settle.settled.store(settle.note_settled.load(Relaxed), Relaxed);
        }
        fault::point("repair: settlement finished");
        settle.note_slot.store(0, Release);
        Ok(())
    }

    /// Writes both rings, and the ring of dead letters, anew. Nobody reads them: both locks are held.
    fn write_rings(&self, inventory: &Inventory) {
        if !Remedy::RingsFollowSlots.is_on() {
            return;
        }
        let (control, slots) = (self.control(), self.slots());
        let (ready_head, free_head, dead_head) = (
            control.get.ready_head.load(Relaxed),
            control.put.free_head.load(Relaxed),
            control.dead.head.load(Relaxed),
        );
        for (count, (_, number)) in (0u64..).zip(&inventory.ready) {
            slots.ready().set(ready_head.wrapping_add(count), *number);
        }
        for (count, number) in (0u64..).zip(&inventory.free) {
            slots.free().set(free_head.wrapping_add(count), *number);
        }
        for (count, (_, number)) in (0u64..).zip(&inventory.dead) {
            slots.dead().set(dead_head.wrapping_add(count), *number);
        }
        fault::point("repair: entries written");
        let ready_tail = ready_head.wrapping_add(inventory.ready.len() as u64);
        let free_tail = free_head.wrapping_add(inventory.free.len() as u64);
        if Remedy::SequenceFollowsSlots.is_on() {
            control.put.seq.store(inventory.next_seq, Relaxed);
        }
        control.put.free_tail_seen.store(free_tail, Relaxed);
        control.get.ready_tail_seen.store(ready_tail, Relaxed);
        fault::point("repair: between tails");
        control.dead.tail.store(dead_head.wrapping_add(inventory.dead.len() as u64), Release);
        control.free.tail.store(free_tail, Release);
        control.ready.tail.store(ready_tail, Release);
    }

    /// After a restart of the machine nothing says in which order the file's pages came to disk, or whether one of them
    /// did: whoever a word names is of an earlier start, even if he has our own number, and every item is checked.
    ///
    /// Nobody uses the queue before this is done; one process does it, and the others wait for it.
    ///
    /// # Errors
    /// `Removed`, `Os`, `Corrupted`.
    pub(super) fn recover_after_restart(&self) -> Result<()> {
        let segment = self.segment();
        while segment.is_from_another_boot() {
            let Some(_alone) = Pulse::take(segment.file(), segment.name(), sys::BUILDER)? else {
                std::thread::sleep(LOOK_AGAIN);
                continue;
            };
            if segment.is_from_another_boot() {
                self.set_right_after_restart()?;
                segment.note_boot();
            }
        }
        Ok(())
    }

    fn set_right_after_restart(&self) -> Result<()> {
        let control = self.control();
        for word in [&control.put.lock, &control.get.lock] {
            lock::give_up(word);
        }
        for number in 0..u32::try_from(self.plan.slots).unwrap_or(u32::MAX) {
            let Some(slot) = self.slots().head(number) else { break };
            self.check_after_restart(number, slot);
        }
        let mut tick = || Ok(());
        self.repair(&mut Wait::until(Deadline::Never, &mut tick))
    }

    /// What can be, stays; an item that is not whole was never put as far as the disk knows.
    fn check_after_restart(&self, number: u32, slot: &SlotHead) {
        let (word, seq) = (slot.state.load(Acquire), slot.seq.load(Relaxed));
        let is_whole = carries_seq(word, seq) && self.is_item_whole(number, slot);
        let to = match state_of(word) {
            Some(State::Expired) if is_whole => State::Expired,
            Some(State::Ready | State::Leased(_)) if is_whole => State::Ready,
            _ => State::Free,
        };
        slot.state.store(state_word(to, seq), Release);
    }

    fn is_item_whole(&self, number: u32, slot: &SlotHead) -> bool {
        let len = slot.len.load(Relaxed) as usize;
        if len as u64 > self.plan.max_item_bytes {
            return false; // before anything is given to it: it may say four gigabytes
        }
        let mut bytes = vec![0; len];
        self.commit_payload(number, len).is_ok()
            && self.slots().read(number, len, &mut bytes)
            // A name's queue, in a directory that is on a disk, carries no checks: what is there is believed.
            && (!self.segment().header().is_file
                || slot.check.load(Relaxed) == item_check(&bytes)
                || !Remedy::ItemsAreChecked.is_on())
    }
}

/// The check of an item in a segment that outlives a restart.
#[allow(clippy::cast_possible_truncation, reason = "a check of 32 bits")]
pub(super) fn item_check(bytes: &[u8]) -> u32 {
    checksum(bytes) as u32
}

/// Remembers what was found out about each owner: the kernel is asked once for each.
struct Verdicts<'a> {
    table: &'a Table<'a>,
    /// By number, the owner last asked for there.
    known: Vec<Option<(Owner, bool)>>,
}

impl<'a> Verdicts<'a> {
    /// Those who will be forgotten as `dead` are dead here too. Asked again, the table could say otherwise: a newcomer that
    /// has taken the number and not yet its generation is a sign of life there.
    fn new(table: &'a Table<'a>, dead: &[Owner]) -> Verdicts<'a> {
        let mut known = vec![None; PARTICIPANTS as usize + 1];
        for owner in dead {
            known[owner.index() as usize] = Some((*owner, true));
        }
        Verdicts { table, known }
    }

    fn is_dead(&mut self, owner: Owner) -> bool {
        // A number past the table is nobody's, like the number of those who gave up.
        let Some(known) = self.known.get_mut(owner.index() as usize) else { return true };
        match *known {
            Some((of, verdict)) if of == owner => verdict,
            _ => {
                let verdict = self.table.is_dead(owner);
                *known = Some((owner, verdict));
                verdict
            }
        }
    }
}

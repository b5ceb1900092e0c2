//! Who is attached, who has died, and who may act on a death.
//!
//! A participant is one process attached to a segment. It registers by taking the sign of life of a free number and
//! writing the next generation into that number's entry, in this order; so whoever sees the new generation knows that
//! the one before is gone for good. No pid is ever trusted for that.

use crate::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::error::{Error, Result};
use crate::fault::{self, Remedy};
use crate::layout::{ATTACHED, Control, Entry, GENERATION_MASK, Owner, PARTICIPANTS};
use crate::sys::{self, File, ForkLocked, Pulse};

/// Serialises this process's acts on signs of life: two threads share the descriptor and would both win.
static REAPING: ForkLocked<()> = ForkLocked::new(());

/// The table of participants of one segment.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    /// The words all kinds share.
    pub control: &'a Control,
    /// `PARTICIPANTS + 1` entries; entry 0 is unused.
    pub entries: &'a [Entry],
    /// The segment's file.
    pub file: &'a File,
    /// The segment's name, for messages.
    pub name: &'a str,
    /// This process, if it is registered.
    pub me: Option<Owner>,
}

/// What `stats` and `ls` show of one participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// Its process, for people to read.
    pub pid: u32,
    /// Whether it lives.
    pub is_alive: bool,
    /// Since when, Unix milliseconds.
    pub attached_ms: u64,
    /// Whether it is this process.
    pub is_self: bool,
}

impl Table<'_> {
    /// Registers this process: the sign of life first, then the generation.
    ///
    /// # Errors
    /// `TooManyProcesses` if every number is held by somebody living; `Removed`, `Os`.
    pub fn register(&self) -> Result<(Owner, Pulse)> {
        let start = self.control.cursor.fetch_add(1, Relaxed);
        for step in 0..PARTICIPANTS {
            let index = 1 + start.wrapping_add(step) % PARTICIPANTS;
            if let Some(pulse) = Pulse::take(self.file, self.name, index)? {
                return Ok((self.enter(index, &pulse), pulse));
            }
        }
        Err(Error::TooManyProcesses { name: self.name.to_owned(), limit: PARTICIPANTS })
    }

    fn enter(&self, index: u32, pulse: &Pulse) -> Owner {
        let entry = &self.entries[index as usize];
        let before = entry.word.load(Acquire);
        // The one before us may have died here and not been reaped. Its generation vanishes from the table with ours;
        // others have to be told that there may be work, or nobody would look.
        let tell = || {
            if before & ATTACHED != 0 && Remedy::NewcomersTell.is_on() {
                self.control.unclean.fetch_add(1, AcqRel);
            }
        };
        tell(); // should we be stopped after the next store
        fault::point("attach: marked unclean");
        let generation = (before & GENERATION_MASK).wrapping_add(1) & GENERATION_MASK;
        entry.pid.store(sys::process_id(), Relaxed);
        entry.attached_ms.store(sys::unix_ms(), Relaxed);
        entry.namespace.store(sys::host().pid_namespace, Relaxed);
        entry.by_descriptor.store(u32::from(pulse.is_by_descriptor()), Relaxed);
        fault::point("attach: before the generation");
        // Pairs with the load in `is_dead`: who sees our owner word sees this generation.
        entry.word.store(generation | ATTACHED, Release);
        fault::point("attach: registered");
        tell(); // should a repair have come too early to see that store: to it, the one before us was alive
        fault::point("attach: told");
        Owner::new(index, generation)
    }

    /// Leaves in good order. The sign of life is dropped afterwards. If something may still be in this process's hands, others
    /// are told that there may be work: the table shows nobody dead.
    pub fn leave(&self, me: Owner, may_hold_something: bool) {
        let entry = &self.entries[me.index() as usize];
        let tell = || {
            if may_hold_something && Remedy::LeaversTell.is_on() {
                self.control.unclean.fetch_add(1, AcqRel);
            }
        };
        tell(); // should we be killed after the next store
        fault::point("detach: before");
        entry.word.store(me.generation(), Release);
        fault::point("detach: left");
        tell(); // should a repair have come too early to see that store
    }

    /// Whether `owner` is dead. Death is final; "alive" may be stale on return.
    #[must_use]
    pub fn is_dead(&self, owner: Owner) -> bool {
        if Some(owner) == self.me {
            return false;
        }
        self.is_past(owner) || !self.is_number_alive(owner.index())
    }

    /// The table itself says that `owner` is gone: another generation, or it left.
    fn is_past(&self, owner: Owner) -> bool {
        if owner.index() == 0 || owner.index() > PARTICIPANTS {
            return true;
        }
        let word = self.entries[owner.index() as usize].word.load(Acquire);
        if !Remedy::GenerationCounts.is_on() {
            return word & ATTACHED == 0;
        }
        word != owner.generation() | ATTACHED
    }

    fn is_number_alive(&self, index: u32) -> bool {
        if self.me.is_some_and(|me| me.index() == index) {
            return true;
        }
        Pulse::is_held(self.file, self.name, index) && !self.is_gone_by_pid(index)
    }

    /// Where signs of life hang on descriptors, a stranger may keep a dead one's open; its pid settles it then.
    fn is_gone_by_pid(&self, index: u32) -> bool {
        let entry = &self.entries[index as usize];
        Remedy::PidTellsToo.is_on()
            && entry.by_descriptor.load(Relaxed) == 1
            && entry.namespace.load(Relaxed) == sys::host().pid_namespace
            && !std::path::Path::new(&format!("/proc/{}", entry.pid.load(Relaxed))).exists()
            && std::path::Path::new("/proc/self").exists()
    }

    /// Runs `act` if `owner` is dead, while nobody else can act on that death or take its number.
    pub fn if_dead<R>(&self, owner: Owner, act: impl FnOnce() -> R) -> Option<R> {
        if Some(owner) == self.me {
            return None;
        }
        if self.is_past(owner) {
            return Some(act());
        }
        if self.is_number_alive(owner.index()) {
            return None;
        }
        if self.entries[owner.index() as usize].by_descriptor.load(Relaxed) == 1 {
            return Some(act());
        }
        let reap = || {
            fault::point("reap: nobody else can");
            act()
        };
        if !Remedy::NobodyIsBornMeanwhile.is_on() {
            return Some(reap());
        }
        let reap = || Pulse::while_dead(self.file, self.name, owner.index(), 1, reap);
        if Remedy::ForkWaitsForReaping.is_on() { REAPING.with(|()| reap()) } else { reap() }
    }

    /// Everybody who registered and died since the last repair.
    #[must_use]
    pub fn dead(&self) -> Vec<Owner> {
        let attached = |index: u32| {
            let word = self.entries[index as usize].word.load(Acquire);
            (word & ATTACHED != 0).then(|| Owner::new(index, word & GENERATION_MASK))
        };
        (1..=PARTICIPANTS).filter_map(attached).filter(|owner| self.is_dead(*owner)).collect()
    }

    /// Whether anybody died since the last repair.
    #[must_use]
    pub fn has_dead(&self) -> bool {
        if self.control.unclean.load(Acquire) != 0 {
            return true;
        }
        (1..=PARTICIPANTS).any(|index| {
            let word = self.entries[index as usize].word.load(Acquire);
            word & ATTACHED != 0 && self.is_dead(Owner::new(index, word & GENERATION_MASK))
        })
    }

    /// Notes that the work the dead left is done. Whoever took a dead one's number meanwhile keeps it.
    pub fn forget(&self, dead: &[Owner], unclean_before: u32) {
        for owner in dead {
            let entry = &self.entries[owner.index() as usize];
            if !Remedy::ForgetsExactly.is_on() {
                entry.word.fetch_and(GENERATION_MASK, AcqRel);
            }
            let _ = entry.word.compare_exchange(owner.generation() | ATTACHED, owner.generation(), AcqRel, Relaxed);
        }
        fault::point("repair: forgot the dead");
        // Fails if another unclean number was given out during the repair: its work is still to do.
        let _ = self.control.unclean.compare_exchange(unclean_before, 0, AcqRel, Relaxed);
    }

    /// Every number is somebody's, living or dead and not forgotten.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries[1..].iter().all(|entry| entry.word.load(Acquire) & ATTACHED != 0)
    }

    /// Everybody in the table, for people to read.
    #[must_use]
    pub fn list(&self) -> Vec<Participant> {
        let show = |index: u32| {
            let entry = &self.entries[index as usize];
            let word = entry.word.load(Acquire);
            let owner = Owner::new(index, word & GENERATION_MASK);
            (word & ATTACHED != 0).then(|| Participant {
                pid: entry.pid.load(Relaxed),
                is_alive: !self.is_dead(owner),
                attached_ms: entry.attached_ms.load(Relaxed),
                is_self: Some(owner) == self.me,
            })
        };
        (1..=PARTICIPANTS).filter_map(show).collect()
    }

    /// The process that holds a lock word, if anybody does.
    #[must_use]
    pub fn pid_of(&self, owner: Option<Owner>) -> Option<u32> {
        owner.filter(|o| o.index() <= PARTICIPANTS).map(|o| self.entries[o.index() as usize].pid.load(Relaxed))
    }
}

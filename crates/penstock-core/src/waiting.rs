//! Waiting for the first of several objects.
//!
//! It takes nothing, so somebody else may be quicker. Each object has a word that changes when it may have become
//! ready; the sleep is on all of them at once, and bounded like every other.

use crate::atomic::AtomicU32;
use crate::deadline::Deadline;
use crate::error::Result;
use crate::event::{self, Patience, Tick};
use crate::fault;
use crate::mutex::Mutex;
use crate::queue::Queue;
use crate::semaphore::Semaphore;
use crate::signal::Event;
use crate::sys::{self, Slept};

/// What can be waited for.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Ready when a get would not wait: an item, a shutdown, or damage to report.
    Queue(&'a Queue),
    /// Ready when the calling thread could take it: free, its own already, or a dead one's.
    Mutex(&'a Mutex),
    /// Ready when there is a permit.
    Semaphore(&'a Semaphore),
    /// Ready when it is set.
    Event(&'a Event),
}

impl<'a> Target<'a> {
    /// Whether its verb would not have to wait. May be stale on return.
    ///
    /// # Errors
    /// `TooManyProcesses`, `Removed`, `Os` for a mutex whose owner's life cannot be asked for.
    pub fn is_ready(self) -> Result<bool> {
        match self {
            Target::Queue(queue) => Ok(queue.is_gettable()),
            Target::Mutex(mutex) => mutex.is_takeable(),
            Target::Semaphore(semaphore) => Ok(semaphore.is_ready()),
            Target::Event(event) => Ok(event.is_set()),
        }
    }

    /// The word that changes when it may have become ready.
    #[must_use]
    pub fn word(self) -> &'a AtomicU32 {
        match self {
            Target::Queue(queue) => queue.events().0,
            Target::Mutex(mutex) => &mutex.control().event,
            Target::Semaphore(semaphore) => &semaphore.control().event,
            Target::Event(event) => &event.control().event,
        }
    }

    /// What its own sleepers do at each heartbeat.
    fn look_around(self) -> Result<()> {
        match self {
            Target::Queue(queue) => queue.look_around(),
            Target::Mutex(mutex) => mutex.segment().check_still_named(),
            Target::Semaphore(semaphore) => semaphore.segment().check_still_named(),
            Target::Event(event) => event.segment().check_still_named(),
        }
    }
}

/// Waits until at least one of `targets` is ready. Returns the places of those that are, in order; none if the deadline
/// has passed, or if there is nothing to wait for. Takes nothing.
///
/// # Errors
/// `Removed` if the name of one that is not ready went; `Corrupted`, `TooManyProcesses`, `Os`; what `tick` returns.
pub fn wait_any(targets: &[Target<'_>], deadline: Deadline, tick: Tick<'_>) -> Result<Vec<usize>> {
    let ready = ready_of(targets)?;
    if targets.is_empty() || !ready.is_empty() || deadline.has_passed() {
        return Ok(ready);
    }
    for target in targets {
        target.look_around()?;
    }
    let ended = sleep_until_ready(targets, deadline, tick);
    // We may have been woken in the place of somebody who would have taken something: pass that on.
    match &ended {
        Ok(ready) => ready.iter().for_each(|i| event::signal(targets[*i].word(), 1)),
        Err(_) => targets.iter().for_each(|target| event::signal(target.word(), 1)),
    }
    ended
}

fn sleep_until_ready(targets: &[Target<'_>], deadline: Deadline, tick: Tick<'_>) -> Result<Vec<usize>> {
    let patience = Patience::new();
    let mut slept = None;
    loop {
        let words = arm_all(targets);
        let ready = ready_of(targets)?;
        if !ready.is_empty() || deadline.has_passed() {
            return Ok(ready);
        }
        if slept.is_some() {
            tick()?; // once armed, so that what it looks at cannot change unnoticed before the sleep
        }
        if slept == Some(Slept::TimedOut) {
            for target in targets {
                target.look_around()?;
            }
        }
        fault::point("wait any: before sleep");
        slept = Some(sys::sleep_any(&words, patience.bound(deadline)));
        fault::point("wait any: awake");
    }
}

/// Announces a sleeper at every word, then reads them: what changes after that, changes a word we sleep on.
fn arm_all<'a>(targets: &[Target<'a>]) -> Vec<(&'a AtomicU32, u32)> {
    for target in targets {
        let _ = event::arm(target.word());
    }
    targets.iter().map(|target| (target.word(), event::armed(target.word()))).collect()
}

fn ready_of(targets: &[Target<'_>]) -> Result<Vec<usize>> {
    let mut ready = Vec::new();
    for (place, target) in targets.iter().enumerate() {
        if target.is_ready()? {
            ready.push(place);
        }
    }
    Ok(ready)
}

//! Victims that die, or stop, at the named points of an operation.

use super::scene::{FILLS, FIRSTS, FRESH, Fill, Scene, Size};
use super::tally::Tally;
use super::victim::{Event, Op};
use super::{BY_SIGKILL, Child, Place, die, id_of, item};
use penstock_core::deadline::Deadline;
use penstock_core::queue::{Got, Wait};
use penstock_core::slots::INLINE_MAX;
use penstock_core::{Error, fault};
use std::time::Duration;

impl Scene {
    /// Forks a victim that dies at the `n`th point that it passes, or right after the operation. True if it had returned.
    pub fn kill_in(&mut self, op: &Op, n: u64, nth_victim: u32, registers: bool) -> bool {
        let ended_before = self.ends();
        let mut child = Child::run(|| {
            let victim = self.victim(nth_victim);
            if !registers {
                victim.queue.segment().me().expect("registered");
            }
            fault::arm(i64::try_from(n).expect("few"));
            (op.run)(&victim);
            fault::arm(-1);
            self.log.note(Event::End);
            die();
        });
        let ended = child.end();
        assert_eq!(ended, BY_SIGKILL, "the victim of '{}' at {n}", op.name);
        self.ends() > ended_before
    }

    /// Forks a process that stops at the `n`th point that it passes, if there is one, and does the rest when it is let go on.
    pub fn stop_in(&self, op: &Op, n: u64) -> Child {
        let mut child = Child::run(|| {
            let victim = self.victim(1);
            victim.queue.segment().me().expect("registered");
            fault::arm_to_stop(i64::try_from(n).expect("few"));
            (op.run)(&victim);
            fault::arm(-1);
            self.log.note(Event::End);
        });
        super::wait_for("a stop or an end", Duration::from_secs(10), || {
            child.state() == 'T' || child.wait(Duration::ZERO).is_some()
        });
        child
    }

    /// What a survivor can do beside a stopped process: takes an item and puts one, if it need not wait for a lock.
    pub fn go_on_beside_the_stopped(&mut self) -> Result<(), String> {
        let mut tick = || Ok(());
        let soon = || Deadline::after(Some(Duration::from_millis(1)));
        let now = Deadline::after(Some(Duration::ZERO));
        let mut small = [0; INLINE_MAX];
        let got = self.queue().get(&mut small, &mut Wait { lock: soon(), change: now, tick: &mut tick });
        let bytes = match got {
            Ok(Got::Copied(len)) => Some(small[..len].to_vec()),
            Ok(Got::Leased(lease)) => {
                let mut out = vec![0; lease.len()];
                self.queue().read(&lease, &mut out).map_err(|error| format!("read: {error:?}"))?;
                // The stopped one may hold the lock when this is to be ended: then it ends with the next repair.
                match self.queue().release(&lease, &mut Wait { lock: soon(), change: now, tick: &mut tick }) {
                    Ok(()) => Some(out),
                    Err(Error::Busy) => {
                        self.queue().abandon_lease(&lease);
                        self.log.note(Event::Late(id_of(&out)?));
                        None
                    }
                    Err(error) => return Err(format!("release: {error:?}")),
                }
            }
            Err(Error::Empty) => None,
            Err(error) => return Err(format!("get: {error:?}")),
        };
        if let Some(bytes) = bytes {
            let id = id_of(&bytes)?;
            self.log.note(Event::Taking(id));
            self.log.note(Event::Took(id));
            self.log.note(Event::Limit(1));
        }
        let fresh = 3 * FRESH;
        let put = item(fresh, self.bytes);
        self.log.note(Event::Putting(fresh));
        self.log.note(Event::Late(fresh)); // the stopped one may put a lower number later
        match self.queue().put(&[&put], &mut Wait { lock: soon(), change: now, tick: &mut tick }) {
            Ok(()) => self.log.note(Event::Put(fresh)),
            // A large item may wait in its slot for the lock that the stopped one holds.
            Err(Error::Full | Error::Busy) => {}
            Err(error) => return Err(format!("put: {error:?}")),
        }
        Ok(())
    }
}

/// Kills a victim at every point of `op`, for every filling, size and survivor.
pub fn sweep(tally: &mut Tally, place: &Place, op: &Op, registers: bool) {
    for (size, fill) in op.sizes.iter().flat_map(|size| FILLS.map(|fill| (*size, fill))) {
        for first in FIRSTS {
            for n in 0.. {
                let mut scene = Scene::new(place, op, size, fill);
                let has_returned = scene.kill_in(op, n, 1, registers);
                tally.count(&mut scene, first, || format!("{} {size:?} {fill:?}, killed at {n}", op.name));
                if has_returned {
                    break;
                }
            }
        }
    }
}

/// Kills one victim at some points of `op`, and a second one at every point of `heir`, which meets what the first left.
pub fn sweep_two(tally: &mut Tally, place: &Place, op: &Op, heir: &Op, size: Size, fill: Fill, stride: usize) {
    for n in (0..).step_by(stride) {
        let mut has_returned = false;
        for m in 0.. {
            let mut scene = Scene::new(place, op, size, fill);
            has_returned = scene.kill_in(op, n, 1, false);
            let is_last = scene.kill_in(heir, m, 2, false);
            let first = FIRSTS[usize::try_from(n + m).expect("few") % 3]; // those that need no number
            tally.count(&mut scene, first, || {
                format!("{} {size:?} {fill:?}, killed at {n}, then {} killed at {m}", op.name, heir.name)
            });
            if is_last {
                break;
            }
        }
        if has_returned {
            break;
        }
    }
}

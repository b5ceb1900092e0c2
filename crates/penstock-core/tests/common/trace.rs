//! A forked process that goes one instruction at a time, and the bytes it may change, watched after each.
//!
//! `ptrace` single steps: a system call is one step, and so is one round of a repeated string instruction, so that a
//! copy made by `rep movsb` is seen byte by byte.

use super::scene::WATCHED_ENTRIES;
use super::{Board, Child, Ended};
use penstock_core::Location;
use penstock_core::layout::{BODY_AT, Entry, TABLE_AT};
use penstock_core::sys::{File, Map};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// More steps than any operation has: a victim that goes in circles is told of instead of followed.
const STEPS_MAX: u64 = 1_000_000;

const BEGUN: u64 = 1;
const OVER: u64 = 2;

/// A point in the course of a process: an instruction, and how often it has been done before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    pub address: u64,
    pub nth: u32,
}

/// A process that stands still before its next instruction.
pub struct Traced {
    child: Child,
    phase: Board,
    steps: u64,
}

fn ptrace(request: libc::c_uint, pid: i32, data: usize) -> libc::c_long {
    // SAFETY: none of the requests used here writes to this process's memory.
    unsafe { libc::ptrace(request, pid, std::ptr::null_mut::<libc::c_void>(), data) }
}

impl Traced {
    /// Forks a process that runs `prepare` at full speed and stands before the first instruction of `act`.
    pub fn before(prepare: impl FnOnce(), act: impl FnOnce()) -> Traced {
        let phase = Board::new(1);
        let child = Child::run(|| {
            prepare();
            assert_eq!(ptrace(libc::PTRACE_TRACEME, 0, 0), 0, "being traced: {}", std::io::Error::last_os_error());
            // SAFETY: raising a signal has no memory effects.
            unsafe { libc::raise(libc::SIGSTOP) };
            phase[0].store(BEGUN, SeqCst);
            act();
            phase[0].store(OVER, SeqCst);
            super::die();
        });
        let mut traced = Traced { child, phase, steps: 0 };
        assert_eq!(traced.wait(), Ok(libc::SIGSTOP), "the victim stands");
        while traced.phase[0].load(SeqCst) < BEGUN {
            traced.step().expect("on its way to the operation");
        }
        traced.steps = 0;
        traced
    }

    /// Waits for the next stop; returns the signal it stopped for.
    fn wait(&mut self) -> Result<i32, String> {
        let mut status = 0;
        // SAFETY: a valid place for the status.
        let waited = unsafe { libc::waitpid(self.child.pid, &raw mut status, libc::__WALL) };
        assert_eq!(waited, self.child.pid, "our child");
        if libc::WIFSTOPPED(status) {
            return Ok(libc::WSTOPSIG(status));
        }
        let ended = if libc::WIFSIGNALED(status) {
            Ended::Killed(libc::WTERMSIG(status))
        } else {
            Ended::Exited(libc::WEXITSTATUS(status))
        };
        self.child.ended = Some(ended);
        Err(format!("the victim ended by itself: {ended:?}"))
    }

    /// Lets it do one instruction.
    ///
    /// # Errors
    /// It ended, was sent a signal, or goes in circles.
    pub fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(format!("the victim has not returned after {STEPS_MAX} steps"));
        }
        if ptrace(libc::PTRACE_SINGLESTEP, self.child.pid, 0) != 0 {
            return Err(format!("a step: {}", std::io::Error::last_os_error()));
        }
        self.stands()
    }

    /// Lets it run at full speed to the beginning or end of its next system call, for which `stands` waits.
    pub fn go_to_system_call(&mut self) {
        assert_eq!(ptrace(libc::PTRACE_SYSCALL, self.child.pid, 0), 0, "going: {}", std::io::Error::last_os_error());
    }

    /// Waits until it stands.
    ///
    /// # Errors
    /// It ended, or was sent a signal.
    pub fn stands(&mut self) -> Result<(), String> {
        match self.wait()? {
            libc::SIGTRAP => Ok(()),
            signal => Err(format!("the victim got signal {signal}")),
        }
    }

    /// Lets it run to where it is about to sleep on a word.
    ///
    /// # Errors
    /// As [`Traced::stands`].
    pub fn run_to_sleep(&mut self) -> Result<(), String> {
        loop {
            self.go_to_system_call();
            self.stands()?;
            let at = self.registers();
            let is_sleep = at.orig_rax == libc::SYS_futex.cast_unsigned() && at.rsi == libc::FUTEX_WAIT as u64;
            if is_sleep {
                return Ok(());
            }
            self.go_to_system_call();
            self.stands()?;
        }
    }

    /// Waits until it sleeps in the system call that it was let go to the end of.
    pub fn falls_asleep(&self) {
        super::wait_for("it to sleep", Duration::from_secs(10), || self.child.state() == 'S');
    }

    /// What the system call at whose end it stands has returned.
    pub fn result(&self) -> i64 {
        self.registers().rax.cast_signed()
    }

    fn registers(&self) -> libc::user_regs_struct {
        // SAFETY: all-zero bytes are valid registers, to be written over.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        let nothing = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: `registers` is a valid place for the answer.
        let got = unsafe { libc::ptrace(libc::PTRACE_GETREGS, self.child.pid, nothing, &raw mut registers) };
        assert_eq!(got, 0, "registers: {}", std::io::Error::last_os_error());
        registers
    }

    /// The address of its next instruction.
    pub fn address(&self) -> u64 {
        const RIP: usize = std::mem::offset_of!(libc::user_regs_struct, rip);
        // SAFETY: peeking returns the word; errno tells a failure, and it cannot fail for a stopped process of ours.
        unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, self.child.pid, RIP, 0) }.cast_unsigned()
    }

    /// Goes on at full speed until the instruction at `spot` is about to be done for so many times; false if it ended before.
    pub fn run_to(&mut self, spot: Spot) -> Result<bool, String> {
        let mut left = spot.nth;
        loop {
            if self.address() == spot.address {
                if left == 0 {
                    return Ok(true);
                }
                left -= 1;
                self.step()?; // one round, if it is a repeated one: then it stands there again
            } else if !self.run_to_address(spot.address)? {
                return Ok(false);
            }
        }
    }

    /// A breakpoint: the byte of a trap in the child's own copy of the code. Where the code cannot be changed, it steps.
    fn run_to_address(&mut self, address: u64) -> Result<bool, String> {
        const TRAP: i64 = 0xCC;
        let pid = self.child.pid;
        // SAFETY: peeking returns the word; the address is one at which this code has been.
        let code = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, pid, address, 0) };
        let poke = |word: i64| {
            // SAFETY: changes the stopped child's copy only, and is taken back before anything else runs there.
            unsafe { libc::ptrace(libc::PTRACE_POKETEXT, pid, address, word) == 0 }
        };
        if !poke(code & !0xFF | TRAP) {
            self.step()?;
            return Ok(!self.is_over());
        }
        assert_eq!(ptrace(libc::PTRACE_CONT, pid, 0), 0, "going on: {}", std::io::Error::last_os_error());
        match self.wait() {
            Ok(libc::SIGTRAP) => {}
            Ok(signal) => return Err(format!("the victim got signal {signal}")),
            Err(_) if self.is_over() => return Ok(false),
            Err(why) => return Err(why),
        }
        assert!(poke(code), "the code comes back");
        const RIP: usize = std::mem::offset_of!(libc::user_regs_struct, rip);
        // SAFETY: writes the stopped child's register; the trap was one byte long.
        let set = unsafe { libc::ptrace(libc::PTRACE_POKEUSER, pid, RIP, address) };
        assert_eq!(set, 0, "going back by a byte: {}", std::io::Error::last_os_error());
        Ok(true)
    }

    /// How many instructions it has done of the operation.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether the operation has returned.
    pub fn is_over(&self) -> bool {
        self.phase[0].load(SeqCst) == OVER
    }

    /// Ends it by SIGKILL, where it stands.
    pub fn kill(&mut self) {
        self.child.kill();
    }
}

/// A name and the bytes of the segment that it names, compared after each step.
pub struct Watch {
    location: Location,
    is_named: bool,
    map: Option<Map>,
    seen: Vec<u8>,
}

/// More participants than any scene has. The table beyond them is compared at the end only: it is most of a segment.
const WATCHED: usize = TABLE_AT + WATCHED_ENTRIES * size_of::<Entry>();

impl Watch {
    /// Watches what the name stands for, now or once somebody has made it.
    pub fn on(location: &Location) -> Watch {
        let mut watch = Watch { location: location.clone(), is_named: false, map: None, seen: Vec::new() };
        watch.has_changed();
        watch
    }

    fn look_at_name(&mut self) -> bool {
        let is_named = self.location.path.symlink_metadata().is_ok();
        let has_changed = is_named != self.is_named;
        self.is_named = is_named;
        if is_named && self.map.is_none() {
            let (file, facts) = File::open(&self.location.name, &self.location.path).expect("the segment's file");
            let len = usize::try_from(facts.len).expect("short");
            self.map = Some(file.map(&self.location.name, len, false).expect("mapped"));
            self.seen = self.bytes().to_vec();
        }
        has_changed
    }

    fn bytes(&self) -> &[u8] {
        let Some(map) = &self.map else { return &[] };
        // SAFETY: the whole map; the only process that changes the bytes stands still while they are read.
        unsafe { std::slice::from_raw_parts(map.base(), map.len()) }
    }

    /// Whether something changed since it was last asked.
    pub fn has_changed(&mut self) -> bool {
        let mut has_changed = self.look_at_name();
        for part in [0..WATCHED, BODY_AT..self.seen.len()] {
            let now = self.bytes().get(part.clone()).unwrap_or_default();
            if now != self.seen.get(part.clone()).unwrap_or_default() {
                let now = now.to_vec();
                self.seen[part].copy_from_slice(&now);
                has_changed = true;
            }
        }
        has_changed
    }

    /// Whether the name was there when it was last asked.
    pub fn is_named(&self) -> bool {
        self.is_named
    }

    /// The bytes as they were when it was last asked.
    pub fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// Whether all that changed was watched.
    pub fn has_seen_all(&self) -> bool {
        self.bytes() == self.seen
    }
}

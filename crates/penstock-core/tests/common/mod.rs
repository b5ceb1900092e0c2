//! What the tests share: a directory of one's own, items that show when they are torn, and children that can be killed.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod attack;
pub mod campaign;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod follow;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod handles;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod heirs;
pub mod lifetimes;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod lives;
pub mod objects;
pub mod ops;
#[cfg(feature = "crash-points")]
pub mod points;
pub mod portable;
pub mod scene;
pub mod sleepers;
pub mod tally;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod trace;
pub mod victim;

pub use portable::*;

use penstock_core::{Error, Location, Queue};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

impl Place {
    /// A file of one's own with these bytes.
    pub fn copy(&self, name: &str, bytes: &[u8]) -> Location {
        let location = self.at(name);
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&location.path).expect("a new file");
        file.write_all_at(bytes, 0).expect("copied");
        location
    }
}

// ------------------------------------------------------------------------------------------------------- children

/// What a caught panic said.
pub fn panic_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a word"))
}

/// Why a child is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Exited(i32),
    Killed(i32),
}

pub const BY_SIGKILL: Ended = Ended::Killed(libc::SIGKILL);
pub const WELL: Ended = Ended::Exited(0);

/// A forked process that runs a closure. Dropped, it is killed.
#[derive(Debug)]
pub struct Child {
    pub pid: i32,
    pidfd: i32,
    ended: Option<Ended>,
}

static IN_CHILD: AtomicBool = AtomicBool::new(false);

impl Child {
    /// Forks. The child exits with 0 when `act` returns, and with 101 when it panics. It dies with the thread that made it.
    pub fn run(act: impl FnOnce()) -> Child {
        Child::run_on(|| {
            // SAFETY: no memory is passed.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            act();
        })
    }

    /// The same, but it outlives this process.
    pub fn run_on(act: impl FnOnce()) -> Child {
        get_ready_to_fork();
        // SAFETY: the child runs the closure and leaves by _exit. The C library makes its allocator usable there, and
        // `get_ready_to_fork` has run what would take a lock that another thread may hold.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
        if pid == 0 {
            IN_CHILD.store(true, SeqCst);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
            // SAFETY: ends the process.
            unsafe { libc::_exit(if outcome.is_ok() { 0 } else { 101 }) };
        }
        Child::of(pid)
    }

    /// Watches a process that is this one's child.
    pub fn of(pid: i32) -> Child {
        // SAFETY: no memory is passed.
        let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        assert!(pidfd >= 0, "pidfd_open: {}", std::io::Error::last_os_error());
        Child { pid, pidfd: i32::try_from(pidfd).expect("a descriptor"), ended: None }
    }

    pub fn signal(&self, signal: i32) {
        if self.ended.is_none() {
            // SAFETY: no memory is passed; the pid is ours until we have waited for it.
            unsafe { libc::kill(self.pid, signal) };
        }
    }

    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        assert!(self.wait(Duration::from_secs(10)).is_some(), "a killed process goes");
    }

    /// Stops it, and returns when it stands still.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        self.wait_until_stopped(Duration::from_secs(10));
    }

    pub fn wait_until_stopped(&self, time: Duration) {
        wait_for("a stopped child", time, || self.state() == 'T');
    }

    pub fn go_on(&self) {
        self.signal(libc::SIGCONT);
    }

    /// The letter that the kernel shows for its state.
    pub fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?')
    }

    /// Waits for its end. `None`: it goes on.
    pub fn wait(&mut self, time: Duration) -> Option<Ended> {
        if self.ended.is_some() {
            return self.ended;
        }
        let mut poll = libc::pollfd { fd: self.pidfd, events: libc::POLLIN, revents: 0 };
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).saturating_add(1);
            // SAFETY: one valid entry.
            let ready = unsafe { libc::poll(&raw mut poll, 1, ms) };
            if ready > 0 {
                break;
            }
            if left.is_zero() {
                return None;
            }
        }
        let mut status = 0;
        // SAFETY: a valid place for the status.
        let waited = unsafe { libc::waitpid(self.pid, &raw mut status, 0) };
        assert_eq!(waited, self.pid, "our child");
        let ended = if libc::WIFSIGNALED(status) {
            Ended::Killed(libc::WTERMSIG(status))
        } else {
            Ended::Exited(libc::WEXITSTATUS(status))
        };
        self.ended = Some(ended);
        self.ended
    }

    /// Waits for its end, which must come.
    pub fn end(&mut self) -> Ended {
        self.wait(Duration::from_secs(20)).unwrap_or_else(|| {
            self.signal(libc::SIGKILL);
            panic!("a child hangs")
        })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if IN_CHILD.load(SeqCst) {
            return; // inherited from the parent: not ours to end
        }
        self.signal(libc::SIGKILL);
        self.wait(Duration::from_secs(10));
        // SAFETY: our descriptor.
        unsafe { libc::close(self.pidfd) };
    }
}

/// Ends this process as if killed from outside.
pub fn die() -> ! {
    // SAFETY: SIGKILL to oneself does not return.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("SIGKILL returns")
}

/// Whether the effective user may mount and change owners.
pub fn is_root() -> bool {
    penstock_core::sys::user_id() == 0
}

/// What a child may need and what takes a lock when it is first used is used before the first fork: another thread of
/// this process could be holding that lock at the moment of the fork. Panics of children go past the test's capture.
fn get_ready_to_fork() {
    static READY: Once = Once::new();
    READY.call_once(|| {
        let place = Place::new("ready-to-fork");
        let queue = Queue::create(&place.at("q"), &plan(1, 1, 1)).expect("created");
        put(&queue, &[1]).expect("room");
        assert_eq!(put(&queue, &[1]), Err(Error::Full));
        get(&queue).expect("an item");
        let _ = within(Duration::from_millis(1), |wait| get_waiting(&queue, wait));
        drop(queue);
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IN_CHILD.load(SeqCst) {
                tell(&format!("in a child: {info}"));
            } else {
                usual(info);
            }
        }));
    });
}

/// Tests that fork run one after the other: a child inherits what all threads of the process have open.
pub fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line on stderr, whether or not the test passes.
pub fn tell(line: &str) {
    let line = format!("{line}\n");
    // SAFETY: valid bytes; what cannot be written is not needed.
    unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
}

// ------------------------------------------------------------------------------------------------------- shared words

/// Words that parent and children share, outside of any queue.
pub struct Board {
    words: *const AtomicU64,
    len: usize,
}

// SAFETY: shared atomics.
unsafe impl Send for Board {}
// SAFETY: shared atomics.
unsafe impl Sync for Board {}

impl Board {
    pub fn new(len: usize) -> Board {
        // SAFETY: a new mapping, zeroed and aligned to a page; never unmapped while the board lives.
        let words = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len * 8,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        assert!(words != libc::MAP_FAILED, "memory for a board");
        Board { words: words.cast(), len }
    }
}

impl std::ops::Deref for Board {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: mapped in `new` with this length, atomics only.
        unsafe { std::slice::from_raw_parts(self.words, self.len) }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: mapped in `new` with this length.
        unsafe { libc::munmap(self.words.cast_mut().cast(), self.len * 8) };
    }
}

// ------------------------------------------------------------------------------------------------------- raw bytes

/// A file that only its owner may write, as a segment's is.
pub fn write_private(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("private");
}

/// A segment's file, read and written past all rules.
pub struct Raw(std::fs::File);

impl Raw {
    pub fn of(location: &Location) -> Raw {
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&location.path);
        Raw(file.expect("the segment's file"))
    }

    pub fn bytes(&self, at: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact_at(&mut bytes, at as u64).expect("bytes of the segment");
        bytes
    }

    pub fn all(&self) -> Vec<u8> {
        let len = self.0.metadata().expect("its length").len();
        self.bytes(0, usize::try_from(len).expect("short"))
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at, 4).try_into().expect("four bytes"))
    }

    pub fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).try_into().expect("eight bytes"))
    }

    pub fn write(&self, at: usize, bytes: &[u8]) {
        self.0.write_all_at(bytes, at as u64).expect("written");
    }
}

/// Numbers that look random and come from a seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn roll(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 16) % end.max(1)
    }
}

/// `PENSTOCK_TEST_SEED`, or a new one each time; printed by whoever uses it.
pub fn seed() -> u64 {
    std::env::var("PENSTOCK_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        u64::from(std::process::id()) ^ penstock_core::sys::unix_ms().wrapping_mul(1_000_003) & 0xFFFF_FFFF
    })
}

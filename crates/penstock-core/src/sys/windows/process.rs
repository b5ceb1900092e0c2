//! This process and this machine.

use std::mem::size_of;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use windows_sys::Wdk::System::SystemInformation::NtQuerySystemInformation;
use windows_sys::Wdk::System::SystemServices::RtlGetVersion;
use windows_sys::Win32::System::SystemInformation::{GetTickCount64, OSVERSIONINFOW};
use windows_sys::Win32::System::Threading::GetCurrentThreadId;
#[cfg(feature = "crash-points")]
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetCurrentThread, SuspendThread, TerminateProcess};

/// A number that is this process's own along its line of descent. Nothing forks here, so there is one.
#[inline]
#[must_use]
pub fn epoch() -> u32 {
    1
}

/// State of this process that threads share. (Where processes fork, it survives that; here a mutex does.)
#[derive(Debug)]
pub struct ForkLocked<T> {
    state: Mutex<T>,
}

impl<T> ForkLocked<T> {
    /// Wraps `state`. Do not nest `with`: on other systems there is one lock for the whole process.
    pub const fn new(state: T) -> ForkLocked<T> {
        ForkLocked { state: Mutex::new(state) }
    }

    /// Runs `act` alone in this process. Short, and never waits for a peer.
    pub fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// This process's number, for people to read; never trusted for liveness on its own.
#[must_use]
pub fn process_id() -> u32 {
    std::process::id()
}

/// This thread's number within the system.
#[inline]
#[must_use]
pub fn thread_id() -> u32 {
    // SAFETY: no conditions.
    unsafe { GetCurrentThreadId() }
}

/// Milliseconds of a monotonic clock, coarse and cheap.
#[must_use]
pub fn now_ms() -> u64 {
    // SAFETY: no conditions.
    unsafe { GetTickCount64() }
}

/// Milliseconds since 1970.
#[must_use]
pub fn unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

/// How many processors this process may run on.
#[must_use]
pub fn spin_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What does not change while the machine is up.
#[derive(Debug, Clone)]
pub struct Host {
    /// Changes with every start of the machine.
    pub boot_id: [u64; 2],
    /// 0: all processes are numbered in one space.
    pub pid_namespace: u64,
    /// The system's version.
    pub kernel: String,
    /// A thread can sleep on several words at once.
    pub can_sleep_on_many: bool,
}

/// Facts about this host, read once.
pub fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host { boot_id: boot_id(), pid_namespace: 0, kernel: version(), can_sleep_on_many: true })
}

/// The start of `SYSTEM_TIMEOFDAY_INFORMATION`, as the kernel writes it.
#[repr(C)]
#[derive(Default)]
struct TimeOfDay {
    boot_time: i64,
    current_time: i64,
    time_zone_bias: i64,
    time_zone_id: u32,
    reserved: u32,
    boot_time_bias: u64,
    sleep_time_bias: u64,
}

const SYSTEM_TIME_OF_DAY: i32 = 3;

/// When the machine was started. Setting the clock moves that moment and, by as much, its bias: the difference stays.
fn boot_id() -> [u64; 2] {
    let mut facts = TimeOfDay::default();
    let bytes = u32::try_from(size_of::<TimeOfDay>()).unwrap_or(0);
    // SAFETY: `facts` is a valid place for so many bytes.
    unsafe {
        NtQuerySystemInformation(SYSTEM_TIME_OF_DAY, (&raw mut facts).cast(), bytes, std::ptr::null_mut());
    }
    [facts.boot_time.cast_unsigned().wrapping_sub(facts.boot_time_bias), 1]
}

fn version() -> String {
    let mut facts = OSVERSIONINFOW {
        dwOSVersionInfoSize: u32::try_from(size_of::<OSVERSIONINFOW>()).unwrap_or(0),
        ..Default::default()
    };
    // SAFETY: `facts` says how long it is.
    unsafe { RtlGetVersion(&raw mut facts) };
    format!("{}.{}.{}", facts.dwMajorVersion, facts.dwMinorVersion, facts.dwBuildNumber)
}

/// What the machine has of what is used here; the names are those of the means elsewhere, the answers those of the needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "a list of yes and no")]
pub struct Features {
    /// Locks that belong to an open file: the signs of life.
    pub ofd_locks: bool,
    /// Sleeping on a word of shared memory.
    pub futex: bool,
    /// Sleeping on several at once.
    pub futex_waitv: bool,
    /// Files that nobody sees until they are complete.
    pub otmpfile: bool,
    /// Nothing of a parent's is found in its children: they are not copies of it.
    pub wipe_on_fork: bool,
}

/// Every Windows that Rust runs on has all of it.
#[must_use]
pub fn features(_directory: &Path) -> Features {
    Features { ofd_locks: true, futex: true, futex_waitv: true, otmpfile: true, wipe_on_fork: true }
}

/// The exit code of a process that died at a crash point.
#[cfg(feature = "crash-points")]
const KILLED: u32 = 9;

/// Dies as if killed from outside.
#[cfg(feature = "crash-points")]
pub fn die() -> ! {
    // SAFETY: ends this process; nothing of it runs on.
    unsafe { TerminateProcess(GetCurrentProcess(), KILLED) };
    loop {
        std::hint::spin_loop();
    }
}

/// Stops this thread until somebody resumes it.
#[cfg(feature = "crash-points")]
pub fn stop_self() {
    // SAFETY: this thread's own handle.
    unsafe { SuspendThread(GetCurrentThread()) };
}

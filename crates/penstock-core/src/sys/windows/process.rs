//! This process and this machine.

use crate::sys::{Features, Host};
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

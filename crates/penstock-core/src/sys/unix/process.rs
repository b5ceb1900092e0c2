//! This process, its threads, and what there is to know of the machine.

use super::{epoch, system};
use std::cell::Cell;

/// This thread's number within the system. Right in a forked child as well. The kernel is asked once a thread and process.
#[inline]
#[must_use]
pub fn thread_id() -> u32 {
    thread_local!(static KNOWN: Cell<(u32, u32)> = const { Cell::new((0, 0)) });
    let epoch = epoch();
    KNOWN.with(|known| match known.get() {
        (then, id) if then == epoch => id,
        _ => {
            let id = system::thread_number();
            known.set((epoch, id));
            id
        }
    })
}

/// The effective user.
#[must_use]
pub fn user_id() -> u32 {
    // SAFETY: geteuid has no conditions.
    unsafe { libc::geteuid() }
}

/// Dies as if killed from outside.
#[cfg(feature = "crash-points")]
pub fn die() -> ! {
    // SAFETY: SIGKILL to oneself does not return.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    loop {
        std::hint::spin_loop();
    }
}

/// Stops until somebody sends SIGCONT.
#[cfg(feature = "crash-points")]
pub fn stop_self() {
    // SAFETY: raising SIGSTOP has no memory effects.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// The two halves of a start's name, which is a UUID; 1 where there is none.
pub(in crate::sys) fn boot_id_of(uuid: &str) -> [u64; 2] {
    let digits: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
    let half =
        |range: std::ops::Range<usize>| digits.get(range).and_then(|d| u64::from_str_radix(d, 16).ok()).unwrap_or(1);
    [half(0..16), half(16..32)]
}

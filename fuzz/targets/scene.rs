//! What both targets need beside what they attack: a process that lives on, and tidies up even after a crash.

use crate::common::{Board, Child, Place, wait_for};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Another process that is attached and does nothing, until this one is gone; then it removes the directory.
pub fn attach_bystander(place: &Place, attach: impl FnOnce()) {
    let board = Board::new(1);
    let fuzzer = std::process::id();
    let bystander = Child::run_on(|| {
        // Ctrl-C ends the fuzzer; this one tidies up after it.
        // SAFETY: no handlers of ours.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
        attach();
        board[0].store(1, SeqCst);
        while std::os::unix::process::parent_id() == fuzzer {
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = std::fs::remove_dir_all(place.path());
    });
    wait_for("the bystander", Duration::from_secs(20), || board[0].load(SeqCst) == 1);
    std::mem::forget(bystander);
}

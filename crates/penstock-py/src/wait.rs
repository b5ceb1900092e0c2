//! Blocking calls: what a timeout means, letting the interpreter go on meanwhile, and running signal handlers.

use crate::errors;
use penstock_core::queue::Wait;
use penstock_core::{Deadline, Error, sys};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How many looks a caller may take with the interpreter's lock held: a microsecond or so. The other side may be a
/// thread of this very process, which cannot answer meanwhile.
pub const GLANCES: u32 = 30;

/// Any object as a condition, as the standard library's queues take it.
pub fn truthy(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    object.is_truthy()
}

/// When a call that may block until `timeout` seconds from now ends.
pub fn deadline(block: bool, timeout: Option<f64>) -> PyResult<Deadline> {
    if !block {
        return Ok(Deadline::after(Some(Duration::ZERO)));
    }
    let Some(seconds) = timeout else { return Ok(Deadline::Never) };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!("'timeout' must be a non-negative number, not {seconds}")));
    }
    Ok(Deadline::after(Duration::try_from_secs_f64(seconds).ok()))
}

/// Raises for a timeout that cannot be, for a call that will not come to wait for it.
#[inline]
pub fn check_timeout(block: bool, timeout: Option<f64>) -> PyResult<()> {
    match timeout {
        Some(seconds) if seconds.is_nan() || seconds < 0.0 => deadline(block, timeout).map(|_| ()),
        _ => Ok(()),
    }
}

/// As `check_timeout`, for what takes `lenient_deadline`.
#[inline]
pub fn check_lenient_timeout(timeout: Option<f64>) -> PyResult<()> {
    check_timeout(true, timeout.filter(|seconds| seconds.is_nan()))
}

/// As `deadline`, for the objects whose models in `multiprocessing` take a negative timeout as zero.
pub fn lenient_deadline(block: bool, timeout: Option<f64>) -> PyResult<Deadline> {
    deadline(block, timeout.map(|seconds| if seconds < 0.0 { 0.0 } else { seconds }))
}

/// Whether a handle is open, and how many calls on it are under way: the last one out gives the core's handle up.
#[derive(Debug, Default)]
pub struct Usage {
    is_closed: AtomicBool,
    is_given_up: AtomicBool,
    /// Epoch of the process (high half) and its calls under way (low half).
    busy: AtomicU64,
}

/// The calls under way that a word of `busy` tells of: what a forked child inherits are those of its parent's threads,
/// which it does not have.
fn calls_in(word: u64) -> u32 {
    #[allow(clippy::cast_possible_truncation, reason = "the halves of the word")]
    let (epoch, calls) = ((word >> 32) as u32, word as u32);
    if epoch == sys::epoch() { calls } else { 0 }
}

fn busy_word(calls: u32) -> u64 {
    u64::from(sys::epoch()) << 32 | u64::from(calls)
}

/// A call under way. While it is, the handle's registration stays.
pub struct InUse<'a> {
    usage: &'a Usage,
    give_up: &'a dyn Fn(),
}

impl Usage {
    /// Whether the handle was closed.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Counts a call in.
    pub fn enter(&self) {
        self.count(|calls| calls.wrapping_add(1));
    }

    /// Counts a call out; runs `give_up` if the handle was closed and this was the last.
    pub fn leave(&self, give_up: impl FnOnce()) {
        // Saturating: a handler may have forked in the middle of a call, and the child leaves what it never entered.
        if self.count(|calls| calls.saturating_sub(1)) <= 1 && self.is_closed.load(Ordering::SeqCst) {
            self.give_up_once(give_up);
        }
    }

    /// Closes the handle; returns false if it was closed before.
    pub fn close(&self, give_up: impl FnOnce()) -> bool {
        if self.is_closed.swap(true, Ordering::SeqCst) {
            return false;
        }
        // Pairs with `enter` then a look at `is_closed`: either that call sees us, or we see it.
        if calls_in(self.busy.load(Ordering::SeqCst)) == 0 {
            self.give_up_once(give_up);
        }
        true
    }

    /// Changes the number of calls under way; returns what it was.
    fn count(&self, change: impl Fn(u32) -> u32) -> u32 {
        let update = |word| Some(busy_word(change(calls_in(word))));
        match self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, update) {
            Ok(before) | Err(before) => calls_in(before),
        }
    }

    fn give_up_once(&self, give_up: impl FnOnce()) {
        if !self.is_given_up.swap(true, Ordering::SeqCst) {
            give_up();
        }
    }

    /// A guard that counts out by itself.
    pub fn in_use<'a>(&'a self, give_up: &'a dyn Fn()) -> InUse<'a> {
        self.enter();
        InUse { usage: self, give_up }
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.usage.leave(self.give_up);
    }
}

/// Why a wait ended without a result.
pub enum Ended {
    /// The core says so.
    Core(Error),
    /// The handle was closed meanwhile.
    Closed,
    /// A signal handler raised.
    Raised(PyErr),
}

impl Ended {
    /// In Python's words.
    pub fn into_py(self, py: Python<'_>, kind: &str, name: &str) -> PyErr {
        match self {
            Ended::Core(error) => errors::from_core(py, &error),
            Ended::Closed => errors::closed(py, kind, name),
            Ended::Raised(error) => error,
        }
    }
}

/// Runs `act` without the interpreter's lock. Between its sleeps signal handlers run and the handle's closing is noticed.
pub fn blocking<R: Send>(
    py: Python<'_>,
    usage: &Usage,
    until: Deadline,
    act: impl FnOnce(&mut Wait<'_>) -> Result<R, Error> + Send,
) -> Result<R, Ended> {
    py.detach(|| {
        let mut raised = None;
        let mut tick = || {
            if usage.is_closed() {
                return Err(Error::Interrupted);
            }
            Python::attach(|py| py.check_signals()).map_err(|error| {
                raised = Some(error);
                Error::Interrupted
            })
        };
        let result = act(&mut Wait::until(until, &mut tick));
        match (result, raised) {
            (Ok(value), _) => Ok(value),
            (Err(Error::Interrupted), Some(error)) => Err(Ended::Raised(error)),
            (Err(Error::Interrupted), None) => Err(Ended::Closed),
            (Err(error), _) => Err(Ended::Core(error)),
        }
    })
}

//! The semaphore as a Python class: arguments in, core call, result out.

use crate::facts;
use crate::handle::Handle;
use crate::place::{self, How};
use crate::wait::{check_lenient_timeout, lenient_deadline, truthy};
use penstock_core::semaphore::{MAXIMUM, Plan};
use penstock_core::stats::Common;
use penstock_core::{Error, Semaphore as Core};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

/// The semaphore under a name, as the native module has it; use `penstock.Semaphore`, which is this and more.
///
/// Every wait releases the GIL. A signal handler that raises ends a wait with its exception, and the semaphore is
/// unchanged; one that returns lets the wait go on with what is left of its timeout.
#[pyclass(frozen, subclass, module = "penstock._core")]
pub struct Semaphore {
    pub handle: Arc<Handle<Core>>,
}

#[pymethods]
impl Semaphore {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "the Python side names them; this is one call deep")]
    fn new(
        py: Python<'_>,
        how: &str,
        directory: &str,
        name: &str,
        lifetime: Option<&str>,
        trust: bool,
        value: Option<u32>,
        maximum: Option<u32>,
    ) -> PyResult<Semaphore> {
        let (how, lifetime) = (How::from_word(how)?, place::lifetime(lifetime)?);
        let fail = |error: Error| crate::errors::from_core(py, &error);
        let location = place::locate(directory, name, None, trust).map_err(fail)?;
        let plan = Plan {
            value: value.unwrap_or(1),
            maximum: maximum.unwrap_or(MAXIMUM),
            lifetime: place::lifetime_or_usual(lifetime, name),
        };
        let trusted = place::trust(trust);
        let opened = py.detach(|| match how {
            How::Open => Core::open(&location, maximum, lifetime, trusted).map(|core| (core, false)),
            How::Create => Core::create(&location, &plan).map(|core| (core, true)),
            How::OpenOrCreate => Core::open_or_create(&location, &plan, maximum, lifetime, trusted),
        });
        Ok(Semaphore { handle: Arc::new(Handle::new(opened.map_err(fail)?, trust)) })
    }

    /// The name in its directory.
    #[getter]
    fn name(&self) -> &str {
        self.handle.core.segment().name()
    }

    /// The file that the semaphore lives in, absolute.
    #[getter]
    fn path(&self) -> String {
        self.handle.core.segment().location().path.display().to_string()
    }

    /// "until_unlinked", or "while_open": gone with its last user.
    #[getter]
    fn lifetime(&self) -> &'static str {
        place::lifetime_word(self.handle.core.segment().header().lifetime)
    }

    /// Whether a wait on this handle looks for a moment, up to 200 us, before it goes to sleep. May be set.
    ///
    /// Looking answers within a microsecond where the other side is at work on another processor; False costs no
    /// processor time and a few microseconds more. It is this handle's in this process; `PENSTOCK_SPIN=0` is False for all.
    #[getter]
    fn spin(&self) -> bool {
        self.handle.core.spin().is_on()
    }

    #[setter]
    fn set_spin(&self, on: bool) {
        self.handle.core.spin().turn(on);
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.handle.usage.is_closed()
    }

    /// Whether this handle created the semaphore, rather than found it.
    #[getter]
    fn created(&self) -> bool {
        self.handle.created
    }

    /// Whether this handle was opened with trust=True.
    #[getter]
    fn trusted(&self) -> bool {
        self.handle.trusted
    }

    /// The highest count.
    #[getter]
    fn maximum(&self) -> u32 {
        self.handle.core.maximum()
    }

    /// Take one, waiting while there is none.
    ///
    /// As `multiprocessing.Semaphore.acquire`.
    ///
    /// Args:
    ///     block: Whether to wait at all; False is the same as timeout=0.
    ///     timeout: Longest wait in seconds. None waits for ever; 0 and less does not wait.
    ///
    /// Returns:
    ///     True when one was taken, False if the time ran out first.
    ///
    /// Raises:
    ///     ValueError: timeout is NaN.
    ///     Closed: This handle was closed, here or by another thread.
    ///     Removed: The semaphore was unlinked while this call waited.
    ///     Corrupted: The count is above the maximum.
    ///
    /// If killed: what was taken stays taken.
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = truthy)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        check_lenient_timeout(timeout)?;
        let _entered = self.handle.enter(py)?;
        match self.handle.core.try_acquire() {
            Ok(()) => Ok(true),
            Err(Error::Busy) => {
                let until = lenient_deadline(block, timeout)?;
                self.handle.in_time(py, until, |core, wait| core.acquire(wait.change, wait.tick))
            }
            Err(error) => Err(self.handle.error(py, &error)),
        }
    }

    /// Give some back, all or none.
    ///
    /// Args:
    ///     n: How many, at least 1.
    ///
    /// Returns:
    ///     The count before.
    ///
    /// Raises:
    ///     OverRelease: The count would be above the maximum. (A ValueError, as of `threading.BoundedSemaphore`.) Nothing changed.
    ///     ValueError: n is below 1. Nothing changed.
    ///     Closed: This handle was closed.
    ///     Corrupted: The count is above the maximum.
    ///
    /// If killed: all of them are given back, or none.
    #[pyo3(signature = (n = 1))]
    fn release(&self, py: Python<'_>, n: i64) -> PyResult<u32> {
        if n < 1 {
            return Err(PyValueError::new_err(format!("n is {n}; it must be at least 1")));
        }
        let _entered = self.handle.enter(py)?;
        // What does not fit is above every maximum.
        let count = u32::try_from(n).unwrap_or(u32::MAX);
        self.handle.core.release(count).map_err(|error| self.handle.error(py, &error))
    }

    /// Return the count: exact, but others may have changed it by the time it returns.
    ///
    /// Raises:
    ///     Closed: This handle was closed.
    ///     Corrupted: The count is above the maximum.
    fn get_value(&self, py: Python<'_>) -> PyResult<u32> {
        let _entered = self.handle.enter(py)?;
        self.handle.core.value().map_err(|error| self.handle.error(py, &error))
    }

    /// Close this handle; the semaphore and other handles of it are unchanged. Closing twice does nothing.
    ///
    /// Calls on the handle raise `Closed` from now on, also those that are waiting in other threads.
    ///
    /// If killed: as if closed.
    fn close(&self) {
        self.handle.close();
    }

    /// Remove the name: nobody can open the semaphore any more. Handles that are open go on working; who waits on one
    /// learns of it by `Removed`. Unlinking twice does nothing, also when something else has the name by then.
    ///
    /// Raises:
    ///     SystemFailed: The system would not remove the file. Nothing changed.
    ///     Closed: This handle was closed.
    ///
    /// If killed: the name is there or gone.
    fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.unlink(py)
    }

    /// Describe the semaphore as it is now, as a dict of plain values; figures may be a moment apart.
    ///
    /// Returns:
    ///     name, path, kind ("semaphore"), lifetime, created_at (in seconds since 1970), bytes_reserved, bytes_committed,
    ///     participants: as `Queue.stats`;
    ///     value, maximum.
    ///
    /// Raises:
    ///     Closed: This handle was closed.
    ///     Corrupted: The count is above the maximum.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let _entered = self.handle.enter(py)?;
        let core = &self.handle.core;
        let fail = |error: Error| self.handle.error(py, &error);
        let dict = facts::of_any(py, &Common::of(core.segment()).map_err(fail)?)?;
        dict.set_item("value", core.value().map_err(fail)?)?;
        dict.set_item("maximum", core.maximum())?;
        Ok(dict)
    }
}

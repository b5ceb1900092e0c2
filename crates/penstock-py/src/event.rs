//! The event as a Python class: arguments in, core call, result out.

use crate::facts;
use crate::handle::Handle;
use crate::place::{self, How};
use crate::wait::{check_lenient_timeout, lenient_deadline};
use penstock_core::stats::Common;
use penstock_core::{Error, Event as Core};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

/// The event under a name, as the native module has it; use `penstock.Event`, which is this and more.
///
/// Every wait releases the GIL. A signal handler that raises ends a wait with its exception, and the event is unchanged;
/// one that returns lets the wait go on with what is left of its timeout.
#[pyclass(frozen, subclass, module = "penstock._core")]
pub struct Event {
    pub handle: Arc<Handle<Core>>,
}

#[pymethods]
impl Event {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "the Python side names them; this is one call deep")]
    fn new(
        py: Python<'_>,
        how: &str,
        directory: &str,
        name: &str,
        lifetime: Option<&str>,
        trust: bool,
        auto_reset: Option<bool>,
    ) -> PyResult<Event> {
        let (how, lifetime) = (How::from_word(how)?, place::lifetime(lifetime)?);
        let fail = |error: Error| crate::errors::from_core(py, &error);
        let location = place::locate(directory, name, None, trust).map_err(fail)?;
        let planned = place::lifetime_or_usual(lifetime, name);
        let trusted = place::trust(trust);
        let opened = py.detach(|| match how {
            How::Open => Core::open(&location, auto_reset, lifetime, trusted).map(|core| (core, false)),
            How::Create => Core::create(&location, auto_reset.unwrap_or(false), planned).map(|core| (core, true)),
            How::OpenOrCreate => Core::open_or_create(&location, auto_reset, lifetime, trusted),
        });
        Ok(Event { handle: Arc::new(Handle::new(opened.map_err(fail)?, trust)) })
    }

    /// The name in its directory.
    #[getter]
    fn name(&self) -> &str {
        self.handle.core.segment().name()
    }

    /// The file that the event lives in, absolute.
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

    /// Whether this handle created the event, rather than found it.
    #[getter]
    fn created(&self) -> bool {
        self.handle.created
    }

    /// Whether this handle was opened with trust=True.
    #[getter]
    fn trusted(&self) -> bool {
        self.handle.trusted
    }

    /// Whether a wait that succeeds clears the event.
    #[getter]
    fn auto_reset(&self) -> bool {
        self.handle.core.auto_reset()
    }

    /// Set the event: all that wait go on, or one of them if it resets itself.
    ///
    /// All that were waiting go on, also when `clear` follows before they have run.
    ///
    /// Raises:
    ///     Closed: This handle was closed.
    ///
    /// If killed: it is set or not; if it is, waiters go on within a fraction of a second.
    fn set(&self, py: Python<'_>) -> PyResult<()> {
        let _entered = self.handle.enter(py)?;
        self.handle.core.set();
        Ok(())
    }

    /// Clear the event.
    ///
    /// Raises:
    ///     Closed: This handle was closed.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let _entered = self.handle.enter(py)?;
        self.handle.core.clear();
        Ok(())
    }

    /// Tell whether the event is set, without using it up; the answer may be old when it arrives.
    ///
    /// Raises:
    ///     Closed: This handle was closed.
    fn is_set(&self, py: Python<'_>) -> PyResult<bool> {
        let _entered = self.handle.enter(py)?;
        Ok(self.handle.core.is_set())
    }

    /// Wait until the event is set; one that resets itself is cleared by that.
    ///
    /// As `threading.Event.wait`.
    ///
    /// Args:
    ///     timeout: Longest wait in seconds. None waits for ever; 0 and less only looks.
    ///
    /// Returns:
    ///     True when it was set, False if the time ran out first.
    ///
    /// Raises:
    ///     ValueError: timeout is NaN.
    ///     Closed: This handle was closed, here or by another thread.
    ///     Removed: The event was unlinked while this call waited.
    ///
    /// If killed: one that resets itself may have been cleared for this process.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        check_lenient_timeout(timeout)?;
        let _entered = self.handle.enter(py)?;
        match self.handle.core.try_wait() {
            Ok(()) => Ok(true),
            Err(Error::Busy) => {
                let until = lenient_deadline(true, timeout)?;
                self.handle.in_time(py, until, |core, wait| core.wait(wait.change, wait.tick))
            }
            Err(error) => Err(self.handle.error(py, &error)),
        }
    }

    /// Close this handle; the event and other handles of it are unchanged. Closing twice does nothing.
    ///
    /// Calls on the handle raise `Closed` from now on, also those that are waiting in other threads.
    ///
    /// If killed: as if closed.
    fn close(&self) {
        self.handle.close();
    }

    /// Remove the name: nobody can open the event any more. Handles that are open go on working; who waits on one learns
    /// of it by `Removed`. Unlinking twice does nothing, also when something else has the name by then.
    ///
    /// Raises:
    ///     SystemFailed: The system would not remove the file. Nothing changed.
    ///     Closed: This handle was closed.
    ///
    /// If killed: the name is there or gone.
    fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.unlink(py)
    }

    /// Describe the event as it is now, as a dict of plain values; figures may be a moment apart.
    ///
    /// Returns:
    ///     name, path, kind ("event"), lifetime, created_at (in seconds since 1970), bytes_reserved, bytes_committed,
    ///     participants: as `Queue.stats`;
    ///     is_set, auto_reset.
    ///
    /// Raises:
    ///     Closed: This handle was closed.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let _entered = self.handle.enter(py)?;
        let core = &self.handle.core;
        let common = Common::of(core.segment()).map_err(|error| self.handle.error(py, &error))?;
        let dict = facts::of_any(py, &common)?;
        dict.set_item("is_set", core.is_set())?;
        dict.set_item("auto_reset", core.auto_reset())?;
        Ok(dict)
    }
}

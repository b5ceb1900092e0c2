//! The mutex as a Python class: arguments in, core call, result out.

use crate::facts;
use crate::handle::Handle;
use crate::place::{self, How};
use crate::wait::{check_lenient_timeout, lenient_deadline, truthy};
use penstock_core::stats::Common;
use penstock_core::{Error, Mutex as Core};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

/// The mutex under a name, as the native module has it; use `penstock.Mutex`, which is this and more.
///
/// Every wait releases the GIL. A signal handler that raises ends a wait with its exception, and the mutex is unchanged;
/// one that returns lets the wait go on with what is left of its timeout.
#[pyclass(frozen, subclass, module = "penstock._core")]
pub struct Mutex {
    pub handle: Arc<Handle<Core>>,
}

#[pymethods]
impl Mutex {
    #[new]
    fn new(
        py: Python<'_>,
        how: &str,
        directory: &str,
        name: &str,
        lifetime: Option<&str>,
        trust: bool,
    ) -> PyResult<Mutex> {
        let (how, lifetime) = (How::from_word(how)?, place::lifetime(lifetime)?);
        let fail = |error: Error| crate::errors::from_core(py, &error);
        let location = place::locate(directory, name, None, trust).map_err(fail)?;
        let planned = place::lifetime_or_usual(lifetime, name);
        let trusted = place::trust(trust);
        let opened = py.detach(|| match how {
            How::Open => Core::open(&location, lifetime, trusted).map(|core| (core, false)),
            How::Create => Core::create(&location, planned).map(|core| (core, true)),
            How::OpenOrCreate => Core::open_or_create(&location, lifetime, trusted),
        });
        Ok(Mutex { handle: Arc::new(Handle::new(opened.map_err(fail)?, trust)) })
    }

    /// The name in its directory.
    #[getter]
    fn name(&self) -> &str {
        self.handle.core.segment().name()
    }

    /// The file that the mutex lives in, absolute.
    #[getter]
    fn path(&self) -> String {
        self.handle.core.segment().location().path.display().to_string()
    }

    /// "until_unlinked", or "while_open": gone with its last user.
    #[getter]
    fn lifetime(&self) -> &'static str {
        place::lifetime_word(self.handle.core.segment().header().lifetime)
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.handle.usage.is_closed()
    }

    /// Whether this handle created the mutex, rather than found it.
    #[getter]
    fn created(&self) -> bool {
        self.handle.created
    }

    /// Whether this handle was opened with trust=True.
    #[getter]
    fn trusted(&self) -> bool {
        self.handle.trusted
    }

    /// Whether this thread holds the mutex and got it from an owner whose process died with it in hand: what the mutex
    /// protects may be half done. Until the last release; the next owner is not told, unless this process dies too.
    #[getter]
    fn abandoned(&self, py: Python<'_>) -> bool {
        self.handle.enter(py).is_ok_and(|_entered| self.handle.core.is_abandoned())
    }

    /// Whether this thread holds the mutex.
    #[getter]
    fn is_owned(&self, py: Python<'_>) -> bool {
        self.handle.enter(py).is_ok_and(|_entered| self.handle.core.is_owned())
    }

    /// Take the mutex, waiting while another thread, of whichever process, holds it.
    ///
    /// As `multiprocessing.RLock.acquire`: the thread that holds it may take it again. Look at `abandoned` afterwards.
    ///
    /// Args:
    ///     block: Whether to wait at all; False is the same as timeout=0.
    ///     timeout: Longest wait in seconds. None waits for ever; 0 and less does not wait.
    ///
    /// Returns:
    ///     True when this thread has the mutex, False if the time ran out first.
    ///
    /// Raises:
    ///     ValueError: timeout is NaN.
    ///     Closed: This handle was closed, here or by another thread.
    ///     Removed: The mutex was unlinked while this call waited.
    ///
    /// If killed: the mutex passes to the next who acquires it, with `abandoned` set.
    #[pyo3(signature = (block = true, timeout = None))]
    fn acquire(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = truthy)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        check_lenient_timeout(timeout)?;
        let _entered = self.handle.enter(py)?;
        match self.handle.core.try_take() {
            Ok(_) => Ok(true),
            Err(Error::Busy) => {
                let until = lenient_deadline(block, timeout)?;
                self.handle.in_time(py, until, |core, wait| core.take(wait.change, wait.tick))
            }
            Err(error) => Err(self.handle.error(py, &error)),
        }
    }

    /// Give the mutex back; a thread that has taken it more than once has to do so as often.
    ///
    /// Raises:
    ///     NotOwner: This thread does not hold it. Nothing changed.
    ///     Closed: This handle was closed.
    ///
    /// If killed: the mutex is given back, or passes on as if killed before.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        let _entered = self.handle.enter(py)?;
        self.handle.core.release().map_err(|error| self.handle.error(py, &error))
    }

    /// Tell whether somebody living holds the mutex; the answer may be old when it arrives.
    ///
    /// Raises:
    ///     Closed: This handle was closed.
    fn locked(&self, py: Python<'_>) -> PyResult<bool> {
        let _entered = self.handle.enter(py)?;
        self.handle.core.is_locked().map_err(|error| self.handle.error(py, &error))
    }

    /// Close this handle; the mutex and other handles of it are unchanged. Closing twice does nothing.
    ///
    /// Calls on the handle raise `Closed` from now on, also those that are waiting in other threads. With the last handle
    /// of this process a mutex that it still holds passes on, with `abandoned` set.
    ///
    /// If killed: as if closed.
    fn close(&self) {
        self.handle.close();
    }

    /// Remove the name: nobody can open the mutex any more. Handles that are open go on working; who waits on one learns
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

    /// Describe the mutex as it is now, as a dict of plain values; figures may be a moment apart.
    ///
    /// Returns:
    ///     name, path, kind ("mutex"), lifetime, created_at (in seconds since 1970), bytes_reserved, bytes_committed,
    ///     participants: as `Queue.stats`;
    ///     is_locked: whether somebody living holds it;
    ///     owner: the process that holds it, living or dead, or None.
    ///
    /// Raises:
    ///     Closed: This handle was closed.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let _entered = self.handle.enter(py)?;
        let core = &self.handle.core;
        let fail = |error: Error| self.handle.error(py, &error);
        let dict = facts::of_any(py, &Common::of(core.segment()).map_err(fail)?)?;
        dict.set_item("is_locked", core.is_locked().map_err(fail)?)?;
        dict.set_item("owner", core.owner_pid().map_err(fail)?)?;
        Ok(dict)
    }
}

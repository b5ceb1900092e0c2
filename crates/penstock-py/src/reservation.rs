//! Room for an item to be written in place, as a Python class.

use crate::errors;
use crate::memory::{Keeper, Memory};
use crate::queue::Handle;
use crate::wait::{Usage, blocking};
use penstock_core::queue::Reservation as Room;
use penstock_core::{Deadline, Error};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A reservation, shared by its Python object and the views made of it.
struct State {
    handle: Arc<Handle>,
    room: Room,
    is_settled: AtomicBool,
}

impl Drop for State {
    fn drop(&mut self) {
        if !*self.is_settled.get_mut() {
            self.handle.core.cancel_or_abandon(&self.room);
        }
        self.handle.leave();
    }
}

/// Keeps the bytes mapped for a view. A view that outlives the commit sees what others make of the slot.
struct Written(#[allow(dead_code, reason = "held, not read")] Arc<State>);

impl Keeper for Written {}

/// Room for one item in the queue's memory, to be written in place and then put.
///
/// In a `with` block the block has the memory as a writable memoryview; the item is put at its end, and nothing is if it
/// raises. One that is dropped without a word is cancelled. It belongs to the process that took it: it does not pickle,
/// and a forked child cannot commit it. Its item gets its place in the queue when it is committed.
///
/// If killed: nothing was put, and the room is free again.
///
/// Example:
///     >>> import penstock
///     >>> with penstock.Queue(item=bytes) as q:
///     ...     with q.reserve(5) as view:
///     ...         view[:] = b"frame"
///     ...     q.get()
///     b'frame'
#[pyclass(frozen, module = "penstock._core")]
pub struct Reservation {
    state: Arc<State>,
    view: Mutex<Option<Py<PyMemoryView>>>,
}

impl Reservation {
    /// Wraps reserved room.
    pub fn new(handle: Arc<Handle>, room: Room) -> Reservation {
        handle.usage.enter();
        Reservation {
            state: Arc::new(State { handle, room, is_settled: AtomicBool::new(false) }),
            view: Mutex::new(None),
        }
    }

    fn lost(&self, py: Python<'_>) -> PyErr {
        errors::raise(
            py,
            "LeaseLost",
            (format!("'{}': the reservation was settled before", self.state.handle.core.name()),),
        )
    }

    /// Settles once, by `act`; what it fails to settle stays unsettled.
    fn settle(&self, py: Python<'_>, act: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
        if self.state.is_settled.swap(true, Ordering::AcqRel) {
            return Err(self.lost(py));
        }
        self.forget_view(py);
        let settled = act();
        if let Err(error) = &settled {
            // A queue that was shut down meanwhile has taken the room back.
            let is_over = errors::is_shut_down(py, error);
            self.state.is_settled.store(is_over, Ordering::Release);
        }
        settled
    }

    /// Takes the memory away from who wrote it, unless he made something of it: the item is the consumers' now.
    fn forget_view(&self, py: Python<'_>) {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(view) = view {
            let _ = view.bind(py).call_method0("release");
        }
    }
}

#[pymethods]
impl Reservation {
    /// The memory, a writable memoryview of bytes. It must not be written to after the commit: it is the consumers' then.
    #[getter]
    fn view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        let mut kept = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = &*kept {
            return Ok(view.bind(py).clone());
        }
        let state = &self.state;
        if state.is_settled.load(Ordering::Acquire) {
            return Err(self.lost(py));
        }
        let base = state.handle.core.reserved_bytes(&state.room);
        let view = Memory::view(py, base, state.room.len(), false, Box::new(Written(Arc::clone(state))))?;
        *kept = Some(view.clone().unbind());
        Ok(view)
    }

    /// Put the item.
    ///
    /// Args:
    ///     nbytes: How much of the memory the item is, from its beginning, 0 to what was reserved. None: all.
    ///
    /// Raises:
    ///     LeaseLost: It was committed or cancelled already, or belongs to the parent of this process. Nothing changed.
    ///     ShutDown: The queue was shut down meanwhile. Nothing was put; the room is free again.
    ///     ValueError: nbytes is negative or more than was reserved. The reservation stands.
    ///
    /// If killed: the item is in the queue whole or not at all.
    #[pyo3(signature = (nbytes = None))]
    fn commit(&self, py: Python<'_>, nbytes: Option<i64>) -> PyResult<()> {
        let state = &self.state;
        let (room, core) = (&state.room, &state.handle.core);
        let len = match nbytes {
            None => room.len(),
            Some(n) => usize::try_from(n).ok().filter(|n| *n <= room.len()).ok_or_else(|| {
                PyValueError::new_err(format!(
                    "nbytes is {n}; it must be 0 to {}, which is what was reserved",
                    room.len()
                ))
            })?,
        };
        let exact = core.plan().item_bytes;
        if exact > 0 && len as u64 != exact {
            return Err(PyValueError::new_err(format!(
                "nbytes is {len}; every item of queue '{}' has {exact}",
                core.name()
            )));
        }
        self.settle(py, || match core.try_commit(room, len) {
            // Through a usage of its own: a reservation outlives the closing of the handle it came from.
            Err(Error::Busy) => blocking(py, &Usage::default(), Deadline::Never, |wait| core.commit(room, len, wait))
                .map_err(|ended| ended.into_py(py, "queue", core.name())),
            tried => tried.map_err(|error| errors::from_core(py, &error)),
        })
    }

    /// Put nothing, and free the room.
    ///
    /// Raises:
    ///     LeaseLost: It was committed or cancelled already, or belongs to the parent of this process. Nothing changed.
    ///
    /// If killed: as if cancelled.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let (room, core) = (&self.state.room, &self.state.handle.core);
        self.settle(py, || {
            blocking(py, &Usage::default(), Deadline::Never, |wait| core.cancel(room, wait))
                .map_err(|ended| ended.into_py(py, "queue", core.name()))
        })
    }

    /// Return the memory, a writable memoryview.
    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        self.view(py)
    }

    /// Put the item, or free the room if the block raised; do nothing if that was done by then.
    #[pyo3(signature = (kind, error, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (error, traceback);
        if self.state.is_settled.load(Ordering::Acquire) {
            return Ok(());
        }
        if kind.is_none() { self.commit(py, None) } else { self.cancel(py) }
    }
}

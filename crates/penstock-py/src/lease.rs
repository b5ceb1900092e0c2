//! An item on loan, as a Python class.

use crate::errors;
use crate::memory::{Keeper, Memory};
use crate::queue::Handle;
use penstock_core::queue::{Lease as Loan, Queue as Core};
use penstock_core::{Deadline, Error};
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A read-only memoryview of a leased item's bytes.
pub fn view_of<'py>(
    py: Python<'py>,
    core: &Core,
    loan: &Loan,
    keeper: Box<dyn Keeper>,
) -> PyResult<Bound<'py, PyMemoryView>> {
    let base = core.leased_bytes(loan).map_err(|error| errors::from_core(py, &error))?;
    Memory::view(py, base, loan.len(), true, keeper)
}

/// How a lease ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Ack,
    GiveBack,
}

/// Where a lease stands: how many views of it live, and what was decided. The slot is settled when both allow it.
struct Standing {
    views: usize,
    decided: Option<End>,
    is_settled: bool,
}

/// A lease, shared by its Python object and the views made of it.
struct State {
    handle: Arc<Handle>,
    loan: Loan,
    standing: Mutex<Standing>,
}

impl State {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Settles without waiting; for the moment when the last view goes, in which nothing can be raised.
    fn settle_quietly(&self, end: End) {
        let mut tick = || Ok(());
        let mut wait = penstock_core::queue::Wait::until(Deadline::after(Some(Duration::ZERO)), &mut tick);
        let settled = match end {
            End::Ack => self.handle.core.ack(&self.loan, &mut wait),
            End::GiveBack => self.handle.core.give_back(&self.loan, &mut wait),
        };
        if settled.is_err() {
            // Delivered again, rather than held by nobody for ever.
            self.handle.core.abandon_lease(&self.loan);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let standing = self.standing.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !standing.is_settled {
            standing.is_settled = true;
            let end = standing.decided.unwrap_or(End::GiveBack);
            self.settle_quietly(end);
        }
        self.handle.leave();
    }
}

/// What a view holds on to.
struct InPlace(Arc<State>);

impl Keeper for InPlace {}

impl Drop for InPlace {
    fn drop(&mut self) {
        let mut standing = self.0.standing();
        standing.views -= 1;
        if let (0, Some(end), false) = (standing.views, standing.decided, standing.is_settled) {
            standing.is_settled = true;
            drop(standing);
            self.0.settle_quietly(end);
        }
    }
}

/// An item on loan: in the queue until it is acknowledged, and nobody else's meanwhile.
///
/// In a `with` block it is acknowledged at the end, and given back if the block raises. One that is dropped without a word
/// is given back. It belongs to the process that took it: it does not pickle, and a forked child cannot settle it.
///
/// If killed: the item is delivered again, before newer ones, with one delivery more to its count.
///
/// Example:
///     >>> import penstock
///     >>> with penstock.Queue(item=str) as q:
///     ...     q.put("work")
///     ...     with q.lease() as job:
///     ...         job.value, job.deliveries
///     ('work', 1)
#[pyclass(frozen, module = "penstock._core")]
pub struct Lease {
    state: Arc<State>,
    value: Mutex<Option<Py<PyAny>>>,
    view: Mutex<Option<Py<PyAny>>>,
}

impl Lease {
    /// Wraps a loan.
    pub fn new(handle: Arc<Handle>, loan: Loan) -> Lease {
        handle.usage.enter();
        let standing = Mutex::new(Standing { views: 0, decided: None, is_settled: false });
        Lease { state: Arc::new(State { handle, loan, standing }), value: Mutex::new(None), view: Mutex::new(None) }
    }

    fn lost(&self, py: Python<'_>) -> PyErr {
        errors::raise(py, "LeaseLost", (format!("'{}': the lease was settled before", self.state.handle.core.name()),))
    }

    fn check_unsettled(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.standing().decided.is_some() { Err(self.lost(py)) } else { Ok(()) }
    }

    /// Makes a view of the item's bytes that keeps the slot leased.
    fn raw_view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        self.check_unsettled(py)?;
        let state = &self.state;
        state.standing().views += 1;
        view_of(py, &state.handle.core, &state.loan, Box::new(InPlace(Arc::clone(state))))
    }

    /// Decides how the lease ends, and ends it now unless somebody still looks at the item in place.
    fn end(&self, py: Python<'_>, end: End) -> PyResult<()> {
        self.forget_view(py);
        let state = &self.state;
        {
            let mut standing = state.standing();
            if standing.decided.is_some() {
                drop(standing);
                return Err(self.lost(py));
            }
            standing.decided = Some(end);
            if standing.views > 0 {
                return Ok(());
            }
            standing.is_settled = true;
        }
        let core = &state.handle.core;
        let tried = match end {
            End::Ack => core.try_ack(&state.loan),
            End::GiveBack => Err(Error::Busy),
        };
        let ended = match tried {
            Err(Error::Busy) => self.end_waiting(py, end),
            tried => tried.map_err(|error| errors::from_core(py, &error)),
        };
        if ended.is_err() {
            let mut standing = state.standing();
            standing.decided = None;
            standing.is_settled = false;
        }
        ended
    }

    fn end_waiting(&self, py: Python<'_>, end: End) -> PyResult<()> {
        let (core, loan, usage) = (&self.state.handle.core, &self.state.loan, crate::wait::Usage::default());
        // Through a usage of its own: a lease outlives the closing of the handle it came from.
        crate::wait::blocking(py, &usage, Deadline::Never, |wait| match end {
            End::Ack => core.ack(loan, wait),
            End::GiveBack => core.give_back(loan, wait),
        })
        .map_err(|ended| ended.into_py(py, "queue", core.name()))
    }

    /// Lets go of the view that `view` handed out, if nobody made anything of it.
    fn forget_view(&self, py: Python<'_>) {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(view) = view {
            // A memoryview from which something was made refuses: then the slot waits for that to go.
            if let Ok(view) = view.bind(py).cast::<PyMemoryView>() {
                let _ = view.call_method0("release");
            }
        }
    }
}

#[pymethods]
impl Lease {
    /// The item, decoded on first use: an object of its own, which may be kept. Raises DecodeError; the item stays leased then.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(value) = &*self.value.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(value.bind(py).clone());
        }
        let view = self.raw_view(py)?;
        let value = self.state.handle.kind.decode_view(view.as_any());
        let _ = view.call_method0("release");
        let value = value?;
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value.clone().unbind());
        Ok(value)
    }

    /// The item in place, read-only: a memoryview for bytes and numbers, else an object whose large buffers lie in the
    /// queue's memory. While something made from it lives, the slot stays taken, also after `ack`.
    #[getter]
    fn view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(view) = &*self.view.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(view.bind(py).clone());
        }
        let raw = self.raw_view(py)?;
        let view = self.state.handle.kind.in_place(raw.as_any())?;
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = Some(view.clone().unbind());
        Ok(view)
    }

    /// How often the item has been delivered, this time included: 1 at first.
    #[getter]
    fn deliveries(&self) -> u32 {
        self.state.loan.deliveries()
    }

    /// Size of the item in bytes.
    #[getter]
    fn nbytes(&self) -> usize {
        self.state.loan.len()
    }

    /// Whether the lease was acknowledged or given back.
    #[getter]
    fn is_settled(&self) -> bool {
        self.state.standing().decided.is_some()
    }

    /// Acknowledge the item: it leaves the queue for good.
    ///
    /// Raises:
    ///     LeaseLost: The lease is settled already, or belongs to the parent of this process. Nothing changed.
    ///
    /// If killed: the item is gone, or delivered again.
    fn ack(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, End::Ack)
    }

    /// Give the item back: it is delivered again, before newer ones, to whoever asks first.
    ///
    /// If it has been delivered `max_deliveries` times, whoever asks next makes a dead letter of it, and gets the one after it.
    ///
    /// Raises:
    ///     LeaseLost: The lease is settled already, or belongs to the parent of this process. Nothing changed.
    ///
    /// If killed: as if given back.
    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        self.end(py, End::GiveBack)
    }

    /// Return the lease itself.
    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Acknowledge the item, or give it back if the block raised; do nothing if it is settled by then.
    #[pyo3(signature = (kind, error, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (error, traceback);
        if self.is_settled() {
            return Ok(());
        }
        self.end(py, if kind.is_none() { End::Ack } else { End::GiveBack })
    }
}

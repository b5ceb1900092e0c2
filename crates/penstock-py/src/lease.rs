//! An item on loan, as a Python class.

mod direct;

pub use direct::install as call_directly;

use crate::errors;
use crate::memory::{Keeper, Memory};
use crate::queue::Handle;
use penstock_core::Deadline;
use penstock_core::queue::{Lease as Loan, Queue as Core};
use penstock_core::slots::INLINE_MAX;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
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

/// Where a lease stands, in one word: what was decided, whether the slot is settled, and how many views of it live. The slot
/// is settled once an end is decided and the last view has gone.
struct Standing(AtomicU32);

const ACK: u32 = 1;
const GIVE_BACK: u32 = 2;
const DECIDED: u32 = ACK | GIVE_BACK;
const SETTLED: u32 = 4;
/// One view; they are counted from this bit on.
const VIEW: u32 = 8;

impl Standing {
    fn new() -> Standing {
        Standing(AtomicU32::new(0))
    }

    fn end_in(word: u32) -> Option<End> {
        match word & DECIDED {
            0 => None,
            ACK => Some(End::Ack),
            _ => Some(End::GiveBack),
        }
    }

    fn is_decided(&self) -> bool {
        self.0.load(Acquire) & DECIDED != 0
    }

    fn has_views(&self) -> bool {
        self.0.load(Acquire) >= VIEW
    }

    /// Counts a view in; false if an end was decided before.
    fn add_view(&self) -> bool {
        let add = |word| (word & DECIDED == 0).then_some(word + VIEW);
        self.0.fetch_update(AcqRel, Acquire, add).is_ok()
    }

    /// Counts a view out; returns the end that the caller has to bring about now, if it has to.
    fn drop_view(&self) -> Option<End> {
        let is_last = |word: u32| word < 2 * VIEW && word & DECIDED != 0 && word & SETTLED == 0;
        let drop = |word| Some((word - VIEW) | if is_last(word) { SETTLED } else { 0 });
        match self.0.fetch_update(AcqRel, Acquire, drop) {
            Ok(before) if is_last(before) => Standing::end_in(before),
            _ => None,
        }
    }

    /// Decides how the lease ends. Returns whether the caller has to settle the slot now; `None` if an end was decided before.
    fn decide(&self, end: End) -> Option<bool> {
        let bits = if end == End::Ack { ACK } else { GIVE_BACK };
        let decide = |word: u32| (word & DECIDED == 0).then_some(word | bits | if word < VIEW { SETTLED } else { 0 });
        self.0.fetch_update(AcqRel, Acquire, decide).ok().map(|before| before < VIEW)
    }

    /// The settlement failed: the lease stands as before.
    fn undo(&self) {
        self.0.fetch_and(!(DECIDED | SETTLED), AcqRel);
    }

    /// How to end a lease that nobody refers to any more; `None` if it is settled.
    fn last_end(&mut self) -> Option<End> {
        let word = *self.0.get_mut();
        (word & SETTLED == 0).then(|| Standing::end_in(word).unwrap_or(End::GiveBack))
    }
}

/// A lease, shared by its Python object and the views made of it.
struct State {
    handle: Arc<Handle>,
    loan: Loan,
    standing: Standing,
}

impl State {
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
        if let Some(end) = self.standing.last_end() {
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
        if let Some(end) = self.0.standing.drop_view() {
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
    /// Not of the kind that lets go of the interpreter's lock: that costs more than the decoding, and nothing is decoded inside.
    value: OnceLock<Py<PyAny>>,
    view: Mutex<Option<Py<PyAny>>>,
}

impl Lease {
    /// Wraps a loan.
    pub fn new(handle: Arc<Handle>, loan: Loan) -> Lease {
        handle.usage.enter();
        let state = Arc::new(State { handle, loan, standing: Standing::new() });
        Lease { state, value: OnceLock::new(), view: Mutex::new(None) }
    }

    fn lost(&self, py: Python<'_>) -> PyErr {
        errors::raise(py, "LeaseLost", (format!("'{}': the lease was settled before", self.state.handle.core.name()),))
    }

    fn check_unsettled(&self, py: Python<'_>) -> PyResult<()> {
        if self.state.standing.is_decided() { Err(self.lost(py)) } else { Ok(()) }
    }

    /// Makes a view of the item's bytes that keeps the slot leased.
    fn raw_view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        let state = &self.state;
        if !state.standing.add_view() {
            return Err(self.lost(py));
        }
        view_of(py, &state.handle.core, &state.loan, Box::new(InPlace(Arc::clone(state))))
    }

    /// The item, from a copy of its bytes, if they are few: a view costs more than all the rest. `None` for a large one, and in
    /// a forked child, which may look at its parent's lease but not count on it.
    fn small_value<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.check_unsettled(py)?;
        let (state, mut small) = (&self.state, [0; INLINE_MAX]);
        let Some(small) = small.get_mut(..state.loan.len()) else { return Ok(None) };
        match state.handle.core.read(&state.loan, small) {
            Ok(()) => state.handle.kind.decode(py, small).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The item, decoded from where it lies.
    fn value_in_place<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let view = self.raw_view(py)?;
        let value = self.state.handle.kind.decode_view(view.as_any());
        let _ = view.call_method0("release");
        value
    }

    /// Decides how the lease ends, and ends it now unless somebody still looks at the item in place.
    fn end(&self, py: Python<'_>, end: End) -> PyResult<()> {
        let state = &self.state;
        if state.standing.has_views() {
            self.forget_view(py);
        }
        if end == End::Ack && self.ack_now() {
            return Ok(());
        }
        match state.standing.decide(end) {
            Some(true) => {}
            Some(false) => return Ok(()), // the last view settles it
            None => return Err(self.lost(py)),
        }
        let ended = self.end_waiting(py, end);
        if ended.is_err() {
            state.standing.undo();
        }
        ended
    }

    /// Acknowledges, if nobody looks at the item, nothing has to be waited for and nothing is wrong. If not, nothing changed.
    #[inline]
    fn ack_now(&self) -> bool {
        let state = &self.state;
        if state.standing.has_views() {
            return false;
        }
        match state.standing.decide(End::Ack) {
            Some(true) => {}
            Some(false) => return true, // somebody looks since: the last view settles it
            None => return false,
        }
        let is_done = state.handle.core.try_ack(&state.loan).is_ok();
        if !is_done {
            state.standing.undo();
        }
        is_done
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
        if let Some(value) = self.value.get() {
            return Ok(value.bind(py).clone());
        }
        let value = match self.small_value(py)? {
            Some(value) => value,
            None => self.value_in_place(py)?,
        };
        Ok(self.value.get_or_init(|| value.unbind()).bind(py).clone())
    }

    /// The item in place, read-only: a memoryview for bytes and numbers, else an object whose large buffers lie in the
    /// queue's memory. While something made from it lives, the slot stays taken, also after `ack`.
    #[getter]
    fn view<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.check_unsettled(py)?;
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
        self.state.standing.is_decided()
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

//! The queue as a Python class: arguments in, core call, result out.
//!
//! Each verb first tries with the interpreter's lock held, for about a microsecond; only then does it let go of it and wait.

mod direct;

pub use direct::install as call_directly;

use crate::errors;
use crate::facts;
use crate::item::{Encoded, Kind};
use crate::lease::Lease;
use crate::place::{self, How};
use crate::reservation::Reservation;
use crate::wait::{Ended, GLANCES, Usage, blocking, check_timeout, deadline, truthy};
use penstock_core::queue::{Expectation, Got, Lease as Loan, Plan, Queue as Core, Reservation as Room, Wait};
use penstock_core::segment::Lifetime;
use penstock_core::slots::INLINE_MAX;
use penstock_core::stats::QueueStats;
use penstock_core::{Deadline, Error};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_CAPACITY: u64 = 10;
const DEFAULT_MAX_ITEM_BYTES: u64 = 1 << 20;

/// What a Python handle, its leases and its reservations share.
pub struct Handle {
    pub core: Core,
    pub kind: Kind,
    pub usage: Usage,
}

impl Handle {
    /// Raises `Closed` if the handle was closed.
    #[inline]
    pub fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.usage.is_closed() { Err(self.closed(py)) } else { Ok(()) }
    }

    #[cold]
    fn closed(&self, py: Python<'_>) -> PyErr {
        errors::closed(py, "queue", self.core.name())
    }

    /// The core's error in Python's words.
    #[cold]
    pub fn error(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::from_core(py, error)
    }

    /// Counts a call in for as long as the guard lives; raises `Closed` if the handle was closed.
    #[inline(always)]
    pub fn enter(&self, py: Python<'_>) -> PyResult<Entered<'_>> {
        let entered = Entered::new(self);
        self.check_open(py).map(|()| entered)
    }

    /// A wait without the interpreter's lock.
    pub fn wait<R: Send>(
        &self,
        py: Python<'_>,
        until: Deadline,
        act: impl FnOnce(&Core, &mut Wait<'_>) -> Result<R, Error> + Send,
    ) -> PyResult<R> {
        self.try_wait(py, until, act).map_err(|ended| ended.into_py(py, "queue", self.core.name()))
    }

    /// The same, for who must clean up after an end of its own kind.
    pub fn try_wait<R: Send>(
        &self,
        py: Python<'_>,
        until: Deadline,
        act: impl FnOnce(&Core, &mut Wait<'_>) -> Result<R, Error> + Send,
    ) -> Result<R, Ended> {
        let give_up = || self.core.close();
        let _in_use = self.usage.in_use(&give_up);
        if self.usage.is_closed() {
            return Err(Ended::Closed);
        }
        blocking(py, &self.usage, until, |wait| act(&self.core, wait))
    }

    /// Counts a lease or reservation out.
    pub fn leave(&self) {
        self.usage.leave(|| self.core.close());
    }

    /// Keeps this process registered while the guard lives, also if another thread closes the handle: what was taken
    /// would look like a dead process's then. For calls that take something and let go of the interpreter's lock.
    pub fn keep(&self) -> Kept<'_> {
        self.usage.enter();
        Kept(self)
    }

    /// Serialises an item and puts it.
    #[inline(always)]
    fn encode_and_put(&self, item: &Bound<'_, PyAny>, block: bool, timeout: Option<f64>) -> PyResult<()> {
        if let Kind::Number(number) = self.kind {
            let bytes = number.encode(item)?;
            return self.put(item.py(), &[&bytes[..number.size()]], block, timeout);
        }
        self.kind.encode(item)?.with(|parts| self.put(item.py(), parts, block, timeout))
    }

    /// Puts what was encoded.
    #[inline(always)]
    fn put(&self, py: Python<'_>, parts: &[&[u8]], block: bool, timeout: Option<f64>) -> PyResult<()> {
        check_timeout(block, timeout)?;
        let _entered = self.enter(py)?;
        match self.core.try_put(parts) {
            Ok(None) => Ok(()),
            Ok(Some(room)) => self.commit_later(py, &room),
            Err(Error::Full | Error::Busy) => self.put_slowly(py, parts, block, timeout),
            Err(error) => Err(self.error(py, &error)),
        }
    }

    #[cold]
    fn put_slowly(&self, py: Python<'_>, parts: &[&[u8]], block: bool, timeout: Option<f64>) -> PyResult<()> {
        let until = deadline(block, timeout)?;
        if block && self.core.glance_for_room(GLANCES) {
            match self.core.try_put(parts) {
                Ok(None) => return Ok(()),
                Ok(Some(room)) => return self.commit_later(py, &room),
                Err(Error::Full | Error::Busy) => {}
                Err(error) => return Err(self.error(py, &error)),
            }
        }
        self.wait(py, until, |core, wait| core.put(parts, wait))
    }

    fn commit_later(&self, py: Python<'_>, room: &Room) -> PyResult<()> {
        let committed = self.wait(py, Deadline::Never, |core, wait| core.commit(room, room.len(), wait));
        if committed.is_err() {
            self.core.cancel_or_abandon(room);
        }
        committed
    }

    /// Puts a number, if nothing has to be waited for and nothing is wrong.
    #[inline(always)]
    fn put_number_now(&self, item: &Bound<'_, PyAny>) -> Now<()> {
        let Kind::Number(number) = self.kind else { return Now::Other };
        let (Ok(bytes), Ok(_entered)) = (number.encode(item), self.enter(item.py())) else { return Now::Other };
        match self.core.try_put(&[&bytes[..number.size()]]) {
            Ok(None) => Now::Done(()),
            Err(Error::Full | Error::Busy) => Now::MustWait,
            _ => Now::Other,
        }
    }

    /// Takes a number, if nothing has to be waited for and nothing is wrong.
    #[inline(always)]
    fn get_number_now<'py>(&self, py: Python<'py>) -> Now<Bound<'py, PyAny>> {
        let (Kind::Number(number), Ok(_entered)) = (&self.kind, self.enter(py)) else { return Now::Other };
        // What every get pays should not include clearing room for the largest small item.
        let mut word = [0; 8];
        match self.core.try_get(&mut word) {
            Ok(Got::Copied(_)) => Now::Done(number.of_word(py, word)),
            Err(Error::Empty | Error::Busy) => Now::MustWait,
            _ => Now::Other,
        }
    }

    /// Goes on with a put that found no room.
    fn wait_and_put(&self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let encoded = self.kind.encode(item)?;
        let _entered = self.enter(item.py())?;
        encoded.with(|parts| self.put_slowly(item.py(), parts, true, None))
    }

    /// Goes on with a get that found nothing.
    fn wait_and_get<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let _entered = self.enter(py)?;
        self.get_slowly(py, true, None)
    }

    /// Makes an object of what was taken.
    #[inline]
    fn finish<'py>(&self, py: Python<'py>, got: Got, small: &[u8; INLINE_MAX]) -> PyResult<Bound<'py, PyAny>> {
        match got {
            Got::Copied(len) => self.kind.decode(py, &small[..len]),
            Got::Leased(loan) => self.copy_out(py, loan, Settle::Release),
        }
    }

    /// Copies a large item out of its slot, then frees the slot. If there is no memory for it, it goes back.
    fn copy_out<'py>(&self, py: Python<'py>, loan: Loan, settle: Settle) -> PyResult<Bound<'py, PyAny>> {
        let _kept = self.keep();
        let object = match &self.kind {
            Kind::Bytes => PyBytes::new_with(py, loan.len(), |out| self.read(py, &loan, out)).map(Bound::into_any),
            Kind::Coded(_) => return self.decode_in_slot(py, loan, settle),
            _ => {
                let mut out = vec![0; loan.len()];
                self.read(py, &loan, &mut out).and_then(|()| self.kind.decode(py, &out))
            }
        };
        self.settle_copied(py, &loan, settle, object)
    }

    fn read(&self, py: Python<'_>, loan: &Loan, out: &mut [u8]) -> PyResult<()> {
        self.core.read(loan, out).map_err(|error| self.error(py, &error))
    }

    /// Lets the codec read the slot itself: its large buffers are then copied once only.
    fn decode_in_slot<'py>(&self, py: Python<'py>, loan: Loan, settle: Settle) -> PyResult<Bound<'py, PyAny>> {
        let view = crate::lease::view_of(py, &self.core, &loan, Box::new(Mapped(Arc::clone(self.core.segment()))));
        let object = view.and_then(|view| {
            let object = self.kind.decode_view(view.as_any());
            let _ = view.call_method0("release");
            object
        });
        self.settle_copied(py, &loan, settle, object)
    }

    /// An item that cannot be decoded is gone, with its bytes in the error; one that there was no memory for is not.
    fn settle_copied<'py>(
        &self,
        py: Python<'py>,
        loan: &Loan,
        settle: Settle,
        object: PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if object.as_ref().is_err_and(|error| error.is_instance_of::<pyo3::exceptions::PyMemoryError>(py)) {
            self.core.give_back_or_abandon(loan);
            return object;
        }
        let tried = match settle {
            Settle::Release => self.core.try_release(loan),
            Settle::Ack => self.core.try_ack(loan),
        };
        match tried {
            Ok(()) => object,
            Err(Error::Busy) => self.settle_later(py, loan, settle).and(object),
            Err(error) => Err(self.error(py, &error)),
        }
    }

    #[cold]
    fn settle_later(&self, py: Python<'_>, loan: &Loan, settle: Settle) -> PyResult<()> {
        let settled = self.wait(py, Deadline::Never, |core, wait| match settle {
            Settle::Release => core.release(loan, wait),
            Settle::Ack => core.ack(loan, wait),
        });
        if settled.is_err() {
            self.core.abandon_lease(loan);
        }
        settled
    }

    #[cold]
    fn get_slowly<'py>(&self, py: Python<'py>, block: bool, timeout: Option<f64>) -> PyResult<Bound<'py, PyAny>> {
        let until = deadline(block, timeout)?;
        let mut small = [0; INLINE_MAX];
        if block && self.core.glance_for_item(GLANCES) {
            match self.core.try_get(&mut small) {
                Ok(got) => return self.finish(py, got, &small),
                Err(Error::Empty | Error::Busy) => {}
                Err(error) => return Err(self.error(py, &error)),
            }
        }
        let _kept = self.keep();
        let got = self.wait(py, until, |core, wait| core.get(&mut small, wait))?;
        self.finish(py, got, &small)
    }

    /// What a batch that met `Busy` does: somebody may have died, and who may wait for a lock repairs. No signal handler runs
    /// meanwhile, as one that raises would cost the items that the batch has taken.
    fn try_again<R: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&Core, &mut Wait<'_>) -> Result<R, Error> + Send,
    ) -> Result<R, Error> {
        py.detach(|| act(&self.core, &mut Wait::until(Deadline::after(Some(Duration::ZERO)), &mut || Ok(()))))
    }

    /// One item more for a batch; `None` once nothing waits. An item that cannot be decoded ends the batch: it stays.
    fn next_of_batch<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let _kept = self.keep();
        let tried = match self.core.try_lease() {
            Err(Error::Busy) => self.try_again(py, Core::lease),
            tried => tried,
        };
        let loan = match tried {
            Ok(loan) => loan,
            Err(Error::Empty | Error::Busy | Error::ShutDown) => return Ok(None),
            Err(error) => return Err(self.error(py, &error)),
        };
        let mut bytes = vec![0; loan.len()];
        let object = self.read(py, &loan, &mut bytes).and_then(|()| self.kind.decode(py, &bytes));
        match object {
            Ok(object) => self.settle_copied(py, &loan, Settle::Release, Ok(object)).map(Some),
            Err(_) => {
                self.core.give_back_or_abandon(&loan);
                Ok(None)
            }
        }
    }
}

/// What came of an attempt that does not wait.
enum Now<T> {
    /// What the call is for.
    Done(T),
    /// Nothing changed; there was no room, no item, or somebody held the lock.
    MustWait,
    /// Nothing changed; the whole method deals with it.
    Other,
}

/// What becomes of a large item's slot once it is copied.
#[derive(Clone, Copy)]
enum Settle {
    /// Freed; `task_done` counts it.
    Release,
    /// Freed and counted.
    Ack,
}

/// Keeps the bytes mapped, and nothing else.
struct Mapped(#[allow(dead_code, reason = "held, not read")] Arc<penstock_core::segment::Segment>);

impl crate::memory::Keeper for Mapped {}

/// A call that never lets go of the interpreter's lock.
///
/// With that lock no other thread can close the handle meanwhile, so there is nothing to count. Where there is no such
/// lock, the call is counted, and the last one out gives the handle up.
#[must_use]
pub struct Entered<'a> {
    #[cfg_attr(not(Py_GIL_DISABLED), allow(dead_code, reason = "only counted where there is no global lock"))]
    handle: &'a Handle,
}

impl<'a> Entered<'a> {
    #[inline(always)]
    fn new(handle: &'a Handle) -> Entered<'a> {
        #[cfg(Py_GIL_DISABLED)]
        handle.usage.enter();
        Entered { handle }
    }
}

#[cfg(Py_GIL_DISABLED)]
impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.handle.leave();
    }
}

/// A call that may let go of the interpreter's lock with something in hand.
#[must_use]
pub struct Kept<'a>(&'a Handle);

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nothing is under way on what nobody refers to any more.
        self.core.close();
    }
}

/// The queue under a name, as the native module has it; use `penstock.Queue`, which is this and more.
///
/// Every wait releases the GIL. A signal handler that raises ends a wait with its exception, and the queue is unchanged;
/// one that returns lets the wait go on with what is left of its timeout.
#[pyclass(frozen, subclass, module = "penstock._core")]
pub struct Queue {
    pub handle: Arc<Handle>,
    created: bool,
    trusted: bool,
}

impl Queue {
    /// Takes an item on loan, if nothing has to be waited for and nothing is wrong. Else the whole method deals with it.
    #[inline]
    fn lease_now<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Lease>> {
        let handle = &self.handle;
        let _entered = handle.enter(py).ok()?;
        let loan = handle.core.try_lease().ok()?;
        // Without memory for it, it goes back.
        Bound::new(py, Lease::new(Arc::clone(handle), loan)).ok()
    }
}

#[pymethods]
impl Queue {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "the Python side names them; this is one call deep")]
    fn new(
        py: Python<'_>,
        how: &str,
        directory: &str,
        name: &str,
        path: Option<&str>,
        capacity: Option<u64>,
        item: Option<String>,
        item_bytes: u64,
        max_item_bytes: Option<u64>,
        max_deliveries: Option<u64>,
        dead_letters: Option<u64>,
        lifetime: Option<&str>,
        trust: bool,
        codecs: &Bound<'_, PyAny>,
    ) -> PyResult<Queue> {
        let (how, lifetime) = (How::from_word(how)?, place::lifetime(lifetime)?);
        let fail = |error: Error| errors::from_core(py, &error);
        let location = place::locate(directory, name, path, trust).map_err(fail)?;
        let expected =
            Expectation { capacity, item: item.clone(), max_item_bytes, max_deliveries, dead_letters, lifetime };
        let capacity = capacity.unwrap_or(DEFAULT_CAPACITY);
        let deliveries = max_deliveries.unwrap_or(0);
        let plan = Plan {
            capacity,
            item: item.unwrap_or_else(|| "object".to_owned()),
            item_bytes,
            max_item_bytes: max_item_bytes.unwrap_or(if item_bytes > 0 { item_bytes } else { DEFAULT_MAX_ITEM_BYTES }),
            max_deliveries: deliveries,
            dead_letters: dead_letters.unwrap_or(if deliveries > 0 { capacity } else { 0 }),
            lifetime: lifetime.unwrap_or(if name.is_empty() && path.is_none() {
                Lifetime::WhileOpen
            } else {
                Lifetime::UntilUnlinked
            }),
        };
        let trusted = place::trust(trust);
        let opened = py.detach(|| match how {
            How::Open => Core::open(&location, &expected, trusted).map(|core| (core, false)),
            How::Create => Core::create(&location, &plan).map(|core| (core, true)),
            How::OpenOrCreate => Core::open_or_create(&location, &plan, &expected, trusted),
        });
        let (core, created) = opened.map_err(fail)?;
        let kind = Kind::of(&core, codecs)?;
        Ok(Queue { handle: Arc::new(Handle { core, kind, usage: Usage::default() }), created, trusted: trust })
    }

    /// Does nothing. `penstock bench` measures by it what a call costs before it does anything.
    fn _nothing(&self) {}

    /// The name, or the path of a queue that lives in a file of the user's own.
    #[getter]
    fn name(&self) -> &str {
        self.handle.core.name()
    }

    /// The file that the queue lives in, absolute.
    #[getter]
    fn path(&self) -> String {
        self.handle.core.path().display().to_string()
    }

    /// What an item is: "u1" to "u8", "i1" to "i8", "f4", "f8", "?", "bytes", "str", "object", "json", "msgpack" or "dtype:" and a description.
    #[getter]
    fn item(&self) -> &str {
        self.handle.core.item()
    }

    /// Most items waiting, being written or leased at a time.
    #[getter]
    fn capacity(&self) -> u64 {
        self.handle.core.plan().capacity
    }

    /// The same as `capacity`, under the name that `queue.Queue` has for it.
    #[getter]
    fn maxsize(&self) -> u64 {
        self.handle.core.plan().capacity
    }

    /// Size of the largest item in bytes; of each item where all have the same size.
    #[getter]
    fn max_item_bytes(&self) -> u64 {
        self.handle.core.plan().max_item_bytes
    }

    /// How often an item is delivered at most; given back or left by the dead after that, it becomes a dead letter. None: no limit.
    #[getter]
    fn max_deliveries(&self) -> Option<u64> {
        Some(self.handle.core.plan().max_deliveries).filter(|most| *most > 0)
    }

    /// "until_unlinked", or "while_open": gone with its last user.
    #[getter]
    fn lifetime(&self) -> &'static str {
        place::lifetime_word(self.handle.core.segment().header().lifetime)
    }

    /// Whether the queue was shut down, by anybody. False may be old when it arrives; True stays.
    #[getter]
    fn is_shutdown(&self) -> bool {
        self.handle.core.is_shut_down()
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

    /// Whether this handle created the queue, rather than found it.
    #[getter]
    fn created(&self) -> bool {
        self.created
    }

    /// Whether this handle was opened with trust=True.
    #[getter]
    fn trusted(&self) -> bool {
        self.trusted
    }

    /// Append an item, waiting for room while the queue is full.
    ///
    /// As `queue.Queue.put`; but the item is serialised before anything else happens, so that one that cannot be raises here.
    ///
    /// Args:
    ///     item: What to put; of the queue's kind.
    ///     block: Whether to wait at all; False is the same as timeout=0.
    ///     timeout: Longest wait in seconds, at least 0. None waits for ever; 0 does not wait.
    ///
    /// Raises:
    ///     Full: No room came free in time. The queue is unchanged.
    ///     ShutDown: The queue was shut down. The queue is unchanged.
    ///     TooLarge: The item takes more than `max_item_bytes`. The queue is unchanged.
    ///     TypeError, ValueError, OverflowError, pickle.PicklingError, ...: The item is not of the queue's kind or cannot be
    ///         serialised. The queue is unchanged.
    ///     NoSpace: The file system has no room for the item. The queue is unchanged.
    ///     ValueError: timeout is negative or NaN.
    ///     Closed: This handle was closed, here or by another thread.
    ///     Removed: The queue was unlinked while this call waited. The item was not put.
    ///     Corrupted: The queue's bytes cannot be.
    ///
    /// If killed: the item is either in the queue whole or not there at all, and what room it had taken is free again.
    #[pyo3(signature = (item, block = true, timeout = None))]
    fn put(
        &self,
        item: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = truthy)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        self.handle.encode_and_put(item, block, timeout)
    }

    /// Append an item if there is room now; the same as `put(item, block=False)`.
    ///
    /// Args:
    ///     item: What to put; of the queue's kind.
    ///
    /// Raises:
    ///     Full: There is no room. The queue is unchanged.
    ///     ShutDown, TooLarge, NoSpace, Closed, Corrupted, TypeError, ValueError: As for `put`.
    ///
    /// If killed: as for `put`.
    fn put_nowait(&self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        self.handle.encode_and_put(item, false, None)
    }

    /// Remove and return the oldest item, waiting for one if the queue is empty.
    ///
    /// As `queue.Queue.get`.
    ///
    /// Args:
    ///     block: Whether to wait at all; False is the same as timeout=0.
    ///     timeout: Longest wait in seconds, at least 0. None waits for ever; 0 does not wait.
    ///
    /// Returns:
    ///     The item: a new object that shares nothing with the queue.
    ///
    /// Raises:
    ///     Empty: No item arrived in time. The queue is unchanged.
    ///     ShutDown: The queue was shut down, and is empty.
    ///     DecodeError: An item was taken, but its bytes make no object here; its `data` has them. The item is no longer in
    ///         the queue.
    ///     ValueError: timeout is negative or NaN.
    ///     Closed: This handle was closed, here or by another thread.
    ///     Removed: The queue was unlinked while this call waited.
    ///     Corrupted: The queue's bytes cannot be.
    ///
    /// If killed: the item is either still queued or gone whole; peers never see half of it. One that was gone with this
    /// process before it could be used is lost: where that matters use `lease`.
    #[pyo3(signature = (block = true, timeout = None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = truthy)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        check_timeout(block, timeout)?;
        let handle = &*self.handle;
        let _entered = handle.enter(py)?;
        let mut small = [0; INLINE_MAX];
        match handle.core.try_get(&mut small) {
            Ok(got) => handle.finish(py, got, &small),
            Err(Error::Empty | Error::Busy) => handle.get_slowly(py, block, timeout),
            Err(error) => Err(handle.error(py, &error)),
        }
    }

    /// Remove and return the oldest item if there is one now; the same as `get(block=False)`.
    ///
    /// Raises:
    ///     Empty: There is no item. The queue is unchanged.
    ///     ShutDown, DecodeError, Closed, Corrupted: As for `get`.
    ///
    /// If killed: as for `get`.
    fn get_nowait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.get(py, false, None)
    }

    /// Append items in their order, all of them or as many as fit before the timeout, and return how many.
    ///
    /// They stay in order, but other producers' items may come between them. All are serialised before the first is put. A
    /// queue of numbers takes an array of them (`array.array`, a NumPy array, any buffer of that type) without making objects.
    ///
    /// Args:
    ///     items: What to put, each of the queue's kind.
    ///     timeout: Longest wait for room in seconds, at least 0, for all together. None waits for ever; 0 puts what fits now.
    ///
    /// Returns:
    ///     How many were put: the first so many of `items`. All of them unless the time ran out.
    ///
    /// Raises:
    ///     ShutDown: The queue was shut down before the first was put. (If later, the number put until then is returned.)
    ///     TooLarge, TypeError, ValueError, ...: One of the items cannot be put. None was.
    ///     NoSpace: There is no room for the first. (If later, the number put until then is returned.)
    ///     Closed, Removed, Corrupted: As for `put`. Items put before stay in the queue.
    ///
    /// If killed: the first so many of the items are in the queue, each whole.
    #[pyo3(signature = (items, timeout = None))]
    fn put_many(&self, items: &Bound<'_, PyAny>, timeout: Option<f64>) -> PyResult<usize> {
        let py = items.py();
        let until = deadline(true, timeout)?;
        let handle = &*self.handle;
        handle.check_open(py)?;
        if let Some(array) = handle.kind.array_bytes(items) {
            return handle.put_run(py, array.as_slice(), until);
        }
        if let Kind::Number(number) = handle.kind {
            let mut bytes = Vec::new();
            for item in items.try_iter()? {
                bytes.extend_from_slice(&number.encode(&item?)?[..number.size()]);
            }
            return handle.put_run(py, &bytes, until);
        }
        let encoded = items.try_iter()?.map(|item| handle.checked_encoding(&item?)).collect::<PyResult<Vec<_>>>()?;
        handle.put_each(py, &encoded, until)
    }

    /// Remove and return up to `n` items, waiting for the first and then taking what is there.
    ///
    /// Args:
    ///     n: Most items to take, at least 1.
    ///     timeout: Longest wait for the first item in seconds, at least 0. None waits for ever; 0 does not wait.
    ///
    /// Returns:
    ///     A list of 1 to `n` items, oldest first.
    ///
    /// Raises:
    ///     Empty: No item arrived in time. The queue is unchanged.
    ///     ValueError: n is below 1, or timeout is negative or NaN.
    ///     ShutDown, DecodeError, Closed, Removed, Corrupted: As for `get`.
    ///
    /// If killed: each item is either still queued or gone whole.
    #[pyo3(signature = (n, timeout = None))]
    fn get_many<'py>(&self, py: Python<'py>, n: usize, timeout: Option<f64>) -> PyResult<Bound<'py, PyList>> {
        let handle = &*self.handle;
        if let Kind::Number(number) = handle.kind {
            let bytes = handle.get_run(py, n, timeout)?;
            return PyList::new(
                py,
                bytes.chunks_exact(number.size()).map(|item| number.decode(py, item)).collect::<Vec<_>>(),
            );
        }
        check_at_least_one(n)?;
        let list = PyList::new(py, [self.get(py, true, timeout)?])?;
        while list.len() < n {
            let _entered = handle.enter(py)?;
            match handle.next_of_batch(py)? {
                Some(object) => list.append(object)?,
                None => break,
            }
        }
        Ok(list)
    }

    /// Remove up to `n` items of a fixed size, and return their bytes back to back; otherwise as `get_many`.
    ///
    /// `penstock.Queue.get_array` is the usual way to get at them.
    ///
    /// Args:
    ///     n: Most items to take, at least 1.
    ///     timeout: Longest wait for the first item in seconds, at least 0. None waits for ever; 0 does not wait.
    ///
    /// Raises:
    ///     TypeError: The items of this queue have no fixed size. The queue is unchanged.
    ///     Empty, ShutDown, Closed, Removed, Corrupted, ValueError: As for `get_many`.
    ///
    /// If killed: each item is either still queued or gone whole.
    #[pyo3(signature = (n, timeout = None))]
    fn get_bytes_many<'py>(&self, py: Python<'py>, n: usize, timeout: Option<f64>) -> PyResult<Bound<'py, PyBytes>> {
        if self.handle.core.plan().item_bytes == 0 {
            return Err(PyTypeError::new_err(format!(
                "items of queue '{}' have no fixed size ('{}')",
                self.name(),
                self.item()
            )));
        }
        self.handle.get_run(py, n, timeout).map(|bytes| PyBytes::new(py, &bytes))
    }

    /// Take the oldest item on loan, waiting for one if the queue is empty: it stays in the queue until it is acknowledged.
    ///
    /// Nobody else gets it meanwhile, and it holds up nobody. As a message queue's "get with acknowledgement".
    ///
    /// Args:
    ///     timeout: Longest wait in seconds, at least 0. None waits for ever; 0 does not wait.
    ///     block: Whether to wait at all; False is the same as timeout=0.
    ///
    /// Returns:
    ///     The `Lease`; best used in a `with` block, which acknowledges at its end and gives back on an error.
    ///
    /// Raises:
    ///     Empty: No item arrived in time. The queue is unchanged.
    ///     ShutDown, Closed, Removed, Corrupted, ValueError: As for `get`.
    ///
    /// If killed: the item is delivered again, before newer ones, with one delivery more to its count.
    #[pyo3(signature = (timeout = None, block = true))]
    fn lease(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        #[pyo3(from_py_with = truthy)] block: bool,
    ) -> PyResult<Lease> {
        check_timeout(block, timeout)?;
        let handle = &self.handle;
        let _entered = handle.enter(py)?;
        let loan = match handle.core.try_lease() {
            Err(Error::Empty | Error::Busy) => {
                let until = deadline(block, timeout)?;
                let _kept = handle.keep();
                let loan = handle.wait(py, until, |core, wait| core.lease(wait))?;
                return Ok(Lease::new(Arc::clone(handle), loan));
            }
            tried => tried.map_err(|error| handle.error(py, &error))?,
        };
        Ok(Lease::new(Arc::clone(handle), loan))
    }

    /// Lend room for one item, waiting while the queue is full, for its bytes to be written in place.
    ///
    /// What is written must be what an item of this queue is made of: the bytes themselves in a queue of bytes, UTF-8 in one
    /// of str, a pickle in one of objects (`penstock.Queue.reserve_array` writes arrays there).
    ///
    /// Args:
    ///     nbytes: Size of the item in bytes, 0 to `max_item_bytes`.
    ///     timeout: Longest wait for room in seconds, at least 0. None waits for ever; 0 does not wait.
    ///     block: Whether to wait at all; False is the same as timeout=0.
    ///
    /// Returns:
    ///     The `Reservation`; best used in a `with` block, which puts the item at its end and drops it on an error.
    ///
    /// Raises:
    ///     Full: No room came free in time. The queue is unchanged.
    ///     TooLarge: nbytes is more than `max_item_bytes`. The queue is unchanged.
    ///     ValueError: nbytes is negative, or not the size that all items of this queue have.
    ///     ShutDown, NoSpace, Closed, Removed, Corrupted: As for `put`.
    ///
    /// If killed: nothing was put, and the room is free again.
    #[pyo3(signature = (nbytes, timeout = None, block = true))]
    fn reserve(
        &self,
        py: Python<'_>,
        nbytes: i64,
        timeout: Option<f64>,
        #[pyo3(from_py_with = truthy)] block: bool,
    ) -> PyResult<Reservation> {
        let handle = &self.handle;
        let len = usize::try_from(nbytes)
            .map_err(|_| PyValueError::new_err(format!("nbytes is {nbytes}; it must be at least 0")))?;
        let exact = handle.core.plan().item_bytes;
        if exact > 0 && len as u64 != exact {
            return Err(PyValueError::new_err(format!(
                "nbytes is {len}; every item of queue '{}' has {exact}",
                self.name()
            )));
        }
        check_timeout(block, timeout)?;
        let _entered = handle.enter(py)?;
        let room = match handle.core.try_reserve(len) {
            Err(Error::Full | Error::Busy) => {
                let until = deadline(block, timeout)?;
                let _kept = handle.keep();
                let room = handle.wait(py, until, |core, wait| core.reserve(len, wait))?;
                return Ok(Reservation::new(Arc::clone(handle), room));
            }
            tried => tried.map_err(|error| handle.error(py, &error))?,
        };
        Ok(Reservation::new(Arc::clone(handle), room))
    }

    /// Return a copy of the oldest item, and leave it where it is; never waits.
    ///
    /// Raises:
    ///     Empty: There is no item. (Shut down or not.)
    ///     DecodeError, Closed, Corrupted: As for `get`, but the item stays.
    ///
    /// If killed: peers see nothing of it.
    fn peek<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let list = self.peek_many(py, 1)?;
        if list.is_empty() { Err(errors::empty(py)) } else { list.get_item(0) }
    }

    /// Return copies of up to `n` items, oldest first, and leave them where they are; never waits.
    ///
    /// What others take and put meanwhile may be missing or be there. Leased items are not among them.
    ///
    /// Args:
    ///     n: Most items to look at, at least 1.
    ///
    /// Returns:
    ///     A list of 0 to `n` items.
    ///
    /// Raises:
    ///     ValueError: n is below 1.
    ///     DecodeError, Closed, Corrupted: As for `get`, but the items stay.
    ///
    /// If killed: peers see nothing of it.
    fn peek_many<'py>(&self, py: Python<'py>, n: usize) -> PyResult<Bound<'py, PyList>> {
        check_at_least_one(n)?;
        let items = self.handle.wait(py, Deadline::Never, |core, wait| core.peek(n, wait))?;
        self.handle.decode_all(py, &items)
    }

    /// Drop all waiting items, and return how many they were; leased ones and dead letters stay.
    ///
    /// Raises:
    ///     Closed, Corrupted: As for `get`.
    ///
    /// If killed: each item is either still queued or gone whole.
    fn purge(&self, py: Python<'_>) -> PyResult<u64> {
        self.handle.wait(py, Deadline::Never, Core::purge)
    }

    /// Count the waiting items: exact, but others may have put or taken some by the time it returns.
    ///
    /// Leased items are not counted, they wait no more. Unlike `multiprocessing.Queue.qsize` it works on every system.
    ///
    /// Raises:
    ///     Closed, Corrupted: As for `get`.
    fn qsize(&self, py: Python<'_>) -> PyResult<u64> {
        self.handle.check_open(py)?;
        Ok(self.handle.core.len())
    }

    /// Tell whether no item is waiting; the answer may be old when it arrives.
    ///
    /// Raises:
    ///     Closed, Corrupted: As for `get`.
    fn empty(&self, py: Python<'_>) -> PyResult<bool> {
        self.handle.check_open(py)?;
        Ok(self.handle.core.is_empty())
    }

    /// Tell whether a put would have to wait; the answer may be old when it arrives.
    ///
    /// Raises:
    ///     Closed, Corrupted: As for `get`.
    fn full(&self, py: Python<'_>) -> PyResult<bool> {
        self.handle.check_open(py)?;
        Ok(self.handle.core.is_full())
    }

    /// Say that the work on one item that was got is done; when that is true of all that were put, `join` returns.
    ///
    /// As `queue.Queue.task_done`. A lease that is acknowledged need not say so again.
    ///
    /// Raises:
    ///     OverRelease: It was called more often than there were items. (A ValueError, as in the standard library.) Nothing changed.
    ///     Closed, Corrupted: As for `get`.
    ///
    /// If killed: it is counted or not; a consumer that dies between `get` and `task_done` leaves `join` waiting: use `lease`.
    fn task_done(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.wait(py, Deadline::Never, |core, wait| core.task_done(1, wait))
    }

    /// How many items were put and are not reported as done yet; the answer may be old when it arrives.
    ///
    /// As `queue.Queue.unfinished_tasks`: what `join` waits for to become 0.
    ///
    /// Raises:
    ///     Closed: This handle was closed.
    #[getter]
    fn unfinished_tasks(&self, py: Python<'_>) -> PyResult<u64> {
        self.handle.check_open(py)?;
        Ok(self.handle.core.unsettled())
    }

    /// Wait until every item that was put has been got and its `task_done` called.
    ///
    /// As `queue.Queue.join`, with a timeout.
    ///
    /// Args:
    ///     timeout: Longest wait in seconds, at least 0. None waits for ever; 0 only looks.
    ///
    /// Returns:
    ///     True when all is done, False if the time ran out first.
    ///
    /// Raises:
    ///     ValueError: timeout is negative or NaN.
    ///     Closed, Removed, Corrupted: As for `get`.
    ///
    /// If killed: peers see nothing of it.
    #[pyo3(signature = (timeout = None))]
    fn join(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let until = deadline(true, timeout)?;
        self.handle.in_time(py, until, Core::join)
    }

    /// Shut the queue down for everybody: puts raise `ShutDown` from now on, gets too once the queue is empty.
    ///
    /// As `queue.Queue.shutdown`, for all processes. All that wait are woken. There is no way back but `unlink` and anew.
    ///
    /// Args:
    ///     immediate: Drop the waiting items as well, so that gets raise at once, and count them as done for `join`.
    ///
    /// Raises:
    ///     Closed, Corrupted: As for `get`.
    ///
    /// If killed: the queue is shut down or not; with immediate=True some items may remain, and be got.
    #[pyo3(signature = (immediate = false))]
    fn shutdown(&self, py: Python<'_>, #[pyo3(from_py_with = truthy)] immediate: bool) -> PyResult<()> {
        self.handle.wait(py, Deadline::Never, |core, wait| {
            if immediate { core.shut_down_at_once(wait) } else { core.shut_down(wait) }
        })
    }

    /// Wait until `get` would probably not have to, and take nothing.
    ///
    /// Somebody else may be quicker: use `get_nowait` afterwards, and wait again if it raises `Empty`. A queue that is shut
    /// down counts as ready.
    ///
    /// Args:
    ///     timeout: Longest wait in seconds, at least 0. None waits for ever; 0 only looks.
    ///
    /// Returns:
    ///     True when there is something to get, False if the time ran out first.
    ///
    /// Raises:
    ///     ValueError: timeout is negative or NaN.
    ///     Closed, Removed, Corrupted: As for `get`.
    ///
    /// If killed: peers see nothing of it.
    #[pyo3(signature = (timeout = None))]
    fn wait_get(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let until = deadline(true, timeout)?;
        self.handle.in_time(py, until, |core, wait| core.wait_for_item(wait.change, wait.tick))
    }

    /// Wait until `put` would probably not have to, and take nothing.
    ///
    /// Somebody else may be quicker: use `put_nowait` afterwards, and wait again if it raises `Full`. A queue that is shut
    /// down counts as ready.
    ///
    /// Args:
    ///     timeout: Longest wait in seconds, at least 0. None waits for ever; 0 only looks.
    ///
    /// Returns:
    ///     True when there is room, False if the time ran out first.
    ///
    /// Raises:
    ///     ValueError: timeout is negative or NaN.
    ///     Closed, Removed, Corrupted: As for `get`.
    ///
    /// If killed: peers see nothing of it.
    #[pyo3(signature = (timeout = None))]
    fn wait_put(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let until = deadline(true, timeout)?;
        self.handle.in_time(py, until, |core, wait| core.wait_for_room(wait.change, wait.tick))
    }

    /// Close this handle; the queue, its items and other handles of it are unchanged. Closing twice does nothing.
    ///
    /// Calls on the handle raise `Closed` from now on, also those that are waiting in other threads. Leases and reservations
    /// taken through it stay good.
    ///
    /// If killed: as if closed.
    fn close(&self) {
        let core = &self.handle.core;
        if self.handle.usage.close(|| core.close()) {
            core.wake_everybody();
        }
    }

    /// Remove the name: nobody can open the queue any more, and its memory is freed when the last handle is closed.
    ///
    /// Handles that are open go on working; who waits on one learns of it by `Removed`. Unlinking twice does nothing, also
    /// when a new queue has the name by then: it is not touched.
    ///
    /// Raises:
    ///     SystemFailed: The system would not remove the file. Nothing changed.
    ///     Closed: This handle was closed.
    ///
    /// If killed: the name is there or gone.
    fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.check_open(py)?;
        match self.handle.core.unlink() {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.handle.error(py, &error)),
        }
    }

    /// Describe the queue as it is now, as a dict of plain values; takes no lock, so figures may be a moment apart.
    ///
    /// Returns:
    ///     name, path, kind ("queue"), item, capacity, max_item_bytes, deliveries_limit, lifetime: as the properties;
    ///     waiting, writing, leased, free, dead_letters: slots in each state;
    ///     put_total, settled_total: items ever put, and ever acknowledged, dropped or told by task_done;
    ///     is_shutdown;
    ///     created_at: in seconds since 1970;
    ///     bytes_reserved, bytes_committed: length of the file, and memory used;
    ///     put_lock_holder, get_lock_holder: process id or None;
    ///     oldest_lease_seconds: age of the oldest lease, or None;
    ///     participants: one dict per attached process, with pid, alive, attached_at, is_self.
    ///
    /// Raises:
    ///     Closed, Corrupted: As for `get`.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.handle.check_open(py)?;
        let stats = QueueStats::of(&self.handle.core).map_err(|error| self.handle.error(py, &error))?;
        facts::of_queue(py, &stats)
    }

    /// Remove and return the oldest dead letter, waiting for one if there is none; see `penstock.DeadLetters.get`.
    ///
    /// Args:
    ///     block: Whether to wait at all.
    ///     timeout: Longest wait in seconds, at least 0. None waits for ever; 0 does not wait.
    ///
    /// Raises:
    ///     Empty: There was none in time. Nothing changed.
    ///     DecodeError, Closed, Removed, Corrupted: As for `get`.
    ///
    /// If killed: the dead letter is either still there or gone whole.
    #[pyo3(signature = (block = true, timeout = None))]
    fn dead_get<'py>(
        &self,
        py: Python<'py>,
        #[pyo3(from_py_with = truthy)] block: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let until = deadline(block, timeout)?;
        let mut small = [0; INLINE_MAX];
        let _kept = self.handle.keep();
        match self.handle.wait(py, until, |core, wait| core.get_dead(&mut small, wait))? {
            Got::Copied(len) => self.handle.kind.decode(py, &small[..len]),
            Got::Leased(loan) => self.handle.copy_out(py, loan, Settle::Ack),
        }
    }

    /// Count the dead letters. The answer may be old when it arrives.
    fn dead_size(&self, py: Python<'_>) -> PyResult<u64> {
        self.handle.check_open(py)?;
        Ok(self.handle.core.dead_len())
    }

    /// Return copies of up to `n` dead letters, oldest first, and leave them where they are.
    fn dead_peek_many<'py>(&self, py: Python<'py>, n: usize) -> PyResult<Bound<'py, PyList>> {
        check_at_least_one(n)?;
        let items = self.handle.wait(py, Deadline::Never, |core, wait| core.peek_dead(n, wait))?;
        self.handle.decode_all(py, &items)
    }

    /// Drop all dead letters, and return how many they were.
    fn dead_purge(&self, py: Python<'_>) -> PyResult<u64> {
        self.handle.wait(py, Deadline::Never, Core::purge_dead)
    }

    /// Put all dead letters back into the queue as if never delivered, and return how many they were.
    fn dead_requeue(&self, py: Python<'_>) -> PyResult<u64> {
        self.handle.wait(py, Deadline::Never, Core::requeue_dead)
    }
}

fn check_at_least_one(n: usize) -> PyResult<()> {
    if n == 0 { Err(PyValueError::new_err("n is 0; it must be at least 1")) } else { Ok(()) }
}

impl Handle {
    /// True if `act` succeeded, false if its time ran out.
    fn in_time(
        &self,
        py: Python<'_>,
        until: Deadline,
        act: impl FnOnce(&Core, &mut Wait<'_>) -> Result<(), Error> + Send,
    ) -> PyResult<bool> {
        match self.try_wait(py, until, act) {
            Ok(()) => Ok(true),
            Err(Ended::Core(Error::Busy)) => Ok(false),
            Err(ended) => Err(ended.into_py(py, "queue", self.core.name())),
        }
    }

    fn decode_all<'py>(&self, py: Python<'py>, items: &[Vec<u8>]) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, items.iter().map(|bytes| self.kind.decode(py, bytes)).collect::<PyResult<Vec<_>>>()?)
    }

    /// An item's bytes, of a size that the queue takes.
    fn checked_encoding<'py>(&self, item: &Bound<'py, PyAny>) -> PyResult<Encoded<'py>> {
        let encoded = self.kind.encode(item)?;
        encoded.with(|parts| self.core.check_len(parts).map_err(|error| self.error(item.py(), &error)))?;
        Ok(encoded)
    }

    /// Puts items of a fixed size that lie back to back. Returns how many there was room for in time.
    fn put_run(&self, py: Python<'_>, bytes: &[u8], until: Deadline) -> PyResult<usize> {
        let size = usize::try_from(self.core.plan().item_bytes).unwrap_or(1).max(1);
        let total = bytes.len() / size;
        let mut done = 0;
        while done < total {
            let rest = &bytes[done * size..];
            let put = match self.enter(py).map(|_entered| self.core.try_put_batch(rest))? {
                Err(Error::Full | Error::Busy) => self.try_wait(py, until, |core, wait| core.put_batch(rest, wait)),
                tried => tried.map_err(Ended::Core),
            };
            match put {
                Ok(count) => done += count,
                Err(Ended::Core(Error::Full)) => break,
                Err(Ended::Core(Error::ShutDown)) if done > 0 => break,
                Err(ended) => return Err(ended.into_py(py, "queue", self.core.name())),
            }
        }
        Ok(done)
    }

    /// Puts items one by one. Returns how many there was room for in time.
    fn put_each(&self, py: Python<'_>, items: &[Encoded<'_>], until: Deadline) -> PyResult<usize> {
        for (done, item) in items.iter().enumerate() {
            let put = item.with(|parts| {
                let _entered = self.enter(py)?;
                Ok(match self.core.try_put(parts) {
                    Ok(None) => Ok(()),
                    Ok(Some(room)) => return self.commit_later(py, &room).map(Ok),
                    Err(Error::Full | Error::Busy) => self.try_wait(py, until, |core, wait| core.put(parts, wait)),
                    Err(error) => Err(Ended::Core(error)),
                })
            })?;
            match put {
                Ok(()) => {}
                Err(Ended::Core(Error::Full)) => return Ok(done),
                Err(Ended::Core(Error::ShutDown | Error::NoSpace { .. })) if done > 0 => return Ok(done),
                Err(ended) => return Err(ended.into_py(py, "queue", self.core.name())),
            }
        }
        Ok(items.len())
    }

    /// Takes up to `n` items of a fixed size: their bytes, back to back.
    fn get_run(&self, py: Python<'_>, n: usize, timeout: Option<f64>) -> PyResult<Vec<u8>> {
        check_at_least_one(n)?;
        let until = deadline(true, timeout)?;
        let (mut bytes, mut lens) = (Vec::new(), Vec::new());
        while lens.len() < n {
            let most = n - lens.len();
            let tried = self.enter(py).map(|_entered| self.core.try_get_batch(most, &mut bytes, &mut lens))?;
            let tried = match tried {
                Err(Error::Busy) if !lens.is_empty() => {
                    let _kept = self.keep();
                    self.try_again(py, |core, wait| core.get_batch(most, &mut bytes, &mut lens, wait))
                }
                tried => tried,
            };
            match tried {
                Ok(0) => self.get_large_of_run(py, &mut bytes, &mut lens)?,
                Ok(_) => {}
                Err(Error::Empty | Error::Busy | Error::ShutDown) if !lens.is_empty() => break,
                Err(Error::Empty | Error::Busy) => {
                    self.wait(py, until, |core, wait| core.get_batch(most, &mut bytes, &mut lens, wait))?;
                }
                Err(error) => return Err(self.error(py, &error)),
            }
        }
        Ok(bytes)
    }

    /// Items too large to be copied under the lock come one by one.
    fn get_large_of_run(&self, py: Python<'_>, bytes: &mut Vec<u8>, lens: &mut Vec<usize>) -> PyResult<()> {
        let _kept = self.keep();
        let loan = match self.core.try_lease() {
            Ok(loan) => loan,
            Err(Error::Empty | Error::Busy) => return Ok(()),
            Err(error) => return Err(self.error(py, &error)),
        };
        let start = bytes.len();
        bytes.resize(start + loan.len(), 0);
        self.read(py, &loan, &mut bytes[start..])?;
        lens.push(loan.len());
        let nothing = PyString::new(py, "").into_any();
        self.settle_copied(py, &loan, Settle::Release, Ok(nothing)).map(|_| ())
    }
}

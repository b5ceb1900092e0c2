//! `put`, `get` and `lease` called directly (`crate::direct`): `put(item)` and `get()` of a number, `lease()`. Where a put or
//! get of a number has to wait it goes on within PyO3's frame, and does not look again first.
#![allow(unsafe_code)]

use super::{Now, Queue};
use crate::direct::{Method, called_on, object, replace};
use pyo3::ffi;
use pyo3::impl_::trampoline::get_trampoline_function;
use pyo3::prelude::*;

const WHOLE_PUT: Method = get_trampoline_function!(fastcall_kw, Queue::__pymethod_put__);
const WHOLE_GET: Method = get_trampoline_function!(fastcall_kw, Queue::__pymethod_get__);
const WHOLE_LEASE: Method = get_trampoline_function!(fastcall_kw, Queue::__pymethod_lease__);
const WAITING_PUT: Method = get_trampoline_function!(fastcall_kw, wait_and_put);
const WAITING_GET: Method = get_trampoline_function!(fastcall_kw, wait_and_get);

/// Replaces these methods of the class.
pub fn install(py: Python<'_>) -> PyResult<()> {
    replace::<Queue>(py, c"put", put)?;
    replace::<Queue>(py, c"get", get)?;
    replace::<Queue>(py, c"lease", lease)
}

unsafe extern "C" fn put(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let mut instead = WHOLE_PUT;
    if count == 1 && names.is_null() {
        // SAFETY: the interpreter calls this, attached; `slf` is a queue, as the descriptor sees to; there is one argument.
        let (queue, item) = unsafe { (called_on::<Queue>(slf), object(*args)) };
        match queue.get().handle.put_number_now(&item) {
            Now::Done(()) => return item.py().None().into_ptr(),
            Now::MustWait => instead = WAITING_PUT,
            Now::Other => {}
        }
    }
    // SAFETY: called with what we were called with.
    unsafe { instead(slf, args, count, names) }
}

unsafe extern "C" fn get(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let mut instead = WHOLE_GET;
    if count == 0 && names.is_null() {
        // SAFETY: the interpreter calls this, attached; `slf` is a queue, as the descriptor sees to.
        let queue = unsafe { called_on::<Queue>(slf) };
        match queue.get().handle.get_number_now(queue.py()) {
            Now::Done(number) => return number.into_ptr(),
            Now::MustWait => instead = WAITING_GET,
            Now::Other => {}
        }
    }
    // SAFETY: called with what we were called with.
    unsafe { instead(slf, args, count, names) }
}

unsafe extern "C" fn lease(
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    count: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    if count == 0 && names.is_null() {
        // SAFETY: as in `get`.
        let queue = unsafe { called_on::<Queue>(slf) };
        if let Some(lease) = queue.get().lease_now(queue.py()) {
            return lease.into_ptr();
        }
    }
    // SAFETY: called with what we were called with.
    unsafe { WHOLE_LEASE(slf, args, count, names) }
}

/// What `put` goes on with once it found no room.
unsafe fn wait_and_put(
    _: Python<'_>,
    slf: *mut ffi::PyObject,
    args: *const *mut ffi::PyObject,
    _: ffi::Py_ssize_t,
    _: *mut ffi::PyObject,
) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: as in `put`, which comes here with one argument.
    let (queue, item) = unsafe { (called_on::<Queue>(slf), object(*args)) };
    queue.get().handle.wait_and_put(&item).map(|()| item.py().None().into_ptr())
}

/// What `get` goes on with once it found nothing.
unsafe fn wait_and_get(
    _: Python<'_>,
    slf: *mut ffi::PyObject,
    _: *const *mut ffi::PyObject,
    _: ffi::Py_ssize_t,
    _: *mut ffi::PyObject,
) -> PyResult<*mut ffi::PyObject> {
    // SAFETY: as in `get`.
    let queue = unsafe { called_on::<Queue>(slf) };
    queue.get().handle.wait_and_get(queue.py()).map(Bound::into_ptr)
}

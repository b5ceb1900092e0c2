//! `put` and `get` once more, without the frame that PyO3 lays around every method: counting the thread in, reading the
//! arguments by their description, catching panics. It takes 12 to 16 ns, more than a quarter of a put of a number.
//!
//! Only the plainest call is served here: `put(item)` and `get()` of a number, where nothing goes wrong. Where it has to
//! wait, it goes on within such a frame; all other calls go to the method that PyO3 made, as if that had been called
//! itself. So what a call means and how it fails is said in one place, and both look the same from Python, as the text is taken over too.
//!
//! Without the count PyO3 puts off giving up references that are not bound to the interpreter: those of an error, and the
//! method that PyO3 made raises it anew. A panic ends the process, as one in C would; the others repair what it was doing.
#![allow(unsafe_code)]

use super::{Now, Queue};
use pyo3::ffi;
use pyo3::impl_::trampoline::get_trampoline_function;
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::ffi::{CStr, CString};

/// A method as the interpreter calls it: the object, the arguments in order, how many of them have no name, and the names
/// of the others.
type Method = ffi::PyCFunctionFastWithKeywords;

const WHOLE_PUT: Method = get_trampoline_function!(fastcall_kw, Queue::__pymethod_put__);
const WHOLE_GET: Method = get_trampoline_function!(fastcall_kw, Queue::__pymethod_get__);
const WAITING_PUT: Method = get_trampoline_function!(fastcall_kw, wait_and_put);
const WAITING_GET: Method = get_trampoline_function!(fastcall_kw, wait_and_get);

/// Replaces the two methods of the class by those here.
pub fn install(class: &Bound<'_, PyType>) -> PyResult<()> {
    replace(class, c"put", put)?;
    replace(class, c"get", get)
}

fn replace(class: &Bound<'_, PyType>, name: &'static CStr, method: Method) -> PyResult<()> {
    let word = name.to_string_lossy();
    let whole = class.getattr(&*word)?;
    let signature: String = whole.getattr("__text_signature__")?.extract()?;
    let doc: String = whole.getattr("__doc__")?.extract()?;
    let text = CString::new(format!("{word}{signature}\n--\n\n{doc}"))?;
    // As long as the class: for ever.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: method },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: text.into_raw(),
    }));
    // SAFETY: the definition and its texts live for ever, and the flags are those of a `Method`.
    let descriptor = unsafe { ffi::PyDescr_NewMethod(class.as_type_ptr(), definition) };
    // SAFETY: a new reference, or null with an exception set.
    let descriptor = unsafe { Bound::from_owned_ptr_or_err(class.py(), descriptor)? };
    class.setattr(&*word, descriptor)
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
        let (queue, item) = unsafe { (queue(slf), object(*args)) };
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
        let queue = unsafe { queue(slf) };
        match queue.get().handle.get_number_now(queue.py()) {
            Now::Done(number) => return number.into_ptr(),
            Now::MustWait => instead = WAITING_GET,
            Now::Other => {}
        }
    }
    // SAFETY: called with what we were called with.
    unsafe { instead(slf, args, count, names) }
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
    let (queue, item) = unsafe { (queue(slf), object(*args)) };
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
    let queue = unsafe { queue(slf) };
    queue.get().handle.wait_and_get(queue.py()).map(Bound::into_ptr)
}

/// # Safety
/// As for `object`, and it is a queue.
#[inline(always)]
unsafe fn queue<'a>(slf: *mut ffi::PyObject) -> Borrowed<'a, 'a, Queue> {
    // SAFETY: as the caller says.
    unsafe { object(slf).cast_unchecked() }
}

/// # Safety
/// This thread is attached to the interpreter, and the object lives, until 'a ends.
#[inline(always)]
unsafe fn object<'a>(pointer: *mut ffi::PyObject) -> Borrowed<'a, 'a, PyAny> {
    // SAFETY: as the caller says.
    unsafe { Borrowed::from_ptr(Python::assume_attached(), pointer) }
}

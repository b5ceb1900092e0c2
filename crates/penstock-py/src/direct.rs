//! Methods without the frame that PyO3 lays around every one: counting the thread in, reading the arguments by their
//! description, catching panics. It takes 12 to 16 ns, more than a quarter of a put of a number.
//!
//! Only the plainest calls are served so, where nothing goes wrong. All others go to the method that PyO3 made, as if that
//! had been called itself. So what a call means and how it fails is said in one place, and both look the same from Python, as
//! the text is taken over too.
//!
//! Without the count PyO3 puts off giving up references that are not bound to the interpreter: those of an error, and the
//! method that PyO3 made raises it anew. A panic ends the process, as one in C would; the others repair what it was doing.
#![allow(unsafe_code)]

use pyo3::PyTypeInfo;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, CString, c_int};

/// A method with arguments as the interpreter calls it: the object, the arguments in order, how many of them have no name,
/// and the names of the others.
pub type Method = ffi::PyCFunctionFastWithKeywords;

/// Replaces a method of a class that has arguments.
pub fn replace<T: PyTypeInfo>(py: Python<'_>, name: &'static CStr, method: Method) -> PyResult<()> {
    let method = ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: method };
    replace_by::<T>(py, name, method, ffi::METH_FASTCALL | ffi::METH_KEYWORDS)
}

/// Replaces a method of a class that has none.
pub fn replace_bare<T: PyTypeInfo>(py: Python<'_>, name: &'static CStr, method: ffi::PyCFunction) -> PyResult<()> {
    replace_by::<T>(py, name, ffi::PyMethodDefPointer { PyCFunction: method }, ffi::METH_NOARGS)
}

fn replace_by<T: PyTypeInfo>(
    py: Python<'_>,
    name: &'static CStr,
    method: ffi::PyMethodDefPointer,
    flags: c_int,
) -> PyResult<()> {
    let (class, word) = (py.get_type::<T>(), name.to_string_lossy());
    let whole = class.getattr(&*word)?;
    let signature: String = whole.getattr("__text_signature__")?.extract()?;
    let doc: String = whole.getattr("__doc__")?.extract()?;
    let text = CString::new(format!("{word}{signature}\n--\n\n{doc}"))?;
    // As long as the class: for ever.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: method,
        ml_flags: flags,
        ml_doc: text.into_raw(),
    }));
    // SAFETY: the definition and its texts live for ever, and the flags are those of the method.
    let descriptor = unsafe { ffi::PyDescr_NewMethod(class.as_type_ptr(), definition) };
    // SAFETY: a new reference, or null with an exception set.
    let descriptor = unsafe { Bound::from_owned_ptr_or_err(py, descriptor)? };
    class.setattr(&*word, descriptor)
}

/// What a method was called on.
///
/// # Safety
/// As for `object`; and it is a `T`, as the method's descriptor sees to.
#[inline(always)]
pub unsafe fn called_on<'a, T>(slf: *mut ffi::PyObject) -> Borrowed<'a, 'a, T> {
    // SAFETY: as the caller says.
    unsafe { object(slf).cast_unchecked() }
}

/// # Safety
/// This thread is attached to the interpreter, and the object lives, until 'a ends: as in a call for its arguments.
#[inline(always)]
pub unsafe fn object<'a>(pointer: *mut ffi::PyObject) -> Borrowed<'a, 'a, PyAny> {
    // SAFETY: as the caller says.
    unsafe { Borrowed::from_ptr(Python::assume_attached(), pointer) }
}

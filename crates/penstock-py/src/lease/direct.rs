//! `ack` called directly (`crate::direct`), of a lease whose item nobody looks at in place.
#![allow(unsafe_code)]

use super::Lease;
use crate::direct::{called_on, replace_bare};
use pyo3::ffi;
use pyo3::impl_::trampoline::get_trampoline_function;
use pyo3::prelude::*;

const WHOLE_ACK: ffi::PyCFunction = get_trampoline_function!(noargs, Lease::__pymethod_ack__);

/// Replaces this method of the class.
pub fn install(py: Python<'_>) -> PyResult<()> {
    replace_bare::<Lease>(py, c"ack", ack)
}

unsafe extern "C" fn ack(slf: *mut ffi::PyObject, none: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: the interpreter calls this, attached; `slf` is a lease, as the descriptor sees to.
    let lease = unsafe { called_on::<Lease>(slf) };
    if lease.get().ack_now() {
        return lease.py().None().into_ptr();
    }
    // SAFETY: called with what we were called with.
    unsafe { WHOLE_ACK(slf, none) }
}

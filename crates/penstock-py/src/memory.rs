//! Python's buffers: ours lent to Python, and Python's read by us. There is `unsafe` here (and in the files `direct.rs`),
//! because the buffer protocol is made of pointers; beside it stands only `Mapping.__getbuffer__`, which calls `lend`.
#![allow(unsafe_code)]

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};
use std::ffi::c_int;

/// Whatever keeps shared bytes valid while Python can see them; told when the last view is gone.
pub trait Keeper: Send + Sync {}

/// Shared bytes as an object with the buffer protocol. A view of it holds it, and it holds its keeper.
#[pyclass(frozen, module = "penstock._core", name = "_Memory")]
pub struct Memory {
    base: usize,
    len: usize,
    is_read_only: bool,
    _keeper: Box<dyn Keeper>,
}

impl Memory {
    /// A memoryview of `len` bytes at `base`.
    ///
    /// The caller vouches that the bytes stay mapped while `keeper` lives. What they hold may change under a reader,
    /// as with any shared memory.
    pub fn view<'py>(
        py: Python<'py>,
        base: *mut u8,
        len: usize,
        is_read_only: bool,
        keeper: Box<dyn Keeper>,
    ) -> PyResult<Bound<'py, PyMemoryView>> {
        let memory = Bound::new(py, Memory { base: base as usize, len, is_read_only, _keeper: keeper })?;
        PyMemoryView::from(memory.as_any())
    }
}

#[pymethods]
impl Memory {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let this = slf.get();
        // SAFETY: `view` is the interpreter's; the bytes stay mapped while the keeper lives, which `slf` owns.
        unsafe { lend(view, slf.as_any(), this.base as *mut u8, this.len, this.is_read_only, flags) }
    }
}

/// Fills `view` with bytes that `owner` keeps mapped.
///
/// # Safety
/// `view` is null or a view to be filled; `len` bytes at `base` stay mapped while `owner` lives, and unless read-only
/// may be written.
pub unsafe fn lend(
    view: *mut ffi::Py_buffer,
    owner: &Bound<'_, PyAny>,
    base: *mut u8,
    len: usize,
    is_read_only: bool,
    flags: c_int,
) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("no place for the view"));
    }
    let len = ffi::Py_ssize_t::try_from(len).map_err(|_| PyBufferError::new_err("too large for a view"))?;
    // SAFETY: as the caller vouches; PyBuffer_FillInfo makes the view hold `owner`. It sets the error itself when it
    // refuses.
    let filled =
        unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), base.cast(), len, c_int::from(is_read_only), flags) };
    if filled == 0 { Ok(()) } else { Err(PyErr::fetch(owner.py())) }
}

/// Bytes of a Python object, for as long as it is held.
pub enum Source<'py> {
    /// An immutable bytes object.
    Bytes(Bound<'py, PyBytes>),
    /// Any other object with C-contiguous bytes.
    Buffer(PyBuffer<u8>),
}

impl<'py> Source<'py> {
    /// The bytes behind `object`: a bytes object, or any C-contiguous buffer, whatever its items are.
    pub fn of(object: &Bound<'py, PyAny>) -> PyResult<Source<'py>> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Source::Bytes(bytes.clone()));
        }
        let refused = |_| {
            let kind = object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
            PyTypeError::new_err(format!("item is of type {kind}; a bytes-like object is needed"))
        };
        let buffer = match PyBuffer::<u8>::get(object) {
            Ok(buffer) => buffer,
            Err(_) => {
                let bytes = PyMemoryView::from(object).map_err(refused)?.call_method1("cast", ("B",))?;
                PyBuffer::<u8>::get(&bytes).map_err(refused)?
            }
        };
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("item is not contiguous in memory: copy it first"));
        }
        Ok(Source::Buffer(buffer))
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Source::Bytes(bytes) => bytes.as_bytes(),
            Source::Buffer(buffer) if buffer.len_bytes() == 0 => &[],
            // SAFETY: a C-contiguous buffer has len_bytes() readable bytes at buf_ptr() until it is released, which
            // is when `self` goes. Python code may write them meanwhile; they are only copied, byte by byte.
            Source::Buffer(buffer) => unsafe {
                std::slice::from_raw_parts(buffer.buf_ptr().cast(), buffer.len_bytes())
            },
        }
    }
}

/// The bytes of a contiguous array whose items are of the machine type `T`; `None` for anything else.
pub fn bytes_of_array<'py, T: pyo3::buffer::Element>(object: &Bound<'py, PyAny>) -> Option<Source<'py>> {
    let typed = PyBuffer::<T>::get(object).ok()?;
    (typed.is_c_contiguous() && typed.dimensions() == 1).then(|| Source::of(object).ok()).flatten()
}

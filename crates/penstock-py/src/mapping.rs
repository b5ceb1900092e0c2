//! Shared bytes as a Python class with the buffer protocol.

use crate::errors;
use crate::facts;
use crate::handle::Handle;
use crate::memory;
use crate::place::{self, How};
use penstock_core::layout::Kind;
use penstock_core::stats::Common;
use penstock_core::{Error, Location, Mapping as Core};
use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyType};
use std::ffi::c_int;
use std::path::PathBuf;

/// Shared bytes under a name, or those of a file, as the native module has them; use `penstock.Mapping`, which is this and more.
///
/// A buffer: `memoryview(mapping)` looks at the bytes in place. They stay where they are while anything made from the
/// handle lives, also when it was closed.
#[pyclass(frozen, subclass, module = "penstock._core")]
pub struct Mapping {
    handle: Handle<Core>,
}

/// What is to be mapped.
enum Source {
    Named(How),
    File { writable: bool },
}

impl Source {
    fn from_word(word: &str) -> PyResult<Source> {
        match word {
            "file" => Ok(Source::File { writable: true }),
            "file_read_only" => Ok(Source::File { writable: false }),
            word => How::from_word(word).map(Source::Named),
        }
    }
}

#[pymethods]
impl Mapping {
    #[new]
    #[allow(clippy::too_many_arguments, reason = "the Python side names them; this is one call deep")]
    fn new(
        py: Python<'_>,
        how: &str,
        directory: &str,
        name: &str,
        lifetime: Option<&str>,
        trust: bool,
        size: Option<u64>,
    ) -> PyResult<Mapping> {
        let (source, lifetime) = (Source::from_word(how)?, place::lifetime(lifetime)?);
        let fail = |error: Error| errors::from_core(py, &error);
        let location: Location = match source {
            Source::Named(_) => place::locate(directory, name, None, trust),
            Source::File { .. } => place::locate(directory, name, Some(name), trust),
        }
        .map_err(fail)?;
        let planned = place::lifetime_or_usual(lifetime, name);
        let trusted = place::trust(trust);
        let missing =
            || PyValueError::new_err(format!("size is missing; it must be given to create '{}'", location.name));
        let given = match source {
            Source::Named(How::Create) => size.ok_or_else(missing)?,
            _ => size.unwrap_or(0),
        };
        let opened = py.detach(|| match source {
            Source::Named(How::Open) => Core::open(&location, size, lifetime, trusted).map(|core| (core, false)),
            Source::Named(How::Create) => Core::create(&location, given, planned).map(|core| (core, true)),
            Source::Named(How::OpenOrCreate) => Core::open_or_create(&location, size, lifetime, trusted),
            Source::File { writable } => Core::of_file(&location, size, writable).map(|core| (core, false)),
        });
        Ok(Mapping { handle: Handle::new(opened.map_err(fail)?, trust) })
    }

    /// Map a file's bytes; see `penstock.Mapping.of_file`.
    #[classmethod]
    #[pyo3(signature = (path, size = None, writable = true))]
    fn of_file<'py>(
        class: &Bound<'py, PyType>,
        path: PathBuf,
        size: Option<u64>,
        writable: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let how = if writable { "file" } else { "file_read_only" };
        let base = class.py().get_type::<Mapping>();
        base.call_method1("__new__", (class, how, "", path.into_os_string(), None::<&str>, false, size))
    }

    /// The name in its directory; of a file its path.
    #[getter]
    fn name(&self) -> &str {
        self.handle.core.name()
    }

    /// The file that the bytes are in, absolute.
    #[getter]
    fn path(&self) -> String {
        self.handle.core.path().display().to_string()
    }

    /// "until_unlinked", or "while_open": gone with its last user.
    #[getter]
    fn lifetime(&self) -> &'static str {
        place::lifetime_word(self.handle.core.lifetime())
    }

    /// Whether this handle was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.handle.usage.is_closed()
    }

    /// Whether this handle created the memory, rather than found it.
    #[getter]
    fn created(&self) -> bool {
        self.handle.created
    }

    /// Whether this handle was opened with trust=True.
    #[getter]
    fn trusted(&self) -> bool {
        self.handle.trusted
    }

    /// Whether the bytes may be written.
    #[getter]
    fn writable(&self) -> bool {
        self.handle.core.is_writable()
    }

    /// How many bytes there are.
    #[getter]
    fn size(&self) -> usize {
        self.handle.core.len()
    }

    fn __len__(&self) -> usize {
        self.handle.core.len()
    }

    #[allow(unsafe_code, reason = "the buffer protocol is made of pointers")]
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let handle = &slf.get().handle;
        let _entered = handle.enter(slf.py())?;
        let (base, len) = (handle.core.base(), handle.core.len());
        // SAFETY: `view` is the interpreter's; the bytes stay mapped while `handle.core` lives, which `slf` owns.
        unsafe { memory::lend(view, slf.as_any(), base, len, !handle.core.is_writable(), flags) }
    }

    /// Write bytes back to their file, and wait until they are on the disk. Without a disk below it, does nothing.
    ///
    /// Args:
    ///     offset: The first byte to write back.
    ///     size: How many. None: all from `offset` on.
    ///
    /// Raises:
    ///     ValueError: Not all of them lie inside.
    ///     SystemFailed: The disk would not take them.
    ///     Closed: This handle was closed.
    ///
    /// If killed: each page is on the disk as it was or as it is.
    #[pyo3(signature = (offset = 0, size = None))]
    fn flush(&self, py: Python<'_>, offset: i64, size: Option<i64>) -> PyResult<()> {
        let _entered = self.handle.enter(py)?;
        let core = &self.handle.core;
        let natural = |what: &str, n: i64| {
            usize::try_from(n).map_err(|_| PyValueError::new_err(format!("{what} is {n}; it must be at least 0")))
        };
        let offset = natural("offset", offset)?;
        let bytes = match size {
            Some(size) => natural("size", size)?,
            None => core.len().saturating_sub(offset),
        };
        py.detach(|| core.flush(offset, bytes)).map_err(|error| self.handle.error(py, &error))
    }

    /// Close this handle; the bytes and other handles of them are unchanged. Closing twice does nothing.
    ///
    /// No views can be made from now on; those that were stay good.
    ///
    /// If killed: as if closed.
    fn close(&self) {
        self.handle.close();
    }

    /// Remove the name, or the file: nobody can open it any more. Handles that are open go on working. Unlinking twice
    /// does nothing, also when something else has the name by then.
    ///
    /// Raises:
    ///     SystemFailed: The system would not remove the file. Nothing changed.
    ///     Closed: This handle was closed.
    ///
    /// If killed: the name is there or gone.
    fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        self.handle.unlink(py)
    }

    /// Describe the mapping as it is now, as a dict of plain values.
    ///
    /// Returns:
    ///     name, path, kind ("mapping"), lifetime, size, writable;
    ///     and of named memory created_at (in seconds since 1970), bytes_reserved, bytes_committed, participants: as
    ///     `Queue.stats`; nobody is attached to a plain file, and `participants` is empty then.
    ///
    /// Raises:
    ///     Closed: This handle was closed.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let _entered = self.handle.enter(py)?;
        let core = &self.handle.core;
        let dict = if let Some(segment) = core.segment() {
            facts::of_any(py, &Common::of(segment).map_err(|error| self.handle.error(py, &error))?)?
        } else {
            let dict = PyDict::new(py);
            dict.set_item("name", core.name())?;
            dict.set_item("path", self.path())?;
            dict.set_item("kind", Kind::Mapping.word())?;
            dict.set_item("lifetime", self.lifetime())?;
            dict.set_item("participants", PyList::empty(py))?;
            dict
        };
        dict.set_item("size", core.len())?;
        dict.set_item("writable", core.is_writable())?;
        Ok(dict)
    }
}

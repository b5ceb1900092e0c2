//! What lies in a directory, as dicts of plain values; and the facts that `penstock doctor` judges.

use crate::errors;
use crate::place::lifetime_word;
use penstock_core::listing::remove_stale as remove_stale_core;
use penstock_core::listing::{Listing, inspect as inspect_core, listing as list, remove as remove_core};
use penstock_core::{Error, Location, doctor as doctor_core, sys};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::path::PathBuf;

/// An object is called by its name where names are, by its path elsewhere.
fn location_of(path: PathBuf) -> Result<Location, Error> {
    let location = Location::file(&path)?;
    let names = std::path::absolute(sys::default_directory()).unwrap_or_default();
    let is_named = location.path.parent() == Some(&names);
    match (is_named, location.path.file_name()) {
        (true, Some(name)) => Ok(Location { name: name.to_string_lossy().into_owned(), ..location }),
        _ => Ok(location),
    }
}

fn to_dict<'py>(py: Python<'py>, entry: &Listing) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &entry.name)?;
    dict.set_item("path", entry.path.display().to_string())?;
    if let Some(known) = &entry.known {
        dict.set_item("kind", known.kind.word())?;
        dict.set_item("depth", known.depth)?;
        dict.set_item("capacity", known.capacity)?;
        dict.set_item("item", &known.item)?;
        dict.set_item("bytes_committed", known.bytes_committed)?;
        dict.set_item("created_at", crate::facts::seconds(known.created_unix_ms))?;
        dict.set_item("attached", PyList::new(py, &known.attached)?)?;
        dict.set_item("dead", known.dead)?;
        dict.set_item("lifetime", lifetime_word(known.lifetime))?;
    }
    dict.set_item("leftover", entry.is_leftover)?;
    dict.set_item("problem", &entry.problem)?;
    Ok(dict)
}

/// Return one dict for each object in a directory, in the order of their names, attaching to none; [] if there is no such directory.
///
/// Returns:
///     name, path, leftover (dead processes left it, and nobody can use it any more), problem (what is wrong with it, or
///     None); and of what can be read: kind, depth, capacity and item (of queues, else None), bytes_committed,
///     created_at (in seconds since 1970), attached (pids of the living), dead (a count), lifetime.
///
/// Raises:
///     SystemFailed: The directory cannot be read.
#[pyfunction]
pub fn listing<'py>(py: Python<'py>, directory: PathBuf) -> PyResult<Bound<'py, PyList>> {
    let entries = py.detach(|| list(&directory)).map_err(|error| errors::from_core(py, &error))?;
    PyList::new(py, entries.iter().map(|entry| to_dict(py, entry)).collect::<PyResult<Vec<_>>>()?)
}

/// Return the dict of one object, as `listing` has it, without attaching to it.
///
/// Raises:
///     NotFound: There is none.
#[pyfunction]
pub fn inspect<'py>(py: Python<'py>, path: PathBuf) -> PyResult<Bound<'py, PyDict>> {
    let entry = py.detach(|| location_of(path).and_then(|location| inspect_core(&location)));
    to_dict(py, &entry.map_err(|error| errors::from_core(py, &error))?)
}

/// Remove one object's name without attaching to it, also that of a damaged one. True.
///
/// Raises:
///     NotFound: There is none.
///     Foreign: What is there is not penstock's; it is left alone.
///     Untrusted: It is another user's; it is left alone.
#[pyfunction]
pub fn remove(py: Python<'_>, path: PathBuf) -> PyResult<bool> {
    let removed = py.detach(|| location_of(path).and_then(|location| remove_core(&location)));
    removed.map(|()| true).map_err(|error| errors::from_core(py, &error))
}

/// Remove what dead processes left behind in a directory and nobody can use any more; return the names.
///
/// Raises:
///     SystemFailed: The directory cannot be read.
#[pyfunction]
pub fn remove_stale(py: Python<'_>, directory: PathBuf) -> PyResult<Vec<String>> {
    py.detach(|| remove_stale_core(&directory)).map_err(|error| errors::from_core(py, &error))
}

/// Return facts about the machine and a directory on it, which need not exist yet.
///
/// Returns:
///     directory, file_system, free_bytes, total_bytes, cpu_count, kernel (its release), and features: a dict of bools.
///
/// Raises:
///     SystemFailed: The file system cannot be asked.
#[pyfunction]
pub fn doctor<'py>(py: Python<'py>, directory: PathBuf) -> PyResult<Bound<'py, PyDict>> {
    let facts = py.detach(|| doctor_core::examine(&directory)).map_err(|error| errors::from_core(py, &error))?;
    let features = PyDict::new(py);
    features.set_item("ofd_locks", facts.features.ofd_locks)?;
    features.set_item("futex", facts.features.futex)?;
    features.set_item("futex_waitv", facts.features.futex_waitv)?;
    features.set_item("otmpfile", facts.features.otmpfile)?;
    features.set_item("wipe_on_fork", facts.features.wipe_on_fork)?;
    let dict = PyDict::new(py);
    dict.set_item("directory", facts.directory.display().to_string())?;
    dict.set_item("file_system", &facts.file_system)?;
    dict.set_item("free_bytes", facts.free_bytes)?;
    dict.set_item("total_bytes", facts.total_bytes)?;
    dict.set_item("cpu_count", facts.cpu_count)?;
    dict.set_item("kernel", &facts.kernel)?;
    dict.set_item("features", features)?;
    Ok(dict)
}

//! The one map from the core's errors to Python's exceptions.

use penstock_core::Error;
use pyo3::call::PyCallArgs;
use pyo3::exceptions::{PyKeyboardInterrupt, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// The exception class `name` of `penstock._errors`, called with `args`.
pub fn raise<'py>(py: Python<'py>, name: &str, args: impl PyCallArgs<'py>) -> PyErr {
    let made = ERRORS
        .get_or_try_init(py, || py.import("penstock._errors").map(Bound::unbind))
        .and_then(|module| module.bind(py).getattr(name))
        .and_then(|class| class.call1(args));
    made.map_or_else(|error| error, PyErr::from_value)
}

/// `queue.Empty`.
#[cold]
pub fn empty(py: Python<'_>) -> PyErr {
    raise(py, "Empty", ())
}

/// `queue.Full`.
#[cold]
pub fn full(py: Python<'_>) -> PyErr {
    raise(py, "Full", ())
}

/// This handle was closed.
#[cold]
pub fn closed(py: Python<'_>, kind: &str, name: &str) -> PyErr {
    raise(py, "Closed", (format!("this handle of {kind} '{name}' is closed"),))
}

/// What the core says, in Python's words.
#[cold]
pub fn from_core(py: Python<'_>, error: &Error) -> PyErr {
    let message = error.to_string();
    let with_errno = |name: &str, errno: i32| raise(py, name, (errno, message.clone()));
    let plain = |name: &str| raise(py, name, (message.clone(),));
    match error {
        Error::Empty => empty(py),
        Error::Full => full(py),
        Error::ShutDown => raise(py, "ShutDown", ()),
        Error::Busy => pyo3::exceptions::PyTimeoutError::new_err(
            "a living process holds the lock and did not give it back in time",
        ),
        Error::Interrupted => PyKeyboardInterrupt::new_err(()),
        Error::Mismatch { .. } => plain("Mismatch"),
        Error::NotFound { .. } => plain("NotFound"),
        Error::Exists { .. } => plain("Exists"),
        Error::Removed { .. } => plain("Removed"),
        Error::BadName { .. } => plain("BadName"),
        Error::BadValue { .. } => PyValueError::new_err(message),
        Error::TooLarge { .. } => plain("TooLarge"),
        Error::NoSpace { .. } => with_errno("NoSpace", 28),
        Error::Corrupted { .. } => plain("Corrupted"),
        Error::Foreign { .. } => plain("Foreign"),
        Error::NewerVersion { .. } => plain("NewerVersion"),
        Error::Untrusted { .. } => plain("Untrusted"),
        Error::Unsupported { .. } => with_errno("Unsupported", 95),
        Error::TooManyProcesses { .. } => plain("TooManyProcesses"),
        Error::NotOwner { .. } => plain("NotOwner"),
        Error::OverRelease { .. } => plain("OverRelease"),
        Error::LeaseLost { .. } => plain("LeaseLost"),
        Error::Os { errno, .. } => with_errno("SystemFailed", *errno),
        _ => plain("PenstockError"),
    }
}

/// Whether `error` is `ShutDown`.
pub fn is_shut_down(py: Python<'_>, error: &PyErr) -> bool {
    let class = ERRORS.get(py).and_then(|module| module.bind(py).getattr("ShutDown").ok());
    class.is_some_and(|class| error.is_instance(py, &class))
}

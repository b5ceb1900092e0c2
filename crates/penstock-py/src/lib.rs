//! The native module `penstock._core`: arguments in, core call, result out. No policy, no retry.
#![deny(unsafe_code)]
#![allow(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

mod direct;
mod errors;
mod event;
mod facts;
mod handle;
mod item;
mod lease;
mod listing;
mod mapping;
mod memory;
mod mutex;
mod number;
mod place;
mod queue;
mod reservation;
mod semaphore;
mod wait;
mod waiting;

use pyo3::prelude::*;

/// Registers the classes and functions; nothing else.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::event::Event;
    #[pymodule_export]
    use crate::lease::Lease;
    #[pymodule_export]
    use crate::listing::{doctor, inspect, listing, remove, remove_stale};
    #[pymodule_export]
    use crate::mapping::Mapping;
    #[pymodule_export]
    use crate::mutex::Mutex;
    #[pymodule_export]
    use crate::queue::Queue;
    #[pymodule_export]
    use crate::reservation::Reservation;
    #[pymodule_export]
    use crate::semaphore::Semaphore;
    #[pymodule_export]
    use crate::waiting::wait;

    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::queue::call_directly(module.py())?;
        crate::lease::call_directly(module.py())
    }

    /// Return the directory of names: `$PENSTOCK_DIR`, else a private directory of this user in /dev/shm. Does not create it.
    #[pyfunction]
    fn default_directory() -> String {
        penstock_core::sys::default_directory().display().to_string()
    }

    /// Tell whether this build stops at named points for crash tests; a released one does not.
    #[pyfunction]
    fn pause_points() -> bool {
        cfg!(feature = "crash-points")
    }
}

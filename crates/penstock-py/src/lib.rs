//! The native module `penstock._core`: arguments in, core call, result out. No policy, no retry.
#![deny(unsafe_code)]
#![allow(clippy::needless_pass_by_value, reason = "PyO3 hands arguments over by value")]

mod errors;
mod facts;
mod item;
mod lease;
mod memory;
mod number;
mod place;
mod queue;
mod reservation;
mod wait;

use pyo3::prelude::*;

/// Registers the classes and functions; nothing else.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::lease::Lease;
    #[pymodule_export]
    use crate::queue::Queue;
    #[pymodule_export]
    use crate::reservation::Reservation;

    use pyo3::prelude::*;

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

//! What the handles of a mutex, semaphore, event and mapping share: being open, being closed under a wait, waiting.

use crate::errors;
use crate::wait::{Ended, Usage, blocking};
use penstock_core::queue::Wait;
use penstock_core::segment::Segment;
use penstock_core::{Deadline, Error, Event, Mapping, Mutex, Semaphore};
use pyo3::prelude::*;

/// What the core's objects have in common.
pub trait Core: Send + Sync {
    /// The word people use for it.
    const KIND: &'static str;
    /// The name, for messages.
    fn name(&self) -> &str;
    /// Gives the core's handle up.
    fn close(&self);
    /// Removes the name.
    fn unlink(&self) -> Result<(), Error>;
    /// Makes all who wait look again.
    fn wake_everybody(&self);
}

macro_rules! core {
    ($core:ty, $kind:literal) => {
        impl Core for $core {
            const KIND: &'static str = $kind;
            fn name(&self) -> &str {
                Segment::name(self.segment())
            }
            fn close(&self) {
                self.close();
            }
            fn unlink(&self) -> Result<(), Error> {
                self.unlink()
            }
            fn wake_everybody(&self) {
                self.wake_everybody();
            }
        }
    };
}

core!(Mutex, "mutex");
core!(Semaphore, "semaphore");
core!(Event, "event");

impl Core for Mapping {
    const KIND: &'static str = "mapping";
    fn name(&self) -> &str {
        self.name()
    }
    fn close(&self) {
        self.close();
    }
    fn unlink(&self) -> Result<(), Error> {
        self.unlink()
    }
    fn wake_everybody(&self) {}
}

/// A core object as its Python class holds it.
pub struct Handle<C: Core> {
    pub core: C,
    pub usage: Usage,
    pub created: bool,
    pub trusted: bool,
}

/// A call under way: until it ends, closing the handle does not give the core's handle up.
pub struct Entered<'a, C: Core>(&'a Handle<C>);

impl<C: Core> Drop for Entered<'_, C> {
    fn drop(&mut self) {
        self.0.usage.leave(|| self.0.core.close());
    }
}

impl<C: Core> Handle<C> {
    /// Wraps what was opened; the flag tells whether it was made.
    pub fn new((core, created): (C, bool), trusted: bool) -> Handle<C> {
        Handle { core, usage: Usage::default(), created, trusted }
    }

    /// Counts a call in for as long as the guard lives; raises `Closed` if the handle was closed.
    pub fn enter(&self, py: Python<'_>) -> PyResult<Entered<'_, C>> {
        self.usage.enter();
        let entered = Entered(self);
        if self.usage.is_closed() { Err(self.closed(py)) } else { Ok(entered) }
    }

    #[cold]
    pub fn closed(&self, py: Python<'_>) -> PyErr {
        errors::closed(py, C::KIND, self.core.name())
    }

    /// The core's error in Python's words.
    #[cold]
    pub fn error(&self, py: Python<'_>, error: &Error) -> PyErr {
        errors::from_core(py, error)
    }

    /// True if `act` succeeded, false if its time ran out. Waits without the interpreter's lock.
    pub fn in_time<R: Send>(
        &self,
        py: Python<'_>,
        until: Deadline,
        act: impl FnOnce(&C, &mut Wait<'_>) -> Result<R, Error> + Send,
    ) -> PyResult<bool> {
        match blocking(py, &self.usage, until, |wait| act(&self.core, wait)) {
            Ok(_) => Ok(true),
            Err(Ended::Core(Error::Busy)) => Ok(false),
            Err(ended) => Err(ended.into_py(py, C::KIND, self.core.name())),
        }
    }

    /// Closes the handle and has its waiters notice.
    pub fn close(&self) {
        if self.usage.close(|| self.core.close()) {
            self.core.wake_everybody();
        }
    }

    /// Removes the name; that it is gone already is all right.
    pub fn unlink(&self, py: Python<'_>) -> PyResult<()> {
        let _entered = self.enter(py)?;
        match self.core.unlink() {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error(py, &error)),
        }
    }
}

//! Waiting for the first of several objects.

use crate::errors;
use crate::event::Event;
use crate::handle::{Core, Handle};
use crate::mutex::Mutex;
use crate::queue::{Handle as QueueHandle, Queue};
use crate::semaphore::Semaphore;
use crate::wait::{Ended, Usage, blocking, deadline};
use penstock_core::waiting::{Target, wait_any};
use penstock_core::{Error, Event as CoreEvent, Mutex as CoreMutex, Semaphore as CoreSemaphore};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::Arc;

/// One object, counted in for as long as it is waited for.
enum One {
    Queue(Arc<QueueHandle>),
    Mutex(Arc<Handle<CoreMutex>>),
    Semaphore(Arc<Handle<CoreSemaphore>>),
    Event(Arc<Handle<CoreEvent>>),
}

impl One {
    fn of(object: &Bound<'_, PyAny>) -> PyResult<One> {
        let one = if let Ok(queue) = object.cast::<Queue>() {
            One::Queue(Arc::clone(&queue.get().handle))
        } else if let Ok(mutex) = object.cast::<Mutex>() {
            One::Mutex(Arc::clone(&mutex.get().handle))
        } else if let Ok(semaphore) = object.cast::<Semaphore>() {
            One::Semaphore(Arc::clone(&semaphore.get().handle))
        } else if let Ok(event) = object.cast::<Event>() {
            One::Event(Arc::clone(&event.get().handle))
        } else {
            return Err(PyTypeError::new_err(format!(
                "{} cannot be waited for; a Queue, Mutex, Semaphore or Event can",
                object.get_type().name()?
            )));
        };
        one.usage().enter();
        if one.usage().is_closed() { Err(one.closed(object.py())) } else { Ok(one) }
    }

    fn usage(&self) -> &Usage {
        match self {
            One::Queue(handle) => &handle.usage,
            One::Mutex(handle) => &handle.usage,
            One::Semaphore(handle) => &handle.usage,
            One::Event(handle) => &handle.usage,
        }
    }

    fn closed(&self, py: Python<'_>) -> PyErr {
        match self {
            One::Queue(handle) => errors::closed(py, "queue", handle.core.name()),
            One::Mutex(handle) => handle.closed(py),
            One::Semaphore(handle) => handle.closed(py),
            One::Event(handle) => handle.closed(py),
        }
    }

    fn target(&self) -> Target<'_> {
        match self {
            One::Queue(handle) => Target::Queue(&handle.core),
            One::Mutex(handle) => Target::Mutex(&handle.core),
            One::Semaphore(handle) => Target::Semaphore(&handle.core),
            One::Event(handle) => Target::Event(&handle.core),
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        match self {
            One::Queue(handle) => handle.leave(),
            One::Mutex(handle) => leave(handle),
            One::Semaphore(handle) => leave(handle),
            One::Event(handle) => leave(handle),
        }
    }
}

fn leave<C: Core>(handle: &Handle<C>) {
    handle.usage.leave(|| handle.core.close());
}

/// Wait until at least one of several objects is ready, and return those that are; see `penstock.wait`.
#[pyfunction]
#[pyo3(signature = (objects, timeout = None))]
pub fn wait<'py>(py: Python<'py>, objects: &Bound<'py, PyList>, timeout: Option<f64>) -> PyResult<Bound<'py, PyList>> {
    let until = deadline(true, timeout)?;
    let objects: Vec<Bound<'py, PyAny>> = objects.iter().collect();
    let ones = objects.iter().map(One::of).collect::<PyResult<Vec<One>>>()?;
    let targets: Vec<Target<'_>> = ones.iter().map(One::target).collect();
    let nobodys = Usage::default();
    let ready = blocking(py, &nobodys, until, |wait| {
        let mut tick = || {
            if ones.iter().any(|one| one.usage().is_closed()) { Err(Error::Interrupted) } else { (wait.tick)() }
        };
        wait_any(&targets, wait.change, &mut tick)
    });
    let ready = ready.map_err(|ended| match (ended, ones.iter().find(|one| one.usage().is_closed())) {
        (Ended::Closed, Some(one)) => one.closed(py),
        (ended, _) => ended.into_py(py, "object", ""),
    })?;
    PyList::new(py, ready.into_iter().map(|place| &objects[place]))
}

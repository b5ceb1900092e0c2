//! Snapshots as dicts of plain values, for `stats`.

use crate::place::lifetime_word;
use penstock_core::stats::{Common, QueueStats};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// A moment as Python has it.
pub fn seconds(unix_ms: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "exact for the next 280,000 years")]
    let ms = unix_ms as f64;
    ms / 1000.0
}

/// What every object tells of itself.
pub fn of_any<'py>(py: Python<'py>, common: &Common) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("name", &common.name)?;
    dict.set_item("path", common.path.display().to_string())?;
    dict.set_item("kind", common.kind.word())?;
    dict.set_item("lifetime", lifetime_word(common.lifetime))?;
    dict.set_item("created_at", seconds(common.created_unix_ms))?;
    dict.set_item("bytes_reserved", common.bytes_reserved)?;
    dict.set_item("bytes_committed", common.bytes_committed)?;
    let participants = PyList::empty(py);
    for participant in &common.participants {
        let one = PyDict::new(py);
        one.set_item("pid", participant.pid)?;
        one.set_item("alive", participant.is_alive)?;
        one.set_item("attached_at", seconds(participant.attached_ms))?;
        one.set_item("is_self", participant.is_self)?;
        participants.append(one)?;
    }
    dict.set_item("participants", participants)?;
    Ok(dict)
}

/// What a queue tells of itself.
pub fn of_queue<'py>(py: Python<'py>, stats: &QueueStats) -> PyResult<Bound<'py, PyDict>> {
    let dict = of_any(py, &stats.common)?;
    dict.set_item("item", &stats.item)?;
    dict.set_item("capacity", stats.capacity)?;
    dict.set_item("max_item_bytes", stats.max_item_bytes)?;
    dict.set_item("deliveries_limit", stats.max_deliveries)?;
    dict.set_item("waiting", stats.waiting)?;
    dict.set_item("writing", stats.writing)?;
    dict.set_item("leased", stats.leased)?;
    dict.set_item("free", stats.free)?;
    dict.set_item("dead_letters", stats.dead_letters)?;
    dict.set_item("put_total", stats.put_total)?;
    dict.set_item("settled_total", stats.settled_total)?;
    dict.set_item("is_shutdown", stats.is_shut_down)?;
    dict.set_item("put_lock_holder", stats.put_lock_holder)?;
    dict.set_item("get_lock_holder", stats.get_lock_holder)?;
    dict.set_item("oldest_lease_seconds", stats.oldest_lease_seconds)?;
    Ok(dict)
}

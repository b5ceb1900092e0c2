"""What processes have used: time on the processors, and memory at its highest."""

from __future__ import annotations

import re
from pathlib import Path


def cpu_seconds_of(pid: int) -> float:
    """Return the time that a process with all its threads has run, as the scheduler counts it."""
    total = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(file.read_text().split()[0])
    return total / 1e9


def forget_peak() -> None:
    """Let `peak_bytes` begin anew from what is used now."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Return the most memory that this process has had at a time."""
    return _status("VmHWM")


def resident_bytes() -> int:
    """Return the memory that this process has now."""
    return _status("VmRSS")


def own_bytes() -> int:
    """Return this process's share of memory: its own, and its part of what it shares with others."""
    text = Path("/proc/self/smaps_rollup").read_text()
    return _kilobytes("Pss", text) * 1024


def _status(field: str) -> int:
    return _kilobytes(field, Path("/proc/self/status").read_text()) * 1024


def _kilobytes(field: str, text: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found[1])

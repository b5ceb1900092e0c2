"""What the figures were measured on, without anything that names the machine or its user."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from penstock.bench import peers

_PACKAGES = ("penstock", "numpy", "faster-fifo", "posix_ipc", "sysv_ipc", "pyzmq", "iceoryx2")
_MORE_PACKAGES = ("cloudtoid-interprocess", "redis", "nats-py")


def describe() -> dict[str, str]:
    """Return the facts that a reader needs, each under its label."""
    facts = {
        "processor": _processor(),
        "processors": str(len(os.sched_getaffinity(0))),
        "memory": f"{_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "load before": f"{os.getloadavg()[0]:.2f}",
    }
    facts["packages"] = ", ".join(filter(None, map(_version, (*_PACKAGES, *_MORE_PACKAGES))))
    return facts


def absent(names: list[str]) -> dict[str, str]:
    """Return which of the peers cannot be measured here, and why not."""
    reasons = {}
    for name in names:
        try:
            reason = peers.find(name).missing()
        except ImportError as error:
            reason = f"{error.name or name} is not installed"
        if reason is not None:
            reasons[name] = reason
    return reasons


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text()
    found = re.search(r"^(?:model name|Processor)\s*:\s*(.+)$", text, re.MULTILINE)
    name = found[1].strip() if found else platform.machine()
    return f"{name}, virtual" if re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE) else name


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _version(package: str) -> str | None:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return None

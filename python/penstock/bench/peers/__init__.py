"""The peers, by name, in the order of the tables. A new one is a file beside this one and a line here.

Each is imported only in the process that measures it, so that none carries what another needs.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.bench.peers._peer import Peer

_HOMES = {
    "penstock": "penstock:Penstock",
    "multiprocessing.Queue": "multiprocessing_queues:Queue",
    "multiprocessing.SimpleQueue": "multiprocessing_queues:SimpleQueue",
    "multiprocessing.Pipe": "multiprocessing_queues:Pipe",
    "queue.Queue": "thread_queue:ThreadQueue",
    "os.pipe": "os_pipe:OsPipe",
    "unix-socket": "sockets:UnixSocket",
    "tcp-socket": "sockets:TcpSocket",
    "faster-fifo": "faster_fifo:FasterFifo",
    "posix-ipc": "posix_ipc:PosixQueue",
    "sysv-ipc": "sysv_ipc:SysvQueue",
    "pyzmq": "pyzmq:Zmq",
    "iceoryx2": "iceoryx2:Iceoryx2",
    "cloudtoid": "cloudtoid:Cloudtoid",
    "lesson": "lesson:Lesson",
    "guarded-file": "guarded_file:GuardedFile",
    "redis": "redis:Redis",
    "nats": "nats:Nats",
    "python": "python:Python",
}
NAMES = tuple(_HOMES)


class UnknownPeer(ValueError):
    """No peer is called that. Remedy: `penstock bench --list` has the names."""


def select(patterns: Iterable[str]) -> list[str]:
    """Return the names that fit one of the patterns, which may have `*` and `?`, each once, in the tables' order.

    A pattern with a colon names a class of one's own, as `module:Class`.

    Raises:
        UnknownPeer: A pattern fits none.
    """
    wanted = list(patterns)
    for pattern in wanted:
        if ":" not in pattern and not any(fnmatchcase(name, pattern) for name in NAMES):
            raise UnknownPeer(f"there is no peer {pattern!r}")
    own = [pattern for pattern in wanted if ":" in pattern]
    return [name for name in NAMES if any(fnmatchcase(name, pattern) for pattern in wanted)] + own


def find(name: str) -> type[Peer]:
    """Import the adaptor of a peer."""
    home = _HOMES.get(name)
    module, _, attribute = (f"{__name__}.{home}" if home else name).partition(":")
    found: type[Peer] = getattr(import_module(module), attribute)
    return found


def is_apt(name: str, work: str) -> bool:
    """Return whether a work is one for this peer at all: Python alone has two of its own."""
    return (name == "python") == (work in ("pickling", "memcpy"))

"""The exceptions, one class per remedy: what the caller can do about it decides the class, not where it went wrong.

Imports nothing of the package, so that every other file (and the native module, which looks the classes up here by
name) may import it. `Empty` and `Full` are the standard library's own; `ShutDown` too, from Python 3.13 on.
"""

from __future__ import annotations

import errno as _errno
import sys
from queue import Empty, Full

if sys.version_info >= (3, 13):
    from queue import ShutDown
else:

    class ShutDown(Exception):
        """Say that the queue was shut down: put never works again, get only until the queue is empty.

        From Python 3.13 on this is `queue.ShutDown` itself. Remedy: stop; nothing more will come or be taken.
        """

        __module__ = "penstock"


__all__ = [
    "BadName",
    "Closed",
    "Corrupted",
    "DecodeError",
    "Empty",
    "Exists",
    "Foreign",
    "Full",
    "LeaseLost",
    "Mismatch",
    "NewerVersion",
    "NoSpace",
    "NotFound",
    "NotOwner",
    "OverRelease",
    "PenstockError",
    "Removed",
    "ShutDown",
    "SystemFailed",
    "TooLarge",
    "TooManyProcesses",
    "Unsupported",
    "Untrusted",
]


class PenstockError(Exception):
    """Serve as the base of every error here but `Empty`, `Full` and `ShutDown`, which are the standard library's."""

    __module__ = "penstock"


# ---- this program's own doing ----------------------------------------------------------------------------------------


class Closed(PenstockError, ValueError):
    """Say that this handle was closed, here or by another thread of this process. Remedy: open the name again.

    The object under the name is unchanged, and so are other handles of it.
    """

    __module__ = "penstock"


class BadName(PenstockError, ValueError):
    """Say that a name cannot be one (empty, too long, with a NUL, ...). Nothing was created. Remedy: another name."""

    __module__ = "penstock"


class Mismatch(PenstockError, ValueError):
    """Say that what exists under the name is of another kind or has other parameters than asked for.

    The message has both values. Nothing was changed. Remedy: leave the parameter out, or use another name.
    """

    __module__ = "penstock"


class NotFound(PenstockError, FileNotFoundError):
    """Say that `open` met a name that does not exist. Remedy: create it, or call without insisting on `open`."""

    __module__ = "penstock"
    errno = _errno.ENOENT


class Exists(PenstockError, FileExistsError):
    """Say that `create` met a name that is taken. What is there is unchanged. Remedy: open it, or unlink it first."""

    __module__ = "penstock"
    errno = _errno.EEXIST


class TooLarge(PenstockError, ValueError):
    """Say that an item is larger than the queue's `max_item_bytes`. The queue is unchanged. Remedy: a smaller item."""

    __module__ = "penstock"


class NotOwner(PenstockError, RuntimeError):
    """Say that this thread released a mutex that it does not hold. The mutex is unchanged. Remedy: acquire first."""

    __module__ = "penstock"


class OverRelease(PenstockError, ValueError):
    """Say that more was given back than was taken: a semaphore over its maximum, `task_done` without its `get`.

    The count is unchanged. Remedy: find the release (or `task_done`) that is one too many.
    """

    __module__ = "penstock"


class LeaseLost(PenstockError):
    """Say that a lease cannot be settled: it already is, or it belongs to the parent of this forked process.

    The queue is unchanged. Remedy: settle each lease once, in the process that took it.
    """

    __module__ = "penstock"


class DecodeError(PenstockError, ValueError):
    """Say that an item's bytes could not be turned into an object. The cause is in `__cause__`.

    The item is no longer in the queue when `get` raises this; `data` has its bytes, so nothing is lost. A leased item
    stays leased. Remedy: look at `data`; producer and consumer disagree about what an item is.

    Attributes:
        data: The item's bytes as they were in the queue.
    """

    __module__ = "penstock"
    data: bytes

    def __init__(self, message: str, data: bytes = b"") -> None:
        super().__init__(message)
        self.data = data


# ---- what lies under the name ----------------------------------------------------------------------------------------


class Removed(PenstockError):
    """Say that the name was unlinked while this handle waited: nobody new can come. Remedy: open the name again.

    Items that other handles still hold are theirs; nothing more will pass between here and programs that open later.
    """

    __module__ = "penstock"


class Corrupted(PenstockError):
    """Say that the shared bytes cannot be: truncated, overwritten, or poisoned by a repair that found the impossible.

    Every call on the object raises this from now on. Remedy: unlink the name and create it anew.
    """

    __module__ = "penstock"


class Foreign(PenstockError):
    """Say that what lies under the name is no penstock object: a symlink, a FIFO, a directory, another program's file.

    It was not touched. Remedy: another name, or remove it by hand.
    """

    __module__ = "penstock"


class NewerVersion(PenstockError):
    """Say that the object was made by a newer penstock, with a layout or kind of item that this one does not know.

    It was not touched. Remedy: bring penstock up to date here.
    """

    __module__ = "penstock"


class Untrusted(PenstockError, PermissionError):
    """Say that the object, or its directory, belongs to another user or is open to others.

    It was not touched, and nothing of it was unpickled. Remedy: make it private (mode 0600, directory 0700), or say
    `trust=True` when you know everybody who may write there.
    """

    __module__ = "penstock"
    errno = _errno.EACCES


# ---- the machine -----------------------------------------------------------------------------------------------------


class NoSpace(PenstockError, OSError):
    """Say that the file system is full (or the quota used up). Nothing changed; a failed put put nothing.

    Remedy: make room (`penstock doctor` shows it), use a smaller capacity, or another directory (`PENSTOCK_DIR`).
    """

    __module__ = "penstock"


class Unsupported(PenstockError, OSError):
    """Say that this file system or kernel lacks what is needed. Nothing was created. Remedy: another directory."""

    __module__ = "penstock"


class TooManyProcesses(PenstockError):
    """Say that as many living processes are attached as there can be. Nothing changed. Remedy: close some."""

    __module__ = "penstock"


class SystemFailed(PenstockError, OSError):
    """Say that the operating system refused a call for a reason that has no class of its own; see `errno`."""

    __module__ = "penstock"

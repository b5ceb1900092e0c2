"""Waiting for several objects at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock import _core

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeVar

    Waitable = TypeVar("Waitable", bound=_core.Queue | _core.Mutex | _core.Semaphore | _core.Event)


def wait(objects: Iterable[Waitable], timeout: float | None = None) -> list[Waitable]:
    """Wait until at least one of several objects is ready, and return those that are.

    A queue is ready when `get` would not wait (an item, or a shutdown), a mutex or semaphore when `acquire` would not,
    an event when it is set. Nothing is taken, so somebody else may be quicker: take with `get_nowait`, or with
    `acquire(block=False)`, and wait again if that fails. Like `multiprocessing.connection.wait`.

    Args:
        objects: Queues, mutexes, semaphores, events; each may stand there once or more often.
        timeout: Longest wait in seconds, at least 0. None waits for ever; 0 only looks.

    Returns:
        Those that are ready, in the order given; an empty list if none was in time.

    Raises:
        TypeError: One of the objects cannot be waited for. Nothing changed.
        ValueError: timeout is negative or NaN.
        Closed: One of the handles was closed, here or by another thread.
        Removed, Corrupted: One of the objects is gone or broken.

    If killed: nobody notices; nothing was taken.

    Example:
        >>> import penstock
        >>> with penstock.Queue(item=int) as numbers, penstock.Queue(item=str) as words:
        ...     words.put("hello")
        ...     penstock.wait([numbers, words], timeout=1.0) == [words]
        True
    """
    ready: list[Any] = _core.wait(list(objects), timeout)
    return ready

"""What the handles of all kinds share: checking parameters at the door, and travelling as a name."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from operator import index
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from penstock._errors import PenstockError

if TYPE_CHECKING:
    from collections.abc import Callable

Handle = TypeVar("Handle", bound=Any)

LIFETIMES = ("until_unlinked", "while_open")


def check_lifetime(lifetime: str | None) -> str | None:
    """Return the lifetime if it is one.

    Raises:
        ValueError: It is neither "until_unlinked" nor "while_open".
    """
    if lifetime is None or lifetime in LIFETIMES:
        return lifetime
    raise ValueError(f"lifetime is {lifetime!r}; it must be 'until_unlinked' or 'while_open'")


def check_count(what: str, value: int | None, least: int, limit: int = 2**63 - 1) -> int | None:
    """Return a parameter that counts something as an int, None as None.

    Raises:
        TypeError: The value is no integer.
        ValueError: It is outside `least` to `limit`.
    """
    if value is None:
        return None
    try:
        count = index(value)
    except TypeError:
        raise TypeError(f"{what} must be an int, not {type(value).__name__}") from None
    if least <= count <= limit:
        return count
    raise ValueError(f"{what} is {count}; it must be {least} to {limit}")


_while_open: WeakValueDictionary[int, Any] = WeakValueDictionary()  # by id: a subclass may not be hashable
"""The handles of objects that go with their last user: closed when this process ends, if nobody has by then."""

FAREWELL_SECONDS = 0.2
"""How long the end of this process may wait for daemon threads to let go of such objects."""


def attached(handle: Handle) -> Handle:
    """Take note of a new handle, and return it.

    At the end of a process Python drops most objects, which closes them, but not those that a daemon thread is using:
    such a thread just stands still. What was to go with its last user would then stay.
    """
    if handle.lifetime == "while_open":
        _while_open[id(handle)] = handle
    return handle


@atexit.register
def _close_at_exit() -> None:
    """Close what is to go with this process, and let threads that wait in it notice."""
    handles = list(_while_open.values())
    paths = [handle.path for handle in handles]  # also of those closed by now, which a thread may not have noticed
    for handle in handles:
        with contextlib.suppress(BufferError):  # bytes of a mapping are still looked at; this process ends all the same
            handle.close()
    deadline = time.monotonic() + FAREWELL_SECONDS
    while threading.active_count() > 1 and any(map(os.path.exists, paths)) and time.monotonic() < deadline:
        time.sleep(0.002)


def place(name: str, path: str) -> tuple[str, str, str | None]:
    """Return directory, name and path with which another handle finds the object that this one has.

    A file of the user's own has its path for a name; anything else is a name in a directory.
    """
    if name == path:
        return "", name, path
    return os.path.dirname(path), name, None


def reduce(handle: Any, reopen: Callable[..., Any]) -> tuple[Any, ...]:
    """Describe a handle to pickle and copy: the class, where its object is, and what a subclass has added."""
    arguments = (type(handle), *place(handle.name, handle.path), handle.trusted)
    return (reopen, arguments, handle.__getstate__())


def describe(handle: Any, facts: Callable[[], str]) -> str:
    """Return the repr of a handle: its kind, its name, and how things stand just now."""
    kind = f"penstock.{type(handle).__name__}"
    if handle.closed:
        return f"<{kind} {handle.name!r} closed>"
    try:
        return f"<{kind} {handle.name!r} {facts()}>"
    except PenstockError as err:  # a repr is for looking at what is broken, too
        return f"<{kind} {handle.name!r} {type(err).__name__}>"

"""What the handles of all kinds share: checking parameters at the door, and travelling as a name."""

from __future__ import annotations

import os
from operator import index
from typing import TYPE_CHECKING, Any

from penstock._errors import PenstockError

if TYPE_CHECKING:
    from collections.abc import Callable

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

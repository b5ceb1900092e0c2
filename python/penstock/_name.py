"""Turn what the user calls a thing into where it is: a name in the directory of names, or a file of the user's own.

Only the difference between the two is settled here; whether a name is a good one is checked once, in the core.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from penstock._errors import BadName


class Location(NamedTuple):
    """Say where an object is, in the words of the native module."""

    directory: str
    """The directory of names; empty for the default one."""

    name: str
    """What messages show; empty asks for a private object."""

    path: str | None
    """The user's own file, or None for `directory`/`name`."""


def locate(
    name: str | os.PathLike[str] | None, directory: str | os.PathLike[str] | None, *, files: bool = True
) -> Location:
    """Decide whether `name` is a name or a file's path.

    Args:
        name: A name; or a path (a str with a "/" in it, or a PathLike); or None for a private object.
        directory: The directory of names, None for the default one. Only with a name.
        files: Whether this kind of object can live in a file of the user's own.

    Raises:
        BadName: The name is empty, or is a path where only names are taken.
        TypeError: name or directory is of another type.
        ValueError: A path and a directory were both given.
    """
    where = "" if directory is None else _text(directory, "directory")
    if directory is not None:
        if not where:
            raise BadName("directory is empty; leave it out to use the default one")
        where = os.path.abspath(where)
    if name is None:
        return Location(where, "", None)
    text = _text(name, "name")
    if not text:
        raise BadName("name is empty; leave it out to make a private object")
    if isinstance(name, str) and "/" not in name and os.sep not in name:
        return Location(where, text, None)
    if not files:
        raise BadName(f"{text!r} is a path; only queues and mappings can live in a file of your own")
    if where:
        raise ValueError(f"directory is {where!r} and name is the path {text!r}; give one of them")
    path = os.path.abspath(text)
    return Location("", path, path)


def _text(value: object, what: str) -> str:
    """Return a name or path as text, or say what it must be."""
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    raise TypeError(f"{what} must be a str or a path, not {type(value).__name__}{_hint(value)}")


def _hint(value: object) -> str:
    """Point those who pass a number first, as to queue.Queue, to the keyword that they mean."""
    return "; numbers are keywords here (capacity=, value=)" if isinstance(value, int) else ""

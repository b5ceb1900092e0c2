"""The directory that queues live in, seen as a whole: what `ls`, `rm`, `stat` and `doctor` need beyond one object.

The only file of the commands that reaches past the public package.
"""

from __future__ import annotations

import os
from typing import Any

from penstock import _core


def default_directory() -> str:
    """Return the directory of names without a slash: `$PENSTOCK_DIR`, or this user's own in /dev/shm."""
    return _core.default_directory()


def path_of(name: str) -> str:
    """Return the file of a name; a name with a slash in it is a path already."""
    return name if "/" in name else os.path.join(default_directory(), name)


def listing() -> list[dict[str, Any]]:
    """Return one entry for each object in the directory, in the order of their names, attaching to none."""
    return sorted(_core.listing(default_directory()), key=lambda entry: str(entry["name"]))


def inspect(name: str) -> dict[str, Any]:
    """Return the entry of one object without attaching to it.

    Raises:
        NotFound: There is none.
    """
    return _core.inspect(path_of(name))


def remove(name: str) -> None:
    """Unlink one object without attaching to it.

    Raises:
        NotFound: There is none.
        Foreign: What is there is not penstock's; it is left alone.
    """
    _core.remove(path_of(name))


def remove_stale() -> list[str]:
    """Unlink what dead processes left behind and nobody can use any more; return the names."""
    return _core.remove_stale(default_directory())


def doctor() -> dict[str, Any]:
    """Return the facts about the machine that `penstock doctor` judges."""
    return _core.doctor(default_directory())

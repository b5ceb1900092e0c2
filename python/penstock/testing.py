"""What tests of programs that share queues need: unique names, real processes to steer, and a check for leftovers.

Nothing here sleeps to let things settle: every wait is for a condition, and has a deadline.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from typing import TYPE_CHECKING

from penstock._child import DEADLINE_SECONDS, Child, ChildFailed, receive, send, spawn, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "unique_name",
    "temporary_directory",
    "no_leftovers",
    "wait_until",
    "spawn",
    "Child",
    "ChildFailed",
    "send",
    "receive",
    "DEADLINE_SECONDS",
]


def unique_name(prefix: str = "test") -> str:
    """Make up a name that nothing else has, in any process.

    Args:
        prefix: What the name begins with, to be recognised by.

    Example:
        >>> from penstock.testing import unique_name
        >>> unique_name("jobs") != unique_name("jobs")
        True
    """
    return f"{prefix}-{os.getpid()}-{secrets.token_hex(4)}"


# Where queues can lie and nothing else is disturbed.
_SHARED = tempfile.gettempdir() if os.name == "nt" else "/dev/shm"


@contextlib.contextmanager
def temporary_directory(parent: str = _SHARED) -> Iterator[str]:
    """Make a private directory of names for the block, for this process and the children that it starts in it.

    `PENSTOCK_DIR` points there meanwhile. At the end the directory is removed with all that is left in it; wrap
    `no_leftovers` around what must leave nothing.

    Args:
        parent: Where to make it: a directory on a file system that can hold queues.

    Returns:
        A context manager whose block has the directory's path.

    Example:
        >>> import penstock
        >>> from penstock.testing import temporary_directory
        >>> with temporary_directory() as directory, penstock.Queue("jobs") as q:
        ...     q.path.startswith(directory)
        True
    """
    before = os.environ.get("PENSTOCK_DIR")
    prefix = f"penstock-test-{os.getpid()}-"
    is_windows = os.name == "nt"  # what is still mapped cannot go yet there
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=is_windows) as directory:
        os.environ["PENSTOCK_DIR"] = directory
        try:
            yield directory
        finally:
            if before is None:
                del os.environ["PENSTOCK_DIR"]
            else:
                os.environ["PENSTOCK_DIR"] = before


@contextlib.contextmanager
def no_leftovers(directory: str | os.PathLike[str], timeout: float = 5.0) -> Iterator[None]:
    """Check that the block leaves a directory of names as it found it.

    What goes with its last user may still be going when the block ends, so this waits a little before it complains.

    Args:
        directory: The directory to watch.
        timeout: How long leftovers have to disappear, in seconds.

    Raises:
        AssertionError: Something is there that was not before, or the other way round. The message has the names.

    Example:
        >>> import penstock
        >>> from penstock.testing import no_leftovers, temporary_directory
        >>> with temporary_directory() as directory, no_leftovers(directory):
        ...     with penstock.Queue("jobs") as q:
        ...         q.unlink()
    """
    before = _entries(directory)
    yield
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: _entries(directory) == before, timeout, "the directory to be as before")
    after = _entries(directory)
    if after != before:
        new, gone = sorted(after - before), sorted(before - after)
        raise AssertionError(f"{os.fspath(directory)} is not as before: left behind {new}, gone {gone}")


def _entries(directory: str | os.PathLike[str]) -> set[str]:
    """Return what is there; on Windows without what was removed and waits, hidden, for its last map to go."""
    entries = set(os.listdir(directory))
    return {entry for entry in entries if not entry.startswith(".unfinished-")} if os.name == "nt" else entries

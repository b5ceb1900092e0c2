"""A file system that is too small for its queue, and full most of the time."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

SMALL_BYTES = 12 << 20
"""Its size."""


class Filler:
    """A file that takes all the room of a small file system, and gives it back."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def change(self, chance: random.Random) -> None:
        """Take all the room that there is, or now and then give it back."""
        if chance.random() < 0.3:
            self.make_room()
            return
        facts = os.fstatvfs(self._file)
        size = os.fstat(self._file).st_size
        with contextlib.suppress(OSError):  # somebody was quicker
            os.posix_fallocate(self._file, size, max(1, facts.f_bavail * facts.f_frsize))

    def make_room(self) -> None:
        """Give the room back."""
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        os.close(self._file)


class CannotMount(Exception):
    """Say why there can be no file system that is too small."""


@contextlib.contextmanager
def small_file_system(at: Path) -> Iterator[None]:
    """Mount one for the block."""
    at.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES},mode=0700", "none", str(at)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise CannotMount(done.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)

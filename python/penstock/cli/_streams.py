"""Standard input by the line and standard output by the item, on the bare file descriptors.

Bare, because Python's own buffers would hide what matters here: input must be handed on as soon as it is there and
take bounded memory however long a line is; output must be known to be written before an item counts as delivered.
"""

from __future__ import annotations

import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from penstock.cli._stop import Stop, Stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

STDIN, STDOUT, STDERR = 0, 1, 2

_READ_BYTES = 1 << 16

# A pipe that polls writable takes this much without blocking, and whole (PIPE_BUF; POSIX grants 512, Linux 4096).
_ATOMIC_BYTES = 4096


def open_missing_descriptors() -> None:
    """Occupy descriptors 0 to 2 where they are closed, each in the direction in which nobody uses it.

    Otherwise the next file opened gets such a number: a queue's memory would be taken for standard output. As it is,
    reading or writing them fails with "Bad file descriptor", which is the truth.
    """
    for fd in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if fd == STDIN else os.O_RDONLY)  # the lowest free number is fd


def is_terminal(fd: int) -> bool:
    """Return whether a descriptor is a terminal, where a person reads or types."""
    return os.isatty(fd)


def say(message: str) -> None:
    """Write one line for a person to standard error. If nobody can read it there, nobody is told."""
    write_stderr(f"penstock: {message}\n")


def write_stderr(text: str) -> None:
    """Write text to standard error as it is, without a newline of its own: a prompt, a progress line."""
    with suppress(OSError):  # there is no better place to say that this place is gone
        os.write(STDERR, text.encode("utf-8", "backslashreplace"))


class LongLine(bytes):
    """The beginning of a line that was longer than the reader keeps. The rest is gone; `total_bytes` counts it all."""

    total_bytes: int


class LineReader:
    """Read lines from a descriptor as they arrive, in bounded memory.

    Args:
        stop: What ends the wait for input.
        limit_bytes: How much is kept of a line that spans reads; what is longer comes as a `LongLine`.
        fd: The descriptor to read.
    """

    def __init__(self, stop: Stop, limit_bytes: int, fd: int = STDIN) -> None:
        self._stop = stop
        self._limit_bytes = limit_bytes
        self._fd = fd
        self._begun = bytearray()
        self._begun_total_bytes = 0
        self._is_at_end = False

    def read(self) -> list[bytes]:
        """Return the lines that have arrived (without their newlines), waiting for at least one; none at the end.

        Raises:
            Stopped: A signal came first. Nothing is consumed that an earlier call has not returned.
            OSError: The descriptor cannot be read.
        """
        while not self._is_at_end:
            chunk = self._read_chunk()
            if not chunk:
                self._is_at_end = True
                return [self._finish(b"")] if self._begun_total_bytes else []
            lines = chunk.split(b"\n")
            rest = lines.pop()
            if lines:
                lines[0] = self._finish(lines[0])
            self._begin(rest)
            if lines:
                return lines
        return []

    def _read_chunk(self) -> bytes:
        while True:
            self._stop.wait(readable=[self._fd])
            try:
                return os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                continue  # a descriptor that someone made non-blocking, and another reader was first
            except OSError as error:
                error.filename = "standard input"
                raise

    def _begin(self, piece: bytes) -> None:
        room_bytes = self._limit_bytes - len(self._begun)
        self._begun += piece[: max(0, room_bytes)]
        self._begun_total_bytes += len(piece)

    def _finish(self, piece: bytes) -> bytes:
        if not self._begun_total_bytes:
            return piece
        self._begin(piece)
        line, total_bytes = bytes(self._begun), self._begun_total_bytes
        self._begun.clear()
        self._begun_total_bytes = 0
        if len(line) == total_bytes:
            return line
        long = LongLine(line)
        long.total_bytes = total_bytes
        return long


class Output:
    """Write items to a descriptor such that each is known to be written, or known not to be.

    Args:
        stop: What ends the wait for a reader that is slow.
        fd: The descriptor to write.
    """

    def __init__(self, stop: Stop, fd: int = STDOUT) -> None:
        self._stop = stop
        self._fd = fd

    def write(self, data: bytes) -> None:
        """Write all of `data` (whole lines, best from `portions`).

        Raises:
            Stopped: A signal came and the reader is slow (or nothing was written yet). Up to 4096 bytes go whole or
                not at all.
            OSError: It cannot be written: no reader any more (`BrokenPipeError`), a full disk.
        """
        view = memoryview(data)
        while view:
            # Wait first and write what fits for sure: no signal can then arrive inside a write that blocks, and leave
            # open whether it was written.
            try:
                self._stop.wait(writable=[self._fd])
            except Stopped:
                # What is begun is rather finished, if the reader lets us.
                if len(view) == len(data) or not _is_writable(self._fd):
                    raise
            try:
                view = view[os.write(self._fd, view[:_ATOMIC_BYTES]) :]
            except BlockingIOError:
                continue
            except OSError as error:
                error.filename = "standard output"
                raise


def _is_writable(fd: int) -> bool:
    if sys.platform == "win32":
        return True  # it cannot be asked
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return bool(poller.poll(0))


def portions(lines: Sequence[bytes]) -> list[tuple[int, int]]:
    """Return ranges (start, end) of lines that `Output.write` takes whole: up to 4096 bytes, or one longer line."""
    ranges = []
    start = size_bytes = 0
    for index, line in enumerate(lines):
        if index > start and size_bytes + len(line) > _ATOMIC_BYTES:
            ranges.append((start, index))
            start, size_bytes = index, 0
        size_bytes += len(line)
    if start < len(lines):
        ranges.append((start, len(lines)))
    return ranges


def ask(stop: Stop, question: str) -> bool:
    """Ask a yes-or-no question on the terminal; anything but y or yes (also the end of input) is a no.

    Raises:
        Stopped: Ctrl-C, or another signal, instead of an answer.
    """
    write_stderr(f"{question} [y/N] ")
    lines = LineReader(stop, limit_bytes=64).read()
    if not lines:
        write_stderr("\n")
        return False
    return lines[0].strip().lower() in (b"y", b"yes")

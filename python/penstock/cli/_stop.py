"""Ctrl-C, SIGTERM and SIGHUP end a command at a moment of the command's choosing, so that they cost nobody an item.

A handler that raises wherever it strikes could strike between taking an item and printing it. So the handler only
notes the signal. It is acted upon where a command waits and holds nothing that would be lost:

- in `Stop.wait`, which sleeps on file descriptors (and on a pipe that the signal itself writes to, so that none is
  missed between the last look and the sleep);
- inside `with stop.allowed():`, where the handler does raise. Only waits that take nothing belong in there.
"""

from __future__ import annotations

import math
import os
import select
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))

# Where descriptors cannot be waited for together, sleeps are cut into pieces of this length to see a signal in time.
_SLICE_SECONDS = 0.05

# poll() takes a C int of milliseconds; a consumer may be told to sleep for 49 days.
_LONGEST_POLL_SECONDS = 3600.0


class Stopped(BaseException):
    """Say that a signal asked this command to end. Not an `Exception`: nobody but `main` should catch it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


class Stop:
    """The wish that this process end, as its signals tell it. There is one per process, for its whole life."""

    def __init__(self) -> None:
        self._signum: int | None = None
        self._may_raise = False
        if sys.platform != "win32":
            self._wake_fd, signal_fd = os.pipe()
            os.set_blocking(self._wake_fd, False)
            os.set_blocking(signal_fd, False)
            signal.set_wakeup_fd(signal_fd, warn_on_full_buffer=False)
        for signum in SIGNALS:
            # Ignored on arrival (nohup, a background job of a script) stays ignored.
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._note)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        if self._signum is None:
            self._signum = signum
        if self._may_raise:
            self._may_raise = False  # once: what unwinds now must not be interrupted again
            raise Stopped(self._signum)

    def check(self) -> None:
        """Raise `Stopped` if a signal has come."""
        if self._signum is not None:
            raise Stopped(self._signum)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let a signal raise `Stopped` anywhere in the block. For waits that take nothing."""
        self._may_raise = True
        try:
            self.check()  # what came before the line above; what comes after it raises by itself
            yield
        finally:
            self._may_raise = False

    def wait(
        self, seconds: float | None = None, *, readable: Collection[int] = (), writable: Collection[int] = ()
    ) -> set[int]:
        """Wait until a file descriptor is ready or the time is over.

        Args:
            seconds: Longest wait; None waits for ever, 0 only looks.
            readable: Descriptors to wait for until reading one would not block.
            writable: Descriptors to wait for until writing a little to one would not block.

        Returns:
            The descriptors that are ready; none if the time is over.

        Raises:
            Stopped: A signal came, whether or not a descriptor is ready too.
        """
        if sys.platform == "win32":
            return self._wait_in_slices(seconds, {*readable, *writable})
        poller = select.poll()
        poller.register(self._wake_fd, select.POLLIN)
        for fd in readable:
            poller.register(fd, select.POLLIN)
        for fd in writable:
            poller.register(fd, select.POLLOUT)
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left_seconds = _LONGEST_POLL_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
            ready = {fd for fd, _ in poller.poll(math.ceil(1000 * min(left_seconds, _LONGEST_POLL_SECONDS)))}
            self.check()
            if ready - {self._wake_fd}:
                return ready - {self._wake_fd}
            if self._wake_fd in ready:
                os.read(self._wake_fd, 512)  # a signal that some other handler took
            if deadline is not None and time.monotonic() >= deadline:
                return set()

    def _wait_in_slices(self, seconds: float | None, descriptors: set[int]) -> set[int]:
        """Wait where only sockets can be waited for: every descriptor counts as ready, and reading it may block."""
        self.check()
        if descriptors:
            return descriptors
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while (left_seconds := deadline - time.monotonic()) > 0:
            time.sleep(min(left_seconds, _SLICE_SECONDS))
            self.check()
        return set()

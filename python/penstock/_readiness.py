"""Waiting in an event loop for something that only a thread can wait for.

A helper thread waits for readiness and takes nothing; the tasks take, in the loop, by calls that never wait. The thread
is a daemon, waits in bounded slices, and is there only while somebody waits and a second longer.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE_SECONDS = 1.0
"""Longest single wait of a helper thread, after which it looks whether anybody still wants the answer."""

IDLE_SECONDS = 1.0
"""How long a helper thread stays when it has nothing to do, before it ends."""

FREE_MISSES = 3
"""How often in a row others may be quicker before the helper pauses, so that a losing race is not a busy loop."""

MOST_PAUSE_SECONDS = 0.05
"""Longest such pause."""


class Readiness:
    """Let tasks of one event loop wait their turn to try, with one helper thread for all of them.

    Everything here runs in the event loop's thread. While `_waiters` has anybody, either the helper has been asked, or
    a task that was woken has yet to act, and then wakes the next or asks again. So nobody is forgotten.
    """

    def __init__(self, wait: Callable[[float], bool], name: str) -> None:
        self._wait = wait
        self._name = name
        self._waiters: deque[asyncio.Future[bool]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = 0
        self._helper: _Helper | None = None
        self._asked = False
        self._misses = 0

    async def take(self, attempt: Callable[[], Any], not_now: type[Exception], timeout: float | None) -> Any:
        """Call `attempt` until it does not raise `not_now` or the time is up, and wait in between.

        `attempt` never waits, and nothing is awaited between its success and the return: a cancellation comes before
        it, and nothing was taken, or after it, and the caller has the result.
        """
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout is {timeout}; it must be a number of seconds, at least 0, or None")
        try:
            return attempt()
        except not_now:
            if timeout == 0:
                raise
        loop = self._bind_loop()
        deadline = None if timeout is None else loop.time() + timeout
        place = len(self._waiters)
        while True:
            in_time = await self._turn(loop, deadline, place)
            try:
                result = attempt()
            except not_now:
                if not in_time:
                    raise
                place = 0  # somebody was quicker; that does not cost the place in the line
                self._misses += 1
            except BaseException:
                self._wake_next()
                raise
            else:
                self._misses = 0
                self._wake_next()
                return result

    async def _turn(self, loop: asyncio.AbstractEventLoop, deadline: float | None, place: int) -> bool:
        """Wait until it is this task's turn to try (True), or the time is up (False)."""
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiters.insert(place, turn)
        alarm = None if deadline is None else loop.call_at(deadline, self._settle, turn, False)
        self._ask()
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._wake_next()  # this task was woken as well, and will not act
            raise
        finally:
            if turn in self._waiters:
                self._waiters.remove(turn)
            if alarm is not None:
                alarm.cancel()

    def _bind_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop. Another one than before is fine, if nobody waits in that any more."""
        loop = asyncio.get_running_loop()
        if self._loop is loop and self._process == os.getpid():
            return loop
        if self._process == os.getpid() and self._waiters and self._loop is not None and not self._loop.is_closed():
            raise RuntimeError("tasks of another event loop wait on this penstock.aio.Queue; make one for each loop")
        self._waiters.clear()
        self._loop, self._process, self._asked = loop, os.getpid(), False
        return loop

    def _ask(self) -> None:
        """Have the helper say when it is time to try, unless it has been asked already."""
        if self._asked or self._loop is None:
            return
        self._asked = True
        pause = min(MOST_PAUSE_SECONDS, 0.001 * self._misses) if self._misses > FREE_MISSES else 0.0
        if self._helper is None or not self._helper.ask(self._loop, pause):
            self._helper = _Helper(self._wait, self._waiters, self._answer, self._name)
            self._helper.ask(self._loop, pause)

    def _answer(self, loop: asyncio.AbstractEventLoop, error: BaseException | None) -> None:
        """Take the helper's answer: it is time to try, or there will never be one."""
        if loop is not self._loop:
            return
        self._asked = False
        if error is None:
            self._wake_next()
            return
        while self._waiters:
            turn = self._waiters.popleft()
            if not turn.done():
                turn.set_exception(error)

    def _wake_next(self) -> None:
        """Let the task that has waited longest try."""
        while self._waiters:
            turn = self._waiters.popleft()
            if not turn.done():
                turn.set_result(True)
                return

    @staticmethod
    def _settle(turn: asyncio.Future[bool], in_time: bool) -> None:
        """Wake a task, unless something else did."""
        if not turn.done():
            turn.set_result(in_time)


class _Helper:
    """A thread that waits for readiness, in slices, for as long as somebody wants to know. It never takes anything."""

    def __init__(
        self,
        wait: Callable[[float], bool],
        waiters: deque[asyncio.Future[bool]],
        answer: Callable[[asyncio.AbstractEventLoop, BaseException | None], None],
        name: str,
    ) -> None:
        self._wait = wait
        self._waiters = waiters
        self._answer = answer
        self._changed = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None  # that asked; None: nobody has. Guarded by _changed.
        self._pause = 0.0
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def ask(self, loop: asyncio.AbstractEventLoop, pause: float) -> bool:
        """Ask for one answer in `loop`, looked for after a pause; False if this helper is no more."""
        if not self._thread.is_alive():
            return False
        with self._changed:
            if self._ended:
                return False
            self._loop, self._pause = loop, pause
            self._changed.notify()
            return True

    def _run(self) -> None:
        """Answer what is asked, until nothing has been for a while."""
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._loop is not None, IDLE_SECONDS):
                    self._ended = True
                    return
                pause = self._pause
            if pause:
                time.sleep(pause)
            error = self._wait_until_ready()
            with self._changed:
                loop, self._loop = self._loop, None
            try:
                if loop is not None:
                    loop.call_soon_threadsafe(self._answer, loop, error)
            except RuntimeError:  # the loop was closed: nobody waits in it
                continue

    def _wait_until_ready(self) -> BaseException | None:
        """Wait until it is time to try or nobody wants to any more; return what went wrong, if something did.

        Whether anybody wants to is only a guess from this thread. Guessing wrong costs one try too many.
        """
        try:
            while not self._wait(SLICE_SECONDS):
                if not self._waiters:
                    return None
        except Exception as err:  # noqa: BLE001 - handed to those who wait
            return err
        return None

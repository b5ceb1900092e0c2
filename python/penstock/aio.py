"""The queue for asyncio: the same queue, the same items, with verbs to await.

A helper thread waits until there is something to get, or room to put, and does nothing else; the item itself is taken
in the event loop, by a call that never waits. So an await that is cancelled has taken nothing, and no item can be lost
between a thread and the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

import penstock
from penstock import Empty, Full, NoSpace, ShutDown
from penstock._readiness import Readiness

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Generator, Iterable
    from types import TracebackType
    from typing import Self, TypedDict, Unpack

    from penstock._item import ItemKind

    class _Options(TypedDict, total=False):
        capacity: int | None
        item: ItemKind | None
        max_item_bytes: int | None
        max_deliveries: int | None
        dead_letters: int | None
        lifetime: str | None
        trust: bool
        directory: str | os.PathLike[str] | None


__all__ = ["Queue"]


class Queue:
    """Put and get items with `await`; a face of a `penstock.Queue`, whose other users see no difference.

    The verbs are those of `asyncio.Queue`, with the timeouts and the other verbs of `penstock.Queue`. Use it in one
    event loop at a time. Cancelling an await never loses an item: it was taken and returned, or was not taken.

    Args:
        queue: An open `penstock.Queue`; or a name, path or None, with which one is opened or created.
        options: With a name: what `penstock.Queue` takes (`capacity=`, `item=`, ...).

    Raises:
        TypeError: Options were given with a queue that is open already.
        PenstockError: As for `penstock.Queue`.

    If killed: as for `penstock.Queue`.

    Example:
        >>> import asyncio, penstock.aio
        >>> async def main():
        ...     async with penstock.aio.Queue(capacity=2) as q:
        ...         await q.put("hello")
        ...         return await q.get(timeout=1.0)
        >>> asyncio.run(main())
        'hello'
    """

    def __init__(
        self, queue: penstock.Queue | str | os.PathLike[str] | None = None, **options: Unpack[_Options]
    ) -> None:
        if isinstance(queue, penstock.Queue):
            if options:
                raise TypeError(f"queue '{queue.name}' is open already; {', '.join(options)} cannot be given again")
            self._queue = queue
        else:
            self._queue = penstock.Queue(queue, **options)
        self._items = Readiness(self._queue.wait_get, f"penstock-get-{self._queue.name}")
        self._room = Readiness(self._queue.wait_put, f"penstock-put-{self._queue.name}")
        self._done = Readiness(self._queue.join, f"penstock-join-{self._queue.name}")

    # ---- one item ----------------------------------------------------------------------------------------------------

    async def put(self, item: Any, timeout: float | None = None) -> None:
        """Append an item, waiting for room while the queue is full.

        Args:
            item: What to put; of the queue's kind.
            timeout: Longest wait in seconds, at least 0. None waits for ever; 0 does not wait.

        Raises:
            Full: No room came free in time. The queue is unchanged.
            asyncio.CancelledError: The task was cancelled while it waited. The queue is unchanged.
            ShutDown, TooLarge, NoSpace, Closed, Removed, Corrupted, TypeError, ValueError: As for
                `penstock.Queue.put`. The queue is unchanged.

        If killed: the item is either in the queue whole or not there at all.
        """
        await self._room.take(lambda: self._queue.put_nowait(item), Full, timeout)

    async def get(self, timeout: float | None = None) -> Any:
        """Remove and return the oldest item, waiting for one if the queue is empty.

        Args:
            timeout: Longest wait in seconds, at least 0. None waits for ever; 0 does not wait.

        Raises:
            Empty: No item arrived in time. The queue is unchanged.
            asyncio.CancelledError: The task was cancelled while it waited. The queue is unchanged.
            ShutDown, DecodeError, Closed, Removed, Corrupted, ValueError: As for `penstock.Queue.get`.

        If killed: the item is either still queued or gone whole.
        """
        return await self._items.take(self._queue.get_nowait, Empty, timeout)

    def put_nowait(self, item: Any) -> None:
        """Append an item if there is room now; see `penstock.Queue.put_nowait`."""
        self._queue.put_nowait(item)

    def get_nowait(self) -> Any:
        """Remove and return the oldest item if there is one now; see `penstock.Queue.get_nowait`."""
        return self._queue.get_nowait()

    # ---- many items --------------------------------------------------------------------------------------------------

    async def put_many(self, items: Iterable[Any], timeout: float | None = None) -> int:
        """Append items in their order, all of them or as many as fit before the timeout, and return how many.

        Args:
            items: What to put, each of the queue's kind; in a queue of numbers also an array of them.
            timeout: Longest wait in seconds, at least 0, for all together. None waits for ever; 0 puts what fits now.

        Returns:
            How many were put: the first so many of `items`.

        Raises:
            asyncio.CancelledError: The task was cancelled while it waited. The first of the items may have been put;
                where it matters how many, use a timeout.
            ShutDown, TooLarge, NoSpace, Closed, Removed, Corrupted, TypeError, ValueError: As for
                `penstock.Queue.put_many`.

        If killed: the first so many of the items are in the queue, each whole.
        """
        rest: Any = items if isinstance(items, (list, tuple)) or hasattr(items, "itemsize") else list(items)
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        count = self._queue.put_many(rest, 0)  # the whole at once: an item that cannot be put is found before any is
        while count < len(rest):
            try:
                left = None if deadline is None else max(0.0, deadline - loop.time())
                count += await self._room.take(partial(self._put_some, rest, count), Full, left)
            except Full:
                break
            except (ShutDown, NoSpace):
                if count == 0:
                    raise
                break
        return count

    def _put_some(self, items: Any, start: int) -> int:
        """Put as many items as there is room for, from `start` on; not more are serialised than may fit."""
        room = max(1, self._queue.capacity - self._queue.qsize())
        count = self._queue.put_many(items[start : start + room], 0)
        if count == 0:
            raise Full
        return count

    async def get_many(self, n: int, timeout: float | None = None) -> list[Any]:
        """Remove and return up to `n` items, waiting for the first and then taking what is there.

        Args:
            n: Most items to take, at least 1.
            timeout: Longest wait for the first item in seconds, at least 0. None waits for ever; 0 does not wait.

        Returns:
            A list of 1 to `n` items, oldest first.

        Raises:
            Empty: No item arrived in time. The queue is unchanged.
            asyncio.CancelledError: The task was cancelled while it waited. The queue is unchanged.
            ShutDown, DecodeError, Closed, Removed, Corrupted, ValueError: As for `penstock.Queue.get_many`.

        If killed: each item is either still queued or gone whole.
        """
        items: list[Any] = await self._items.take(lambda: self._queue.get_many(n, 0), Empty, timeout)
        return items

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Get items one after the other, waiting for each, until the queue is shut down and empty."""
        while True:
            try:
                item = await self.get()
            except ShutDown:
                return
            yield item

    # ---- lease -------------------------------------------------------------------------------------------------------

    def lease(self, timeout: float | None = None) -> _Leasing:
        """Take the oldest item on loan, waiting for one if the queue is empty.

        For `async with q.lease() as lease`, which acknowledges the item at the end of the block and gives it back on
        an error or a cancellation; or for `lease = await q.lease()`, and `lease.ack()` or `lease.give_back()` later.

        Args:
            timeout: Longest wait in seconds, at least 0. None waits for ever; 0 does not wait.

        Raises:
            Empty: No item arrived in time. The queue is unchanged.
            asyncio.CancelledError: The task was cancelled while it waited. The queue is unchanged.
            ShutDown, Closed, Removed, Corrupted, ValueError: As for `penstock.Queue.lease`.

        If killed: the item is delivered again, before newer ones.
        """
        return _Leasing(self._lease(timeout))

    async def _lease(self, timeout: float | None) -> penstock.Lease:
        """Do the work of `lease`. A lease that nobody takes from here is dropped, and so given back."""
        lease: penstock.Lease = await self._items.take(lambda: self._queue.lease(0), Empty, timeout)
        return lease

    # ---- the rest ----------------------------------------------------------------------------------------------------

    async def join(self, timeout: float | None = None) -> bool:
        """Wait until every item that was put has been got and its `task_done` called.

        Args:
            timeout: Longest wait in seconds, at least 0. None waits for ever; 0 only looks.

        Returns:
            True when all is done, False if the time ran out first.

        Raises:
            asyncio.CancelledError: The task was cancelled while it waited. Nothing changed.
            Closed, Removed, Corrupted, ValueError: As for `penstock.Queue.join`.

        If killed: peers see nothing of it.
        """

        def look() -> None:
            if not self._queue.join(0):
                raise Empty

        try:
            await self._done.take(look, Empty, timeout)
        except Empty:
            return False
        return True

    def task_done(self) -> None:
        """Say that the work on one item that was got is done; see `penstock.Queue.task_done`."""
        self._queue.task_done()

    def qsize(self) -> int:
        """Count the waiting items; the answer may be old when it arrives."""
        return self._queue.qsize()

    def empty(self) -> bool:
        """Tell whether no item is waiting; the answer may be old when it arrives."""
        return self._queue.empty()

    def full(self) -> bool:
        """Tell whether a put would have to wait; the answer may be old when it arrives."""
        return self._queue.full()

    def shutdown(self, immediate: bool = False) -> None:
        """Shut the queue down for everybody; see `penstock.Queue.shutdown`."""
        self._queue.shutdown(immediate)

    def close(self) -> None:
        """Close the handle; awaits on it raise `Closed`. The queue itself is unchanged; see `penstock.Queue.close`."""
        self._queue.close()

    @property
    def queue(self) -> penstock.Queue:
        """The queue itself, for everything that never waits."""
        return self._queue

    @property
    def maxsize(self) -> int:
        """Most items waiting, being written or leased at a time."""
        return self._queue.maxsize

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<penstock.aio.Queue of {self._queue!r}>"


class _Leasing(Coroutine[Any, Any, penstock.Lease]):
    """A lease to come: a coroutine, which may also be entered with `async with`."""

    def __init__(self, coming: Coroutine[Any, Any, penstock.Lease]) -> None:
        self._coming = coming
        self._lease: penstock.Lease | None = None

    def send(self, value: Any) -> Any:
        """Go on with the waiting, as every coroutine does."""
        return self._coming.send(value)

    def throw(self, *error: Any) -> Any:
        """Raise in the waiting, as in every coroutine."""
        return self._coming.throw(*error)

    def close(self) -> None:
        """Give up waiting, as every coroutine does."""
        self._coming.close()

    def __await__(self) -> Generator[Any, Any, penstock.Lease]:
        return self._coming.__await__()

    async def __aenter__(self) -> penstock.Lease:
        self._lease = await self._coming
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.__exit__(kind, error, traceback)

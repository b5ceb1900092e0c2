"""The queue. The verbs that move items are the native class's own: a wrapper in Python would cost more than they do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from penstock import _arrays, _codec, _core, _handle
from penstock._errors import Empty, ShutDown
from penstock._item import normalise
from penstock._name import locate

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    import numpy as np
    from numpy.typing import DTypeLike

    from penstock._item import ItemKind

MOST_ITEMS = 2**31 - 1


class Queue(_core.Queue):
    """Pass items between processes and threads, first in first out, through shared memory under a name.

    The verbs, their parameters and exceptions are those of `queue.Queue`; `close`, `join_thread` and
    `cancel_join_thread` are those of `multiprocessing.Queue`. Differences, all deliberate: an item that cannot be
    serialised raises in `put`; `qsize` is exact on every system; a queue always has a capacity.

    A handle may be used by any number of threads at once, and after a fork by parent and child. It pickles as a name:
    the other process opens the queue anew. `copy.copy` and `copy.deepcopy` make a second handle of the same queue.

    Args:
        name: A name in `directory`; or the path of a file to live in (a str with a "/" in it, or a PathLike), which
            survives a restart of the machine. None makes a private queue, which others reach by a pickle or by fork
            and which is gone when its last user is.
        capacity: Most items waiting, being written or leased at a time, at least 1. None: what the existing queue
            has; 10 when creating.
        item: What an item is: "u1" to "u8", "i1" to "i8", "f4", "f8", "?" or int, float, bool; bytes; str; object
            (anything that pickles); "json"; "msgpack" (with msgspec); a NumPy dtype. None: what the existing queue
            has; object when creating.
        max_item_bytes: Size of the largest item in bytes. Memory is used only for what is put. None: what the
            existing queue has; 1 MiB when creating. Not for numbers and dtypes, which know their size.
        max_deliveries: How often an item is delivered at most: a consumer that dies with an item, or gives it back,
            has had it delivered. One that would be delivered once more becomes a dead letter instead. None: what the
            existing queue has; no limit when creating.
        dead_letters: How many dead letters have room of their own. When there are more, they take room from the
            waiting items; none is dropped. None: what the existing queue has; as many as `capacity` when creating
            with `max_deliveries`.
        lifetime: "until_unlinked": the queue stays until it is unlinked or the machine restarts, whoever is attached;
            "while_open": it goes with the last process that has it open. None: what the existing queue has;
            "until_unlinked" when creating under a name, "while_open" for a private queue.
        trust: Whether to use a queue of another user, or one that others may write. Items of such a queue are
            unpickled: who can write it can run code here.
        directory: The directory of names. None: `$PENSTOCK_DIR`, else a private directory of this user in /dev/shm.

    Raises:
        Mismatch: The queue exists with another value of a parameter that was given, or is no queue. Nothing changed.
        BadName: The name cannot be one. Nothing was created.
        Untrusted: Queue or directory belongs to another user or is open to others, and `trust` is False.
        Foreign, NewerVersion, Corrupted: What is there is no queue, a newer one, or broken. It was not touched.
        NoSpace: There is no room for a queue like this. Nothing was created.
        Unsupported: The directory's file system cannot hold a queue. Nothing was created.
        TooManyProcesses: 1022 living processes are attached.
        ValueError, TypeError: A parameter is out of its range, or of a type that it cannot have.

    If killed: a queue being created is not there at all, or complete. A handle of a dead process is found by the
    others, who take back what it held: what it was writing is dropped, what it had leased is delivered again.

    Example:
        >>> import penstock
        >>> with penstock.Queue("example", capacity=3, item="u4") as q:
        ...     q.put_many([250, 40, 0])
        ...     [q.get() for _ in range(3)]
        ...     q.unlink()
        3
        [250, 40, 0]
    """

    __module__ = "penstock"
    __slots__ = ("__weakref__",)

    def __new__(
        cls,
        name: str | os.PathLike[str] | None = None,
        *,
        capacity: int | None = None,
        item: ItemKind | None = None,
        max_item_bytes: int | None = None,
        max_deliveries: int | None = None,
        dead_letters: int | None = None,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open the queue, or create it if there is none under the name."""
        how = "create" if name is None else "open_or_create"
        limits = (max_item_bytes, max_deliveries, dead_letters)
        return cls._attach(how, name, directory, capacity, item, limits, lifetime, trust)

    @classmethod
    def create(
        cls,
        name: str | os.PathLike[str],
        *,
        capacity: int | None = None,
        item: ItemKind | None = None,
        max_item_bytes: int | None = None,
        max_deliveries: int | None = None,
        dead_letters: int | None = None,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Create a queue, and insist that it is new.

        Args:
            name: As for `Queue`; so are the other parameters.
            capacity: See `Queue`.
            item: See `Queue`.
            max_item_bytes: See `Queue`.
            max_deliveries: See `Queue`.
            dead_letters: See `Queue`.
            lifetime: See `Queue`.
            trust: See `Queue`.
            directory: See `Queue`.

        Raises:
            Exists: The name is taken. What is there is unchanged.
            PenstockError: As for `Queue`.

        If killed: the queue is not there at all, or complete.
        """
        limits = (max_item_bytes, max_deliveries, dead_letters)
        return cls._attach("create", name, directory, capacity, item, limits, lifetime, trust)

    @classmethod
    def open(
        cls,
        name: str | os.PathLike[str],
        *,
        capacity: int | None = None,
        item: ItemKind | None = None,
        max_item_bytes: int | None = None,
        max_deliveries: int | None = None,
        dead_letters: int | None = None,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open a queue, and insist that it is there.

        Args:
            name: As for `Queue`; so are the other parameters, which are compared with what is there if given.
            capacity: See `Queue`.
            item: See `Queue`.
            max_item_bytes: See `Queue`.
            max_deliveries: See `Queue`.
            dead_letters: See `Queue`.
            lifetime: See `Queue`.
            trust: See `Queue`.
            directory: See `Queue`.

        Raises:
            NotFound: There is nothing under the name. Nothing was created.
            PenstockError: As for `Queue`.

        If killed: peers see nothing of it.
        """
        limits = (max_item_bytes, max_deliveries, dead_letters)
        return cls._attach("open", name, directory, capacity, item, limits, lifetime, trust)

    @classmethod
    def _attach(
        cls,
        how: str,
        name: str | os.PathLike[str] | None,
        directory: str | os.PathLike[str] | None,
        capacity: int | None,
        item: ItemKind | None,
        limits: tuple[int | None, int | None, int | None],
        lifetime: str | None,
        trust: bool,
    ) -> Self:
        """Check what can be checked here, and hand the rest to the native class."""
        kind, item_bytes = normalise(item)
        where = locate(name, directory)
        codecs = partial(_codec.codec_for, where.name or "private")
        if kind is not None:
            codecs(kind)  # a package that is not installed is missed before anything is created
        return _handle.attached(
            _core.Queue.__new__(
                cls,
                how,
                *where,
                _handle.check_count("capacity", capacity, 1, MOST_ITEMS),
                kind,
                item_bytes,
                _handle.check_count("max_item_bytes", limits[0], 1),
                _handle.check_count("max_deliveries", limits[1], 1, MOST_ITEMS),
                _handle.check_count("dead_letters", limits[2], 0, MOST_ITEMS),
                _handle.check_lifetime(lifetime),
                bool(trust),
                codecs,
            )
        )

    def get_array(self, n: int, timeout: float | None = None) -> np.ndarray[Any, Any]:
        """Remove up to `n` items and return them as one new, writable NumPy array, waiting for the first.

        Only for queues of numbers or dtypes. Takes what is there once there is something, as `get_many` does; items of
        a dtype with a shape of its own become one array with that shape in its last dimensions.

        Args:
            n: Most items to take, at least 1.
            timeout: Longest wait for the first item in seconds, at least 0. None waits for ever; 0 does not wait.

        Raises:
            Empty: No item arrived in time. The queue is unchanged.
            ShutDown: The queue was shut down, and is empty.
            TypeError: The queue's items are no numbers and no dtype. The queue is unchanged.
            ModuleNotFoundError: NumPy is not installed. The queue is unchanged.
            Closed: This handle was closed.

        If killed: items are either still queued or gone whole; peers never see half of one.
        """
        return _arrays.get_array(self, n, timeout)

    def reserve_array(
        self, shape: int | Sequence[int], dtype: DTypeLike, timeout: float | None = None
    ) -> AbstractContextManager[np.ndarray[Any, Any]]:
        """Lend a NumPy array that lies in the queue's memory, and put it when the block ends: no copy is made.

        The array begins with whatever was in that memory. When the block ends it is made read-only, as from then on
        it is the consumers'; slices taken of it in the block must not be written to any more either. On an error in
        the block nothing is put. The consumer gets an ordinary array.

        Args:
            shape: The array's shape. In a queue with a dtype of its own (): one item.
            dtype: The array's dtype, without Python objects. In a queue with a dtype of its own just that.
            timeout: Longest wait for room in seconds, at least 0. None waits for ever; 0 does not wait.

        Returns:
            A context manager, for one use, whose block has the array.

        Raises:
            Full: No room came free in time. The queue is unchanged.
            ShutDown: The queue was shut down.
            TooLarge: The array with its shape and dtype takes more than `max_item_bytes`. The queue is unchanged.
            TypeError: The queue takes no arrays, or none like this. The queue is unchanged.
            ModuleNotFoundError: NumPy is not installed. The queue is unchanged.
            Closed: This handle was closed.

        If killed: before the block ended, peers find nothing, and the room is free again; after it, the whole array.

        Example:
            >>> import penstock
            >>> with penstock.Queue() as q:
            ...     with q.reserve_array((2, 3), "f4") as array:
            ...         array[:] = 1.5
            ...     q.get().tolist()
            [[1.5, 1.5, 1.5], [1.5, 1.5, 1.5]]
        """
        return _arrays.ArrayReservation(self, shape, dtype, timeout)

    @property
    def dead_letters(self) -> DeadLetters:
        """The items that were delivered `max_deliveries` times without success."""
        return DeadLetters(self)

    def join_thread(self) -> None:
        """Do nothing: there is no thread to join, as `put` hands over its item before it returns.

        For programs written for `multiprocessing.Queue`.
        """

    def cancel_join_thread(self) -> None:
        """Do nothing: leaving never waits, and what was put stays put.

        For programs written for `multiprocessing.Queue`.
        """

    def __iter__(self) -> Iterator[Any]:
        """Get items one after the other, waiting for each, until the queue is shut down and empty.

        Raises:
            Closed: This handle was closed.

        If killed: as for `get`.
        """
        get = self.get
        while True:
            try:
                item = get()
            except ShutDown:
                return
            yield item

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return _handle.describe(self, self._facts)

    def _facts(self) -> str:
        """Say how things stand, for the repr."""
        state = " shut down" if self.is_shutdown else ""
        return f"item={self.item!r} {self.qsize()} of {self.capacity}{state}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _handle.reduce(self, _reopen)


def _reopen(cls: type[Queue], directory: str, name: str, path: str | None, trust: bool) -> Queue:
    """Open what a pickled handle named. A subclass's own `__new__` is not asked: the name is all there is."""
    codecs = partial(_codec.codec_for, name)
    rest = (None, None, 0, None, None, None, None)
    return _handle.attached(_core.Queue.__new__(cls, "open", directory, name, path, *rest, trust, codecs))


class DeadLetters:
    """See and settle the dead letters of a queue: items delivered `max_deliveries` times without success.

    An item becomes one when it would be delivered once more: whoever asks for an item then passes it over, and gets the
    next. Dead letters wait apart from the others, in the order in which they died, until somebody takes them.

    Args:
        queue: The queue whose dead letters these are; `queue.dead_letters` is the usual way.

    Example:
        >>> import penstock
        >>> with penstock.Queue(item=str, max_deliveries=1) as q:
        ...     q.put("poison")
        ...     q.put("good")
        ...     q.lease().give_back()
        ...     q.get()
        ...     q.dead_letters.get_nowait()
        'good'
        'poison'
    """

    __module__ = "penstock"
    __slots__ = ("_queue",)

    def __init__(self, queue: _core.Queue) -> None:
        self._queue = queue

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Remove and return the oldest dead letter, waiting for one if there is none.

        Args:
            block: Whether to wait at all.
            timeout: Longest wait in seconds, at least 0. None waits for ever; 0 does not wait.

        Raises:
            Empty: There was none in time. Nothing changed.
            Closed: The queue's handle was closed.

        If killed: the dead letter is either still there or gone whole.
        """
        return self._queue.dead_get(block, timeout)

    def get_nowait(self) -> Any:
        """Remove and return the oldest dead letter.

        Raises:
            Empty: There is none. Nothing changed.
            Closed: The queue's handle was closed.

        If killed: as for `get`.
        """
        return self._queue.dead_get(False)

    def qsize(self) -> int:
        """Count the dead letters. The answer may be old when it arrives."""
        return self._queue.dead_size()

    def peek_many(self, n: int) -> list[Any]:
        """Return copies of up to `n` dead letters, oldest first, and leave them where they are.

        Args:
            n: Most to look at, at least 1.

        Raises:
            Closed: The queue's handle was closed.
        """
        return self._queue.dead_peek_many(n)

    def purge(self) -> int:
        """Drop all dead letters and return how many they were.

        Raises:
            Closed: The queue's handle was closed.

        If killed: each is either still there or gone whole.
        """
        return self._queue.dead_purge()

    def requeue(self) -> int:
        """Put all dead letters back into the queue as if never delivered, and return how many they were.

        Raises:
            Closed: The queue's handle was closed.

        If killed: each is in one place or the other, never in both and never in none.
        """
        return self._queue.dead_requeue()

    def __iter__(self) -> Iterator[Any]:
        """Take one after the other until there is none left; never waits."""
        while True:
            try:
                item = self._queue.dead_get(False)
            except Empty:
                return
            yield item

    def __len__(self) -> int:
        return self._queue.dead_size()

    def __repr__(self) -> str:
        return f"<penstock.DeadLetters of {self._queue!r}>"

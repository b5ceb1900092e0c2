"""NumPy arrays in and out of a queue: many numbers at once, and one array written where it will travel.

NumPy is imported when one of these is called, never before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock import _codec, _dtype, _item

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import numpy as np
    from numpy.typing import DTypeLike

    from penstock import _core


def get_array(queue: _core.Queue, n: int, timeout: float | None) -> np.ndarray[Any, Any]:
    """Do the work of `Queue.get_array`."""
    np = _dtype.numpy()
    dtype = _own_dtype(queue)
    base, shape = dtype.subdtype or (dtype, ())
    data = queue.get_bytes_many(n, timeout)
    return np.frombuffer(bytearray(data), base).reshape(-1, *shape)  # type: ignore[no-any-return]


def _own_dtype(queue: _core.Queue) -> np.dtype[Any]:
    """Return the dtype of one item of a queue whose items all have the same size."""
    if queue.item in _item.VARIABLE:
        raise TypeError(f"queue '{queue.name}' has items of kind {queue.item!r}; arrays are made of numbers and dtypes")
    return _dtype.dtype_of(queue.item)


class ArrayReservation:
    """Lend an array that lies in the queue's memory; what `Queue.reserve_array` returns."""

    __slots__ = ("_array", "_base", "_head", "_offset", "_queue", "_reservation", "_shape", "_timeout")

    def __init__(self, queue: _core.Queue, shape: int | Sequence[int], dtype: DTypeLike, timeout: float | None) -> None:
        np = _dtype.numpy()
        wanted = np.dtype(dtype)
        whole = (shape,) if isinstance(shape, int) else tuple(shape)
        if queue.item == _item.OBJECT:
            self._head = _head_of(np, queue.name, whole, wanted)
        else:
            own = _own_dtype(queue)
            if wanted != own or whole:
                raise TypeError(f"queue '{queue.name}' takes one {own} with shape (), not {wanted} with shape {whole}")
            self._head = b""
        self._base, inner = wanted.subdtype or (wanted, ())
        self._shape = (*whole, *inner)
        self._offset = len(self._head)
        self._queue = queue
        self._timeout = timeout
        self._reservation: _core.Reservation | None = None
        self._array: Any = None

    def __enter__(self) -> np.ndarray[Any, Any]:
        np = _dtype.numpy()
        if self._reservation is not None:
            raise RuntimeError("this reservation was used already; call reserve_array again for another item")
        count = 1
        for length in self._shape:
            count *= length
        self._reservation = self._queue.reserve(self._offset + count * self._base.itemsize, self._timeout)
        memory = self._reservation.__enter__()
        try:
            memory[: self._offset] = self._head
            self._array = np.ndarray(self._shape, self._base, memory, self._offset)
        except BaseException as err:
            self._reservation.__exit__(type(err), err, err.__traceback__)
            raise
        return self._array  # type: ignore[no-any-return]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._reservation is not None, "a with block is entered before it is left"
        self._array.setflags(write=False)
        self._array = None
        self._reservation.__exit__(kind, error, traceback)


def _head_of(np: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return what comes before the array's own bytes: the envelope of an array of this shape, up to its buffer."""
    import pickle

    if dtype.hasobject:
        raise TypeError(f"dtype {dtype} holds Python objects, which cannot be written in place; put the array instead")
    buffers: list[pickle.PickleBuffer] = []
    stream = pickle.dumps(np.empty(shape, dtype), 5, buffer_callback=buffers.append)
    if len(buffers) != 1:
        raise TypeError(f"an array of {dtype} has no memory of its own to write in; put it into '{name}' instead")
    return b"".join(_codec.seal(stream, [buffers[0].raw()])[:-1])

"""NumPy arrays in and out of a queue: many numbers at once, and one array written where it will travel.

NumPy is imported when one of these is called, never before.
"""

from __future__ import annotations

from math import prod
from operator import index
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

    __slots__ = ("_array", "_dtype", "_head", "_nbytes", "_queue", "_reservation", "_shape", "_timeout")

    def __init__(self, queue: _core.Queue, shape: int | Sequence[int], dtype: DTypeLike, timeout: float | None) -> None:
        wanted = _dtype.numpy().dtype(dtype)
        whole = (index(shape),) if hasattr(shape, "__index__") else tuple(map(index, shape))
        if any(length < 0 for length in whole):
            raise ValueError(f"shape is {whole}; no length can be negative")
        base, inner = wanted.subdtype or (wanted, ())
        self._dtype = base
        self._shape = (*whole, *inner)
        self._nbytes = prod(self._shape) * base.itemsize
        if queue.item == _item.OBJECT:
            self._head = _head(self._shape, base, self._nbytes)
        else:
            own = _own_dtype(queue)
            if wanted != own or whole:
                raise TypeError(f"queue '{queue.name}' takes one {own} with shape (), not {wanted} with shape {whole}")
            self._head = b""
        self._queue = queue
        self._timeout = timeout
        self._reservation: _core.Reservation | None = None
        self._array: Any = None

    def __enter__(self) -> np.ndarray[Any, Any]:
        if self._reservation is not None:
            raise RuntimeError("this reservation was used already; call reserve_array again for another item")
        offset = len(self._head)
        self._reservation = self._queue.reserve(offset + self._nbytes, self._timeout)
        memory = self._reservation.__enter__()
        try:
            memory[:offset] = self._head
            self._array = _dtype.numpy().ndarray(self._shape, self._dtype, memory, offset)
        except BaseException as err:
            self._reservation.__exit__(type(err), err, err.__traceback__)
            raise
        return self._array  # type: ignore[no-any-return]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._reservation is None:
            raise RuntimeError("this reservation was not entered")
        self._array.setflags(write=False)
        self._array = None
        self._reservation.__exit__(kind, error, traceback)


def _head(shape: tuple[int, ...], dtype: np.dtype[Any], nbytes: int) -> bytes:
    """Return what comes before the array's own bytes: the envelope of an array of this shape, up to its buffer."""
    import pickle

    if dtype.hasobject:
        raise TypeError(f"dtype {dtype} holds Python objects, which cannot be written in place; put the array instead")
    stream = pickle.dumps(_Unborn(shape, dtype), 5, buffer_callback=lambda _: None)
    head = _codec.envelope_head([nbytes], stream) + stream
    return head + bytes(-len(head) % _codec.ALIGNMENT_BYTES)


class _Unborn:
    """Pickle as an array of the given shape over a buffer that comes apart from the pickle."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._shape = shape
        self._dtype = dtype

    def __reduce__(self) -> tuple[Any, ...]:
        import pickle

        return _dtype.numpy().ndarray, (self._shape, self._dtype, pickle.PickleBuffer(bytearray()))

"""NumPy arrays in queues of objects, without pickling each of them anew.

The pickle of an array whose bytes are left out says its dtype and shape, and is the same for every array of these. So
what comes before the bytes in a payload, its head, is made once and remembered; and of a head that came back once it is
known what it stands for. The payloads are the same as without this, which saves microseconds of each put and each get.

Only plain arrays are remembered: of exactly NumPy's type, with this machine's numbers in C's order. NumPy is not
imported here: who has an array has it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from typing_extensions import Buffer

MOST_REMEMBERED = 64
"""Programs pass arrays of a few shapes; who has more of them begins anew."""

MOST_HEAD_BYTES = 1024
"""The longest head that is looked up: more than that of an array of 32 dimensions has."""


class Known(NamedTuple):
    """Say what a head stands for."""

    from_buffer: Callable[..., np.ndarray[Any, Any]]
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    payload_bytes: int

    def array_on(self, buffer: Buffer) -> np.ndarray[Any, Any]:
        """Return the array whose bytes these are, as NumPy's own function for pickles does."""
        return self.from_buffer(buffer, self.dtype).reshape(self.shape)


class ArrayPickles:
    """Remember the heads of arrays. Threads may do so at the same time: each entry is right, whoever wrote it."""

    def __init__(self) -> None:
        self.type: type | None = None
        """NumPy's type of arrays, once one was remembered."""
        self._heads: dict[tuple[int, tuple[int, ...], bool], bytes] = {}
        self._known: dict[bytes, Known | None] = {}
        """None for a head that stands for anything but a plain array."""

    def head_of(self, array: np.ndarray[Any, Any]) -> bytes | None:
        """Return the head of an array, if it is remembered."""
        flags = array.flags
        # By the dtype's identity, which is quick. Only NumPy's own are remembered, and those never go.
        return self._heads.get((id(array.dtype), array.shape, flags.writeable)) if flags.c_contiguous else None

    def remember(self, item: Any, parts: tuple[Buffer, ...]) -> None:
        """Remember what was made of an item, if that is a plain array."""
        if _is_plain(item) and item.dtype is _builtin(item.dtype):
            self.type = type(item)
            _make_room(self._heads)
            self._heads[id(item.dtype), item.shape, item.flags.writeable] = b"".join(parts[:-1])

    def known(self, head: bytes, payload_bytes: int) -> Known | None:
        """Return what a head stands for in a payload of that length, if that is known."""
        known = self._known.get(head)
        return known if known is not None and known.payload_bytes == payload_bytes else None

    def remember_loaded(self, head: bytes, item: Any, encode: Callable[[Any], bytes | tuple[Buffer, ...]]) -> None:
        """Remember that a head was loaded as an item, if that is a plain array and nothing else has this head.

        Args:
            head: What came before the array's bytes; b"" if that is not looked up.
            item: What pickle has made of the payload.
            encode: Has pickle make a payload. The same head for it (for a copy, if it lies in a slot and so must not be
                written) means that this head says nothing but dtype and shape.
        """
        if not head or head in self._known:
            return
        known = None
        if _is_plain(item):
            parts = encode(item if item.flags.writeable else item.copy())
            if isinstance(parts, tuple) and b"".join(parts[:-1]) == head:
                dtype = _builtin(item.dtype)  # pickle makes one of its own
                known = Known(sys.modules["numpy"].frombuffer, dtype, item.shape, len(head) + item.nbytes)
        _make_room(self._known)
        self._known[head] = known


def _is_plain(item: Any) -> bool:
    numpy = sys.modules.get("numpy")
    if numpy is None or type(item) is not numpy.ndarray or item.size == 0 or not item.flags.c_contiguous:
        return False
    dtype = item.dtype
    return dtype.kind in "biufc" and dtype.metadata is None and dtype == _builtin(dtype)


def _builtin(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return NumPy's own dtype of that spelling, of which there is one."""
    return sys.modules["numpy"].dtype(dtype.str)  # type: ignore[no-any-return]


def _make_room(remembered: dict[Any, Any]) -> None:
    if len(remembered) >= MOST_REMEMBERED:
        remembered.clear()

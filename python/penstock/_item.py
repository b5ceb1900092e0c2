"""Turn what the user writes after `item=` into the one spelling that the queue's header has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from penstock import _dtype

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np

ItemKind: TypeAlias = "str | type[Any] | np.dtype[Any] | list[Any] | tuple[Any, ...] | dict[str, Any]"
"""What `item=` takes: a kind's name, a Python or NumPy type, a NumPy dtype, or what `numpy.dtype()` makes one of."""

OBJECT = "object"
VARIABLE = ("bytes", "str", OBJECT, "json", "msgpack")
"""The kinds whose items have no fixed size."""

_ALIASES = {
    **{name: name for name in (*VARIABLE, *_dtype.NUMBER_BYTES)},
    **{"int": "i8", "float": "f8", "bool": "?", "b1": "?", "float32": "f4", "float64": "f8"},  # noqa: PIE800
    **{f"{sign}int{8 * size}": f"{sign or 'i'}{size}" for sign in ("", "u") for size in (1, 2, 4, 8)},
    **{f"{order}{name}": name for name in _dtype.NUMBER_BYTES for order in "<=|"},
}
_TYPES: dict[type, str] = {int: "i8", float: "f8", bool: "?", bytes: "bytes", str: "str", object: OBJECT}


def normalise(item: ItemKind | None) -> tuple[str | None, int]:
    """Return the canonical item kind, and the bytes that one item takes (0: it varies).

    Args:
        item: What the user asked for. None: whatever the queue has, `object` when creating.

    Raises:
        ValueError: There is no such kind, or it has no size.
        TypeError: `item` is of a type that names no kind, or a dtype that holds Python objects.
        ModuleNotFoundError: It takes NumPy to know, and NumPy is not installed.
    """
    if item is None:
        return None, 0
    if isinstance(item, str):
        known = _ALIASES.get(item)
        if known is None:
            return _dtype.spec_of(_named_dtype(item))
        return known, _dtype.NUMBER_BYTES.get(known, 0)
    if isinstance(item, type):
        known = _TYPES.get(item)
        if known is not None:
            return known, _dtype.NUMBER_BYTES.get(known, 0)
        if item is not complex and not _is_numpy_type(item):
            raise TypeError(f"item={item.__qualname__} is no kind of item; item=object takes any object that pickles")
    return _dtype.spec_of(_made_dtype(item))


_CHOICES = "choose 'u1' to 'u8', 'i1' to 'i8', 'f4', 'f8', bool, bytes, str, object, 'json', 'msgpack' or a NumPy dtype"


def _is_numpy_type(item: type) -> bool:
    """Tell whether a type is a NumPy scalar's, without importing NumPy: if it is one, NumPy is imported."""
    np: Any = sys.modules.get("numpy")
    return np is not None and issubclass(item, (np.generic, np.dtype))


def _named_dtype(name: str) -> np.dtype[Any]:
    """Look up a name that only NumPy may know, or a kind as a header spells it."""
    if name.startswith(_dtype.PREFIX):
        return _dtype.dtype_of(name)
    try:
        np = _dtype.numpy()
    except ModuleNotFoundError as err:
        raise ValueError(f"item={name!r} is no kind of item that is known without NumPy; {_CHOICES}") from err
    try:
        return np.dtype(name)  # type: ignore[no-any-return]
    except (TypeError, ValueError, SyntaxError) as err:
        raise ValueError(f"item={name!r} is no kind of item; {_CHOICES}") from err


def _made_dtype(item: object) -> np.dtype[Any]:
    """Have NumPy make a dtype of anything but a string."""
    if item.__class__ in (bool, int, float, bytes):
        raise TypeError(f"item={item!r} is a value, not a kind of item; {_CHOICES}")
    try:
        return _dtype.numpy().dtype(item)  # type: ignore[no-any-return]
    except (TypeError, ValueError) as err:
        raise TypeError(f"item={repr(item)[:80]} is no kind of item; {_CHOICES}") from err

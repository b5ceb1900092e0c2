"""NumPy dtypes as item kinds: a dtype written as text for the queue's header, read back, and its items as bytes.

NumPy is imported when one of these functions is called, never before: it is optional, and slow to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock._errors import Corrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from typing_extensions import Buffer

    Encode = Callable[[Any], bytes | tuple[Buffer, ...]]
    Decode = Callable[[Any], Any]

PREFIX = "dtype:"

NUMBER_BYTES = {
    "?": 1, "u1": 1, "i1": 1, "u2": 2, "i2": 2, "u4": 4, "i4": 4, "u8": 8, "i8": 8, "f4": 4, "f8": 8,
}  # fmt: skip
"""The kinds that need no NumPy, and the bytes that one item of each takes."""

COPY_AT_ONCE_BYTES = 4096
"""Items up to this size are made into bytes in one call; larger ones are handed over where they lie."""


def numpy() -> Any:
    """Import NumPy, or say how to get it.

    Raises:
        ModuleNotFoundError: NumPy is not installed.
    """
    try:
        import numpy
    except ImportError as err:
        message = "arrays and NumPy dtypes need NumPy; install it with: pip install 'penstock[numpy]'"
        raise ModuleNotFoundError(message, name="numpy") from err
    return numpy


def spec_of(dtype: np.dtype[Any]) -> tuple[str, int]:
    """Return the canonical item kind for a dtype, and the bytes that one item takes.

    Raises:
        TypeError: The dtype holds Python objects, which mean nothing to another process.
        ValueError: The dtype has no size.
    """
    import json

    if dtype.hasobject:
        raise TypeError(f"dtype {dtype} holds Python objects; use item=object for those")
    if dtype.itemsize == 0:
        raise ValueError(f"dtype {dtype} has no size; give it one, as in 'S16', or use item=bytes or item=str")
    plain = dtype.str.lstrip("<|")
    if plain == "b1":
        plain = "?"
    if dtype.names is None and dtype.subdtype is None and plain in NUMBER_BYTES:
        return plain, NUMBER_BYTES[plain]
    return PREFIX + json.dumps(_describe(dtype), separators=(",", ":")), dtype.itemsize


def dtype_of(spec: str) -> np.dtype[Any]:
    """Return the dtype that an item kind stands for: the other way round of `spec_of`.

    The text may come from a file that anybody wrote; whatever it is, the answer is a dtype or a typed error.

    Raises:
        Corrupted: The text describes no dtype, or one that no queue can have.
        ModuleNotFoundError: NumPy is not installed.
    """
    import json

    np = numpy()
    if spec in NUMBER_BYTES:
        return np.dtype(spec)  # type: ignore[no-any-return]
    try:
        dtype = _build(np, json.loads(spec.removeprefix(PREFIX)))
    except (ValueError, TypeError, KeyError, OverflowError, MemoryError, RecursionError, SyntaxError) as err:
        raise Corrupted(f"item kind {spec[:80]!r} describes no NumPy dtype") from err
    if dtype.hasobject or dtype.itemsize == 0:
        raise Corrupted(f"item kind {spec[:80]!r} is a dtype that no queue can have")
    return dtype


def functions(spec: str) -> tuple[Encode, Decode, Decode]:
    """Return encode, decode and view for the items of a dtype queue; decode and view raise what NumPy raises."""
    np = numpy()
    dtype = dtype_of(spec)
    item_bytes = dtype.itemsize
    base, shape = dtype.subdtype or (dtype, ())
    cuts = _may_cut(dtype)

    def encode(item: Any) -> bytes | tuple[Buffer, ...]:
        if isinstance(item, (np.ndarray, np.generic)):
            array = np.asarray(item).astype(base, copy=False, casting="safe" if cuts else "same_kind")
        else:
            if cuts:
                _check_nothing_cut(np, item, dtype)
            array = np.asarray(item, base)
        if array.shape != shape:
            hint = "; a record is a tuple, not a list" if base.names else ""
            raise ValueError(f"item has shape {array.shape}, the queue takes {shape} of {base}{hint}")
        if item_bytes <= COPY_AT_ONCE_BYTES:
            return array.tobytes()  # type: ignore[no-any-return]
        return (memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8)),)

    def view(buffer: Any) -> Any:
        length = len(buffer)
        if length != item_bytes:
            del buffer  # a traceback keeps this frame, and nothing may keep the slot
            raise ValueError(f"item is {length} bytes, one of {dtype} is {item_bytes}")
        array = np.frombuffer(buffer, base)
        return array.reshape(shape) if shape else array[0]

    def decode(buffer: Any) -> Any:
        copy = bytearray(buffer)
        del buffer
        return view(copy)

    return encode, decode, view


def _may_cut(dtype: np.dtype[Any]) -> bool:
    """Tell whether NumPy would cut off what is too long for the dtype, or a part of it, without a word."""
    if dtype.subdtype is not None:
        return _may_cut(dtype.subdtype[0])
    if dtype.names is not None:
        return any(_may_cut(dtype[name]) for name in dtype.names)
    return dtype.kind in "SUV"


def _check_nothing_cut(np: Any, item: Any, dtype: np.dtype[Any]) -> None:
    """Raise ValueError if a text in the item is longer than the dtype has room for."""
    if dtype.names is not None:
        if isinstance(item, tuple) and len(item) == len(dtype.names):
            for value, name in zip(item, dtype.names, strict=True):
                _check_nothing_cut(np, value, dtype[name])
        return
    base = dtype.subdtype[0] if dtype.subdtype else dtype
    if base.names is not None or not _may_cut(base):
        return
    if _longest(np.asarray(item).dtype) > _longest(base):
        raise ValueError(f"{repr(item)[:80]} is longer than {base} has room for")


def _longest(dtype: np.dtype[Any]) -> int:
    """Return how many characters or bytes of text a dtype has room for; 0 if it is not for text."""
    if dtype.kind not in "SUV":
        return 0
    return dtype.itemsize // 4 if dtype.kind == "U" else dtype.itemsize


def _describe(dtype: np.dtype[Any]) -> object:
    """Put a dtype into lists, dicts and strings: NumPy's descr where that says all, every offset where it does not."""
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _describe(base), "shape": list(shape)}
    if dtype.names is None:
        return dtype.str
    fields = [dtype.fields[name] for name in dtype.names]  # type: ignore[index]
    formats = [_describe(field[0]) for field in fields]
    offsets = [field[1] for field in fields]
    end = 0
    for field in fields:
        if field[1] != end:
            return {"names": list(dtype.names), "formats": formats, "offsets": offsets, "itemsize": dtype.itemsize}
        end += field[0].itemsize
    if end != dtype.itemsize:
        return {"names": list(dtype.names), "formats": formats, "offsets": offsets, "itemsize": dtype.itemsize}
    return [[name, form] for name, form in zip(dtype.names, formats, strict=True)]


def _build(np: Any, description: Any) -> np.dtype[Any]:
    """Make a dtype of what `_describe` gave."""
    if isinstance(description, str):
        return np.dtype(description)  # type: ignore[no-any-return]
    if isinstance(description, list):
        return np.dtype([(name, _build(np, form)) for name, form in description])  # type: ignore[no-any-return]
    if "base" in description:
        return np.dtype((_build(np, description["base"]), tuple(description["shape"])))  # type: ignore[no-any-return]
    formats = [_build(np, form) for form in description["formats"]]
    return np.dtype({**description, "formats": formats})  # type: ignore[no-any-return]

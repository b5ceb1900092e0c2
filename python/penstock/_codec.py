"""Items to bytes and back, for the kinds that the native module does not handle itself.

An object travels as a pickle (protocol 5). Most are just that: the payload begins with 0x80. An object with large
buffers in it (a NumPy array, a PickleBuffer) leaves them out of the pickle, and the payload is an *envelope*, so that
each buffer is copied once, straight into the slot, and can be looked at there in place. All numbers little-endian:

    offset  size  what
    0       4     b"PB5" 0x01: never the first byte of a pickle
    4       4     n, the number of buffers, at least 1
    8       8     p, bytes of the pickle
    16      8n    bytes of each buffer
    16+8n   p     the pickle; then the buffers, each padded (with zeros) to begin at a multiple of 64

Payloads are input from outside: every number is checked against the payload's end before it is used.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock import _dtype
from penstock._errors import DecodeError, NewerVersion

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from penstock._dtype import Decode, Encode

MAGIC = b"PB5\x01"
PICKLE_START = 0x80
ALIGNMENT_BYTES = 64

_HEAD = struct.Struct("<4sIQ")
_NATIVE = frozenset(("bytes", "str", *_dtype.NUMBER_BYTES))
_BUFFERLESS = frozenset((bool, int, float, complex, str, bytes, type(None)))
"""Types whose pickles never have buffers: exact types only, a subclass may pickle as it likes."""


class Codec(NamedTuple):
    """Hold the three functions that the native module calls for each item."""

    encode: Encode
    """Turns an item into its payload: bytes, or parts to be laid one after the other. Raises what it likes."""

    decode: Decode
    """Turns a payload into a new object that shares nothing with it. Raises `DecodeError`."""

    view: Decode
    """Turns a payload into an object that may look at it in place, read-only. Raises `DecodeError`."""


def codec_for(name: str, kind: str) -> Codec | None:
    """Return the codec for an item kind, or None for those that the native module handles itself.

    Args:
        name: The queue's name, for messages.
        kind: The canonical item kind, as the queue's header has it.

    Raises:
        NewerVersion: The kind is unknown here.
        Corrupted: The kind is a dtype that cannot be.
        ModuleNotFoundError: The kind needs a package that is not installed; the message says how to get it.
    """
    if kind in _NATIVE:
        return None
    if kind == "object":
        encode, decode, view = _object_functions()
    elif kind == "json":
        encode, decode = _json_functions()
        view = decode
    elif kind == "msgpack":
        encode, decode = _msgpack_functions()
        view = decode
    elif kind.startswith(_dtype.PREFIX):
        encode, decode, view = _dtype.functions(kind)
    else:
        raise NewerVersion(f"queue '{name}' has items of kind {kind[:80]!r}, which this penstock does not know")
    return Codec(encode, _guarded(decode, name, kind), _guarded(view, name, kind))


def _guarded(decode: Decode, name: str, kind: str) -> Decode:
    """Make whatever goes wrong in `decode` a DecodeError that carries the bytes."""

    def guarded(buffer: Any) -> Any:
        try:
            return decode(buffer)
        except Exception as err:
            data = bytes(buffer)
            del buffer  # the traceback keeps this frame, and the slot must not be kept with it
            message = f"an item of {len(data)} bytes in queue '{name}' could not be decoded as {kind[:40]}"
            raise DecodeError(f"{message}: {type(err).__name__}: {err}", data) from err

    return guarded


# ---- object ----------------------------------------------------------------------------------------------------------


def _object_functions() -> tuple[Encode, Decode, Decode]:
    """Return encode, decode and view for pickled objects. Pickle is imported here: number queues do without it."""
    from pickle import dumps, loads

    def encode(item: Any) -> bytes | tuple[Buffer, ...]:
        if type(item) in _BUFFERLESS:
            return dumps(item, 5)
        buffers: list[Any] = []
        stream = dumps(item, 5, buffer_callback=buffers.append)
        return seal(stream, [buffer.raw() for buffer in buffers]) if buffers else stream

    def decode(buffer: Any) -> Any:
        if buffer[0] == PICKLE_START:
            return loads(buffer)
        stream, buffers = unseal(memoryview(buffer))
        return loads(stream, buffers=[bytearray(each) for each in buffers])

    def view(buffer: Any) -> Any:
        if buffer[0] == PICKLE_START:
            return loads(buffer)
        stream, buffers = unseal(memoryview(buffer).toreadonly())
        return loads(stream, buffers=buffers)

    return encode, decode, view


def seal(stream: bytes, buffers: list[memoryview]) -> tuple[Buffer, ...]:
    """Lay out the envelope of a pickle and its buffers as parts, without copying the buffers."""
    head = envelope_head([buffer.nbytes for buffer in buffers], stream)
    parts: list[Buffer] = [head, stream]
    position = len(head) + len(stream)
    for buffer in buffers:
        padding = -position % ALIGNMENT_BYTES
        parts += (bytes(padding), buffer) if padding else (buffer,)
        position += padding + buffer.nbytes
    return tuple(parts)


def envelope_head(lengths: list[int], stream: bytes) -> bytes:
    """Return what comes before the pickle in an envelope with buffers of these lengths in bytes."""
    return _HEAD.pack(MAGIC, len(lengths), len(stream)) + _lengths(len(lengths)).pack(*lengths)


def unseal(envelope: memoryview) -> tuple[memoryview, list[memoryview]]:
    """Split an envelope into the pickle and its buffers, in place.

    Raises:
        ValueError: The bytes are no envelope.
    """
    total = envelope.nbytes
    if total < _HEAD.size:
        raise ValueError(f"{total} bytes are too few for an envelope")
    magic, count, stream_bytes = _HEAD.unpack_from(envelope)
    if magic != MAGIC:
        raise ValueError(f"neither a pickle nor an envelope: begins with {magic!r}")
    if not 1 <= count <= (total - _HEAD.size) // 8:
        raise ValueError(f"{count} buffers cannot be in an envelope of {total} bytes")
    lengths = _lengths(count).unpack_from(envelope, _HEAD.size)
    position = _HEAD.size + 8 * count
    stream = _cut(envelope, position, stream_bytes)
    position += stream_bytes
    buffers = []
    for length in lengths:
        position += -position % ALIGNMENT_BYTES
        buffers.append(_cut(envelope, position, length))
        position += length
    if position != total:
        raise ValueError(f"the envelope ends at byte {position}, the item at {total}")
    return stream, buffers


def _cut(envelope: memoryview, start: int, length: int) -> memoryview:
    """Return `length` bytes from `start`, all of which must be there."""
    if length > envelope.nbytes - start:
        raise ValueError(f"{length} bytes from {start} run past the end at {envelope.nbytes}")
    return envelope[start : start + length]


def _lengths(count: int) -> struct.Struct:
    """Return the format of the buffers' lengths."""
    return struct.Struct(f"<{count}Q")


# ---- json, msgpack ---------------------------------------------------------------------------------------------------


def _json_functions() -> tuple[Encode, Decode]:
    """Return encode and decode for JSON: UTF-8, compact, and without the NaN and Infinity that JSON does not have."""
    import json

    to_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
    from_text = json.JSONDecoder().decode

    def encode(item: Any) -> bytes:
        return to_text(item).encode()

    def decode(buffer: Any) -> Any:
        return from_text(str(buffer, "utf-8"))

    return encode, decode


def _msgpack_functions() -> tuple[Encode, Decode]:
    """Return encode and decode for MessagePack."""
    try:
        from msgspec.msgpack import Decoder, Encoder
    except ImportError as err:
        message = "item='msgpack' needs msgspec; install it with: pip install 'penstock[msgpack]'"
        raise ModuleNotFoundError(message, name="msgspec") from err
    return Encoder().encode, Decoder().decode

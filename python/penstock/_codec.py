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
from penstock._array_pickles import MOST_HEAD_BYTES, ArrayPickles
from penstock._errors import DecodeError, NewerVersion

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

    from penstock._dtype import Decode, Encode

    Problem = Callable[[Exception, bytes], DecodeError]

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

    def problem(err: Exception, data: bytes) -> DecodeError:
        what = f"an item of {len(data)} bytes in queue '{name}' could not be decoded as {kind[:40]}"
        return DecodeError(f"{what}: {type(err).__name__}: {err}", data)

    if kind == "object":
        return _object_codec(problem)
    if kind == "json":
        return _text_codec(*_json_functions(), problem)
    if kind == "msgpack":
        return _text_codec(*_msgpack_functions(), problem)
    if kind.startswith(_dtype.PREFIX):
        return _dtype_codec(*_dtype.functions(kind), problem)
    raise NewerVersion(f"queue '{name}' has items of kind {kind[:80]!r}, which this penstock does not know")


# Below, every `del` before a `raise` is there because a traceback keeps the frames that it shows, and with them their
# variables: no reference into the slot may live on in an error that somebody keeps.


# ---- object ----------------------------------------------------------------------------------------------------------


def _object_codec(problem: Problem) -> Codec:
    """Return the codec for pickled objects. Pickle is imported here: queues of other kinds do without it."""
    from pickle import PickleBuffer, dumps, loads

    arrays = ArrayPickles()

    def encode(item: Any) -> bytes | tuple[Buffer, ...]:
        kind = type(item)
        if kind in _BUFFERLESS:
            return dumps(item, 5)
        if kind is arrays.type and (head := arrays.head_of(item)) is not None:
            return head, PickleBuffer(item).raw()
        buffers: list[Any] = []
        stream = dumps(item, 5, buffer_callback=buffers.append)
        if not buffers:
            return stream
        parts = seal(stream, [buffer.raw() for buffer in buffers])
        arrays.remember(item, parts)
        return parts

    def decode(buffer: Any) -> Any:
        try:
            if buffer[0] == PICKLE_START:
                return loads(buffer)
            with memoryview(buffer) as envelope:
                return load_copied(envelope)
        except Exception as err:
            error = problem(err, bytes(buffer))
            del buffer
            raise error from err

    def load_copied(envelope: memoryview) -> Any:
        head = head_before_one_buffer(envelope)
        if (known := arrays.known(head, envelope.nbytes)) is not None:
            return known.array_on(bytearray(envelope[len(head) :]))
        stream, spans = unseal(envelope)
        buffers = [bytearray(envelope[span]) for span in spans]
        with envelope[stream] as pickled:
            item = loads(pickled, buffers=buffers)
        arrays.remember_loaded(head, item, encode)
        return item

    def view(buffer: Any) -> Any:
        buffers: list[memoryview] = []
        try:
            if buffer[0] == PICKLE_START:
                return loads(buffer)
            with memoryview(buffer).toreadonly() as envelope:
                head = head_before_one_buffer(envelope)
                if (known := arrays.known(head, envelope.nbytes)) is not None:
                    return known.array_on(envelope[len(head) :])
                stream, spans = unseal(envelope)
                buffers += [envelope[span] for span in spans]
                with envelope[stream] as pickled:
                    item = loads(pickled, buffers=buffers)
                arrays.remember_loaded(head, item, encode)
                return item
        except Exception as err:
            error = problem(err, bytes(buffer))
            del buffer, buffers
            raise error from err

    return Codec(encode, decode, view)


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


def unseal(envelope: memoryview) -> tuple[slice, list[slice]]:
    """Find the pickle and its buffers in an envelope.

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
    stream = _span(_HEAD.size + 8 * count, stream_bytes, total)
    spans = []
    end = stream.stop
    for length in lengths:
        span = _span(end + -end % ALIGNMENT_BYTES, length, total)
        spans.append(span)
        end = span.stop
    if end != total:
        raise ValueError(f"the envelope ends at byte {end}, the item at {total}")
    return stream, spans


def head_before_one_buffer(envelope: memoryview) -> bytes:
    """Return what comes before the buffer in an envelope with one, whatever is behind it; b"" for anything else."""
    if envelope.nbytes < _HEAD.size:
        return b""
    _, count, stream_bytes = _HEAD.unpack_from(envelope)
    end = _HEAD.size + 8 + stream_bytes
    end += -end % ALIGNMENT_BYTES
    return bytes(envelope[:end]) if count == 1 and end <= MOST_HEAD_BYTES else b""


def _span(start: int, length: int, total: int) -> slice:
    """Return the place of `length` bytes from `start`, all of which must be within `total`."""
    if length > total - start:
        raise ValueError(f"{length} bytes from byte {start} run past the end at {total}")
    return slice(start, start + length)


def _lengths(count: int) -> struct.Struct:
    """Return the format of the buffers' lengths."""
    return struct.Struct(f"<{count}Q")


# ---- json, msgpack, dtypes -------------------------------------------------------------------------------------------


def _text_codec(encode: Encode, from_bytes: Decode, problem: Problem) -> Codec:
    """Return the codec for kinds whose items are read from bytes and never share memory with them."""

    def decode(buffer: Any) -> Any:
        data = bytes(buffer)
        del buffer
        try:
            return from_bytes(data)
        except Exception as err:
            raise problem(err, data) from err

    return Codec(encode, decode, decode)


def _dtype_codec(encode: Encode, decode: Decode, view: Decode, problem: Problem) -> Codec:
    """Return the codec for items of a NumPy dtype."""

    def guarded(inner: Decode) -> Decode:
        def outer(buffer: Any) -> Any:
            try:
                return inner(buffer)
            except Exception as err:
                error = problem(err, bytes(buffer))
                del buffer
                raise error from err

        return outer

    return Codec(encode, guarded(decode), guarded(view))


def _json_functions() -> tuple[Encode, Decode]:
    """Return encode and decode for JSON: UTF-8, compact, and without the NaN and Infinity that JSON does not have."""
    import json

    to_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
    from_text = json.JSONDecoder().decode

    def encode(item: Any) -> bytes:
        return to_text(item).encode()

    def decode(data: bytes) -> Any:
        return from_text(data.decode())

    return encode, decode


def _msgpack_functions() -> tuple[Encode, Decode]:
    """Return encode and decode for MessagePack."""
    try:
        from msgspec.msgpack import Decoder, Encoder
    except ImportError as err:
        message = "item='msgpack' needs msgspec; install it with: pip install 'penstock[msgpack]'"
        raise ModuleNotFoundError(message, name="msgspec") from err
    return Encoder().encode, Decoder().decode

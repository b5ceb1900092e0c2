"""Items to bytes and back: kinds, envelopes, and payloads that somebody else made up."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import pickle
import struct
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import penstock
from penstock import Corrupted, DecodeError, NewerVersion
from penstock._array_pickles import MOST_REMEMBERED
from penstock._codec import ALIGNMENT_BYTES, MAGIC, PICKLE_START, Codec, codec_for, seal, unseal
from penstock._dtype import dtype_of, spec_of
from penstock._item import normalise

POINT = [("x", "f4"), ("y", "f4"), ("id", "u8")]


def codec(kind: Any) -> Codec:
    spec, _ = normalise(kind)
    assert spec is not None
    made = codec_for("jobs", spec)
    assert made is not None
    return made


def payload(parts: Any) -> bytes:
    """Lay parts one after the other, as a slot does."""
    return parts if isinstance(parts, bytes) else b"".join(bytes(memoryview(part)) for part in parts)


def round_trip(kind: Any, item: Any) -> Any:
    made = codec(kind)
    return made.decode(memoryview(payload(made.encode(item))))


# ---- object ----------------------------------------------------------------------------------------------------------

OBJECTS: list[Any] = [
    None,
    True,
    5,
    -(2**70),
    1.5,
    2j,
    "",
    "häßlich",
    b"",
    b"\x00\xff",
    (),
    [],
    {},
    {"a": [1, (2, {3})]},
    range(3),
]


@pytest.mark.parametrize("item", OBJECTS, ids=repr)
def test_object_comes_back_equal_and_of_the_same_type(item: Any) -> None:
    back = round_trip(object, item)
    assert back == item
    assert type(back) is type(item)


@pytest.mark.parametrize("item", OBJECTS, ids=repr)
def test_object_without_buffers_is_just_its_pickle(item: Any) -> None:
    assert codec(object).encode(item) == pickle.dumps(item, 5)


def test_array_is_copied_once_and_lies_at_a_multiple_of_64_bytes() -> None:
    array = np.arange(1000, dtype="f8")
    parts = codec(object).encode({"frame": array, "tail": bytearray(b"x")})
    assert isinstance(parts, tuple)
    whole = payload(parts)
    assert whole[:4] == MAGIC
    assert any(isinstance(part, memoryview) and np.shares_memory(np.frombuffer(part), array) for part in parts)
    _, (span,) = unseal(memoryview(whole))
    assert span.start % ALIGNMENT_BYTES == 0
    assert whole[span] == array.tobytes()


def test_decoded_arrays_are_writable_and_independent_of_the_payload() -> None:
    made = codec(object)
    memory = bytearray(payload(made.encode([np.zeros(3), np.ones((2, 2), order="F")])))
    zeros, ones = made.decode(memoryview(memory))
    memory[:] = bytes(len(memory))
    zeros[0] = 7
    assert zeros.tolist() == [7, 0, 0]
    assert ones.tolist() == [[1, 1], [1, 1]]


def test_read_only_array_stays_read_only() -> None:
    array = np.arange(3)
    array.setflags(write=False)
    assert not round_trip(object, array).flags.writeable


def test_viewed_array_lies_in_the_payload_and_is_read_only() -> None:
    made = codec(object)
    memory = bytearray(payload(made.encode(np.arange(4, dtype="u1"))))
    seen = made.view(memoryview(memory))
    assert not seen.flags.writeable
    memory[-4:] = b"\x09\x09\x09\x09"
    assert seen.tolist() == [9, 9, 9, 9]


ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "plain": np.arange(12, dtype="u4"),
    "of another shape": np.arange(12, dtype="u4").reshape(3, 4),
    "of another dtype": np.arange(12, dtype="i4"),
    "as long, of floats": np.arange(12, dtype="f4"),
    "read-only": np.frombuffer(bytes(48), "u4"),
    "columns first": np.asfortranarray(np.arange(12, dtype="u4").reshape(3, 4)),
    "every other": np.arange(24, dtype="u4")[::2],
    "of the other byte order": np.arange(12, dtype="u4").astype(">u4"),
    "with metadata": np.arange(12, dtype=np.dtype("u4", metadata={"unit": "m"})),
    "complex": np.arange(12) * 2j,
    "truths": np.array([True, False]),
    "without dimensions": np.array(5.5),
    "empty": np.zeros((0, 3), "u4"),
    "dates": np.array(["2026-01-01"], "M8[D]"),
    "texts": np.array(["a", "bc"]),
    "records": np.zeros(3, POINT),
    "of a subclass": np.ma.masked_array([1, 2, 3], [False, True, False]),
    "a matrix": np.arange(4, dtype="u4").reshape(2, 2).view(np.matrix),
}


def same(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any], is_view: bool = False) -> bool:
    is_alike = type(one) is type(other) and one.dtype == other.dtype and one.dtype.metadata == other.dtype.metadata
    is_alike = is_alike and one.shape == other.shape and one.tobytes() == other.tobytes()
    is_laid_out_alike = one.flags.f_contiguous == other.flags.f_contiguous or not one.flags.c_contiguous
    return is_alike and (is_view or (is_laid_out_alike and one.flags.writeable == other.flags.writeable))


@pytest.mark.parametrize("first", ARRAYS, ids=str)
@pytest.mark.filterwarnings("ignore:the matrix subclass", "ignore:metadata on a dtype")
def test_arrays_are_the_same_and_so_are_their_bytes_whatever_is_remembered_of_others(first: str) -> None:
    made = codec(object)
    data = b""
    for name in [first, first, *ARRAYS, *reversed(ARRAYS), first]:
        array = ARRAYS[name]
        data = payload(made.encode(array))
        assert data == payload(codec(object).encode(array)), f"{name}: as if it were the first one"
        assert data == payload(seal(*pickled(array))) or data[0] == PICKLE_START
        assert same(made.decode(memoryview(data)), pickle.loads(pickle.dumps(array, 5))), name
        viewed = made.view(memoryview(data))
        assert same(viewed, pickle.loads(pickle.dumps(array, 5)), is_view=True), name
        assert data[0] == PICKLE_START or isinstance(viewed, np.ma.MaskedArray) or not viewed.flags.writeable
    decoded, again = (made.decode(memoryview(data)) for _ in range(2))
    assert not np.shares_memory(decoded, again)


def pickled(item: Any) -> tuple[bytes, list[memoryview]]:
    buffers: list[Any] = []
    stream = pickle.dumps(item, 5, buffer_callback=buffers.append)
    return stream, [buffer.raw() for buffer in buffers]


def test_array_that_is_known_is_not_pickled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = codec(object)
    data = payload(made.encode(ARRAYS["plain"]))
    made.decode(memoryview(data))

    made_by = ARRAYS["plain"].__reduce_ex__(5)[0].__module__
    monkeypatch.setitem(sys.modules, made_by, None)  # pickle could not name NumPy's function now, nor find it
    with pytest.raises((pickle.PicklingError, ModuleNotFoundError)):
        made.encode(np.arange(5))
    other = ARRAYS["plain"][::-1].copy()
    assert same(made.decode(memoryview(payload(made.encode(other)))), other)


def test_a_head_that_is_known_is_of_no_use_to_a_payload_of_another_length() -> None:
    made = codec(object)
    data = payload(made.encode(ARRAYS["plain"]))
    made.decode(memoryview(data))
    for wrong in (data[:-4], data + bytes(4), data[:-48]):
        for call in (made.decode, made.view):
            with pytest.raises(DecodeError):
                call(memoryview(wrong))


def test_only_so_many_arrays_are_remembered() -> None:
    made = codec(object)
    for length in [*range(1, 3 * MOST_REMEMBERED), 5, 5]:
        array = np.arange(length)
        assert same(made.decode(memoryview(payload(made.encode(array)))), array)


def test_empty_array_comes_back() -> None:
    assert round_trip(object, np.zeros((0, 3), "f4")).shape == (0, 3)


def test_subclass_of_a_plain_type_is_pickled_as_it_likes() -> None:
    parts = codec(object).encode(BytesApart(b"large"))
    assert isinstance(parts, tuple)
    assert codec(object).decode(payload(parts)) == b"large"


class BytesApart(bytes):
    """Bytes that leave themselves out of the pickle."""

    def __reduce_ex__(self, protocol: Any) -> Any:
        return bytes, (pickle.PickleBuffer(bytes(self)),)


def test_item_that_does_not_pickle_raises_what_pickle_raises() -> None:
    with pytest.raises((pickle.PicklingError, AttributeError, TypeError)):
        codec(object).encode(lambda: None)


class Raiser:
    """Raises when it is unpickled."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def test_item_that_does_not_unpickle_raises_decode_error_with_its_bytes_and_cause() -> None:
    data = pickle.dumps(Raiser(), 5)
    with pytest.raises(DecodeError, match="'jobs' could not be decoded as object: ValueError") as caught:
        codec(object).decode(memoryview(data))
    assert caught.value.data == data
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("call", ["decode", "view"])
@pytest.mark.parametrize(
    "item", [Raiser(), [np.arange(9), Raiser()], [np.arange(9), 1]], ids=["plain", "with a buffer", "cut short"]
)
def test_decode_error_keeps_no_reference_into_the_slot(call: str, item: Any) -> None:
    made = codec(object)
    slot = bytearray(payload(made.encode(item)))
    if not isinstance(item, Raiser) and not isinstance(item[1], Raiser):
        del slot[-1:]
    with pytest.raises(DecodeError) as caught, memoryview(slot) as buffer:
        getattr(made, call)(buffer)
    assert caught.value.__cause__ is not None
    slot.append(0)  # would raise BufferError if anything still looked at it


# ---- payloads that somebody else made up -----------------------------------------------------------------------------


def head(count: int, stream: int, *lengths: int) -> bytes:
    return struct.pack("<4sIQ", MAGIC, count, stream) + struct.pack(f"<{len(lengths)}Q", *lengths)


BAD_ENVELOPES = {
    "nothing": b"",
    "one byte": b"P",
    "another magic": b"PB5\x02" + bytes(60),
    "no buffers": head(0, 4) + b"N.xx",
    "more buffers than bytes": head(2**32 - 1, 0),
    "a pickle past the end": head(1, 2**64 - 1, 0),
    "a buffer past the end": head(1, 4, 2**64 - 1) + b"N.xx" + bytes(100),
    "a buffer just past the end": head(1, 4, 5) + b"N.xx" + bytes(40),
    "bytes left over": head(1, 4, 3) + b"N.xx" + bytes(40),
    "only a head": head(1, 0, 0)[:16],
    "plain text": b"hello world, this is no pickle at all",
}


@pytest.mark.parametrize("data", BAD_ENVELOPES.values(), ids=BAD_ENVELOPES.keys())
@pytest.mark.parametrize("call", ["decode", "view"])
def test_bytes_that_are_no_item_raise_decode_error(call: str, data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        getattr(codec(object), call)(memoryview(data))
    assert caught.value.data == data


@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_split_or_refused(data: bytes) -> None:
    envelope = memoryview(MAGIC + data)
    try:
        stream, spans = unseal(envelope)
    except ValueError:
        return
    ends = [stream.stop, *(span.stop for span in spans)]
    assert ends == sorted(ends)
    assert ends[-1] == len(envelope)


@given(st.binary(max_size=300), st.lists(st.binary(max_size=200), min_size=1, max_size=5))
def test_what_was_sealed_is_found_again(stream: bytes, buffers: list[bytes]) -> None:
    whole = payload(seal(stream, [memoryview(each) for each in buffers]))
    found, spans = unseal(memoryview(whole))
    assert whole[found] == stream
    assert [whole[span] for span in spans] == buffers
    assert all(span.start % ALIGNMENT_BYTES == 0 for span in spans)


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_flipped_bits_give_an_item_or_a_decode_error(data: st.DataObject) -> None:
    made = codec(object)
    good = payload(made.encode([np.arange(5, dtype="u1"), "text"]))
    _, (span,) = unseal(memoryview(good))
    place = data.draw(st.integers(0, 23) | st.integers(span.start - 40, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(DecodeError):
        made.decode(memoryview(bad))


# ---- json, msgpack ---------------------------------------------------------------------------------------------------


def test_json_is_compact_utf_8() -> None:
    assert codec("json").encode({"größe": [1, 2.5, None]}) == '{"größe":[1,2.5,null]}'.encode()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=9))
def test_json_comes_back_as_json_does(item: Any) -> None:
    try:
        encoded = codec("json").encode(item)
    except UnicodeEncodeError:
        return  # a lone surrogate is no text that can travel
    assert codec("json").decode(encoded) == item


@pytest.mark.parametrize("item", [float("nan"), float("inf"), {1, 2}, b"bytes", "\ud800"])
def test_what_json_does_not_have_is_refused_by_put(item: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        codec("json").encode(item)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[1,]", b"[" * 100_000])
def test_bad_json_raises_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        codec("json").decode(memoryview(data))
    assert caught.value.data == data


def test_msgpack_comes_back() -> None:
    item = {"a": [1, b"raw", None, 2.5]}
    assert round_trip("msgpack", item) == item


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x92\x01", b"\x01\x02"])
def test_bad_msgpack_raises_decode_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        codec("msgpack").decode(memoryview(data))


def test_msgpack_without_msgspec_says_what_to_install_and_creates_nothing(
    monkeypatch: pytest.MonkeyPatch, directory: str
) -> None:
    monkeypatch.setitem(sys.modules, "msgspec.msgpack", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'penstock\[msgpack\]'"):
        penstock.Queue("jobs", item="msgpack")
    assert os.listdir(directory) == []


# ---- dtypes ----------------------------------------------------------------------------------------------------------

DTYPES: list[Any] = [
    *(">u4", "f2", "c16", "M8[ns]", "m8[s]", "S5", "U4", "V3"),
    *(POINT, [("a", "i2"), ("b", POINT)], [("m", "f4", (2, 2)), ("n", "u1")], ("f4", (3, 3)), (POINT, (2,))),
    np.dtype(POINT, align=True),
    np.dtype({"names": ["late", "early"], "formats": ["u1", "u2"], "offsets": [6, 0], "itemsize": 8}),
    np.dtype({"names": ["a", "b"], "formats": ["u4", "u2"], "offsets": [0, 0]}),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtype_survives_being_written_into_a_header(dtype: Any) -> None:
    wanted = np.dtype(dtype)
    spec, item_bytes = spec_of(wanted)
    assert spec.startswith("dtype:")
    assert item_bytes == wanted.itemsize
    assert dtype_of(spec) == wanted
    assert normalise(spec) == (spec, item_bytes)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_item_of_a_dtype_comes_back_with_the_same_bytes(dtype: Any) -> None:
    wanted = np.dtype(dtype)
    raw = bytes(wanted.itemsize)
    item = np.frombuffer(raw, wanted)[0]
    made = codec(dtype)
    assert payload(made.encode(item)) == raw
    assert np.array_equal(made.decode(memoryview(raw)), item)
    assert np.array_equal(made.view(memoryview(raw)), item)


def test_record_is_given_as_a_tuple_and_comes_back_writable() -> None:
    record = round_trip(POINT, (1.5, 2.5, 7))
    record["id"] = 8
    assert record.tolist() == (1.5, 2.5, 8)


def test_viewed_record_is_read_only_and_in_place() -> None:
    made = codec(POINT)
    memory = bytearray(payload(made.encode((1, 2, 7))))
    record = made.view(memoryview(memory).toreadonly())
    memory[8] = 9
    assert record["id"] == 9
    with pytest.raises(ValueError, match="read-only"):
        record["id"] = 1


def test_large_item_of_a_dtype_is_handed_over_without_a_copy() -> None:
    image = np.arange(10_000, dtype="u1").reshape(100, 100)
    parts = codec(("u1", (100, 100))).encode(image)
    assert isinstance(parts, tuple)
    assert np.shares_memory(np.asarray(memoryview(parts[0])), image)


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (POINT, [1, 2, 3]),
        (POINT, (1, 2)),
        (POINT, "text"),
        (("f4", (3,)), [1, 2]),
        (("f4", (3,)), 1),
        ("c16", [1, 2]),
        ("f2", np.float64(1).astype("c16")),
        ("M8[s]", "never"),
        ("f2", "x"),
    ],
)
def test_item_that_is_not_of_the_dtype_is_refused(kind: Any, item: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        codec(kind).encode(item)


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        ("S5", b"sixsix"),
        ("U2", "three"),
        ("S5", "sixsix"),
        ([("n", "u1"), ("name", "S3")], (1, b"four")),
        (("S2", (2,)), [b"a", b"too long"]),
        ("S5", np.bytes_(b"sixsix")),
        ([("name", "S3")], np.array((b"four",), [("name", "S4")])),
    ],
)
def test_text_that_is_longer_than_its_room_is_refused_and_not_cut(kind: Any, item: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        codec(kind).encode(item)


@pytest.mark.parametrize("length", [0, 1, 15, 17])
def test_item_of_the_wrong_length_raises_decode_error(length: int) -> None:
    for call in (codec(POINT).decode, codec(POINT).view):
        slot = bytearray(length)
        with pytest.raises(DecodeError) as caught, memoryview(slot) as buffer:
            call(buffer)
        assert caught.value.data == bytes(length)
        slot.append(0)  # would raise BufferError if anything still looked at it


HOSTILE_SPECS = [
    *("", "[", "{}", "[]", "null", "7", '"O"', '"foo"', '[["a","O"]]', '[["a"]]', '[["a","f4"],["a","f4"]]', '"V0"'),
    *('{"base":"f4"}', '{"base":"f4","shape":[-1]}', '{"base":"f4","shape":[9223372036854775807,9]}'),
    *('{"names":["a"],"formats":["f4"],"offsets":[-4],"itemsize":4}', '{"names":["a"],"formats":[]}', "[" * 9999),
    *('{"names":["a"],"formats":["f4"],"offsets":[4],"itemsize":4}', '"f4,f4,O"', '{"names":1,"formats":2}'),
]


@pytest.mark.parametrize("text", HOSTILE_SPECS, ids=lambda text: text[:40] or "empty")
def test_header_that_describes_no_dtype_is_corrupted(text: str) -> None:
    with pytest.raises(Corrupted):
        codec_for("jobs", "dtype:" + text)


@given(st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_any_header_gives_a_dtype_or_corrupted(text: Any) -> None:
    try:
        dtype = dtype_of("dtype:" + json.dumps(text))
    except Corrupted:
        return
    assert not dtype.hasobject


def test_unknown_kind_in_a_header_asks_for_a_newer_penstock() -> None:
    with pytest.raises(NewerVersion, match="'jobs' has items of kind 'arrow'"):
        codec_for("jobs", "arrow")


# ---- item= -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_kind", "expected"),
    [
        (None, (None, 0)),
        ("u4", ("u4", 4)),
        ("<u4", ("u4", 4)),
        ("uint32", ("u4", 4)),
        ("int64", ("i8", 8)),
        ("float32", ("f4", 4)),
        ("bool", ("?", 1)),
        ("int", ("i8", 8)),
        (int, ("i8", 8)),
        (float, ("f8", 8)),
        (bool, ("?", 1)),
        (bytes, ("bytes", 0)),
        (str, ("str", 0)),
        (object, ("object", 0)),
        ("object", ("object", 0)),
        ("json", ("json", 0)),
        ("msgpack", ("msgpack", 0)),
        (np.uint16, ("u2", 2)),
        (np.bool_, ("?", 1)),
        (np.dtype("f8"), ("f8", 8)),
        (np.dtype("bool"), ("?", 1)),
        (np.dtype("<i4"), ("i4", 4)),
        (complex, ('dtype:"<c16"', 16)),
        ([("x", "f4"), ("y", "u1")], ('dtype:[["x","<f4"],["y","|u1"]]', 5)),
    ],
)
def test_each_kind_has_one_spelling_in_the_header(given_kind: Any, expected: tuple[str | None, int]) -> None:
    assert normalise(given_kind) == expected


@pytest.mark.parametrize(
    "kind",
    [*("", "foo", "O", "S", 7, 1.5, True, b"u4", dict, list, type, print, [], {}, object(), np.dtype("O"), np.object_)],
    ids=repr,
)
def test_what_is_no_kind_of_item_is_refused_with_a_reason(kind: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"item|dtype"):
        normalise(kind)


@pytest.fixture
def _no_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make importing NumPy fail, as where it is not installed."""
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.partition(".")[0] == "numpy":
            raise ModuleNotFoundError("No module named 'numpy'", name="numpy")
        return real(name, *args)

    monkeypatch.delitem(sys.modules, "numpy")
    monkeypatch.setattr(builtins, "__import__", without)


@pytest.mark.usefixtures("_no_numpy")
@pytest.mark.parametrize("kind", ["u1", "i8", "f4", "?", "uint32", "<u4", int, float, bool, bytes, str, object, "json"])
def test_plain_kinds_need_no_numpy(kind: Any) -> None:
    spec, _ = normalise(kind)
    assert spec is not None
    codec_for("jobs", spec)


@pytest.mark.usefixtures("_no_numpy")
def test_without_numpy_a_dtype_says_what_to_install() -> None:
    for call in (
        lambda: normalise([("x", "f4")]),
        lambda: codec_for("jobs", 'dtype:"<f2"'),
        lambda: normalise(complex),
    ):
        with pytest.raises(ModuleNotFoundError, match=r"pip install 'penstock\[numpy\]'"):
            call()


@pytest.mark.usefixtures("_no_numpy")
def test_without_numpy_an_unknown_kind_is_refused_all_the_same() -> None:
    with pytest.raises(ValueError, match="'foo' is no kind of item"):
        normalise("foo")
    with pytest.raises(TypeError, match="item=dict is no kind"):
        normalise(dict)

"""NumPy arrays: many numbers at once, and one array written where it will travel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import penstock
from helpers import PATIENCE_SECONDS
from penstock import Closed, Empty, Full, TooLarge

pytestmark = pytest.mark.usefixtures("directory")

POINT = np.dtype([("x", "f4"), ("y", "f4")])
NUMBERS = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


def extremes(kind: str) -> np.ndarray[Any, Any]:
    """Return the smallest and largest numbers of a kind, and some between."""
    dtype = np.dtype(kind)
    if dtype.kind == "b":
        return np.array([True, False, True])
    limits: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return np.array([limits.min, 0, 1, limits.max], dtype)


# ---- many numbers at once --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NUMBERS)
def test_array_of_numbers_goes_in_and_comes_out_as_it_was(kind: str) -> None:
    numbers = extremes(kind)
    with penstock.Queue(item=kind, capacity=10) as q:
        assert q.put_many(numbers) == len(numbers)
        back = q.get_array(10)
    assert back.dtype == numbers.dtype
    assert back.tolist() == numbers.tolist()


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_put_one_by_one_come_out_as_an_array_and_the_other_way_round(kind: str) -> None:
    numbers = extremes(kind)
    with penstock.Queue(item=kind, capacity=10) as q:
        for number in numbers.tolist():
            q.put(number)
        assert q.get_array(10).tolist() == numbers.tolist()
        q.put_many(numbers)
        assert q.get_many(10) == numbers.tolist()


def test_got_array_is_writable_and_nobody_elses() -> None:
    with penstock.Queue(item="u4") as q:
        q.put_many([1, 2])
        first = q.get_array(2)
        q.put_many([3, 4])
        first += 10
        assert first.tolist() == [11, 12]
        assert q.get_array(2).tolist() == [3, 4]


def test_get_array_takes_at_most_what_was_asked_for() -> None:
    with penstock.Queue(item="f8") as q:
        q.put_many([1.0, 2.0, 3.0])
        assert q.get_array(2).tolist() == [1.0, 2.0]
        assert q.qsize() == 1


def test_get_array_raises_empty_when_nothing_came_in_time() -> None:
    with penstock.Queue(item="f8") as q, pytest.raises(Empty):
        q.get_array(2, timeout=0.01)


def test_records_come_out_as_one_structured_array() -> None:
    records = np.array([(1, 2), (3, 4)], POINT)
    with penstock.Queue(item=POINT) as q:
        q.put_many(records)
        back = q.get_array(10)
    assert back.dtype == POINT
    assert back.tolist() == records.tolist()


def test_items_with_a_shape_of_their_own_come_out_with_one_dimension_more() -> None:
    with penstock.Queue(item=("f4", (2, 3))) as q:
        q.put(np.zeros((2, 3)))
        q.put(np.ones((2, 3)))
        back = q.get_array(10)
    assert back.shape == (2, 2, 3)
    assert back[1].sum() == 6


@pytest.mark.parametrize("kind", [object, str, bytes, "json"])
def test_get_array_is_refused_where_items_are_no_numbers_and_takes_nothing(kind: Any) -> None:
    with penstock.Queue(item=kind) as q:
        q.put(b"1" if kind is bytes else "1")
        with pytest.raises(TypeError, match="arrays are made of numbers and dtypes"):
            q.get_array(1)
        assert q.qsize() == 1


# ---- arrays as objects -----------------------------------------------------------------------------------------------


def test_array_in_an_object_queue_is_seen_in_place_by_a_lease() -> None:
    with penstock.Queue() as q:
        q.put({"frame": np.arange(50_000, dtype="u2")})
        with q.lease() as lease:
            seen = lease.view["frame"]
            assert not seen.flags.writeable
            assert seen[-1] == 49_999
            kept = lease.value["frame"]
            assert kept.flags.writeable
            del seen
        assert kept.sum() == np.arange(50_000, dtype="u2").sum()


def test_slot_stays_taken_while_an_array_in_it_lives() -> None:
    with penstock.Queue(capacity=2) as q:
        q.put(np.full(1000, 7, "u1"))
        lease = q.lease()
        seen = lease.view
        lease.ack()
        for value in range(50):  # more often than there are slots
            q.put(np.full(1000, value, "u1"), timeout=PATIENCE_SECONDS)
            assert q.full()
            q.get()
        assert (seen == 7).all()
        del seen
        assert not q.full()
        q.put_many([1, 2], timeout=PATIENCE_SECONDS)
        assert q.qsize() == 2


# ---- reserve_array ---------------------------------------------------------------------------------------------------

SHAPES: list[tuple[Any, Any, tuple[int, ...]]] = [
    ((), "f8", ()),
    (3, "u1", (3,)),
    ((0, 4), "f4", (0, 4)),
    ((2, 3, 4), ">i2", (2, 3, 4)),
    ([5], bool, (5,)),
    ((3,), "M8[s]", (3,)),
    ((2,), POINT, (2,)),
    ((2,), ("f4", (3,)), (2, 3)),
    ((2,), "U4", (2,)),
]


@pytest.mark.parametrize(("shape", "dtype", "expected"), SHAPES, ids=str)
def test_reserved_array_arrives_as_an_ordinary_array(shape: Any, dtype: Any, expected: tuple[int, ...]) -> None:
    base = np.dtype(dtype).base
    with penstock.Queue() as q:
        with q.reserve_array(shape, dtype) as array:
            assert array.shape == expected
            assert array.dtype == base
            assert array.flags.writeable
            array[...] = np.ones((), "i1").astype(base) if base.names is None else np.array((1, 2), base)
            written = array.copy()
        back = q.get()
    assert back.dtype == base
    assert back.shape == expected
    assert back.flags.writeable
    assert (back == written).all()


def test_reserved_array_begins_at_a_multiple_of_64_bytes_in_memory() -> None:
    with penstock.Queue() as q, q.reserve_array(100, "f8") as array:
        assert array.ctypes.data % 64 == 0


def test_reserved_array_is_read_only_once_it_was_put() -> None:
    with penstock.Queue() as q:
        with q.reserve_array(3, "u1") as array:
            array[:] = 1
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 2
        assert q.get().tolist() == [1, 1, 1]


def test_error_in_the_block_puts_nothing_and_frees_the_room() -> None:
    with penstock.Queue(capacity=1) as q:
        with pytest.raises(ZeroDivisionError), q.reserve_array(3, "u1") as array:
            array[0] = 1 / 0
        assert not array.flags.writeable
        assert q.empty()
        q.put("there is room", timeout=PATIENCE_SECONDS)


def test_reserve_array_raises_full_when_no_room_came_in_time() -> None:
    with penstock.Queue(capacity=1) as q:
        q.put(1)
        with pytest.raises(Full), q.reserve_array(3, "u1", timeout=0.01):
            pass
        with pytest.raises(Full), q.reserve_array(3, "u1", timeout=0):
            pass
        assert q.qsize() == 1


def test_reserved_array_that_is_too_large_is_refused() -> None:
    with penstock.Queue(max_item_bytes=1000) as q:
        with pytest.raises(TooLarge), q.reserve_array(1000, "u1"):
            pass
        assert q.empty()


def test_reservation_is_for_one_use() -> None:
    with penstock.Queue() as q:
        reservation = q.reserve_array(3, "u1")
        with reservation:
            pass
        with pytest.raises(RuntimeError, match="used already"), reservation:
            pass
        assert q.qsize() == 1


def test_record_is_written_in_place_in_a_queue_of_its_dtype() -> None:
    with penstock.Queue(item=POINT) as q:
        with q.reserve_array((), POINT) as record:
            record["x"], record["y"] = 1, 2
        assert q.get().tolist() == (1, 2)


def test_item_with_a_shape_is_written_in_place_in_a_queue_of_its_dtype() -> None:
    with penstock.Queue(item=("u1", (4, 4))) as q:
        with q.reserve_array((), ("u1", (4, 4))) as image:
            image[:] = 9
        assert q.get().tolist() == [[9] * 4] * 4


@pytest.mark.parametrize(
    ("kind", "shape", "dtype"),
    [
        (object, 3, object),
        (object, 3, [("a", "O")]),
        (str, 3, "u1"),
        ("json", (), "f8"),
        (POINT, 3, POINT),
        (POINT, (), "f8"),
    ],
)
def test_array_that_a_queue_cannot_take_is_refused(kind: Any, shape: Any, dtype: Any) -> None:
    with penstock.Queue(item=kind) as q, pytest.raises(TypeError):
        q.reserve_array(shape, dtype)


@pytest.mark.parametrize(("shape", "error"), [(-1, ValueError), ((2, -1), ValueError), (1.5, TypeError)])
def test_shape_that_cannot_be_is_refused(shape: Any, error: type[Exception]) -> None:
    with penstock.Queue() as q, pytest.raises(error):
        q.reserve_array(shape, "u1")


def test_reserve_array_on_a_closed_handle_raises_closed() -> None:
    q = penstock.Queue()
    q.close()
    with pytest.raises(Closed), q.reserve_array(3, "u1"):
        pass

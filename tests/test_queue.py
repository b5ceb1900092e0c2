"""The queue's verbs: order, waiting, limits, and what an item may be. Leases and reservations have their own files."""

from __future__ import annotations

import array
import gc
import math
import os
import sys
import threading
import time
import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import PATIENCE_SECONDS, get_some, put_all
from peers import Call, call_method, get_leases_until_shut_down, get_until_shut_down, put_numbers, wait_until_asleep
from penstock import Closed, DecodeError, Empty, Full, OverRelease, Removed, ShutDown, TooLarge, testing

if TYPE_CHECKING:
    from collections.abc import Callable

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")

SHORT_SECONDS = 0.05


# ---- order, counts, capacity -----------------------------------------------------------------------------------------


def test_items_come_out_in_the_order_in_which_they_went_in() -> None:
    with penstock.Queue(capacity=100) as q:
        for number in range(100):
            q.put(number)
        assert [q.get() for _ in range(100)] == list(range(100))


def test_order_holds_when_the_ring_has_gone_round_many_times() -> None:
    with penstock.Queue(capacity=3, item="u4") as q:
        for number in range(0, 3000, 3):
            assert q.put_many([number, number + 1, number + 2]) == 3
            assert [q.get(), *q.get_many(2)] == [number, number + 1, number + 2]


def test_counts_tell_what_waits() -> None:
    with penstock.Queue(capacity=2) as q:
        assert (q.qsize(), q.empty(), q.full()) == (0, True, False)
        q.put("one")
        assert (q.qsize(), q.empty(), q.full()) == (1, False, False)
        q.put("two")
        assert (q.qsize(), q.empty(), q.full()) == (2, False, True)
        q.get()
        assert (q.qsize(), q.empty(), q.full()) == (1, False, False)


@pytest.mark.parametrize("capacity", [1, 2, 10, 1000])
def test_queue_takes_exactly_its_capacity(capacity: int) -> None:
    with penstock.Queue(capacity=capacity, item="u4") as q:
        assert q.capacity == q.maxsize == capacity
        for _ in range(3):
            assert q.put_many(range(capacity + 5), timeout=0) == capacity
            with pytest.raises(Full):
                q.put_nowait(0)
            assert q.get_many(capacity + 5) == list(range(capacity))
            with pytest.raises(Empty):
                q.get_nowait()


def test_large_and_small_items_keep_their_order_among_each_other() -> None:
    items = [bytes([n % 256]) * (1 if n % 2 else 100_000) for n in range(20)]
    with penstock.Queue(capacity=20, item=bytes) as q:
        assert q.put_many(items) == 20
        assert q.get_many(20) == items


def test_two_handles_are_the_same_queue(name: str) -> None:
    with penstock.Queue(name, capacity=3) as first, penstock.Queue(name) as second:
        first.put("over")
        assert second.get(timeout=0) == "over"
        second.put("and back")
        assert first.get(timeout=0) == "and back"


# ---- waiting for an item ---------------------------------------------------------------------------------------------


def test_get_waits_until_there_is_an_item(queue: penstock.Queue) -> None:
    with Call(queue.get) as getter:
        getter.asleep()
        queue.put("at last")
        assert getter.result() == "at last"


def test_get_waits_until_another_process_puts_an_item(queue: penstock.Queue, spawn: Spawn) -> None:
    with Call(queue.get) as getter:
        getter.asleep()
        spawn(put_all, queue.name, ["from afar"])
        assert getter.result() == "from afar"


def test_get_in_another_process_waits_until_this_one_puts(queue: penstock.Queue, spawn: Spawn) -> None:
    child = spawn(call_method, "Queue", queue.name, "get")
    assert child.receive() == "ready"
    wait_until_asleep(child.pid)
    queue.put("from afar")
    assert child.result() == "from afar"


@pytest.mark.parametrize("verb", ["get", "get_many", "lease", "dead_get", "get_bytes_many"])
def test_taking_raises_empty_when_the_time_is_up_and_not_before(verb: str) -> None:
    with penstock.Queue(item="u4") as q:
        arguments = [1] if "many" in verb else []
        started = time.perf_counter()
        with pytest.raises(Empty):
            getattr(q, verb)(*arguments, timeout=SHORT_SECONDS)
        assert time.perf_counter() - started >= SHORT_SECONDS


@pytest.mark.parametrize(
    "take",
    [
        lambda q: q.get(False),
        lambda q: q.get(block=False),
        lambda q: q.get(False, 60),
        lambda q: q.get(timeout=0),
        lambda q: q.get_nowait(),
        lambda q: q.get_many(1, 0),
        lambda q: q.lease(0),
        lambda q: q.lease(block=False),
        lambda q: q.dead_letters.get_nowait(),
        lambda q: q.peek(),
    ],
)
def test_taking_without_waiting_raises_empty_at_once(take: Callable[[penstock.Queue], Any]) -> None:
    with penstock.Queue(item="u4") as q:
        started = time.monotonic()
        with pytest.raises(Empty):
            take(q)
        assert time.monotonic() - started < 5
        q.put(1)
        assert q.qsize() == 1


def test_each_of_many_waiting_gets_one_item_each() -> None:
    with penstock.Queue(capacity=8) as q:
        getters = [Call(q.get).asleep() for _ in range(5)]
        q.put_many(range(5))
        assert sorted(getter.result() for getter in getters) == list(range(5))
        assert q.empty()


# ---- waiting for room ------------------------------------------------------------------------------------------------


def test_put_waits_until_there_is_room() -> None:
    with penstock.Queue(capacity=1) as q:
        q.put("first")
        with Call(q.put, "second") as putter:
            putter.asleep()
            assert q.get() == "first"
            putter.result()
        assert q.get() == "second"


def test_put_waits_until_another_process_makes_room(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name, capacity=1) as q:
        q.put("first")
        with Call(q.put, "second") as putter:
            putter.asleep()
            assert spawn(get_some, name, 2).result() == ["first", "second"]
            putter.result()


def test_put_in_another_process_waits_until_this_one_makes_room(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name, capacity=1) as q:
        q.put("first")
        child = spawn(call_method, "Queue", name, "put", "second")
        assert child.receive() == "ready"
        wait_until_asleep(child.pid)
        assert q.get() == "first"
        assert q.get(timeout=PATIENCE_SECONDS) == "second"
        child.result()


@pytest.mark.parametrize("large", [False, True])
def test_put_raises_full_when_the_time_is_up_and_not_before(large: bool) -> None:
    item = bytes(100_000) if large else b"small"
    with penstock.Queue(capacity=1, item=bytes) as q:
        q.put(item)
        started = time.perf_counter()
        with pytest.raises(Full):
            q.put(item, timeout=SHORT_SECONDS)
        assert time.perf_counter() - started >= SHORT_SECONDS
        assert q.get_many(10) == [item]


@pytest.mark.parametrize(
    "give",
    [
        lambda q: q.put(2, False),
        lambda q: q.put(2, block=0),
        lambda q: q.put(2, False, 60),
        lambda q: q.put(2, timeout=0),
        lambda q: q.put_nowait(2),
        lambda q: q.reserve(4, 0),
        lambda q: q.reserve(4, block=False),
    ],
)
def test_putting_without_waiting_raises_full_at_once(give: Callable[[penstock.Queue], Any]) -> None:
    with penstock.Queue(capacity=1, item="u4") as q:
        q.put(1)
        started = time.monotonic()
        with pytest.raises(Full):
            give(q)
        assert time.monotonic() - started < 5
        assert q.get_many(10) == [1]


# ---- timeouts that are none ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [-1, -0.001, -math.inf, math.nan])
@pytest.mark.parametrize("waiting", [0, 1])
@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("put", [7]),
        ("put_many", [[7]]),
        ("get", []),
        ("get_many", [1]),
        ("get_bytes_many", [1]),
        ("lease", []),
        ("reserve", [4]),
        ("join", []),
        ("wait_get", []),
        ("wait_put", []),
        ("dead_get", []),
    ],
)
def test_timeout_below_zero_is_refused_and_nothing_changes(
    verb: str, arguments: list[Any], waiting: int, timeout: float
) -> None:
    with penstock.Queue(capacity=2, item="u4") as q:
        q.put_many(range(waiting))
        with pytest.raises(ValueError, match="timeout"):
            getattr(q, verb)(*arguments, timeout=timeout)
        assert q.peek_many(10) == list(range(waiting))


@pytest.mark.parametrize("timeout", ["1", [], object()])
def test_timeout_that_is_no_number_is_refused(timeout: Any) -> None:
    with penstock.Queue(capacity=1) as q:
        with pytest.raises(TypeError):
            q.put("item", timeout=timeout)
        with pytest.raises(TypeError):
            q.get(timeout=timeout)
        assert q.empty()


@pytest.mark.parametrize("timeout", [1e300, math.inf, 10**18])
def test_timeout_longer_than_any_clock_waits_for_ever(queue: penstock.Queue, timeout: float) -> None:
    with Call(queue.get, timeout=timeout) as getter:
        getter.asleep()
        queue.put("item")
        assert getter.result() == "item"


# ---- items -----------------------------------------------------------------------------------------------------------


class Unpicklable:
    def __reduce__(self) -> Any:
        raise RuntimeError("I stay here")


class Indexed:
    def __index__(self) -> int:
        return 7


GOOD_ITEMS: list[tuple[Any, list[Any]]] = [
    (bool, [True, False]),
    ("u1", [0, 255]),
    ("i1", [-128, 127]),
    ("u2", [0, 65535]),
    ("i2", [-32768, 32767]),
    ("u4", [0, 4294967295]),
    ("i4", [-(2**31), 2**31 - 1]),
    ("u8", [0, 2**64 - 1]),
    (int, [-(2**63), 2**63 - 1, 0, True]),
    ("f4", [0.5, -math.inf, 0, 3]),
    (float, [1e308, 5e-324, -0.0, math.inf, 3]),
    (bytes, [b"", b"\0", bytes(range(256)) * 1000]),
    (str, ["", "\0", "penstock", "Schütz \U0001f6b0", "x" * 100_000]),
    (object, [None, (), {"a": [1, 2.5, "three"]}, {1, 2}, 2**100, bytes(100_000), Ellipsis]),
    ("json", [None, True, -1.5, "text", [1, [2]], {"key": ["value"]}]),
]


@pytest.mark.parametrize(("kind", "items"), GOOD_ITEMS, ids=[str(kind) for kind, _ in GOOD_ITEMS])
def test_items_of_each_kind_come_out_as_they_went_in(kind: Any, items: list[Any]) -> None:
    with penstock.Queue(item=kind, capacity=10) as q:
        for item in items:
            q.put(item)
            back = q.get()
            assert back == item
            assert type(back) is type(item) or kind in (int, float, "f4")
        assert q.put_many(items) == len(items)
        assert q.peek_many(10) == items
        assert q.get_many(10) == items


def test_not_a_number_is_a_number_too() -> None:
    with penstock.Queue(item="f8") as q:
        q.put(math.nan)
        assert math.isnan(q.get())


def test_bytes_queue_takes_anything_with_bytes() -> None:
    with penstock.Queue(item=bytes) as q:
        for item in (bytearray(b"abcd"), memoryview(b"xabcdx")[1:5], array.array("H", [0x6261, 0x6463])):
            q.put(item)
            assert q.get() == b"abcd"


def test_integer_queue_takes_what_has_an_index() -> None:
    with penstock.Queue(item="u4") as q:
        q.put(Indexed())
        assert q.get() == 7


BAD_ITEMS: list[tuple[Any, Any, type[Exception]]] = [
    ("u1", 256, OverflowError),
    ("u1", -1, OverflowError),
    ("i1", 128, OverflowError),
    ("u2", 65536, OverflowError),
    ("u4", 2**32, OverflowError),
    ("u4", -1, OverflowError),
    ("u4", 1.0, TypeError),
    ("u4", "1", TypeError),
    ("u4", None, TypeError),
    ("i4", 2**31, OverflowError),
    ("u8", 2**64, OverflowError),
    ("u8", 2**1000, OverflowError),
    (int, -(2**63) - 1, OverflowError),
    ("f4", 1e39, OverflowError),
    ("f4", "1.5", TypeError),
    (float, None, TypeError),
    (float, 10**400, OverflowError),
    (bool, 1, TypeError),
    (bool, None, TypeError),
    (bytes, "text", TypeError),
    (bytes, 5, TypeError),
    (bytes, memoryview(bytes(10))[::2], BufferError),
    (str, b"bytes", TypeError),
    (str, None, TypeError),
    (str, "\ud800", UnicodeEncodeError),
    (object, Unpicklable(), RuntimeError),
    (object, lambda: None, Exception),
    (object, threading.Lock(), TypeError),
    ("json", {1, 2}, TypeError),
    ("json", object(), TypeError),
    (bytes, bytes(1001), TooLarge),
    (str, "ü" * 501, TooLarge),
    (object, bytes(1001), TooLarge),
    ("json", "x" * 1001, TooLarge),
]


@pytest.mark.parametrize(("kind", "item", "error"), BAD_ITEMS)
def test_item_that_cannot_be_put_raises_before_anything_changes(kind: Any, item: Any, error: type[Exception]) -> None:
    sized = kind in (bytes, str, object, "json")
    good: Any = {bytes: b"", str: "", bool: True}.get(kind, 1)
    with penstock.Queue(item=kind, capacity=3, max_item_bytes=1000 if sized else None) as q:
        q.put(good)
        for put in (q.put, q.put_nowait, lambda item: q.put_many([good, item])):
            with pytest.raises(error):
                put(item)
            assert q.peek_many(5) == [good]
        assert q.put_many([good] * 5, timeout=0) == 2
        with pytest.raises(error):  # rather than Full: nothing else happens first
            q.put_nowait(item)
        assert q.get_many(5) == [good] * 3
        for _ in range(3):
            q.task_done()
        assert q.join(0) is True


def test_too_large_item_is_told_with_name_size_and_limit(name: str) -> None:
    with penstock.Queue(name, item=bytes, max_item_bytes=70_000) as q:
        with pytest.raises(TooLarge, match=rf"(?s)(?=.*70001)(?=.*70000)(?=.*{name})"):
            q.put(bytes(70_001))
        q.put(bytes(70_000))
        assert len(q.get()) == 70_000


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 95, 96, 97, 4095, 4096, 4097, 1 << 20])
def test_bytes_of_every_size_up_to_the_limit_come_out_whole(size: int) -> None:
    item = os.urandom(size)
    with penstock.Queue(item=bytes, max_item_bytes=1 << 20, capacity=2) as q:
        for _ in range(5):
            q.put(item)
            assert q.get() == item


@pytest.mark.parametrize("limit", [1, 7, 64, 1000])
def test_smallest_limits_hold(limit: int) -> None:
    with penstock.Queue(item=bytes, max_item_bytes=limit, capacity=2) as q:
        assert q.max_item_bytes == limit
        q.put(bytes(limit))
        with pytest.raises(TooLarge):
            q.put(bytes(limit + 1))
        assert q.get() == bytes(limit)


def test_large_items_pass_between_processes_whole(name: str, spawn: Spawn) -> None:
    items = [os.urandom(size) for size in (3_000_000, 10, 0, 1_000_000, 4_000_000)]
    with penstock.Queue(name, item=bytes, capacity=2, max_item_bytes=4_000_000) as q:
        child = spawn(put_all, name, items)
        assert [q.get(timeout=PATIENCE_SECONDS) for _ in items] == items
        child.result()


def test_got_object_shares_nothing_with_the_one_that_was_put() -> None:
    with penstock.Queue() as q:
        item = {"numbers": [1, 2, 3]}
        q.put(item)
        item["numbers"].append(4)
        assert q.get() == {"numbers": [1, 2, 3]}


def test_queue_keeps_no_item_alive_and_a_got_item_is_freed() -> None:
    with penstock.Queue(item=object) as q:
        q.put(Tracked())
        gc.collect()
        back = q.get()
        alive = weakref.ref(back)
        del back
        gc.collect()
        assert alive() is None


class Tracked:
    pass


class Undecodable:
    def __reduce__(self) -> Any:
        return (int, ("this is no number",))


def test_item_that_cannot_be_decoded_is_gone_with_its_bytes_in_the_error() -> None:
    with penstock.Queue(capacity=2) as q:
        q.put(Undecodable())
        q.put("next")
        with pytest.raises(DecodeError) as caught:
            q.get()
        assert b"no number" in caught.value.data
        assert isinstance(caught.value.__cause__, ValueError)
        assert q.get(timeout=0) == "next"


def test_get_many_stops_before_an_item_that_cannot_be_decoded() -> None:
    with penstock.Queue() as q:
        q.put_many([1, 2, Undecodable(), 3])
        assert q.get_many(10) == [1, 2]
        with pytest.raises(DecodeError):
            q.get_many(10)
        assert q.get_many(10) == [3]


def test_peek_at_an_item_that_cannot_be_decoded_leaves_it() -> None:
    with penstock.Queue() as q:
        q.put(Undecodable())
        with pytest.raises(DecodeError):
            q.peek()
        assert q.qsize() == 1


# ---- many at once ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["u4", object, bytes])
def test_put_many_takes_any_iterable_and_says_how_many(kind: Any) -> None:
    items = [b"a", b"b", b"c"] if kind is bytes else [1, 2, 3]
    with penstock.Queue(item=kind) as q:
        for many in (items, tuple(items), iter(items), (item for item in items)):
            assert q.put_many(many) == 3
            assert q.get_many(10) == items
        assert q.put_many([]) == 0
        assert q.put_many([], timeout=0) == 0
        assert q.empty()


@pytest.mark.parametrize("kind", ["u4", object])
def test_put_many_says_how_many_fitted_before_the_time_was_up(kind: Any) -> None:
    with penstock.Queue(item=kind, capacity=5) as q:
        q.put(0)
        started = time.perf_counter()
        assert q.put_many(range(1, 10), timeout=SHORT_SECONDS) == 4
        assert time.perf_counter() - started >= SHORT_SECONDS
        assert q.put_many([7, 8], timeout=0) == 0
        assert q.get_many(10) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["u4", object])
def test_put_many_waits_for_room_until_all_are_in(kind: Any) -> None:
    with penstock.Queue(item=kind, capacity=3) as q, Call(q.put_many, range(100)) as putter:
        putter.asleep()
        assert [q.get(timeout=PATIENCE_SECONDS) for _ in range(100)] == list(range(100))
        assert putter.result() == 100


@pytest.mark.parametrize(("kind", "bad"), [("u4", [1, 2, "three"]), (object, [1, 2, Unpicklable()])])
def test_put_many_puts_nothing_if_one_item_cannot_be_put(kind: Any, bad: list[Any]) -> None:
    with penstock.Queue(item=kind) as q:
        with pytest.raises((TypeError, RuntimeError)):
            q.put_many(bad)
        assert q.empty()


def test_put_many_of_an_iterable_that_raises_puts_nothing() -> None:
    def items() -> Any:
        yield 1
        raise KeyError("stop")

    for kind in ("u4", object):
        with penstock.Queue(item=kind) as q:
            with pytest.raises(KeyError):
                q.put_many(items())
            assert q.empty()


def test_put_many_of_what_is_no_iterable_is_refused() -> None:
    with penstock.Queue(item="u4") as q, pytest.raises(TypeError):
        q.put_many(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "code"), [("u4", "I"), ("i4", "i"), ("f8", "d"), ("u1", "B"), ("i8", "q")])
def test_put_many_takes_an_array_of_the_queues_numbers(kind: str, code: str) -> None:
    numbers = array.array(code, range(50))
    with penstock.Queue(item=kind, capacity=50) as q:
        assert q.put_many(numbers) == 50
        assert q.get_bytes_many(50) == numbers.tobytes()


def test_put_many_takes_an_array_of_other_numbers_one_by_one() -> None:
    with penstock.Queue(item="u1", capacity=5) as q:
        assert q.put_many(array.array("i", [1, 2, 255])) == 3
        assert q.get_many(5) == [1, 2, 255]
        with pytest.raises(OverflowError):
            q.put_many(array.array("i", [1, 2, 256]))
        assert q.empty()


def test_get_many_takes_what_is_there_once_there_is_something() -> None:
    with penstock.Queue() as q:
        q.put_many(["a", "b", "c"])
        assert q.get_many(2) == ["a", "b"]
        assert q.get_many(2) == ["c"]
        with Call(q.get_many, 5) as getter:
            getter.asleep()
            q.put("d")
            assert getter.result() == ["d"]


@pytest.mark.parametrize("verb", ["get_many", "get_bytes_many", "peek_many", "dead_peek_many"])
def test_asking_for_less_than_one_item_is_refused(verb: str) -> None:
    with penstock.Queue(item="u4") as q:
        q.put(1)
        with pytest.raises(ValueError, match="at least 1"):
            getattr(q, verb)(0)
        with pytest.raises((ValueError, OverflowError)):
            getattr(q, verb)(-1)
        assert q.get_nowait() == 1


def test_get_bytes_many_is_for_items_of_a_fixed_size() -> None:
    with penstock.Queue(item=bytes) as q:
        q.put(b"item")
        with pytest.raises(TypeError, match="fixed size"):
            q.get_bytes_many(1)
        assert q.qsize() == 1


# ---- looking, and throwing away --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["u4", object])
def test_peek_shows_the_oldest_items_and_takes_none(kind: Any) -> None:
    with penstock.Queue(item=kind) as q:
        assert q.peek_many(3) == []
        q.put_many([1, 2, 3])
        assert q.peek() == 1
        assert q.peek_many(2) == [1, 2]
        assert q.peek_many(100) == [1, 2, 3]
        assert q.get_many(3) == [1, 2, 3]


def test_peek_shows_large_items_too_and_all_of_a_long_queue() -> None:
    items = [n.to_bytes(4, "big") * (1 + 50 * (n % 3)) for n in range(3000)]
    with penstock.Queue(item=bytes, capacity=3000, max_item_bytes=1000) as q:
        assert q.put_many(items) == 3000
        assert q.peek_many(5000) == items


def test_purge_drops_what_waits_and_says_how_much() -> None:
    with penstock.Queue(capacity=3) as q:
        assert q.purge() == 0
        q.put_many([1, bytes(100_000), 3])
        assert q.purge() == 3
        assert q.empty()
        assert q.join(0) is True
        assert q.put_many([4, 5, 6], timeout=0) == 3


def test_purge_lets_those_who_wait_for_room_go_on() -> None:
    with penstock.Queue(capacity=1) as q:
        q.put(1)
        with Call(q.put, 2) as putter:
            putter.asleep()
            assert q.purge() == 1
            putter.result()
        assert q.get() == 2


# ---- readiness -------------------------------------------------------------------------------------------------------


def test_wait_get_and_wait_put_look_and_take_nothing() -> None:
    with penstock.Queue(capacity=1) as q:
        assert q.wait_get(0) is False
        assert q.wait_put(0) is True
        q.put("item")
        assert q.wait_get(0) is True
        assert q.wait_put(0) is False
        started = time.perf_counter()
        assert q.wait_put(SHORT_SECONDS) is False
        assert time.perf_counter() - started >= SHORT_SECONDS
        assert q.qsize() == 1


def test_wait_get_returns_when_there_is_something_to_get() -> None:
    with penstock.Queue(capacity=1) as q:
        with Call(q.wait_get) as waiter:
            waiter.asleep()
            q.put("item")
            assert waiter.result() is True
        with Call(q.wait_put) as waiter:
            waiter.asleep()
            q.get()
            assert waiter.result() is True


# ---- task_done and join ----------------------------------------------------------------------------------------------


def test_join_waits_until_all_that_was_put_is_done() -> None:
    with penstock.Queue() as q:
        assert q.join() is True
        q.put_many(["a", "b"])
        assert q.join(timeout=0) is False
        with Call(q.join) as joiner:
            q.get()
            q.task_done()
            joiner.asleep()
            q.get()
            assert q.join(SHORT_SECONDS) is False
            q.task_done()
            assert joiner.result() is True


def test_join_returns_when_another_process_has_done_the_work(queue: penstock.Queue, spawn: Spawn) -> None:
    queue.put("work")
    with Call(queue.join) as joiner:
        joiner.asleep()
        spawn(get_leases_until_shut_down, queue.name)
        assert joiner.result() is True
    queue.shutdown()


@pytest.mark.parametrize("item", ["small", "large" * 100_000])
def test_task_done_more_often_than_items_were_put_is_refused(item: str) -> None:
    with penstock.Queue() as q:
        with pytest.raises(OverRelease):
            q.task_done()
        q.put(item)
        q.get()
        q.task_done()
        with pytest.raises(ValueError, match="task_done"):
            q.task_done()
        assert q.join(0) is True


# ---- shutdown --------------------------------------------------------------------------------------------------------


def test_shut_down_queue_takes_nothing_and_gives_what_it_has() -> None:
    with penstock.Queue() as q:
        q.put_many([1, 2])
        before = q.is_shutdown
        q.shutdown()
        assert (before, q.is_shutdown) == (False, True)
        for put in (q.put, q.put_nowait, lambda item: q.put_many([item]), lambda _: q.reserve(1)):
            with pytest.raises(ShutDown):
                put(3)
        assert q.get() == 1
        assert q.get_many(5) == [2]
        for get in (q.get, q.get_nowait, q.lease, lambda: q.get_many(1)):
            with pytest.raises(ShutDown):
                get()
        q.shutdown()


def test_immediate_shutdown_drops_what_waits() -> None:
    with penstock.Queue() as q:
        q.put_many([1, 2])
        q.shutdown(immediate=True)
        assert q.qsize() == 0
        with pytest.raises(ShutDown):
            q.get()
        assert q.join(0) is True
        with pytest.raises(OverRelease):
            q.task_done()


def test_immediate_shutdown_may_follow_a_gentle_one_and_not_the_other_way_round() -> None:
    with penstock.Queue() as q:
        q.put_many([1, 2])
        q.shutdown()
        assert q.get() == 1
        q.shutdown(immediate=True)
        with pytest.raises(ShutDown):
            q.get()
        q.shutdown(immediate=False)
        assert q.is_shutdown


def test_shutdown_is_seen_by_all_handles_and_by_those_that_come_later(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name) as q:
        q.shutdown()
        with penstock.Queue(name) as other:
            assert other.is_shutdown
            with pytest.raises(ShutDown):
                other.get()
        assert spawn(call_method, "Queue", name, "put", "item").result() == "ShutDown"


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [("get", []), ("get_many", [3]), ("lease", []), ("get_bytes_many", [1])],
)
@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_those_who_wait_for_an_item(verb: str, arguments: list[Any], immediate: bool) -> None:
    with penstock.Queue(item="u4") as q, Call(getattr(q, verb), *arguments) as waiter:
        waiter.asleep()
        q.shutdown(immediate)
        with pytest.raises(ShutDown):
            waiter.result()


@pytest.mark.parametrize(("verb", "arguments"), [("put", [9]), ("put_many", [[9, 8]]), ("reserve", [4])])
@pytest.mark.parametrize("immediate", [False, True])
def test_shutdown_wakes_those_who_wait_for_room(verb: str, arguments: list[Any], immediate: bool) -> None:
    with penstock.Queue(item="u4", capacity=1) as q:
        q.put(1)
        with Call(getattr(q, verb), *arguments) as waiter:
            waiter.asleep()
            q.shutdown(immediate)
            with pytest.raises(ShutDown):
                waiter.result()
        assert q.qsize() == (0 if immediate else 1)


def test_put_many_says_how_many_were_in_when_the_queue_was_shut_down() -> None:
    for kind in ("u4", object):
        with penstock.Queue(item=kind, capacity=2) as q, Call(q.put_many, range(5)) as putter:
            putter.asleep()
            q.shutdown()
            assert putter.result() == 2
            assert q.get_many(5) == [0, 1]


def test_shutdown_wakes_those_who_wait_in_other_processes(queue: penstock.Queue, spawn: Spawn) -> None:
    child = spawn(call_method, "Queue", queue.name, "get")
    assert child.receive() == "ready"
    wait_until_asleep(child.pid)
    queue.shutdown()
    assert child.result() == "ShutDown"


def test_shutdown_does_not_end_join_while_work_is_under_way() -> None:
    with penstock.Queue() as q:
        q.put("work")
        q.get()
        with Call(q.join) as joiner:
            joiner.asleep()
            q.shutdown()
            assert q.join(SHORT_SECONDS) is False
            q.task_done()
            assert joiner.result() is True


def test_iteration_ends_when_the_queue_is_shut_down_and_empty(queue: penstock.Queue) -> None:
    with Call(list, queue) as reader:
        queue.put_many(range(50))
        queue.shutdown()
        assert reader.result() == list(range(50))


# ---- close -----------------------------------------------------------------------------------------------------------


VERBS: list[tuple[str, list[Any]]] = [
    ("put", [1]),
    ("put_nowait", [1]),
    ("put_many", [[1]]),
    ("get", []),
    ("get_nowait", []),
    ("get_many", [1]),
    ("get_bytes_many", [1]),
    ("lease", []),
    ("reserve", [4]),
    ("peek", []),
    ("peek_many", [1]),
    ("purge", []),
    ("qsize", []),
    ("empty", []),
    ("full", []),
    ("task_done", []),
    ("join", []),
    ("shutdown", []),
    ("wait_get", []),
    ("wait_put", []),
    ("unlink", []),
    ("stats", []),
    ("dead_get", []),
    ("dead_size", []),
    ("dead_peek_many", [1]),
    ("dead_purge", []),
    ("dead_requeue", []),
]


@pytest.mark.parametrize(("verb", "arguments"), VERBS)
def test_every_verb_on_a_closed_handle_raises_closed(name: str, verb: str, arguments: list[Any]) -> None:
    with penstock.Queue(name, item="u4") as q:
        q.put(1)
    assert q.closed
    with pytest.raises(Closed, match="closed"):
        getattr(q, verb)(*arguments)
    with penstock.Queue.open(name) as other:
        assert other.get_many(5) == [1]


def test_closing_twice_and_joining_no_thread_do_nothing(queue: penstock.Queue) -> None:
    queue.cancel_join_thread()
    queue.close()
    queue.close()
    queue.join_thread()
    queue.join_thread()
    assert queue.closed


def test_closed_handle_still_says_what_it_was(name: str) -> None:
    q = penstock.Queue(name, capacity=7)
    q.close()
    assert (q.name, q.capacity, q.item) == (name, 7, "object")
    assert "closed" in repr(q)


@pytest.mark.parametrize(("verb", "arguments"), [("get", []), ("lease", []), ("wait_get", []), ("dead_get", [])])
def test_closing_the_handle_ends_waits_of_other_threads(queue: penstock.Queue, verb: str, arguments: list[Any]) -> None:
    with Call(getattr(queue, verb), *arguments) as waiter:
        waiter.asleep()
        queue.close()
        with pytest.raises(Closed):
            waiter.result()


@pytest.mark.parametrize(("verb", "arguments"), [("put", [9]), ("put_many", [[9]]), ("reserve", [4]), ("join", [])])
def test_closing_the_handle_ends_waits_for_room_of_other_threads(name: str, verb: str, arguments: list[Any]) -> None:
    with penstock.Queue(name, capacity=1, item="u4") as q, penstock.Queue(name) as other:
        q.put(1)
        with Call(getattr(q, verb), *arguments) as waiter:
            waiter.asleep()
            q.close()
            with pytest.raises(Closed):
                waiter.result()
        assert other.get_many(5) == [1]


def test_closing_one_handle_leaves_others_of_the_same_queue_alone(name: str) -> None:
    with penstock.Queue(name) as first, penstock.Queue(name) as second, Call(second.get) as getter:
        getter.asleep()
        first.close()
        assert not second.closed
        second.put("item")
        assert getter.result() == "item"


def test_handle_that_is_dropped_without_closing_leaves_the_queue(name: str) -> None:
    q = penstock.Queue(name)
    q.put("kept")
    del q
    gc.collect()
    with penstock.Queue.open(name) as again:
        assert again.get(timeout=0) == "kept"


# ---- unlink ----------------------------------------------------------------------------------------------------------


def test_unlinked_queue_works_on_for_those_who_have_it_open(name: str) -> None:
    with penstock.Queue(name) as q:
        q.unlink()
        assert not os.path.exists(q.path)
        q.put("item")
        assert q.get() == "item"
        q.unlink()


def test_new_queue_under_an_unlinked_name_is_another_one_and_stays(name: str) -> None:
    with penstock.Queue(name) as old:
        old.unlink()
        with penstock.Queue.create(name) as new:
            new.put("new")
            old.put("old")
            old.unlink()
            assert os.path.exists(new.path)
            assert old.get_many(5) == ["old"]
            with penstock.Queue.open(name) as again:
                assert again.get_many(5) == ["new"]


@pytest.mark.parametrize("verb", ["get", "lease", "wait_get", "dead_get"])
def test_waiting_on_an_unlinked_queue_raises_removed(name: str, verb: str) -> None:
    with penstock.Queue(name) as q, Call(getattr(q, verb)) as waiter:
        waiter.asleep()
        q.unlink()
        with pytest.raises(Removed, match=name):
            waiter.result()
        with pytest.raises(Removed):
            getattr(q, verb)(timeout=PATIENCE_SECONDS)


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is mapped cannot be removed by other programs")
def test_waiting_in_another_process_on_a_file_that_was_removed_raises_removed(
    queue: penstock.Queue, spawn: Spawn
) -> None:
    child = spawn(call_method, "Queue", queue.name, "get")
    assert child.receive() == "ready"
    wait_until_asleep(child.pid)
    os.unlink(queue.path)
    assert child.result() == "Removed"


# ---- private queues, lifetimes ---------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file stays in its directory until its last map is gone")
def test_private_queue_is_gone_with_its_last_handle(directory: str) -> None:
    with penstock.Queue() as q:
        assert len(os.listdir(directory)) == 1
        assert q.lifetime == "while_open"
    assert os.listdir(directory) == []


def test_while_open_queue_is_gone_with_its_last_user(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name, lifetime="while_open") as q:
        child = spawn(call_method, "Queue", name, "get")
        child.receive()
        path = q.path
        wait_until_asleep(child.pid)
        q.put("work")
        assert child.result() == "work"
        assert os.path.exists(path)
    assert not os.path.exists(path)


def test_named_queue_stays_when_nobody_has_it_open(name: str) -> None:
    with penstock.Queue(name) as q:
        q.put("kept")
        assert q.created
    with penstock.Queue(name) as q:
        assert not q.created
        assert q.get(timeout=0) == "kept"


# ---- stats -----------------------------------------------------------------------------------------------------------


def test_stats_tell_how_things_stand(name: str) -> None:
    with penstock.Queue(name, capacity=5, item="u4", max_deliveries=3, dead_letters=2) as q:
        q.put_many([1, 2, 3, 4])
        q.get()
        lease = q.lease()
        room = q.reserve(4)
        stats = q.stats()
        expected = {
            "name": name,
            "path": q.path,
            "kind": "queue",
            "item": "u4",
            "capacity": 5,
            "max_item_bytes": 4,
            "waiting": 2,
            "writing": 1,
            "leased": 1,
            "dead_letters": 0,
            "put_total": 4,
            "deliveries_limit": 3,
            "lifetime": "until_unlinked",
            "is_shutdown": False,
            "put_lock_holder": None,
            "get_lock_holder": None,
        }
        assert {key: stats[key] for key in expected} == expected
        assert 0 <= stats["oldest_lease_seconds"] < 60
        assert 0 <= time.time() - stats["created_at"] < 60
        assert 0 < stats["bytes_committed"] <= stats["bytes_reserved"] + 4096
        [me] = stats["participants"]
        assert (me["pid"], me["alive"], me["is_self"]) == (os.getpid(), True, True)
        room.cancel()
        lease.ack()
        after = q.stats()
        assert (after["writing"], after["leased"], after["oldest_lease_seconds"]) == (0, 0, None)


def test_stats_show_every_process_that_has_the_queue_open(queue: penstock.Queue, spawn: Spawn) -> None:
    child = spawn(call_method, "Queue", queue.name, "get")
    child.receive()
    pids = {entry["pid"]: entry["is_self"] for entry in queue.stats()["participants"]}
    assert pids == {os.getpid(): True, child.pid: False}
    queue.put("go home")
    child.result()
    assert [entry["pid"] for entry in queue.stats()["participants"]] == [os.getpid()]


# ---- many at a time --------------------------------------------------------------------------------------------------


def check_each_once_and_in_order(lists: list[list[tuple[int, int]]], producers: int, count: int) -> None:
    """Check that every item was got exactly once, and each producer's in order by each consumer."""
    assert Counter(item for items in lists for item in items) == Counter(
        (producer, number) for producer in range(producers) for number in range(count)
    )
    for items in lists:
        for producer in range(producers):
            numbers = [number for who, number in items if who == producer]
            assert numbers == sorted(numbers)


@pytest.mark.parametrize("capacity", [1, 10])
def test_threads_pass_every_item_once_and_in_order(capacity: int) -> None:
    with penstock.Queue(capacity=capacity) as q:

        def produce(producer: int) -> None:
            for number in range(300):
                q.put((producer, number))

        consumers = [Call(list, q) for _ in range(4)]
        producers = [Call(produce, producer) for producer in range(4)]
        for one in producers:
            one.result()
        q.shutdown()
        check_each_once_and_in_order([one.result() for one in consumers], 4, 300)


@pytest.mark.parametrize("consume", [get_until_shut_down, get_leases_until_shut_down])
def test_processes_pass_every_item_once_and_in_order(name: str, spawn: Spawn, consume: Callable[..., Any]) -> None:
    with penstock.Queue(name, capacity=10) as q:
        consumers = [spawn(consume, name) for _ in range(2)]
        producers = [spawn(put_numbers, name, producer, 3000) for producer in range(2)]
        for child in producers:
            child.result()
        q.shutdown()
        check_each_once_and_in_order([child.result() for child in consumers], 2, 3000)


# ---- subclasses ------------------------------------------------------------------------------------------------------


class Labelled(penstock.Queue):
    """A user's subclass, with room for attributes of its own."""

    label = ""


def test_queue_can_be_subclassed_and_referred_to_weakly(name: str) -> None:
    with Labelled(name, capacity=2) as q:
        q.label = "blue"
        reference = weakref.ref(q)
        assert reference() is q
        assert isinstance(Labelled.open(name), Labelled)


def test_handle_takes_no_attributes(queue: penstock.Queue) -> None:
    with pytest.raises(AttributeError):
        queue.maxsize = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        queue.something = 5  # type: ignore[attr-defined]


# ---- however a call is written ---------------------------------------------------------------------------------------


def _number_queue(state: str) -> penstock.Queue:
    q = penstock.Queue(capacity=1, item="u1")
    if state in ("full", "full and shut down"):
        q.put(1)
    if "shut down" in state:
        q.shutdown()
    if state == "closed":
        q.close()
    return q


def _outcome(form: Callable[[penstock.Queue], Any], state: str) -> tuple[Any, ...]:
    with _number_queue(state) as q:
        try:
            came: tuple[Any, ...] = ("returns", form(q))
        except Exception as error:  # noqa: BLE001 - whichever it is, it is the same for all
            came = (type(error), str(error).replace(q.name, "it"))
        return (*came, None if q.closed else q.qsize())


@pytest.mark.parametrize("state", ["empty", "full and shut down", "shut down", "closed"])
@pytest.mark.parametrize("item", [7, True, 256, -1, 2.0, "seven", None])
def test_a_plain_put_does_what_one_with_named_arguments_does(state: str, item: Any) -> None:
    forms: list[Callable[[penstock.Queue], Any]] = [
        lambda q: q.put(item),
        lambda q: q.put(item=item),
        lambda q: q.put(item, True, None),
        lambda q: q.put(item, block=True, timeout=5),
        lambda q: penstock.Queue.put(q, item),
    ]
    outcomes = [_outcome(form, state) for form in forms]
    assert outcomes == [outcomes[0]] * len(forms)


@pytest.mark.parametrize("state", ["full", "full and shut down", "shut down", "closed"])
def test_a_plain_get_does_what_one_with_named_arguments_does(state: str) -> None:
    forms: list[Callable[[penstock.Queue], Any]] = [
        lambda q: q.get(),
        lambda q: q.get(True),
        lambda q: q.get(block=True, timeout=5),
        lambda q: q.get(timeout=None),
        penstock.Queue.get,
    ]
    outcomes = [_outcome(form, state) for form in forms]
    assert outcomes == [outcomes[0]] * len(forms)


@pytest.mark.parametrize("verb", ["put", "get"])
def test_calls_that_cannot_be_are_refused_before_anything_happens(verb: str) -> None:
    with _number_queue("full") as q:
        act = getattr(q, verb)
        wrong: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
            ((1, True, None, 4), {}),
            ((), {"wait": 1}),
            ((1,), {"block": True, "bock": True}),
        ]
        for args, named in wrong:
            with pytest.raises(TypeError):
                act(*args, **named)
        with pytest.raises(TypeError):
            getattr(penstock.Queue, verb)(object(), 1)
        assert q.qsize() == 1


def test_a_plain_put_of_what_turns_into_a_number_by_itself() -> None:
    class Seven:
        def __index__(self) -> int:
            return 7

    with penstock.Queue(capacity=1, item="u1") as q:
        q.put(Seven())
        assert q.get() == 7


def test_an_item_that_raises_while_it_is_asked_for_its_number_is_not_put() -> None:
    class Broken:
        def __index__(self) -> int:
            raise RuntimeError("no number today")

    with penstock.Queue(capacity=1, item="i4") as q:
        with pytest.raises(OverflowError):
            q.put(Broken())
        with pytest.raises(OverflowError):
            q.put(item=Broken())
        assert q.qsize() == 0

"""Reservations: room in the queue, written in place, and put when the block ends. `test_arrays` has those of arrays."""

from __future__ import annotations

import gc
import pickle
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import PATIENCE_SECONDS
from peers import Call, call_method
from penstock import DecodeError, Empty, Full, LeaseLost, ShutDown, TooLarge

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock import testing

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")

SIZES = [0, 1, 8, 96, 4096, 100_000]


def free_room(q: penstock.Queue) -> int:
    """Count how many items still fit, by putting and taking them."""
    before = q.qsize()
    added = q.put_many([b""] * (q.capacity + 1), timeout=0)
    kept = [q.get() for _ in range(before)]
    assert [q.get() for _ in range(added)] == [b""] * added
    q.put_many(kept)
    return added


# ---- writing in place ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_in_the_block_is_put_at_its_end(size: int) -> None:
    data = bytes(n % 251 for n in range(size))
    with penstock.Queue(item=bytes) as q:
        with q.reserve(size) as view:
            assert isinstance(view, memoryview)
            assert (view.nbytes, view.readonly, view.format) == (size, False, "B")
            view[:] = data
            assert q.empty()
        assert q.get(timeout=0) == data


@pytest.mark.parametrize("size", SIZES)
def test_error_in_the_block_puts_nothing_and_frees_the_room(size: int) -> None:
    with penstock.Queue(item=bytes, capacity=1) as q:
        with pytest.raises(KeyError), q.reserve(size):
            raise KeyError
        assert q.empty()
        assert free_room(q) == 1


def test_reserved_room_can_be_filled_by_what_reads_into_buffers() -> None:
    with penstock.Queue(item=bytes) as q:
        with q.reserve(16) as view:
            struct.pack_into("<QQ", view, 0, 7, 8)
        assert struct.unpack("<QQ", q.get()) == (7, 8)


def test_text_and_pickles_are_written_in_place_too() -> None:
    with penstock.Queue(item=str) as q:
        text = "Schütz".encode()
        with q.reserve(len(text)) as view:
            view[:] = text
        assert q.get() == "Schütz"
    with penstock.Queue() as q:
        data = pickle.dumps({"key": "value"}, 5)
        with q.reserve(len(data)) as view:
            view[:] = data
        assert q.get() == {"key": "value"}


def test_number_is_written_in_place_in_its_own_size_only() -> None:
    with penstock.Queue(item="u4") as q:
        with q.reserve(4) as view:
            view[:] = (5).to_bytes(4, "little")
        assert q.get() == 5
        for size in (0, 3, 5, 8):
            with pytest.raises(ValueError, match="4"):
                q.reserve(size)
        assert q.empty()


def test_bytes_that_are_no_item_raise_decode_error_in_the_consumer() -> None:
    with penstock.Queue(item=str) as q:
        with q.reserve(1) as view:
            view[:] = b"\xff"
        with pytest.raises(DecodeError):
            q.get()
        assert q.empty()


# ---- commit and cancel -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "kept"), [(8, 3), (100_000, 99_999), (100_000, 5), (100_000, 0), (5, 0), (8, 8)])
def test_commit_may_keep_only_the_beginning(size: int, kept: int) -> None:
    with penstock.Queue(item=bytes) as q:
        room = q.reserve(size)
        room.view[:] = bytes(n % 251 for n in range(size))
        room.commit(kept)
        assert q.get(timeout=0) == bytes(n % 251 for n in range(kept))


@pytest.mark.parametrize("kept", [-1, 9, 2**40])
def test_commit_of_what_was_not_reserved_is_refused_and_the_reservation_stands(kept: int) -> None:
    with penstock.Queue(item=bytes) as q:
        room = q.reserve(8)
        room.view[:] = b"reserved"
        with pytest.raises(ValueError, match="0 to 8"):
            room.commit(kept)
        assert q.empty()
        room.commit()
        assert q.get() == b"reserved"


def test_number_cannot_be_committed_in_part() -> None:
    with penstock.Queue(item="u4") as q:
        room = q.reserve(4)
        with pytest.raises(ValueError, match="4"):
            room.commit(2)
        room.cancel()
        assert q.empty()


def test_cancelled_reservation_frees_its_room() -> None:
    with penstock.Queue(item=bytes, capacity=2) as q:
        q.reserve(100_000).cancel()
        q.reserve(5).cancel()
        assert free_room(q) == 2


@pytest.mark.parametrize("first", ["commit", "cancel"])
@pytest.mark.parametrize("second", ["commit", "cancel"])
def test_settling_twice_raises_lease_lost_and_changes_nothing(first: str, second: str) -> None:
    with penstock.Queue(item=bytes, capacity=2) as q:
        room = q.reserve(5)
        room.view[:] = b"frame"
        getattr(room, first)()
        for _ in range(2):
            with pytest.raises(LeaseLost):
                getattr(room, second)()
        assert q.peek_many(5) == ([b"frame"] if first == "commit" else [])


@pytest.mark.parametrize("verb", ["commit", "cancel"])
def test_reservation_settled_in_its_block_is_left_alone_at_its_end(verb: str) -> None:
    with penstock.Queue(item=bytes) as q:
        room = q.reserve(1)
        with room as view:
            view[0] = 65
            getattr(room, verb)()
        assert q.peek_many(5) == ([b"A"] if verb == "commit" else [])


def test_reservation_that_is_dropped_is_cancelled() -> None:
    with penstock.Queue(item=bytes, capacity=1) as q:
        room = q.reserve(100_000)
        with pytest.raises(Full):
            q.put(b"", timeout=0)
        del room
        gc.collect()
        assert free_room(q) == 1


def test_view_is_taken_away_when_the_item_is_put() -> None:
    with penstock.Queue(item=bytes) as q:
        with q.reserve(4) as view:
            view[:] = b"item"
        with pytest.raises(ValueError, match="released"):
            view[0] = 1
        room = q.reserve(4)
        room.cancel()
        with pytest.raises(LeaseLost):
            _ = room.view
        assert q.get() == b"item"


def test_reservation_outlives_the_handle_that_it_came_from(name: str) -> None:
    q = penstock.Queue(name, item=bytes, capacity=3)
    committed, cancelled, dropped = q.reserve(100_000), q.reserve(1), q.reserve(1)
    q.close()
    committed.view[:] = bytes(100_000)
    committed.commit()
    cancelled.cancel()
    del dropped
    gc.collect()
    with penstock.Queue.open(name) as again:
        assert again.get_many(5, 0) == [bytes(100_000)]
        assert free_room(again) == 3


# ---- order, room, waiting --------------------------------------------------------------------------------------------


def test_items_are_ordered_by_when_they_are_put_and_a_slow_writer_holds_nobody_up() -> None:
    with penstock.Queue(item=bytes) as q:
        slow, fast = q.reserve(4), q.reserve(4)
        q.put(b"plain")
        fast.view[:] = b"fast"
        fast.commit()
        assert q.get_many(5) == [b"plain", b"fast"]
        slow.view[:] = b"slow"
        slow.commit()
        assert q.get(timeout=0) == b"slow"


def test_reserved_room_counts_as_taken() -> None:
    with penstock.Queue(item=bytes, capacity=2) as q:
        with q.reserve(1), q.reserve(100_000):
            assert q.full()
            assert q.stats()["writing"] == 2
            started = time.perf_counter()
            for put in (lambda: q.put(b"", timeout=0.02), lambda: q.reserve(1, timeout=0.02)):
                with pytest.raises(Full):
                    put()
            assert time.perf_counter() - started >= 0.04
        assert q.full()
        assert q.qsize() == 2


def test_reserve_waits_until_there_is_room() -> None:
    with penstock.Queue(item=bytes, capacity=1) as q:
        q.put(b"first")
        with Call(q.reserve, 6) as reserver:
            reserver.asleep()
            assert q.get() == b"first"
            with reserver.result() as view:
                view[:] = b"second"
        assert q.get() == b"second"


def test_cancelling_lets_who_waits_for_room_go_on() -> None:
    with penstock.Queue(item=bytes, capacity=1) as q:
        room = q.reserve(1)
        with Call(q.put, b"next") as putter:
            putter.asleep()
            room.cancel()
            putter.result()


def test_committing_wakes_who_waits_in_another_process(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name, item=bytes) as q:
        child = spawn(call_method, "Queue", name, "get", timeout=PATIENCE_SECONDS)
        child.receive()
        with q.reserve(100_000) as view:
            view[:] = b"x" * 100_000
        assert child.result() == b"x" * 100_000


# ---- limits and ends -------------------------------------------------------------------------------------------------


def test_reserving_more_than_an_item_may_have_raises_too_large() -> None:
    with penstock.Queue(item=bytes, max_item_bytes=1000, capacity=1) as q:
        with pytest.raises(TooLarge, match=r"1001.*1000"):
            q.reserve(1001)
        with pytest.raises(TooLarge):
            q.reserve(2**62)
        q.reserve(1000).cancel()


@pytest.mark.parametrize(("nbytes", "error"), [(-1, ValueError), ("1", TypeError), (1.5, TypeError), (None, TypeError)])
def test_reserving_what_is_no_size_is_refused(nbytes: Any, error: type[Exception]) -> None:
    with penstock.Queue(item=bytes) as q, pytest.raises(error):
        q.reserve(nbytes)


@pytest.mark.parametrize("immediate", [False, True])
def test_reservation_of_a_queue_that_was_shut_down_cannot_be_put(immediate: bool) -> None:
    with penstock.Queue(item=bytes) as q:
        committed, cancelled = q.reserve(4), q.reserve(4)
        q.shutdown(immediate)
        with pytest.raises(ShutDown):
            committed.commit()
        with pytest.raises(LeaseLost):
            committed.commit()
        cancelled.cancel()
        with pytest.raises(ShutDown):
            q.get()
        assert q.join(0) is True


def test_reservation_is_not_work_to_be_done_until_it_is_put() -> None:
    with penstock.Queue(item=bytes) as q:
        with q.reserve(1) as view:
            view[0] = 1
            assert q.join(0) is True
            with pytest.raises(Empty):
                q.get(timeout=0)
        assert q.join(0) is False

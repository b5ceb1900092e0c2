"""Leases: an item in the hands of one consumer, until it is acknowledged or given back; and what becomes of poison."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import get_some
from peers import Call, take_dead_letters
from penstock import DecodeError, Empty, Full, LeaseLost, OverRelease, ShutDown

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock import testing

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")

LARGE = bytes(range(256)) * 400
"""Does not fit the line of its slot."""


@pytest.fixture(params=[b"small", LARGE], ids=["small", "large"])
def item(request: pytest.FixtureRequest) -> Any:
    return request.param


# ---- settling --------------------------------------------------------------------------------------------------------


def test_leased_item_is_acknowledged_at_the_end_of_the_block(item: bytes) -> None:
    with penstock.Queue(item=bytes, capacity=1) as q:
        q.put(item)
        with q.lease() as lease:
            assert lease.value == item
            assert (lease.deliveries, lease.nbytes, lease.is_settled) == (1, len(item), False)
        assert lease.is_settled
        q.put(item, timeout=0)
        assert q.qsize() == 1


def test_leased_item_is_given_back_when_the_block_raises(item: bytes) -> None:
    with penstock.Queue(item=bytes) as q:
        q.put(item)
        with pytest.raises(KeyError), q.lease() as lease:
            raise KeyError
        assert lease.is_settled
        with q.lease(timeout=0) as again:
            assert (again.value, again.deliveries) == (item, 2)


@pytest.mark.parametrize("verb", ["ack", "give_back"])
def test_item_settled_in_the_block_is_left_alone_at_its_end(verb: str) -> None:
    with penstock.Queue() as q:
        q.put("item")
        with q.lease() as lease:
            getattr(lease, verb)()
        assert q.qsize() == (0 if verb == "ack" else 1)
        with pytest.raises(KeyError):  # noqa: PT012 - the second lease is part of the block that raises
            q.put("other")
            with q.lease() as lease:
                getattr(lease, verb)()
                raise KeyError


@pytest.mark.parametrize("first", ["ack", "give_back"])
@pytest.mark.parametrize("second", ["ack", "give_back"])
def test_settling_twice_raises_lease_lost_and_changes_nothing(first: str, second: str, item: bytes) -> None:
    with penstock.Queue(item=bytes) as q:
        q.put(item)
        lease = q.lease()
        getattr(lease, first)()
        for _ in range(2):
            with pytest.raises(LeaseLost):
                getattr(lease, second)()
        assert q.peek_many(5) == ([] if first == "ack" else [item])


def test_stale_lease_cannot_settle_the_next_delivery(item: bytes) -> None:
    with penstock.Queue(item=bytes) as q:
        q.put(item)
        stale = q.lease()
        stale.give_back()
        with q.lease() as current:
            with pytest.raises(LeaseLost):
                stale.ack()
            assert not current.is_settled
        assert q.empty()


def test_lease_that_is_dropped_is_given_back(item: bytes) -> None:
    with penstock.Queue(item=bytes) as q:
        q.put(item)
        lease = q.lease()
        assert q.empty()
        del lease
        gc.collect()
        with q.lease(timeout=0) as again:
            assert again.deliveries == 2


def test_lease_outlives_the_handle_that_it_came_from(name: str, item: bytes) -> None:
    q = penstock.Queue(name, item=bytes)
    q.put_many([item, item])
    acknowledged, dropped = q.lease(), q.lease()
    q.close()
    assert acknowledged.value == item
    acknowledged.ack()
    del dropped
    gc.collect()
    with penstock.Queue.open(name) as again:
        assert again.get_many(5, 0) == [item]


# ---- what others see -------------------------------------------------------------------------------------------------


def test_leased_item_is_nobody_elses_and_holds_its_room(item: bytes) -> None:
    with penstock.Queue(item=bytes, capacity=2) as q:
        q.put_many([item, item])
        with q.lease():
            assert q.qsize() == 1
            assert q.peek_many(5) == [item]
            with pytest.raises(Full):
                q.put(item, timeout=0)
            assert q.get() == item
            with pytest.raises(Empty):
                q.get(timeout=0)
            assert q.purge() == 0
        assert q.put_many([item] * 3, timeout=0) == 2


def test_leased_item_holds_up_nobody_else() -> None:
    with penstock.Queue(capacity=3) as q:
        q.put("slow")
        with q.lease() as slow:
            for number in range(100):
                q.put(number)
                assert q.get() == number
            assert slow.value == "slow"


def test_acknowledging_lets_who_waits_for_room_go_on(item: bytes) -> None:
    with penstock.Queue(item=bytes, capacity=1) as q:
        q.put(item)
        lease = q.lease()
        with Call(q.put, b"next") as putter:
            putter.asleep()
            lease.ack()
            putter.result()


def test_giving_back_wakes_who_waits_for_an_item(item: bytes) -> None:
    with penstock.Queue(item=bytes) as q:
        q.put(item)
        lease = q.lease()
        with Call(q.get) as getter:
            getter.asleep()
            lease.give_back()
            assert getter.result() == item


def test_returned_items_come_before_newer_ones_in_their_old_order() -> None:
    with penstock.Queue(capacity=20) as q:
        q.put_many(range(10))
        leases = [q.lease() for _ in range(6)]
        for place in (3, 0, 5, 1):
            leases[place].give_back()
        leases[2].ack()
        assert [q.get() for _ in range(q.qsize())] == [0, 1, 3, 5, 6, 7, 8, 9]
        leases[4].give_back()
        q.put(10)
        assert q.get_many(5) == [4, 10]


def test_item_that_was_given_back_goes_to_another_process(queue: penstock.Queue, spawn: Spawn) -> None:
    queue.put("work")
    lease = queue.lease()
    child = spawn(get_some, queue.name, 1)
    lease.give_back()
    assert child.result() == ["work"]


# ---- the value, and the view in place --------------------------------------------------------------------------------


def test_value_is_decoded_once_and_stays_after_the_end() -> None:
    with penstock.Queue() as q:
        q.put({"key": [1, 2]})
        with q.lease() as lease:
            value = lease.value
            value["key"].append(3)
            assert lease.value is value
        q.put("overwritten")
        assert value == {"key": [1, 2, 3]}


@pytest.mark.parametrize("kind", ["u4", "f8", "?", str, bytes, object, "json"])
def test_value_is_what_get_would_have_returned(kind: Any) -> None:
    good: Any = {bytes: b"bytes", str: "text", "?": True, object: [1, "two"], "json": {"a": [None]}}.get(kind, 3)
    with penstock.Queue(item=kind) as q:
        q.put(good)
        with q.lease() as lease:
            assert lease.value == good
            assert type(lease.value) is type(good) or kind == "f8"


def test_value_that_cannot_be_decoded_raises_and_the_item_stays_leased() -> None:
    with penstock.Queue(item=str) as q:
        with q.reserve(2) as view:
            view[:] = b"\xff\xfe"
        lease = q.lease()
        with pytest.raises(DecodeError) as caught:
            _ = lease.value
        assert caught.value.data == b"\xff\xfe"
        assert not lease.is_settled
        with lease.view as view:
            assert bytes(view) == b"\xff\xfe"
        lease.ack()
        assert q.join(0)


def test_view_shows_the_bytes_in_place_and_cannot_be_written(item: bytes) -> None:
    with penstock.Queue(item=bytes) as q:
        q.put(item)
        with q.lease() as lease:
            view = lease.view
            assert isinstance(view, memoryview)
            assert view.readonly
            assert view == item
            assert lease.view is view
            with pytest.raises(TypeError):
                view[0] = 1
        with pytest.raises(ValueError, match="released"):
            view[0]


def test_view_after_the_end_raises_lease_lost(item: bytes) -> None:
    with penstock.Queue(item=bytes) as q:
        q.put(item)
        with q.lease() as lease:
            pass
        with pytest.raises(LeaseLost):
            _ = lease.view
        with pytest.raises(LeaseLost):
            _ = lease.value


@pytest.mark.parametrize("end", ["ack", "give_back"])
def test_slot_stays_taken_while_something_made_of_the_view_lives(end: str, item: bytes) -> None:
    with penstock.Queue(item=bytes, capacity=1) as q:
        q.put(item)
        lease = q.lease()
        part = lease.view[1:4]
        getattr(lease, end)()
        assert lease.is_settled
        assert q.empty()
        with pytest.raises(Full):
            q.put(b"other", timeout=0)
        assert bytes(part) == item[1:4]
        part.release()
        gc.collect()
        if end == "ack":
            q.put(b"other", timeout=0)
        assert q.get_many(5, 0) == [b"other" if end == "ack" else item]


def test_slot_is_settled_when_the_last_of_several_views_goes() -> None:
    with penstock.Queue(item=bytes, capacity=1) as q:
        q.put(LARGE)
        with q.lease() as lease:
            parts = [lease.view[place:] for place in range(5)]
        while parts:
            with pytest.raises(Full):
                q.put(b"other", timeout=0)
            parts.pop().release()
        gc.collect()
        q.put(b"other", timeout=0)


def test_view_keeps_its_bytes_when_lease_handle_and_name_are_gone(name: str) -> None:
    q = penstock.Queue(name, item=bytes)
    q.put(LARGE)
    part = q.lease().view[:]
    q.unlink()
    q.close()
    del q
    gc.collect()
    assert part == LARGE


def test_dropping_a_lease_with_a_living_view_gives_the_item_back_when_that_goes(item: bytes) -> None:
    with penstock.Queue(item=bytes) as q:
        q.put(item)
        part = q.lease().view[:]
        gc.collect()
        assert q.empty()
        part.release()
        gc.collect()
        assert q.get(timeout=0) == item


# ---- waiting, shutdown, counting -------------------------------------------------------------------------------------


def test_lease_waits_until_there_is_an_item(queue: penstock.Queue) -> None:
    with Call(queue.lease) as leaser:
        leaser.asleep()
        queue.put("item")
        with leaser.result() as lease:
            assert lease.value == "item"


def test_acknowledged_lease_counts_as_a_task_that_is_done(item: bytes) -> None:
    with penstock.Queue(item=bytes) as q:
        q.put_many([item, item])
        with q.lease():
            assert q.join(0) is False
        assert q.join(0) is False
        q.lease().ack()
        assert q.join(0) is True
        with pytest.raises(OverRelease):
            q.task_done()


def test_given_back_item_is_not_done() -> None:
    with penstock.Queue() as q:
        q.put("item")
        q.lease().give_back()
        assert q.join(0) is False
        q.get()
        q.task_done()
        assert q.join(0) is True


def test_shut_down_queue_takes_an_item_back_and_gives_it_again() -> None:
    with penstock.Queue() as q:
        q.put("item")
        lease = q.lease()
        q.shutdown()
        with pytest.raises(ShutDown):
            q.lease()
        lease.give_back()
        with q.lease() as again:
            assert again.value == "item"


def test_item_given_back_after_an_immediate_shutdown_is_dropped_and_done() -> None:
    with penstock.Queue() as q:
        q.put("item")
        lease = q.lease()
        q.shutdown(immediate=True)
        assert q.join(0) is False
        lease.give_back()
        assert q.join(0) is True
        with pytest.raises(ShutDown):
            q.get()


def test_stats_show_the_age_of_the_oldest_lease() -> None:
    with penstock.Queue() as q:
        q.put_many([1, 2])
        with q.lease(), q.lease():
            assert q.stats()["leased"] == 2
            time.sleep(0.02)
            assert 0.01 <= q.stats()["oldest_lease_seconds"] < 60


# ---- poison and dead letters -----------------------------------------------------------------------------------------


def fail(q: penstock.Queue, times: int) -> None:
    """Take the next item so often, and fail each time."""
    for _ in range(times):
        with pytest.raises(KeyError), q.lease(timeout=0):
            raise KeyError


@pytest.mark.parametrize("most", [1, 2, 5])
def test_item_that_failed_too_often_becomes_a_dead_letter(most: int, item: bytes) -> None:
    with penstock.Queue(item=bytes, max_deliveries=most) as q:
        q.put_many([item, b"good"])
        fail(q, most)
        assert q.get(timeout=0) == b"good"
        with pytest.raises(Empty):
            q.get(timeout=0)
        assert (q.dead_letters.qsize(), len(q.dead_letters)) == (1, 1)
        assert q.dead_letters.get_nowait() == item
        with pytest.raises(Empty):
            q.dead_letters.get_nowait()


def test_deliveries_are_counted_and_only_those_that_failed() -> None:
    with penstock.Queue(max_deliveries=3) as q:
        q.put("item")
        for count in (1, 2):
            lease = q.lease()
            assert lease.deliveries == count
            lease.give_back()
        with q.lease() as lease:
            assert lease.deliveries == 3
        assert q.dead_letters.qsize() == 0
        q.put("next")
        assert q.lease().deliveries == 1


def test_without_a_limit_an_item_is_delivered_as_often_as_it_takes() -> None:
    with penstock.Queue() as q:
        assert q.max_deliveries is None
        q.put("item")
        fail(q, 50)
        assert q.lease().deliveries == 51
        assert q.dead_letters.qsize() == 0


def test_dead_letters_do_not_take_the_room_of_living_items() -> None:
    with penstock.Queue(capacity=2, max_deliveries=1, dead_letters=2, item="u4") as q:
        for number in (1, 2):
            q.put(number)
            fail(q, 1)
        assert q.put_many([3, 4, 5], timeout=0) == 2
        assert q.dead_letters.peek_many(5) == [1, 2]
        assert q.get_many(5) == [3, 4]


def test_more_dead_letters_than_planned_are_kept_at_the_cost_of_room() -> None:
    with penstock.Queue(capacity=3, max_deliveries=1, dead_letters=1, item="u4") as q:
        for number in range(3):
            q.put(number)
            fail(q, 1)
        with pytest.raises(Empty):
            q.get(timeout=0)
        assert q.dead_letters.peek_many(5) == [0, 1, 2]
        assert q.put_many(range(10, 15), timeout=0) == 1
        assert q.dead_letters.purge() == 3
        assert q.put_many(range(15, 20), timeout=0) == 2


def test_dead_letters_can_be_looked_at_taken_and_thrown_away(item: bytes) -> None:
    with penstock.Queue(item=bytes, max_deliveries=1, capacity=5) as q:
        items = [item, b"second", b"third"]
        q.put_many(items)
        fail(q, 3)
        with pytest.raises(Empty):
            q.get(timeout=0)
        dead = q.dead_letters
        assert dead.peek_many(2) == items[:2]
        assert dead.get() == item
        assert list(dead) == items[1:]
        assert dead.purge() == 0
        assert q.join(0) is True


def test_requeued_dead_letters_are_delivered_as_if_for_the_first_time(item: bytes) -> None:
    with penstock.Queue(item=bytes, max_deliveries=1, capacity=5) as q:
        q.put_many([item, b"second"])
        fail(q, 2)
        q.put(b"third")
        assert q.get(timeout=0) == b"third"
        assert q.dead_letters.requeue() == 2
        with q.lease(timeout=0) as lease:
            assert (lease.value, lease.deliveries) == (item, 1)
        assert q.get(timeout=0) == b"second"
        assert q.dead_letters.qsize() == 0


def test_getting_a_dead_letter_waits_for_one() -> None:
    with penstock.Queue(max_deliveries=1) as q, Call(q.dead_letters.get) as getter:
        getter.asleep()
        q.put("poison")
        q.lease().give_back()
        assert getter.result() == "poison"


def test_dead_letter_is_there_as_soon_as_the_last_delivery_failed() -> None:
    with penstock.Queue(max_deliveries=1) as q:
        q.put("poison")
        q.lease().give_back()
        assert q.dead_letters.qsize() == 1
        assert q.empty()
        assert q.dead_letters.get_nowait() == "poison"


def test_dead_letters_are_seen_by_every_handle(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name, max_deliveries=1, dead_letters=4) as q:
        q.put("poison")
        fail(q, 1)
        with penstock.Queue(name) as other:
            assert other.max_deliveries == 1
            assert other.dead_letters.peek_many(5) == ["poison"]
        assert spawn(take_dead_letters, name).result() == ["poison"]

"""How much memory a queue takes: for what it has held at a time, not for what has passed."""

from __future__ import annotations

import pytest

import penstock

pytestmark = pytest.mark.usefixtures("directory")

LARGE = 1_000_000


def test_queue_that_is_never_full_takes_memory_for_a_few_rooms_and_for_what_it_holds_at_a_time() -> None:
    with penstock.Queue(capacity=50, max_item_bytes=LARGE, item=bytes) as queue:
        empty = queue.stats()["bytes_committed"]
        for _ in range(3):
            for number in range(100):
                queue.put(bytes([number]) * LARGE)
                assert queue.get() == bytes([number]) * LARGE
            assert queue.stats()["bytes_committed"] - empty < 5 * LARGE
        for number in range(10):
            queue.put(bytes([number]) * LARGE)
        assert queue.get_many(10) == [bytes([number]) * LARGE for number in range(10)]
        assert queue.stats()["bytes_committed"] - empty < 11 * LARGE


def test_items_keep_their_order_whatever_slots_they_lie_in() -> None:
    with penstock.Queue(capacity=5, max_item_bytes=LARGE, item=bytes) as queue:
        items = [bytes([number]) * (LARGE if number % 3 else 10) for number in range(60)]
        waiting: list[bytes] = []
        came: list[bytes] = []
        for step, item in enumerate(items):
            queue.put(item)
            waiting.append(item)
            if step % 7 > 2 or len(waiting) == 5:
                came += [queue.get() for _ in range(min(2, len(waiting)))]
                del waiting[:2]
        came += queue.get_many(5) if waiting else []
        assert came == items

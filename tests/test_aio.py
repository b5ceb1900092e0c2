"""The queue for asyncio: it waits without holding up the loop, and a cancellation never loses an item."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

import penstock
import penstock.aio
from helpers import PATIENCE_SECONDS, put_all
from penstock import Closed, DecodeError, Empty, Full, ShutDown, TooLarge, testing

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

pytestmark = pytest.mark.usefixtures("directory")


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine in a fresh loop, and fail if it hangs."""
    return asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))


async def waiting(queue: penstock.aio.Queue, tasks: int, readiness: str = "_items") -> None:
    """Return once so many tasks stand in line."""
    while len(getattr(queue, readiness)._waiters) != tasks:
        await asyncio.sleep(0)


# ---- one item --------------------------------------------------------------------------------------------------------


def test_item_that_is_put_is_got() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            await q.put([1, "two"])
            assert await q.get() == [1, "two"]

    run(main)


def test_get_waits_for_an_item_of_another_task() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            getter = asyncio.create_task(q.get())
            await waiting(q, 1)
            await q.put("late")
            assert await getter == "late"

    run(main)


def test_get_waits_for_an_item_of_another_process(name: str, spawn: Callable[..., testing.Child]) -> None:
    async def main() -> None:
        async with penstock.aio.Queue(name) as q:
            getter = asyncio.create_task(q.get())
            await waiting(q, 1)
            spawn(put_all, name, ["from afar"])
            assert await getter == "from afar"

    run(main)


def test_put_waits_for_room() -> None:
    async def main() -> None:
        async with penstock.aio.Queue(capacity=1) as q:
            await q.put(1)
            putter = asyncio.create_task(q.put(2))
            await waiting(q, 1, "_room")
            assert await q.get() == 1
            await putter
            assert await q.get() == 2

    run(main)


def test_loop_goes_on_while_a_get_waits() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            getter = asyncio.create_task(q.get())
            await waiting(q, 1)
            for _ in range(100):
                await asyncio.sleep(0)
            assert not getter.done()
            q.put_nowait("now")
            await getter

    run(main)


def test_timeouts_end_as_those_of_the_queue_do() -> None:
    async def main() -> None:
        async with penstock.aio.Queue(capacity=1) as q:
            for timeout in (0, 0.01):
                with pytest.raises(Empty):
                    await q.get(timeout)
                with pytest.raises(Empty):
                    await q.get_many(3, timeout)
                with pytest.raises(Empty):
                    await q.lease(timeout)
            await q.put(1)
            for timeout in (0, 0.01):
                with pytest.raises(Full):
                    await q.put(2, timeout)
                assert await q.put_many([2, 3], timeout) == 0
                assert await q.join(timeout) is False
            assert q.qsize() == 1

    run(main)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_timeout_that_cannot_be_is_refused_and_nothing_taken(timeout: float) -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            await q.put(1)
            with pytest.raises(ValueError, match="timeout"):
                await q.get(timeout)
            with pytest.raises(ValueError, match="timeout"):
                await q.put(2, timeout)
            assert q.qsize() == 1

    run(main)


def test_nowait_verbs_never_wait() -> None:
    async def main() -> None:
        async with penstock.aio.Queue(capacity=1) as q:
            with pytest.raises(Empty):
                q.get_nowait()
            q.put_nowait(1)
            assert q.full()
            with pytest.raises(Full):
                q.put_nowait(2)
            assert q.get_nowait() == 1
            assert q.empty()

    run(main)


def test_items_come_in_order_through_many_hands() -> None:
    async def main() -> None:
        async with penstock.aio.Queue(capacity=3, item="u4") as q:

            async def produce() -> None:
                for number in range(500):
                    await q.put(number)
                q.shutdown()

            async def consume() -> list[int]:
                return [number async for number in q]

            _, *lists = await asyncio.gather(produce(), consume(), consume(), consume())
            assert all(numbers == sorted(numbers) for numbers in lists)
            assert sorted(itertools.chain(*lists)) == list(range(500))

    run(main)


def test_tasks_are_served_in_the_order_in_which_they_came() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            getters = []
            for number in range(5):
                getters.append(asyncio.create_task(q.get()))
                await waiting(q, number + 1)
            for number in range(5):
                await q.put(number)
            assert await asyncio.gather(*getters) == [0, 1, 2, 3, 4]

    run(main)


# ---- many items ------------------------------------------------------------------------------------------------------


def test_put_many_waits_until_all_are_in() -> None:
    async def main() -> None:
        async with penstock.aio.Queue(capacity=3) as q:
            putter = asyncio.create_task(q.put_many(iter(range(10))))
            got: list[int] = []
            while len(got) < 10:
                got += await q.get_many(2)
            assert got == list(range(10))
            assert await putter == 10

    run(main)


def test_put_many_says_how_many_were_in_when_the_time_was_up() -> None:
    async def main() -> None:
        async with penstock.aio.Queue(capacity=3) as q:
            assert await q.put_many(range(10), timeout=0.01) == 3
            assert await q.get_many(10) == [0, 1, 2]

    run(main)


def test_put_many_with_an_item_that_cannot_be_put_puts_none() -> None:
    async def main() -> None:
        async with penstock.aio.Queue(capacity=1) as q:
            with pytest.raises((AttributeError, TypeError, ValueError)):
                await q.put_many([1, 2, 3, lambda: None])
            assert q.empty()

    run(main)


def test_put_many_says_how_many_were_in_when_the_queue_was_shut_down() -> None:
    async def main() -> None:
        async with penstock.aio.Queue(capacity=2) as q:
            putter = asyncio.create_task(q.put_many([1, 2, 3]))
            await waiting(q, 1, "_room")
            q.shutdown()
            assert await putter == 2
            with pytest.raises(ShutDown):
                await q.put_many([1])

    run(main)


# ---- cancellation ----------------------------------------------------------------------------------------------------


def test_cancelled_get_takes_nothing() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            getter = asyncio.create_task(q.get())
            await waiting(q, 1)
            getter.cancel()
            await asyncio.gather(getter, return_exceptions=True)
            await q.put("kept")
            assert await q.get() == "kept"

    run(main)


def test_get_cancelled_in_the_moment_it_was_woken_leaves_the_item_to_the_next() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            first = asyncio.create_task(q.get())
            await waiting(q, 1)
            second = asyncio.create_task(q.get())
            await waiting(q, 2)
            q.put_nowait("item")
            q._items._wake_next()  # what the helper's answer does
            first.cancel()  # woken, but it has not run yet
            assert await second == "item"
            with pytest.raises(asyncio.CancelledError):
                await first

    run(main)


def test_cancelled_put_puts_nothing() -> None:
    async def main() -> None:
        async with penstock.aio.Queue(capacity=1) as q:
            await q.put(1)
            putter = asyncio.create_task(q.put(2))
            await waiting(q, 1, "_room")
            putter.cancel()
            await asyncio.gather(putter, return_exceptions=True)
            assert await q.get() == 1
            assert q.empty()

    run(main)


def test_cancelled_lease_leaves_the_item_in_the_queue() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            task = asyncio.create_task(q.lease())
            await waiting(q, 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await q.put("kept")
            assert (await q.lease(timeout=1)).deliveries == 1

    run(main)


def test_no_item_is_lost_or_doubled_in_a_storm_of_cancellations() -> None:
    async def main() -> None:
        got: list[int] = []
        async with penstock.aio.Queue(capacity=100, item="u4") as q:

            async def get() -> None:
                got.append(await q.get())

            number = 0
            for turn in range(300):
                getters = [asyncio.create_task(get()) for _ in range(4)]
                for step in range(8):
                    if step == turn % 5:
                        for _ in range(turn % 4):
                            await q.put(number)
                            number += 1
                    if step == turn % 7:
                        getters[turn % 4].cancel()
                    await asyncio.sleep(0)
                for getter in getters:
                    getter.cancel()
                await asyncio.gather(*getters, return_exceptions=True)
            while not q.empty():
                got.append(q.get_nowait())
        assert sorted(got) == list(range(number))

    run(main)


def test_get_under_a_timeout_of_asyncio_takes_nothing_when_that_is_up() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await q.get()
            await q.put("kept")
            assert await q.get(timeout=0) == "kept"

    run(main)


# ---- lease -----------------------------------------------------------------------------------------------------------


def test_lease_is_acknowledged_at_the_end_of_its_block() -> None:
    async def main() -> None:
        async with penstock.aio.Queue(max_deliveries=1) as q:
            await q.put("work")
            async with q.lease() as lease:
                assert lease.value == "work"
            assert lease.is_settled
            assert q.empty()

    run(main)


def test_lease_is_given_back_when_its_block_raises_or_is_cancelled() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            await q.put("work")
            with pytest.raises(ZeroDivisionError):
                async with q.lease():
                    raise ZeroDivisionError
            assert q.qsize() == 1

            entered = asyncio.Event()

            async def work() -> None:
                async with q.lease():
                    entered.set()
                    await asyncio.Event().wait()

            task = asyncio.create_task(work())
            await entered.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            async with q.lease() as lease:
                assert lease.deliveries == 3

    run(main)


def test_lease_whose_task_nobody_asks_for_its_result_is_given_back() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            await q.put("work")
            task = asyncio.create_task(q.lease())
            await asyncio.wait([task])
            assert q.empty()
            del task
            assert q.qsize() == 1

    run(main)


# ---- the end, and errors ---------------------------------------------------------------------------------------------


def test_iteration_ends_when_the_queue_is_shut_down_and_empty() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            await q.put_many([1, 2])
            q.shutdown()
            assert [item async for item in q] == [1, 2]
            with pytest.raises(ShutDown):
                await q.get()
            with pytest.raises(ShutDown):
                await q.put(1)

    run(main)


def test_shutdown_wakes_all_who_wait() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            getters = [asyncio.create_task(q.get()) for _ in range(3)]
            await waiting(q, 3)
            q.shutdown()
            answers = await asyncio.gather(*getters, return_exceptions=True)
            assert [type(answer) for answer in answers] == [ShutDown] * 3

    run(main)


def test_closing_the_handle_ends_all_waits() -> None:
    async def main() -> None:
        q = penstock.aio.Queue()
        getters = [asyncio.create_task(q.get()) for _ in range(3)]
        await waiting(q, 3)
        q.close()
        answers = await asyncio.gather(*getters, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Closed] * 3
        with pytest.raises(Closed):
            await q.get()

    run(main)


def test_bad_item_raises_in_one_task_and_the_next_goes_on() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            first = asyncio.create_task(q.get())
            await waiting(q, 1)
            second = asyncio.create_task(q.get())
            await waiting(q, 2)
            with q.queue.reserve(3) as view:
                view[:] = b"bad"
            await q.put("good")
            with pytest.raises(DecodeError):
                await first
            assert await second == "good"

    run(main)


def test_item_that_cannot_be_put_raises_and_changes_nothing() -> None:
    async def main() -> None:
        async with penstock.aio.Queue(max_item_bytes=100) as q:
            with pytest.raises(TooLarge):
                await q.put(bytes(1000))
            assert q.empty()

    run(main)


def test_join_returns_when_all_work_is_done() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            assert await q.join()
            await q.put_many([1, 2])
            joins = [asyncio.create_task(q.join()) for _ in range(2)]
            await waiting(q, 2, "_done")
            for _ in range(2):
                await q.get()
                q.task_done()
            assert await asyncio.gather(*joins) == [True, True]

    run(main)


# ---- loops, threads, processes ---------------------------------------------------------------------------------------


def test_helper_threads_end_when_nobody_waits() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            with pytest.raises(Empty):
                await q.get(timeout=0.01)

    run(main)
    testing.wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("penstock-")])


def test_queue_can_be_used_in_one_loop_after_the_other(name: str) -> None:
    q = penstock.aio.Queue(name)

    async def main() -> None:
        getter = asyncio.create_task(q.get())
        await waiting(q, 1)
        await q.put("again")
        assert await getter == "again"
        abandoned = asyncio.create_task(q.get())  # the end of the loop cancels it
        await waiting(q, 1)
        assert not abandoned.done()

    run(main)
    run(main)
    q.close()


def test_queue_cannot_be_waited_for_in_two_loops_at_once() -> None:
    async def main() -> None:
        async with penstock.aio.Queue() as q:
            getter = asyncio.create_task(q.get())
            await waiting(q, 1)
            with pytest.raises(RuntimeError, match="another event loop"):
                await asyncio.to_thread(asyncio.run, q.get())
            getter.cancel()

    run(main)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_forked_child_gets_helpers_of_its_own() -> None:
    q = penstock.aio.Queue()

    async def get() -> Any:
        return await q.get(timeout=PATIENCE_SECONDS)

    with pytest.raises(Empty):
        asyncio.run(q.get(timeout=0.01))  # the parent has a helper now
    child = os.fork()
    if child == 0:
        os._exit(0 if asyncio.run(get()) == "for the child" else 1)
    q.put_nowait("for the child")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    q.close()


def test_open_queue_takes_no_options() -> None:
    with penstock.Queue() as q:
        assert penstock.aio.Queue(q).queue is q
        with pytest.raises(TypeError, match="open already"):
            penstock.aio.Queue(q, capacity=3)

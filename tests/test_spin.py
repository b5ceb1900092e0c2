"""Looking for a moment before going to sleep: turned off, a wait costs no processor time and still ends."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING, Any

import pytest

import penstock

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("directory")

KINDS: dict[str, Callable[[str], Any]] = {
    "queue": penstock.Queue,
    "semaphore": lambda name: penstock.Semaphore(name, value=0),
    "event": penstock.Event,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_handle_looks_until_it_is_told_not_to(kind: str) -> None:
    one, other = KINDS[kind]("it"), KINDS[kind]("it")
    assert (one.spin, other.spin) == (True, True)
    one.spin = False
    assert (one.spin, other.spin) == (False, True), "it is the handle's, not the object's"
    one.spin = True
    assert one.spin
    one.unlink()
    one.close()
    other.close()


def test_what_is_no_bool_is_refused() -> None:
    with penstock.Queue() as queue, pytest.raises(TypeError):
        queue.spin = 3  # type: ignore[assignment]


def test_a_handle_that_travels_looks_again() -> None:
    with penstock.Queue("it") as queue:
        queue.spin = False
        with pickle.loads(pickle.dumps(queue)) as other:
            assert other.spin
        queue.unlink()


def test_who_does_not_look_sleeps_at_once_and_is_woken_all_the_same() -> None:
    with penstock.Queue(item="u4") as there, penstock.Queue(item="u4") as back:
        there.spin = back.spin = False

        def echo() -> None:
            for number in there:
                back.put(number)

        echoing = threading.Thread(target=echo)
        echoing.start()
        for number in range(200):
            there.put(number)
            assert back.get(timeout=10) == number
        there.shutdown()
        echoing.join(10)
        assert not echoing.is_alive()

"""Others that use the same objects as a test: calls under way in threads, and what children do. Imports no pytest."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import penstock
from helpers import PATIENCE_SECONDS
from penstock import testing

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self


def wait_until_asleep(pid: int | str = "self", tid: int | None = None) -> None:
    """Wait until a thread sleeps in the kernel; for children, their main thread.

    A test must not depend on it: the thread may sleep for another reason. It makes it likely that what was begun
    before is under way.
    """
    file = Path(f"/proc/{pid}/task/{pid if tid is None else tid}/stat")
    seen = ["?", "?"]

    def is_asleep() -> bool:
        seen.append(file.read_text(errors="replace").rpartition(")")[2].split()[0])
        return seen[-2:] == ["S", "S"]

    testing.wait_until(is_asleep, PATIENCE_SECONDS, "it to sleep")


class Call:
    """A call under way in a thread of its own."""

    def __init__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
        self._outcome: tuple[Any, BaseException | None] | None = None
        self._call = (function, args, kwargs)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        function, args, kwargs = self._call
        try:
            self._outcome = (function(*args, **kwargs), None)
        except BaseException as err:  # noqa: BLE001 - raised again by `result`
            self._outcome = (None, err)

    def asleep(self) -> Self:
        """Wait until the call sleeps, and return itself."""
        tid = self._thread.native_id
        assert tid is not None
        wait_until_asleep("self", tid)
        assert self.is_under_way(), f"did not wait: {self._outcome!r}"
        return self

    def is_under_way(self) -> bool:
        """Tell whether the call has not ended."""
        return self._outcome is None

    def result(self, timeout: float = PATIENCE_SECONDS) -> Any:
        """Return what the call returned, or raise what it raised."""
        self._thread.join(timeout)
        assert self._outcome is not None, f"the call has not ended within {timeout} s"
        value, error = self._outcome
        if error is not None:
            raise error
        return value

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._thread.join(PATIENCE_SECONDS if kind is None else 0.1)


# ---- in children -----------------------------------------------------------------------------------------------------


def call_method(kind: str, name: str, method: str, *args: Any, **kwargs: Any) -> Any:
    """Open an object, say so, and call one of its methods; return what it returns, or the name of what it raises."""
    with_handle = getattr(penstock, kind).open(name)
    testing.send("ready")
    try:
        value = getattr(with_handle, method)(*args, **kwargs)
    except (penstock.PenstockError, penstock.Empty, penstock.Full, penstock.ShutDown) as err:
        return type(err).__name__
    finally:
        with_handle.close()
    return value


def put_numbers(name: str, producer: int, count: int) -> None:
    """Put pairs of the producer's number and a count, as fast as it goes."""
    with penstock.Queue.open(name) as q:
        for number in range(count):
            q.put((producer, number), timeout=PATIENCE_SECONDS)


def get_until_shut_down(name: str) -> list[Any]:
    """Get all items until the queue is shut down."""
    with penstock.Queue.open(name) as q:
        return list(q)


def get_leases_until_shut_down(name: str) -> list[Any]:
    """Lease and acknowledge all items until the queue is shut down."""
    items = []
    with penstock.Queue.open(name) as q:
        while True:
            try:
                with q.lease(PATIENCE_SECONDS) as lease:
                    items.append(lease.value)
            except penstock.ShutDown:
                return items

"""Others that use the same objects as a test: calls under way in threads, and what children do. Imports no pytest."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import penstock
from helpers import PATIENCE_SECONDS
from penstock import testing

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

_NO_TIME_SECONDS = 0.1
"""Ten of the ticks in which the time of a thread is counted."""


def wait_until_asleep(pid: int | str = "self", tid: int | None = None) -> None:
    """Wait until a thread sleeps in the kernel; for children, their main thread.

    A test must not depend on it: the thread may sleep for another reason. It makes it likely that what was begun
    before is under way.
    """
    is_asleep = _uses_no_time(pid, tid) if sys.platform == "win32" else _is_said_to_sleep(pid, tid)
    testing.wait_until(is_asleep, PATIENCE_SECONDS, "it to sleep")


def _is_said_to_sleep(pid: int | str, tid: int | None) -> Callable[[], bool]:
    file = Path(f"/proc/{pid}/task/{pid if tid is None else tid}/stat")
    seen = ["?", "?"]

    def is_asleep() -> bool:
        seen.append(file.read_text(errors="replace").rpartition(")")[2].split()[0])
        return seen[-2:] == ["S", "S"]

    return is_asleep


def _uses_no_time(pid: int | str, tid: int | None) -> Callable[[], bool]:
    """Windows does not say what a thread does, but what time it has used: none for a while, if it sleeps."""
    import ctypes

    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
    kernel.OpenThread.restype = kernel.OpenProcess.restype = ctypes.c_void_p
    query = 0x0400  # PROCESS_QUERY_INFORMATION; THREAD_QUERY_INFORMATION is 0x0040
    handle = ctypes.c_void_p(kernel.OpenThread(0x0040, False, tid) if tid else kernel.OpenProcess(query, False, pid))
    times_of = kernel.GetThreadTimes if tid else kernel.GetProcessTimes
    since, last = time.monotonic(), b""

    def is_asleep() -> bool:
        nonlocal since, last
        created, ended, in_kernel, in_user = (ctypes.create_string_buffer(8) for _ in range(4))
        times_of(handle, created, ended, in_kernel, in_user)
        now = in_kernel.raw + in_user.raw
        if now != last:
            since, last = time.monotonic(), now
        if time.monotonic() - since < _NO_TIME_SECONDS:
            return False
        kernel.CloseHandle(handle)
        return True

    return is_asleep


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


def take_dead_letters(name: str) -> list[Any]:
    """Take all dead letters."""
    with penstock.Queue.open(name) as q:
        return list(q.dead_letters)


def hold_mutex(name: str, times: int = 1) -> None:
    """Hold a mutex, taken so often, until the parent says to let go."""
    mutex = penstock.Mutex.open(name)
    for _ in range(times):
        mutex.acquire()
    testing.send("holding")
    testing.receive()
    for _ in range(times):
        mutex.release()


def make_and_hold(name: str) -> None:
    """Make a queue that is to go with its last user, and hold it until the end."""
    with penstock.Queue(name, lifetime="while_open") as q:
        testing.send(q.path)
        testing.receive()


def count_up(name: str, times: int) -> None:
    """Add one to a shared number so often, in a way that two at a time would spoil."""
    mutex = penstock.Mutex.open(name)
    with penstock.Mapping.open(f"{name}-count") as mapping, memoryview(mapping).cast("Q") as numbers:
        for _ in range(times):
            with mutex:
                number = numbers[0]
                penstock.Queue  # noqa: B018 - a moment's pause in the middle
                numbers[0] = number + 1
    mutex.close()


def read_mapping(name: str, offset: int, size: int) -> bytes:
    """Read shared bytes."""
    with penstock.Mapping.open(name) as mapping, memoryview(mapping) as view:
        return bytes(view[offset : offset + size])


def write_mapping(name: str, offset: int, data: bytes) -> None:
    """Write shared bytes."""
    with penstock.Mapping.open(name) as mapping, memoryview(mapping) as view:
        view[offset : offset + len(data)] = data


def put_later(name: str, item: Any) -> None:
    """Put an item when the parent says so."""
    with penstock.Queue.open(name) as q:
        testing.send("ready")
        testing.receive()
        q.put(item)


def use_damaged(path: str, cases: list[bytes]) -> list[str]:
    """Put damaged segments under a name, one after the other; open and use each, and say what came of it."""
    return [_use_one(Path(path), data) for data in cases]


def _use_one(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    path.chmod(0o600)
    try:
        q = penstock.Queue.open(path.name)
    except penstock.Corrupted:
        return "Corrupted"
    verbs: list[Callable[[], object]] = [
        q.stats,
        q.qsize,
        lambda: q.put(b"new", timeout=0.01),
        lambda: q.put(bytes(5000), timeout=0.01),
        lambda: q.get(timeout=0.01),
        lambda: q.lease(timeout=0.01).give_back(),
        lambda: q.get_many(10, timeout=0.01),
        lambda: q.put_many([b"a", b"b"], timeout=0.01),
        lambda: q.wait_get(0),
        lambda: q.join(0),
    ]
    outcome = "worked"
    for verb in verbs:
        try:
            verb()
        except penstock.Corrupted:
            outcome = "Corrupted"
        except (penstock.Empty, penstock.Full, penstock.ShutDown, penstock.Removed, TimeoutError):
            continue
    q.close()
    path.unlink(missing_ok=True)
    return outcome


def use_everything(handles: dict[str, Any]) -> None:
    """Use one handle of each kind, as `test_fork` wants it."""
    with handles["mutex"]:
        with memoryview(handles["mapping"]) as view:
            view[:7] = b"written"
        with handles["queue"].lease(PATIENCE_SECONDS) as lease:
            item = lease.value
        handles["queue"].put(f"{item} done")
        handles["semaphore"].release()
        handles["private"].put(os.getpid())
        handles["event"].set()


def serve(queue: penstock.Queue) -> None:
    """Say that a process of a pool is there."""
    queue.put(os.getpid(), timeout=PATIENCE_SECONDS)


def open_and_answer() -> None:
    """Open the handle that the parent sends as a pickle, and answer on it."""
    with pickle.loads(testing.receive()) as q:
        q.put("got it")


def fork_in_a_handler(name: str) -> list[Any]:
    """Fork in a signal handler in the middle of a wait in vain; return how it ended, and the child's exit status."""
    pids: list[int] = []
    signal.signal(signal.SIGALRM, lambda number, frame: pids.append(os.fork()))
    with penstock.Queue.open(name) as q:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        try:
            end = q.get(timeout=0.2)
        except penstock.Empty:
            end = "Empty"
        if pids == [0]:
            with penstock.Queue.open(f"{name}-told") as told:
                told.put(f"{end} in the child")
            q.close()
            os._exit(0)
        return [end, os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1])]


def hold_lease_and_room(name: str, leases: int, nbytes: int = 10) -> None:
    """Lease so many items and reserve room for one, say what was leased, and hold all until the end."""
    with penstock.Queue.open(name) as q:
        held = [q.lease(PATIENCE_SECONDS) for _ in range(leases)]
        room = q.reserve(nbytes, PATIENCE_SECONDS)
        testing.send([lease.value for lease in held])
        testing.receive()
        room.cancel()


def take_semaphore(name: str, count: int) -> None:
    """Take so many of a semaphore, and hold them until the end."""
    semaphore = penstock.Semaphore.open(name)
    for _ in range(count):
        semaphore.acquire()
    testing.send("taken")
    testing.receive()
    semaphore.release(count)


def attach_and_be_killed(name: str, count: int) -> int:
    """Fork children that attach, put and get, take a lease or room, and die of it; return how many there were."""
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            q = penstock.Queue.open(name)
            if number % 3 == 0:
                _room = q.reserve(4, PATIENCE_SECONDS)
            elif number % 3 == 1:
                q.put(number, timeout=PATIENCE_SECONDS)
                _lease = q.lease(PATIENCE_SECONDS)
            else:
                q.get(timeout=PATIENCE_SECONDS)  # what the one before held
            os.kill(os.getpid(), signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"child {number} ended with {status}"
    return count


def fill_with_processes(name: str) -> tuple[str, int]:
    """Fork children that attach and stay until one is told that there are too many; return what and how many."""
    pids: list[int] = []
    read, write = os.pipe()
    told = ""
    try:
        while not told and len(pids) < 1100:
            pid = os.fork()
            if pid == 0:
                answer = b"."
                try:
                    _attached = penstock.Queue.open(name)
                except penstock.PenstockError as err:
                    answer = type(err).__name__.encode()
                os.write(write, answer.ljust(32))
                while True:
                    signal.pause()
            pids.append(pid)
            told = os.read(read, 32).decode().strip(" .")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return told, len(pids)

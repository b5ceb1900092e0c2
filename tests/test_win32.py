"""What the calls of Win32 do, fact by fact: on this system, and where Wine is at hand, in Wine's kernel32 and pywin32.

The facts have the ids of a table that was put together from Windows' documentation and Wine's own tests, which run on
Windows too. Where Wine is known to differ from Windows, the test says both, and penstock does as Windows does.
"""

from __future__ import annotations

import itertools
import os
import re
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest

from penstock.win32 import (
    ERROR_ACCESS_DENIED,
    ERROR_ALREADY_EXISTS,
    ERROR_BAD_PATHNAME,
    ERROR_FILE_INVALID,
    ERROR_FILE_NOT_FOUND,
    ERROR_FILENAME_EXCED_RANGE,
    ERROR_INVALID_ADDRESS,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_NAME,
    ERROR_INVALID_PARAMETER,
    ERROR_MAPPED_ALIGNMENT,
    ERROR_NOT_ENOUGH_MEMORY,
    ERROR_NOT_OWNER,
    ERROR_PATH_NOT_FOUND,
    ERROR_TOO_MANY_POSTS,
    EVENT_ALL_ACCESS,
    EVENT_MODIFY_STATE,
    FILE_MAP_ALL_ACCESS,
    FILE_MAP_COPY,
    FILE_MAP_READ,
    FILE_MAP_WRITE,
    GENERIC_ALL,
    GENERIC_EXECUTE,
    GENERIC_READ,
    GENERIC_WRITE,
    MAXIMUM_ALLOWED,
    MAXIMUM_WAIT_OBJECTS,
    MUTEX_ALL_ACCESS,
    PAGE_NOACCESS,
    PAGE_READONLY,
    PAGE_READWRITE,
    PAGE_WRITECOPY,
    READ_CONTROL,
    SEC_COMMIT,
    SEC_RESERVE,
    SEMAPHORE_ALL_ACCESS,
    SEMAPHORE_MODIFY_STATE,
    SYNCHRONIZE,
    WAIT_ABANDONED,
    WAIT_FAILED,
    WAIT_OBJECT_0,
    WAIT_TIMEOUT,
)
from win32_worlds import INFINITE, MEMORY, NULL, Outcome, Thing, World, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from win32_worlds import Caller, Process

pytestmark = pytest.mark.timeout(180)

FACTS = (
    *("N1", "N2", "N3", "N4", "N5", "N6", "N7", "N9", "N9b", "N10", "N16", "N11", "N12", "N13"),
    *("N18", "N15", "M11", "S7", "F3", "F26", "M1", "M2", "M3", "M12", "M4", "M5", "M6", "M7"),
    *("M17", "M10", "M13", "M14", "M15", "M16", "S12", "S1", "S2", "S3", "S4", "S5", "S6", "S8"),
    *("S9", "S10", "S11", "W1", "W2", "W3", "W4", "W6", "W7", "W8", "W9", "X1", "X3", "X4"),
    *("X5", "X6", "X7", "X8", "X9", "H1", "H3", "H4", "H5", "H6", "H7", "H8", "F1", "F2"),
    *("F10", "F11", "F11g", "F11j", "F8", "F13", "F13d", "F27", "F24", "F3b", "F3c", "F5", "F6", "F11d"),
    *("F7", "F16", "F14", "F22", "F23", "F29", "F25", "F30", "F19", "F17", "F17c", "F18", "F18c", "F20"),
    *("F21", "F21b", "P4", "P5", "L1", "L3", "L4", "L6", "P6", "P6e", "W11"),
)

NOT_OFFERED = {
    "N16": "one user, one session: nobody lacks the privilege for Global\\ here, and nobody did under Wine",
    "W6": "no call returns a handle of a process",
    "H8": "DuplicateHandle is not offered",
    "F24": "the pages of SEC_RESERVE are committed with VirtualAlloc, which is not offered",
    "F25": "MapViewOfFileEx is not offered",
    "F21": "SetEndOfFile is not offered",
    "F21b": "DeleteFile is not offered",
    "P4": "OpenProcess is not offered",
    "P5": "GetProcessTimes is not offered",
    "L1": "LockFileEx is not offered",
    "L3": "LockFileEx is not offered",
    "L4": "LockFileEx is not offered",
    "L6": "LockFileEx is not offered",
    "P6": "CreateFile is not offered",
    "P6e": "CreateFile is not offered",
    "W11": "WaitOnAddress is not offered",
}

seen: set[str] = set()


def fact(*ids: str) -> Callable[[Any], Any]:
    """Say which facts a test is about."""
    assert set(ids) <= set(FACTS), ids
    seen.update(ids)
    return lambda test: test


@pytest.fixture(scope="module", params=["here", "kernel32", "pywin32"])
def everywhere(request: pytest.FixtureRequest) -> Iterator[World]:
    reason = why_not(request.param)
    if reason is not None:
        pytest.skip(reason)
    with World(request.param) as world:
        yield world


@pytest.fixture
def world(everywhere: World) -> Iterator[World]:
    yield everywhere
    everywhere.tidy()


@pytest.fixture
def a(world: World) -> Process:
    return world.process()


@pytest.fixture
def b(world: World) -> Process:
    return world.process()


numbers = itertools.count(1)


@pytest.fixture
def name() -> str:
    """Give the test a name that nothing else has, not even what another run left to Wine."""
    return f"penstock-{os.getpid()}-{time.monotonic_ns()}-{next(numbers)}"


def ok(outcome: Outcome) -> Any:
    """Return the result of a call that succeeded."""
    assert outcome.result not in (NULL, False, WAIT_FAILED), outcome
    return outcome.result


def fails(result: Any, error: int) -> Outcome:
    return Outcome(result, error)


def made(outcome: Outcome) -> Thing:
    """Return the handle of something that was made."""
    assert (isinstance(outcome.result, Thing), outcome.error) == (True, 0), outcome
    return outcome.result  # type: ignore[no-any-return]


def found(outcome: Outcome) -> Thing:
    """Return the handle of something that was there."""
    assert (isinstance(outcome.result, Thing), outcome.error) == (True, ERROR_ALREADY_EXISTS), outcome
    return outcome.result  # type: ignore[no-any-return]


def opened(outcome: Outcome) -> Thing:
    """Return the handle of something that was opened."""
    assert (isinstance(outcome.result, Thing), outcome.error) == (True, "unchanged"), outcome
    return outcome.result  # type: ignore[no-any-return]


def memory(caller: Caller, size: int, name: str | None = None, protection: int = PAGE_READWRITE) -> Outcome:
    """Create a file mapping without a file."""
    return caller.CreateFileMapping(MEMORY, None, protection, size >> 32, size & 0xFFFFFFFF, name)


def eventually(condition: Callable[[], Any]) -> Any:
    """Wait until a condition holds: the end of a thread or a process takes its time to be known."""
    deadline = time.monotonic() + 20
    while not (answer := condition()):
        assert time.monotonic() < deadline, "this never came"
        time.sleep(0.01)
    return answer


def gone(caller: Caller, name: str) -> None:
    """Wait until a mutex's name is gone."""

    def is_gone() -> bool:
        outcome = caller.OpenMutex(SYNCHRONIZE, False, name)
        if outcome.result:
            caller.CloseHandle(outcome.result)
        return outcome == fails(NULL, ERROR_FILE_NOT_FOUND)

    eventually(is_gone)


TAKEN, LATE, DENIED = Outcome(WAIT_OBJECT_0), Outcome(WAIT_TIMEOUT), fails(WAIT_FAILED, ERROR_ACCESS_DENIED)
TRUE = Outcome(True)


def test_every_fact_is_tried_or_said_to_be_out_of_reach() -> None:
    assert seen & set(NOT_OFFERED) == set()
    assert sorted(seen | set(NOT_OFFERED)) == sorted(FACTS)
    assert len(FACTS) == len(set(FACTS)) == 109


# ---- names and creation ----------------------------------------------------------------------------------------------


@fact("N1", "N2")
def test_creating_tells_what_is_new_from_what_was_there(a: Process, b: Process, name: str) -> None:
    for caller in (a, b):
        is_first = caller is a
        expected = made if is_first else found
        expected(caller.CreateMutex(None, False, f"{name}-m"))
        expected(caller.CreateSemaphore(None, 1, 1, f"{name}-s"))
        expected(caller.CreateEvent(None, False, False, f"{name}-e"))
        expected(memory(caller, 40, f"{name}-f"))


@fact("N3", "N4")
def test_opening_needs_a_name_that_is_there(a: Process, name: str) -> None:
    for call in ("OpenMutex", "OpenSemaphore", "OpenEvent"):
        assert getattr(a, call)(SYNCHRONIZE, False, name) == fails(NULL, ERROR_FILE_NOT_FOUND)
    assert a.OpenFileMapping(FILE_MAP_READ, False, name) == fails(NULL, ERROR_FILE_NOT_FOUND)
    if a_is_pywin32(a):
        return  # it insists on a name itself
    for call in ("OpenMutex", "OpenSemaphore", "OpenEvent", "OpenFileMapping"):
        assert getattr(a, call)(SYNCHRONIZE, False, None) == fails(NULL, ERROR_INVALID_PARAMETER)


def a_is_pywin32(process: Process) -> bool:
    return process.world_name == "pywin32"


@fact("N5", "N15")
def test_names_are_compared_letter_for_letter(a: Process, b: Process, name: str) -> None:
    made(a.CreateMutex(None, False, f"{name}-Größe\u2028\x01"))
    made(b.CreateMutex(None, False, f"{name}-größe\u2028\x01"))
    made(b.CreateMutex(None, False, f"{name}-Gro\u0308ße\u2028\x01"))
    opened(b.OpenMutex(SYNCHRONIZE, False, f"{name}-Größe\u2028\x01"))


@fact("N6", "N7")
@pytest.mark.parametrize("kind", ["Mutex", "Semaphore", "Event", "FileMapping"])
def test_one_name_is_of_one_kind(a: Process, b: Process, name: str, kind: str) -> None:
    def creations(caller: Caller) -> dict[str, Callable[[], Outcome]]:
        return {
            "Mutex": lambda: caller.CreateMutex(None, False, name),
            "Semaphore": lambda: caller.CreateSemaphore(None, 0, 1, name),
            "Event": lambda: caller.CreateEvent(None, False, False, name),
            "FileMapping": lambda: memory(caller, 1, name),
        }

    made(creations(a)[kind]())
    for other in {*creations(a)} - {kind}:
        for caller in (a, b):
            assert creations(caller)[other]() == fails(NULL, ERROR_INVALID_HANDLE)
            assert getattr(caller, f"Open{other}")(SYNCHRONIZE | 4, False, name) == fails(NULL, ERROR_INVALID_HANDLE)
    opened(getattr(b, f"Open{kind}")(SYNCHRONIZE | 4, False, name))


@fact("N9", "N9b", "N10")
def test_prefixes_say_where_a_name_is_valid(a: Process, b: Process, name: str) -> None:
    made(a.CreateMutex(None, False, name))
    opened(b.OpenMutex(SYNCHRONIZE, False, f"Local\\{name}"))
    assert b.OpenMutex(SYNCHRONIZE, False, f"Global\\{name}") == fails(NULL, ERROR_FILE_NOT_FOUND)
    made(b.CreateMutex(None, False, f"Global\\{name}"))
    made(b.CreateMutex(None, False, f"Global\\{name}-2"))
    assert a.OpenMutex(SYNCHRONIZE, False, f"{name}-2") == fails(NULL, ERROR_FILE_NOT_FOUND)
    for prefix in ("local", "LOCAL", "global", "GLOBAL"):
        assert a.OpenMutex(SYNCHRONIZE, False, f"{prefix}\\{name}") == fails(NULL, ERROR_PATH_NOT_FOUND)


@fact("N11", "N12", "N13", "N18")
def test_some_names_cannot_be(a: Process, name: str) -> None:
    assert a.CreateMutex(None, False, "a\\b") == fails(NULL, ERROR_PATH_NOT_FOUND)
    assert a.CreateMutex(None, False, "Local\\a\\b") == fails(NULL, ERROR_PATH_NOT_FOUND)
    assert a.CreateMutex(None, False, "\\a") == fails(NULL, ERROR_BAD_PATHNAME)
    made(a.CreateMutex(None, False, f'{name}/a b:*?<>|"'))
    made(a.CreateMutex(None, False, name.ljust(260, "x")))
    if not a_is_pywin32(a):  # which has no limit, as it calls what takes UTF-16
        assert a.CreateMutex(None, False, name.ljust(261, "x")) == fails(NULL, ERROR_FILENAME_EXCED_RANGE)
        assert a.OpenMutex(SYNCHRONIZE, False, name.ljust(261, "x")) == fails(NULL, ERROR_FILENAME_EXCED_RANGE)
    made(a.CreateMutex(None, False, ""))
    made(a.CreateMutex(None, False, ""))
    assert a.OpenMutex(SYNCHRONIZE, False, "") == fails(NULL, ERROR_INVALID_HANDLE)
    assert a.CreateMutex(None, False, "Local\\") == fails(NULL, ERROR_INVALID_NAME)
    assert a.CreateMutex(None, False, "Global") == fails(NULL, ERROR_INVALID_HANDLE)
    assert a.CreateMutex(None, False, "Local") == fails(NULL, ERROR_INVALID_HANDLE)


@fact("M11")
def test_existing_mutex_is_not_given_to_who_creates_it_again(a: Process, b: Process, name: str) -> None:
    made(a.CreateMutex(None, False, name))
    mutex = found(b.CreateMutex(None, True, name))
    assert b.thread("other").WaitForSingleObject(mutex, 0) == TAKEN
    assert b.ReleaseMutex(mutex) == fails(False, ERROR_NOT_OWNER)


@fact("S7")
def test_existing_semaphore_keeps_its_count_and_maximum(a: Process, b: Process, name: str) -> None:
    made(a.CreateSemaphore(None, 1, 3, name))
    semaphore = found(b.CreateSemaphore(None, 50, 99, name))
    assert b.ReleaseSemaphore(semaphore, 3) == fails(False, ERROR_TOO_MANY_POSTS)
    assert b.ReleaseSemaphore(semaphore, 2) == Outcome(True, "unchanged", 1)


def test_existing_event_keeps_its_state_and_kind(a: Process, b: Process, name: str) -> None:
    made(a.CreateEvent(None, True, True, name))
    event = found(b.CreateEvent(None, False, False, name))
    assert b.WaitForSingleObject(event, 0) == TAKEN
    assert b.WaitForSingleObject(event, 0) == TAKEN


@fact("F3")
def test_existing_mapping_keeps_its_size(a: Process, b: Process, name: str) -> None:
    made(memory(a, 65536, name))
    mapping = found(memory(b, 1_000_000, name))
    assert b.MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 65537) == fails(NULL, ERROR_ACCESS_DENIED)
    assert b.region(ok(b.MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0))) == 65536


@fact("F26")
def test_existing_mapping_takes_no_notice_of_a_file(a: Process, b: Process, name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    view = ok(a.MapViewOfFile(made(memory(a, 4096, name)), FILE_MAP_WRITE, 0, 0, 0))
    file = b.open_file(path, "r+b")
    mapping = found(b.CreateFileMapping(file, None, PAGE_READWRITE, 0, 9000, name))
    a.poke(view, b"one")
    assert b.peek(ok(b.MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0)), 3) == b"one"
    b.close_file(file)
    assert path.stat().st_size == 0


# ---- mutexes ---------------------------------------------------------------------------------------------------------


@fact("M1")
def test_mutex_is_taken_again_by_its_thread(a: Process, b: Process, name: str) -> None:
    mutex = made(a.CreateMutex(None, True, name))
    other = opened(b.OpenMutex(SYNCHRONIZE, False, name))
    assert [a.WaitForSingleObject(mutex, timeout) for timeout in (0, INFINITE)] == [TAKEN, TAKEN]
    for _ in range(3):
        assert b.WaitForSingleObject(other, 0) == LATE
        assert a.thread("other").WaitForSingleObject(mutex, 0) == LATE
        assert a.ReleaseMutex(mutex) == TRUE
    assert a.ReleaseMutex(mutex) == fails(False, ERROR_NOT_OWNER)
    assert b.WaitForSingleObject(other, 0) == TAKEN


@fact("M2", "M3")
def test_mutex_is_given_back_by_its_thread_alone(a: Process, name: str) -> None:
    mutex = made(a.CreateMutex(None, True, name))
    assert a.thread("other").ReleaseMutex(mutex) == fails(False, ERROR_NOT_OWNER)
    assert a.ReleaseMutex(mutex) == TRUE
    assert a.ReleaseMutex(mutex) == fails(False, ERROR_NOT_OWNER)


@fact("M12")
def test_mutex_belongs_to_a_thread_whichever_handle_it_uses(a: Process, name: str) -> None:
    first = made(a.CreateMutex(None, True, name))
    second = opened(a.OpenMutex(SYNCHRONIZE, False, name))
    assert a.WaitForSingleObject(second, 0) == TAKEN
    assert [a.ReleaseMutex(first), a.ReleaseMutex(second)] == [TRUE, TRUE]
    assert a.ReleaseMutex(second) == fails(False, ERROR_NOT_OWNER)


@fact("M4", "M7")
def test_mutex_of_a_thread_that_ended_is_abandoned_once(a: Process, name: str) -> None:
    mutex = made(a.CreateMutex(None, False, name))
    thread = a.thread("ending")
    assert thread.WaitForSingleObject(mutex, 0) == TAKEN
    thread.end()
    assert a.WaitForSingleObject(mutex, INFINITE) == Outcome(WAIT_ABANDONED)
    assert a.ReleaseMutex(mutex) == TRUE
    assert a.WaitForSingleObject(mutex, 0) == TAKEN


@fact("M5", "M17")
@pytest.mark.parametrize("end", ["kill", "exit"])
def test_mutex_of_a_process_that_ended_is_abandoned_once(a: Process, b: Process, name: str, end: str) -> None:
    owned = made(a.CreateMutex(None, True, name))
    assert a.WaitForSingleObject(owned, 0) == TAKEN
    mutex = opened(b.OpenMutex(SYNCHRONIZE, False, name))
    getattr(a, end)()
    assert b.WaitForSingleObject(mutex, INFINITE) == Outcome(WAIT_ABANDONED)
    assert b.ReleaseMutex(mutex) == TRUE  # however often it had been taken
    assert b.ReleaseMutex(mutex) == fails(False, ERROR_NOT_OWNER)
    assert b.WaitForSingleObject(mutex, 0) == TAKEN


@fact("M6")
@pytest.mark.parametrize("end", ["kill", "exit"])
def test_waiter_is_woken_by_the_end_of_the_owner(a: Process, b: Process, name: str, end: str) -> None:
    made(a.CreateMutex(None, True, name))
    mutex = opened(b.OpenMutex(SYNCHRONIZE, False, name))
    waiting = b.begin("WaitForSingleObject", mutex, INFINITE)
    assert not waiting.is_done(0.2)
    getattr(a, end)()
    assert waiting.outcome() == Outcome(WAIT_ABANDONED)


def test_waiter_is_woken_by_the_end_of_the_owning_thread(a: Process, b: Process, name: str) -> None:
    thread = a.thread("ending")
    made(thread.CreateMutex(None, True, name))
    waiting = b.begin("WaitForSingleObject", opened(b.OpenMutex(SYNCHRONIZE, False, name)), INFINITE)
    assert not waiting.is_done(0.2)
    thread.end()
    assert waiting.outcome() == Outcome(WAIT_ABANDONED)


@fact("M10")
def test_mutex_is_gone_with_its_last_handle_whoever_has_taken_it(a: Process, b: Process, name: str) -> None:
    assert a.CloseHandle(made(a.CreateMutex(None, True, name))) == TRUE
    assert b.OpenMutex(SYNCHRONIZE, False, name) == fails(NULL, ERROR_FILE_NOT_FOUND)
    assert b.WaitForSingleObject(made(b.CreateMutex(None, False, name)), 0) == TAKEN


def test_mutex_stays_taken_when_its_owner_closes_the_handle(a: Process, b: Process, name: str) -> None:
    owned = made(a.CreateMutex(None, True, name))
    mutex = opened(b.OpenMutex(SYNCHRONIZE, False, name))
    assert a.CloseHandle(owned) == TRUE
    assert b.WaitForSingleObject(mutex, 0) == LATE
    assert a.ReleaseMutex(opened(a.OpenMutex(SYNCHRONIZE, False, name))) == TRUE
    assert b.WaitForSingleObject(mutex, 0) == TAKEN


@fact("M13", "M14")
def test_waiting_for_a_mutex_needs_a_right_and_releasing_it_none(world: World, a: Process, name: str) -> None:
    mutex = made(a.CreateMutex(None, True, name))
    weak = opened(a.OpenMutex(READ_CONTROL, False, name))
    assert a.WaitForSingleObject(weak, 0) == DENIED
    assert a.ReleaseMutex(weak) == TRUE
    assert a.WaitForSingleObject(mutex, 0) == TAKEN
    nothing = a.OpenMutex(0, False, name)
    assert world.pick(windows=nothing == fails(NULL, ERROR_ACCESS_DENIED), wine=nothing.error == "unchanged")


@pytest.mark.parametrize("access", [GENERIC_ALL, MAXIMUM_ALLOWED, GENERIC_EXECUTE, MUTEX_ALL_ACCESS, SYNCHRONIZE])
def test_generic_rights_let_a_mutex_be_waited_for(a: Process, name: str, access: int) -> None:
    made(a.CreateMutex(None, False, name))
    assert a.WaitForSingleObject(opened(a.OpenMutex(access, False, name)), 0) == TAKEN


@fact("M15", "W4")
def test_waits_end_in_time(a: Process, b: Process, name: str) -> None:
    made(a.CreateMutex(None, True, name))
    mutex = opened(b.OpenMutex(SYNCHRONIZE, False, name))
    assert [b.WaitForSingleObject(mutex, milliseconds) for milliseconds in (0, 1, 120)] == [LATE, LATE, LATE]


@fact("M16")
def test_death_of_a_waiter_is_nothing_to_the_others(a: Process, b: Process, world: World, name: str) -> None:
    mutex = made(a.CreateMutex(None, True, name))
    semaphore = made(a.CreateSemaphore(None, 0, 2, f"{name}-s"))
    for waiter, kind, at in ((b, "Mutex", name), (world.process(), "Semaphore", f"{name}-s")):
        made(waiter.CreateMutex(None, False, f"{at}-lives"))
        handle = opened(getattr(waiter, f"Open{kind}")(SYNCHRONIZE, False, at))
        assert not waiter.begin("WaitForSingleObject", handle, INFINITE).is_done(0.2)
        waiter.kill()
        gone(a, f"{at}-lives")
    other = world.process()
    waiting = other.begin("WaitForSingleObject", opened(other.OpenMutex(SYNCHRONIZE, False, name)), INFINITE)
    assert not waiting.is_done(0.2)
    assert a.ReleaseMutex(mutex) == TRUE
    assert waiting.outcome() == TAKEN
    assert a.ReleaseSemaphore(semaphore, 1) == Outcome(True, "unchanged", 0)
    assert a.WaitForSingleObject(semaphore, 0) == TAKEN


@fact("S12")
def test_releasing_is_for_objects_of_the_kind(a: Process) -> None:
    mutex, semaphore = made(a.CreateMutex(None, True, None)), made(a.CreateSemaphore(None, 0, 1, None))
    event = made(a.CreateEvent(None, True, False, None))
    for wrong in (semaphore, event, NULL):
        assert a.ReleaseMutex(wrong) == fails(False, ERROR_INVALID_HANDLE)
    for wrong in (mutex, event, NULL):
        assert a.ReleaseSemaphore(wrong, 1) == fails(False, ERROR_INVALID_HANDLE)
    for wrong in (mutex, semaphore, NULL):
        assert a.SetEvent(wrong) == fails(False, ERROR_INVALID_HANDLE)
        assert a.ResetEvent(wrong) == fails(False, ERROR_INVALID_HANDLE)


def test_released_mutex_goes_to_who_waited_first(a: Process, b: Process, name: str) -> None:
    mutex = made(a.CreateMutex(None, True, name))
    shared = opened(b.OpenMutex(SYNCHRONIZE, False, name))
    first = b.thread("first waiter").begin("WaitForSingleObject", shared, INFINITE)
    assert not first.is_done(0.2)
    second = b.thread("second waiter").begin("WaitForSingleObject", shared, INFINITE)
    assert not second.is_done(0.2)
    assert a.ReleaseMutex(mutex) == TRUE
    assert a.WaitForSingleObject(mutex, 0) == LATE  # it is no more to be had
    assert first.outcome() == TAKEN
    assert b.thread("first waiter").ReleaseMutex(shared) == TRUE
    assert second.outcome() == TAKEN


# ---- semaphores ------------------------------------------------------------------------------------------------------


@fact("S1")
@pytest.mark.parametrize(("initial", "maximum"), [(-1, 1), (0, 0), (0, -1), (2, 1), (1, -5), (-5, -4)])
def test_counts_of_a_semaphore_are_checked(a: Process, initial: int, maximum: int) -> None:
    assert a.CreateSemaphore(None, initial, maximum, None) == fails(NULL, ERROR_INVALID_PARAMETER)


@fact("S1", "S2", "S3", "S11")
def test_release_adds_all_or_nothing_and_tells_the_count_before(a: Process) -> None:
    semaphore = made(a.CreateSemaphore(None, 1, 3, None))
    assert a.ReleaseSemaphore(semaphore, 3) == fails(False, ERROR_TOO_MANY_POSTS)
    assert a.ReleaseSemaphore(semaphore, 1) == Outcome(True, "unchanged", 1)
    assert a.ReleaseSemaphore(semaphore, 2) == fails(False, ERROR_TOO_MANY_POSTS)
    assert a.ReleaseSemaphore(semaphore, 1, None) == TRUE
    assert [a.WaitForSingleObject(semaphore, 0) for _ in range(4)] == [TAKEN, TAKEN, TAKEN, LATE]
    most = made(a.CreateSemaphore(None, 0x7FFFFFFF, 0x7FFFFFFF, None))
    assert a.ReleaseSemaphore(most, 0x7FFFFFFF) == fails(False, ERROR_TOO_MANY_POSTS)


@fact("S4")
def test_release_of_nothing_is_refused(world: World, a: Process) -> None:
    semaphore = made(a.CreateSemaphore(None, 1, 3, None))
    refused = fails(False, ERROR_INVALID_PARAMETER)
    assert a.ReleaseSemaphore(semaphore, 0) == world.pick(windows=refused, wine=Outcome(True, "unchanged", 1))
    assert a.ReleaseSemaphore(semaphore, -1) == world.pick(windows=refused, wine=fails(False, ERROR_TOO_MANY_POSTS))
    assert a.ReleaseSemaphore(semaphore, 1) == Outcome(True, "unchanged", 1)


@fact("S5", "S6")
def test_anybody_may_release_what_somebody_else_waits_for(a: Process, b: Process, name: str) -> None:
    semaphore = made(a.CreateSemaphore(None, 1, 5, name))
    assert [a.WaitForSingleObject(semaphore, 0), a.WaitForSingleObject(semaphore, 0)] == [TAKEN, LATE]
    other = opened(b.OpenSemaphore(SEMAPHORE_MODIFY_STATE, False, name))
    assert b.ReleaseSemaphore(other, 2) == Outcome(True, "unchanged", 0)
    assert [a.WaitForSingleObject(semaphore, INFINITE) for _ in range(2)] == [TAKEN, TAKEN]


@fact("S8")
def test_what_a_dead_process_had_taken_stays_taken(a: Process, b: Process, name: str) -> None:
    semaphore = made(a.CreateSemaphore(None, 1, 1, name))
    made(b.CreateMutex(None, False, f"{name}-lives"))
    assert b.WaitForSingleObject(opened(b.OpenSemaphore(SYNCHRONIZE, False, name)), 0) == TAKEN
    b.kill()
    gone(a, f"{name}-lives")
    assert a.WaitForSingleObject(semaphore, 100) == LATE


@fact("S9")
def test_release_lets_as_many_go_on_as_it_adds(a: Process, b: Process, name: str) -> None:
    semaphore = made(a.CreateSemaphore(None, 0, 5, name))
    other = opened(b.OpenSemaphore(SYNCHRONIZE, False, name))
    waiting = []
    for i in range(3):
        waiting.append(b.thread(f"waiter {i}").begin("WaitForSingleObject", other, INFINITE))
        assert not waiting[-1].is_done(0.2)
    assert a.ReleaseSemaphore(semaphore, 2) == Outcome(True, "unchanged", 0)
    assert [waiting[0].outcome(), waiting[1].outcome()] == [TAKEN, TAKEN]
    assert not waiting[2].is_done(0.2)
    assert a.ReleaseSemaphore(semaphore, 1) == Outcome(True, "unchanged", 0)
    assert waiting[2].outcome() == TAKEN


@fact("S10")
def test_rights_limit_what_a_handle_of_a_semaphore_may(a: Process, name: str) -> None:
    made(a.CreateSemaphore(None, 1, 3, name))
    can_wait = opened(a.OpenSemaphore(SYNCHRONIZE, False, name))
    can_release = opened(a.OpenSemaphore(SEMAPHORE_MODIFY_STATE, False, name))
    assert a.ReleaseSemaphore(can_wait, 1) == fails(False, ERROR_ACCESS_DENIED)
    assert a.ReleaseSemaphore(can_release, 1) == Outcome(True, "unchanged", 1)
    assert a.WaitForSingleObject(can_release, 0) == DENIED
    assert a.WaitForSingleObject(can_wait, 0) == TAKEN
    for access, is_enough in ((GENERIC_WRITE, True), (GENERIC_READ, False), (SEMAPHORE_ALL_ACCESS, True)):
        outcome = a.ReleaseSemaphore(opened(a.OpenSemaphore(access, False, name)), 1)
        assert outcome.result is is_enough


# ---- events ----------------------------------------------------------------------------------------------------------


def test_event_that_stays_set_lets_everybody_go_on(a: Process, b: Process, name: str) -> None:
    event = made(a.CreateEvent(None, True, False, name))
    other = opened(b.OpenEvent(SYNCHRONIZE, False, name))
    waiting = [b.thread(f"waiter {i}").begin("WaitForSingleObject", other, INFINITE) for i in range(3)]
    assert not any(one.is_done(0.2) for one in waiting)
    assert [a.SetEvent(event), a.ResetEvent(event)] == [TRUE, TRUE]  # who waited goes on all the same
    assert [one.outcome() for one in waiting] == [TAKEN] * 3
    assert b.WaitForSingleObject(other, 0) == LATE


def test_event_that_resets_itself_lets_one_go_on(a: Process, b: Process, name: str) -> None:
    event = made(a.CreateEvent(None, False, True, name))
    other = opened(b.OpenEvent(SYNCHRONIZE, False, name))
    assert [b.WaitForSingleObject(other, 0), b.WaitForSingleObject(other, 0)] == [TAKEN, LATE]
    waiting = b.begin("WaitForSingleObject", other, INFINITE)
    assert not waiting.is_done(0.2)
    assert a.SetEvent(event) == TRUE
    assert a.WaitForSingleObject(event, 0) == LATE  # the other one has it
    assert waiting.outcome() == TAKEN
    assert [a.SetEvent(event), a.SetEvent(event)] == [TRUE, TRUE]
    assert [a.WaitForSingleObject(event, 0), a.WaitForSingleObject(event, 0)] == [TAKEN, LATE]


def test_rights_limit_what_a_handle_of_an_event_may(a: Process, name: str) -> None:
    made(a.CreateEvent(None, True, True, name))
    can_wait = opened(a.OpenEvent(SYNCHRONIZE, False, name))
    can_set = opened(a.OpenEvent(EVENT_MODIFY_STATE, False, name))
    for call in ("SetEvent", "ResetEvent"):
        assert getattr(a, call)(can_wait) == fails(False, ERROR_ACCESS_DENIED)
    assert a.WaitForSingleObject(can_set, 0) == DENIED
    assert a.ResetEvent(can_set) == TRUE
    assert a.WaitForSingleObject(can_wait, 0) == LATE
    assert a.SetEvent(opened(a.OpenEvent(EVENT_ALL_ACCESS, False, name))) == TRUE


# ---- waiting ---------------------------------------------------------------------------------------------------------


@fact("W1")
def test_constants_are_those_of_windows() -> None:
    assert (WAIT_OBJECT_0, WAIT_ABANDONED, WAIT_TIMEOUT, WAIT_FAILED) == (0, 0x80, 258, 0xFFFFFFFF)
    assert INFINITE == 0xFFFFFFFF


@fact("W2", "W3")
def test_waiting_needs_a_handle_that_may_be_waited_for(a: Process) -> None:
    event = made(a.CreateEvent(None, True, True, None))
    assert a.CloseHandle(event) == TRUE
    for wrong in (event, NULL, 0x7FFF1230):
        assert a.WaitForSingleObject(wrong, 0) == fails(WAIT_FAILED, ERROR_INVALID_HANDLE)
    assert a.WaitForSingleObject(made(memory(a, 40)), 0) == DENIED


@fact("W7")
def test_wait_goes_on_when_its_handle_is_closed(world: World, a: Process, name: str) -> None:
    event = made(a.CreateEvent(None, False, False, name))
    waiting = a.begin("WaitForSingleObject", event, 1500)
    assert not waiting.is_done(0.2)
    other = a.thread("other")
    assert other.CloseHandle(event) == TRUE
    error = other.OpenEvent(SYNCHRONIZE, False, name).error
    assert error == world.pick(windows=ERROR_FILE_NOT_FOUND, wine="unchanged")  # Wine lets the wait keep the name
    made(other.CreateEvent(None, True, True, None))  # another one, which is nothing to the wait
    assert waiting.outcome() == LATE


@fact("W8")
def test_lowest_bits_of_a_handle_mean_nothing(a: Process) -> None:
    event = made(a.CreateEvent(None, True, True, None))
    assert [a.WaitForSingleObject(event + bits, 0) for bits in range(4)] == [TAKEN] * 4


@fact("W9")
def test_wait_is_not_shorter_than_asked_for(a: Process) -> None:
    event = made(a.CreateEvent(None, True, False, None))
    begun = time.perf_counter()
    assert a.WaitForSingleObject(event, 250) == LATE
    assert time.perf_counter() - begun >= 0.24


@fact("X1")
def test_first_object_that_can_be_had_is_taken_and_no_other(a: Process) -> None:
    none, one, two = (made(a.CreateSemaphore(None, count, 9, None)) for count in (0, 1, 1))
    handles = [none, one, two]
    outcomes = [a.WaitForMultipleObjects(3, handles, False, 0) for _ in range(3)]
    assert outcomes == [Outcome(WAIT_OBJECT_0 + 1), Outcome(WAIT_OBJECT_0 + 2), LATE]


@fact("X3")
def test_all_are_taken_at_once_or_none(a: Process, b: Process, name: str) -> None:
    mutex = made(a.CreateMutex(None, False, f"{name}-m"))
    semaphore = made(a.CreateSemaphore(None, 1, 9, f"{name}-s"))
    event = made(a.CreateEvent(None, False, False, f"{name}-e"))
    handles = [mutex, semaphore, event]
    assert a.WaitForMultipleObjects(3, handles, True, 0) == LATE
    waiting = a.thread("waiter").begin("WaitForMultipleObjects", 3, handles, True, INFINITE)
    assert not waiting.is_done(0.2)
    theirs = opened(b.OpenMutex(SYNCHRONIZE, False, f"{name}-m"))
    assert b.WaitForSingleObject(theirs, 0) == TAKEN  # though somebody waits for it and more
    assert a.WaitForSingleObject(semaphore, 0) == TAKEN
    assert a.SetEvent(event) == TRUE
    assert a.ReleaseSemaphore(semaphore, 1) == Outcome(True, "unchanged", 0)
    assert not waiting.is_done(0.2)
    assert b.ReleaseMutex(theirs) == TRUE
    assert waiting.outcome() == TAKEN
    assert [a.WaitForSingleObject(handle, 0) for handle in handles] == [LATE] * 3


@fact("X4", "X5")
def test_number_of_objects_is_limited(a: Process) -> None:
    events = [made(a.CreateEvent(None, True, False, None)) for _ in range(65)]
    assert MAXIMUM_WAIT_OBJECTS == 64
    wrong = fails(WAIT_FAILED, ERROR_INVALID_PARAMETER)
    assert a.WaitForMultipleObjects(64, events, False, 0) == LATE
    assert a.SetEvent(events[63]) == TRUE
    assert a.WaitForMultipleObjects(64, events, False, 0) == Outcome(63)
    if a_is_pywin32(a):
        return  # it counts them itself
    assert a.WaitForMultipleObjects(0, events, False, 0) == wrong
    assert a.WaitForMultipleObjects(65, events, False, 0) == wrong


@fact("X6")
def test_all_of_an_object_twice_is_refused(world: World, a: Process, name: str) -> None:
    event = made(a.CreateEvent(None, True, False, name))
    again = opened(a.OpenEvent(SYNCHRONIZE | EVENT_MODIFY_STATE, False, name))
    wrong = fails(WAIT_FAILED, ERROR_INVALID_PARAMETER)
    for handles in ([event, event], [event, again]):
        assert a.WaitForMultipleObjects(2, handles, True, 0) == world.pick(windows=wrong, wine=LATE)
    assert a.SetEvent(again) == TRUE
    assert a.WaitForMultipleObjects(2, [event, again], False, 0) == TAKEN


@fact("X7", "X8")
def test_several_objects_tell_of_an_abandoned_mutex(a: Process, name: str) -> None:
    event = made(a.CreateEvent(None, False, False, None))
    mutexes = [made(a.CreateMutex(None, False, f"{name}-{i}")) for i in range(2)]
    for i in range(2):
        thread = a.thread(f"ending {i}")
        assert thread.WaitForSingleObject(mutexes[i], 0) == TAKEN
        thread.end()
    handles = [event, *mutexes]
    assert a.WaitForMultipleObjects(2, handles, False, INFINITE) == Outcome(WAIT_ABANDONED + 1)
    assert a.ReleaseMutex(mutexes[0]) == TRUE
    assert a.SetEvent(event) == TRUE
    outcome = a.WaitForMultipleObjects(3, handles, True, INFINITE)
    assert WAIT_ABANDONED <= outcome.result < WAIT_ABANDONED + 3
    assert [a.ReleaseMutex(mutex) for mutex in mutexes] == [TRUE, TRUE]
    assert a.WaitForMultipleObjects(2, mutexes, True, 0) == TAKEN


@fact("X9")
@pytest.mark.parametrize("for_all", [False, True])
def test_one_bad_handle_makes_the_whole_wait_fail(a: Process, for_all: bool) -> None:
    event = made(a.CreateEvent(None, False, True, None))
    for handles in ([event, NULL], [NULL, event], [event, 0x7FFF1230]):
        assert a.WaitForMultipleObjects(2, handles, for_all, 0) == fails(WAIT_FAILED, ERROR_INVALID_HANDLE)
    assert a.WaitForSingleObject(event, 0) == TAKEN


# ---- handles and the life of objects ---------------------------------------------------------------------------------


@fact("H1", "H3")
def test_handle_is_closed_once(a: Process) -> None:
    event = made(a.CreateEvent(None, True, True, None))
    assert a.CloseHandle(event) == TRUE
    for wrong in (event, 0x7FFF1230):
        assert a.CloseHandle(wrong) == fails(False, ERROR_INVALID_HANDLE)
    if a_is_pywin32(a):
        return  # it does not ask the system about NULL, and its handles have a sign
    assert a.CloseHandle(NULL) == fails(False, ERROR_INVALID_HANDLE)
    assert a.CloseHandle(MEMORY) == TRUE


@fact("H4")
@pytest.mark.parametrize("kind", ["Mutex", "Semaphore", "Event", "FileMapping"])
def test_object_lives_as_long_as_a_handle(a: Process, b: Process, name: str, kind: str) -> None:
    creations: dict[str, Callable[[], Outcome]] = {
        "Mutex": lambda: a.CreateMutex(None, False, name),
        "Semaphore": lambda: a.CreateSemaphore(None, 0, 1, name),
        "Event": lambda: a.CreateEvent(None, False, False, name),
        "FileMapping": lambda: memory(a, 1, name),
    }
    first = made(creations[kind]())
    second = opened(getattr(b, f"Open{kind}")(SYNCHRONIZE | 4, False, name))
    third = opened(getattr(b, f"Open{kind}")(SYNCHRONIZE | 4, False, name))
    assert [a.CloseHandle(first), b.CloseHandle(second)] == [TRUE, TRUE]
    found(creations[kind]())
    assert b.CloseHandle(third) == TRUE
    a.begin("reset").outcome()
    assert getattr(b, f"Open{kind}")(SYNCHRONIZE | 4, False, name) == fails(NULL, ERROR_FILE_NOT_FOUND)


@fact("H5")
@pytest.mark.parametrize("end", ["kill", "exit"])
def test_end_of_a_process_closes_its_handles(a: Process, b: Process, name: str, end: str) -> None:
    made(a.CreateMutex(None, False, f"{name}-m"))
    view = ok(a.MapViewOfFile(made(memory(a, 40, f"{name}-f")), FILE_MAP_WRITE, 0, 0, 0))
    a.poke(view, b"from a")
    mapping = opened(b.OpenFileMapping(FILE_MAP_READ, False, f"{name}-f"))
    getattr(a, end)()
    gone(b, f"{name}-m")
    assert b.peek(ok(b.MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0)), 6) == b"from a"
    opened(b.OpenFileMapping(FILE_MAP_READ, False, f"{name}-f"))


@fact("H6")
def test_handle_is_of_its_process_alone(a: Process, b: Process) -> None:
    events = [made(a.CreateEvent(None, True, True, None)) for _ in range(200)]
    assert a.WaitForSingleObject(events[-1], 0) == TAKEN
    assert b.WaitForSingleObject(0x7FFF1230, 0) == fails(WAIT_FAILED, ERROR_INVALID_HANDLE)


@fact("H7")
def test_name_of_a_mapping_goes_before_its_views(a: Process, b: Process, name: str) -> None:
    mapping = made(memory(a, 40, name))
    view = ok(a.MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0))
    a.poke(view, b"keep")
    assert a.CloseHandle(mapping) == TRUE
    assert b.OpenFileMapping(FILE_MAP_READ, False, name) == fails(NULL, ERROR_FILE_NOT_FOUND)
    other = ok(b.MapViewOfFile(made(memory(b, 40, name)), FILE_MAP_READ, 0, 0, 0))
    assert (a.peek(view, 4), b.peek(other, 4)) == (b"keep", bytes(4))


# ---- file mappings ---------------------------------------------------------------------------------------------------


@fact("F1", "F13", "F27")
def test_memory_has_a_size_and_a_protection(a: Process) -> None:
    assert memory(a, 0) == fails(NULL, ERROR_INVALID_PARAMETER)
    for wrong in (PAGE_NOACCESS, PAGE_READONLY | PAGE_READWRITE, 0x400, SEC_COMMIT | SEC_RESERVE | PAGE_READWRITE):
        assert memory(a, 40, None, wrong) == fails(NULL, ERROR_INVALID_PARAMETER)
    assert memory(a, 2**46) == fails(NULL, ERROR_NOT_ENOUGH_MEMORY)
    for good in (PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY, PAGE_READWRITE | SEC_COMMIT):
        made(memory(a, 40, None, good))


@fact("F13")
def test_no_protection_is_none(world: World, a: Process) -> None:
    assert memory(a, 40, None, 0) == fails(NULL, ERROR_INVALID_PARAMETER)


@fact("F10")
def test_fresh_memory_is_zeros_at_a_multiple_of_64_kib(a: Process) -> None:
    for size in (1, 4097, 65536, 65537):
        mapping = made(memory(a, size))
        for _ in range(3):
            view = ok(a.MapViewOfFile(mapping, FILE_MAP_ALL_ACCESS, 0, 0, 0))
            assert a.process.base(view) % 65536 == 0
            assert a.peek(view, size) == bytes(size)
            assert a.region(view) == -(-size // 4096) * 4096


@fact("F2", "F8", "F11", "F11d", "F11g", "F11j")
def test_file_is_mapped_as_it_is_opened(a: Process, tmp_path: Path) -> None:
    empty, path = tmp_path / "empty", tmp_path / "file"
    empty.write_bytes(b"")
    path.write_bytes(b"0123456789")
    file = a.open_file(empty, "r+b")
    assert a.CreateFileMapping(file, None, PAGE_READWRITE, 0, 0, None) == fails(NULL, ERROR_FILE_INVALID)
    readable, writable = a.open_file(path, "rb"), a.open_file(path, "r+b")
    denied = fails(NULL, ERROR_ACCESS_DENIED)
    assert a.CreateFileMapping(readable, None, PAGE_READWRITE, 0, 0, None) == denied
    made(a.CreateFileMapping(readable, None, PAGE_WRITECOPY, 0, 0, None))
    made(a.CreateFileMapping(readable, None, PAGE_READONLY, 0, 0, None))
    too_long = a.CreateFileMapping(readable, None, PAGE_READONLY, 0, 100000, None)
    assert too_long == fails(NULL, ERROR_NOT_ENOUGH_MEMORY)
    assert path.stat().st_size == 10
    mapping = made(a.CreateFileMapping(writable, None, PAGE_READWRITE, 0, 100000, None))
    assert path.stat().st_size == 100000
    view = ok(a.MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0))
    assert a.peek(view, 100000) == b"0123456789".ljust(100000, b"\0")
    assert a.region(view) == 102400
    tail = ok(a.MapViewOfFile(mapping, FILE_MAP_READ, 0, 65536, 0))
    assert a.region(tail) == 36864
    smaller = made(a.CreateFileMapping(writable, None, PAGE_READWRITE, 0, 100, None))
    assert path.stat().st_size == 100000
    assert a.region(ok(a.MapViewOfFile(smaller, FILE_MAP_READ, 0, 0, 0))) == 4096
    assert a.MapViewOfFile(smaller, FILE_MAP_READ, 0, 0, 101) == denied


@fact("F13d")
def test_file_is_a_file_or_nothing(a: Process) -> None:
    wrong = a.CreateFileMapping(0x7FFF1230, None, PAGE_READWRITE, 0, 40, None)
    assert wrong == fails(NULL, ERROR_INVALID_HANDLE)
    made(a.CreateFileMapping(NULL, None, PAGE_READWRITE, 0, 40, None))


@fact("F3b", "F3c", "F5", "F6")
def test_view_lies_in_its_mapping(a: Process) -> None:
    mapping = made(memory(a, 3 * 65536))
    for offset, size, error in (
        (0, 3 * 65536 + 1, ERROR_ACCESS_DENIED),
        (65536, 2 * 65536 + 1, ERROR_ACCESS_DENIED),
        (0, 2**40, ERROR_ACCESS_DENIED),
        (4096, 4096, ERROR_MAPPED_ALIGNMENT),
        (1, 0, ERROR_MAPPED_ALIGNMENT),
        (3 * 65536, 0, ERROR_INVALID_PARAMETER),
        (4 * 65536, 0, ERROR_INVALID_PARAMETER),
    ):
        assert a.MapViewOfFile(mapping, FILE_MAP_READ, 0, offset, size) == fails(NULL, error), (offset, size)
    assert a.region(ok(a.MapViewOfFile(mapping, FILE_MAP_READ, 0, 65536, 0))) == 2 * 65536
    assert a.region(ok(a.MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 4097))) == 8192


@fact("F7", "F16")
def test_view_may_what_mapping_and_handle_may(a: Process, name: str) -> None:
    read_only = made(memory(a, 40, None, PAGE_READONLY))
    denied = fails(NULL, ERROR_ACCESS_DENIED)
    for access in (FILE_MAP_WRITE, FILE_MAP_ALL_ACCESS):
        assert a.MapViewOfFile(read_only, access, 0, 0, 0) == denied
    for access in (FILE_MAP_READ, FILE_MAP_COPY):
        opened(a.MapViewOfFile(read_only, access, 0, 0, 0))
    made(memory(a, 40, name))
    reader = opened(a.OpenFileMapping(FILE_MAP_READ, False, name))
    assert a.MapViewOfFile(reader, FILE_MAP_WRITE, 0, 0, 0) == denied
    opened(a.MapViewOfFile(reader, FILE_MAP_READ, 0, 0, 0))
    writer = opened(a.OpenFileMapping(FILE_MAP_WRITE, False, name))
    assert a.MapViewOfFile(writer, FILE_MAP_READ, 0, 0, 0) == denied
    everything = opened(a.OpenFileMapping(FILE_MAP_ALL_ACCESS, False, name))
    opened(a.MapViewOfFile(everything, FILE_MAP_ALL_ACCESS, 0, 0, 0))


@fact("F14", "F23")
def test_views_show_the_same_bytes_but_for_private_copies(a: Process, b: Process, name: str) -> None:
    mapping = made(memory(a, 40, name))
    view, second = (ok(a.MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0)) for _ in range(2))
    assert a.base(view) != a.base(second)
    theirs = opened(b.OpenFileMapping(FILE_MAP_ALL_ACCESS, False, name))
    other = ok(b.MapViewOfFile(theirs, FILE_MAP_ALL_ACCESS, 0, 0, 0))
    copy = ok(b.MapViewOfFile(theirs, FILE_MAP_COPY, 0, 0, 0))
    a.poke(view, b"shared")
    assert [a.peek(second, 6), b.peek(other, 6)] == [b"shared", b"shared"]
    b.poke(copy, b"secret")
    assert [a.peek(view, 6), b.peek(other, 6), b.peek(copy, 6)] == [b"shared", b"shared", b"secret"]
    b.poke(other, b"back")
    assert a.peek(view, 6) == b"backed"


@fact("F22", "F29", "F20")
def test_mappings_of_one_file_show_its_bytes(a: Process, b: Process, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    views = {}
    for caller in (a, b):
        mapping = made(caller.CreateFileMapping(caller.open_file(path, "r+b"), None, PAGE_READWRITE, 0, 0, None))
        views[caller] = ok(caller.MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0))
    a.poke(views[a], b"coherent")
    assert b.peek(views[b], 8) == b"coherent"
    with path.open("r+b", buffering=0) as file:
        file.write(b"written!")
    assert a.peek(views[a], 8) == b"written!"
    b.poke(views[b], b"persists")
    a.begin("reset").outcome()
    b.begin("reset").outcome()
    assert eventually(lambda: path.read_bytes()[:8] == b"persists")


def test_mapping_of_a_file_is_found_by_its_name(a: Process, b: Process, name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"of a file")
    file = a.open_file(path, "r+b")
    made(a.CreateFileMapping(file, None, PAGE_READWRITE, 0, 0, name))
    a.close_file(file)
    mapping = opened(b.OpenFileMapping(FILE_MAP_ALL_ACCESS, False, name))
    view = ok(b.MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0))
    assert b.peek(view, 9) == b"of a file"
    b.poke(view, b"in")
    assert b.FlushViewOfFile(view, 0) == TRUE
    assert eventually(lambda: path.read_bytes() == b"in a file")


@fact("F30")
def test_views_are_of_mappings(a: Process) -> None:
    closed = made(memory(a, 40))
    assert a.CloseHandle(closed) == TRUE
    for wrong in (closed, made(a.CreateMutex(None, False, None)), NULL):
        assert a.MapViewOfFile(wrong, FILE_MAP_READ, 0, 0, 0) == fails(NULL, ERROR_INVALID_HANDLE)


@fact("F17", "F17c", "F19")
def test_view_is_unmapped_once_by_any_address_in_it(a: Process) -> None:
    mapping = made(memory(a, 8192))
    view, second = (ok(a.MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0)) for _ in range(2))
    assert a.CloseHandle(mapping) == TRUE
    a.poke(view, b"alive")
    assert a.peek(second, 5) == b"alive"
    assert a.UnmapViewOfFile(view) == TRUE
    for wrong in (view, NULL):
        assert a.UnmapViewOfFile(wrong) == fails(False, ERROR_INVALID_ADDRESS)
    assert a.UnmapViewOfFile(second + 5000) == TRUE
    assert a.UnmapViewOfFile(second) == fails(False, ERROR_INVALID_ADDRESS)


@fact("F18", "F18c")
def test_what_is_flushed_lies_in_a_view(world: World, a: Process, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    error = world.pick(windows=ERROR_INVALID_ADDRESS, wine=ERROR_INVALID_PARAMETER)
    of_file = made(a.CreateFileMapping(a.open_file(path, "r+b"), None, PAGE_READWRITE, 0, 0, None))
    for mapping in (of_file, made(memory(a, 8192))):
        view = ok(a.MapViewOfFile(mapping, FILE_MAP_WRITE, 0, 0, 0))
        for offset, size in ((0, 0), (0, 10), (100, 8), (5000, 0)):
            assert a.FlushViewOfFile(view + offset, size) == TRUE
        assert a.UnmapViewOfFile(view) == TRUE
        assert a.FlushViewOfFile(view, 0) == fails(False, error)
    assert a.FlushViewOfFile(NULL, 0) == fails(False, error)


# ---- penstock's own --------------------------------------------------------------------------------------------------


def test_ids_of_facts_are_ids() -> None:
    assert [one for one in FACTS if not re.fullmatch(r"[NMSWXHFPL]\d+[a-z]?", one)] == []


def test_unsigned_numbers_of_ten_are_where_c_has_them(a: Process, b: Process, name: str) -> None:
    view = ok(a.MapViewOfFile(made(memory(a, 40, name)), FILE_MAP_WRITE, 0, 0, 40))
    a.poke(view, struct.pack("<10I", *range(10)))
    mapping = opened(b.OpenFileMapping(FILE_MAP_READ, False, name))
    assert struct.unpack("<10I", b.peek(ok(b.MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 40)), 40)) == (*range(10),)

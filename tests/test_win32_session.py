"""How `penstock.win32` keeps its promises where there is no kernel32: kills, interrupts, forks, leftovers, limits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cli_helpers import Program, eventually
from win32_worlds import INFINITE, MEMORY, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from win32_worlds import Process, Thing

if sys.platform == "win32":
    pytest.skip("kernel32 does it there", allow_module_level=True)

import penstock
from penstock import win32
from penstock.win32 import _objects, _table

pytestmark = [pytest.mark.usefixtures("directory"), pytest.mark.timeout(120)]


@pytest.fixture
def world() -> Iterator[World]:
    with World("here") as here:
        yield here


def program(text: str) -> Program:
    """Start a program with the calls at hand."""
    return Program([sys.executable, "-W", "error", "-c", f"from penstock.win32 import *\n{text}"])


# ---- kills at any store ----------------------------------------------------------------------------------------------


class Killed(Exception):
    """In the place of a kill."""


class Dying:
    """Words of which only so many more can be stored."""

    def __init__(self, words: memoryview, stores: int) -> None:
        self._words = words
        self._stores = stores

    def __getitem__(self, place: Any) -> Any:
        return self._words[place]

    def __setitem__(self, place: int, value: int) -> None:
        if self._stores == 0:
            raise Killed
        self._stores -= 1
        self._words[place] = value


def test_change_is_made_whole_or_not_at_all_whichever_store_was_the_last() -> None:
    places = [_table.TICKET_AT, _table.PROCESSES_AT, *(_table.row_of(i) for i in range(5))]
    outcomes = []
    for stores in range(50):
        with penstock.Mapping(None, _table.TABLE_BYTES) as mapping:
            victim, heir = _table.Table(mapping), _table.Table(mapping)
            victim.recover()
            words = victim._words
            victim._words = Dying(words, stores)  # type: ignore[assignment]
            for value, place in enumerate(places, 1):
                victim[place] = value
            try:
                victim.commit()
                was_killed = False
            except Killed:
                was_killed = True
            heir.recover()
            heir.recover()
            found = [heir[place] for place in places]
            assert found in ([0] * len(places), [*range(1, len(places) + 1)])
            outcomes.append((was_killed, found[0]))
            words.release()
            heir.release()
    assert {(True, 0), (True, 1), (False, 1)} == set(outcomes)


KEY = 1 << 32 | 7


@pytest.mark.parametrize(
    "words",
    [
        {_table.KIND: _table.MUTEX},
        {_table.KIND: _table.MUTEX, _table.ABANDONED: 1},
        {_table.KIND: _table.MUTEX, _table.OWNER: KEY, _table.COUNT: 2},
        {_table.KIND: _table.SEMAPHORE, _table.COUNT: 2, _table.LIMIT: 3},
        {_table.KIND: _table.EVENT, _table.COUNT: 1},
        {_table.KIND: _table.EVENT, _table.COUNT: 1, _table.LIMIT: 1},
    ],
)
def test_what_an_interrupted_wait_was_granted_is_put_back(words: dict[int, int]) -> None:
    with penstock.Mapping(None, _table.TABLE_BYTES) as mapping:
        table = _table.Table(mapping)
        for word, value in words.items():
            table[_table.row_of(5) + word] = value
        before = [table[_table.row_of(5) + word] for word in range(_table.OBJECT_WORDS)]
        assert _objects.can_take(table, 5, KEY)
        was_abandoned = _objects.take_one(table, 5, KEY)
        _objects.put_back(table, 5, was_abandoned=was_abandoned)
        assert [table[_table.row_of(5) + word] for word in range(_table.OBJECT_WORDS)] == before
        table.release()


def test_nothing_comes_back_of_an_event_that_stays_set_if_it_was_reset_meanwhile() -> None:
    with penstock.Mapping(None, _table.TABLE_BYTES) as mapping:
        table = _table.Table(mapping)
        table[_table.row_of(5) + _table.KIND] = _table.EVENT
        table[_table.row_of(5) + _table.LIMIT] = 1
        _objects.put_back(table, 5, was_abandoned=False)
        assert not _objects.can_take(table, 5, KEY)
        table.release()


COMPETE = """
import ctypes, sys
mutex, permits = CreateMutex(None, False, "m"), CreateSemaphore(None, 3, 3, "s")
view = MapViewOfFile(CreateFileMapping(INVALID_HANDLE_VALUE, None, PAGE_READWRITE, 0, 16, "f"), FILE_MAP_WRITE, 0, 0, 0)
pair = (ctypes.c_uint64 * 2).from_address(view)
print("ready", flush=True)
while True:
    assert WaitForSingleObject(mutex, INFINITE) in (WAIT_OBJECT_0, WAIT_ABANDONED)
    pair[0] += 1
    pair[1] += 1
    assert ReleaseMutex(mutex)
    both = WaitForMultipleObjects(2, [mutex, permits], True, 5)
    assert both in (WAIT_OBJECT_0, WAIT_ABANDONED, WAIT_TIMEOUT)
    if both != WAIT_TIMEOUT:
        assert ReleaseSemaphore(permits, 1)
        assert ReleaseMutex(mutex)
"""


def counts_on(watcher: Process, view: Thing, counted: bytes) -> bool:
    return watcher.peek(view, 8) != counted


def test_survivors_go_on_whoever_is_killed_in_full_flight(world: World) -> None:
    chance = random.Random(4)
    watcher = world.process()
    mutex = watcher.CreateMutex(None, False, "m").result
    permits = watcher.CreateSemaphore(None, 3, 3, "s").result
    memory = watcher.CreateFileMapping(MEMORY, None, win32.PAGE_READWRITE, 0, 16, "f").result
    view = watcher.MapViewOfFile(memory, win32.FILE_MAP_READ, 0, 0, 0).result
    programs = [program(COMPETE) for _ in range(3)]
    kills = 0
    try:
        while kills < 25:
            victim = chance.randrange(3)
            assert programs[victim].line() == b"ready\n"
            counted = watcher.peek(view, 8)
            eventually(partial(counts_on, watcher, view, counted))
            with programs[victim]:
                programs[victim].process.kill()
            kills += 1
            programs[victim] = program(COMPETE)
    finally:
        for competitor in programs:
            with competitor:
                competitor.process.kill()
                assert b"Error" not in competitor.end()[2]
    assert watcher.WaitForSingleObject(mutex, INFINITE).result in (win32.WAIT_OBJECT_0, win32.WAIT_ABANDONED)
    first, second = (int.from_bytes(watcher.peek(view + offset, 8), sys.byteorder) for offset in (0, 8))
    assert 0 <= first - second <= kills + 3  # who was killed between the two additions
    left = 0
    while watcher.WaitForSingleObject(permits, 0).result == win32.WAIT_OBJECT_0:
        left += 1
    assert 0 <= left <= 3  # what the dead had taken stays taken
    assert watcher.ReleaseSemaphore(permits, 3).previous == 0


# ---- leftovers -------------------------------------------------------------------------------------------------------


def live_a_little(world: World) -> None:
    """Make something of every kind, and leave a thread waiting."""
    process = world.process()
    process.CreateMutex(None, True, None)
    memory = process.CreateFileMapping(MEMORY, None, win32.PAGE_READWRITE, 0, 100, "memory").result
    process.MapViewOfFile(memory, win32.FILE_MAP_WRITE, 0, 0, 0)
    event = process.CreateEvent(None, True, False, "event").result
    assert not process.thread("waiter").begin("WaitForSingleObject", event, INFINITE).is_done(0.1)


@pytest.mark.parametrize("has_survivor", [True, False])
def test_killed_processes_leave_nothing_once_somebody_has_looked(
    world: World, directory: str, has_survivor: bool
) -> None:
    if has_survivor:
        world.process().CreateMutex(None, False, None)
    live_a_little(world)
    live_a_little(world)
    for process in world.busy[has_survivor:]:
        process.kill()
    last = world.busy[0] if has_survivor else world.process()
    assert last.OpenEvent(win32.SYNCHRONIZE, False, "event").error == win32.ERROR_FILE_NOT_FOUND
    last.exit()
    assert os.listdir(directory) == []


def test_process_that_ends_with_a_waiting_daemon_thread_says_nothing_and_leaves_nothing(directory: str) -> None:
    text = """
import threading, time
event = CreateEvent(None, True, False, "event")
threading.Thread(target=WaitForSingleObject, args=(event, INFINITE), daemon=True).start()
time.sleep(0.2)
"""
    with program(text) as ending:
        assert ending.end() == (0, b"", b"")
    assert os.listdir(directory) == []


# ---- interrupts and forks --------------------------------------------------------------------------------------------


def test_interrupted_wait_has_taken_nothing(world: World) -> None:
    other = world.process()
    event = other.CreateEvent(None, False, False, "event").result
    text = """
event = CreateEvent(None, False, False, "event")
print("ready", flush=True)
try:
    WaitForSingleObject(event, INFINITE)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(WaitForSingleObject(event, INFINITE), flush=True)
"""
    with program(text) as waiting:
        assert waiting.line() == b"ready\n"
        eventually(lambda: _is_waiting(waiting.pid))
        waiting.signal(signal.SIGINT)
        assert waiting.line() == b"interrupted\n"
        assert other.SetEvent(event).result is True
        assert waiting.line() == b"0\n"


def _is_waiting(pid: int) -> bool:
    with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
        return "futex" in file.read()


def test_forked_child_has_no_handles_and_abandons_nothing_of_its_parents(world: World) -> None:
    text = """
import os, threading
mutex = CreateMutex(None, True, "mutex")
taken = threading.Event()
held = CreateMutex(None, False, "held by a thread")
thread = threading.Thread(target=lambda: (WaitForSingleObject(held, INFINITE), taken.set(), threading.Event().wait()))
thread.daemon = True
thread.start()
taken.wait()
if (child := os.fork()) == 0:
    assert WaitForSingleObject(mutex, 0) == WAIT_FAILED and GetLastError() == ERROR_INVALID_HANDLE
    for name in ("mutex", "held by a thread"):
        assert WaitForSingleObject(OpenMutex(SYNCHRONIZE, False, name), 0) == WAIT_TIMEOUT
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(ReleaseMutex(mutex), flush=True)
input()
"""
    with Program([sys.executable, "-c", f"from penstock.win32 import *\n{text}"]) as parent:
        assert parent.line() == b"True\n"
        other = world.process()
        held = other.OpenMutex(win32.SYNCHRONIZE, False, "held by a thread").result
        assert other.WaitForSingleObject(held, 0).result == win32.WAIT_TIMEOUT
        parent.write(b"\n")
        assert parent.end()[0] == 0
        assert other.WaitForSingleObject(held, INFINITE).result == win32.WAIT_ABANDONED


def test_table_of_another_version_is_refused() -> None:
    with penstock.Mapping("win32.objects", _table.TABLE_BYTES, lifetime="while_open") as mapping:
        with memoryview(mapping) as view:
            view[:8] = b"whatever"
        done = subprocess.run(
            [sys.executable, "-c", "from penstock import win32; win32.CreateMutex(None, False, None)"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "penstock.Corrupted: 'win32.objects' is no table" in done.stderr


def test_too_many_objects_are_refused_and_those_that_are_there_stay(world: World) -> None:
    process = world.process()
    outcomes = [process.CreateEvent(None, True, True, f"event {i}") for i in range(_table.OBJECTS + 1)]
    assert [outcome.error for outcome in outcomes] == [0] * _table.OBJECTS + [win32.ERROR_NO_SYSTEM_RESOURCES]
    last = outcomes[-2].result
    assert process.WaitForSingleObject(last, 0).result == win32.WAIT_OBJECT_0
    assert process.CloseHandle(last).result is True
    assert process.CreateEvent(None, True, True, "one more").error == 0


def test_file_that_is_no_longer_where_it_was_cannot_be_opened_by_the_name(world: World, tmp_path: Path) -> None:
    maker, other = world.process(), world.process()
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    mapping = maker.CreateFileMapping(maker.open_file(path, "r+b"), None, win32.PAGE_READWRITE, 0, 0, "name").result
    path.unlink()
    path.write_bytes(b"another file")
    assert other.OpenFileMapping(win32.FILE_MAP_READ, False, "name").error == win32.ERROR_FILE_INVALID
    view = maker.MapViewOfFile(mapping, win32.FILE_MAP_READ, 0, 0, 0).result
    assert maker.peek(view, 5) == b"bytes"

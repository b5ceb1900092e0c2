"""A session: the processes that share the names of one directory, and all that changes hands between them.

As in the kernel of Windows, every change is made under one lock, and whoever makes one hands the objects on: a wait is
granted by the process that made it possible, oldest first, so that a `SetEvent` lets go on whom it found waiting and a
`WaitForMultipleObjects` takes all or nothing. The lock is a `penstock.Mutex`, the state is in a `penstock.Mapping` (see
`_table`), a thread sleeps on a `penstock.Event` of its own. All of them go with their last user.

Whether a process lives is told by a mutex that it holds as long as it does. Who sleeps looks around every so often, for
the dead and for what they left undone: no wake-up has to arrive.

The file is long because all of it is what one lock guards; what could be told apart from that is in `_table`,
`_objects` and `_sections`.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import penstock
from penstock.win32 import _objects, _sections
from penstock.win32._constants import (
    ERROR_FILE_NOT_FOUND,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    ERROR_NO_SYSTEM_RESOURCES,
    ERROR_NOT_OWNER,
    ERROR_TOO_MANY_POSTS,
    WAIT_ABANDONED,
    WAIT_TIMEOUT,
)
from penstock.win32._failure import Failure
from penstock.win32._table import (
    ABANDONED,
    COUNT,
    HOLDERS,
    INDEXES,
    IS_FILE,
    KIND,
    LIMIT,
    MUTEX,
    NAME_WORDS,
    NAMES_AT,
    NEVER,
    OBJECT_WORDS,
    OBJECTS,
    OWNER,
    PROCESSES_AT,
    PROTECTION,
    RESULT,
    ROWS_AT,
    SECTION,
    SERIAL,
    SHAPE,
    SIZE,
    TABLE_BYTES,
    TICKET,
    TICKET_AT,
    WAITER,
    Table,
    name_words,
    packed,
    row_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Result = TypeVar("Result")

HEARTBEAT_SECONDS = 0.05
"""How long a sleep lasts at most before the sleeper looks around."""


class Handle(NamedTuple):
    """Say what a handle is for: an object, its kind, and the rights that it was opened with."""

    target: int
    kind: int
    rights: int


class Thread:
    """Be this thread to the session: its key, what it sleeps on, and the news of its end.

    A thread's locals go when it ends, and this with them: that is how its mutexes come to be abandoned.
    """

    def __init__(self, session: Session, number: int) -> None:
        self._session = session
        self._number = number
        self.key = (session.slot + 1) << 32 | number
        self.may_own = False
        self._bell: penstock.Event | None = None

    def bell(self) -> penstock.Event:
        """Return what the thread sleeps on."""
        if self._bell is None:
            name = bell_name(self._session.serial, self._number)
            self._bell = penstock.Event.create(name, auto_reset=True, lifetime="while_open")
        return self._bell

    def __del__(self) -> None:
        if self.may_own and not self._session.has_left and self._session.pid == os.getpid():
            self._session.locked(partial(self._session.end_thread, self.key))


class Session:
    """Take part in the session of the default directory of names. The methods named `do_*` want the lock held."""

    def __init__(self) -> None:
        # This order: who finds the table of one that is leaving finds its lock too.
        self._mapping = penstock.Mapping("win32.objects", TABLE_BYTES, lifetime="while_open")
        self._lock = penstock.Mutex("win32.lock", lifetime="while_open")
        self._table = Table(self._mapping)
        self.serial = random_number()
        self._life = penstock.Mutex.create(_life_name(self.serial), lifetime="while_open")
        self._life.acquire()
        self._others: dict[int, penstock.Mutex] = {}
        """The signs of life of other processes, by their numbers."""
        self._held: dict[int, int] = {}
        """How many handles this process has of each object."""
        self._sections: dict[int, _sections.Section] = {}
        self._threads = threading.local()
        self._thread_numbers = itertools.count(1)
        self.handles: dict[int, Handle] = {}
        self._next_handle = itertools.count(4, 4)
        self.pid = os.getpid()
        self.has_left = False
        self.slot = -1
        self.slot = self.locked(self._register)
        atexit.register(self.leave)  # now, so that it comes before penstock closes what is below

    def locked(self, work: Callable[[], Result]) -> Result:
        """Do something under the lock, and release it even if a signal's handler raises in between."""
        try:
            self._lock.acquire()
            if self.has_left:
                raise SystemExit  # the process is ending, and this thread with it
            self._table.recover()
            return work()
        except penstock.Closed:
            if self.has_left:
                raise SystemExit from None
            raise
        finally:
            while self._lock.is_owned:
                self._lock.release()

    def _register(self) -> int:
        processes = self._table.processes()
        if 0 not in processes:
            self.do_bury_the_dead()
            processes = self._table.processes()
        if 0 not in processes:
            raise Failure(ERROR_NO_SYSTEM_RESOURCES)
        slot = processes.index(0)
        self._table[PROCESSES_AT + slot] = self.serial
        self._table.commit()
        return slot

    def leave(self) -> None:
        """Give up all handles, and abandon what threads still hold, as the end of the process does."""
        if self.has_left:
            return
        self.locked(self._leave)
        for section in self._sections.values():
            section.close()
        self._mapping.close()
        for mutex in (*self._others.values(), self._life, self._lock):
            mutex.close()

    def _leave(self) -> None:
        self._bury(self.slot)
        self._table.release()
        self.has_left = True

    def thread(self) -> Thread:
        """Return what the calling thread is to the session."""
        known: Thread | None = getattr(self._threads, "thread", None)
        if known is None:
            known = self._threads.thread = Thread(self, next(self._thread_numbers))
        return known

    # ---- handles -----------------------------------------------------------------------------------------------------

    def new_handle(self, index: int, kind: int, rights: int) -> int:
        """Return a handle for an object, of which the process has one more by now."""
        value = next(self._next_handle)
        self.handles[value] = Handle(index, kind, rights)
        return value

    # ---- objects and the processes that have handles of them ---------------------------------------------------------

    def do_create(self, kind: int, digest: bytes, make: Callable[[int], dict[int, int]]) -> tuple[int, bool]:
        """Find the object that has this name, or make one.

        Args:
            kind: Of the object.
            digest: Of its name; empty for none.
            make: Returns the words of a new object at this index.

        Returns:
            The object's index, of which the process has one handle more; and whether it was there.

        Raises:
            Failure: The name is another kind's, or there is no room.
        """
        self.do_bury_the_dead()
        found = self._table.find(digest) if digest else None
        if found is not None:
            self._take_handle(kind, found)
            return found, True
        kinds = self._table.column(KIND)
        index = kinds.index(0) if 0 in kinds else len(kinds)
        if index == OBJECTS:
            raise Failure(ERROR_NO_SYSTEM_RESOURCES)
        words = dict.fromkeys(range(OBJECT_WORDS), 0) | make(index) | {KIND: kind}
        for word, value in words.items():
            self._table[row_of(index) + word] = value
        for i, value in enumerate(name_words(digest)):
            self._table[NAMES_AT + index * NAME_WORDS + i] = value
        self._table[ROWS_AT] = max(len(kinds), index + 1)
        self._hold(index, self.slot, holds=True)
        self._table.commit()
        self._held[index] = 1
        return index, False

    def do_open(self, kind: int, digest: bytes) -> int:
        """Return the object that has this name, of which the process has one handle more.

        Raises:
            Failure: There is none, or it is another kind's.
        """
        self.do_bury_the_dead()
        found = self._table.find(digest)
        if found is None:
            raise Failure(ERROR_FILE_NOT_FOUND)
        self._take_handle(kind, found)
        return found

    def _take_handle(self, kind: int, index: int) -> None:
        row = row_of(index)
        if self._table[row + KIND] != kind:
            raise Failure(ERROR_INVALID_HANDLE)
        if index not in self._held:
            if kind == SECTION:
                serial, protection = self._table[row + SERIAL], self._table[row + PROTECTION]
                self._sections[index] = (
                    _sections.open_of_file(serial, protection)
                    if self._table[row + IS_FILE]
                    else _sections.open_of_memory(serial)
                )
            self._hold(index, self.slot, holds=True)
            self._table.commit()
        self._held[index] = self._held.get(index, 0) + 1

    def do_close(self, index: int) -> None:
        """Give up one of the process's handles of an object."""
        if self._held[index] > 1:
            self._held[index] -= 1
            return
        self._hold(index, self.slot, holds=False)
        self._remove_unused([index])
        self._table.commit()
        del self._held[index]
        section = self._sections.pop(index, None)
        if section is not None:
            section.close()

    def _hold(self, index: int, slot: int, *, holds: bool) -> None:
        """Note that a process has handles of an object, or has none any more."""
        at, bit = row_of(index) + HOLDERS + slot // 64, 1 << slot % 64
        self._table[at] = self._table[at] | bit if holds else self._table[at] & ~bit

    def _remove_unused(self, indexes: Sequence[int], ending: int | None = None) -> None:
        """Remove the names of objects of which nobody has a handle, and the objects unless somebody waits for them.

        Args:
            indexes: The objects.
            ending: A wait that counts no more.
        """
        for index in indexes:
            if index != NEVER and not any(self._table[row_of(index) + HOLDERS + i] for i in range(2)):
                for i in range(NAME_WORDS):
                    self._table[NAMES_AT + index * NAME_WORDS + i] = 0
                waits = [row for row in self._table.waits() if row != ending]
                if not any(index in self._table.waits_for(row) for row in waits):
                    self._table[row_of(index) + KIND] = 0

    # ---- what is done with objects -----------------------------------------------------------------------------------

    def do_release_mutex(self, index: int, key: int) -> None:
        """Give a mutex back, once.

        Raises:
            Failure: The thread does not hold it.
        """
        row = row_of(index)
        if self._table[row + OWNER] != key:
            raise Failure(ERROR_NOT_OWNER)
        self._table[row + COUNT] -= 1
        if self._table[row + COUNT] == 0:
            self._table[row + OWNER] = 0
        self._table.commit()
        self.do_grant_waits()

    def do_release_semaphore(self, index: int, count: int) -> int:
        """Add to a semaphore, and return its count before.

        Raises:
            Failure: The count would pass its limit, or nothing is added.
        """
        row = row_of(index)
        before = self._table[row + COUNT]
        if count <= 0:
            raise Failure(ERROR_INVALID_PARAMETER)
        if before + count > self._table[row + LIMIT]:
            raise Failure(ERROR_TOO_MANY_POSTS)
        self._table[row + COUNT] = before + count
        self._table.commit()
        self.do_grant_waits()
        return before

    def do_set_event(self, index: int, *, is_set: bool) -> None:
        """Set or reset an event."""
        self._table[row_of(index) + COUNT] = int(is_set)
        self._table.commit()
        self.do_grant_waits()

    def do_section(self, index: int) -> tuple[_sections.Section, int, int]:
        """Return this process's way to the bytes of a file mapping, its size, and its protection."""
        row = row_of(index)
        return self._sections[index], self._table[row + SIZE], self._table[row + PROTECTION]

    def add_section(self, index: int, section: _sections.Section) -> None:
        """Keep this process's way to the bytes of a new file mapping."""
        self._sections[index] = section

    # ---- waiting -----------------------------------------------------------------------------------------------------

    def wait(self, indexes: Sequence[int], *, for_all: bool, seconds: float | None) -> int:
        """Wait for one of some objects, or for all of them, and take it, or them.

        Args:
            indexes: The objects.
            for_all: Whether to take all at once, or the first that can be had.
            seconds: Longest wait; None waits for ever.

        Returns:
            The result of the call.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        thread = self.thread()
        bell = None if seconds == 0 else thread.bell()
        shape = 2 * len(indexes) + for_all
        result, row, ticket = self.locked(partial(self._begin_wait, thread, indexes, shape, queue=bell is not None))
        if bell is None or row is None:
            return result
        try:
            while True:
                left = HEARTBEAT_SECONDS if deadline is None else max(deadline - time.monotonic(), 0)
                rings = bell.wait(min(left, HEARTBEAT_SECONDS))
                answer = self.locked(partial(self._look_at_wait, row, rings=rings, is_late=left == 0))
                if answer is not None:
                    return answer
        except BaseException:
            self.locked(partial(self._give_up_wait, row, thread.key, ticket))
            raise

    def _begin_wait(
        self, thread: Thread, indexes: Sequence[int], shape: int, *, queue: bool
    ) -> tuple[int, int | None, int]:
        """Take what can be taken; if it cannot, and a wait is wanted, queue for it.

        Returns:
            The result; or the place of the wait's row, and its ticket.
        """
        table = self._table
        thread.may_own |= any(i != NEVER and table[row_of(i) + KIND] == MUTEX for i in indexes)
        result = _objects.take(self._table, indexes, shape, thread.key)
        if result is None:
            self.do_bury_the_dead()
            result = _objects.take(self._table, indexes, shape, thread.key)
        if result is not None or not queue:
            table.commit()
            return WAIT_TIMEOUT if result is None else result, None, 0
        row = table.free_wait()
        if row is None:
            raise Failure(ERROR_NO_SYSTEM_RESOURCES)
        table[TICKET_AT] = ticket = table[TICKET_AT] + 1
        words = [thread.key, ticket, 0, shape, *packed(indexes)]
        for word, value in zip((WAITER, TICKET, RESULT, SHAPE, *range(INDEXES, INDEXES + 16)), words, strict=False):
            table[row + word] = value
        table.commit()
        return 0, row, ticket

    def _look_at_wait(self, row: int, *, rings: bool, is_late: bool) -> int | None:
        """Return the result of a wait and end it; None: it goes on."""
        if not rings:  # somebody may have died, perhaps before he could grant what he had made possible
            self.do_bury_the_dead()
            self.do_grant_waits()
        result = self._table[row + RESULT] - 1
        if result < 0 and not is_late:
            return None
        self._end_wait(row)
        self._table.commit()
        return WAIT_TIMEOUT if result < 0 else result

    def _give_up_wait(self, row: int, key: int, ticket: int) -> None:
        """End a wait that was interrupted, and put back what was granted to it meanwhile."""
        table = self._table
        if (table[row + WAITER], table[row + TICKET]) != (key, ticket):
            return
        result, indexes = table[row + RESULT] - 1, table.waits_for(row)
        if result >= 0:
            granted = indexes if table[row + SHAPE] % 2 else [indexes[result % WAIT_ABANDONED]]
            for index in granted:
                _objects.put_back(table, index, was_abandoned=result >= WAIT_ABANDONED)
        self._end_wait(row)
        table.commit()
        self.do_grant_waits()

    def _end_wait(self, row: int) -> None:
        self._remove_unused(self._table.waits_for(row), ending=row)
        self._table[row + WAITER] = 0

    def do_grant_waits(self) -> None:
        """Grant every wait that can be granted, the oldest first."""
        table = self._table
        for row in table.waits():
            if table[row + RESULT] or not table[row + WAITER]:
                continue
            key = table[row + WAITER]
            result = _objects.take(self._table, table.waits_for(row), table[row + SHAPE], key)
            if result is None:
                continue
            if not self._is_alive(_process_of(key)):
                table.recover()  # it takes nothing
                self._bury(_process_of(key))
                self.do_grant_waits()
                return
            table[row + RESULT] = result + 1
            table.commit()
            self._wake(key)

    def _wake(self, key: int) -> None:
        serial, number = self._table[PROCESSES_AT + _process_of(key)], key & 0xFFFFFFFF
        try:
            bell = penstock.Event.open(bell_name(serial, number))
        except penstock.NotFound:
            return  # it is ending; nobody sleeps there
        bell.set()
        bell.close()

    # ---- the end of threads and processes ----------------------------------------------------------------------------

    def end_thread(self, key: int) -> None:
        """Abandon what a thread holds as it ends."""
        self._abandon(lambda owner: owner == key)
        self.do_grant_waits()

    def do_bury_the_dead(self) -> None:
        """Give up the handles of processes that have ended, abandon their mutexes, end their waits."""
        processes = self._table.processes()
        for serial in self._others.keys() - set(processes):
            self._others.pop(serial).close()
        for slot, serial in enumerate(processes):
            if serial and not self._is_alive(slot):
                self._bury(slot)

    def _is_alive(self, slot: int) -> bool:
        serial = self._table[PROCESSES_AT + slot]
        if serial == self.serial:
            return True
        if serial not in self._others:
            try:
                self._others[serial] = penstock.Mutex.open(_life_name(serial))
            except penstock.NotFound:
                return False
        return self._others[serial].locked()

    def _bury(self, slot: int) -> None:
        """Forget a process. Whoever is killed in this leaves the same to do to the next, for its row goes last."""
        table = self._table
        self._abandon(lambda owner: _process_of(owner) == slot)
        for row in table.waits():
            if _process_of(table[row + WAITER]) == slot:
                self._end_wait(row)
                table.commit()
        for index, holders in enumerate(table.column(HOLDERS + slot // 64)):
            if holders >> slot % 64 & 1 and table[row_of(index) + KIND]:
                self._hold(index, slot, holds=False)
                self._remove_unused([index])
                table.commit()
        table[PROCESSES_AT + slot] = 0
        table.commit()
        self.do_grant_waits()
        if slot != self.slot:
            self._sweep()

    def _sweep(self) -> None:
        """Remove what the dead had: it goes with its last user, and so when it is opened and closed once more."""
        directory = os.path.dirname(self._mapping.path)
        processes = {f"{serial:x}" for serial in self._table.processes() if serial}
        kinds, serials = self._table.column(KIND), self._table.column(SERIAL)
        sections = {f"{serial:x}" for kind, serial in zip(kinds, serials, strict=True) if kind == SECTION}
        for name in os.listdir(directory):
            what, dash, serial = name.partition("-")
            living = sections if what == "win32.section" else processes
            if dash and what in _OF_ONE_PROCESS and serial.partition("-")[0] not in living:
                with contextlib.suppress(penstock.PenstockError):
                    _OF_ONE_PROCESS[what].open(name).close()

    def _abandon(self, is_ending: Callable[[int], bool]) -> None:
        for index, owner in enumerate(self._table.column(OWNER)):
            if owner and is_ending(owner) and self._table[row_of(index) + KIND] == MUTEX:
                for word, value in ((OWNER, 0), (COUNT, 0), (ABANDONED, 1)):
                    self._table[row_of(index) + word] = value
                self._table.commit()


_OF_ONE_PROCESS: dict[str, type[penstock.Event | penstock.Mutex | penstock.Mapping]] = {
    "win32.thread": penstock.Event,
    "win32.process": penstock.Mutex,
    "win32.section": penstock.Mapping,
}
"""What has a number in its name after a dash: its process's, or its own."""


def bell_name(serial: int, number: int) -> str:
    """Return the name of what a thread of a process sleeps on."""
    return f"win32.thread-{serial:x}-{number}"


def _life_name(serial: int) -> str:
    """Return the name of a process's sign of life."""
    return f"win32.process-{serial:x}"


def _process_of(key: int) -> int:
    """Return the process of a thread."""
    return (key >> 32) - 1


def random_number() -> int:
    """Return a number that nothing else has."""
    return int.from_bytes(os.urandom(7), "little") | 1


_session: Session | None = None
_starting = threading.Lock()


def current() -> Session:
    """Return this process's session, and take part in it the first time."""
    global _session  # one for each process, as on Windows
    if _session is None or _session.has_left:
        with _starting:
            if _session is None or _session.has_left:
                _session = Session()
    return _session


def _forget() -> None:
    """Begin anew in a forked child, which has no handles: they are its parent's."""
    global _session, _starting
    if _session is not None:
        _session.has_left = True
    _session, _starting = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)

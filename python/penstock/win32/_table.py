"""The table of a session: what its processes, objects and waits are, in words of shared memory.

Whoever reads or writes it holds the session's lock. A process may be killed between any two stores, so a change goes
through a log: the new words are listed first, then their number is stored, which is what makes the change; then they
are put in their places. Whoever finds a number in the log puts the words in their places (again).

Everything is a word of 64 bits, in the machine's order. All zeros is an empty table.

    header      magic · entries in the log · next ticket · rows of objects in use
    log         (place, value) for each word that changes
    processes   one word each: a random number, also in the name of its sign of life; 0 if free
    objects     a row each, see the constants OBJECT_*
    names       SHA-256 of each object's name, zeros if it has none
    waits       a row each, see the constants WAIT_*
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import penstock

if TYPE_CHECKING:
    from collections.abc import Iterable

WORD_BYTES = 8
MAGIC = int.from_bytes(b"PSTWIN32", "little")

PROCESSES = 128
OBJECTS = 1024
WAITS = 256
MOST_CHANGES = 256  # a wait for 64 objects changes four words of each at most

_MAGIC_AT = 0
_LOGGED_AT = 1
TICKET_AT = 2
ROWS_AT = 3
_LOG_AT = 8
PROCESSES_AT = _LOG_AT + 2 * MOST_CHANGES
OBJECTS_AT = PROCESSES_AT + PROCESSES
OBJECT_WORDS = 16
NAMES_AT = OBJECTS_AT + OBJECTS * OBJECT_WORDS
NAME_WORDS = 4
WAITS_AT = NAMES_AT + OBJECTS * NAME_WORDS
WAIT_WORDS = 20
TABLE_BYTES = (WAITS_AT + WAITS * WAIT_WORDS) * WORD_BYTES

# Words of an object's row.
KIND = 0  # MUTEX, SEMAPHORE, EVENT, SECTION; 0: the row is free
HOLDERS = 1  # and the next word: one bit for each process that has a handle
COUNT = 3  # mutex: times that it is taken; semaphore: its count; event: whether it is set
LIMIT = 4  # semaphore: the highest count; event: whether it stays set
OWNER = 5  # mutex: the key of the thread that holds it
ABANDONED = 6  # mutex: its last owner ended with it in hand, and nobody was told yet
SERIAL = 7  # section: the number in the name of its memory
SIZE = 8  # section: in bytes
PROTECTION = 9  # section: PAGE_*
IS_FILE = 10  # section: its memory holds the path of a file, rather than the bytes

# Words of a wait's row.
WAITER = 0  # the key of the thread that waits; 0: the row is free
TICKET = 1  # the oldest wait comes first
RESULT = 2  # 0 while it waits, then what the call returns, plus one
SHAPE = 3  # 2 * the number of its objects, plus one if it waits for all
INDEXES = 4  # and the following words: the objects, four to a word

MUTEX, SEMAPHORE, EVENT, SECTION = 1, 2, 3, 4

NEVER = 0xFFFF
"""In the place of an object: this process or thread, which does not end while it waits."""


class Table:
    """The words, and the change under way.

    Args:
        mapping: The session's memory, of `TABLE_BYTES`.
    """

    def __init__(self, mapping: penstock.Mapping) -> None:
        self._name = mapping.name
        self._words = memoryview(mapping).cast("Q")
        self._changes: dict[int, int] = {}

    def release(self) -> None:
        """Let go of the memory."""
        self._words.release()

    def recover(self) -> bool:
        """Forget a change of ours that came to nothing, and finish one of the dead; return whether there was one.

        Raises:
            Corrupted: The words cannot be those of a table.
        """
        self._changes.clear()
        if self._words[_MAGIC_AT] != MAGIC:
            if self._words[_MAGIC_AT]:
                raise penstock.Corrupted(f"'{self._name}' is no table of Win32 objects of this version")
            self._words[_MAGIC_AT] = MAGIC
        return self._apply()

    def __getitem__(self, place: int) -> int:
        """Return a word as it will be once the change under way is made."""
        return self._changes.get(place, self._words[place]) if self._changes else self._words[place]

    def __setitem__(self, place: int, value: int) -> None:
        self._changes[place] = value

    def commit(self) -> None:
        """Make the change under way: all of it or, if this process is killed, none."""
        if len(self._changes) == 1:
            for place, value in self._changes.items():
                self._words[place] = value
        elif self._changes:
            at = _LOG_AT
            for place, value in self._changes.items():
                self._words[at], self._words[at + 1] = place, value
                at += 2
            self._words[_LOGGED_AT] = len(self._changes)
            self._apply()
        self._changes.clear()

    def _apply(self) -> bool:
        """Put the words of the log in their places."""
        logged = self._words[_LOGGED_AT]
        if logged > MOST_CHANGES:
            raise penstock.Corrupted(f"'{self._name}' has {logged} entries in its log; there can be {MOST_CHANGES}")
        for at in range(_LOG_AT, _LOG_AT + 2 * logged, 2):
            self._words[self._words[at]] = self._words[at + 1]
        self._words[_LOGGED_AT] = 0
        return logged > 0

    # ---- columns, as they were before the change under way -----------------------------------------------------------

    def processes(self) -> list[int]:
        """Return the numbers of all processes, 0 where a row is free."""
        return self._words[PROCESSES_AT : PROCESSES_AT + PROCESSES].tolist()

    def column(self, word: int) -> list[int]:
        """Return one word of every object's row that is in use or was."""
        end = OBJECTS_AT + self._words[ROWS_AT] * OBJECT_WORDS
        return self._words[OBJECTS_AT + word : end : OBJECT_WORDS].tolist() if self._words[ROWS_AT] else []

    def waits(self) -> list[int]:
        """Return the places of all waits' rows that are in use, the oldest first."""
        waiters = self._words[WAITS_AT + WAITER : WAITS_AT + WAITS * WAIT_WORDS : WAIT_WORDS].tolist()
        rows = [WAITS_AT + row * WAIT_WORDS for row, waiter in enumerate(waiters) if waiter]
        return sorted(rows, key=lambda row: self._words[row + TICKET])

    def free_wait(self) -> int | None:
        """Return the place of a wait's row that is free; None if there is none."""
        waiters = self._words[WAITS_AT + WAITER : WAITS_AT + WAITS * WAIT_WORDS : WAIT_WORDS].tolist()
        return WAITS_AT + waiters.index(0) * WAIT_WORDS if 0 in waiters else None

    def waits_for(self, row: int) -> list[int]:
        """Return the objects of a wait, in its order."""
        count = self._words[row + SHAPE] >> 1
        words = self._words[row + INDEXES : row + INDEXES + (count + 3) // 4].tolist()
        return [words[i // 4] >> i % 4 * 16 & 0xFFFF for i in range(count)]

    def find(self, digest: bytes) -> int | None:
        """Return which object has this name; None if none has."""
        names = self._words[NAMES_AT : NAMES_AT + OBJECTS * NAME_WORDS].tobytes()
        at = names.find(digest)
        while at >= 0 and at % len(digest):
            at = names.find(digest, at + 1)
        return at // len(digest) if at >= 0 else None


def row_of(index: int) -> int:
    """Return the place of an object's row."""
    return OBJECTS_AT + index * OBJECT_WORDS


def packed(indexes: Iterable[int]) -> list[int]:
    """Return the objects of a wait as words, four to a word."""
    words: list[int] = []
    for i, index in enumerate(indexes):
        if i % 4 == 0:
            words.append(0)
        words[-1] |= index << i % 4 * 16
    return words


def name_words(digest: bytes) -> list[int]:
    """Return a name's digest as words; no digest as zeros."""
    return list(memoryview(digest or bytes(NAME_WORDS * WORD_BYTES)).cast("Q"))

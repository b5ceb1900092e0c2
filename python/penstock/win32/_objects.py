"""What it takes to take an object: mutexes, semaphores and events as words of the table, without waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.win32._constants import WAIT_ABANDONED
from penstock.win32._table import ABANDONED, COUNT, EVENT, KIND, LIMIT, MUTEX, NEVER, OWNER, SEMAPHORE, row_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.win32._table import Table


def take(table: Table, indexes: Sequence[int], shape: int, key: int) -> int | None:
    """Take one object or all of them for a thread, and return what its call returns; None: they cannot be had."""
    if shape % 2:
        if not all(can_take(table, index, key) for index in indexes):
            return None
        abandoned = [take_one(table, index, key) for index in indexes]
        return WAIT_ABANDONED if any(abandoned) else 0
    for i, index in enumerate(indexes):
        if can_take(table, index, key):
            return i + (WAIT_ABANDONED if take_one(table, index, key) else 0)
    return None


def can_take(table: Table, index: int, key: int) -> bool:
    """Return whether an object could be taken by a thread now."""
    if index == NEVER:
        return False
    row = row_of(index)
    if table[row + KIND] == MUTEX:
        return table[row + OWNER] in (0, key)
    return table[row + COUNT] > 0


def take_one(table: Table, index: int, key: int) -> bool:
    """Take an object that can be taken; return whether it is a mutex whose last owner ended with it in hand."""
    row = row_of(index)
    kind = table[row + KIND]
    if kind == MUTEX:
        abandoned = table[row + ABANDONED]
        table[row + COUNT] += 1
        table[row + OWNER] = key
        table[row + ABANDONED] = 0
        return bool(abandoned)
    if kind == SEMAPHORE:
        table[row + COUNT] -= 1
    elif kind == EVENT and not table[row + LIMIT]:
        table[row + COUNT] = 0
    return False


def put_back(table: Table, index: int, *, was_abandoned: bool) -> None:
    """Undo `take_one`."""
    row = row_of(index)
    kind = table[row + KIND]
    if kind == MUTEX:
        table[row + COUNT] -= 1
        if table[row + COUNT] == 0:
            table[row + OWNER] = 0
            table[row + ABANDONED] = int(was_abandoned)
    elif kind == SEMAPHORE:
        table[row + COUNT] = min(table[row + COUNT] + 1, table[row + LIMIT])
    elif not table[row + LIMIT]:
        table[row + COUNT] = 1

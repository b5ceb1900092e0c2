"""Whether what arrived is what was sent: nothing lost, doubled or out of order.

Each consumer checks the order in which it gets each producer's items, at once. Whether all consumers together got
everything once is known at the end, from counts and sums that do not depend on who got what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from penstock.bench._items import COUNT_BITS, MOST_COUNT, Item

if TYPE_CHECKING:
    from collections.abc import Iterable

_WRAP = 1 << 64


class WrongItems(Exception):
    """Items were lost, doubled, torn or out of order."""


class Check:
    """What one consumer has seen in one phase."""

    def __init__(self, item: Item, producers: int, is_only_consumer: bool) -> None:
        self._period = item.period
        self._is_only = is_only_consumer
        self._last = [-1] * producers
        self.tallies = [[0, 0, 0] for _ in range(producers)]

    def take(self, numbers: np.ndarray[Any, Any]) -> None:
        """Look at the numbers of items in the order in which they came.

        Raises:
            WrongItems: They cannot have been sent in this order.
        """
        if len(self._last) == 1:
            self._take_of(0, numbers)
            return
        senders = numbers >> COUNT_BITS
        for producer in range(len(self._last)):
            self._take_of(producer, numbers[senders == producer])

    def _take_of(self, producer: int, numbers: np.ndarray[Any, Any]) -> None:
        if len(numbers) == 0:
            return
        counts, next_ = numbers & (MOST_COUNT - 1), self._last[producer] + 1
        if self._is_only and np.array_equal(counts, np.arange(next_, next_ + len(counts), dtype=counts.dtype)):
            sums = _sums_of_run(next_, next_ + len(counts))  # as it should be; the rest of this would outweigh a get
        else:
            counts = counts.astype("i8")
            self._check_order(producer, counts)
            sums = _sums(counts)
        self._last[producer] = int(counts[-1])
        tally = self.tallies[producer]
        for place, sum_ in enumerate(sums):
            tally[place] += sum_

    def _check_order(self, producer: int, counts: np.ndarray[Any, Any]) -> None:
        steps = np.diff(counts, prepend=self._last[producer])
        if self._is_only:
            if self._period:
                steps[steps < 0] += self._period
            wrong = steps != 1
        elif self._period:
            return  # the counts repeat, and other consumers got those in between
        else:
            wrong = steps <= 0
        if wrong.any():
            at = int(np.argmax(wrong))
            before = counts[at - 1] if at else self._last[producer]
            raise WrongItems(f"of producer {producer}, item {counts[at]} came after item {before}")


def _sums(counts: np.ndarray[Any, Any]) -> tuple[int, int, int]:
    # The sum of squares modulo 2^64, in which both sides wrap alike: a remainder of each would cost more than the get.
    return len(counts), int(counts.sum()), int(np.dot(counts, counts)) % _WRAP


def _sums_of_run(start: int, stop: int) -> tuple[int, int, int]:
    """Return the same of all counts from `start` up to `stop`."""

    def squares_below(count: int) -> int:
        return (count - 1) * count * (2 * count - 1) // 6

    squares = squares_below(stop) - squares_below(start)
    return stop - start, (start + stop - 1) * (stop - start) // 2, squares % _WRAP


def compare(item: Item, sent: int, tallies: Iterable[list[list[int]]]) -> None:
    """Compare what all consumers got with what each producer sent.

    Raises:
        WrongItems: It is not the same.
    """
    counts = np.arange(sent, dtype="i8")
    if item.period:
        counts %= item.period
    expected = _sums(counts)
    for producer, parts in enumerate(zip(*tallies, strict=True)):
        got_count, got_sum, got_squares = map(sum, zip(*parts, strict=True))
        got = got_count, got_sum, got_squares % _WRAP
        if got != expected:
            raise WrongItems(f"of producer {producer}, {got[0]} items came of {sent}, or others than were sent")

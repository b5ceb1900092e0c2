"""`penstock get`: items become lines of the output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import penstock
from penstock.cli._common import (
    Deadline,
    json_option,
    name_argument,
    open_when_there,
    take,
    timeout_option,
    trust_option,
)
from penstock.cli._exits import Exit
from penstock.cli._items import printer_for
from penstock.cli._stop import Stop
from penstock.cli._streams import STDOUT, Output, is_terminal, portions

if TYPE_CHECKING:
    from collections.abc import Callable

# What is taken before it is printed: enough to make both worth their while, too little to hold up anybody.
_LONGEST_BATCH = 512
_BATCH_BYTES = 1 << 18


@click.command("get")
@name_argument
@click.option("--many", is_flag=True, help="Go on until the queue is shut down, or --timeout without an item.")
@click.option("-n", "count", type=click.IntRange(min=0), metavar="COUNT", help="Take this many items (default 1).")
@timeout_option
@json_option
@trust_option
def command(name: str, many: bool, count: int | None, timeout: float | None, as_json: bool, trust: bool) -> int:
    """Take items from the queue NAME and print each on a line of its own.

    Waits while the queue is empty, or does not exist yet; --timeout limits each such wait. What cannot be printed
    stays in the queue.
    """
    wanted = count if count is not None else None if many else 1
    stop = Stop()
    with open_when_there(stop, name, Deadline(timeout), trust=trust) as queue:
        printed = Reader(stop, queue, printer_for(queue.item, as_json=as_json, is_terminal=is_terminal(STDOUT))).run(
            wanted, timeout
        )
    is_enough = printed > 0 if wanted is None else printed >= wanted
    return Exit.DONE if is_enough else Exit.NOT_NOW


class Reader:
    """One run of the command: items out of the queue, lines out of the process."""

    def __init__(self, stop: Stop, queue: penstock.Queue, make_line: Callable[[Any], bytes]) -> None:
        self._stop = stop
        self._queue = queue
        self._make_line = make_line
        self._output = Output(stop)

    def run(self, wanted: int | None, timeout: float | None) -> int:
        """Print up to `wanted` items (None: without end) and return how many; fewer if the timeout passed.

        Raises:
            ShutDown: The queue was shut down before `wanted` items came.
            Stopped: A signal came; what was not printed is in the queue.
        """
        printed = 0
        while wanted is None or printed < wanted:
            most = _LONGEST_BATCH if wanted is None else min(wanted - printed, _LONGEST_BATCH)
            try:
                leases = self._take(most, Deadline(timeout))
            except penstock.Empty:
                break
            except penstock.ShutDown:
                if wanted is None:
                    return max(1, printed)  # the end that --many waits for, even of a queue that was empty
                raise
            printed += len(leases)
            self._print(leases)
        return printed

    def _take(self, most: int, deadline: Deadline) -> list[penstock.Lease]:
        """Wait for an item, then take what else is there, up to a batch."""
        leases = [take(self._stop, self._queue, deadline)]
        size_bytes = leases[0].nbytes
        lease = self._queue.lease
        try:
            while len(leases) < most and size_bytes < _BATCH_BYTES:
                leases.append(lease(block=False))
                size_bytes += leases[-1].nbytes
        except (penstock.Empty, penstock.ShutDown):
            pass
        except BaseException:
            _give_back(leases)
            raise
        return leases

    def _print(self, leases: list[penstock.Lease]) -> None:
        make_line = self._make_line
        try:
            lines = [make_line(lease.value) for lease in leases]
            for start, end in portions(lines):
                self._output.write(b"".join(lines[start:end]))
                for lease in leases[start:end]:
                    lease.ack()
        except BaseException:
            _give_back(leases)
            raise


def _give_back(leases: list[penstock.Lease]) -> None:
    for lease in leases:
        if not lease.is_settled:
            lease.give_back()

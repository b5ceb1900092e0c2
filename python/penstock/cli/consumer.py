"""`penstock consumer`: the lesson's second program. Numbers out of the common queue are printed and slept on."""

from __future__ import annotations

import click

from penstock.cli._common import Deadline, capacity_option, lesson_name_argument, open_or_create, take
from penstock.cli._exits import Exit
from penstock.cli._stop import Stop
from penstock.cli._streams import Output


@click.command("consumer")
@lesson_name_argument
@capacity_option
def command(name: str, capacity: int | None) -> int:
    """Print each number from the queue NAME ("numbers" unless told otherwise), then sleep that many milliseconds.

    Waits while the queue is empty. Ends after it has printed 0.
    """
    stop = Stop()
    output = Output(stop)
    never = Deadline(None)
    with open_or_create(stop, name, item="u4", capacity=capacity) as queue:
        while True:
            # Taken on lease, and settled only when printed: killed in between, another consumer gets the number.
            with take(stop, queue, never) as lease:
                number: int = lease.value
                output.write(b"%d\n" % number)
            if number == 0:
                return Exit.DONE
            stop.wait(number / 1000)

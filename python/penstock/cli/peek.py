"""`penstock peek`: look at the next items and leave them where they are."""

from __future__ import annotations

import click

import penstock
from penstock.cli._common import json_option, name_argument, trust_option
from penstock.cli._exits import Exit
from penstock.cli._items import printer_for
from penstock.cli._stop import Stop
from penstock.cli._streams import STDOUT, Output, is_terminal, portions, say
from penstock.cli._text import escape


@click.command("peek")
@name_argument
@click.option("-n", "count", type=click.IntRange(min=1), default=1, metavar="COUNT", help="How many (default 1).")
@json_option
@trust_option
def command(name: str, count: int, as_json: bool, trust: bool) -> int:
    """Print the next items of the queue NAME without taking them. Never waits and never removes anything."""
    stop = Stop()
    output = Output(stop)
    with penstock.Queue.open(name, trust=trust) as queue:
        items = queue.peek_many(min(count, queue.capacity))
        make_line = printer_for(queue.item, as_json=as_json, is_terminal=is_terminal(STDOUT))
    if not items:
        say(f"queue {escape(name)!r} is empty")
        return Exit.NOT_NOW
    lines = [make_line(item) for item in items]
    for start, end in portions(lines):
        output.write(b"".join(lines[start:end]))
    return Exit.DONE

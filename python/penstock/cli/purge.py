"""`penstock purge`: throw away what is waiting in a queue."""

from __future__ import annotations

import json

import click

import penstock
from penstock.cli._common import json_option, name_argument, trust_option, yes_option
from penstock.cli._exits import Exit
from penstock.cli._stop import Stop
from penstock.cli._streams import STDIN, Output, ask, is_terminal, say
from penstock.cli._text import escape, human_count


@click.command("purge")
@name_argument
@yes_option
@json_option
@trust_option
def command(name: str, yes: bool, as_json: bool, trust: bool) -> int:
    """Throw away all items waiting in the queue NAME, and say how many that were.

    Asks first on a terminal; elsewhere --yes has to be given. Items that a process has taken on lease are left to it.
    """
    stop = Stop()
    with penstock.Queue.open(name, trust=trust) as queue:
        if not yes:
            if not is_terminal(STDIN):
                raise click.UsageError("nobody can be asked, for standard input is no terminal; give --yes")
            if not ask(stop, f"throw away {human_count(queue.qsize(), 'item')} of queue {escape(name)!r}?"):
                say("nothing thrown away")
                return Exit.FAILED
        removed = queue.purge()
    text = json.dumps({"name": name, "purged": removed}) if as_json else f"{human_count(removed, 'item')} thrown away"
    Output(stop).write(text.encode("utf-8", "backslashreplace") + b"\n")
    return Exit.DONE

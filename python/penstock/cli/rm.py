"""`penstock rm`: unlink names, or all that dead processes left behind."""

from __future__ import annotations

from typing import Any

import click

import penstock
from penstock.cli import _directory
from penstock.cli._common import names_argument, yes_option
from penstock.cli._exits import Exit, code_of, message_of
from penstock.cli._stop import Stop
from penstock.cli._streams import STDIN, ask, is_terminal, say
from penstock.cli._text import escape, human_count


@click.command("rm")
@names_argument
@yes_option
@click.option("--stale", is_flag=True, help="Remove every leftover that nobody can use any more; does not ask.")
def command(names: tuple[str, ...], yes: bool, stale: bool) -> int:
    """Remove queues and other named objects. What waits in them is lost.

    Asks first on a terminal; elsewhere --yes has to be given. Processes that are attached keep what they have, and
    are told when they next have to wait.
    """
    if bool(names) == stale:
        raise click.UsageError("give names, or --stale")
    if stale:
        for name in _directory.remove_stale():
            say(f"removed leftover {escape(name)!r}")
        return Exit.DONE
    if not yes and not is_terminal(STDIN):
        raise click.UsageError("nobody can be asked, for standard input is no terminal; give --yes")
    stop = Stop()
    code = 0
    for name in names:
        code = _remove(stop, name, is_asking=not yes) or code
    return code


def _remove(stop: Stop, name: str, *, is_asking: bool) -> int:
    """Remove one name; what goes wrong with it is said and does not keep the others from being removed."""
    try:
        if is_asking and not ask(stop, f"remove {_description(_directory.inspect(name))}?"):
            say(f"{escape(name)!r} is left alone")
            return Exit.FAILED
        _directory.remove(name)
    except (penstock.PenstockError, OSError) as error:
        say(escape(message_of(error) or ""))
        return code_of(error) or Exit.FAILED
    return Exit.DONE


def _description(entry: dict[str, Any]) -> str:
    name = f"{entry.get('kind', 'object')} {escape(entry['name'])!r}"
    facts = []
    if entry.get("depth"):
        facts.append(f"{human_count(entry['depth'], 'item')} waiting")
    if entry.get("attached"):
        facts.append(f"{human_count(len(entry['attached']), 'process')} attached")
    return f"{name} ({', '.join(facts)})" if facts else name

"""`penstock ls`: what is there, and who is attached to it."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from penstock.cli import _directory
from penstock.cli._common import json_option
from penstock.cli._stop import Stop
from penstock.cli._streams import Output, say
from penstock.cli._text import escape, human_age, human_bytes, human_count, table

_HEADER = ("NAME", "KIND", "ITEM", "DEPTH", "SIZE", "AGE", "ATTACHED", "NOTE")


@click.command("ls")
@json_option
def command(as_json: bool) -> None:
    """List the queues and other named objects: how full, how large, how old, and the pids of who is attached.

    Marks what dead processes left behind ("leftover": nobody can use it any more; "penstock rm --stale" removes it).
    """
    entries = _directory.listing()
    if as_json:
        text = json.dumps(entries, indent=2)
    elif entries:
        text = table(_HEADER, [_row(entry, time.time()) for entry in entries])
    else:
        say(f"nothing in {escape(_directory.default_directory())}")
        return
    Output(Stop()).write(text.encode("utf-8", "backslashreplace") + b"\n")


def _row(entry: dict[str, Any], now: float) -> tuple[str, ...]:
    name = escape(entry["name"])
    if "kind" not in entry:
        return (name, "?", "", "", "", "", "", note_of(entry))
    attached = " ".join(str(pid) for pid in entry["attached"])
    return (
        name,
        entry["kind"],
        escape(entry["item"] or ""),
        depth_of(entry),
        human_bytes(entry["bytes_committed"]),
        human_age(now - entry["created_at"]),
        attached or "-",
        note_of(entry),
    )


def depth_of(entry: dict[str, Any]) -> str:
    """Return how full a queue is, as waiting/capacity; nothing for other kinds."""
    if entry.get("capacity") is None:
        return ""
    return f"{entry['depth']}/{entry['capacity']}"


def note_of(entry: dict[str, Any]) -> str:
    """Return what is remarkable about an entry: a problem, a leftover, the dead who were attached."""
    if entry.get("problem"):
        return escape(entry["problem"])
    notes = []
    if entry.get("leftover"):
        notes.append("leftover")
    if entry.get("dead"):
        notes.append(human_count(entry["dead"], "dead process"))
    return ", ".join(notes)

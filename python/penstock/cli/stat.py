"""`penstock stat`: everything that is known about one object."""

from __future__ import annotations

import json
import time
from typing import Any

import click

import penstock
from penstock.cli import _directory
from penstock.cli._common import json_option, name_argument, trust_option
from penstock.cli._stop import Stop
from penstock.cli._streams import Output
from penstock.cli._text import escape, human_age, human_bytes, pairs

_KINDS: dict[str, Any] = {
    "queue": penstock.Queue,
    "mutex": penstock.Mutex,
    "semaphore": penstock.Semaphore,
    "event": penstock.Event,
    "mapping": penstock.Mapping,
}


@click.command("stat")
@name_argument
@json_option
@trust_option
def command(name: str, as_json: bool, trust: bool) -> None:
    """Show all about the object NAME: its parameters, what is in it, how much has passed, who is attached."""
    stop = Stop()
    facts = _facts(stop, name, trust=trust)
    text = json.dumps(facts, indent=2) if as_json else pairs([_pair(key, value) for key, value in facts.items()])
    Output(stop).write(text.encode("utf-8", "backslashreplace") + b"\n")


def _facts(stop: Stop, name: str, *, trust: bool) -> dict[str, Any]:
    entry = _directory.inspect(name)
    opener = _KINDS.get(entry.get("kind", ""), penstock.Queue)  # what cannot be inspected says why when it is opened
    with stop.allowed():
        handle = opener.open(name, trust=trust)
        facts: dict[str, Any] = handle.stats()
        handle.close()  # not `with handle`: that would acquire a mutex
    # This command attached to look; that is no news.
    if "participants" in facts:
        facts["participants"] = [one for one in facts["participants"] if not one["is_self"]]
    return facts


def _pair(key: str, value: Any) -> tuple[str, str]:
    label = key.removesuffix("_seconds").replace("_", " ")
    if key == "participants":
        return label, ", ".join(_participant(one) for one in value) or "nobody"
    if value is None:
        return label, "-"
    if isinstance(value, bool):
        return label, "yes" if value else "no"
    if key.endswith("_at"):
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
        return label, f"{moment} ({human_age(time.time() - value)} ago)"
    if key.endswith("_seconds"):
        return label, human_age(value)
    if "bytes" in key:
        return label, human_bytes(value)
    return label, escape(str(value))


def _participant(one: dict[str, Any]) -> str:
    return f"{one['pid']}" if one["alive"] else f"{one['pid']} (dead)"

"""`penstock doctor`: whether this machine is one on which penstock works well, and what to do if it is not."""

from __future__ import annotations

import json
import os
import secrets
import shlex
from typing import Any, NamedTuple

import click

import penstock
from penstock.cli import _directory
from penstock.cli._common import json_option
from penstock.cli._exits import Exit, message_of
from penstock.cli._stop import Stop
from penstock.cli._streams import Output
from penstock.cli._text import escape, human_bytes, human_count, table

# Docker gives a container 64 MB of /dev/shm unless told otherwise.
_SMALL_BYTES = 64 << 20
_LITTLE_ROOM_BYTES = 16 << 20

_MOST_BROKEN_TOLD = 10

OK, NOTE, PROBLEM = "ok", "note", "problem"


class Finding(NamedTuple):
    """One thing that was looked at: how it is, and what to do about it."""

    level: str
    subject: str
    state: str
    remedy: str = ""


@click.command("doctor")
@json_option
def command(as_json: bool) -> int:
    """Look at the directory that queues live in, its room and file system, the CPUs and the kernel.

    Each problem comes with its remedy. The exit code is 1 if there is one.
    """
    stop = Stop()
    with stop.allowed():
        facts = _directory.doctor()
        findings = [_room(facts), _processors(facts), *_kernel(facts)]
        # One after the other, each only where it can succeed and tell something new.
        if is_well(findings[2:]):
            findings.insert(0, _trial())
            if is_well(findings[:1]):
                findings += _objects(_directory.listing())
    if as_json:
        text = json.dumps({"facts": facts, "findings": [finding._asdict() for finding in findings]}, indent=2)
    else:
        text = report(findings)
    Output(stop).write(text.encode("utf-8", "backslashreplace") + b"\n")
    return Exit.DONE if is_well(findings) else Exit.FAILED


def is_well(findings: list[Finding]) -> bool:
    """Return whether none of the findings is a problem."""
    return all(finding.level != PROBLEM for finding in findings)


def report(findings: list[Finding]) -> str:
    """Return the findings as a table, each remedy on a line under its problem, and a last line that sums up."""
    lines = []
    rows = table(("", "", ""), [(f.level, f.subject, f.state) for f in findings]).splitlines()[1:]
    for finding, row in zip(findings, rows, strict=True):
        lines.append(row)
        if finding.remedy:
            lines.append(f"         -> {finding.remedy}")
    problems = sum(finding.level == PROBLEM for finding in findings)
    return "\n".join([*lines, human_count(problems, "problem") if problems else "no problems"])


def _trial() -> Finding:
    """Pass one number through a queue of its own: what fails there fails everywhere."""
    directory = _directory.default_directory()
    name = f"doctor-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with penstock.Queue.create(name, item="u4", capacity=1, lifetime="while_open") as queue:
            queue.put(1, timeout=5.0)
            queue.get(timeout=5.0)
            queue.unlink()
    except penstock.Untrusted as error:
        remedy = f"chmod 700 {shlex.quote(directory)} if it is yours; else set PENSTOCK_DIR to a directory of your own"
        return Finding(PROBLEM, "directory", _state(error), escape(remedy))
    except penstock.Unsupported as error:
        return Finding(PROBLEM, "directory", _state(error), "set PENSTOCK_DIR to a directory on a tmpfs")
    except penstock.NoSpace as error:
        return Finding(PROBLEM, "directory", _state(error), "make room; see below")
    except (penstock.PenstockError, OSError) as error:
        remedy = "set PENSTOCK_DIR to a directory that you can write"
        return Finding(PROBLEM, "directory", _state(error), remedy)
    return Finding(OK, "directory", f"{escape(directory)}: a queue was made, used and removed")


def _state(error: BaseException) -> str:
    return escape(message_of(error) or "")


def _room(facts: dict[str, Any]) -> Finding:
    kind = facts["file_system"]
    free_bytes, total_bytes = facts["free_bytes"], facts["total_bytes"]
    state = f"{human_bytes(free_bytes)} free of {human_bytes(total_bytes)} on {kind}"
    if total_bytes <= _SMALL_BYTES:
        remedy = "in a container: docker run --shm-size=1g (compose: shm_size: 1gb); else set PENSTOCK_DIR"
        return Finding(PROBLEM, "room", f"{state}: little for queues of large items", remedy)
    if free_bytes < _LITTLE_ROOM_BYTES:
        return Finding(
            PROBLEM, "room", state, 'see what takes it with "penstock ls", and remove it; or set PENSTOCK_DIR'
        )
    return Finding(OK, "room", state)


def _objects(entries: list[dict[str, Any]]) -> list[Finding]:
    broken = [entry for entry in entries if entry.get("problem")]
    findings = []
    for entry in broken[:_MOST_BROKEN_TOLD]:
        remedy = f"penstock rm {shlex.quote(entry['name'])}; if it is not penstock's, by hand"
        findings.append(Finding(PROBLEM, "objects", escape(entry["problem"]), escape(remedy)))
    if len(broken) > len(findings):
        state = f"{len(broken) - len(findings)} more like these"
        findings.append(Finding(PROBLEM, "objects", state, '"penstock ls" shows all'))
    leftovers = sum(bool(entry.get("leftover")) for entry in entries)
    state = human_count(len(entries), "object")
    if leftovers:
        state += f", {human_count(leftovers, 'leftover')} of dead processes among them"
        return [*findings, Finding(NOTE, "objects", state, "penstock rm --stale")]
    return [*findings, Finding(OK, "objects", state)]


def _processors(facts: dict[str, Any]) -> Finding:
    count = facts["cpu_count"]
    if count == 1:
        return Finding(NOTE, "processors", "1: an item changes hands only when the kernel switches processes")
    return Finding(OK, "processors", str(count))


# What each feature is for, and what is to be done without it. None: penstock does without, more slowly.
_FEATURES: dict[str, tuple[str, str | None]] = {
    "ofd_locks": ("locks that tell when a process has died", "a kernel of 3.15 or newer, and a file system with locks"),
    "futex": ("sleeping on shared memory", "a kernel (or sandbox) that allows the futex system call"),
    "futex_waitv": ("sleeping on several objects at once", None),
    "otmpfile": ("files without a name until they are complete", None),
    "wipe_on_fork": ("memory that tells a child process that it is one", "a kernel of 4.14 or newer"),
}


def _kernel(facts: dict[str, Any]) -> list[Finding]:
    findings = []
    for feature, is_there in facts["features"].items():
        use, remedy = _FEATURES.get(feature, (feature.replace("_", " "), None))
        if not is_there and remedy is None:
            findings.append(Finding(NOTE, "kernel", f"without {feature} ({use}): penstock does without, more slowly"))
        elif not is_there:
            findings.append(Finding(PROBLEM, "kernel", f"without {feature} ({use})", remedy or ""))
    return findings or [Finding(OK, "kernel", f"{facts['kernel']}: all that is needed")]

"""All works with all peers, round after round: every peer has its turn in each, so what disturbs, disturbs all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.bench import _machine
from penstock.bench._results import Results, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# What a run takes beside its seconds: starting Python, the peer and its server, learning the speed.
_START_SECONDS = 60.0
_END_SECONDS = 5.0


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    seconds: float = 0.5
    """How long the part of a run that counts takes, about."""
    rounds: int = 3
    patience: float = 10.0
    """After how many seconds without an end a run has lost items."""


def run(jobs: Sequence[tuple[str, str]], settings: Settings, tell: Callable[[str], Any]) -> Results:
    """Measure pairs of a work and a peer, all of them in each round.

    Args:
        jobs: Names of works and peers.
        settings: How to measure.
        tell: Is told what is being done, in a few words.
    """
    results = Results(_machine.describe(), settings.seconds, settings.rounds)
    missing = _machine.absent(list(dict.fromkeys(peer for _, peer in jobs)))
    for work, peer in jobs:
        results.rows.append(Row(work, peer, absent=missing.get(peer)))
    for number in range(settings.rounds):
        waiting = [row for row in results.rows if row.absent is None and row.failed is None]
        # Another order in each round, lest the same peer always follows the same other.
        for row in waiting if number % 2 == 0 else reversed(waiting):
            tell(f"round {number + 1} of {settings.rounds}: {row.work}, {row.peer}")
            _add(row, _stage(row, settings))
    return results


def _add(row: Row, outcome: dict[str, Any]) -> None:
    row.absent = outcome.get("absent")
    row.failed = outcome.get("failed")
    if "value" in outcome:
        row.rounds.append(outcome)


def _stage(row: Row, settings: Settings) -> dict[str, Any]:
    # In /dev/shm, where penstock keeps its queues; for the others it is as good as any other place.
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", dir="/dev/shm") as place:
        job = {"work": row.work, "peer": row.peer, "seconds": settings.seconds, "patience": settings.patience}
        return _outcome({**job, "place": place}, settings)


def _outcome(job: dict[str, Any], settings: Settings) -> dict[str, Any]:
    stage = subprocess.Popen(
        [sys.executable, "-m", "penstock.bench._stage", json.dumps(job)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},  # peers' own, such as of forks beside threads
    )
    errors = ""
    try:
        output, errors = stage.communicate(timeout=_START_SECONDS + settings.patience * 2 + settings.seconds * 30)
        return dict(json.loads(output.splitlines()[-1]))
    except subprocess.TimeoutExpired:
        return {"failed": "does not come to an end"}
    except (IndexError, ValueError):
        last = errors.strip().rpartition("\n")[2]
        how = signal.Signals(-stage.returncode).name if stage.returncode < 0 else str(stage.returncode)
        return {"failed": f"ended with {how}: {last}"}
    finally:
        _end(stage)


def _end(stage: subprocess.Popen[str]) -> None:
    """End a stage that was given up or interrupted: it removes what it made, and its children go with it."""
    stage.terminate()
    try:
        stage.communicate(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        stage.kill()
        stage.communicate()

"""Run all that takes long, one part after the other, and end with one table of figures: `make stress`.

A part is a command that prints lines such as

    figures: items=1000 lost=0 doubled=0 kills=20

which are added up for the table: the first key says what was counted, those that have a column of their own are to be
0, and the rest is shown as it is. A part has failed if its command does, if it takes longer than its limit, if it
prints no figures, or if one that is to be 0 is not. What a part prints is kept in a file.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import re
import secrets
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
LOGS = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "stress"
SECONDS = 120
"""How long the parts that can be of any length take together, unless told otherwise."""
WIDTH = 120
COLUMNS = ("lost", "doubled", "torn", "stuck", "failed")
"""Figures that are to be 0."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Something to run."""

    name: str
    command: tuple[str, ...]
    """`{seconds}`, `{rounds}` and `{seed}` are filled in, here and in the variables."""
    variables: dict[str, str] = dataclasses.field(default_factory=dict)
    share: float = 0.0
    """How much it has of the time that is for parts of any length; 0 for one that takes as long as it takes."""
    rounds_per_second: float = 0.0
    limit: float = 900.0
    """How many seconds it may take besides."""


def core(test: str, *more: str) -> tuple[str, ...]:
    """Make the command that runs one file of the core's tests."""
    return ("cargo", "test", "--locked", "-p", "penstock-core", "--features", "crash-points", "--test", test, *more)


SEED = {"PENSTOCK_TEST_SEED": "{seed}"}
ALL = {"PENSTOCK_TEST_ALL": "1"}

PARTS = [
    Part(
        "all kinds of processes",
        (sys.executable, "-m", "stress.campaign", "--seconds", "{seconds}", "--seed", "{seed}"),
        share=0.6,
    ),
    Part(
        "four in full flight",
        core("stress"),
        SEED | {"PENSTOCK_TEST_ROUNDS": "{rounds}"},
        share=0.3,
        rounds_per_second=8.0,
    ),
    Part(
        "any order, by a seed",
        core("schedule", "--", "--nocapture"),
        SEED | {"PENSTOCK_TEST_ROUNDS": "{rounds}"},
        share=0.1,
        rounds_per_second=4.0,
    ),
    Part("every point, two deaths", core("crash"), ALL),
    Part(
        "every instruction",
        ("cargo", "test", "--locked", "--release", "-p", "penstock-core", "--test", "steps", "--", "--nocapture"),
        ALL | {"CARGO_PROFILE_RELEASE_LTO": "off", "CARGO_PROFILE_RELEASE_CODEGEN_UNITS": "16"},  # built in seconds
    ),
    Part("every order, by loom", ("make", "models")),
    Part("time to repair", core("repair_time", "--", "--nocapture"), SEED | ALL),
]


class Outcome(NamedTuple):
    """What came of a part."""

    part: Part
    figures: dict[str, int]
    seconds: float
    failure: str | None
    log: Path


def run(part: Part, seconds: float, seed: int) -> Outcome:
    """Run a part to its end, or to its limit."""
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{part.name.replace(' ', '-').replace(',', '')}.log"
    own = seconds * part.share
    fill = {"seconds": f"{own:.0f}", "rounds": str(max(1, round(own * part.rounds_per_second))), "seed": str(seed)}
    command = [word.format(**fill) for word in part.command]
    variables = {key: value.format(**fill) for key, value in part.variables.items()}
    print(f"{part.name}: {' '.join([*(f'{k}={v}' for k, v in variables.items()), *command])}", flush=True)
    begun = time.monotonic()
    with log.open("wb") as file:
        status = _run(command, {**os.environ, **variables}, file.fileno(), own + part.limit)
    took = time.monotonic() - begun
    figures = read_figures(log.read_text(errors="replace"))
    return Outcome(part, figures, took, _failure(status, figures), log)


def _run(command: list[str], variables: dict[str, str], output: int, limit: float) -> int | None:
    """Run a command with all that it starts; None if it had to be ended."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        return process.wait(limit)
    except subprocess.TimeoutExpired:
        return None
    finally:
        # Also what it left behind, and what an interrupted run has under way.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read_figures(text: str) -> dict[str, int]:
    """Add up the figures that a part printed."""
    figures: dict[str, int] = {}
    for line in re.findall(r"^figures: (.*)$", text, re.MULTILINE):
        for key, value in re.findall(r"(\w+)=(\d+)", line):
            figures[key] = figures.get(key, 0) + int(value)
    return figures


def _failure(status: int | None, figures: dict[str, int]) -> str | None:
    """Say why a part has failed, if it has."""
    if status is None:
        return "took too long"
    if status != 0:
        return f"ended with {status}"
    if not figures:
        return "printed no figures"
    bad = [f"{name} {figures[name]}" for name in COLUMNS if figures.get(name)]
    return ", ".join(bad) or None


def table(outcomes: list[Outcome]) -> str:
    """Lay the figures out."""
    head = ["part", "counted", *COLUMNS, "seconds", "besides"]
    rows = [head, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head) - 1)]
    indent = sum(widths) + 2 * len(widths)
    lines = []
    for row in rows:
        words = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[2:-1], widths[2:], strict=True)]
        first, *more = textwrap.wrap(row[-1], max(30, WIDTH - indent)) or [""]
        lines += ["  ".join([*words, *numbers, first]).rstrip(), *(" " * indent + line for line in more)]
    return "\n".join([lines[0], "-" * WIDTH, *lines[1:]])


def _row(outcome: Outcome) -> list[str]:
    """Lay the figures of a part out: the first that has no column of its own says what was counted."""
    rest = [(name.replace("_", " "), count) for name, count in outcome.figures.items() if name not in COLUMNS]
    return [
        outcome.part.name,
        f"{rest[0][1]:,} {rest[0][0]}" if rest else "-",
        *(f"{outcome.figures[name]:,}" if name in outcome.figures else "-" for name in COLUMNS),
        f"{outcome.seconds:.0f}",
        ", ".join(f"{name} {count:,}" for name, count in rest[1:]),
    ]


def main() -> int:
    """Run the parts, and show the table."""
    parser = argparse.ArgumentParser(prog="make stress", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for the parts that can be of any length")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="repeats what was drawn in another run")
    parser.add_argument("--only", default="", help="the parts in whose name this occurs")
    options = parser.parse_args()
    print(f"seed {options.seed}")
    outcomes = [run(part, options.seconds, options.seed) for part in PARTS if options.only in part.name]
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    for outcome in failed:
        print(f"\n{outcome.part.name}: {outcome.failure}; the end of {outcome.log}:")
        print("\n".join(outcome.log.read_text(errors="replace").splitlines()[-40:]))
    for outcome in outcomes:
        for line in re.findall(r"^left out: .*$", outcome.log.read_text(errors="replace"), re.MULTILINE):
            print(f"\n{outcome.part.name}: {line}")
    print(f"\n{table(outcomes)}\n")
    if failed:
        print(f"FAILED: {', '.join(outcome.part.name for outcome in failed)} (seed {options.seed})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

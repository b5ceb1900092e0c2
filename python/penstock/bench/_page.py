"""docs/benchmarks.md: the tables, what they were measured on, how each peer was set up, and who is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.bench import _bars, _text, peers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from penstock.bench._results import Results

_HEAD = """\
# Benchmarks

What `make bench` measured; it writes this page anew. [How to measure](howto/measure.md) says what the figures mean and
how to get your own, [performance](performance.md) where the time goes. Compare ratios of one run: on another machine,
or on the same one beside other work, all figures are others.
"""


def page(results: Results, chart: str | None) -> str:
    """Return the page as Markdown."""
    return "\n".join(_lines(results, chart)) + "\n"


def _lines(results: Results, chart: str | None) -> Iterator[str]:
    yield _HEAD
    if chart is not None:
        yield f"![The figures below as bars]({chart})\n"
    yield "## Measured on\n"
    yield from _markdown([("what", ""), *results.machine.items()])
    yield f"\n{results.rounds} rounds in which all take turns; about {results.seconds:g} s of each run counted.\n"
    if _was_busy(results):
        yield "**The machine was busy with other work.** Measure again on one that is not, with `make bench`.\n"
    yield "## Figures"
    for work, rows in results.by_work():
        ours = results.row(work.name, "penstock")
        yield f"\n### {work.name}\n"
        yield _text.title(work).partition(": ")[2].capitalize() + ".\n"
        yield from _markdown([_text.HEADER, *(_text.cells(work, row, ours) for row in rows if row.has_figures)])
        if reasons := _text.left_out(rows):
            yield f"\nWithout figures: {reasons}."
    bars = list(_bars.rows(results))
    if any(verdict != "not measured" for _, _, _, verdict in bars[1:]):
        yield "\n## Bars\n"
        yield from _markdown(bars)
    yield "\n## How each peer was set up\n"
    for name in dict.fromkeys(row.peer for row in results.rows):
        yield f"- **{name}**: {_says(name)}."


def _was_busy(results: Results) -> bool:
    """Whether others had a good part of the processors when it began."""
    machine = results.machine
    return float(machine.get("load before", 0)) > 0.5 * int(machine.get("processors", 1))


def _says(name: str) -> str:
    try:
        return peers.find(name).says
    except ImportError:
        return "not installed where this was measured"


def _markdown(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    header, *body = rows
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in body:
        yield f"| {' | '.join(row)} |"

"""`penstock bench`: measure penstock beside what people use today."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.cli._exits import Exit
from penstock.cli._stop import Stop
from penstock.cli._streams import Output, say

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("bench")
@click.option("--work", "works", multiple=True, metavar="NAME", help="What to measure; may have * and be given again.")
@click.option("--peer", "peers", multiple=True, metavar="NAME", help="Whom to measure; may have * and be given again.")
@click.option("--quick", "selection", flag_value="quick", help="Four works, short runs.")
@click.option("--usual", "selection", flag_value="usual", help="What docs/benchmarks.md shows. The default.")
@click.option("--all", "selection", flag_value="all", help="Each axis for itself; takes an hour.")
@click.option("--bars", is_flag=True, help="Measure what penstock holds itself to, and say what is met.")
@click.option("--list", "only_list", is_flag=True, help="Name all works and peers, and say which are absent.")
@click.option("--seconds", type=click.FloatRange(min=0.01), help="How long each run counts. [default: 0.5]")
@click.option("--rounds", type=click.IntRange(min=1), help="How often each has its turn. [default: 3]")
@click.option("--patience", type=click.FloatRange(min=0.1), default=10.0, help="Seconds until an item counts as lost.")
@click.option("--json", "json_file", type=_FILE, help="Write all figures there.")
@click.option("--csv", "csv_file", type=_FILE, help="Write the figures of each round there.")
@click.option("--chart", "chart_file", type=_FILE, help="Draw them there, as .svg or .png.")
@click.option("--page", "page_file", type=_FILE, help="Write the tables there, as Markdown.")
@click.option("--compare", "old_file", type=_FILE, help="Say what has changed since that --json was written.")
def command(
    works: tuple[str, ...],
    peers: tuple[str, ...],
    selection: str | None,
    bars: bool,
    only_list: bool,
    seconds: float | None,
    rounds: int | None,
    patience: float,
    json_file: Path | None,
    csv_file: Path | None,
    chart_file: Path | None,
    page_file: Path | None,
    old_file: Path | None,
) -> int:
    """Measure penstock beside what people use today, by turns, and print tables.

    Exits with 1 if a peer lost, doubled or reordered an item.
    """
    try:
        import numpy  # noqa: F401 - what every measurement needs, missed here rather than in each of them

        from penstock.bench import _command
    except ModuleNotFoundError as error:
        raise click.UsageError(f"{error.name} is needed: pip install 'penstock[bench]'") from error
    stop = Stop()
    output = Output(stop)

    def show(lines: Iterable[str]) -> None:
        output.write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))

    if only_list:
        show(_command.listing())
        return Exit.DONE
    is_quick = selection == "quick"
    settings = _command.Settings(seconds or (0.2 if is_quick else 0.5), rounds or (2 if is_quick else 3), patience)
    files = _command.Files(json_file, csv_file, chart_file, page_file, old_file)
    try:
        plan = _command.plan(works, selection, peers, with_bars=bars)
        old = files.read_old()
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    with stop.allowed():
        results = _command.run(plan, settings, say)
    show(_command.report(results, old, with_bars=bars))
    files.write(results)
    return Exit.FAILED if results.failures else Exit.DONE

"""What `penstock bench` does with its options: choose, run, say, write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.bench import _bars, _chart, _machine, _page, _results, _run, _text, _work, peers
from penstock.bench._run import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Files", "Settings", "listing", "plan", "report", "run"]


def listing() -> Iterator[str]:
    """Yield the names of all peers and works."""
    absent = _machine.absent(list(peers.NAMES))
    yield "peers:"
    for name in peers.NAMES:
        yield f"  {name} ({absent[name]})" if name in absent else f"  {name}"
    yield "works:"
    yield from (f"  {name}" for name in _work.EVERY)


def plan(
    works: Sequence[str], selection: str | None, chosen: Sequence[str], *, with_bars: bool
) -> list[tuple[str, str]]:
    """Return the pairs of work and peer to measure.

    Raises:
        UnknownWork, UnknownPeer: A name or pattern fits none.
    """
    jobs: list[tuple[str, str]] = []
    if works or selection or not with_bars:
        names = [work.name for work in _work.select(works or _work.SELECTIONS[selection or "usual"])]
        several = peers.select(chosen or ["*"])
        jobs += [(work, peer) for work in names for peer in several if peers.is_apt(peer, work)]
    if with_bars:
        jobs += _bars.jobs()
    return list(dict.fromkeys(jobs))


def run(jobs: Sequence[tuple[str, str]], settings: Settings, tell: Callable[[str], Any]) -> _results.Results:
    """Measure them."""
    return _run.run(jobs, settings, tell)


def report(results: _results.Results, old: _results.Results | None, *, with_bars: bool) -> Iterator[str]:
    """Yield the lines of what came out."""
    yield from _text.report(results)
    if with_bars:
        yield ""
        yield from _text.table(list(_bars.rows(results)))
    if old is not None:
        yield ""
        yield from _text.comparison(old, results)


@dataclass(frozen=True)
class Files:
    """What is to be written, and read."""

    json: Path | None
    csv: Path | None
    chart: Path | None
    page: Path | None
    old: Path | None

    def read_old(self) -> _results.Results | None:
        """Read what the figures are to be compared with.

        Raises:
            NoResults: The file has none.
            OSError: It cannot be read.
        """
        return None if self.old is None else _results.read_json(self.old)

    def write(self, results: _results.Results) -> None:
        """Write what was asked for."""
        if self.json is not None:
            results.write_json(self.json)
        if self.csv is not None:
            results.write_csv(self.csv)
        if self.chart is not None:
            _chart.draw(results, self.chart)
        if self.page is not None:
            text = _page.page(results, self.chart.name if self.chart else None)
            self.page.write_text(text, encoding="utf-8")

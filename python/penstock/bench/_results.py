"""The figures of one run of `penstock bench`, and the same as JSON and CSV."""

from __future__ import annotations

import csv
import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from penstock.bench import _work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = 1


@dataclass
class Row:
    """All rounds of one peer at one work."""

    work: str
    peer: str
    rounds: list[dict[str, float]] = field(default_factory=list)
    absent: str | None = None
    failed: str | None = None

    @property
    def has_figures(self) -> bool:
        """Whether it was measured, and nothing went wrong in any round."""
        return bool(self.rounds) and self.failed is None

    def median(self, figure: str = "value") -> float | None:
        """Return the median over the rounds; None without figures."""
        values = self.values(figure)
        return statistics.median(values) if values else None

    def values(self, figure: str = "value") -> list[float]:
        """Return a figure of each round."""
        return [one[figure] for one in self.rounds if figure in one] if self.failed is None else []


@dataclass
class Results:
    """All that was measured, and on what."""

    machine: dict[str, str]
    seconds: float
    rounds: int
    rows: list[Row] = field(default_factory=list)

    def row(self, work: str, peer: str) -> Row | None:
        """Return one row, if it is there."""
        return next((row for row in self.rows if (row.work, row.peer) == (work, peer)), None)

    def by_work(self) -> Iterator[tuple[_work.Work, list[Row]]]:
        """Yield each work with its rows, the best first, those without figures last."""
        for name in dict.fromkeys(row.work for row in self.rows):
            work = _work.EVERY[name]
            rows = [row for row in self.rows if row.work == name]
            good = [row for row in rows if row.has_figures]
            good.sort(key=lambda row: row.median() or 0.0, reverse=work.is_more_better)
            yield work, good + [row for row in rows if not row.has_figures]

    @property
    def failures(self) -> list[Row]:
        """The rows in which something went wrong."""
        return [row for row in self.rows if row.failed is not None]

    def write_json(self, path: Path) -> None:
        """Write all of it."""
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")

    def write_csv(self, path: Path) -> None:
        """Write a line for each round of each row that has figures."""
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["work", "peer", "round", "value", "unit", "cpu_seconds_per_million", "peak_bytes", "p99"])
            for row in self.rows:
                unit = _work.EVERY[row.work].unit
                for number, one in enumerate(row.rounds if row.has_figures else []):
                    more = [one.get(name, "") for name in ("cpu_seconds_per_million", "peak_bytes", "p99")]
                    writer.writerow([row.work, row.peer, number + 1, one["value"], unit, *more])


class NoResults(ValueError):
    """A file has no results of `penstock bench` in it, or of a version that this one does not know."""


def read_json(path: Path) -> Results:
    """Read what `write_json` wrote.

    Raises:
        NoResults: It is something else.
        OSError: It cannot be read.
    """
    try:
        data: dict[str, Any] = json.loads(path.read_text())
        if data.pop("format") != FORMAT:
            raise NoResults(f"{path} has results of another version")
        rows = [Row(**row) for row in data.pop("rows")]
        return Results(**data, rows=[row for row in rows if row.work in _work.EVERY])
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise NoResults(f"{path} has no results of penstock bench") from error

"""Figures for people: numbers of three digits, tables of text and of Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from penstock.bench._results import Results, Row
    from penstock.bench._work import Work

HEADER = ("peer", "median", "lowest to highest", "CPU s per million", "peak memory", "penstock is")


def number(value: float) -> str:
    """Write a number with three digits that count."""
    for limit, divisor, unit in ((1e9, 1e9, " G"), (1e6, 1e6, " M"), (1e4, 1e3, " k")):
        if value >= limit:
            return f"{_three(value / divisor)}{unit}"
    return _three(value)


def _three(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cells(work: Work, row: Row, ours: Row | None) -> tuple[str, ...]:
    """Return a row of the table of a work; one that has figures."""
    median, values = row.median() or 0.0, row.values()
    cpu, peak = row.median("cpu_seconds_per_million"), row.median("peak_bytes")
    return (
        row.peer,
        f"{number(median)} {work.unit}",
        f"{number(min(values))} to {number(max(values))}",
        "" if cpu is None else number(cpu),
        "" if not peak else f"{number(peak / 2**20)} MiB",
        _ratio(work, row, ours),
    )


def left_out(rows: Iterable[Row]) -> str:
    """Say why rows have no figures, those of one reason together; empty if all have."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.failed is not None:
            reasons.setdefault(f"FAILED, {row.failed}", []).append(row.peer)
        elif not row.has_figures:
            reasons.setdefault(row.absent or "not measured", []).append(row.peer)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in reasons.items())


def _ratio(work: Work, row: Row, ours: Row | None) -> str:
    mine, theirs = ours.median() if ours else None, row.median()
    if ours is None or row is ours or not mine or not theirs:
        return ""
    ratio = mine / theirs if work.is_more_better else theirs / mine
    return f"{number(ratio)} x" if ratio >= 1 else f"1/{number(1 / ratio)} x"


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; its first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def report(results: Results) -> Iterator[str]:
    """Yield the lines of all tables."""
    for work, rows in results.by_work():
        ours = results.row(work.name, "penstock")
        yield ""
        yield title(work)
        good = [cells(work, row, ours) for row in rows if row.has_figures]
        if good:
            yield from table([HEADER, *good])
        if reasons := left_out(rows):
            yield f"Without figures: {reasons}."


def title(work: Work) -> str:
    """Say in words what a work is."""
    if work.kind != "stream":
        return f"{work.name}: {ABOUT[work.name.removeprefix(f'{work.item}-') if work.kind == 'turns' else work.name]}"
    how = {
        "single": "one at a time",
        "batch": f"in lists of {work.batch}",
        "array": f"in NumPy arrays of {work.batch}",
        "in-place": "written and read in the queue's memory",
        "touch": "in the queue's memory, only the ends written and read",
        "lease": "put, then leased and acknowledged",
    }[work.way]
    sides = f"{work.producers} to {work.consumers}"
    return f"{work.name}: {_ITEM_WORDS[work.item]}, {how}, capacity {work.capacity}, {sides}"


_ITEM_WORDS = {
    "u4": "numbers of 4 bytes",
    "64B": "messages of 64 bytes",
    "1KiB": "messages of 1 KiB",
    "64KiB": "messages of 64 KiB",
    "1MiB": "NumPy arrays of 1 MiB",
    "object": "small dicts",
}
ABOUT = {
    "turns-spinning": "one item there and back again, at once",
    "turns-asleep": "one item there and back again, after a pause in which the other side goes to sleep",
    "open": "open a queue that is there",
    "import": "import what a program needs",
    "idle": "ten processes that wait for an item",
    "memory-empty": "memory of an empty queue of 10 numbers",
    "memory-full": "memory of a queue full with 1,000,000 numbers",
    "call": "call a method that does nothing",
    "put": "put into a queue that nobody else uses",
    "get": "get from a queue that nobody else uses",
    "lease": "lease and acknowledge in a queue that nobody else uses",
    "pickling": "pickle and unpickle a small dict",
    "memcpy": "copy an array of 1 MiB within the cache",
}


def comparison(old: Results, new: Results) -> Iterator[str]:
    """Yield the lines of a table of what has changed; where the rounds of both do not overlap, it says so."""
    rows = [("work", "peer", "before", "now", "change", "")]
    for row in new.rows:
        before = old.row(row.work, row.peer)
        was, now = before.median() if before else None, row.median()
        if before is None or was is None or now is None:
            continue
        apart = min(row.values()) > max(before.values()) or max(row.values()) < min(before.values())
        change = f"{(now / was - 1) * 100:+.0f} %" if was else ""
        rows.append((row.work, row.peer, number(was), number(now), change, "clear of the spread" if apart else ""))
    yield from table(rows)

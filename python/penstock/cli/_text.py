"""Text for people: nothing that a stranger put into a name or an item may steer the terminal it is printed on.

Pure functions; the rest of the commands decides what to say, this file how it looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXCERPT_CHARACTERS = 40

_BYTE_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
_AGES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def escape(text: str) -> str:
    r"""Return the text with everything that is not printable spelled out: `\x1b`, `\n`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def excerpt(line: bytes, total_bytes: int | None = None) -> str:
    """Return a line as it can be quoted in a message: escaped, in quotes, and short however long it is.

    Args:
        line: The line, or its beginning.
        total_bytes: The length of the whole line in bytes; None if `line` is all of it.
    """
    length = len(line) if total_bytes is None else total_bytes
    if length == 0:
        return "an empty line"
    # Four bytes are the longest character in UTF-8, so this prefix holds enough of them.
    text = escape(line[: 4 * EXCERPT_CHARACTERS].decode("utf-8", "backslashreplace"))
    if length <= 4 * EXCERPT_CHARACTERS and len(text) <= EXCERPT_CHARACTERS:
        return f"'{text}'"
    return f"'{text[:EXCERPT_CHARACTERS]}...' ({length} bytes)"


def human_bytes(count: int) -> str:
    """Return a number of bytes in the unit that leaves up to four digits: 512 B, 1.5 KiB, 24.0 GiB."""
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, len(_BYTE_UNITS))
    return f"{count / 1024**power:.1f} {_BYTE_UNITS[power - 1]}"


def human_age(seconds: float) -> str:
    """Return a span of time in its largest unit: 12 s, 3 min, 5 h, 2 d."""
    for length, unit in _AGES:
        if seconds >= length:
            return f"{int(seconds / length)} {unit}"
    return f"{max(0, int(seconds))} s"


def human_count(count: int, noun: str) -> str:
    """Return a count with its noun: 1 item, 3 items, 2 processes."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under a header, every column as wide as its widest cell, two spaces apart."""
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines)


def pairs(rows: Sequence[tuple[str, str]]) -> str:
    """Return lines of `label  value`, the values under one another."""
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label.ljust(width)}  {value}".rstrip() for label, value in rows)

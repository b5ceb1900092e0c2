"""Lines to items and back, for each kind of item a queue can have (docs/cli.md has the table).

Pure functions. A line is what stands between two newlines, as bytes; an item is what the queue's codec takes.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections.abc import Callable
from typing import Any, NoReturn

from penstock.cli._text import escape

Parser = Callable[[bytes], Any]
Printer = Callable[[Any], bytes]

_INTEGER_BITS = {"1": 8, "2": 16, "4": 32, "8": 64}

# Everything that Python's float() takes, but for underscores and digits that are not ASCII.
_FLOAT = re.compile(rb"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE)
_BOOLEANS = {b"true": True, b"1": True, b"false": False, b"0": False}


class BadLine(ValueError):
    """Say that a line is not an item of the wanted kind; the message completes the sentence "'abc' is not ..."."""


def parser_for(item: str) -> Parser:
    """Return the function that turns a line into an item of this kind, or raises `BadLine`.

    Args:
        item: The kind, as `Queue.item` spells it.

    Raises:
        BadLine: Items of this kind are not written from lines at all.
    """
    if len(item) == 2 and item[0] in "ui" and item[1] in _INTEGER_BITS:
        return _integer_parser(signed=item[0] == "i", bits=_INTEGER_BITS[item[1]])
    match item:
        case "f4":
            return _parse_f4
        case "f8":
            return _parse_f8
        case "?":
            return _parse_boolean
        case "bytes":
            return bytes
        case "str" | "object":
            return _parse_text
        case "json" | "msgpack":
            return _parse_json
    raise BadLine(f"items of the kind {item} cannot be written as lines; put them from Python")


def _integer_parser(*, signed: bool, bits: int) -> Parser:
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    problem = f"is not a whole number from {low} to {high}"

    def parse(line: bytes) -> int:
        text = line.strip()
        digits = text[1:] if signed and text[:1] == b"-" else text
        # bytes.isdigit() knows ASCII digits only, and int() refuses some thousands of digits with an error of its own.
        if not digits.isdigit() or len(digits) > 100:
            raise BadLine(problem)
        number = int(text)
        if not low <= number <= high:
            raise BadLine(problem)
        return number

    return parse


def _parse_f8(line: bytes) -> float:
    text = line.strip()
    if not _FLOAT.fullmatch(text):
        raise BadLine("is not a number")
    return float(text)


def _parse_f4(line: bytes) -> float:
    number = _parse_f8(line)
    try:
        struct.pack("<f", number)
    except OverflowError:
        raise BadLine("is not a number of four bytes: at most 3.4e38 either way") from None
    return number


def _parse_boolean(line: bytes) -> bool:
    try:
        return _BOOLEANS[line.strip().lower()]
    except KeyError:
        raise BadLine("is none of true, false, 1, 0") from None


def _parse_text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as err:
        raise BadLine(f"is not UTF-8 text (byte {err.start + 1})") from None


def _parse_json(line: bytes) -> Any:
    try:
        return json.loads(_parse_text(line), parse_constant=_refuse_constant)
    except json.JSONDecodeError as err:
        raise BadLine(f"is not JSON ({err.msg} at character {err.pos + 1})") from None
    except BadLine:
        raise
    except (ValueError, RecursionError) as err:  # a number of thousands of digits, NaN; brackets nested too deep
        raise BadLine(f"is not JSON that can be taken ({err})") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def printer_for(item: str, *, as_json: bool, is_terminal: bool) -> Printer:
    """Return the function that turns an item of this kind into its line, with the newline.

    Plain, it is the line that `parser_for(item)` takes, where one does; other objects are shown by their repr, arrays
    and records as lists and tuples. On a terminal control characters are spelled out.
    """
    if as_json:
        return lambda value: json_of(value) + b"\n"
    if item[0] in "ui" and item[1:] in _INTEGER_BITS:
        return lambda value: b"%d\n" % value
    if is_terminal:
        return lambda value: _encode(escape(_line_of(item, value).decode("utf-8", "backslashreplace"))) + b"\n"
    return lambda value: _line_of(item, value) + b"\n"


def _line_of(item: str, value: Any) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if item in ("json", "msgpack"):
        return _encode(json.dumps(value, ensure_ascii=False, default=_json_default))
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return _encode(value)
    return _encode(repr(_plain(value)))


def json_of(value: Any) -> bytes:
    """Return an item as one line of JSON: bytes as `{"base64": ...}`, what JSON cannot say as `{"repr": ...}`."""
    try:
        return json.dumps(value, default=_json_default, allow_nan=False).encode("ascii")
    except (ValueError, RecursionError, TypeError):  # inf and nan; a cycle or depth; keys that are no strings
        return json.dumps({"repr": repr(value)}).encode("ascii")


def _json_default(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"base64": base64.b64encode(value).decode("ascii")}
    plain = _plain(value)
    return {"repr": repr(value)} if plain is value else plain


def _plain(value: Any) -> Any:
    """Return what NumPy made as Python's own numbers, tuples and lists, and anything else as it is."""
    tolist = getattr(value, "tolist", None)
    return value if tolist is None else tolist()


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")

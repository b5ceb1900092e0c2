"""`penstock producer`: the lesson's first program. Numbers from a person or a pipe go into the common queue."""

from __future__ import annotations

import click

import penstock
from penstock.cli._common import capacity_option, lesson_name_argument, open_or_create
from penstock.cli._exits import Exit
from penstock.cli._items import BadLine, parser_for
from penstock.cli._stop import Stop
from penstock.cli._streams import STDERR, STDIN, LineReader, LongLine, is_terminal, say, write_stderr
from penstock.cli._text import excerpt

# Enough for any number with some blanks around it; what is longer is none.
_LINE_LIMIT_BYTES = 256


@click.command("producer")
@lesson_name_argument
@capacity_option
@click.option("-v", "--verbose", is_flag=True, help="Say on standard error what is put and when it has to wait.")
def command(name: str, capacity: int | None, verbose: bool) -> int:
    """Read whole numbers, one a line, and put each into the queue NAME ("numbers" unless told otherwise).

    Waits while the queue is full. Ends after 0, which is put too, or at the end of the input. A line that is no
    number from 0 to 4294967295 is reported and left out.
    """
    stop = Stop()
    with open_or_create(stop, name, item="u4", capacity=capacity) as queue:
        return Producer(stop, queue, verbose=verbose).run()


class Producer:
    """One run of the command: lines in, numbers into the queue."""

    def __init__(self, stop: Stop, queue: penstock.Queue, *, verbose: bool) -> None:
        self._stop = stop
        self._queue = queue
        self._is_verbose = verbose
        self._tells_of_waits = verbose or is_terminal(STDERR)
        self._is_interactive = is_terminal(STDIN)
        self._parse = parser_for("u4")
        self._bad_lines = 0

    def run(self) -> int:
        """Put numbers until 0 or the end of the input; return the exit code."""
        reader = LineReader(self._stop, _LINE_LIMIT_BYTES)
        line_number = 0
        while lines := self._read(reader):
            for line in lines:
                line_number += 1
                number = self._number_of(line_number, line)
                if number is None:
                    continue
                self._put(number)
                if number == 0:
                    return self._exit()
        say("the input ended without a 0; consumers wait for more")
        return self._exit()

    def _read(self, reader: LineReader) -> list[bytes]:
        if not self._is_interactive:
            return reader.read()
        write_stderr("> ")
        lines = reader.read()
        if not lines:
            write_stderr("\n")  # what comes next belongs on a line of its own
        return lines

    def _number_of(self, line_number: int, line: bytes) -> int | None:
        total_bytes = line.total_bytes if isinstance(line, LongLine) else None
        try:
            if total_bytes is not None:
                raise BadLine("is not a whole number from 0 to 4294967295")
            number: int = self._parse(line)
            return number
        except BadLine as problem:
            say(f"line {line_number}: {excerpt(line, total_bytes)} {problem}; nothing was put")
            self._bad_lines += 1
            return None

    def _put(self, number: int) -> None:
        is_told = False
        while True:
            self._stop.check()
            try:
                self._queue.put_nowait(number)
                break
            except penstock.Full:
                if self._tells_of_waits and not is_told:
                    say(f"the queue is full ({self._queue.capacity} numbers); waiting for room")
                    is_told = True
            with self._stop.allowed():
                self._queue.wait_put()
        if self._is_verbose:
            say(f"put {number}")

    def _exit(self) -> int:
        # A person has seen and mended it; whoever fed a pipe has to be told by the exit code.
        return Exit.FAILED if self._bad_lines and not self._is_interactive else Exit.DONE

"""The lesson's producer: numbers from a person, or from a pipe, go into a common queue of ten.

Try it in two terminals:    python examples/producer.py    and    python examples/consumer.py
"""

import sys
from collections.abc import Iterator

import penstock

HIGHEST = 2**32 - 1  # what fits an unsigned integer of 32 bits


def read_lines() -> Iterator[str]:
    """Yield the lines of the input; a person gets a prompt for each."""
    sys.stdin.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # bytes that are no text
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            yield input(prompt)
        except EOFError:
            return


def parse(line: str) -> int | None:
    """Return the number in a line; None if it is no whole number from 0 to HIGHEST."""
    text = line.strip()
    if text.isascii() and text.isdigit() and len(text) <= len(str(HIGHEST)) and int(text) <= HIGHEST:
        return int(text)
    return None


def main() -> int:
    """Put numbers until 0, which is put too; return the exit code."""
    exit_code = 0
    with penstock.Queue("numbers", capacity=10, item="u4") as queue:
        for line_number, line in enumerate(read_lines(), 1):
            number = parse(line)
            if number is None:
                print(f"line {line_number}: {line[:20]!r} is no number from 0 to {HIGHEST}", file=sys.stderr)
                exit_code = 1
                continue
            queue.put(number)  # waits while the queue is full
            if number == 0:
                return exit_code
    print("the input ended without a 0", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)

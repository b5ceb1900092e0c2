"""The lesson's two programs under names of their own, as they are installed: pipes, the wrong input, and a kill.

On every system; what takes a terminal or a signal is in `test_lesson.py`.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path
from typing import IO

import pytest

import penstock
from helpers import PATIENCE_SECONDS
from penstock import testing

pytestmark = pytest.mark.usefixtures("directory")

SCRIPTS = Path(sysconfig.get_path("scripts"))
NAME = "numbers"


def program(which: str) -> subprocess.Popen[bytes]:
    """Start `penstock-producer` or `penstock-consumer`, with pipes."""
    suffix = ".exe" if os.name == "nt" else ""
    command = [str(SCRIPTS / f"penstock-{which}{suffix}"), NAME]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def lines(numbers: list[int]) -> bytes:
    """Return numbers as somebody types them."""
    return b"".join(b"%d\n" % number for number in numbers)


def read_numbers(pipe: IO[bytes] | None, count: int) -> list[int]:
    """Read so many numbers that a consumer prints."""
    assert pipe is not None
    return [int(pipe.readline()) for _ in range(count)]


def test_numbers_pass_in_order_and_both_programs_end_after_zero() -> None:
    typed = [20, 1, 3, 7, 2, *[1] * 20, 0]
    with program("producer") as producer, program("consumer") as consumer:
        _, errors = producer.communicate(lines(typed), timeout=PATIENCE_SECONDS)
        printed, other_errors = consumer.communicate(timeout=PATIENCE_SECONDS)
    assert (producer.returncode, errors, consumer.returncode, other_errors) == (0, b"", 0, b"")
    assert [int(line) for line in printed.split()] == typed


def test_what_is_no_number_is_said_and_left_out() -> None:
    with program("producer") as producer:
        _, errors = producer.communicate(b"5\nfive\n-1\n4294967296\n0\n", timeout=PATIENCE_SECONDS)
    assert errors.count(b"\n") == 3
    assert b"five" in errors
    with program("consumer") as consumer:
        printed, _ = consumer.communicate(timeout=PATIENCE_SECONDS)
    assert printed.split() == [b"5", b"0"]


def test_another_consumer_goes_on_where_one_was_killed() -> None:
    typed = [*range(1, 30), 0]
    with penstock.Queue(NAME, item="u4", capacity=10) as queue, program("producer") as producer:
        assert producer.stdin is not None
        producer.stdin.write(lines(typed))
        producer.stdin.close()
        with program("consumer") as first:
            seen = read_numbers(first.stdout, 5)
            first.kill()
            seen += [int(line) for line in first.communicate(timeout=PATIENCE_SECONDS)[0].split()]
        with program("consumer") as second:
            printed, _ = second.communicate(timeout=PATIENCE_SECONDS)
        rest = [int(line) for line in printed.split()]
        assert producer.wait(PATIENCE_SECONDS) == 0
        assert seen == typed[: len(seen)]
        # The last one may be printed again: a number is on loan until it has been.
        assert rest in (typed[len(seen) :], typed[len(seen) - 1 :])
        assert queue.empty()


def test_what_a_killed_producer_had_put_is_there() -> None:
    with penstock.Queue(NAME, item="u4", capacity=10) as queue, program("producer") as producer:
        assert producer.stdin is not None
        producer.stdin.write(lines(list(range(1, 8))))
        producer.stdin.flush()
        testing.wait_until(lambda: queue.qsize() == 7, PATIENCE_SECONDS)
        producer.kill()
        producer.wait(PATIENCE_SECONDS)
        assert queue.get_many(10) == list(range(1, 8))

"""The lesson's two programs, as commands and as examples, as a class would try them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import penstock
from cli_helpers import PENSTOCK, Program, Terminal, eventually, example, is_asleep, is_attached, run, stats, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("directory")

NAME = "numbers"
HIGHEST = 2**32 - 1
COMMANDS = {"producer": (*PENSTOCK, "producer"), "consumer": (*PENSTOCK, "consumer")}
PRODUCERS = pytest.mark.parametrize("producer", [COMMANDS["producer"], example("producer")], ids=["command", "example"])
CONSUMERS = pytest.mark.parametrize("consumer", [COMMANDS["consumer"], example("consumer")], ids=["command", "example"])
BOTH = pytest.mark.parametrize(
    ("producer", "consumer"),
    [tuple(COMMANDS.values()), (example("producer"), example("consumer"))],
    ids=["commands", "examples"],
)
SCRIPTS = Path(sysconfig.get_path("scripts"))


@pytest.fixture
def numbers() -> Iterator[penstock.Queue]:
    with penstock.Queue(NAME, item="u4", capacity=10) as queue:
        yield queue


# ---- what passes -----------------------------------------------------------------------------------------------------


@BOTH
def test_numbers_pass_in_order_and_both_end_after_zero(producer: tuple[str, ...], consumer: tuple[str, ...]) -> None:
    typed = [20, 1, 3, HIGHEST // HIGHEST, 2, *[1] * 20, 0]
    with Program(producer) as writer, Program(consumer) as reader:
        writer.write(b"".join(b"%d\n" % number for number in typed))
        assert writer.end() == (0, b"", b"")
        code, printed, errors = reader.end()
    assert (code, [int(line) for line in printed.split()], errors) == (0, typed, b"")


def test_the_two_commands_are_programs_of_their_own_too() -> None:
    with Program((str(SCRIPTS / "penstock-producer"), NAME)) as writer:
        writer.write(b"7\n0\n")
        assert writer.end() == (0, b"", b"")
    with Program((str(SCRIPTS / "penstock-consumer"), NAME)) as reader:
        assert reader.end() == (0, b"7\n0\n", b"")


@BOTH
def test_consumer_may_start_first(producer: tuple[str, ...], consumer: tuple[str, ...]) -> None:
    with Program(consumer) as reader:
        eventually(lambda: is_attached(NAME, reader.pid))
        with Program(producer) as writer:
            writer.write(b"7\n0\n")
            assert writer.end()[0] == 0
        assert reader.end() == (0, b"7\n0\n", b"")


@BOTH
def test_producer_may_be_long_gone_when_consumer_starts(producer: tuple[str, ...], consumer: tuple[str, ...]) -> None:
    with Program(producer) as writer:
        writer.write(b"1\n2\n0\n")
        assert writer.end()[0] == 0
    with Program(consumer) as reader:
        assert reader.end() == (0, b"1\n2\n0\n", b"")


@PRODUCERS
def test_producer_waits_while_the_queue_is_full(producer: tuple[str, ...], numbers: penstock.Queue) -> None:
    with Program(producer) as writer:
        writer.write(b"".join(b"%d\n" % number for number in range(1, 13)) + b"0\n")
        eventually(numbers.full)
        assert writer.process.poll() is None
        assert [numbers.get(timeout=20.0) for _ in range(13)] == [*range(1, 13), 0]
        assert writer.end()[0] == 0


@CONSUMERS
def test_consumer_prints_at_once_into_a_pipe(consumer: tuple[str, ...], numbers: penstock.Queue) -> None:
    with Program(consumer) as reader:
        for number in (3, 2, 1):
            numbers.put(number)
            assert reader.line() == b"%d\n" % number
        numbers.put(0)
        assert reader.end() == (0, b"0\n", b"")


@CONSUMERS
def test_consumer_sleeps_as_many_milliseconds(consumer: tuple[str, ...], numbers: penstock.Queue) -> None:
    numbers.put_many([150, 0])
    with Program(consumer) as reader:
        assert reader.line() == b"150\n"
        began = time.monotonic()
        assert reader.line() == b"0\n"
        assert time.monotonic() - began > 0.1  # the line was read some time after it was printed


@BOTH
def test_any_number_of_each_may_run_at_once(producer: tuple[str, ...], consumer: tuple[str, ...]) -> None:
    readers = [Program(consumer) for _ in range(3)]
    writers = [Program(producer) for _ in range(3)]
    for first, writer in enumerate(writers):
        writer.write(b"".join(b"%d\n" % (first + 3 * n) for n in range(1, 5)))
        writer.end_input()
    assert [writer.end()[0] for writer in writers] == [0, 0, 0]
    with penstock.Queue(NAME) as queue:
        for _ in readers:
            queue.put(0, timeout=20.0)
    ends = [reader.end() for reader in readers]
    assert [code for code, _, _ in ends] == [0, 0, 0]
    printed = sorted(int(line) for _, output, _ in ends for line in output.split())
    assert printed == [0, 0, 0, *range(3, 15)]


def test_capacity_is_taken_at_creation() -> None:
    assert run("producer", "--capacity", "3", stdin=b"1\n0\n").returncode == 0
    assert stats(NAME)["capacity"] == 3


@pytest.mark.parametrize("program", ["producer", "consumer"])
def test_another_capacity_than_the_queue_has_is_one_line(program: str, numbers: penstock.Queue) -> None:
    done = run(program, "--capacity", "3", stdin=b"1\n0\n")
    assert (done.returncode, done.stdout, numbers.qsize()) == (5, b"", 0)
    assert done.stderr.startswith(b"penstock: ")
    assert done.stderr.count(b"\n") == 1
    assert b"10" in done.stderr
    assert b"3" in done.stderr


def test_a_name_chooses_another_queue() -> None:
    assert run("producer", "other", stdin=b"5\n0\n").returncode == 0
    assert (waiting("other"), waiting(NAME)) == (2, -1)
    assert run("consumer", "other").stdout == b"5\n0\n"


# ---- bad input -------------------------------------------------------------------------------------------------------

BAD_LINES = {
    "word": b"abc",
    "negative": b"-1",
    "fraction": b"1.5",
    "too high": b"4294967296",
    "empty": b"",
    "blank": b"   ",
    "plus": b"+5",
    "underscore": b"1_000",
    "Arabic digit": "\u0663".encode(),
    "superscript": "\u00b2".encode(),
    "two numbers": b"1 2",
    "hexadecimal": b"0x10",
    "megabyte of letters": b"x" * 2**20,
    "megabyte of digits": b"9" * 2**20,
    "digits as long as Python's limit": b"9" * 5000,
    "not UTF-8": b"\xff\xfe",
    "NUL": b"\0",
    "escape sequence": b"\x1b[2J",
}


@PRODUCERS
@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_bad_line_is_one_clear_line_on_stderr_and_the_rest_goes_on(line: bytes, producer: tuple[str, ...]) -> None:
    with Program(producer) as writer:
        writer.write(b"1\n" + line + b"\n2\n0\n")
        code, output, errors = writer.end()
    assert (code, output) == (1, b"")
    assert errors.count(b"\n") == 1
    assert b"line 2" in errors
    assert b"0 to 4294967295" in errors
    assert len(errors) < 300
    assert errors.decode().rstrip("\n").isprintable()
    with penstock.Queue.open(NAME) as queue:
        assert queue.get_many(10, timeout=0) == [1, 2, 0]


@PRODUCERS
@pytest.mark.parametrize("line", [b"0004", b"  4", b"4\t", b"4\r"], ids=["zeros", "before", "after", "CR"])
def test_blanks_around_a_number_and_leading_zeros_are_no_harm(line: bytes, producer: tuple[str, ...]) -> None:
    with Program(producer) as writer:
        writer.write(line + b"\n4294967295\n0")  # the last line needs no newline
        assert writer.end() == (0, b"", b"")
    with penstock.Queue.open(NAME) as queue:
        assert queue.get_many(10, timeout=0) == [4, HIGHEST, 0]


def test_each_bad_line_has_its_own_number() -> None:
    done = run("producer", stdin=b"a\n1\n\n2\nb")
    assert [line.split(b":")[1] for line in done.stderr.splitlines()[:3]] == [b" line 1", b" line 3", b" line 5"]
    assert (done.returncode, waiting(NAME)) == (1, 2)


def test_endless_line_takes_bounded_memory() -> None:
    def peak_kib(line_bytes: int) -> int:
        with Program((*PENSTOCK, "producer")) as writer:
            for _ in range(line_bytes // 2**16):
                writer.write(b"9" * 2**16)
            writer.write(b"\n0\n")
            _, status, usage = os.wait4(writer.pid, 0)
            writer.process.returncode = os.waitstatus_to_exitcode(status)
            assert writer.process.returncode == 1
            return usage.ru_maxrss

    assert peak_kib(2**26) - peak_kib(2**16) < 2**13


@PRODUCERS
@pytest.mark.parametrize("text", [b"", b"5\n"], ids=["nothing", "a number"])
def test_end_of_input_without_zero_ends_with_a_note(text: bytes, producer: tuple[str, ...]) -> None:
    with Program(producer) as writer:
        writer.write(text)
        code, _, errors = writer.end()
    assert code == 0
    assert b"without a 0" in errors
    assert waiting(NAME) == len(text.split())


def test_what_follows_zero_is_not_read() -> None:
    assert run("producer", stdin=b"0\n5\nabc\n").returncode == 0
    assert waiting(NAME) == 1


# ---- on a terminal ---------------------------------------------------------------------------------------------------


@PRODUCERS
def test_person_gets_a_prompt_for_each_number(producer: tuple[str, ...]) -> None:
    with Terminal(producer) as terminal:
        terminal.see("> ")
        terminal.type_keys("250\n")
        terminal.see("> ", times=2)
        terminal.type_keys("0\n")
        assert terminal.end() == 0
    assert waiting(NAME) == 2


def test_person_may_mistype_and_the_exit_code_forgives() -> None:
    with Terminal((*PENSTOCK, "producer")) as terminal:
        terminal.see("> ")
        terminal.type_keys("25o\n")
        terminal.see("line 1: '25o' is not a whole number from 0 to 4294967295")
        terminal.see("> ", times=2)
        terminal.type_keys("0\n")
        assert terminal.end() == 0


def test_person_may_end_with_ctrl_d() -> None:
    with Terminal((*PENSTOCK, "producer")) as terminal:
        terminal.see("> ")
        terminal.type_keys("\x04")
        assert terminal.end() == 0
    assert terminal.screen.replace(b"\r", b"").startswith(b"> \npenstock: the input ended without a 0")


def test_person_is_told_once_that_the_queue_is_full(numbers: penstock.Queue) -> None:
    numbers.put_many([1] * 10)
    with Terminal((*PENSTOCK, "producer")) as terminal:
        terminal.see("> ")
        terminal.type_keys("5\n0\n")
        terminal.see("the queue is full")
        assert numbers.get() == 1
        eventually(lambda: waiting(NAME) == 10)
        assert numbers.get() == 1
        assert terminal.end() == 0
    assert numbers.qsize() == 10


@PRODUCERS
def test_ctrl_c_at_the_prompt_is_quiet_and_leaves_the_terminal_as_it_was(producer: tuple[str, ...]) -> None:
    with Terminal(producer) as terminal:
        terminal.see("> ")
        eventually(lambda: is_asleep(terminal.pid))
        terminal.type_keys("12")
        terminal.type_keys("\x03")
        assert terminal.end() == 130
        assert terminal.attributes() == terminal.attributes_before
    assert b"Traceback" not in terminal.screen
    assert waiting(NAME) == 0


def test_shell_prompt_after_ctrl_c_is_on_a_line_of_its_own() -> None:
    with Terminal((*PENSTOCK, "producer")) as terminal:
        terminal.see("> ")
        terminal.type_keys("\x03")
        assert terminal.end() == 130
    assert terminal.screen.endswith(b"\n")


@PRODUCERS
def test_ctrl_c_while_the_queue_is_full_puts_nothing_more(producer: tuple[str, ...], numbers: penstock.Queue) -> None:
    numbers.put_many([1] * 10)
    with Terminal(producer) as terminal:
        terminal.see("> ")
        terminal.type_keys("5\n")
        eventually(lambda: terminal.has_been_read() and is_asleep(terminal.pid))
        terminal.type_keys("\x03")
        assert terminal.end() == 130
    assert b"Traceback" not in terminal.screen
    assert numbers.get_many(20, timeout=0) == [1] * 10


@CONSUMERS
def test_ctrl_c_while_the_queue_is_empty(consumer: tuple[str, ...], numbers: penstock.Queue) -> None:
    with Terminal(consumer) as terminal:
        eventually(lambda: is_attached(NAME, terminal.pid))
        terminal.type_keys("\x03")
        assert terminal.end() == 130
        assert terminal.attributes() == terminal.attributes_before
    assert b"Traceback" not in terminal.screen
    numbers.put(5)
    assert numbers.get(timeout=20.0) == 5


@CONSUMERS
def test_ctrl_c_while_the_consumer_sleeps(consumer: tuple[str, ...], numbers: penstock.Queue) -> None:
    numbers.put_many([HIGHEST, 5])
    with Terminal(consumer) as terminal:
        terminal.see(str(HIGHEST))
        eventually(lambda: stats(NAME)["leased"] == 0)
        terminal.type_keys("\x03")
        assert terminal.end() == 130
    assert b"Traceback" not in terminal.screen
    assert numbers.get_many(10, timeout=0) == [5]


# ---- signals and deaths at the worst moment --------------------------------------------------------------------------


def full_pipe() -> tuple[int, int]:
    """Return a pipe that takes no more: reading end, writing end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, writer


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]
)
def test_number_taken_but_not_printed_goes_to_the_next_consumer(
    signum: int, code: int, numbers: penstock.Queue
) -> None:
    numbers.put_many([7, 8])
    reader, writer = full_pipe()
    try:
        with Program((*PENSTOCK, "consumer"), stdout=writer) as stuck:
            eventually(lambda: numbers.stats()["leased"] == 1)
            stuck.signal(signum)
            assert stuck.end() == (code, b"", b"")
    finally:
        os.close(reader)
        os.close(writer)
    left = [numbers.get(timeout=20.0), numbers.get(timeout=20.0)]
    assert left == [7, 8] or (signum == signal.SIGKILL and left == [8, 7])  # the dead are found when there is need


def test_number_that_nobody_reads_is_given_back_quietly(numbers: penstock.Queue) -> None:
    numbers.put_many([7, 8])
    reader, writer = os.pipe()
    os.close(reader)
    with Program((*PENSTOCK, "consumer"), stdout=writer) as unread:
        os.close(writer)
        assert unread.end() == (141, b"", b"")
    assert numbers.get_many(10, timeout=0) == [7, 8]


def test_number_that_does_not_fit_the_disk_is_given_back(numbers: penstock.Queue) -> None:
    numbers.put(7)
    with open("/dev/full", "wb") as full, Program((*PENSTOCK, "consumer"), stdout=full) as unread:
        assert unread.end() == (9, b"", b"penstock: standard output: No space left on device\n")
    assert numbers.get_many(10, timeout=0) == [7]


@pytest.mark.parametrize("program", ["producer", "consumer"])
@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-"])
def test_closed_standard_stream_is_not_taken_for_the_queue(
    redirection: str, program: str, numbers: penstock.Queue
) -> None:
    numbers.put(0)
    with Program(("sh", "-c", f'exec "$@" {redirection}', "sh", *PENSTOCK, program)) as stranger:
        code, output, _ = stranger.end()
    assert output in (b"", b"0\n")
    assert code == (9 if (program, redirection) in {("producer", "<&-"), ("consumer", ">&-")} else 0)
    numbers.put(1)
    assert numbers.get_many(10, timeout=0)[-1] == 1  # its bytes are as they should be


IMPORTS = ["click", "penstock.cli._run", "penstock.cli._common", "penstock.cli.consumer"]


@pytest.mark.parametrize("module", IMPORTS)
def test_ctrl_c_during_an_import_is_quiet(module: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(f"""
            import os, signal, sys
            class PressCtrlC:
                def find_spec(self, name, path=None, target=None):
                    if name == {module!r}:
                        os.kill(os.getpid(), signal.SIGINT)
            sys.meta_path.insert(0, PressCtrlC())
        """)
    )
    done = run("consumer", env={**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"})
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_signals_ignored_on_arrival_stay_ignored(numbers: penstock.Queue) -> None:
    with Program(("nohup", *PENSTOCK, "consumer"), stderr=subprocess.DEVNULL) as reader:
        eventually(lambda: is_attached(NAME, reader.pid))
        reader.signal(signal.SIGHUP)
        numbers.put(0)
        assert reader.end()[:2] == (0, b"0\n")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_consumer_that_waits_uses_no_cpu(numbers: penstock.Queue) -> None:
    with Program((*PENSTOCK, "consumer")) as reader:
        numbers.put(1)
        assert reader.line() == b"1\n"

        def ticks() -> int:
            with open(f"/proc/{reader.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            return int(fields[11]) + int(fields[12])

        before, began = ticks(), time.monotonic()
        assert not numbers.wait_get(1.0)  # one second, in which nothing is put
        used_seconds = (ticks() - before) / os.sysconf("SC_CLK_TCK")
        assert used_seconds / (time.monotonic() - began) < 0.05

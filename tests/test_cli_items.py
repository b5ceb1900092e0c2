"""`penstock put` and `penstock get`: lines to items and back, through pipes, with signals at the worst moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from cli_helpers import PENSTOCK, Program, Terminal, eventually, is_attached, one_line, run, stats, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("directory")

NAME = "things"


@pytest.fixture
def texts() -> Iterator[penstock.Queue]:
    with penstock.Queue(NAME, item="str", capacity=10) as queue:
        yield queue


ROUND_TRIPS: dict[str, bytes] = {
    "u1": b"0\n255\n",
    "i1": b"-128\n127\n",
    "u2": b"65535\n",
    "u4": b"4294967295\n0\n",
    "i4": b"-2147483648\n",
    "u8": b"18446744073709551615\n",
    "i8": b"-9223372036854775808\n",
    "f8": b"1.5\n-0.1\n1e+300\ninf\nnan\n",
    "f4": b"1.5\n-0.25\n",
    "?": b"true\nfalse\n",
    "str": "text\n\n  blanks  \nZürich \U0001f6b0\nCR\r\n".encode(),
    "bytes": b"\xff\xfe\x00\n\n \x1b[31m\n",
    "json": '{"a": [1, 2.5, null, "ü"]}\n"text"\n7\n'.encode(),
    "msgpack": '{"a": [1, 2.5, null, "ü"]}\n"text"\n7\n'.encode(),
    "object": b"any text\n",
}


@pytest.mark.parametrize(("item", "lines"), ROUND_TRIPS.items(), ids=ROUND_TRIPS.keys())
def test_lines_come_out_as_they_went_in(item: str, lines: bytes) -> None:
    if item == "msgpack":
        pytest.importorskip("msgspec")
    done = run("put", NAME, "--item", item, stdin=lines)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert waiting(NAME) == lines.count(b"\n")
    done = run("get", NAME, "--many", "--timeout", "0")
    assert (done.returncode, done.stdout, done.stderr) == (0, lines, b"")


BAD_ITEMS = [
    ("u4", b"-1", "from 0 to 4294967295"),
    ("i8", b"9223372036854775808", "from -9223372036854775808 to 9223372036854775807"),
    ("i8", b"--1", "from -9223372036854775808 to 9223372036854775807"),
    ("u1", b"9" * 5000, "from 0 to 255"),
    ("f8", b"1_0", "is not a number"),
    ("f8", "\u0661".encode(), "is not a number"),
    ("f4", b"1e39", "four bytes"),
    ("?", b"maybe", "none of true, false, 1, 0"),
    ("str", b"ok\xff", "is not UTF-8 text (byte 3)"),
    ("json", b"{", "is not JSON"),
    ("json", b"NaN", "is not JSON"),
    ("json", b"[" * 100_000, "is not JSON"),
    ("json", b"1" * 5000, "is not JSON"),
    ("str", b"x" * 200, "100"),
    ("str", b"x" * 100_000, "100"),
    ("bytes", b"x" * 101, "100"),
]


@pytest.mark.parametrize(("item", "line", "reason"), BAD_ITEMS, ids=lambda value: str(value)[:20])
def test_bad_line_is_reported_and_left_out(item: str, line: bytes, reason: str) -> None:
    good = b"1"
    limit = ["--max-item-bytes", "100"] if reason == "100" else []
    done = run("put", NAME, "--item", item, *limit, stdin=good + b"\n" + line + b"\n" + good)
    assert (done.returncode, done.stdout) == (1, b"")
    message = one_line(done.stderr)
    assert message.startswith("line 2: ")
    assert reason in message
    assert len(message) < 300
    assert message.isprintable()
    assert waiting(NAME) == 2


def test_put_takes_the_kind_of_an_existing_queue() -> None:
    with penstock.Queue(NAME, item="u2") as queue:
        assert run("put", NAME, stdin=b"7\n").returncode == 0
        assert queue.get_nowait() == 7


def test_put_creates_a_queue_of_texts_unless_told_otherwise() -> None:
    assert run("put", NAME, stdin=b"7\n").returncode == 0
    with penstock.Queue.open(NAME) as queue:
        assert (queue.item, queue.get_nowait()) == ("str", "7")


def test_put_with_another_kind_than_the_queue_s_is_five(texts: penstock.Queue) -> None:
    done = run("put", NAME, "--item", "u4", stdin=b"7\n")
    assert (done.returncode, texts.qsize()) == (5, 0)
    one_line(done.stderr)


def test_put_does_not_wait_for_more_input_than_there_is() -> None:
    with Program((*PENSTOCK, "put", NAME)) as writer:
        for count in (1, 2, 3):
            writer.write(b"a line\n")
            while waiting(NAME) < count:
                assert writer.process.poll() is None
        writer.end_input()
        assert writer.end() == (0, b"", b"")


def test_put_waits_while_the_queue_is_full(texts: penstock.Queue) -> None:
    with Program((*PENSTOCK, "put", NAME)) as writer:
        writer.write(b"".join(b"%d\n" % number for number in range(25)))
        writer.end_input()
        eventually(texts.full)
        assert [texts.get(timeout=20.0) for _ in range(25)] == [str(number) for number in range(25)]
        assert writer.end() == (0, b"", b"")


def test_put_gives_up_after_its_timeout_and_says_how_far_it_came(texts: penstock.Queue) -> None:
    done = run("put", NAME, "--timeout", "0.05", stdin=b"x\n" * 12)
    assert done.returncode == 3
    assert b"10 items put" in done.stderr
    assert texts.qsize() == 10


def test_put_into_a_queue_that_was_shut_down_is_six(texts: penstock.Queue) -> None:
    texts.shutdown()
    assert run("put", NAME, stdin=b"x\n").returncode == 6


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_interrupted_put_has_put_what_it_says(signum: int, code: int, texts: penstock.Queue) -> None:
    with Program((*PENSTOCK, "put", NAME)) as writer:
        writer.write(b"".join(b"%d\n" % number for number in range(25)))
        eventually(texts.full)
        writer.signal(signum)
        ended, _, errors = writer.end()
    assert ended == code
    assert errors == (b"" if signum == signal.SIGKILL else b"penstock: 10 items put\n")
    assert texts.get_many(100, timeout=0) == [str(number) for number in range(10)]


def test_many_numbers_pass_in_order() -> None:
    count = 200_000
    with (
        Program((*PENSTOCK, "get", NAME, "-n", str(count)), stdin=subprocess.DEVNULL) as reader,
        Program(("seq", str(count)), stdin=subprocess.DEVNULL) as numbers,
        Program((*PENSTOCK, "put", NAME, "--item", "u4"), stdin=numbers.process.stdout) as writer,
    ):
        code, output, _ = reader.end()
        assert code == 0
        assert output == b"".join(b"%d\n" % number for number in range(1, count + 1))
        assert writer.end() == (0, b"", b"")


def test_get_takes_one_item(texts: penstock.Queue) -> None:
    texts.put_many(["a", "b"])
    done = run("get", NAME)
    assert (done.returncode, done.stdout, done.stderr, texts.qsize()) == (0, b"a\n", b"", 1)


def test_get_takes_as_many_as_it_is_told(texts: penstock.Queue) -> None:
    texts.put_many(["a", "b", "c"])
    done = run("get", NAME, "-n", "2")
    assert (done.returncode, done.stdout, texts.qsize()) == (0, b"a\nb\n", 1)


def test_get_with_timeout_is_three_when_nothing_comes(texts: penstock.Queue) -> None:
    for arguments in (["--timeout", "0"], ["--timeout", "0.05"], ["--many", "--timeout", "0"]):
        done = run("get", NAME, *arguments)
        assert (done.returncode, done.stdout) == (3, b"")
    texts.put("a")
    done = run("get", NAME, "-n", "2", "--timeout", "0")
    assert (done.returncode, done.stdout) == (3, b"a\n")


def test_get_waits_for_the_queue_to_be_created() -> None:
    with Program((*PENSTOCK, "get", NAME)) as reader:
        assert b"no queue 'things' yet" in reader.line(of_stderr=True)
        assert run("put", NAME, "--item", "u4", stdin=b"5\n").returncode == 0
        assert reader.end() == (0, b"5\n", b"")


def test_get_prints_each_item_at_once(texts: penstock.Queue) -> None:
    with Program((*PENSTOCK, "get", NAME, "--many")) as reader:
        for text in ("a", "b", "c"):
            texts.put(text)
            assert reader.line() == text.encode() + b"\n"


def test_get_many_ends_when_the_queue_is_shut_down(texts: penstock.Queue) -> None:
    texts.put("last")
    texts.shutdown()
    done = run("get", NAME, "--many")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"last\n", b"")
    assert run("get", NAME).returncode == 6


def test_get_ends_when_the_queue_is_removed(texts: penstock.Queue) -> None:
    with Program((*PENSTOCK, "get", NAME)) as reader:
        eventually(lambda: is_attached(NAME, reader.pid))
        texts.unlink()
        code, output, errors = reader.end()
    assert (code, output) == (4, b"")
    one_line(errors)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_items_taken_but_not_printed_go_back_in_order(signum: int, code: int, texts: penstock.Queue) -> None:
    line = "x" * 1000
    texts.put_many([f"{number}{line}" for number in range(10)])
    reader, writer = os.pipe()
    os.write(writer, b"y" * (65536 - 4096))  # room for one portion, and then no more
    with Program((*PENSTOCK, "get", NAME, "--many"), stdout=writer) as stuck:
        os.close(writer)
        eventually(lambda: 0 < stats(NAME)["leased"] < 10)
        stuck.signal(signum)
        assert stuck.end() == (code, b"", b"")
    with open(reader, "rb") as pipe:
        printed = [text[0] for text in pipe.read().decode().lstrip("y").splitlines()]
    back = [text[0] for text in texts.get_many(100, timeout=20.0)]
    assert printed
    assert back
    assert printed + back == list("0123456789")


def test_items_that_nobody_reads_stay_in_the_queue(texts: penstock.Queue) -> None:
    texts.put_many(list("abc"))
    reader, writer = os.pipe()
    os.close(reader)
    with Program((*PENSTOCK, "get", NAME, "--many"), stdout=writer) as unread:
        os.close(writer)
        assert unread.end() == (141, b"", b"")
    assert texts.get_many(10, timeout=0) == list("abc")


def test_json_is_one_value_per_line() -> None:
    values: list[Any] = ["two\nlines", 1, None, [True], {"a": 1.5}, b"\xff", float("inf"), {1, 2}.__class__]
    with penstock.Queue(NAME) as queue:
        queue.put_many(values)
    lines = run("get", NAME, "--many", "--timeout", "0", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines[:5]] == values[:5]
    assert json.loads(lines[5]) == {"base64": "/w=="}
    assert json.loads(lines[6]) == {"repr": "inf"}
    assert json.loads(lines[7]) == {"repr": "<class 'set'>"}


def test_items_do_not_steer_the_terminal(texts: penstock.Queue) -> None:
    texts.put_many(["\x1b[31mred\x07", "new\nline", "right\u202eleft"])
    with Terminal((*PENSTOCK, "get", NAME, "-n", "3")) as terminal:
        assert terminal.end() == 0
    assert terminal.screen == b"\\x1b[31mred\\x07\r\nnew\\nline\r\nright\\u202eleft\r\n"


def test_records_are_printed_and_not_read() -> None:
    numpy = pytest.importorskip("numpy")
    with penstock.Queue(NAME, item=[("x", "u4"), ("y", "f8")]) as queue:
        queue.put(numpy.array((1, 2.5), dtype=[("x", "u4"), ("y", "f8")])[()])
        done = run("put", NAME, stdin=b"1\n")
        assert done.returncode == 5
        one_line(done.stderr)
    assert run("peek", NAME, "--json").stdout == b"[1, 2.5]\n"
    assert run("get", NAME).stdout == b"(1, 2.5)\n"


def test_queue_in_a_file_of_one_s_own(tmp_path_on_shm: Path) -> None:
    file = tmp_path_on_shm / "own queue"
    assert run("put", str(file), stdin=b"x\n").returncode == 0
    assert run("peek", str(file)).stdout == b"x\n"
    assert run("get", str(file)).stdout == b"x\n"
    assert run("rm", "-y", str(file)).returncode == 0
    assert not file.exists()

"""The examples run, do what they say, are short, and use nothing but what a user may use."""

from __future__ import annotations

import ast
import re
from array import array
from typing import TYPE_CHECKING

import pytest

from cli_helpers import EXAMPLES, Program, example

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("directory")

FILES = sorted(EXAMPLES.rglob("*.py"))
IDS = [file.relative_to(EXAMPLES).as_posix() for file in FILES]
MOST_LINES = 60


def test_there_are_examples() -> None:
    pairs = {f"{folder}{side}.py" for folder in ("", "win32/", "guarded_file/") for side in ("producer", "consumer")}
    assert pairs < set(IDS)


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_example_is_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_example_uses_the_public_api_only(file: Path) -> None:
    text = file.read_text()
    imported = [
        name
        for node in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [f"{node.module}.{alias.name}" for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    of_ours = [name for name in imported if name.partition(".")[0] == "penstock"]
    assert of_ours == (["penstock.win32"] if file.parent.name == "win32" else ["penstock"])
    assert not re.search(r"\._[a-z]", text)


def output_of(name: str) -> list[str]:
    with Program(example(name)) as program:
        code, output, errors = program.end()
    assert (code, errors) == (0, b"")
    return output.decode().splitlines()


def test_camera_shows_every_frame_in_order() -> None:
    pytest.importorskip("numpy")
    assert output_of("camera") == [f"a frame of (480, 640, 3), brightness {shade}" for shade in range(25)]


def test_counter_misses_no_addition() -> None:
    assert output_of("counter") == ["30000 of 30000"]


def test_worker_repeats_what_a_dead_one_left_and_sets_the_impossible_aside() -> None:
    lines = output_of("worker")
    assert lines[0] == "done: first"
    assert lines.count("given back: this job cannot be done") == 3
    assert lines.count("killed in the middle of a job") == 1
    assert [line for line in lines if line.startswith("done")] == ["done: first", "done: deadly", "done: last"]
    assert lines[-1] == "dead letters: ['impossible']"


NUMBERS = [250, 40, *range(30, 0, -1), 0]


@pytest.mark.parametrize("folder", ["win32", "guarded_file"])
@pytest.mark.parametrize("first", ["producer", "consumer"])
def test_other_pairs_keep_the_lessons_contract(folder: str, first: str, tmp_path: Path) -> None:
    second = {"producer": "consumer", "consumer": "producer"}[first]
    with Program(example(f"{folder}/{first}"), cwd=tmp_path) as one:
        if first == "producer":
            one.write(b"250\n")  # it waits there, with what it has put
        with Program(example(f"{folder}/{second}"), cwd=tmp_path) as two:
            programs = {first: one, second: two}
            text = "".join(f"{number}\n" for number in NUMBERS[first == "producer" :])
            programs["producer"].write(text.encode())
            code, output, errors = programs["consumer"].end()
            assert (code, [int(line) for line in output.split()], errors) == (0, NUMBERS, b"")
            assert programs["producer"].end() == (0, b"", b"")


def test_guarded_file_is_whole_and_in_order_whoever_is_killed(tmp_path: Path) -> None:
    received: list[int] = []
    with Program(example("guarded_file/producer"), cwd=tmp_path) as producer:
        producer.write("".join(f"{number}\n" for number in range(1, 400)).encode())
        while not received or received[-1] < 20:
            with Program(example("guarded_file/consumer"), cwd=tmp_path) as consumer:
                received += [int(consumer.line()) for _ in range(4)]
                consumer.process.kill()
        producer.process.kill()
    left = array("I", (tmp_path / "numbers.bin").read_bytes())
    assert len(left) <= 10
    together = [*received, *left]
    assert together == sorted(set(together))
    assert together[-1] - len(together) <= 6, "each kill of a consumer may lose the number that it had just taken"

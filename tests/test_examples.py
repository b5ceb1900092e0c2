"""The examples run, do what they say, are short, and use nothing but what a user may use."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from cli_helpers import EXAMPLES, Program, example

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("directory")

FILES = sorted(EXAMPLES.glob("*.py"))
MOST_LINES = 60


def test_there_are_examples() -> None:
    assert {"producer.py", "consumer.py"} < {file.name for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_example_is_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
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
    assert "penstock" in imported
    assert not [name for name in imported if name.startswith("penstock.")]
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

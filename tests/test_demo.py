"""`penstock demo`: three processes that tell a story, and leave nothing."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest

from cli_helpers import PENSTOCK, Program, Terminal, one_line, run, stats
from penstock.cli.demo import Story

pytestmark = pytest.mark.usefixtures("directory")


def test_demo_shows_the_queue_filling_up_and_the_producer_waiting(directory: str) -> None:
    began = time.monotonic()
    done = run("demo")
    assert time.monotonic() - began < 10.0
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert re.search(r"producer +puts 300 .*\[#*\.+\] +\d+/10", text)
    assert re.search(r"producer +waits: the queue is full +\[##########\] 10/10", text)
    assert re.search(r"consumer +takes 0 and ends +\[\.{10}\] +0/10", text)
    assert "All 19 numbers arrived, in order" in text
    assert os.listdir(directory) == []


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_demo_takes_its_children_and_its_queue_along(signum: int, code: int, directory: str) -> None:
    with Program((*PENSTOCK, "demo")) as demo:
        while b"waits" not in (line := demo.line()):
            assert line
        (name,) = os.listdir(directory)
        pids = [one["pid"] for one in stats(name)["participants"] if not one["is_self"]]
        assert len(pids) == 3
        demo.signal(signum)
        assert demo.end()[::2] == (code, b"")
    assert os.listdir(directory) == []
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_ctrl_c_ends_the_demo_on_a_terminal(directory: str) -> None:
    with Terminal((*PENSTOCK, "demo")) as terminal:
        terminal.see("waits")
        terminal.type_keys("\x03")
        assert terminal.end() == 130
    assert b"Traceback" not in terminal.screen
    assert b"penstock: " not in terminal.screen
    assert os.listdir(directory) == []


def test_demo_says_so_when_one_of_its_programs_is_killed(directory: str) -> None:
    with Program((*PENSTOCK, "demo")) as demo:
        text = b"".join(demo.line() for _ in range(3)).decode()
        os.kill(int(re.findall(r"consumer \(pid (\d+)\)", text)[0]), signal.SIGKILL)
        code, _, errors = demo.end()
    assert code == 1
    assert "the demo failed" in one_line(errors)
    assert os.listdir(directory) == []


def test_story_is_told_in_an_order_that_can_have_happened() -> None:
    story = Story(capacity=2)
    assert list(story.consumer_took(7)) == []  # not before it is put
    assert [(step.what, step.depth) for step in story.producer_put(7)] == [
        ("puts 7", 1),
        ("takes 7 and sleeps 7 ms", 0),
    ]
    assert [step.depth for number in (8, 9) for step in story.producer_put(number)] == [1, 2]
    assert [step.what for step in story.producer_waits()] == ["waits: the queue is full"]
    assert list(story.producer_put(0)) == []  # not before there is room
    assert [(step.what, step.depth) for step in story.consumer_took(8)] == [
        ("takes 8 and sleeps 8 ms", 1),
        ("puts 0 and ends", 2),
    ]


def test_story_leaves_out_a_wait_that_is_over_when_it_is_reported() -> None:
    story = Story(capacity=1)
    list(story.producer_put(7))
    list(story.consumer_took(7))
    assert list(story.producer_waits()) == []

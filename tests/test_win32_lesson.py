"""The lesson in the lesson's own calls: our two programs, their twins in C under Wine, and deaths in between."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli_helpers import EXAMPLES, Program
from penstock.win32 import SYNCHRONIZE, WAIT_OBJECT_0
from win32_worlds import INFINITE, TESTS, World, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

COMPILER = "x86_64-w64-mingw32-gcc"
NUMBERS = [250, 40, *range(1, 30), 0]
INPUT = "".join(f"{number}\n" for number in NUMBERS).encode()


@pytest.fixture(scope="module", params=["here", "kernel32"])
def everywhere(request: pytest.FixtureRequest) -> Iterator[World]:
    reason = why_not(request.param)
    if reason is not None:
        pytest.skip(reason)
    with World(request.param) as world:
        yield world


@pytest.fixture
def world(everywhere: World) -> Iterator[World]:
    yield everywhere
    everywhere.tidy()


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the C programs, and return where they are."""
    if shutil.which(COMPILER) is None:
        pytest.skip(f"{COMPILER} is not installed")
    built = tmp_path_factory.mktemp("twins")
    for name in ("producer", "consumer"):
        source, target = TESTS / "win32" / f"{name}.c", built / f"{name}.exe"
        subprocess.run([COMPILER, "-O2", "-Wall", "-Werror", "-s", "-o", target, source], check=True, timeout=120)
    return built


def python_program(world: World, name: str) -> Program:
    """Start a program of ours in a world."""
    return Program(
        [*world.python(), "-X", "utf8", "-u", str(EXAMPLES / "win32" / f"{name}.py")], env=world.environment()
    )


def c_program(world: World, twins: Path, name: str) -> Program:
    """Start a program in C, under Wine."""
    return Program(["wine", str(twins / f"{name}.exe")], env=world.environment())


def numbers_of(output: bytes) -> list[int]:
    return [int(line) for line in output.split()]


def check_that_all_arrive(producer: Program, consumer: Program) -> None:
    """Send the numbers through, and insist on them."""
    producer.write(INPUT)
    code, output, errors = consumer.end()
    assert (code, numbers_of(output), errors) == (0, NUMBERS, b"")
    assert producer.end()[0] == 0


def test_producer_feeds_consumer(world: World) -> None:
    with python_program(world, "producer") as producer, python_program(world, "consumer") as consumer:
        check_that_all_arrive(producer, consumer)


def test_python_producer_feeds_c_consumer(world: World, twins: Path) -> None:
    if world.name == "here":
        pytest.skip("C programs for Windows share objects with Python under Wine alone")
    with python_program(world, "producer") as producer, c_program(world, twins, "consumer") as consumer:
        check_that_all_arrive(producer, consumer)


def test_c_producer_feeds_python_consumer(world: World, twins: Path) -> None:
    if world.name == "here":
        pytest.skip("C programs for Windows share objects with Python under Wine alone")
    with c_program(world, twins, "producer") as producer, python_program(world, "consumer") as consumer:
        check_that_all_arrive(producer, consumer)


def test_producer_waits_while_all_ten_are_taken(world: World) -> None:
    watcher = world.process()
    to_write = watcher.CreateSemaphore(None, 10, 10, "lesson.write").result
    with python_program(world, "producer") as producer:
        producer.write(b"".join(b"%d\n" % number for number in range(1, 12)))
        to_read = watcher.CreateSemaphore(None, 0, 10, "lesson.read").result
        for _ in range(10):
            assert watcher.WaitForSingleObject(to_read, INFINITE).result == WAIT_OBJECT_0
        assert watcher.WaitForSingleObject(to_read, 200).result != WAIT_OBJECT_0
        assert watcher.ReleaseSemaphore(to_write, 1).previous == 0
        assert watcher.WaitForSingleObject(to_read, INFINITE).result == WAIT_OBJECT_0
        producer.process.kill()


@pytest.mark.parametrize("language", ["python", "c"])
def test_consumer_goes_on_when_the_mutex_was_abandoned(
    world: World, request: pytest.FixtureRequest, language: str
) -> None:
    if language == "c" and world.name == "here":
        pytest.skip("C programs for Windows share objects with Python under Wine alone")
    victim, witness = world.process(), world.process()
    assert victim.CreateMutex(None, True, "lesson.mutex").result
    to_read = witness.CreateSemaphore(None, 0, 10, "lesson.read").result
    assert witness.OpenMutex(SYNCHRONIZE, False, "lesson.mutex").result
    program = (
        python_program(world, "consumer")
        if language == "python"
        else c_program(world, request.getfixturevalue("twins"), "consumer")
    )
    with program as consumer:
        assert witness.ReleaseSemaphore(to_read, 1).previous == 0  # a number, 0, that is guarded by the victim
        victim.kill()
        code, output, errors = consumer.end()
        assert (code, numbers_of(output)) == (0, [0])
        assert errors.decode().strip() == "the other program died with the mutex in hand"


@pytest.mark.parametrize("victim", ["producer", "consumer"])
def test_after_a_kill_a_new_pair_begins_anew(world: World, victim: str) -> None:
    with python_program(world, "producer") as producer, python_program(world, "consumer") as consumer:
        producer.write(b"7\n100000\n5\n6\n")
        assert [consumer.line().strip(), consumer.line().strip()] == [b"7", b"100000"]  # it sleeps
        killed = {"producer": producer, "consumer": consumer}
        killed.pop(victim).process.kill()
        for other in killed.values():
            other.process.kill()
    watcher = world.process()
    while (left := watcher.OpenSemaphore(SYNCHRONIZE, False, "lesson.read")).result:
        watcher.CloseHandle(left.result)  # what the kills left is going
    with python_program(world, "producer") as producer, python_program(world, "consumer") as consumer:
        check_that_all_arrive(producer, consumer)


def test_input_that_is_no_number_is_told_and_passed_over(world: World) -> None:
    with python_program(world, "producer") as producer, python_program(world, "consumer") as consumer:
        producer.write(b"1\nx\n-1\n4294967296\n0\n")
        assert numbers_of(consumer.end()[1]) == [1, 0]
        code, _, errors = producer.end()
        assert code == 1
        assert [line.split(b":")[0] for line in errors.splitlines()] == [b"line 2", b"line 3", b"line 4"]


def test_nothing_is_left_of_the_objects(directory: str) -> None:
    with World("here") as world, python_program(world, "consumer") as consumer:
        producer = python_program(world, "producer")
        with producer:
            check_that_all_arrive(producer, consumer)
    assert os.listdir(directory) == []

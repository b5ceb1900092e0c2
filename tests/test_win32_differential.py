"""`penstock.win32` against Wine's kernel32: the same calls, chosen at random, give the same answers, one by one.

Two processes with two threads each make them; now and then one of the processes is killed and another takes its place.
What is chosen, and where Wine differs from Windows, is in `win32_script`; the seeds are fixed, so that a test fails for
everybody or for nobody, and a failure shows the calls up to it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from win32_script import Player, script
from win32_worlds import PATIENCE_SECONDS, World, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)

SEEDS = range(12)
STEPS = 120


@pytest.fixture(scope="module")
def worlds() -> Iterator[tuple[World, World]]:
    reason = why_not("kernel32")
    if reason is not None:
        pytest.skip(reason)
    with World("here") as ours, World("kernel32") as theirs:
        yield ours, theirs


@pytest.mark.parametrize("seed", SEEDS)
def test_random_calls_are_answered_alike(worlds: tuple[World, World], seed: int) -> None:
    players = [Player(world, f"differential-{seed}") for world in worlds]
    transcript = []
    for step in script(seed, STEPS):
        answers = [player.play(step) for player in players]
        transcript.append(f"{step} -> {answers[0]}")
        assert answers[0] == answers[1], "\n".join(transcript)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while players[0].gone_on() != players[1].gone_on():
            assert time.monotonic() < deadline, (*transcript, [player.gone_on() for player in players])
            time.sleep(0.005)
    for world in worlds:
        world.tidy()


def test_scripts_reach_what_they_are_to_compare() -> None:
    calls = [step.call for seed in SEEDS for step in script(seed, STEPS)]
    wanted = """CreateMutex OpenMutex ReleaseMutex CreateSemaphore OpenSemaphore ReleaseSemaphore CreateEvent OpenEvent
        SetEvent ResetEvent WaitForSingleObject WaitForMultipleObjects CreateFileMapping OpenFileMapping MapViewOfFile
        UnmapViewOfFile FlushViewOfFile CloseHandle kill poke peek block"""
    assert set(wanted.split()) <= set(calls)

"""Private objects: nobody could remove a name that was made up, so they must go by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from helpers import PATIENCE_SECONDS

MAKE_AND_DIE = "import os, penstock; q = penstock.Queue(); os.kill(os.getpid(), 9)"
MAKE_AND_END = "import penstock; q = penstock.Queue()"


def run(script: str) -> int:
    return subprocess.run([sys.executable, "-c", script], timeout=PATIENCE_SECONDS, check=False).returncode


def test_private_queue_of_the_killed_is_gone_once_another_private_one_is_made(directory: str) -> None:
    assert run(MAKE_AND_DIE) == (9 if sys.platform == "win32" else -signal.SIGKILL)
    assert len(os.listdir(directory)) == 1, "nobody was left to remove it"
    assert run(MAKE_AND_END) == 0
    assert os.listdir(directory) == []


def test_private_queue_of_the_living_is_not_swept_away(directory: str) -> None:
    script = (
        "import sys, penstock\n"
        "q = penstock.Queue(item=str); print(q.path, flush=True)\n"
        "sys.stdin.readline(); q.put('still here'); print(q.get())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as living:
        assert living.stdin is not None
        assert living.stdout is not None
        path = living.stdout.readline().strip()
        assert run(MAKE_AND_END) == 0
        assert os.path.exists(path)
        out, _ = living.communicate("\n", timeout=PATIENCE_SECONDS)
    assert out == "still here\n"

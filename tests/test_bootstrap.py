"""A missing tool is said in one plain sentence with its remedy, before anything is made."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
# What tools/bootstrap.sh itself is written with; the tools it looks for are added by each test.
UNIX = ["sh", "env", "sed", "awk", "grep", "cat", "dirname", "mktemp", "rm", "cksum"]
# Stand-ins for the tools it looks for. Each is the body of a shell script.
FIT = {
    "cargo": "echo cargo 1.95.0",
    "rustc": "echo 'rustc 1.95.0 (59807616e 2026-04-14)'",
    "cc": "cat >/dev/null",
    "python3": 'case "$*" in *platform*) echo CPython 3.11.2 ;; esac',
}

Bootstrap = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bootstrap(tmp_path: Path) -> Bootstrap:
    """Run the script in a bare checkout where only the given tools exist; None takes one away."""
    for part in ["tools/bootstrap.sh", "Cargo.toml", "pyproject.toml", "requirements/dev.txt"]:
        (tmp_path / part).parent.mkdir(exist_ok=True)
        shutil.copy(CHECKOUT / part, tmp_path / part)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for tool in UNIX:
        (bin_ / tool).symlink_to(shutil.which(tool) or pytest.skip(f"{tool} is missing here"))

    def run(python: str = "", **changed: str | None) -> subprocess.CompletedProcess[str]:
        for tool, body in {**FIT, **changed}.items():
            if body is not None:
                (bin_ / tool).write_text(f"#!/bin/sh\n{body}\n")
                (bin_ / tool).chmod(0o755)
        env = {"PATH": str(bin_), "TMPDIR": str(tmp_path), "PYTHON": python}
        return subprocess.run(["tools/bootstrap.sh"], cwd=tmp_path, env=env, capture_output=True, text=True)

    return run


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"cargo": None}, ["cargo", "not found", "install Rust"]),
        ({"rustc": None}, ["rustc does not run", "install Rust"]),
        ({"rustc": "echo rustc 1.63.0"}, ["this is 1.63.0", "install a newer one"]),
        ({"rustc": "echo rustc 1.63.0", "rustup": ""}, ["this is 1.63.0", "'rustup update stable'"]),
        ({"rustc": "exit 1", "rustup": ""}, ["no working toolchain", "'rustup default stable'"]),
        ({"cc": None}, ["no 'cc'", "install"]),
        ({"cc": "exit 1"}, ["cannot link", "libc6-dev"]),
        ({"python3": None}, ["there is no python3", "install"]),
        ({"python3": "echo CPython 3.9.18"}, ["python3 is 3.9.18", "PYTHON="]),
        ({"python3": "echo PyPy 3.11.4"}, ["needs CPython", "PYTHON="]),
        ({"python3": 'case "$*" in *platform*) echo CPython 3.11.2 ;; *) exit 1 ;; esac'}, ["venv", "python3-venv"]),
        ({"python": "/nowhere/python3"}, ["PYTHON=/nowhere/python3", "3.11 or newer"]),
    ],
    ids=lambda value: None if isinstance(value, list) else " ".join(f"{k}={v}" for k, v in value.items()),
)
def test_missing_tool_is_said_in_one_sentence_with_its_remedy(
    bootstrap: Bootstrap, tmp_path: Path, changed: dict[str, str | None], said: list[str]
) -> None:
    done = bootstrap(**changed)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for words in ["penstock ", *said]:
        assert words in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_newer_python_is_found_when_python3_is_too_old(bootstrap: Bootstrap) -> None:
    fit = 'case "$*" in *platform*) echo CPython 3.13.0 ;; *"-m venv"*) echo made a venv; exit 1 ;; esac'
    done = bootstrap(**{"python3": "echo CPython 3.9.18", "python3.13": fit})
    assert "with Python 3.13.0" in done.stdout
    assert "made a venv" in done.stdout

"""The command `penstock`: dispatch, and what becomes of an error. One file per command beside this one.

Nothing is imported here before `main` has seen to it that Ctrl-C is quiet from then on.
"""

from __future__ import annotations

# The module signal costs an import of enum first; the built-in one behind it is always there.
import _signal  # type: ignore[import-not-found]
import os
import sys

TYPE_CHECKING = False  # the module typing takes longer to import than all that happens here
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["main", "producer", "consumer"]


def main() -> NoReturn:
    """Run the command line in `sys.argv` and exit with its code (docs/cli.md)."""
    _run_and_exit([])


def producer() -> NoReturn:
    """Be the program `penstock-producer`: `penstock producer` under the lesson's name."""
    _run_and_exit(["producer"])


def consumer() -> NoReturn:
    """Be the program `penstock-consumer`: `penstock consumer` under the lesson's name."""
    _run_and_exit(["consumer"])


def _run_and_exit(command: list[str]) -> NoReturn:
    exit_at_once_on_ctrl_c()
    from penstock.cli._run import run

    code = run([*command, *sys.argv[1:]])
    # The work is done and its code known: a late Ctrl-C must not turn the interpreter's own end into a traceback.
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    sys.exit(code)


def exit_at_once_on_ctrl_c() -> None:
    """Make Ctrl-C end the process quietly with 130, until a command that has something to lose takes over."""
    if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, lambda *_: os._exit(130))

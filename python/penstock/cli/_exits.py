"""What a command's end means to the shell: one exit code per remedy, and one line that says what happened.

docs/cli.md has this table for people; a test compares the two.
"""

from __future__ import annotations

import enum

import penstock
from penstock.cli._stop import Stopped


class Exit(enum.IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1  # some lines were bad, or something went wrong that has no code of its own
    USAGE = 2  # the command line cannot be meant
    NOT_NOW = 3  # empty or full for as long as --timeout allowed
    NOT_FOUND = 4  # no such name, or it was removed meanwhile
    DIFFERENT = 5  # what is there is of another kind, has other parameters, or is not penstock's
    SHUT_DOWN = 6  # the queue was shut down
    UNTRUSTED = 7  # it belongs to somebody else, or others may write there
    CORRUPTED = 8  # its bytes cannot be
    SYSTEM = 9  # the machine said no: no room, no support, too many processes
    BROKEN_PIPE = 128 + 13  # as if by SIGPIPE, which Windows lacks: nobody reads the output any more


def of_signal(signum: int) -> int:
    """Return the exit code of a command that a signal ended: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + signum


class OutputClosed(Exception):
    """Say that nobody reads standard output any more."""


_EXITS: tuple[tuple[tuple[type[BaseException], ...], Exit], ...] = (
    ((penstock.Empty, penstock.Full), Exit.NOT_NOW),
    ((penstock.ShutDown,), Exit.SHUT_DOWN),
    ((penstock.BadName,), Exit.USAGE),
    ((penstock.NotFound, penstock.Removed), Exit.NOT_FOUND),
    ((penstock.Mismatch, penstock.Exists, penstock.Foreign, penstock.NewerVersion), Exit.DIFFERENT),
    ((penstock.Untrusted,), Exit.UNTRUSTED),
    ((penstock.Corrupted, penstock.DecodeError), Exit.CORRUPTED),
    ((penstock.NoSpace, penstock.Unsupported, penstock.TooManyProcesses, penstock.SystemFailed), Exit.SYSTEM),
    ((penstock.PenstockError,), Exit.FAILED),
    ((OutputClosed, BrokenPipeError), Exit.BROKEN_PIPE),
    ((OSError, MemoryError), Exit.SYSTEM),
)

_SILENT = {Exit.BROKEN_PIPE}


def code_of(error: BaseException) -> int | None:
    """Return the exit code for an error; None if it is none of ours, and so a bug that deserves its traceback."""
    if isinstance(error, Stopped):
        return of_signal(error.signum)
    for classes, code in _EXITS:
        if isinstance(error, classes):
            return code
    return None


def message_of(error: BaseException) -> str | None:
    """Return the one line that tells a person of an error; None if it speaks for itself (Ctrl-C, a closed pipe)."""
    if isinstance(error, Stopped) or code_of(error) in _SILENT:
        return None
    if isinstance(error, OSError) and error.strerror is not None:  # str() would put "[Errno 28]" before it
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__

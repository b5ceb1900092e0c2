"""Children that do not outlive who started them: a benchmark that is killed leaves nothing running."""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1
# Looked up beforehand: between a fork and an exec is no time for it.
_prctl = ctypes.CDLL(None).prctl


def die_with_parent() -> None:
    """Have the system kill this process when the one that forked it is gone, wherever it waits then."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

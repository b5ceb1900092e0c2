"""How the insides say that a call fails: with the code that `GetLastError` is to return."""

from __future__ import annotations


class Failure(Exception):
    """Carry the error code of a call that fails. Nothing has changed.

    Args:
        code: One of ERROR_*.
    """

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

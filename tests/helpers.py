"""What tests run in children, and small things that several test files share. Children import this file by its name."""

from __future__ import annotations

import os
from typing import Any

import penstock
from penstock import testing

PATIENCE_SECONDS = 20.0
"""How long a test waits for what must come; never waited to the end when all is well."""


def put_all(name: str, items: list[Any]) -> None:
    """Put items one by one, in a child."""
    with penstock.Queue(name) as q:
        for item in items:
            q.put(item, timeout=PATIENCE_SECONDS)


def get_some(name: str, count: int) -> list[Any]:
    """Get so many items one by one, in a child."""
    with penstock.Queue(name) as q:
        return [q.get(timeout=PATIENCE_SECONDS) for _ in range(count)]


def use_handle(handle: Any) -> dict[str, Any]:
    """Say what a handle that arrived in a child by a pickle is."""
    return {"type": type(handle).__name__, "name": handle.name, "path": handle.path, "pid": os.getpid()}


def say_hello_and_wait(greeting: str) -> Any:
    """Send the parent a greeting, and return what it answers."""
    testing.send(greeting)
    return testing.receive(PATIENCE_SECONDS)

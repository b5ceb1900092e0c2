"""What several commands share: their arguments and options, opening a queue, and waiting without losing an item."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

import penstock
from penstock.cli import _directory
from penstock.cli._streams import say
from penstock.cli._text import escape

if TYPE_CHECKING:
    from penstock.cli._stop import Stop

F = TypeVar("F", bound=Callable[..., Any])

# How often to look whether a queue has appeared that somebody else is going to create.
_APPEARANCE_POLL_SECONDS = 0.05


def _complete_name(_ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    return [CompletionItem(entry["name"]) for entry in _directory.listing() if entry["name"].startswith(begun)]


def _refuse_nan(_ctx: click.Context, _param: click.Parameter, seconds: float | None) -> float | None:
    if seconds is None or seconds == math.inf:
        return None
    if not seconds >= 0:
        raise click.BadParameter("it must be a number of seconds, at least 0")
    return seconds


name_argument = click.argument("name", shell_complete=_complete_name)
lesson_name_argument = click.argument("name", default="numbers", shell_complete=_complete_name)
names_argument = click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=_complete_name)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")
trust_option = click.option("--trust", is_flag=True, help="Use it although others may write there.")
capacity_option = click.option(
    "--capacity",
    type=click.IntRange(min=1),
    metavar="N",
    help="Items the queue holds, if this creates it (default 10); if it exists, it must hold as many.",
)
timeout_option = click.option(
    "--timeout",
    type=float,
    callback=_refuse_nan,
    metavar="SECONDS",
    help="Wait this long at most, then exit with 3; 0 does not wait. Without it: for ever.",
)


class Deadline:
    """A moment after which there is no more waiting; `None` seconds is never."""

    def __init__(self, seconds: float | None) -> None:
        self._at = None if seconds is None else time.monotonic() + seconds

    def left_seconds(self) -> float | None:
        """Return how long is left, at least 0; None means for ever."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())

    def is_over(self) -> bool:
        """Return whether the moment has passed."""
        return self._at is not None and time.monotonic() >= self._at


def open_or_create(stop: Stop, name: str, **parameters: Any) -> penstock.Queue:
    """Open a queue, or create it, with the parameters that are not None.

    Raises:
        click.BadParameter: A parameter cannot be (an item kind that does not exist, a capacity that is too large).
        PenstockError: What `Queue` raises.
    """
    given = {key: value for key, value in parameters.items() if value is not None}
    with stop.allowed():
        try:
            return penstock.Queue(name, **given)
        except penstock.PenstockError:
            raise
        except (ValueError, TypeError, OverflowError) as err:
            raise click.BadParameter(str(err)) from err


def open_when_there(stop: Stop, name: str, deadline: Deadline, *, trust: bool = False) -> penstock.Queue:
    """Open a queue, waiting for somebody to create it; a person is told of the wait.

    Raises:
        NotFound: Nobody did in time.
        Stopped: A signal came first.
    """
    is_told = False
    while True:
        try:
            with stop.allowed():
                return penstock.Queue.open(name, trust=trust)
        except penstock.NotFound:
            if deadline.is_over():
                raise
        if not is_told:
            say(f"there is no queue {escape(name)!r} yet; waiting for it")
            is_told = True
        left_seconds = deadline.left_seconds()
        stop.wait(_APPEARANCE_POLL_SECONDS if left_seconds is None else min(left_seconds, _APPEARANCE_POLL_SECONDS))


def take(stop: Stop, queue: penstock.Queue, deadline: Deadline) -> penstock.Lease:
    """Wait for the next item and take it on lease: from then on no signal can come between it and its fate.

    Raises:
        Empty: None came in time.
        Stopped: A signal came first; nothing was taken.
        ShutDown: The queue is empty and was shut down.
    """
    while True:
        stop.check()
        try:
            return queue.lease(block=False)
        except penstock.Empty:
            if deadline.is_over():
                raise
        with stop.allowed():
            queue.wait_get(deadline.left_seconds())

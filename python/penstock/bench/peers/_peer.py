"""What an adaptor is: a queue of somebody's, made for one piece of work, with an end for each process."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work


class CannotDo(Exception):
    """A peer has nothing for a work. The message is the reason, as the table gives it."""


@dataclass
class Sender:
    """A producer's end. What a peer does not have is None."""

    put: Callable[[Any], Any]
    put_many: Callable[[Sequence[Any]], Any] | None = None
    put_array: Callable[[Any], Any] | None = None
    write: Callable[[Callable[[memoryview], Any]], Any] | None = None
    """Lends the memory that the next item will travel in to a function, then sends it."""


@dataclass
class Receiver:
    """A consumer's end. What a peer does not have is None."""

    get: Callable[[], Any]
    get_many: Callable[[int], Sequence[Any]] | None = None
    get_array: Callable[[int], Any] | None = None
    read: Callable[[Callable[[memoryview], int]], int] | None = None
    """Lends the memory that the next item lies in to a function, and returns what that returns."""
    lease: Callable[[], Any] | None = None
    """Takes an item that would come back if this process died now, acknowledges it, and returns it."""


class Peer:
    """A queue to measure.

    It is made in a process of its own, which then forks the producers and the consumers; each of them asks for its
    end, and opens whatever has to be opened by itself.
    """

    name: ClassVar[str]
    module: ClassVar[str] = ""
    """What has to be importable for it."""
    package: ClassVar[str] = ""
    """Its name on the package index, where it is not the standard library's."""
    says: ClassVar[str]
    """How it was set up, and by whose advice: for the page."""
    most_producers: ClassVar[int] = 16
    most_consumers: ClassVar[int] = 16
    one_reason: ClassVar[str] = "one producer and one consumer only"
    is_threads: ClassVar[bool] = False
    """Whether it passes items between threads of one process."""
    is_in_kernel: ClassVar[bool] = False
    """Whether what waits is in the kernel, where its size cannot be seen from here."""

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        self.work = work
        self.item = item
        self.place = place

    @classmethod
    def missing(cls) -> str | None:
        """Return why it cannot be measured here; None if it can."""
        if cls.module and find_spec(cls.module) is None:
            return f"{cls.package} is not installed"
        return None

    @classmethod
    def check(cls, work: Work) -> None:
        """Look whether it can do a work at all, before anything is made.

        Raises:
            CannotDo: It cannot.
        """
        if work.producers > cls.most_producers or work.consumers > cls.most_consumers:
            raise CannotDo(cls.one_reason)

    def sender(self) -> Sender:
        """Return a producer's end; called in its process."""
        raise NotImplementedError

    def receiver(self) -> Receiver:
        """Return a consumer's end; called in its process."""
        raise NotImplementedError

    @classmethod
    def import_statement(cls) -> str | None:
        """Return the statement that a program begins with; None if there is nothing to import but Python's own."""
        return f"import {cls.module}" if cls.module else None

    def empty_call(self) -> Callable[[], Any]:
        """Return a method of the queue's own class that does nothing."""
        raise CannotDo("has no method that does nothing")

    def alone(self, _name: str) -> Callable[[float], float] | None:
        """Return what measures a work in a way of its own for so many seconds; None for the usual one."""
        return None

    def opened(self) -> Callable[[], Any]:
        """Open the queue once more, as another program would; return what closes it again."""
        raise CannotDo("has no name to open it by")

    def nbytes(self) -> int | None:
        """Return the memory that the queue takes, where it can be asked; None: what this process has grown by."""
        return None

    def servers(self) -> list[int]:
        """Return the ids of the processes that work for it, whose time counts too."""
        return []

    def close(self) -> None:
        """Remove it, when all is over."""

"""The mutex under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock import _core, _handle
from penstock._name import locate

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import Self


class Mutex(_core.Mutex):
    """Let one thread at a time, of all processes, go on: a recursive lock under a name that outlives its owner.

    Like `threading.RLock` and a Win32 mutex: the thread that holds it may acquire it again, and releases it as often.
    When its owner's process dies, the next one to acquire it gets it and is told so, once, by `abandoned`: what the
    mutex protects may be half done. When only the owner's *thread* ends, the mutex stays held.

    A `with` block holds the mutex; the handle stays open. Handles pickle as a name; `copy.copy` makes a second handle.

    Args:
        name: A name in `directory`. None makes a private mutex, which others reach by a pickle or by fork and which
            is gone when its last user is.
        lifetime: "until_unlinked" or "while_open"; see `Queue`. None: what the existing one has; "until_unlinked"
            when creating under a name.
        trust: Whether to use a mutex of another user, or one that others may write.
        directory: The directory of names. None: `$PENSTOCK_DIR`, else a private directory of this user in /dev/shm.

    Raises:
        Mismatch: Something else exists under the name, or one with another lifetime. Nothing changed.
        PenstockError: As for `Queue`.

    If killed: the mutex passes to the next who waits, with `abandoned` set.

    Example:
        >>> import penstock
        >>> mutex = penstock.Mutex("example")
        >>> with mutex:
        ...     mutex.is_owned
        True
        >>> mutex.unlink()
    """

    __module__ = "penstock"
    __slots__ = ("__weakref__",)

    def __new__(
        cls,
        name: str | None = None,
        *,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open the mutex, or create it if there is none under the name."""
        return cls._attach("create" if name is None else "open_or_create", name, directory, lifetime, trust)

    @classmethod
    def create(
        cls,
        name: str,
        *,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Create a mutex, held by nobody, and insist that it is new.

        Args:
            name: A name in `directory`.
            lifetime: See `Mutex`.
            trust: See `Mutex`.
            directory: See `Mutex`.

        Raises:
            Exists: The name is taken. What is there is unchanged.
            PenstockError: As for `Mutex`.

        If killed: the mutex is not there at all, or complete.
        """
        return cls._attach("create", name, directory, lifetime, trust)

    @classmethod
    def open(
        cls,
        name: str,
        *,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open a mutex, and insist that it is there.

        Args:
            name: A name in `directory`.
            lifetime: See `Mutex`; compared with what is there if given.
            trust: See `Mutex`.
            directory: See `Mutex`.

        Raises:
            NotFound: There is nothing under the name. Nothing was created.
            PenstockError: As for `Mutex`.

        If killed: peers see nothing of it.
        """
        return cls._attach("open", name, directory, lifetime, trust)

    @classmethod
    def _attach(
        cls,
        how: str,
        name: str | None,
        directory: str | os.PathLike[str] | None,
        lifetime: str | None,
        trust: bool,
    ) -> Self:
        """Check what can be checked here, and hand the rest to the native class."""
        where = locate(name, directory, files=False)
        return _handle.attached(
            _core.Mutex.__new__(cls, how, where.directory, where.name, _handle.check_lifetime(lifetime), bool(trust))
        )

    def __enter__(self) -> Self:
        """Acquire the mutex, waiting for ever; `abandoned` tells whether it came from a dead owner."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return _handle.describe(self, self._facts)

    def _facts(self) -> str:
        """Say how things stand, for the repr."""
        if self.is_owned:
            return "held by this thread"
        return "held" if self.locked() else "free"

    def __reduce__(self) -> tuple[Any, ...]:
        return _handle.reduce(self, _reopen)


def _reopen(cls: type[Mutex], directory: str, name: str, _path: str | None, trust: bool) -> Mutex:
    """Open what a pickled handle named."""
    return _handle.attached(_core.Mutex.__new__(cls, "open", directory, name, None, trust))

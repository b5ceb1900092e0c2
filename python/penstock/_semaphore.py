"""The semaphore under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock import _core, _handle
from penstock._name import locate

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import Self

MOST = 2**31 - 1


class Semaphore(_core.Semaphore):
    """Count, across processes: `acquire` takes one and waits while there is none, `release` gives some back.

    Like `threading.Semaphore` and a Win32 semaphore, with a maximum as the latter: nobody owns what was taken, so what
    a killed process had taken stays taken. Where it must come back, use a `Mutex`, or a `Queue` of permits with
    leases.

    A `with` block holds one; the handle stays open. Handles pickle as a name; `copy.copy` makes a second handle.

    Args:
        name: A name in `directory`. None makes a private semaphore, which others reach by a pickle or by fork and
            which is gone when its last user is.
        value: The count that a new semaphore begins with, 0 to `maximum`. An existing one keeps its count.
        maximum: Highest count, at least 1. None: what the existing one has; when creating 2147483647, no limit in
            practice.
        lifetime: "until_unlinked" or "while_open"; see `Queue`. None: what the existing one has; "until_unlinked"
            when creating under a name.
        trust: Whether to use a semaphore of another user, or one that others may write.
        directory: The directory of names. None: `$PENSTOCK_DIR`, else a private directory of this user in /dev/shm.

    Raises:
        Mismatch: Something else exists under the name, or one with another maximum or lifetime. Nothing changed.
        ValueError: value is negative or above maximum. Nothing was created.
        PenstockError: As for `Queue`.

    If killed: what this process took stays taken, what it gave back stays given.

    Example:
        >>> import penstock
        >>> permits = penstock.Semaphore("example", value=2, maximum=2)
        >>> with permits:
        ...     permits.get_value()
        1
        >>> permits.unlink()
    """

    __module__ = "penstock"
    __slots__ = ("__weakref__",)

    def __new__(
        cls,
        name: str | None = None,
        *,
        value: int = 1,
        maximum: int | None = None,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open the semaphore, or create it if there is none under the name."""
        how = "create" if name is None else "open_or_create"
        return cls._attach(how, name, directory, value, maximum, lifetime, trust)

    @classmethod
    def create(
        cls,
        name: str,
        *,
        value: int = 1,
        maximum: int | None = None,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Create a semaphore, and insist that it is new.

        Args:
            name: A name in `directory`.
            value: See `Semaphore`.
            maximum: See `Semaphore`.
            lifetime: See `Semaphore`.
            trust: See `Semaphore`.
            directory: See `Semaphore`.

        Raises:
            Exists: The name is taken. What is there is unchanged.
            PenstockError: As for `Semaphore`.

        If killed: the semaphore is not there at all, or complete.
        """
        return cls._attach("create", name, directory, value, maximum, lifetime, trust)

    @classmethod
    def open(
        cls,
        name: str,
        *,
        maximum: int | None = None,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open a semaphore, and insist that it is there.

        Args:
            name: A name in `directory`.
            maximum: See `Semaphore`; compared with what is there if given.
            lifetime: See `Semaphore`; compared with what is there if given.
            trust: See `Semaphore`.
            directory: See `Semaphore`.

        Raises:
            NotFound: There is nothing under the name. Nothing was created.
            PenstockError: As for `Semaphore`.

        If killed: peers see nothing of it.
        """
        return cls._attach("open", name, directory, None, maximum, lifetime, trust)

    @classmethod
    def _attach(
        cls,
        how: str,
        name: str | None,
        directory: str | os.PathLike[str] | None,
        value: int | None,
        maximum: int | None,
        lifetime: str | None,
        trust: bool,
    ) -> Self:
        """Check what can be checked here, and hand the rest to the native class."""
        where = locate(name, directory, files=False)
        highest = _handle.check_count("maximum", maximum, 1, MOST)
        return _handle.attached(
            _core.Semaphore.__new__(
                cls,
                how,
                where.directory,
                where.name,
                _handle.check_lifetime(lifetime),
                bool(trust),
                _handle.check_count("value", value, 0, MOST if highest is None else highest),
                highest,
            )
        )

    def __enter__(self) -> Self:
        """Take one, waiting for ever."""
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
        return f"{self.get_value()} of {self.maximum}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _handle.reduce(self, _reopen)


def _reopen(cls: type[Semaphore], directory: str, name: str, _path: str | None, trust: bool) -> Semaphore:
    """Open what a pickled handle named."""
    return _handle.attached(_core.Semaphore.__new__(cls, "open", directory, name, None, trust, None, None))

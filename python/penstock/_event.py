"""The event under a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock import _core, _handle
from penstock._name import locate

if TYPE_CHECKING:
    import os
    from types import TracebackType
    from typing import Self


class Event(_core.Event):
    """Tell other processes that something has happened: a flag under a name, to set and to wait for.

    Like `threading.Event`; with `auto_reset` like a Win32 event that resets itself: one waiter goes on for each `set`.

    A `with` block closes the handle at its end. Handles pickle as a name; `copy.copy` makes a second handle.

    Args:
        name: A name in `directory`. None makes a private event, which others reach by a pickle or by fork and which
            is gone when its last user is.
        auto_reset: True: a wait that succeeds clears the event, so that each `set` lets one waiter go on. False: it
            stays set until `clear`, and all go on. None: what the existing one has; False when creating.
        lifetime: "until_unlinked" or "while_open"; see `Queue`. None: what the existing one has; "until_unlinked"
            when creating under a name.
        trust: Whether to use an event of another user, or one that others may write.
        directory: The directory of names. None: `$PENSTOCK_DIR`, else a private directory of this user in /dev/shm.

    Raises:
        Mismatch: Something else exists under the name, or one of the other sort. Nothing changed.
        PenstockError: As for `Queue`.

    If killed: the event stays as it is. With auto_reset, one that was killed as its wait succeeded may have used up
    the `set`.

    Example:
        >>> import penstock
        >>> with penstock.Event("example") as ready:
        ...     ready.set()
        ...     ready.wait(timeout=1.0)
        ...     ready.unlink()
        True
    """

    __module__ = "penstock"
    __slots__ = ("__weakref__",)

    def __new__(
        cls,
        name: str | None = None,
        *,
        auto_reset: bool | None = None,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open the event, or create it if there is none under the name."""
        how = "create" if name is None else "open_or_create"
        return cls._attach(how, name, directory, auto_reset, lifetime, trust)

    @classmethod
    def create(
        cls,
        name: str,
        *,
        auto_reset: bool | None = None,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Create an event, not set, and insist that it is new.

        Args:
            name: A name in `directory`.
            auto_reset: See `Event`.
            lifetime: See `Event`.
            trust: See `Event`.
            directory: See `Event`.

        Raises:
            Exists: The name is taken. What is there is unchanged.
            PenstockError: As for `Event`.

        If killed: the event is not there at all, or complete.
        """
        return cls._attach("create", name, directory, auto_reset, lifetime, trust)

    @classmethod
    def open(
        cls,
        name: str,
        *,
        auto_reset: bool | None = None,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open an event, and insist that it is there.

        Args:
            name: A name in `directory`.
            auto_reset: See `Event`; compared with what is there if given.
            lifetime: See `Event`; compared with what is there if given.
            trust: See `Event`.
            directory: See `Event`.

        Raises:
            NotFound: There is nothing under the name. Nothing was created.
            PenstockError: As for `Event`.

        If killed: peers see nothing of it.
        """
        return cls._attach("open", name, directory, auto_reset, lifetime, trust)

    @classmethod
    def _attach(
        cls,
        how: str,
        name: str | None,
        directory: str | os.PathLike[str] | None,
        auto_reset: bool | None,
        lifetime: str | None,
        trust: bool,
    ) -> Self:
        """Check what can be checked here, and hand the rest to the native class."""
        where = locate(name, directory, files=False)
        resets = None if auto_reset is None else bool(auto_reset)
        return _handle.attached(
            _core.Event.__new__(
                cls, how, where.directory, where.name, _handle.check_lifetime(lifetime), bool(trust), resets
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return _handle.describe(self, self._facts)

    def _facts(self) -> str:
        """Say how things stand, for the repr."""
        return ("set" if self.is_set() else "not set") + (" auto_reset" if self.auto_reset else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return _handle.reduce(self, _reopen)


def _reopen(cls: type[Event], directory: str, name: str, _path: str | None, trust: bool) -> Event:
    """Open what a pickled handle named."""
    return _handle.attached(_core.Event.__new__(cls, "open", directory, name, None, trust, None))

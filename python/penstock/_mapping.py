"""Shared bytes: under a name, or those of a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from penstock import _core, _handle
from penstock._errors import BadName
from penstock._name import locate

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Mapping(_core.Mapping):
    """Share bytes between processes: memory under a name, or a file's bytes as memory.

    A handle is a buffer: `memoryview(mapping)` and `numpy.frombuffer(mapping, ...)` look at the bytes in place. Nothing
    orders what several write at once: that is what `Mutex` is for. Like `mmap.mmap` and Win32's file mapping.

    A `with` block closes the handle at its end. Handles pickle as a name; `copy.copy` makes a second handle.

    Args:
        name: A name in `directory`. None makes private memory, which others reach by a pickle or by fork and which is
            gone when its last user is.
        size: Its size in bytes, at least 1; new memory is zeros. None: what the existing one has; when creating it
            must be given.
        lifetime: "until_unlinked" or "while_open"; see `Queue`. None: what the existing one has; "until_unlinked"
            when creating under a name.
        trust: Whether to use memory of another user, or memory that others may write.
        directory: The directory of names. None: `$PENSTOCK_DIR`, else a private directory of this user in /dev/shm.

    Raises:
        Mismatch: Something else exists under the name, or one of another size or lifetime. Nothing changed.
        NoSpace: There is no room for so many bytes. Nothing was created.
        ValueError: size is missing when creating, or below 1.
        PenstockError: As for `Queue`.

    If killed: every byte that was written stays written.

    Example:
        >>> import penstock
        >>> with penstock.Mapping("example", 16) as mapping:
        ...     with memoryview(mapping) as view:
        ...         view[:5] = b"hello"
        ...         bytes(view[:5])
        ...     mapping.unlink()
        b'hello'
    """

    __module__ = "penstock"
    __slots__ = ("__weakref__",)

    def __new__(
        cls,
        name: str | None = None,
        size: int | None = None,
        *,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open the memory, or create it if there is none under the name."""
        return cls._attach("create" if name is None else "open_or_create", name, directory, size, lifetime, trust)

    @classmethod
    def create(
        cls,
        name: str,
        size: int,
        *,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Create shared memory, all zeros, and insist that it is new.

        Args:
            name: A name in `directory`.
            size: Its size in bytes, at least 1.
            lifetime: See `Mapping`.
            trust: See `Mapping`.
            directory: See `Mapping`.

        Raises:
            Exists: The name is taken. What is there is unchanged.
            PenstockError: As for `Mapping`.

        If killed: the memory is not there at all, or complete.
        """
        return cls._attach("create", name, directory, size, lifetime, trust)

    @classmethod
    def open(
        cls,
        name: str,
        size: int | None = None,
        *,
        lifetime: str | None = None,
        trust: bool = False,
        directory: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Open shared memory, and insist that it is there.

        Args:
            name: A name in `directory`.
            size: Its size in bytes, compared with what is there; None takes any.
            lifetime: See `Mapping`; compared with what is there if given.
            trust: See `Mapping`.
            directory: See `Mapping`.

        Raises:
            NotFound: There is nothing under the name. Nothing was created.
            PenstockError: As for `Mapping`.

        If killed: peers see nothing of it.
        """
        return cls._attach("open", name, directory, size, lifetime, trust)

    @classmethod
    def of_file(cls, path: str | os.PathLike[str], size: int | None = None, writable: bool = True) -> Self:
        """Map a file's bytes: what is written there is in the file, and seen by all who map or read it.

        Args:
            path: The file. It need not be penstock's; any regular file will do.
            size: Bytes to map, from the file's beginning. A writable file that is shorter, or not there, becomes this
                long. None: the whole file, which must be there.
            writable: Whether the bytes may be written; False maps them read-only.

        Raises:
            NotFound: There is no such file, and none may be made (size is None or writable is False).
            ValueError: size is below 1, or the file is empty, or shorter than size and not writable.
            Foreign: The path is no regular file.
            Untrusted: This user may not open the file so.
            NoSpace: There is no room to make the file so long. It is as it was.

        If killed: every byte that was written stays written; it reaches the disk when the system finds the time, or
        with `flush`.
        """
        text = os.fsdecode(path)
        if not text:
            raise BadName("path is empty")
        mapping: Self = _open_file(cls, os.path.abspath(text), _handle.check_count("size", size, 1), bool(writable))
        return mapping

    @classmethod
    def _attach(
        cls,
        how: str,
        name: str | None,
        directory: str | os.PathLike[str] | None,
        size: int | None,
        lifetime: str | None,
        trust: bool,
    ) -> Self:
        """Check what can be checked here, and hand the rest to the native class."""
        where = locate(name, directory, files=False)
        count = _handle.check_count("size", size, 1)
        return _handle.attached(
            _core.Mapping.__new__(
                cls, how, where.directory, where.name, _handle.check_lifetime(lifetime), bool(trust), count
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
        return f"{self.size} bytes" + ("" if self.writable else " read-only")

    def __reduce__(self) -> tuple[Any, ...]:
        if self.name == self.path:
            return (_open_file, (type(self), self.path, self.size, self.writable), self.__getstate__())
        return _handle.reduce(self, _reopen)


def _open_file(cls: type[Any], path: str, size: int | None, writable: bool) -> Any:
    """Map the file, as an instance of the given class."""
    return _core.Mapping.__new__(cls, "file" if writable else "file_read_only", "", path, None, False, size)


def _reopen(cls: type[Mapping], directory: str, name: str, _path: str | None, trust: bool) -> Mapping:
    """Open what a pickled handle named."""
    return _handle.attached(_core.Mapping.__new__(cls, "open", directory, name, None, trust, None))

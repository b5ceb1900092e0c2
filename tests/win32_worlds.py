"""The worlds in which Win32 calls can be made, and the processes that make them there for a test.

"here" is `penstock.win32` on this system. Where Wine and a Windows Python under it are at hand, "kernel32" is
`penstock.win32` there, which is Wine's kernel32, and "pywin32" is pywin32 there. On Windows, "here" is kernel32 itself.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock import win32

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "python"
PATIENCE_SECONDS = 30.0

CACHE = Path(
    os.environ.get("PENSTOCK_WINDOWS_CACHE")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "penstock", "windows")
)
"""Where `make windows` has put a Windows Python and a prefix for Wine, if it has."""

PYTHON_UNDER_WINE = CACHE / "python"


class Thing(NamedTuple):
    """Name a handle, a view or a file of a process; `thing + 3` is three further on."""

    name: str
    plus: int = 0

    def __add__(self, more: object) -> Thing:
        assert isinstance(more, int)
        return Thing(self.name, self.plus + more)


class Outcome(NamedTuple):
    """Say what came of a call. Without a last error of its own, `error` is "unchanged"."""

    result: Any
    error: Any = "unchanged"
    previous: int | None = None


class Pending:
    """A call under way."""

    def __init__(self, base: dict[str, int]) -> None:
        self._arrived: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._base = base
        self._outcome: Outcome | None = None

    def arrive(self, answer: dict[str, Any]) -> None:
        """Take the answer."""
        self._arrived.put(answer)

    def is_done(self, seconds: float = 0.0) -> bool:
        """Return whether the call has returned, after waiting a while for it."""
        try:
            self.outcome(seconds)
        except TimeoutError:
            return False
        return True

    def outcome(self, seconds: float = PATIENCE_SECONDS) -> Outcome:
        """Return what came of the call."""
        if self._outcome is None:
            try:
                answer = self._arrived.get(timeout=seconds) if seconds > 0 else self._arrived.get_nowait()
            except queue.Empty:
                raise TimeoutError("the call has not returned") from None
            result = answer["result"]
            if "base" in answer:
                self._base[result] = answer["base"]
            if isinstance(result, str) and result.startswith("thing-"):
                result = Thing(result)
            self._outcome = Outcome(result, answer["error"], answer.get("previous"))
        return self._outcome


class Caller:
    """A thread of a process: each Win32 call is a method, and returns its `Outcome`."""

    def __init__(self, process: Process, name: str) -> None:
        self.process = process
        self.name = name

    def begin(self, call: str, *arguments: Any) -> Pending:
        """Begin a call, without waiting for its end."""
        return self.process.send(self.name, call, arguments)

    def end(self) -> None:
        """End the thread when it has made its calls."""
        self.process.send(self.name, "end_thread", ())

    def __getattr__(self, call: str) -> Callable[..., Outcome]:
        if not call[0].isupper():
            raise AttributeError(call)
        return lambda *arguments: self.begin(call, *arguments).outcome()

    # What tests need besides.

    def open_file(self, path: Path, mode: str) -> Thing:
        """Open a file, for `CreateFileMapping`."""
        thing = Thing(self.process.new_name())
        assert self.begin("open_file", thing.name, str(path), mode).outcome().result is True
        return thing

    def close_file(self, file: Thing) -> None:
        """Close a file."""
        assert self.begin("close_file", file).outcome().result is True

    def peek(self, view: Thing, size: int) -> bytes:
        """Return bytes of a view."""
        return bytes.fromhex(self.begin("peek", view, size).outcome().result)

    def poke(self, view: Thing, data: bytes) -> None:
        """Write bytes of a view."""
        assert self.begin("poke", view, data.hex()).outcome().result is True

    def region(self, view: Thing) -> int:
        """Return how many bytes are mapped from a view's beginning on."""
        return int(self.begin("region", view).outcome().result)


class Process(Caller):
    """A process that makes calls; used as a thread, it is its first one."""

    def __init__(self, command: list[str], environment: dict[str, str], world_name: str) -> None:
        super().__init__(self, "first")
        self.life = 0
        """What a script calls it."""
        self.world_name = world_name
        # Pipes all three: Python under Wine does not start with a file there.
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=environment,
        )
        self._pending: dict[int, Pending] = {}
        self._bases: dict[str, int] = {}
        self._count = 0
        self._complaints: list[str] = []
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read, self._listen)]
        for reader in self._readers:
            reader.start()

    def thread(self, name: str) -> Caller:
        """Return a thread of the process, which starts with its first call."""
        return Caller(self, name)

    def new_name(self) -> str:
        """Return a name for a handle, a view or a file."""
        self._count += 1
        return f"thing-{self._count}"

    def base(self, view: Thing) -> int:
        """Return the address of a view."""
        return self._bases[view.name]

    def send(self, thread: str, call: str, arguments: tuple[Any, ...]) -> Pending:
        """Send a request."""
        keep = self.new_name()
        pending = Pending(self._bases)
        if call != "end_thread":
            self._pending[self._count] = pending
        request = {"id": self._count, "thread": thread, "call": call, "keep": keep}
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(request | {"arguments": [_told(one) for one in arguments]}) + "\n")
        self._popen.stdin.flush()
        return pending

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            answer = json.loads(line)
            self._pending[answer["id"]].arrive(answer)
            del self._pending[answer["id"]]
        for pending in list(self._pending.values()):
            pending.arrive({"result": "\n".join(["the process has ended", *self._complaints]), "error": "ended"})

    def _listen(self) -> None:
        assert self._popen.stderr is not None
        self._complaints += self._popen.stderr

    def kill(self) -> None:
        """Kill the process, and wait until it is gone."""
        self._popen.kill()
        self._wait()

    def exit(self) -> None:
        """Let the process come to its end."""
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        self._wait()

    def _wait(self) -> None:
        self._popen.wait(PATIENCE_SECONDS)
        for reader in self._readers:
            reader.join(PATIENCE_SECONDS)
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue  # what it was to read no longer matters

    @property
    def is_calling(self) -> bool:
        """Whether a call is under way."""
        return bool(self._pending)

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._popen.poll() is not None


def _told(argument: Any) -> Any:
    """Return an argument as a request has it."""
    if isinstance(argument, Thing):
        return {"thing": argument.name, "plus": argument.plus}
    if isinstance(argument, (list, tuple)):
        return [_told(one) for one in argument]
    return argument


class World:
    """Where calls are made.

    Args:
        name: "here", "kernel32" or "pywin32".
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._first: subprocess.Popen[bytes] | None = None
        self._idle: list[Process] = []
        self.busy: list[Process] = []

    def __enter__(self) -> Self:
        if self.name != "here":
            # Wine's server and services start with the first process and keep its pipes open: let it be one that
            # nobody listens to.
            self._first = subprocess.Popen(
                [*self.python(), "-c", "print(flush=True); input()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self.environment(),
            )
            assert self._first.stdout is not None
            self._first.stdout.readline()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.tidy()
        for process in self._idle:
            process.exit()
        if self._first is not None:
            self._first.kill()
            with self._first:
                pass

    def python(self) -> list[str]:
        """Return the command of the world's Python."""
        return [sys.executable] if self.name == "here" else ["wine", str(PYTHON_UNDER_WINE / "python.exe")]

    def environment(self) -> dict[str, str]:
        """Return the environment of the world's processes."""
        if self.name == "here":
            return dict(os.environ)
        paths = {"PYTHONPATH": f"Z:{PACKAGE};Z:{TESTS}", "WINEPREFIX": str(CACHE / "prefix")}
        return os.environ | paths | {"WINEDEBUG": "-all"}

    @property
    def is_wine(self) -> bool:
        """Whether the calls are Wine's, which differ from Windows here and there."""
        return self.name != "here" or (sys.platform == "win32" and _is_wine())

    @property
    def is_ours(self) -> bool:
        """Whether the calls are penstock's own, rather than a system's."""
        return self.name == "here" and sys.platform != "win32"

    def pick(self, *, windows: Any, wine: Any) -> Any:
        """Return what is to be seen here where Wine differs from Windows; penstock does what Windows does."""
        return wine if self.is_wine else windows

    def process(self) -> Process:
        """Start a process."""
        command = [*self.python(), "-X", "utf8", "-u", str(TESTS / "win32_peer.py")]
        if self.name == "pywin32":
            command.append("pywin32")
        process = self._idle.pop() if self._idle else Process(command, self.environment(), self.name)
        self.busy.append(process)
        return process

    def tidy(self) -> None:
        """Make the processes of a test as new for the next one, and kill those in which a call is still under way."""
        for process in self.busy:
            if process.is_over:
                continue
            if process.is_calling:
                process.kill()
            else:
                assert process.begin("reset").outcome().result is True
                self._idle.append(process)
        self.busy.clear()


def why_not(name: str) -> str | None:
    """Return why a world is not at hand; None if it is."""
    if name == "here":
        return None
    if sys.platform == "win32":
        return "the calls are kernel32's here"
    if shutil.which("wine") is None:
        return "Wine is not installed"
    if not (PYTHON_UNDER_WINE / "python.exe").exists():
        return f"there is no Windows Python in {PYTHON_UNDER_WINE}; `make windows` puts one there"
    if name == "pywin32" and not (PYTHON_UNDER_WINE / "Lib" / "site-packages" / "win32").exists():
        return f"the Windows Python in {PYTHON_UNDER_WINE} has no pywin32"
    return None


def _is_wine() -> bool:
    """Return whether this Windows is Wine."""
    import ctypes

    return hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")  # type: ignore[attr-defined, unused-ignore]


NULL = 0
INFINITE = win32.INFINITE
MEMORY = win32.INVALID_HANDLE_VALUE

"""Children: functions that run in a process of their own, steered and watched by their parent (`penstock.testing`)."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import secrets
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

DEADLINE_SECONDS = 30.0
"""How long waits here take at most, and how long a child lives, unless told otherwise."""


def wait_until(condition: Callable[[], object], timeout: float = DEADLINE_SECONDS, what: str = "the condition") -> None:
    """Wait until a condition holds, looking again every few milliseconds.

    Args:
        condition: Called without arguments; holds when it returns something true.
        timeout: Longest wait in seconds, at least 0.
        what: What is waited for, for the message.

    Raises:
        TimeoutError: The condition did not hold in time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(0.002)


# ---- children, seen from their parent --------------------------------------------------------------------------------


class ChildFailed(AssertionError):
    """Say that a child ended other than it should, or did not say what was waited for. The message has its stderr."""


def spawn(
    function: Callable[..., Any],
    /,
    *args: Any,
    deadline: float = DEADLINE_SECONDS,
    environment: dict[str, str] | None = None,
    pause_at: str | None = None,
    **kwargs: Any,
) -> Child:
    """Run a function in a new process: a fresh interpreter that shares nothing with this one but names.

    In the child, `penstock.testing.send` and `receive` talk to this process.

    Args:
        function: A function that pickles, so one at the top of a module. The module is imported in the child.
        args: Its arguments, which must pickle.
        deadline: How long the child may live, in seconds. It then shows where its threads are and exits with 1.
        environment: Variables to set in the child besides those of this process.
        pause_at: The named point of a build with crash points at which the child is to stop itself; see
            `Child.wait_until_stopped`.
        kwargs: Its keyword arguments.

    Returns:
        The child, running. As a context manager it is killed at the end of the block, if it has not ended.

    Example:
        >>> from penstock.testing import spawn
        >>> with spawn(divmod, 7, 2) as child:
        ...     child.result()
        (3, 1)
    """
    extra = dict(environment or {})
    if pause_at is not None:
        extra["PENSTOCK_PAUSE_AT"] = pause_at
    return Child(_Task(function, args, kwargs, deadline), extra)


class Child:
    """A process started by `spawn`. Every wait has a deadline; `kill` and the end of a block end it for certain.

    Attributes:
        pid: Its process id.
    """

    def __init__(self, task: _Task, extra: dict[str, str]) -> None:
        order = pickle.dumps(task)  # what does not pickle is found before anything is opened or started
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._name = getattr(task.function, "__name__", repr(task.function))
        start = _start_by_port if sys.platform == "win32" else _start_by_descriptor
        self._process, end = start(self._errors, {**os.environ, **extra})
        self._line = _Line(end)
        self.pid = self._process.pid
        script = getattr(sys.modules["__main__"], "__file__", None)
        self._line.send((script if task.function.__module__ == "__main__" else None, order))

    def send(self, message: object) -> None:
        """Send the child something that pickles; `penstock.testing.receive` gets it there.

        Raises:
            ChildFailed: The child has ended.
        """
        try:
            self._line.send(message)
        except OSError as err:
            raise ChildFailed(self._story("has ended and takes no message")) from err

    def receive(self, timeout: float = DEADLINE_SECONDS) -> Any:
        """Return the next thing that the child sent with `penstock.testing.send`.

        Args:
            timeout: Longest wait in seconds, at least 0.

        Raises:
            ChildFailed: The child ended without sending any more, or sent nothing in time.
        """
        report = self._report(timeout, "sent nothing")
        if report.kind != "message":
            raise ChildFailed(self._story(f"ended without sending a message (its function {report.told()})"))
        return report.value

    def result(self, timeout: float = DEADLINE_SECONDS) -> Any:
        """Wait until the child's function has returned and the child has ended, and return what it returned.

        Messages that were not received are skipped.

        Args:
            timeout: Longest wait in seconds, at least 0.

        Raises:
            ChildFailed: The function raised, did not return in time, or the child was killed.
        """
        deadline = time.monotonic() + timeout
        report = self._report(timeout, "did not return")
        while report.kind == "message":
            report = self._report(max(0.0, deadline - time.monotonic()), "did not return")
        if report.kind != "returned":
            raise ChildFailed(self._story(report.told()))
        self.wait(max(1.0, deadline - time.monotonic()))
        return report.value

    def wait(self, timeout: float = DEADLINE_SECONDS) -> int:
        """Wait until the child has ended, and return its exit status: negative for the signal that killed it.

        Args:
            timeout: Longest wait in seconds, at least 0.

        Raises:
            ChildFailed: The child has not ended in time.
        """
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ChildFailed(self._story(f"has not ended within {timeout} s")) from None

    def is_alive(self) -> bool:
        """Tell whether the child has not ended; the answer may be old when it arrives."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the child with SIGKILL, stopped or not, and wait until it is gone. Does nothing if it has ended."""
        self._process.kill()
        self._process.wait(DEADLINE_SECONDS)

    def interrupt(self) -> None:
        """Send the child a SIGINT, as Ctrl-C does."""
        if sys.platform == "win32":
            self._process.send_signal(signal.CTRL_C_EVENT)
            return
        self._process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """Stop the child where it is (SIGSTOP), and wait until it stands still."""
        if sys.platform == "win32":
            _suspend(self.pid)
            return
        self._process.send_signal(signal.SIGSTOP)
        self.wait_until_stopped()

    def cont(self) -> None:
        """Let a stopped child go on (SIGCONT)."""
        if sys.platform == "win32":
            _resume(self.pid)
            return
        self._process.send_signal(signal.SIGCONT)

    def wait_until_stopped(self, timeout: float = DEADLINE_SECONDS) -> None:
        """Wait until the child stands still: stopped by `stop`, or by itself at the point named by `pause_at`.

        Args:
            timeout: Longest wait in seconds, at least 0.

        Raises:
            ChildFailed: The child ended, or was still running when the time was up.
        """
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: self._state() in "TtZ", timeout)
        if self._state() not in "Tt":
            raise ChildFailed(self._story("has not stopped"))

    def errors(self) -> str:
        """Return what the child has written to its standard error."""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        self._line.close()
        self._errors.close()

    def __repr__(self) -> str:
        status = self._process.poll()
        return (
            f"<penstock.testing.Child {self._name} pid={self.pid} {'alive' if status is None else f'ended {status}'}>"
        )

    def _report(self, timeout: float, failure: str) -> _Report:
        """Return the next thing that the child's side of the line says."""
        try:
            report: _Report = self._line.receive(timeout)
        except TimeoutError:
            raise ChildFailed(self._story(f"{failure} within {timeout:.1f} s")) from None
        except (EOFError, OSError):
            status = self.wait()
            raise ChildFailed(self._story(f"{failure}, and ended with status {status}")) from None
        return report

    def _state(self) -> str:
        """Return the letter for the child's state that the kernel shows; Z when it has ended."""
        if self._process.poll() is not None:
            return "Z"
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]

    def _story(self, what: str) -> str:
        """Say what went wrong, with what the child had to say about it."""
        return f"child {self._name} (pid {self.pid}) {what}\n{self.errors()}".rstrip()


def _command(call: str) -> list[str]:
    """Return the command line of a child whose life is the given call of this module."""
    return [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; from penstock import _child; _child.{call}"]


def _start_by_descriptor(
    errors: IO[bytes], environment: dict[str, str]
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a child that inherits its end of the line."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            _command(f"run({theirs.fileno()})"),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
        )
    return process, ours


def _start_by_port(errors: IO[bytes], environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a child that connects to this process: where only handles are inherited. It proves itself by a secret."""
    secret = secrets.token_bytes(16)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE_SECONDS)
        process = subprocess.Popen(
            _command(f"run_at_port({listener.getsockname()[1]}, {secret!r})"),
            stdin=subprocess.DEVNULL,
            stderr=errors,
            env=environment,
        )
        while True:
            end, _ = listener.accept()
            end.settimeout(DEADLINE_SECONDS)
            if end.recv(len(secret), socket.MSG_WAITALL) == secret:
                return process, end
            end.close()


if sys.platform == "win32":
    import ctypes
    import ctypes.wintypes

    _PROCESS_SUSPEND_RESUME = 0x0800

    def _suspend(pid: int) -> None:
        """Stop all threads of a process."""
        _of_ntdll("NtSuspendProcess", pid)

    def _resume(pid: int) -> None:
        """Let them go on."""
        _of_ntdll("NtResumeProcess", pid)

    def _of_ntdll(function: str, pid: int) -> None:
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = ctypes.wintypes.HANDLE
        handle = kernel.OpenProcess(_PROCESS_SUSPEND_RESUME, False, pid)
        if not handle:
            raise ctypes.WinError(ctypes.get_last_error())
        try:
            getattr(ctypes.WinDLL("ntdll"), function)(ctypes.wintypes.HANDLE(handle))
        finally:
            kernel.CloseHandle(ctypes.wintypes.HANDLE(handle))


# ---- children, seen from inside --------------------------------------------------------------------------------------


def send(message: object) -> None:
    """Send something that pickles to the parent, in a function that `spawn` runs; `Child.receive` gets it there.

    Raises:
        RuntimeError: This process was not started by `spawn`.
    """
    _parent().send(_Report("message", message))


def receive(timeout: float = DEADLINE_SECONDS) -> Any:
    """Return the next thing that the parent sent with `Child.send`, in a function that `spawn` runs.

    Args:
        timeout: Longest wait in seconds, at least 0.

    Raises:
        TimeoutError: Nothing came in time.
        EOFError: The parent is gone.
        RuntimeError: This process was not started by `spawn`.
    """
    return _parent().receive(timeout)


class _Task(NamedTuple):
    """What a child is to do."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    deadline: float


class _Report(NamedTuple):
    """What a child says: a message of its function, or how that ended."""

    kind: str
    value: Any

    def told(self) -> str:
        """Say how the function ended."""
        return f"returned {self.value!r}" if self.kind == "returned" else f"raised {self.value}"


class _Line:
    """One end of the line between parent and child: objects, pickled, each after its length."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: object) -> None:
        """Send one object; the other side is expected to read soon."""
        data = pickle.dumps(message)
        self._end.settimeout(DEADLINE_SECONDS)
        self._end.sendall(struct.pack("<Q", len(data)) + data)

    def receive(self, timeout: float) -> Any:
        """Return the next object; TimeoutError if it did not come in time, EOFError if none will."""
        deadline = time.monotonic() + timeout
        if not self._wait(timeout):
            raise TimeoutError(f"no message within {timeout} s")
        (length,) = struct.unpack("<Q", self._read(8, deadline))
        return pickle.loads(self._read(length, deadline))

    def close(self) -> None:
        """Close this end; the other side sees its end of file."""
        self._end.close()

    def _wait(self, timeout: float) -> bool:
        """Wait until there is something to read, without reading it."""
        self._end.settimeout(max(timeout, 0.000001))
        try:
            self._end.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return False
        return True

    def _read(self, length: int, deadline: float) -> bytes:
        """Read so many bytes; the sender has begun, so a moment is granted even if the time is up."""
        data = bytearray()
        while len(data) < length:
            self._end.settimeout(max(1.0, deadline - time.monotonic()))
            piece = self._end.recv(min(length - len(data), 1 << 20))
            if not piece:
                raise EOFError("the other side is gone")
            data += piece
        return bytes(data)


_line_to_parent: _Line | None = None


def _parent() -> _Line:
    """Return the line to the parent of a spawned child."""
    if _line_to_parent is None:
        raise RuntimeError("this process was not started by penstock.testing.spawn")
    return _line_to_parent


def run_at_port(port: int, secret: bytes) -> None:
    """Be the child of a parent that listens at the port."""
    end = socket.create_connection(("127.0.0.1", port), DEADLINE_SECONDS)
    end.sendall(secret)
    run(end.detach())


def run(descriptor: int) -> None:
    """Be the child: get the function, run it, and say how it ended."""
    global _line_to_parent
    faulthandler.dump_traceback_later(DEADLINE_SECONDS, exit=True)
    line = _line_to_parent = _Line(socket.socket(fileno=descriptor))
    script, order = line.receive(DEADLINE_SECONDS)
    if script is not None:
        _load_main(script)
    task: _Task = pickle.loads(order)
    faulthandler.dump_traceback_later(task.deadline, exit=True)
    try:
        value = task.function(*task.args, **task.kwargs)
        line.send(_Report("returned", value))
    except BaseException as err:
        line.send(_Report("raised", "".join(traceback.format_exception(err))))
        raise


def _load_main(path: str) -> None:
    """Load the parent's script, so that functions that pickle as `__main__`'s are found; its main part does not run."""
    import runpy

    found = runpy.run_path(path, run_name="__penstock_child__")
    sys.modules["__main__"].__dict__.update({k: v for k, v in found.items() if not k.startswith("__")})

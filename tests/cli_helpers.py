"""Run the commands as a person does: as processes, through real pipes, on a real terminal. Waits have a deadline."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import penstock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

PENSTOCK = (sys.executable, "-m", "penstock")
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PATIENCE_SECONDS = 20.0


def example(name: str) -> tuple[str, ...]:
    """Return the command line of an example."""
    return (sys.executable, str(EXAMPLES / f"{name}.py"))


def eventually(condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until a condition holds and return what it returned; fail when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"this never came: {condition}"
        time.sleep(0.002)


def run(*arguments: str, stdin: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run one penstock command to its end with this input, and return what it wrote and its exit code."""
    return subprocess.run(
        [*PENSTOCK, *arguments], input=stdin, capture_output=True, timeout=PATIENCE_SECONDS, check=False, **options
    )


def waiting(name: str) -> int:
    """Return how many items wait in a queue; -1 if there is no such queue (yet)."""
    try:
        with penstock.Queue.open(name) as queue:
            return queue.qsize()
    except penstock.NotFound:
        return -1


def stats(name: str) -> dict[str, Any]:
    """Return the statistics of a queue; empty if there is no such queue (yet)."""
    try:
        with penstock.Queue.open(name) as queue:
            return queue.stats()
    except penstock.NotFound:
        return {}


def is_attached(name: str, pid: int) -> bool:
    """Return whether a living process is attached to a queue."""
    return any(one["pid"] == pid and one["alive"] for one in stats(name).get("participants", ()))


def is_asleep(pid: int) -> bool:
    """Return whether a process waits for something."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def one_line(stderr: bytes) -> str:
    """Return what is said after the command's name, and insist that it is one line."""
    text = stderr.decode()
    assert text.count("\n") == 1
    assert text.startswith("penstock: ")
    return text[len("penstock: ") : -1]


class Program:
    """A program under way, whose output is read as it comes.

    Args:
        command: The command line.
        options: Passed on to Popen; stdin, stdout and stderr are pipes unless it says otherwise.
    """

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        streams: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process: subprocess.Popen[bytes] = subprocess.Popen(command, bufsize=0, **(streams | options))
        self._unread: dict[int, bytes] = {}

    @property
    def pid(self) -> int:
        return self.process.pid

    def write(self, data: bytes) -> None:
        """Write to the program's input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def end_input(self) -> None:
        """Close the program's input."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None  # communicate() would flush it

    def line(self, *, of_stderr: bool = False) -> bytes:
        """Wait for the next line of the output and return it with its newline; at the end of it what is left."""
        stream = self.process.stderr if of_stderr else self.process.stdout
        assert stream is not None
        fd = stream.fileno()
        while b"\n" not in self._unread.get(fd, b""):
            assert select.select([fd], [], [], PATIENCE_SECONDS)[0], "no line came"
            chunk = os.read(fd, 4096)
            if not chunk:
                return self._unread.pop(fd, b"")
            self._unread[fd] = self._unread.get(fd, b"") + chunk
        line, _, self._unread[fd] = self._unread[fd].partition(b"\n")
        return line + b"\n"

    def signal(self, signum: int) -> None:
        """Send a signal."""
        self.process.send_signal(signum)

    def end(self) -> tuple[int, bytes, bytes]:
        """Wait for the end; return the exit code and what was not read yet of both outputs."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE_SECONDS)
        streams = self.process.stdout, self.process.stderr
        unread = [self._unread.pop(stream.fileno(), b"") if stream and not stream.closed else b"" for stream in streams]
        return self.process.returncode, unread[0] + (stdout or b""), unread[1] + (stderr or b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self.process.wait()


class Terminal:
    """A program on a terminal of its own, where keys are typed and the screen is read.

    Args:
        command: The command line.
        options: Passed on to Popen, such as stdout for a program whose output goes elsewhere.
    """

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self._master, slave = pty.openpty()
        self._slave = slave  # kept open: the terminal outlives the program, as a real one does
        self.screen = b""
        self.attributes_before = self.attributes()
        streams: dict[str, Any] = {"stdin": slave, "stdout": slave, "stderr": slave}
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),  # so that Ctrl-C becomes a signal
            **(streams | options),
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def attributes(self) -> list[Any]:
        """Return how the terminal is set: echo, line editing and so on."""
        return termios.tcgetattr(self._slave)

    def type_keys(self, keys: str) -> None:
        """Type keys; "\\x03" is Ctrl-C, "\\x04" is Ctrl-D."""
        os.write(self._master, keys.encode())

    def has_been_read(self) -> bool:
        """Return whether the program has read every line that was typed."""
        return fcntl.ioctl(self._slave, termios.FIONREAD, b"\0\0\0\0") == b"\0\0\0\0"

    def see(self, text: str, *, times: int = 1) -> None:
        """Wait until a text is on the screen, this many times."""
        while self.screen.count(text.encode()) < times:
            assert self._read(PATIENCE_SECONDS), f"{text!r} never came; the screen is {self.screen!r}"

    def end(self) -> int:
        """Wait for the end of the program and return its exit code; `screen` then has all that it wrote."""
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        while self._read(0.0):
            pass
        return code

    def _read(self, seconds: float) -> bool:
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        self.screen += os.read(self._master, 4096)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)
        os.close(self._slave)

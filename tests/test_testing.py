"""`penstock.testing`: names, directories, the check for leftovers, and children that do as they are told."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import PATIENCE_SECONDS, say_hello_and_wait
from penstock import testing

KILLED = 1 if os.name == "nt" else -9
"""What a killed child ends with."""

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("directory")

# ---- what children do (at the top of the module, so that they can be pickled) ----------------------------------------


def fail(message: str) -> None:
    raise ValueError(message)


def wait_for_ever() -> None:
    testing.send("waiting")
    threading.Event().wait()


def echo() -> None:
    while True:
        message = testing.receive(PATIENCE_SECONDS)
        if message is None:
            return
        testing.send(message)


def exit_with(status: int) -> None:
    os._exit(status)


def variable(name: str) -> str | None:
    return os.environ.get(name)


def count_up() -> None:
    """Count in a file of the directory of names, for ever: a stopped process does not."""
    path = Path(os.environ["PENSTOCK_DIR"], "count")
    number = 0
    while True:
        number += 1
        path.write_text(str(number), encoding="ascii")
        if number == 1:
            testing.send("counting")


# ---- names and directories -------------------------------------------------------------------------------------------


def test_unique_names_differ_and_begin_as_asked() -> None:
    names = {testing.unique_name("jobs") for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith("jobs-") for name in names)


def test_temporary_directory_is_where_names_are_in_the_block_and_is_gone_after_it() -> None:
    before = os.environ["PENSTOCK_DIR"]
    with testing.temporary_directory() as directory:
        assert os.environ["PENSTOCK_DIR"] == directory
        assert os.name == "nt" or os.stat(directory).st_mode & 0o777 == 0o700
        with penstock.Queue("jobs") as q:
            assert os.path.dirname(q.path) == directory
    assert os.environ["PENSTOCK_DIR"] == before
    assert os.name == "nt" or not os.path.exists(directory)


def test_temporary_directory_leaves_an_unset_variable_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_DIR")
    with testing.temporary_directory():
        pass
    assert "PENSTOCK_DIR" not in os.environ


def test_leftovers_are_named(directory: str) -> None:
    with pytest.raises(AssertionError, match=r"left behind \['forgotten'\]"), testing.no_leftovers(directory, 0.01):
        penstock.Queue("forgotten").close()


def test_what_is_missing_is_named(directory: str) -> None:
    q = penstock.Queue("gone")
    with pytest.raises(AssertionError, match=r"gone \['gone'\]"), testing.no_leftovers(directory, 0.01):
        q.unlink()
    q.close()


def test_block_that_cleans_up_passes_and_its_own_error_comes_first(directory: str) -> None:
    with testing.no_leftovers(directory), penstock.Queue("jobs") as q:
        q.unlink()
    with pytest.raises(ZeroDivisionError), testing.no_leftovers(directory), penstock.Queue("forgotten"):
        raise ZeroDivisionError


def test_leftovers_of_a_child_have_time_to_go(directory: str, spawn: Callable[..., testing.Child]) -> None:
    child = spawn(hold_private_queue)
    with testing.no_leftovers(directory):
        child.send("begin")
        assert os.path.exists(child.receive())
        child.send("end")


def hold_private_queue() -> None:
    testing.receive()
    with penstock.Queue() as q:
        testing.send(q.path)
        testing.receive()


def test_waiting_for_what_never_comes_ends_at_the_deadline() -> None:
    with pytest.raises(TimeoutError, match="for the moon"):
        testing.wait_until(lambda: False, timeout=0.01, what="the moon")


# ---- children --------------------------------------------------------------------------------------------------------


def test_child_is_another_process_and_gives_back_what_its_function_returned(
    spawn: Callable[..., testing.Child],
) -> None:
    child = spawn(os.getpid)
    assert child.result() == child.pid != os.getpid()
    assert child.wait() == 0
    assert not child.is_alive()


def test_child_gets_positional_and_keyword_arguments(spawn: Callable[..., testing.Child]) -> None:
    assert spawn(int, "ff", base=16).result() == 255


def test_messages_go_both_ways_in_order(spawn: Callable[..., testing.Child]) -> None:
    child = spawn(echo)
    messages: list[Any] = [1, "two", [3.0], b"x" * 3_000_000]
    for message in messages:
        child.send(message)
        assert child.receive(PATIENCE_SECONDS) == message
    child.send(None)
    assert child.result() is None


def test_messages_that_were_not_asked_for_do_not_hide_the_result(spawn: Callable[..., testing.Child]) -> None:
    child = spawn(say_hello_and_wait, "hello")
    child.send("bye")
    assert child.result() == "bye"


def test_error_in_a_child_is_told_with_its_traceback(spawn: Callable[..., testing.Child]) -> None:
    with pytest.raises(testing.ChildFailed, match=r"(?s)fail .*raised .*in fail.*ValueError: a reason"):
        spawn(fail, "a reason").result()


def test_child_that_ended_without_a_message_is_told(spawn: Callable[..., testing.Child]) -> None:
    with pytest.raises(testing.ChildFailed, match="ended without sending a message"):
        spawn(abs, -1).receive()
    with pytest.raises(testing.ChildFailed, match="ended with status 3"):
        spawn(exit_with, 3).receive()


def test_message_that_does_not_come_in_time_is_told_and_the_child_lives_on(spawn: Callable[..., testing.Child]) -> None:
    child = spawn(echo)
    with pytest.raises(testing.ChildFailed, match="sent nothing within"):
        child.receive(timeout=0.01)
    child.send("still here")
    assert child.receive() == "still here"


@pytest.mark.skipif(os.name == "nt", reason="a port takes what nobody reads any more")
def test_message_to_a_child_that_has_ended_is_told(spawn: Callable[..., testing.Child]) -> None:
    child = spawn(abs, -1)
    child.wait()
    with pytest.raises(testing.ChildFailed, match="has ended"):
        child.send("hello")


def test_killed_child_is_gone_at_once(spawn: Callable[..., testing.Child]) -> None:
    child = spawn(wait_for_ever)
    child.receive()
    child.kill()
    assert child.wait(timeout=0) == KILLED
    child.kill()


def test_stopped_child_stands_still_until_it_may_go_on(spawn: Callable[..., testing.Child], directory: str) -> None:
    path = Path(directory, "count")
    child = spawn(count_up)
    child.receive()
    child.stop()
    number = path.read_text(encoding="ascii")
    with pytest.raises(TimeoutError):
        testing.wait_until(lambda: path.read_text(encoding="ascii") != number, timeout=0.05)
    child.cont()
    testing.wait_until(lambda: path.read_text(encoding="ascii") not in ("", number))


def test_stopped_child_can_be_killed(spawn: Callable[..., testing.Child]) -> None:
    child = spawn(wait_for_ever)
    child.receive()
    child.stop()
    child.kill()
    assert not child.is_alive()


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C goes to a console, which there is none of")
def test_interrupted_child_raises_keyboard_interrupt(spawn: Callable[..., testing.Child]) -> None:
    child = spawn(wait_for_ever)
    child.receive()
    child.interrupt()
    with pytest.raises(testing.ChildFailed, match="KeyboardInterrupt"):
        child.result()


def test_child_that_outlives_its_deadline_shows_where_it_is_and_ends(spawn: Callable[..., testing.Child]) -> None:
    child = spawn(wait_for_ever, deadline=0.1)
    child.receive()
    assert child.wait() == 1
    assert "wait_for_ever" in child.errors()


@pytest.mark.skipif(os.name == "nt", reason="whether a process is stopped is told by /proc")
def test_child_that_does_not_stop_is_told(spawn: Callable[..., testing.Child]) -> None:
    with pytest.raises(testing.ChildFailed, match="has not stopped"):
        spawn(abs, 1).wait_until_stopped()


def test_end_of_the_block_ends_the_child() -> None:
    with testing.spawn(wait_for_ever) as child:
        child.receive()
    assert not child.is_alive()
    assert child.wait(timeout=0) == KILLED


def test_variables_are_set_in_the_child_alone(spawn: Callable[..., testing.Child]) -> None:
    assert spawn(variable, "PENSTOCK_TEST", environment={"PENSTOCK_TEST": "yes"}).result() == "yes"
    assert spawn(variable, "PENSTOCK_PAUSE_AT", pause_at="somewhere").result() == "somewhere"
    assert "PENSTOCK_TEST" not in os.environ


def test_child_sees_the_directory_of_names_of_its_parent(spawn: Callable[..., testing.Child], directory: str) -> None:
    assert spawn(variable, "PENSTOCK_DIR").result() == directory


def test_what_does_not_pickle_is_refused_before_a_child_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a child was started"))
    with pytest.raises((AttributeError, TypeError, ValueError), match=r"pickle|lambda"):
        testing.spawn(lambda: None)


def test_talking_to_a_parent_that_is_none_is_refused() -> None:
    for call in (lambda: testing.send("hello"), testing.receive):
        with pytest.raises(RuntimeError, match="not started by"):
            call()


def test_script_can_spawn_its_own_functions(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            from penstock import testing

            def double(number):
                return 2 * number

            if __name__ == "__main__":
                with testing.spawn(double, 21) as child:
                    print(child.result())
        """)
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    assert done.stdout == "42\n"


def test_starting_and_ending_a_child_is_quick(spawn: Callable[..., testing.Child]) -> None:
    started = time.monotonic()
    spawn(abs, -1).result()
    assert time.monotonic() - started < PATIENCE_SECONDS / 4

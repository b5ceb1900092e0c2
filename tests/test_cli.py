"""Every command, run as a person or a script runs it: exit codes, output, pipes, terminals, signals."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import penstock
from cli_helpers import PENSTOCK, Program, Terminal, one_line, run, waiting
from penstock.cli._exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("directory")

NAME = "things"
DOCS = Path(__file__).resolve().parent.parent / "docs"
COMMANDS = ["demo", "producer", "consumer", "put", "get", "ls", "stat", "peek", "purge", "rm", "doctor", "bench"]


@pytest.fixture
def texts() -> Iterator[penstock.Queue]:
    with penstock.Queue(NAME, item="str", capacity=10) as queue:
        yield queue


# ---- the command as a whole ------------------------------------------------------------------------------------------


def test_without_a_command_the_help_is_shown() -> None:
    done = run()
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"  {command} " in done.stdout.decode()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, b"")
    assert f"Usage: penstock {command}" in done.stdout.decode()


def test_version_is_the_package_s() -> None:
    done = run("--version")
    assert re.fullmatch(rb"penstock \d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["get"],
        ["get", NAME, "--timeout", "soon"],
        ["get", NAME, "--timeout", "-1"],
        ["get", NAME, "--timeout", "nan"],
        ["get", NAME, "-n", "-1"],
        ["put", NAME, "--item", "nonsense"],
        ["put", NAME, "--capacity", "0"],
        ["put", NAME, "--capacity", "99999999999999999999"],
        ["put", "n" * 300],
        ["put", ""],
        ["rm"],
        ["rm", NAME, "--stale"],
        ["rm", NAME],
    ],
    ids=" ".join,
)
def test_impossible_command_line_is_two_without_a_traceback(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"penstock: ")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["peek", NAME], ["stat", NAME], ["purge", "-y", NAME], ["rm", "-y", NAME], ["get", NAME, "--timeout", "0"]],
)
def test_missing_name_is_four(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (4, b"")
    assert NAME in done.stderr.decode()


@pytest.mark.parametrize("arguments", [["peek", NAME], ["stat", NAME], ["get", NAME], ["put", NAME]])
def test_file_that_is_not_penstock_s_is_five_and_left_alone(arguments: list[str], directory: str) -> None:
    file = Path(directory) / NAME
    file.write_bytes(b"my diary\n")
    file.chmod(0o600)
    done = run(*arguments, stdin=b"x\n")
    assert (done.returncode, done.stdout, file.read_bytes()) == (5, b"", b"my diary\n")
    one_line(done.stderr)
    file.unlink()


def test_exit_codes_are_those_of_the_documentation() -> None:
    rows = re.findall(r"^\| (\d+) \|", (DOCS / "cli.md").read_text(), re.MULTILINE)
    assert {int(code) for code in rows} == {*Exit, 129, 130, 143}


def test_documentation_has_every_command_and_option() -> None:
    text = (DOCS / "cli.md").read_text()
    for command in COMMANDS:
        assert f"## penstock {command}" in text
        section = text.split(f"## penstock {command}")[1].split("\n## ")[0]
        for option in re.findall(r"^  (?:-\w, )?(--[a-z-]+)", run(command, "--help").stdout.decode(), re.MULTILINE):
            assert option == "--help" or f"`{option}" in section, (command, option)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_does_not_import_the_others_nor_numpy(command: str) -> None:
    code = (
        f"import atexit, sys; sys.argv = ['penstock', {command!r}, '--help'];"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr));"
        "from penstock.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    imported = set(done.stderr.decode().split())
    assert f"penstock.cli.{command}" in imported
    others = {f"penstock.cli.{other}" for other in COMMANDS} - {f"penstock.cli.{command}"}
    assert not imported & (others | {"numpy", "asyncio", "multiprocessing", "readline"})


# ---- looking ---------------------------------------------------------------------------------------------------------


def test_ls_of_nothing_prints_nothing() -> None:
    done = run("ls")
    assert (done.returncode, done.stdout) == (0, b"")
    assert json.loads(run("ls", "--json").stdout) == []


def test_ls_shows_depth_and_who_is_attached(texts: penstock.Queue) -> None:
    texts.put_many(["a", "b"])
    mutex = penstock.Mutex("guard")
    lines = run("ls").stdout.decode().splitlines()
    assert lines[0].split() == ["NAME", "KIND", "ITEM", "DEPTH", "SIZE", "AGE", "ATTACHED", "NOTE"]
    assert re.fullmatch(rf"guard +mutex +[\d.]+ \w+ +\d+ s +{os.getpid()}", lines[1])
    assert re.fullmatch(rf"things +queue +str +2/10 +[\d.]+ \w+ +\d+ s +{os.getpid()}", lines[2])
    entry = json.loads(run("ls", "--json").stdout)[1]
    assert (entry["name"], entry["depth"], entry["capacity"], entry["attached"]) == (NAME, 2, 10, [os.getpid()])
    mutex.unlink()


def test_ls_marks_the_dead_and_what_they_left_and_rm_stale_removes_it() -> None:
    make = (
        "import penstock, sys; q = penstock.Queue('left', lifetime='while_open'); print(flush=True); sys.stdin.read()"
    )
    with Program((sys.executable, "-c", make)) as owner:
        owner.line()
        assert run("rm", "--stale").returncode == 0
        assert "left" in run("ls").stdout.decode()
        owner.signal(signal.SIGKILL)
        owner.process.wait()
    assert "leftover" in run("ls").stdout.decode()
    done = run("rm", "--stale")
    assert (done.returncode, one_line(done.stderr)) == (0, "removed leftover 'left'")
    assert run("ls").stdout == b""


def test_ls_shows_what_is_not_penstock_s_without_steering_the_terminal(directory: str) -> None:
    file = Path(directory) / "evil\x1b[2Jname"
    file.write_bytes(b"no queue")
    try:
        done = run("ls")
    finally:
        file.unlink()
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout
    assert b"evil\\x1b[2Jname" in done.stdout


def test_stat_shows_all_there_is_to_know(texts: penstock.Queue) -> None:
    texts.put_many(["a", "b"])
    text = run("stat", NAME).stdout.decode()
    for fact in (r"item +str", r"capacity +10", r"waiting +2", r"put total +2", r"is shutdown +no"):
        assert re.search(rf"^{fact}$", text, re.MULTILINE), (fact, text)
    assert re.search(rf"^participants +{os.getpid()}$", text, re.MULTILINE)
    facts = json.loads(run("stat", NAME, "--json").stdout)
    assert facts.keys() == texts.stats().keys()
    assert facts["waiting"] == 2


def test_stat_of_a_mutex_does_not_acquire_it() -> None:
    mutex = penstock.Mutex("guard")
    with mutex:
        assert run("stat", "guard").returncode == 0
    semaphore, event = penstock.Semaphore("permits", value=0), penstock.Event("bell")
    mapping = penstock.Mapping("memory", 16)
    for name in ("permits", "bell", "memory"):
        assert re.search(rf"^name +{name}$", run("stat", name).stdout.decode(), re.MULTILINE)
    for handle in (mutex, semaphore, event, mapping):
        handle.unlink()


def test_peek_never_removes(texts: penstock.Queue) -> None:
    texts.put_many(list("abc"))
    for _ in range(2):
        assert run("peek", NAME).stdout == b"a\n"
        assert run("peek", NAME, "-n", "5", "--json").stdout == b'"a"\n"b"\n"c"\n'
    assert texts.get_many(10, timeout=0) == list("abc")
    done = run("peek", NAME)
    assert (done.returncode, one_line(done.stderr)) == (3, "queue 'things' is empty")


# ---- removing --------------------------------------------------------------------------------------------------------


def test_purge_empties_and_says_how_much(texts: penstock.Queue) -> None:
    texts.put_many(list("abc"))
    done = run("purge", NAME, "--yes")
    assert (done.returncode, done.stdout, texts.qsize()) == (0, b"3 items thrown away\n", 0)
    texts.put("d")
    assert json.loads(run("purge", NAME, "--yes", "--json").stdout) == {"name": NAME, "purged": 1}


@pytest.mark.parametrize("command", ["purge", "rm"])
def test_without_a_terminal_nothing_goes_unless_yes_is_said(command: str, texts: penstock.Queue) -> None:
    texts.put("a")
    done = run(command, NAME, stdin=b"y\n")
    assert done.returncode == 2
    assert b"--yes" in done.stderr
    assert waiting(NAME) == 1


@pytest.mark.parametrize("command", ["purge", "rm"])
@pytest.mark.parametrize("answer", ["\n", "n\n", "nonsense\n", "\x04", "\x03"], ids=repr)
def test_anything_but_yes_is_no(answer: str, command: str, texts: penstock.Queue) -> None:
    texts.put("a")
    with Terminal((*PENSTOCK, command, NAME)) as terminal:
        terminal.see("1 item")
        terminal.see("[y/N] ")
        terminal.type_keys(answer)
        assert terminal.end() == (130 if answer == "\x03" else 1)
        assert terminal.attributes() == terminal.attributes_before
    assert b"Traceback" not in terminal.screen
    assert waiting(NAME) == 1


@pytest.mark.parametrize(("command", "left"), [("purge", 0), ("rm", -1)])
def test_yes_at_the_prompt_is_yes(command: str, left: int, texts: penstock.Queue) -> None:
    texts.put("a")
    with Terminal((*PENSTOCK, command, NAME)) as terminal:
        terminal.see("[y/N] ")
        terminal.type_keys("y\n")
        assert terminal.end() == 0
    assert waiting(NAME) == left


def test_rm_goes_on_after_a_name_that_cannot_be_removed(texts: penstock.Queue) -> None:
    done = run("rm", "-y", "nothing", NAME)
    assert done.returncode == 4
    assert "nothing" in one_line(done.stderr)
    assert waiting(NAME) == -1


def test_rm_does_not_touch_a_stranger_s_file(directory: str) -> None:
    file = Path(directory) / "diary"
    file.write_bytes(b"my diary\n")
    try:
        assert run("rm", "-y", "diary").returncode == 5
        assert file.read_bytes() == b"my diary\n"
    finally:
        file.unlink()


# ---- doctor ----------------------------------------------------------------------------------------------------------


def test_doctor_looks_at_everything_and_leaves_nothing(directory: str) -> None:
    done = run("doctor")
    text = done.stdout.decode()
    for subject in ("directory", "room", "objects", "processors", "kernel"):
        assert re.search(rf"^(ok|note|problem) +{subject} ", text, re.MULTILINE)
    assert done.returncode == ("problem  " in text)
    assert os.listdir(directory) == []
    findings = json.loads(run("doctor", "--json").stdout)["findings"]
    assert {finding["level"] for finding in findings} <= {"ok", "note", "problem"}


def test_doctor_finds_a_directory_that_is_open_to_others(directory: str) -> None:
    os.chmod(directory, 0o777)
    done = run("doctor")
    assert done.returncode == 1
    assert "chmod 700" in done.stdout.decode()
    os.chmod(directory, 0o700)


def test_doctor_knows_docker_s_64_megabytes() -> None:
    from penstock.cli import doctor

    facts = {"file_system": "tmpfs", "free_bytes": 60 << 20, "total_bytes": 64 << 20}
    finding = doctor._room(facts)
    assert finding.level == "problem"
    assert "--shm-size" in finding.remedy
    assert doctor._room({**facts, "total_bytes": 1 << 30, "free_bytes": 1 << 20}).level == "problem"
    assert doctor._room({**facts, "total_bytes": 1 << 30}).level == "ok"

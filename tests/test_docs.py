"""The pages say what is so: every Python and console block in them runs, and every link leads somewhere.

How a block is run follows from how it begins:

    ```python            runs in this process, after the blocks before it on the same page, with what they defined
    ```python, `>>> `    is a doctest: what it prints is compared
    ```python, # a.py    is the file a.py in the page's own directory, for a console block to run
    ```console           is one shell script of the lines after "$ "; what it prints is compared, "..." is anything

Blocks of other languages, and indented ones, are for reading.
"""

from __future__ import annotations

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import penstock
from helpers import PATIENCE_SECONDS
from penstock import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
MOST_LINES_OF_README = 50


def title(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def each_page(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=title)


class Block(NamedTuple):
    """A fenced block: its language, the line its text begins on, and the text."""

    language: str
    line: int
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that the block is, if it is one."""
        named = re.match(r"# ([\w-]+\.py)\n", self.text)
        return named[1] if named else None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(found[1], text.count("\n", 0, found.start(2)) + 1, found[2])


RUNNING = [page for page in PAGES if any(block.language in ("python", "console") for block in blocks(page))]


# ---- blocks run ------------------------------------------------------------------------------------------------------


@pytest.fixture
def commands(directory: str) -> dict[str, str]:
    """Give the environment in which a page's commands find this Python, this penstock and the page's own names."""
    beside = Path(sys.executable).parent
    path = f"{beside}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PENSTOCK_DIR": directory, "PYTHONWARNINGS": "error"}


@each_page(RUNNING)
def test_blocks_do_what_the_page_says(
    page: Path, tmp_path_on_shm: Path, commands: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = re.findall(r"^<!-- needs (\w+) -->$", page.read_text(encoding="utf-8"), re.MULTILINE)
    for package in needed:
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path_on_shm)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        if block.language == "console":
            run_console(page, block, commands)
        elif block.language != "python":
            continue
        elif block.file is not None:
            (tmp_path_on_shm / block.file).write_text(block.text)
        elif block.text.startswith(">>> "):
            run_doctest(page, block, names)
        else:
            exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)
    close_all(names)


def run_doctest(page: Path, block: Block, names: dict[str, Any]) -> None:
    text = block.text.replace("penstock.ShutDown", f"{penstock.ShutDown.__module__}.ShutDown")  # queue's, from 3.13 on
    test = doctest.DocTestParser().get_doctest(text, names, title(page), str(page), block.line - 1)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    said: list[str] = []
    runner.run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    assert runner.failures == 0, "".join(said)


def run_console(page: Path, block: Block, commands: dict[str, str]) -> None:
    script, expected = [], []
    for line in block.text.splitlines():
        if line.startswith(("$ ", "> ")):
            script.append(line[2:])
        else:
            expected.append(line)
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        env=commands,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    wanted = "".join(f"{line}\n" for line in expected)
    is_same = doctest.OutputChecker().check_output(wanted, done.stdout, doctest.ELLIPSIS)
    assert is_same, f"{title(page)}, line {block.line}: printed\n{done.stdout}\ninstead of\n{wanted}"


def close_all(names: dict[str, Any]) -> None:
    """Close what a page left open: it shows how to use a thing, not how to tidy up after it."""
    for value in names.values():
        if isinstance(value, (penstock.Queue, penstock.Mutex, penstock.Semaphore, penstock.Event)):
            value.close()
    names.clear()


def test_the_pages_that_show_how_have_blocks_that_run() -> None:
    howto = set((ROOT / "docs" / "howto").glob("*.md"))
    assert {ROOT / "README.md", ROOT / "docs" / "tutorial.md", *howto} <= set(RUNNING)


# ---- links lead somewhere --------------------------------------------------------------------------------------------


def prose(page: Path) -> str:
    """Return a page without its code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """Return what links can point to on a page: its headings, spelled as forges spell them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page(PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        if not aim.exists() or (anchor and anchor not in anchors(aim)):
            broken.append(target)
    assert broken == []


def test_the_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)\)", prose(index))}
    assert set((ROOT / "docs").rglob("*.md")) - {index} <= linked


def test_readme_is_one_screen_and_begins_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MOST_LINES_OF_README
    assert 0 < text.index("    make demo ") < text.index("    make test ") < text.index("```")


# ---- what the pages list is what there is ----------------------------------------------------------------------------


def sources() -> str:
    files = [*(ROOT / "crates").glob("*/src/**/*.rs"), *(ROOT / "python").rglob("*.py")]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def test_reference_has_every_environment_variable() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    used = set(re.findall(r"\bPENSTOCK_[A-Z]+(?:_[A-Z]+)*\b", sources()))
    assert used == set(re.findall(r"^\| `(PENSTOCK_[A-Z_]+)` \|", reference, re.MULTILINE))


def test_reference_has_every_error_under_what_it_can_be_caught_as() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", reference, re.MULTILINE))
    for name in penstock.__all__:
        error = getattr(penstock, name)
        if isinstance(error, type) and issubclass(error, BaseException) and error is not penstock.PenstockError:
            bases = [base.__name__ for base in error.__bases__ if base not in (penstock.PenstockError, Exception)]
            assert name in told, f"{name} is not in the table of errors"
            assert re.findall(r"`(\w+)`", told[name]) == bases, f"what {name} can be caught as"


@pytest.mark.usefixtures("directory")
def test_reference_has_every_figure_of_stats() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    words = set(re.findall(r"`(\w+)`", reference))
    with penstock.Mapping(None, 1) as mapping, penstock.Queue() as queue, penstock.Event() as event:
        mutex, semaphore = penstock.Mutex(), penstock.Semaphore()
        for one in (queue, mutex, semaphore, event, mapping):
            stats = one.stats()
            assert set(stats) | set(stats["participants"][0]) <= words
        mutex.close()
        semaphore.close()


def test_architecture_has_every_file_of_the_core_in_the_order_in_which_they_may_import() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    chain = re.search(r"^    (error .*?)$\n\n", text, re.MULTILINE | re.DOTALL)
    assert chain is not None
    order = re.findall(r"\w+", chain[1])
    core = ROOT / "crates" / "penstock-core" / "src"
    assert set(order) == {path.stem for path in core.iterdir()} - {"lib"}
    wrong = []
    for file in core.rglob("*.rs"):
        box = file.relative_to(core).parts[0].removesuffix(".rs")
        used = set(re.findall(r"\bcrate::(\w+)", file.read_text(encoding="utf-8").partition("#[cfg(test)]")[0]))
        if box != "lib":
            wrong += [f"{box} uses {one}" for one in used & set(order) if order.index(one) > order.index(box)]
    assert set(wrong) <= {"fault uses sys"}  # in builds with crash points, to die and to stop


def test_crash_page_has_every_named_point() -> None:
    core = ROOT / "crates" / "penstock-core" / "src"
    code = "\n".join(file.read_text(encoding="utf-8") for file in core.rglob("*.rs"))
    page = (ROOT / "docs" / "crash.md").read_text(encoding="utf-8")
    first_cells = "\n".join(re.findall(r"^\| (`[^|]*`) \|", page, re.MULTILINE))
    assert set(re.findall(r"`([^`]*)`", first_cells)) == set(re.findall(r'fault::point\("([^"]*)"\)', code))


def test_what_is_built_for_users_has_no_planted_bugs() -> None:
    assert b"PENSTOCK_WITHOUT" not in Path(_core.__file__).read_bytes()


TESTS = re.compile(r"`((?:tests|core)/\w+)::(\w+)`")


@pytest.mark.parametrize("page", ["crash.md", "security.md"])
def test_pages_of_promises_name_tests_that_exist(page: str) -> None:
    folders = {"tests": ROOT / "tests", "core": ROOT / "crates" / "penstock-core" / "tests"}
    named = TESTS.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert named
    missing = []
    for file, test in named:
        folder, _, stem = file.partition("/")
        found = list(folders[folder].glob(f"{stem}.*"))
        if not any(re.search(rf"\b(?:def|fn) {test}\b", path.read_text(encoding="utf-8")) for path in found):
            missing.append(f"{file}::{test}")
    assert missing == []

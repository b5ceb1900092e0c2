"""Which file may import which (ARCHITECTURE.md), and what importing penstock costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from helpers import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "penstock"

# Lowest first: a file may import those above it, and no others. `_core` is the native module, which looks up classes
# in `_errors` and nothing else.
LAYERS = [
    *("_errors", "_core", "_name", "_handle", "_dtype", "_item", "_array_pickles", "_codec", "_arrays"),
    *("_queue", "_mutex", "_semaphore", "_event", "_mapping", "_wait", "__init__"),
]
ALLOWED = {name: set(LAYERS[:place]) for place, name in enumerate(LAYERS)}
ALLOWED["_core"] = {"_errors"}
SIBLINGS = {"_queue", "_mutex", "_semaphore", "_event", "_mapping", "_wait"}
for one in SIBLINGS:
    ALLOWED[one] -= SIBLINGS

# These stand on the public package, each with the private files that are a part of it.
ON_TOP: dict[str, set[str]] = {
    "_readiness": set(),
    "_child": set(),
    "aio": {"_readiness"},
    "testing": {"_child"},
    "__main__": {"cli"},
}
BOXES = ("cli", "win32", "monitor", "engines", "bench")
CLI_MAY_ALSO = {
    "cli/_directory": {"_core"},  # what `ls`, `rm` and `doctor` show has no place in the public package
    "cli/bench": {"bench"},  # a box of its own, with a command to it
}


def modules() -> list[str]:
    """Return the package's files, without their suffix."""
    return sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in PACKAGE.rglob("*.py"))


def imported(module: str) -> Iterator[str]:
    """Return which files of the package a file imports when it runs: what is for types only does not count."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for node in at_run_time(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that they can be searched for"
            source = node.module or ""
            targets = [f"{source}.{alias.name}" for alias in node.names] if source == "penstock" else [source]
        else:
            continue
        for target in targets:
            if target.partition(".")[0] == "penstock":
                inner = target.partition(".")[2].partition(".")[0]
                is_file = (PACKAGE / f"{inner}.py").exists() or (PACKAGE / inner).is_dir() or inner == "_core"
                yield inner if inner and is_file else "__init__"


def at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without the blocks under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield child
        yield from at_run_time(child)


@pytest.mark.parametrize("module", modules())
def test_file_imports_only_what_stands_above_it(module: str) -> None:
    box = module.partition("/")[0]
    if box in BOXES:
        allowed = {"__init__", box} | CLI_MAY_ALSO.get(module, set())
    elif module in ON_TOP:
        allowed = {"__init__"} | ON_TOP[module]
    else:
        assert module in ALLOWED, f"{module}.py is new: give it a place in LAYERS or ON_TOP"
        allowed = ALLOWED[module]
    assert set(imported(module)) <= allowed


@pytest.mark.parametrize("module", ["_readiness", "_child"])
def test_helpers_of_the_faces_stand_on_the_standard_library_alone(module: str) -> None:
    assert set(imported(module)) == set()


COSTLY = [
    *("numpy", "msgspec", "click", "asyncio", "pickle", "_pickle", "json", "multiprocessing", "subprocess"),
    *("socket", "tempfile", "inspect", "dataclasses", "logging", "unittest", "concurrent.futures"),
]


def loaded_by(code: str) -> set[str]:
    """Return what an interpreter of its own has loaded after running a statement."""
    show = f"import sys; sys.path[:] = {sys.path!r}; {code}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", show], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=True
    )
    return set(done.stdout.split())


def test_importing_penstock_loads_nothing_costly() -> None:
    loaded = loaded_by("import penstock; penstock.Queue")
    assert "penstock._core" in loaded
    assert sorted(loaded & set(COSTLY)) == []


@pytest.mark.usefixtures("directory")
def test_queue_of_numbers_needs_neither_numpy_nor_pickle() -> None:
    loaded = loaded_by("import penstock; q = penstock.Queue(item='u4'); q.put(7); assert q.get() == 7; q.close()")
    assert sorted(loaded & set(COSTLY)) == []


@pytest.mark.usefixtures("directory")
def test_queue_of_objects_needs_pickle_but_not_numpy() -> None:
    loaded = loaded_by("import penstock; q = penstock.Queue(); q.put([7]); assert q.get() == [7]; q.close()")
    assert sorted(loaded & set(COSTLY) - {"pickle", "_pickle"}) == []


def test_importing_the_faces_loads_no_numpy() -> None:
    assert sorted({"numpy", "msgspec", "click"} & loaded_by("import penstock.aio, penstock.testing")) == []

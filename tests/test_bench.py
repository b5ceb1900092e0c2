"""The benchmark: it measures with real processes, and one that loses, doubles, reorders or tears items has failed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

np = pytest.importorskip("numpy")

from penstock import testing  # noqa: E402
from penstock.bench import _bars, _check, _items, _page, _results, _text, _work, peers  # noqa: E402

HERE = Path(__file__).parent
SECONDS = "0.02"


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command with runs as short as they go."""
    command = [sys.executable, "-m", "penstock", "bench", "--seconds", SECONDS, "--rounds", "1", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(HERE)}
    return subprocess.run(command, capture_output=True, text=True, timeout=55, env=env)


def only_row(path: Path) -> dict[str, Any]:
    (row,) = json.loads(path.read_text())["rows"]
    assert isinstance(row, dict)
    return row


# ---- figures ---------------------------------------------------------------------------------------------------------

MEASURED = [
    ("penstock", work)
    for work in (
        *("u4-single", "u4-batch", "u4-array", "u4-lease", "64B-single-4to4", "object-single-1000", "64B-in-place"),
        *("1MiB-single", "64KiB-touch", "object-turns-spinning", "u4-turns-asleep", "open", "import", "memory-empty"),
        *("call", "lease"),
    )
]
MEASURED += [
    (peer, "u4-single")
    for peer in ("multiprocessing.Queue", "multiprocessing.Pipe", "queue.Queue", "tcp-socket", "lesson", "guarded-file")
]
MEASURED += [("os.pipe", "64B-batch"), ("unix-socket", "1MiB-single"), ("python", "pickling"), ("python", "memcpy")]


@pytest.mark.parametrize(("peer", "work"), MEASURED, ids=lambda value: value)
def test_there_are_figures_for(peer: str, work: str, tmp_path: Path) -> None:
    done = bench("--peer", peer, "--work", work, "--json", tmp_path / "out.json")
    row = only_row(tmp_path / "out.json")
    assert (row["failed"], row["absent"]) == (None, None), done.stderr
    assert done.returncode == 0, done.stderr
    (figures,) = row["rounds"]
    assert figures["value"] > 0
    assert work in done.stdout
    if _work.EVERY[work].kind == "stream":
        assert figures["items"] > 0
        assert figures["cpu_seconds_per_million"] > 0


# ---- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "work", "said"),
    [
        ("Losing", "u4-single", "WrongItems"),
        ("Losing", "object-single-1000", "WrongItems"),
        ("Losing", "1KiB-single", "WrongItems"),
        ("Losing", "64B-single-4to1", "WrongItems"),
        ("Losing", "u4-single-1to4", "Lost"),
        ("Doubling", "u4-single", "WrongItems"),
        ("Doubling", "u4-single-4to4", "WrongItems"),
        ("Reordering", "u4-single", "WrongItems"),
        ("Reordering", "u4-single-1to4", "WrongItems"),
        ("Tearing", "1KiB-single", "Torn"),
        ("Tearing", "64B-single", "Torn"),
        ("Stopping", "u4-single", "Lost"),
        ("Losing", "u4-turns-spinning", "Lost"),
        ("Doubling", "u4-turns-spinning", "WrongItems"),
    ],
)
def test_a_queue_with_a_fault_fails_and_has_no_figure(fault: str, work: str, said: str, tmp_path: Path) -> None:
    arguments = ["--peer", f"lossy_peers:{fault}", "--work", work, "--patience", "1.5"]
    done = bench(*arguments, "--json", tmp_path / "out.json")
    row = only_row(tmp_path / "out.json")
    assert row["failed"] is not None
    assert row["failed"].startswith(said), row["failed"]
    assert row["rounds"] == []
    assert f"FAILED, {said}" in done.stdout
    assert done.returncode == 1


def check(counts: list[int], *, period: int = 0, is_only: bool = True) -> _check.Check:
    item = _items.Repeated(8, period) if period else _items.Number()
    one = _check.Check(item, 1, is_only)
    one.take(np.array(counts, "u4"))
    return one


@pytest.mark.parametrize("counts", [[0, 1, 3], [0, 1, 1], [0, 2, 1], [1, 2]])
def test_only_consumer_must_see_every_item_in_order(counts: list[int]) -> None:
    with pytest.raises(_check.WrongItems):
        check(counts)


def test_one_of_several_consumers_may_see_gaps_but_no_step_back() -> None:
    check([3, 7, 8], is_only=False)
    with pytest.raises(_check.WrongItems):
        check([3, 8, 7], is_only=False)


def test_counts_of_large_items_repeat() -> None:
    check([0, 1, 2, 0, 1, 2, 0], period=3)
    with pytest.raises(_check.WrongItems):
        check([0, 1, 2, 1, 2], period=3)


@pytest.mark.parametrize("parts", [[[0, 1], [2]], [[0, 1], [2, 3, 3]], [[0, 1], [2, 4]]])
def test_all_consumers_together_must_get_what_was_sent(parts: list[list[int]]) -> None:
    def tallies(some: list[list[int]]) -> list[list[list[int]]]:
        checks = [_check.Check(_items.Number(), 1, is_only_consumer=False) for _ in some]
        for one, counts in zip(checks, some, strict=True):
            for count in counts:  # a step at a time, so that the order is not what is looked at
                one._last = [-1]
                one.take(np.array([count], "u4"))
        return [one.tallies for one in checks]

    _check.compare(_items.Number(), 4, tallies([[0, 3], [1, 2]]))
    with pytest.raises(_check.WrongItems):
        _check.compare(_items.Number(), 4, tallies(parts))


# ---- choosing --------------------------------------------------------------------------------------------------------


def test_selections_name_works_that_there_are() -> None:
    for selection in _work.SELECTIONS.values():
        assert [work.name for work in _work.select(selection)] == list(selection)


def test_bars_name_works_and_peers_that_there_are() -> None:
    for work, peer in _bars.jobs():
        assert work in _work.EVERY
        assert peer in peers.NAMES


@pytest.mark.parametrize(
    "arguments", [["--work", "u5-single"], ["--peer", "nobody"], ["--compare", "/nowhere"], ["--seconds", "0"]]
)
def test_what_cannot_be_meant_is_said_before_anything_runs(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "penstock", "bench", *arguments], capture_output=True, text=True, timeout=55
    )
    assert done.returncode == 2
    assert done.stderr.startswith("penstock: ")


def test_peer_that_is_not_installed_is_absent_with_the_reason(tmp_path: Path) -> None:
    done = bench("--peer", "lossy_peers:Absent", "--work", "u4-single", "--json", tmp_path / "out.json")
    assert only_row(tmp_path / "out.json")["absent"] == "no-such-package is not installed"
    assert "no-such-package is not installed" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_bench_that_is_interrupted_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "penstock", "bench", "--peer", "lossy_peers:Stopping", "--work", "u4-single"]
    env = {**os.environ, "PYTHONPATH": str(HERE), "BENCH_TEST_MARK": str(tmp_path / "mark")}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as running:
        testing.wait_until((tmp_path / "mark").exists, 30, "a run to be under way")
        place = Path((tmp_path / "mark").read_text())
        assert place.is_dir()
        running.send_signal(number)
        assert running.wait(30) == 128 + number
    assert not place.exists()


def test_list_names_every_peer_and_work() -> None:
    lines = bench("--list").stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"peers:", "works:", *peers.NAMES, *_work.EVERY}


# ---- what comes out --------------------------------------------------------------------------------------------------


def results(*values: float) -> _results.Results:
    row = _results.Row("u4-single", "penstock", [{"value": value, "peak_bytes": 2**20} for value in values])
    other = _results.Row("u4-single", "os.pipe", [{"value": 100.0}] * len(values))
    absent = _results.Row("u4-single", "redis", absent="there is no redis-server on the PATH")
    return _results.Results({"processor": "one"}, 0.5, len(values), [other, row, absent])


def test_json_can_be_read_again_and_compared(tmp_path: Path) -> None:
    before, now = results(900, 1000, 1100), results(2000, 2100, 2500)
    before.write_json(tmp_path / "old.json")
    assert _results.read_json(tmp_path / "old.json") == before
    lines = list(_text.comparison(_results.read_json(tmp_path / "old.json"), now))
    assert lines[2].split() == ["u4-single", "penstock", "1000", "2100", "+110", "%", "clear", "of", "the", "spread"]


def test_table_has_the_best_first_with_ratios_and_says_who_is_absent() -> None:
    lines = list(_text.report(results(900, 1000, 1100)))
    assert [line.split()[0] for line in lines[3:5]] == ["penstock", "os.pipe"]
    assert lines[4].endswith("10.0 x")
    assert lines[5] == "Without figures: redis: there is no redis-server on the PATH."


def test_csv_has_a_line_for_each_round(tmp_path: Path) -> None:
    results(1, 2, 3).write_csv(tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["value"] for row in rows if row["peer"] == "penstock"] == ["1", "2", "3"]


def test_page_has_the_machine_the_figures_and_how_peers_were_set_up() -> None:
    text = _page.page(results(900, 1000, 1100), "benchmarks.svg")
    assert "| processor | one |" in text
    assert "| penstock | 1000 items/s | 900 to 1100 |" in text
    assert "- **os.pipe**: write and read" in text
    assert "![The figures below as bars](benchmarks.svg)" in text


def test_page_says_when_the_machine_was_busy() -> None:
    one = results(900, 1000, 1100)
    assert "was busy" not in _page.page(one, None)
    one.machine |= {"processors": "2", "load before": "1.50"}
    assert "was busy" in _page.page(one, None)


@pytest.mark.parametrize(
    ("value", "said"), [(0.5, "0.50"), (12.34, "12.3"), (9999, "9999"), (12345, "12.3 k"), (3.2e6, "3.20 M")]
)
def test_numbers_have_three_digits(value: float, said: str) -> None:
    assert _text.number(value) == said


def test_bar_is_met_not_met_or_not_measured() -> None:
    bar = _bars.Bar("twice a pipe", 2, True, ("u4-single", "penstock"), (("u4-single", "os.pipe"),))
    assert bar.measured(results(300)) == 3
    assert bar.is_met(results(300)) is True
    assert bar.is_met(results(150)) is False
    assert _bars.Bar("more", 2, True, ("u4-batch", "penstock")).is_met(results(300)) is None

"""The books of the long random runs see what they are to see, and their table shows it."""

from __future__ import annotations

import pickle
import sys
from typing import TYPE_CHECKING

import pytest

from stress import __main__ as driver
from stress import account, ledger
from stress.account import Death, Figures
from stress.items import LARGE, SMALL, STOP, Scenario, word_of
from stress.ledger import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Note = tuple[int, Kind, int, int]

NUMBERS = Scenario("u8", (8,), 10, ("get",))
LEASES = Scenario("bytes", (8,), 10, ("lease",))
A, B, C = (word_of(1, serial) for serial in range(3))
PRODUCER, CONSUMER, OTHER = 1, 2, 3
KILLED, GONE = 1000, 1010


def put(at: int, word: int, many: int = 1) -> list[Note]:
    return [(at, Kind.PUT_BEGIN, word, many), (at + 1, Kind.PUT_END, word, many)]


def get(at: int, *words: int) -> list[Note]:
    got = [(at + 1, Kind.GOT, word, 1) for word in words]
    return [(at, Kind.GET_BEGIN, 0, 5), *got, (at + 2, Kind.TAKE_END, 0, 1)]


def lease(at: int, word: int, deliveries: int = 1) -> list[Note]:
    return [(at, Kind.LEASE_BEGIN, 0, 1), (at + 1, Kind.LEASED, word, deliveries)]


def ack(at: int, word: int) -> list[Note]:
    return [(at, Kind.ACK_BEGIN, word, 1), (at + 1, Kind.ACK_END, word, 1)]


def give_back(at: int, word: int) -> list[Note]:
    return [(at, Kind.BACK_BEGIN, word, 1), (at + 1, Kind.BACK_END, word, 1)]


@pytest.fixture
def books(tmp_path: Path) -> Callable[..., Figures]:
    """Give the test what makes figures of what processes noted; those named as dead were killed at 1000."""

    def settle(scenario: Scenario, notes: dict[int, list[Note]], dead: tuple[int, ...] = ()) -> Figures:
        for process, noted in notes.items():
            records = [ledger.RECORD.pack(at, word, process, kind, many) for at, kind, word, many in noted]
            (tmp_path / f"{process}.ledger").write_bytes(b"".join(records))
        deaths = {process: Death(KILLED, GONE) for process in dead}
        paths = [tmp_path / f"{process}.ledger" for process in notes]
        return account.settle(account.read(paths, deaths, scenario))

    return settle


THREE = put(1, A) + put(3, B) + put(5, C)


def test_books_that_are_right_show_nothing_bad(books: Callable[..., Figures]) -> None:
    figures = books(NUMBERS, {PRODUCER: THREE, CONSUMER: get(10, A, B) + get(20, C) + get(30, STOP)})
    assert (figures.bad(), figures.items, figures.in_doubt) == ({}, 3, 0)


@pytest.mark.parametrize(
    ("bad", "consumed"),
    [
        ("lost", get(10, A) + get(20, C)),
        ("doubled", get(10, A, B) + get(20, B, C)),
        ("disordered", get(10, B) + get(20, A, C)),
        ("torn", get(10, A, B, C) + get(20, word_of(7, 7))),
        ("torn", [*get(10, A, B, C), (20, Kind.TORN, 0, 1)]),
        ("failed", [*get(10, A, B, C), (20, Kind.GET_BEGIN, 0, 1)]),
    ],
)
def test_wrong_that_nobody_died_for_is_seen(books: Callable[..., Figures], bad: str, consumed: list[Note]) -> None:
    assert bad in books(NUMBERS, {PRODUCER: THREE, CONSUMER: consumed}).bad()


def test_item_that_a_killed_consumer_was_getting_may_be_gone(books: Callable[..., Figures]) -> None:
    notes = {PRODUCER: THREE, CONSUMER: [*get(10, A), (20, Kind.GET_BEGIN, 0, 1)], OTHER: get(30, C)}
    figures = books(NUMBERS, notes, (CONSUMER,))
    assert (figures.bad(), figures.taken, figures.in_doubt) == ({}, 1, 1)


def test_no_more_may_be_gone_than_it_was_getting(books: Callable[..., Figures]) -> None:
    notes = {PRODUCER: THREE, CONSUMER: [*get(10, A), (20, Kind.GET_BEGIN, 0, 1)]}
    assert books(NUMBERS, notes, (CONSUMER,)).bad() == {"lost": 1}


def test_what_was_gone_before_the_call_that_was_killed_is_lost(books: Callable[..., Figures]) -> None:
    # B must have been taken before C was, and that was before the call began.
    notes = {PRODUCER: THREE, OTHER: get(30, C), CONSUMER: [*get(10, A), (40, Kind.GET_BEGIN, 0, 1)]}
    assert books(NUMBERS, notes, (CONSUMER,)).bad() == {"lost": 1}


@pytest.mark.parametrize("seen", [[], [A], [A, B]])
def test_batch_of_a_killed_producer_is_there_up_to_some_item(books: Callable[..., Figures], seen: list[int]) -> None:
    notes = {PRODUCER: [(1, Kind.PUT_BEGIN, A, 3)], CONSUMER: get(10, *seen)}
    assert books(NUMBERS, notes, (PRODUCER,)).bad() == {}


def test_batch_of_a_killed_producer_has_no_gaps(books: Callable[..., Figures]) -> None:
    notes = {PRODUCER: [(1, Kind.PUT_BEGIN, A, 3)], CONSUMER: get(10, A, C)}
    assert books(NUMBERS, notes, (PRODUCER,)).bad() == {"lost": 1}


def test_put_that_returned_is_not_in_doubt_whoever_died_later(books: Callable[..., Figures]) -> None:
    assert books(NUMBERS, {PRODUCER: THREE, CONSUMER: get(10, A, B)}, (PRODUCER,)).bad() == {"lost": 1}


def test_lease_of_the_dead_is_delivered_again_and_counted(books: Callable[..., Figures]) -> None:
    again = lease(1100, A, 2) + ack(1102, A)
    figures = books(LEASES, {PRODUCER: put(1, A), CONSUMER: lease(10, A), OTHER: again}, (CONSUMER,))
    assert (figures.bad(), figures.redelivered) == ({}, 1)


@pytest.mark.parametrize(
    ("bad", "consumer", "other", "dead"),
    [
        ("lost", lease(10, A), [], (CONSUMER,)),
        ("doubled", lease(10, A) + ack(12, A), lease(1100, A, 2) + ack(1102, A), (CONSUMER,)),
        ("stolen", lease(10, A), lease(900, A, 2) + ack(902, A), (CONSUMER,)),
        ("stolen", lease(10, A) + ack(90, A), lease(50, A, 2) + give_back(52, A), ()),
        ("uncounted", lease(10, A), lease(1100, A, 1) + ack(1102, A), (CONSUMER,)),
        ("uncounted", lease(10, A), lease(1100, A, 3) + ack(1102, A), (CONSUMER,)),
        ("uncounted", lease(10, A, 2) + ack(12, A), [], ()),
    ],
)
def test_wrong_with_leases_is_seen(
    books: Callable[..., Figures], bad: str, consumer: list[Note], other: list[Note], dead: tuple[int, ...]
) -> None:
    assert bad in books(LEASES, {PRODUCER: put(1, A), CONSUMER: consumer, OTHER: other}, dead).bad()


def test_item_that_the_dead_was_acknowledging_is_gone_or_comes_back(books: Callable[..., Figures]) -> None:
    notes = {PRODUCER: put(1, A), CONSUMER: [*lease(10, A), (20, Kind.ACK_BEGIN, A, 1)]}
    assert books(LEASES, notes, (CONSUMER,)).bad() == {}
    notes[OTHER] = lease(1100, A, 2) + ack(1102, A)
    assert books(LEASES, notes, (CONSUMER,)).bad() == {}


def test_item_that_was_given_back_may_come_after_newer_ones(books: Callable[..., Figures]) -> None:
    notes = {
        PRODUCER: THREE,
        CONSUMER: lease(10, A) + give_back(40, A),
        OTHER: lease(20, B) + ack(22, B) + lease(50, A, 2) + ack(52, A) + lease(60, C) + ack(62, C),
    }
    assert books(LEASES, notes).bad() == {}


@pytest.mark.parametrize("kind", ["u8", "bytes", "object"])
def test_items_say_who_they_are_and_when_they_are_torn(kind: str) -> None:
    scenario = Scenario(kind, (8,) if kind == "u8" else SMALL + LARGE, 10, ("get",))
    for word in (A, B, C, STOP):
        item = scenario.make(word)
        assert scenario.read(pickle.loads(pickle.dumps(item, 5)) if kind == "object" else item) == word
    if kind == "bytes":
        torn = scenario.make(A)[:-8] + scenario.make(B)[-8:]
        assert len(scenario.make(A)) == 8 or scenario.read(torn) is None


# ---- the table -------------------------------------------------------------------------------------------------------


def part(code: str, limit: float = 20.0) -> driver.Part:
    return driver.Part("a part", (sys.executable, "-c", code), limit=limit)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("print('figures: items=7 lost=0'); print('figures: items=5 lost=0 kills=3')", None),
        ("print('figures: items=7 lost=2')", "lost 2"),
        ("print('figures: items=7'); raise SystemExit(3)", "ended with 3"),
        ("print('nothing')", "printed no figures"),
    ],
)
def test_part_has_failed_if_its_figures_or_its_end_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, failure: str | None
) -> None:
    monkeypatch.setattr(driver, "LOGS", tmp_path)
    outcome = driver.run(part(code), 1.0, 7)
    assert outcome.failure == failure
    if failure is None:
        assert outcome.figures == {"items": 12, "lost": 0, "kills": 3}
        row = driver.table([outcome]).splitlines()[-1].split()
        assert row[:6] == ["a", "part", "12", "items", "0", "-"]
        assert row[-2:] == ["kills", "3"]


def test_part_that_takes_too_long_is_ended_with_all_that_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(driver, "LOGS", tmp_path)
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(100)'])"
    assert driver.run(part(code, limit=0.5), 1.0, 7).failure == "took too long"

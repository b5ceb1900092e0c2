"""Accounts for every item of a round, from what the workers noted.

What a verb that returned has done is certain. In doubt is the one verb that a process was in when it was killed, and
for that docs/crash.md says what may be: what it was putting is there or not, a batch up to some item; what it was
getting may have gone with it, or may have been on loan to it and come back; what it was acknowledging is gone or comes
back. Whatever is not as it should be has to be put down to such a verb, each to one of its own, and at a time at which
it may have been.
"""

from __future__ import annotations

import bisect
import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from stress import ledger
from stress.items import STOP
from stress.ledger import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from stress.items import Scenario

FOR_EVER = 1 << 63
LATE_RETURN_NS = 2_000_000_000
"""How long an item that was on loan to the dead may take to come back, at the very most, on a busy machine."""


ENOUGH = 100
"""How many are counted of what cannot be explained."""


class Death(NamedTuple):
    """When a process was killed, and when it was gone."""

    killed_ns: int
    gone_ns: int


@dataclasses.dataclass
class Figures:
    """What a round, or all of them, came to."""

    items: int = 0
    """Delivered."""
    rounds: int = 0
    kills: int = 0
    stops: int = 0
    """Processes stopped and let go on."""
    signals: int = 0
    longest_pause_ms: int = 0
    """After most were killed at once, until a survivor had put or taken an item."""
    no_space: int = 0
    in_doubt: int = 0
    """Verbs that a process was in when it was killed."""
    taken: int = 0
    """Items that went with the dead, in such a verb."""
    redelivered: int = 0
    """Items that were on loan to the dead, and delivered again."""
    held_stopped: int = 0
    """Leases that were held by a process while it was stopped."""
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    disordered: int = 0
    stolen: int = 0
    """Items that somebody else got while a living process had them on loan."""
    uncounted: int = 0
    """Deliveries that the item's count does not tell of, or tells too many of."""
    stuck: int = 0
    failed: int = 0
    """Processes that ended with an error, and rounds after which not the whole capacity was there."""

    def add(self, other: Figures) -> None:
        """Add another round's figures."""
        for field in dataclasses.fields(self):
            both = (getattr(self, field.name), getattr(other, field.name))
            setattr(self, field.name, max(both) if field.name == "longest_pause_ms" else sum(both))

    def bad(self) -> dict[str, int]:
        """Return what should be 0 and is not."""
        names = ("lost", "doubled", "torn", "disordered", "stolen", "uncounted", "stuck", "failed")
        return {name: getattr(self, name) for name in names if getattr(self, name)}

    def __str__(self) -> str:
        return " ".join(f"{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self))


class Put(NamedTuple):
    """A batch of items whose put was begun: so many for certain, and so many more perhaps."""

    first: int
    certain: int
    maybe: int
    begun_ns: int
    ended_ns: int


@dataclasses.dataclass
class Loan:
    """A lease, from when it was had until it began to end."""

    word: int
    process: int
    deliveries: int
    since_ns: int
    until_ns: int = FOR_EVER
    how: str = "held"
    """"acked", "back" (given back), "died" (its holder), or "doubt" (its holder, acknowledging)."""


@dataclasses.dataclass
class Doubt:
    """A verb that took items and did not return: when it may have taken them, and how many."""

    begun_ns: int
    gone_ns: int
    may_take: int
    may_borrow: int


@dataclasses.dataclass
class Books:
    """Everything that was noted in a round."""

    puts: list[Put] = dataclasses.field(default_factory=list)
    taken: dict[int, int] = dataclasses.field(default_factory=dict)
    """When each item was taken for good."""
    loans: dict[int, list[Loan]] = dataclasses.field(default_factory=dict)
    doubts: list[Doubt] = dataclasses.field(default_factory=list)
    late: list[int] = dataclasses.field(default_factory=list)
    """Items that a consumer got after a newer one of the same producer."""
    figures: Figures = dataclasses.field(default_factory=Figures)

    def take(self, word: int, at_ns: int) -> None:
        """Note that an item was taken for good."""
        if word in self.taken:
            self.figures.doubled += 1
        self.taken[word] = at_ns
        self.figures.items += 1


# ---- reading ---------------------------------------------------------------------------------------------------------


class _Stream:
    """Reads what one stream noted."""

    def __init__(self, books: Books, scenario: Scenario) -> None:
        self.books = books
        self.scenario = scenario
        self.put: ledger.Record | None = None
        self.take: ledger.Record | None = None
        self.got = 0
        self.loan: Loan | None = None
        self.newest: dict[int, int] = {}

    def read(self, record: ledger.Record) -> None:
        """Go on with the next record."""
        kind = record.kind
        if kind is Kind.GOT:  # the most frequent first
            self.got += 1
            self.see(record.word)
            if record.word != STOP:
                self.books.take(record.word, record.at_ns)
        elif kind is Kind.PUT_BEGIN:
            self.put = record
        elif kind is Kind.PUT_END and self.put is not None:
            self.books.puts.append(Put(record.word, record.many, 0, self.put.at_ns, record.at_ns))
            self.put = None
        elif kind is Kind.NO_SPACE:
            self.books.figures.no_space += 1
        elif kind is Kind.TORN:
            self.books.figures.torn += 1
        elif kind in (Kind.GET_BEGIN, Kind.LEASE_BEGIN):
            self.take, self.got = record, 0
        elif kind is Kind.TAKE_END:
            self.take = None
        elif record.word != STOP:
            self._read_loan(record)
        else:
            self.take = None

    def _read_loan(self, record: ledger.Record) -> None:
        kind = record.kind
        if kind is Kind.LEASED:
            self.take = None
            self.see(record.word)
            self.loan = Loan(record.word, record.stream // ledger.STREAMS, record.many, record.at_ns)
            self.books.loans.setdefault(record.word, []).append(self.loan)
            return
        assert self.loan is not None, f"{record} of a stream that has nothing on loan"
        if kind is Kind.ACK_BEGIN:
            self.loan.until_ns, self.loan.how = record.at_ns, "doubt"
        elif kind is Kind.ACK_END:
            self.loan.how = "acked"
            self.books.take(record.word, record.at_ns)
            self.loan = None
        elif kind is Kind.BACK_BEGIN:
            self.loan.until_ns, self.loan.how = record.at_ns, "back"
        elif kind is Kind.BACK_END:
            self.loan = None

    def see(self, word: int) -> None:
        """Note an item's place among those of its producer."""
        producer, serial = word >> 32, word & 0xFFFF_FFFF
        if serial < self.newest.get(producer, -1):
            self.books.late.append(word)
        else:
            self.newest[producer] = serial

    def end(self, death: Death | None) -> None:
        """Put down what the stream was in when its process ended."""
        if death is None:
            self.books.figures.failed += sum(part is not None for part in (self.put, self.take, self.loan))
            return
        if self.put is not None:
            self.books.puts.append(Put(self.put.word, 0, self.put.many, self.put.at_ns, FOR_EVER))
        if self.loan is not None and self.loan.how == "held":
            self.loan.until_ns, self.loan.how = death.killed_ns, "died"
        if self.take is not None:
            may_take = self.take.many - self.got if self.take.kind is Kind.GET_BEGIN else 0
            may_borrow = 1 if self.scenario.lends else 0
            self.books.doubts.append(Doubt(self.take.at_ns, death.gone_ns, may_take, may_borrow))
        self.books.figures.in_doubt += sum(part is not None for part in (self.put, self.take, self.loan))


def read(paths: Iterable[Path], deaths: Mapping[int, Death], scenario: Scenario) -> Books:
    """Read the ledgers of a round. Those that died are told by the number in their file's name."""
    books = Books()
    for path in paths:
        streams: dict[int, _Stream] = {}
        for record in ledger.read(path):
            if record.stream not in streams:
                streams[record.stream] = _Stream(books, scenario)
            streams[record.stream].read(record)
        for stream in streams.values():
            stream.end(deaths.get(int(path.stem)))
    return books


# ---- what must hold --------------------------------------------------------------------------------------------------


class Demand(NamedTuple):
    """Something that must be put down to a doubt which was open at some time between these two."""

    word: int
    from_ns: int
    until_ns: int


def settle(books: Books) -> Figures:
    """Check everything, and return the figures."""
    figures = books.figures
    missing = _check_puts(books)
    doubtful = {word for word, loans in books.loans.items() if any(loan.how == "doubt" for loan in loans)}
    demands = _windows(books, [(word, put) for word, put in missing if word not in doubtful])
    lost = _unmatched(demands, [(doubt, doubt.may_take) for doubt in books.doubts])
    figures.lost += lost
    figures.taken += len(missing) - lost

    _check_loans(books)
    figures.redelivered += sum(
        word in books.taken and any(loan.how in ("died", "doubt") for loan in loans)
        for word, loans in books.loans.items()
    )
    strange = {word for word in books.late if all(loan.how == "acked" for loan in books.loans.get(word, []))}
    late = [Demand(word, 0, books.taken.get(word, FOR_EVER)) for word in strange]
    figures.disordered += _unmatched(late, [(doubt, doubt.may_borrow) for doubt in books.doubts])
    return figures


def _check_puts(books: Books) -> list[tuple[int, Put]]:
    """Check that nothing was taken that nobody put, and return what is missing of what was put, with its batch."""
    found = 0
    missing: list[tuple[int, Put]] = []
    for put in books.puts:
        confirmed = _confirmed(put, books)
        for nth in range(put.certain + put.maybe):
            word = put.first + nth
            if word in books.taken:
                found += 1
            elif nth < confirmed:
                missing.append((word, put))
    books.figures.torn += len(books.taken) - found
    return missing


def _confirmed(put: Put, books: Books) -> int:
    """Tell how many of a batch were put: those confirmed, or of one in doubt all up to the last that was seen."""
    if not put.maybe:
        return put.certain
    words = range(put.first, put.first + put.maybe)
    return max((word + 1 - put.first for word in words if word in books.taken or word in books.loans), default=0)


def _windows(books: Books, missing: list[tuple[int, Put]]) -> list[Demand]:
    """Tell when each missing item was taken: after its put began, and before anything that was put after it."""
    if not missing:
        return []
    batches = sorted(books.puts, key=lambda put: put.begun_ns)
    begins = [put.begun_ns for put in batches]
    soonest = [FOR_EVER] * (len(batches) + 1)
    for place in range(len(batches) - 1, -1, -1):
        put = batches[place]
        words = range(put.first, put.first + put.certain + put.maybe)
        first = min((books.taken.get(word, FOR_EVER) for word in words), default=FOR_EVER)
        soonest[place] = min(first, soonest[place + 1])
    demands = []
    for word, put in missing:
        until = FOR_EVER if word in books.loans else soonest[bisect.bisect_right(begins, put.ended_ns)]
        if any(d.may_borrow and d.begun_ns <= until and d.gone_ns >= put.begun_ns for d in books.doubts):
            until += LATE_RETURN_NS  # it may have been on loan to one who died, and to be taken by another
        demands.append(Demand(word, put.begun_ns, until))
    return demands


def _check_loans(books: Books) -> None:
    """Check that nothing was delivered while it was on loan, and that every delivery was counted."""
    extra: list[Demand] = []
    for word, loans in books.loans.items():
        loans.sort(key=lambda loan: loan.since_ns)
        before = 0
        for loan, nxt in zip(loans, [*loans[1:], None], strict=True):
            unseen = loan.deliveries - before - 1
            books.figures.uncounted += unseen < 0
            extra.extend([Demand(word, 0, loan.since_ns)] * max(unseen, 0))
            before = loan.deliveries
            again_ns = nxt.since_ns if nxt is not None else books.taken.get(word, FOR_EVER)
            if loan.how != "acked" or nxt is not None:  # else it was taken by the one who had it
                books.figures.stolen += again_ns < loan.until_ns
                books.figures.doubled += loan.how == "acked"
    books.figures.uncounted += _unmatched(extra, [(doubt, doubt.may_borrow) for doubt in books.doubts])


def _unmatched(demands: list[Demand], doubts: list[tuple[Doubt, int]]) -> int:
    """Put each demand down to a doubt, of which each bears only so many; return how many cannot be, up to a limit."""
    bearers = [(doubt, count) for doubt, count in doubts if count > 0]
    borne: list[list[Demand]] = [[] for _ in bearers]

    def place(demand: Demand, tried: set[int], times: set[tuple[int, int]]) -> bool:
        if (time := (demand.from_ns, demand.until_ns)) in times:
            return False  # another of the same batch could not be placed elsewhere
        times.add(time)
        fitting = [
            number
            for number, (doubt, _) in enumerate(bearers)
            if number not in tried and doubt.begun_ns <= demand.until_ns and doubt.gone_ns >= demand.from_ns
        ]
        tried.update(fitting)
        for number in fitting:
            if len(borne[number]) < bearers[number][1]:
                borne[number].append(demand)
                return True
        for number in fitting:
            for nth, other in enumerate(borne[number]):
                if place(other, tried, times):
                    borne[number][nth] = demand
                    return True
        return False

    unmatched = 0
    for demand in demands:
        unmatched += not place(demand, set(), set())
        if unmatched == ENOUGH:
            break
    return unmatched

"""Producers and consumers of every kind, killed and restarted every few milliseconds; every item is accounted for.

    PYTHONPATH=tests python -m stress.campaign --seconds 60 --seed 7

In rounds: each draws what passes through the queue and how it is taken, keeps ten processes at work, and kills, stops
and signals them at random. Then it lets the rest end by themselves, takes out what is left, and checks the books
(`account`) and the whole capacity. The seed decides what is drawn; when exactly a kill comes is up to the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import secrets
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import penstock
from penstock import Full, testing
from stress import account, items, ledger, workers
from stress.account import Death, Figures, Loan
from stress.cast import CAST, Place, Process
from stress.items import STOP, Scenario
from stress.small import CannotMount, Filler, small_file_system
from stress.workers import Task

ROUND_SECONDS = 5.0
KILL_MS = (1, 12)
"""Between two kills."""
KILL_MOST = 0.02
"""How often most are killed at once."""
STUCK_SECONDS = 10.0
"""How long nothing may happen, or a process may take to end, before somebody counts as stuck. (A second is promised, on
a machine that has nothing else to do.)"""


class Round:
    """One queue, its workers, and what happens to them."""

    def __init__(self, scenario: Scenario, directory: Path, seed: int) -> None:
        self.scenario = scenario
        self.directory = directory
        self.chance = random.Random(seed)
        self.flag = workers.Flag(directory)
        self.deaths: dict[int, Death] = {}
        self.stops: list[tuple[int, int, int]] = []
        """Number of the process, from when, until when."""
        self.figures = Figures(rounds=1)
        self.count = 0
        self.stories: list[str] = []
        self.room = Filler(directory / "small" / "filler") if scenario.is_space_short else None
        self.queue = penstock.Queue.create(
            testing.unique_name("stress"),
            capacity=scenario.capacity,
            item=scenario.item,
            max_item_bytes=None if scenario.item == "u8" else items.MAX_ITEM_BYTES,
            directory=directory / "small" if scenario.is_space_short else None,
        )
        self.processes = [self.start(place) for place in CAST]

    # ---- starting ----

    def start(self, place: Place) -> Process:
        """Start a process for a place in the cast."""
        self.count += 1
        # An inherited or pickled handle, or the name to open.
        by_name = self.chance.random() < 0.5 and self.room is None
        queue = self.queue.name if by_name else self.queue
        seed = self.chance.getrandbits(48)
        return Process(place, Task(self.count, place.shape, place.roles, self.scenario, queue, self.directory, seed))

    # ---- what happens to processes ----

    def run(self, seconds: float) -> None:
        """Kill, stop and signal processes for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.figures.stuck:
            time.sleep(self.chance.uniform(*KILL_MS) / 1000)
            self.let_go_on(time.monotonic())
            self.disturb()
            self.look_for_failures()
            if self.chance.random() < KILL_MOST:
                self.kill_most()

    def kill_most(self) -> None:
        """Kill all but a few at once, and see that these go on by themselves, with no newcomers to help them."""
        self.let_go_on(account.FOR_EVER)
        if self.room is not None:
            self.room.make_room()
        begun = [process for process in self.processes if ledger.size(process.task.ledger)]
        survivors = self.chance.sample(begun, min(len(begun), self.chance.randint(2, 4)))
        if {role for process in survivors for role in process.task.roles} != {"p", "c"}:
            return
        victims = [process for process in self.processes if process not in survivors]
        for process in victims:
            os.kill(process.pid, signal.SIGSTOP)  # in the middle of things
        time.sleep(self.chance.uniform(0, 0.06))  # whoever needs what they hold goes to sleep
        started = time.monotonic()
        noted = [(process.task.ledger, ledger.size(process.task.ledger)) for process in survivors]
        self.processes = survivors
        self.bury(victims)
        while not any(ledger.has_done_something(path, since) for path, since in noted):
            if time.monotonic() - started > STUCK_SECONDS:
                self.find_stuck(f"{len(survivors)} survivors do not go on")
                return
            time.sleep(0.001)
        pause = round((time.monotonic() - started) * 1000)
        self.figures.longest_pause_ms = max(self.figures.longest_pause_ms, pause)
        self.processes += [self.start(process.place) for process in victims]

    def disturb(self) -> None:
        """Kill one, or stop one for a while; and interrupt the sleep of some."""
        for process in self.chance.sample(self.processes, 2):
            os.kill(process.pid, signal.SIGUSR1)
            self.figures.signals += 1
        if self.room is not None:
            self.room.change(self.chance)
        # Rather one who is at work: those who sleep all die at the same place.
        candidates = self.chance.sample(self.processes, 3)
        process = next((process for process in candidates if process.is_running()), candidates[0])
        if process.place.way == "spawn" and self.chance.random() < 0.8:
            return  # those take long to start
        if process.stopped_until is None and self.chance.random() < 0.25:
            self.stop(process)
        else:
            self.bury([process])
            self.processes[self.processes.index(process)] = self.start(process.place)

    def bury(self, victims: list[Process]) -> None:
        """Kill processes, stopped or not, and wait until they are gone."""
        killed = time.monotonic_ns()
        for process in victims:
            self.end_of_stop(process)
            os.kill(process.pid, signal.SIGKILL)
        for process in victims:
            _, status = os.waitpid(process.pid, 0)
            if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
                self.figures.kills += 1
            else:
                self.fail(process, status)
            self.deaths[process.task.number] = Death(killed, time.monotonic_ns())

    def stop(self, process: Process) -> None:
        """Stop a process, for less than a heartbeat or for several."""
        seconds = self.chance.uniform(0.001, 0.02) if self.chance.random() < 0.8 else self.chance.uniform(0.06, 0.3)
        os.kill(process.pid, signal.SIGSTOP)
        process.stopped_until = time.monotonic() + seconds
        self.stops.append((process.task.number, time.monotonic_ns(), account.FOR_EVER))

    def let_go_on(self, now: float) -> None:
        """Let those go on whose time has come."""
        for process in self.processes:
            if process.stopped_until is not None and process.stopped_until <= now:
                self.end_of_stop(process)
                os.kill(process.pid, signal.SIGCONT)
                self.figures.stops += 1

    def end_of_stop(self, process: Process) -> None:
        """Note that a process is not stopped any more."""
        if process.stopped_until is not None:
            process.stopped_until = None
            places = [place for place, stop in enumerate(self.stops) if stop[0] == process.task.number]
            number, since, _ = self.stops[places[-1]]
            self.stops[places[-1]] = (number, since, time.monotonic_ns())

    # ---- what goes wrong ----

    def look_for_failures(self) -> None:
        """Notice processes that ended by themselves."""
        for process in self.processes:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                self.fail(process, status)
                self.deaths[process.task.number] = Death(time.monotonic_ns(), time.monotonic_ns())
                self.processes[self.processes.index(process)] = self.start(process.place)

    def fail(self, process: Process, status: int) -> None:
        """Note a process that ended with an error."""
        self.figures.failed += 1
        self.stories.append(f"process {process.task.number} {process.place} ended with {status}: {process.said()}")

    def find_stuck(self, what: str) -> None:
        """Have those who are stuck say where, and end them."""
        self.figures.stuck += 1
        self.stories.append(f"stuck: {what}; {self.queue.stats()}")
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGUSR2)
        time.sleep(0.5)
        for process in self.processes:
            self.stories.append(f"process {process.task.number} {process.place}: {process.said()}")
        self.kill_all()

    # ---- the end ----

    def end(self) -> None:
        """Let all end by themselves: producers by the flag, consumers by an item that they pass on to each other."""
        if self.room is not None:
            self.room.make_room()
        self.let_go_on(account.FOR_EVER)
        self.flag.raise_()
        warden = _Warden(self)
        until = time.monotonic() + STUCK_SECONDS
        while self.processes and not self.figures.stuck:
            # By turns there is a stop to be taken, and room for what some have still to put.
            warden.put_stop()
            time.sleep(0.005)
            warden.take_all()
            time.sleep(0.005)
            self.see_off(time.monotonic() > until)
        warden.take_all()

    def see_off(self, is_time_up: bool) -> None:
        """Notice who has ended; and once the time is up, end the rest."""
        for process in list(self.processes):
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if pid:
                self.processes.remove(process)
                if status != 0:
                    self.fail(process, status)
        if self.processes and is_time_up:
            self.find_stuck(f"{len(self.processes)} processes do not end")

    def check(self) -> Figures:
        """Check the books, and that the whole capacity is there."""
        if not self.figures.stuck:
            self.check_all_done()
            self.check_capacity()
        ledgers = sorted(self.directory.glob("*.ledger"), key=lambda path: int(path.stem))
        read = account.read(ledgers, self.deaths, self.scenario)
        self.figures.held_stopped += self.count_held_while_stopped(read)
        read.figures.add(self.figures)
        return account.settle(read)

    def count_held_while_stopped(self, books: account.Books) -> int:
        """Count the stops in the whole of which the stopped process had an item on loan."""
        held: dict[int, list[Loan]] = {}
        for loan in (loan for loans in books.loans.values() for loan in loans):
            held.setdefault(loan.process, []).append(loan)
        return sum(
            any(loan.since_ns < since and until < loan.until_ns for loan in held.get(process, []))
            for process, since, until in self.stops
        )

    def check_all_done(self) -> None:
        """Check that `join` would return: each item that was acknowledged, and no other, counts as done."""
        left = self.queue.unfinished_tasks
        if self.scenario.is_leased_only and left:
            self.figures.failed += 1
            self.stories.append(f"join waits for {left} items more, and there are none")

    def check_capacity(self) -> None:
        """Fill to the brim, then drain."""
        if self.scenario.is_space_short:
            self.scenario = self.scenario._replace(sizes=(8,))  # there is not the memory for all the large ones
        capacity, make = self.scenario.capacity, self.scenario.make
        words = [items.word_of(0, serial) for serial in range(capacity + 1)]
        count = self.queue.put_many([make(word) for word in words], timeout=0)
        got = [self.scenario.read(item) for item in self.queue.get_many(capacity + 1, timeout=0)] if count else []
        stats = self.queue.stats()
        rest = {key: stats[key] for key in ("waiting", "writing", "leased") if stats[key]}
        if count != capacity or got != words[:capacity] or rest:
            self.figures.failed += 1
            self.stories.append(f"{count} of {capacity} items fitted, {len(got)} came out; left {rest}: {stats}")

    def kill_all(self) -> None:
        """Kill whoever is left, not as a part of the campaign."""
        for process in self.processes:
            killed = time.monotonic_ns()
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
            self.deaths[process.task.number] = Death(killed, time.monotonic_ns())
        self.processes = []

    def close(self) -> None:
        """End whoever is left, and remove the queue."""
        self.kill_all()
        if self.room is not None:
            self.room.close()
        self.queue.unlink()
        self.queue.close()


class _Warden:
    """Takes what is left at the end, as one more consumer, and keeps the stop going round."""

    def __init__(self, round_: Round) -> None:
        self.round = round_
        task = Task(0, "alone", "c", round_.scenario, None, round_.directory, 0)
        self.stream = workers.Stream(task, round_.queue, ledger.Ledger(task.ledger), round_.flag, 0)
        self.stream.timeouts = [0.0]
        self.stream.pace = 0.0

    def put_stop(self) -> None:
        """Put the item that tells consumers to end, when there is room."""
        with contextlib.suppress(Full):
            self.round.queue.put(self.round.scenario.make(STOP), timeout=0)

    def take_all(self) -> None:
        """Take what waits."""
        workers.drive(workers.take_by_hand(self.stream), self.round.queue)


# ---- rounds ----------------------------------------------------------------------------------------------------------


def run(seconds: float, seed: int) -> tuple[Figures, list[str]]:
    """Run rounds for so long; return the figures, and the stories of what went wrong or was left out."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    total = Figures()
    stories: list[str] = []
    can_mount = True
    while time.monotonic() < until and not total.bad():
        is_space_short = can_mount and total.rounds % 5 == 4
        scenario = items.any_scenario(chance, is_space_short)
        try:
            figures, told = run_round(scenario, min(ROUND_SECONDS, seconds), chance.getrandbits(48))
        except CannotMount as err:
            can_mount = False
            stories.append(f"left out: rounds on a full file system, because one cannot be mounted here ({err})")
            continue
        stories += [f"round {total.rounds}: {story}" for story in told]
        total.add(figures)
    return total, stories


def run_round(scenario: Scenario, seconds: float, seed: int) -> tuple[Figures, list[str]]:
    """Run one round; return the figures, and the stories of what went wrong."""
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # until a worker, forked or started anew, has handlers for them
    with (
        tempfile.TemporaryDirectory(prefix="penstock-stress-", dir="/dev/shm") as name,
        contextlib.ExitStack() as stack,
    ):
        directory = Path(name)
        if scenario.is_space_short:
            stack.enter_context(small_file_system(directory / "small"))
        round_ = Round(scenario, directory, seed)
        try:
            round_.run(seconds)
            round_.end()
            figures = round_.check()
        except penstock.PenstockError as err:
            round_.figures.failed += 1
            round_.stories.append("".join(traceback.format_exception(err)))
            figures = round_.figures
        finally:
            round_.close()
    stories = round_.stories
    if figures.bad():
        stories.insert(0, f"{scenario}, {figures.bad()}")
    return figures, stories


def main() -> int:
    """Run a campaign from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to run")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="repeats what was drawn in another run")
    options = parser.parse_args()
    print(f"campaign: seed {options.seed}", flush=True)
    with testing.temporary_directory():
        figures, stories = run(options.seconds, options.seed)
    for story in stories:
        print(story, file=sys.stderr)
    print(f"figures: {figures}")
    return 1 if figures.bad() else 0


if __name__ == "__main__":
    sys.exit(main())

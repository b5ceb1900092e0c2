"""A queue in a file outlives a restart of the machine: whole items are there again, torn ones are dropped.

A restart is played: the queue is closed, and the file's note of the boot that last used it is changed, as are those
bytes that did not come to disk in time.
"""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import PATIENCE_SECONDS, open_beside_others
from peers import hold_lease_and_room
from penstock import Empty

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock import testing

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")

PAGE = 4096
BOOT_AT = PAGE + 24
PUT_LOCK_AT = PAGE + 64
GET_LOCK_AT = PAGE + 64 + 128
"""Where these words lie; docs/memory-layout.md has them all."""

SMALL = [b"small item %d" % n for n in range(5)]
LARGE = [bytes([65 + n]) * 20_000 for n in range(3)]
ITEMS = [SMALL[0], LARGE[0], SMALL[1], SMALL[2], LARGE[1], SMALL[3], LARGE[2], SMALL[4]]


@pytest.fixture
def path(tmp_path_on_shm: Path) -> Path:
    return tmp_path_on_shm / "jobs.queue"


def make(path: Path, **options: Any) -> penstock.Queue:
    """Create a queue in a file, with all the items in it."""
    q = penstock.Queue.create(path, item=bytes, capacity=10, max_item_bytes=20_000, **options)
    assert q.put_many(ITEMS) == len(ITEMS)
    return q


def restart(path: Path) -> None:
    """Have the file look as if it was last used before the machine was started."""
    overwrite(path, BOOT_AT, bytes(range(16)))


def overwrite(path: Path, at: int, data: bytes) -> None:
    """Overwrite some bytes of the file."""
    with open(path, "r+b", opener=open_beside_others) as file:
        file.seek(at)
        file.write(data)


def content_of(path: Path) -> bytes:
    """Read the whole file, which somebody may have open."""
    with open(path, "rb", opener=open_beside_others) as file:
        return file.read()


def free_ring_at(data: bytes) -> int:
    """Find where the file has each of ten slots' numbers once, in any order, each in a line of its own."""
    for at in range(PAGE, len(data) - 640, 64):
        lines = [struct.unpack_from("<I60s", data, at + 64 * n) for n in range(10)]
        if sorted(lines) == [(number, bytes(60)) for number in range(10)]:
            return at
    raise AssertionError("there is no ring of ten free slots")


def tear(path: Path, item: bytes) -> None:
    """Overwrite the end of an item in the file."""
    at = content_of(path).index(item) + len(item)
    overwrite(path, at - 3, b"\0\0\0")


def check_goes_on(q: penstock.Queue) -> None:
    """Check that an empty queue takes its whole capacity, and gives it back in order."""
    assert q.empty()
    numbers = [b"%d" % n for n in range(12)]
    assert q.put_many(numbers, timeout=0) == 10
    assert q.get_many(12) == numbers[:10]
    with pytest.raises(Empty):
        q.get(timeout=0)


def test_all_items_are_there_again_in_their_order(path: Path) -> None:
    make(path).close()
    for _ in range(3):
        restart(path)
        with penstock.Queue.open(path) as q:
            assert q.peek_many(20) == ITEMS
    with penstock.Queue.open(path) as q:
        assert q.get_many(20) == ITEMS
        check_goes_on(q)


def test_recovery_is_noted_and_done_once(path: Path) -> None:
    make(path).close()
    before = content_of(path)[BOOT_AT : BOOT_AT + 16]
    restart(path)
    penstock.Queue.open(path).close()
    assert content_of(path)[BOOT_AT : BOOT_AT + 16] == before


@pytest.mark.parametrize(
    "torn", [SMALL[1], LARGE[1], SMALL[0], LARGE[2]], ids=["small", "large", "first", "last large"]
)
def test_torn_item_is_dropped_and_the_others_are_kept(path: Path, torn: bytes) -> None:
    make(path).close()
    tear(path, torn)
    restart(path)
    with penstock.Queue.open(path) as q:
        assert q.get_many(20) == [item for item in ITEMS if item is not torn]
        check_goes_on(q)


def test_without_a_restart_items_are_taken_as_they_are(path: Path) -> None:
    make(path).close()
    tear(path, SMALL[0])
    with penstock.Queue.open(path) as q:
        assert q.get(timeout=0) == SMALL[0][:-3] + b"\0\0\0"


def test_what_was_leased_or_being_written_comes_back(path: Path, spawn: Spawn) -> None:
    make(path).close()
    child = spawn(hold_lease_and_room, str(path), 2)
    assert child.receive() == [SMALL[0], LARGE[0]]
    child.kill()
    restart(path)
    with penstock.Queue.open(path) as q:
        assert q.stats()["leased"] == q.stats()["writing"] == 0
        with q.lease(timeout=0) as lease:
            assert (lease.value, lease.deliveries) == (SMALL[0], 2)
        assert q.get_many(20) == ITEMS[1:]
        check_goes_on(q)


@pytest.mark.parametrize("torn", [SMALL[0], LARGE[0]], ids=["small", "large"])
def test_torn_item_that_was_leased_is_dropped(path: Path, spawn: Spawn, torn: bytes) -> None:
    make(path).close()
    child = spawn(hold_lease_and_room, str(path), 2)
    child.receive()
    child.kill()
    tear(path, torn)
    restart(path)
    with penstock.Queue.open(path) as q:
        assert q.get_many(20) == [item for item in ITEMS if item is not torn]
        check_goes_on(q)


def test_dead_letters_are_there_again(path: Path) -> None:
    with make(path, max_deliveries=1, dead_letters=2) as q:
        for _ in range(2):
            q.lease().give_back()
    restart(path)
    with penstock.Queue.open(path) as q:
        assert list(q.dead_letters) == ITEMS[:2]
        assert q.get_many(20) == ITEMS[2:]
        check_goes_on(q)


@pytest.mark.parametrize("lock_at", [PUT_LOCK_AT, GET_LOCK_AT], ids=["put", "get"])
def test_lock_that_was_held_when_the_machine_stopped_is_free(path: Path, lock_at: int) -> None:
    make(path).close()
    overwrite(path, lock_at, struct.pack("<I", 5 | 3 << 10))
    restart(path)
    with penstock.Queue.open(path) as q:
        assert q.get_many(20, timeout=PATIENCE_SECONDS) == ITEMS
        check_goes_on(q)


def test_rings_are_written_anew_from_the_slots(path: Path) -> None:
    make(path).close()
    overwrite(path, free_ring_at(content_of(path)) - 640, random.Random(1).randbytes(3 * 640))
    restart(path)
    with penstock.Queue.open(path) as q:
        assert q.get_many(20) == ITEMS
        check_goes_on(q)


@pytest.mark.parametrize("seed", range(25))
def test_pages_that_came_to_disk_in_any_order_give_whole_items_or_none(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    everything = set(ITEMS)
    q = make(path)
    snapshots = [content_of(path)]
    for step in range(4):
        for _ in range(chance.randrange(1, 8)):
            if q.empty() or (chance.random() < 0.5 and not q.full()):
                item = b"%d" % (1000 * step + len(everything)) * chance.choice((1, 5000))
                everything.add(item)
                q.put(item)
            else:
                q.get()
        snapshots.append(content_of(path))
    q.close()
    fixed, *pages = (range(at, min(at + PAGE, len(snapshots[0]))) for at in range(0, len(snapshots[0]), PAGE))
    for page in pages:
        source = chance.choice(snapshots)
        overwrite(path, page.start, source[page.start : page.stop])
    assert fixed.stop == PAGE
    restart(path)
    with penstock.Queue.open(path) as q:
        found = q.get_many(20, timeout=0) if q.qsize() else []
        assert set(found) <= everything
        assert len(found) == len(set(found))
        check_goes_on(q)

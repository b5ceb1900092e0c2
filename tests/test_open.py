"""What may lie under a name, and must not hurt: links, pipes, other people's files, damage; and a full file system."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from peers import use_damaged
from penstock import (
    Corrupted,
    Foreign,
    Mismatch,
    NewerVersion,
    NoSpace,
    NotFound,
    Unsupported,
    Untrusted,
    aio,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock import testing

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others and mount file systems")

NOBODY = 65534

OPENERS: list[Callable[[str], Any]] = [
    penstock.Queue,
    penstock.Queue.open,
    penstock.Mutex,
    penstock.Semaphore,
    penstock.Event,
    lambda name: penstock.Mapping(name, 10),
]
OPENER_NAMES = ["queue", "queue.open", "mutex", "semaphore", "event", "mapping"]


@pytest.fixture(params=OPENERS, ids=OPENER_NAMES)
def opener(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def path(directory: str, name: str) -> Path:
    return Path(directory, name)


@pytest.fixture
def segment(name: str, directory: str) -> bytes:
    """Give the bytes of a queue with three items in it, which is gone."""
    with penstock.Queue(name, capacity=4, item=bytes, max_item_bytes=5000) as q:
        q.put_many([b"first", b"x" * 5000, b"third"])
        data = Path(q.path).read_bytes()
        q.unlink()
    return data


def put_back(path: Path, data: bytes) -> None:
    """Put a segment's bytes under a name."""
    with open(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)


# ---- no segment at all -----------------------------------------------------------------------------------------------


def test_symbolic_link_is_not_followed(opener: Callable[[str], Any], path: Path) -> None:
    with penstock.Queue(f"{path.name}-target") as target:
        path.symlink_to(target.path)
        with pytest.raises(Foreign, match=f"{path.name}.*symbolic link"):
            opener(path.name)
    assert path.is_symlink()


def test_dangling_link_is_not_followed_to_create_anything(opener: Callable[[str], Any], path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(Foreign):
        opener(path.name)
    assert not path.exists()


@pytest.mark.parametrize("what", ["fifo", "directory", "socket", "text", "zeros", "short", "empty"])
def test_what_is_no_segment_is_left_alone(opener: Callable[[str], Any], path: Path, what: str) -> None:
    match what:
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(str(path))
        case "text":
            path.write_text("notes to self\n" * 10_000)
        case "zeros":
            path.write_bytes(bytes(100_000))
        case "short":
            path.write_bytes(b"PEN")
        case "empty":
            path.touch()
    path.chmod(0o700)
    before = path.stat()
    with pytest.raises(Foreign, match=path.name):
        opener(path.name)
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


def test_other_kind_of_object_is_a_mismatch(opener: Callable[[str], Any], name: str) -> None:
    made = penstock.Mapping(name, 10) if opener is penstock.Mutex else penstock.Mutex(name)
    with pytest.raises(Mismatch, match=name):
        opener(name)
    made.close()


def test_create_does_not_replace_what_is_there(path: Path) -> None:
    path.write_text("mine")
    for create in (penstock.Queue.create, penstock.Mutex.create, penstock.Event.create):
        with pytest.raises(penstock.Exists):
            create(path.name)
    assert path.read_text() == "mine"


# ---- damage ----------------------------------------------------------------------------------------------------------


def test_bytes_put_back_as_they_were_are_a_queue_again(path: Path, segment: bytes) -> None:
    put_back(path, segment)
    with penstock.Queue.open(path.name) as q:
        assert q.get_many(5) == [b"first", b"x" * 5000, b"third"]


@pytest.mark.parametrize("kept", [8, 9, 100, 2000, 4095, 4096, 4097, 5000, 37_000, 0.5, 0.99, -1])
def test_truncated_segment_is_corrupted(path: Path, segment: bytes, kept: float) -> None:
    length = int(len(segment) * kept) if 0 < kept < 1 else int(kept) % len(segment)
    put_back(path, segment[:length])
    for opener in (penstock.Queue.open, penstock.Queue):
        with pytest.raises(Corrupted, match=path.name):
            opener(path.name)
    assert path.stat().st_size == length


def test_longer_segment_than_it_says_is_still_that_segment(path: Path, segment: bytes) -> None:
    put_back(path, segment + bytes(10_000))
    with penstock.Queue.open(path.name) as q:
        assert q.get() == b"first"


@pytest.mark.parametrize("version", [2, 7, 2**32 - 1])
def test_newer_layout_is_refused_by_its_version(path: Path, segment: bytes, version: int) -> None:
    put_back(path, segment[:8] + struct.pack("<I", version) + segment[12:])
    with pytest.raises(NewerVersion, match=rf"(?s)(?=.*\b{version}\b)(?=.*\b1\b)"):
        penstock.Queue(path.name)


def test_older_layout_and_other_byte_order_are_refused(path: Path, segment: bytes) -> None:
    put_back(path, segment[:8] + struct.pack("<I", 0) + segment[12:])
    with pytest.raises(Corrupted):
        penstock.Queue(path.name)
    put_back(path, segment[:12] + segment[12:16][::-1] + segment[16:])
    with pytest.raises(Corrupted, match="byte order"):
        penstock.Queue(path.name)


def test_every_flipped_bit_of_the_fixed_page_is_found(path: Path, segment: bytes) -> None:
    used = 8 + 16 + 24 + 8 + 16 * 8  # magic to parameters; then comes the item's description and the check
    places = [*range(0, 8 * used, 5), *range(8 * used, 8 * (used + 2048 + 8), 97)]
    for bit in places:
        data = bytearray(segment)
        data[bit // 8] ^= 1 << bit % 8
        put_back(path, bytes(data))
        with pytest.raises((Foreign, Corrupted, NewerVersion)):
            penstock.Queue(path.name)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_queue_raises_or_works_but_never_crashes_or_hangs(
    path: Path, segment: bytes, seed: int, spawn: Spawn
) -> None:
    chance = random.Random(seed)
    cases = []
    for _ in range(60):
        data = bytearray(segment)
        for _ in range(chance.choice((1, 1, 3, 50))):
            # The words that change: control area, table of participants, rings, slots. Payloads cannot be wrong.
            at = chance.randrange(4096, min(len(data), 4096 + 40_000))
            if chance.random() < 0.5:
                at = chance.choice((chance.randrange(4096, 5120), chance.randrange(37_888, 38_600)))
            data[at] = chance.choice((data[at] ^ 1 << chance.randrange(8), chance.randrange(256), 0, 255))
        cases.append(bytes(data))
    child = spawn(use_damaged, str(path), cases, deadline=50.0)
    outcomes = child.result(50.0)
    assert len(outcomes) == len(cases)
    assert set(outcomes) <= {"worked", "Corrupted"}


# ---- trust -----------------------------------------------------------------------------------------------------------


@as_root
def test_segment_of_another_user_needs_trust(path: Path) -> None:
    with penstock.Queue(path.name) as q:
        q.put("hello")
    os.chown(path, NOBODY, NOBODY)
    for opener in (penstock.Queue, penstock.Queue.open):
        with pytest.raises(Untrusted, match=f"{path.name}.*{NOBODY}.*trust=True"):
            opener(path.name)
    with penstock.Queue.open(path.name, trust=True) as q:
        assert q.get(timeout=0) == "hello"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_segment_that_others_may_write_needs_trust(path: Path, mode: int) -> None:
    mutex = penstock.Mutex(path.name)
    mutex.close()
    path.chmod(mode)
    with pytest.raises(Untrusted, match=f"{mode:o}"):
        penstock.Mutex(path.name)
    penstock.Mutex.open(path.name, trust=True).close()


def test_new_segment_is_private(path: Path) -> None:
    before = os.umask(0)
    try:
        penstock.Queue(path.name).close()
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o1777])
def test_directory_that_is_open_to_others_is_refused(tmp_path_on_shm: Path, mode: int) -> None:
    tmp_path_on_shm.chmod(mode)
    with pytest.raises(Untrusted, match=f"{mode:o}"):
        penstock.Queue("jobs", directory=tmp_path_on_shm)
    assert list(tmp_path_on_shm.iterdir()) == []


def test_directory_that_is_a_link_is_refused(tmp_path_on_shm: Path) -> None:
    (tmp_path_on_shm / "real").mkdir(0o700)
    (tmp_path_on_shm / "link").symlink_to("real")
    with pytest.raises(Untrusted):
        penstock.Queue("jobs", directory=tmp_path_on_shm / "link")


def test_missing_directory_is_made_private(tmp_path_on_shm: Path) -> None:
    with penstock.Queue("jobs", directory=tmp_path_on_shm / "new") as q:
        assert (tmp_path_on_shm / "new").stat().st_mode & 0o777 == 0o700
        q.unlink()
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on who made it impossible
        penstock.Queue("jobs", directory=tmp_path_on_shm / "missing" / "new")


@as_root
def test_directory_of_another_user_is_refused(tmp_path_on_shm: Path) -> None:
    os.chown(tmp_path_on_shm, NOBODY, NOBODY)
    with pytest.raises(Untrusted, match=str(NOBODY)):
        penstock.Queue("jobs", directory=tmp_path_on_shm)


@as_root
def test_another_user_cannot_open_what_is_ours(queue: penstock.Queue, tmp_path_on_shm: Path) -> None:
    with penstock.Queue(tmp_path_on_shm / "queue"):
        tmp_path_on_shm.chmod(0o755)
        child = os.fork()
        if child == 0:
            status = 1
            with contextlib.suppress(BaseException):
                os.setgid(NOBODY)
                os.setuid(NOBODY)
                refused = 0
                for name in (queue.name, tmp_path_on_shm / "queue"):
                    try:
                        penstock.Queue.open(name)
                    except Untrusted:
                        refused += 1
                status = 0 if refused == 2 else 2
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


# ---- file systems ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mounted(kind: str, options: str, at: Path) -> Iterator[Path]:
    """Mount a file system for the block."""
    at.mkdir()
    made = subprocess.run(["mount", "-t", kind, "-o", options, "none", at], capture_output=True, check=False, text=True)
    if made.returncode != 0:
        pytest.skip(f"cannot mount {kind} here: {made.stderr.strip()}")
    try:
        at.chmod(0o700)
        yield at
    finally:
        # Gone from here at once, and for good with the last handle: that of a test that failed may still be open.
        subprocess.run(["umount", "--lazy", at], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Give the test a directory on a file system of 64 MB, as Docker has it."""
    with mounted("tmpfs", "size=64m,mode=0700", tmp_path / "small") as path:
        yield path


def free_bytes(path: Path) -> int:
    facts = os.statvfs(path)
    return facts.f_bavail * facts.f_frsize


@as_root
def test_file_system_that_is_not_known_to_hold_queues_is_refused(tmp_path: Path) -> None:
    with mounted("ramfs", "mode=0700", tmp_path / "odd") as odd:
        with pytest.raises(Unsupported, match="file system"):
            penstock.Queue("jobs", directory=odd)
        assert list(odd.iterdir()) == []


@as_root
@pytest.mark.parametrize(
    "create",
    [
        lambda path: penstock.Queue("jobs", directory=path, capacity=20_000_000, item="u8"),
        lambda path: penstock.Mapping("bytes", 100_000_000, directory=path),
        lambda path: penstock.Queue(path / "jobs", capacity=20_000_000, item="u8"),
    ],
)
def test_creating_more_than_there_is_room_for_raises_no_space_and_leaves_nothing(
    small: Path, create: Callable[[Path], Any]
) -> None:
    with pytest.raises(NoSpace) as caught:
        create(small)
    assert caught.value.errno == 28
    assert list(small.iterdir()) == []
    assert free_bytes(small) > 60_000_000


@as_root
def test_put_into_a_full_file_system_raises_no_space_and_nothing_changes(small: Path) -> None:
    with penstock.Queue("jobs", directory=small, capacity=50, item=bytes, max_item_bytes=4_000_000) as q:
        items = [bytes([number]) * 4_000_000 for number in range(50)]
        del items[q.put_many(items) :]
        assert 10 <= len(items) < 17
        item = bytes(4_000_000)
        for put in (q.put, q.put_nowait, lambda item: q.put_many([item, item]), lambda item: q.reserve(len(item))):
            with pytest.raises(NoSpace, match="jobs"):
                put(item)
        assert q.qsize() == len(items)
        q.put(b"small items need no more")
        assert q.get_many(100) == [*items, b"small items need no more"]
        q.put_many([b""] * 50, timeout=0)
        assert q.qsize() == 50


@as_root
def test_batch_that_is_awaited_until_the_file_system_is_full_tells_how_many_were_put(small: Path) -> None:
    async def put(queue: penstock.Queue, items: list[bytes]) -> int:
        return await aio.Queue(queue).put_many(items)

    with penstock.Queue("jobs", directory=small, capacity=50, item=bytes, max_item_bytes=4_000_000) as q:
        count = asyncio.run(put(q, [bytes(4_000_000)] * 50))
        assert 10 <= count < 17
        assert q.qsize() == count
        with pytest.raises(NoSpace):
            asyncio.run(put(q, [bytes(4_000_000)]))
        assert q.qsize() == count


@as_root
def test_room_that_comes_free_is_used_again(small: Path) -> None:
    with penstock.Queue("jobs", directory=small, capacity=10, item=bytes, max_item_bytes=4_000_000) as q:
        filler = small / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free_bytes(small) - 100_000)
        for _ in range(25):
            with pytest.raises(NoSpace):
                q.put(bytes(4_000_000))
        filler.unlink()
        assert q.put_many([bytes(4_000_000)] * 11, timeout=0) == 10
        assert [len(item) for item in q.get_many(20)] == [4_000_000] * 10


@as_root
def test_small_objects_in_a_full_file_system_raise_no_space_and_leave_nothing(small: Path) -> None:
    with (small / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free_bytes(small))
    for create in (penstock.Queue, penstock.Mutex, penstock.Semaphore, penstock.Event):
        with pytest.raises(NoSpace):
            create("jobs", directory=small)
    assert [path.name for path in small.iterdir()] == ["filler"]


def test_name_that_vanishes_between_two_opens_is_simply_made_again(name: str) -> None:
    for _ in range(20):
        with penstock.Queue(name) as q:
            os.unlink(q.path)
    with pytest.raises(NotFound):
        penstock.Queue.open(name)


def test_directory_that_was_removed_is_made_again(tmp_path_on_shm: Path) -> None:
    for _ in range(2):
        with penstock.Queue("jobs", directory=tmp_path_on_shm / "names"):
            pass
        shutil.rmtree(tmp_path_on_shm / "names")


def test_directory_open_to_others_is_used_by_who_trusts_it(tmp_path_on_shm: Path) -> None:
    tmp_path_on_shm.chmod(0o777)
    with pytest.raises(Untrusted, match="777"):
        penstock.Queue("jobs", directory=tmp_path_on_shm)
    with penstock.Queue("jobs", directory=tmp_path_on_shm, trust=True) as q:
        q.put("work")
        assert q.get() == "work"
    assert (tmp_path_on_shm / "jobs").stat().st_mode & 0o777 == 0o600

"""Other users of the machine: what they put in our way is refused, what they wrote is not unpickled, and what is shared
with them on purpose works, also when one of them is killed.

Needs root, to be somebody else: where that is missing, these tests are left out. A child becomes another user after its
imports, so that it does not matter who may read the checkout.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import penstock
import penstock.aio
from cli_helpers import run
from penstock import Untrusted, testing
from penstock.cli._exits import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Spawn = Callable[..., testing.Child]

pytestmark = [
    pytest.mark.usefixtures("directory"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]

ALICE, BOB, EVE = 54_321, 54_322, 54_323
TEAM = 54_300
"""Alice and Bob are in it, Eve is not."""

SOON_SECONDS = 5.0


def become(user: int, *, team: bool = False) -> None:
    """Be another user from now on, for good."""
    os.setgroups([TEAM] if team else [])
    os.setgid(user)
    os.setuid(user)


@pytest.fixture
def shared(tmp_path_on_shm: Path) -> Path:
    """Give the test a directory in which the team may make files, as `docs/howto` describes it."""
    tmp_path_on_shm.chmod(0o755)
    path = tmp_path_on_shm / "team"
    path.mkdir()
    os.chown(path, 0, TEAM)
    path.chmod(0o2770)
    return path


# ---- what lies in the way --------------------------------------------------------------------------------------------


def try_default_directory(user: int) -> str:
    """Make a queue where names live unless told otherwise, as another user; say what came of it."""
    os.environ.pop("PENSTOCK_DIR", None)
    become(user)
    try:
        with penstock.Queue("jobs") as q:
            q.put("work")
            q.unlink()
    except Untrusted as error:
        return f"Untrusted: {error}"
    return f"made in a directory of mode {Path(q.path).parent.stat().st_mode & 0o7777:o}"


def try_given_directory(user: int, path: str) -> str:
    """Make a queue in `$PENSTOCK_DIR`, as another user; say what came of it."""
    become(user)
    os.environ["PENSTOCK_DIR"] = path
    try:
        with penstock.Queue("jobs"):
            pass
    except Untrusted as error:
        return f"Untrusted: {error}"
    return "made"


def squat(path: Path, how: str, user: int) -> None:
    """Put something where that user's directory will be, before he comes."""
    elsewhere = path.with_name(f"{path.name}-elsewhere")
    match how:
        case "eve's directory":
            path.mkdir(0o700)
            os.chown(path, EVE, EVE)
        case "root's directory":
            path.mkdir(0o755)
        case "eve's link to his own":
            elsewhere.mkdir(0o700)
            os.chown(elsewhere, user, user)
            path.symlink_to(elsewhere)
            os.chown(path, EVE, EVE, follow_symlinks=False)
        case "a file":
            path.touch(0o600)
            os.chown(path, user, user)
        case "a FIFO":
            os.mkfifo(path, 0o600)
            os.chown(path, user, user)
        case _:
            path.mkdir()
            os.chown(path, user, user)
            path.chmod(int(how, 8))


SQUATTED = ["eve's directory", "root's directory", "eve's link to his own", "a file", "a FIFO", "770", "711", "1777"]


@pytest.fixture
def newcomer() -> Iterator[tuple[int, Path]]:
    """Give the test a user that nobody has been, and the directory that would be his."""
    user = 100_000 + secrets.randbelow(1_000_000_000)
    path = Path(f"/dev/shm/penstock-{user}")
    yield user, path
    for left in (path, path.with_name(f"{path.name}-elsewhere")):
        if left.is_symlink() or left.exists():
            left.unlink() if left.is_symlink() or not left.is_dir() else shutil.rmtree(left)


@pytest.mark.parametrize("how", SQUATTED)
def test_squatted_directory_of_a_user_is_refused_and_left_alone(
    how: str, newcomer: tuple[int, Path], spawn: Spawn
) -> None:
    user, path = newcomer
    squat(path, how, user)
    before = path.lstat()
    said = spawn(try_default_directory, user).result()
    assert said.startswith("Untrusted: ")
    assert str(path) in said
    after = path.lstat()
    assert (after.st_mode, after.st_uid, after.st_ino) == (before.st_mode, before.st_uid, before.st_ino)
    if path.is_dir():
        assert list(path.iterdir()) == []


def test_directory_that_nobody_took_is_made_private(newcomer: tuple[int, Path], spawn: Spawn) -> None:
    user, path = newcomer
    assert spawn(try_default_directory, user).result() == "made in a directory of mode 700"
    assert path.stat().st_uid == user


@pytest.mark.parametrize("how", SQUATTED)
def test_squatted_directory_that_the_environment_names_is_refused(
    how: str, tmp_path_on_shm: Path, spawn: Spawn
) -> None:
    tmp_path_on_shm.chmod(0o755)
    path = tmp_path_on_shm / "names"
    squat(path, how, ALICE)
    said = spawn(try_given_directory, ALICE, str(path)).result()
    assert said.startswith("Untrusted: ")


def test_other_users_neither_see_nor_open_nor_remove_what_is_ours(directory: str, spawn: Spawn) -> None:
    with penstock.Queue.create("jobs") as q:
        q.put("work")
        said = spawn(try_all_as, EVE, q.path).result()
        assert set(said.values()) <= {"Untrusted", "NotFound"}, said
        assert q.get() == "work"


def try_all_as(user: int, path: str) -> dict[str, str]:
    """Try every way to an object of somebody else; return the name of what each raised."""
    become(user)
    ways: dict[str, Callable[[], Any]] = {
        "open": lambda: penstock.Queue.open(path),
        "open, trusting": lambda: penstock.Queue.open(path, trust=True),
        "open or create": lambda: penstock.Queue(path),
        "name, trusting": lambda: penstock.Queue.open("jobs", trust=True),
        "create beside": lambda: penstock.Queue.create(f"{path}-beside"),
        "mutex": lambda: penstock.Mutex.open("jobs", trust=True),
    }
    raised = {}
    for way, attempt in ways.items():
        try:
            attempt().close()
        except penstock.PenstockError as error:
            raised[way] = type(error).__name__
        else:
            raised[way] = "nothing"
    return raised


# ---- what others wrote is not unpickled ------------------------------------------------------------------------------


class Canary:
    """An object whose unpickling leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


def _dead_get(q: penstock.Queue) -> None:
    for _ in range(2):
        q.lease(timeout=0).give_back()
    q.dead_letters.get(timeout=0)


def _lease_value(q: penstock.Queue) -> None:
    with q.lease(timeout=0) as lease:
        _ = lease.value


WAYS: dict[str, Callable[[penstock.Queue], object]] = {
    "get": lambda q: q.get(timeout=0),
    "get_nowait": lambda q: q.get_nowait(),
    "get_many": lambda q: q.get_many(5, timeout=0),
    "peek": lambda q: q.peek(),
    "peek_many": lambda q: q.peek_many(5),
    "lease": _lease_value,
    "iteration": lambda q: next(iter(q)),
    "dead letters": _dead_get,
    "aio": lambda q: asyncio.run(_await_one(q)),
}


async def _await_one(q: penstock.Queue) -> None:
    await penstock.aio.Queue(q).get(timeout=0)


@pytest.fixture(params=["another user's", "open to the group", "open to all"])
def theirs(request: pytest.FixtureRequest, tmp_path_on_shm: Path) -> Path:
    """Give the test a queue of objects that others may have written, with a mark to be left by who unpickles it."""
    path = tmp_path_on_shm / "queue"
    with penstock.Queue.create(path, max_deliveries=2, max_item_bytes=50_000) as q:
        q.put(Canary(tmp_path_on_shm / "mark"))
    if request.param == "another user's":
        os.chown(path, EVE, EVE)
    else:
        path.chmod(0o660 if request.param == "open to the group" else 0o666)
    return path


@pytest.mark.parametrize("way", WAYS)
def test_items_that_others_may_have_written_are_unpickled_only_for_who_trusts_them(theirs: Path, way: str) -> None:
    mark = theirs.with_name("mark")
    with pytest.raises(Untrusted, match="trust=True"), penstock.Queue(theirs) as q:
        WAYS[way](q)
    assert not mark.exists()
    with penstock.Queue.open(theirs, trust=True) as q:
        assert q.trusted
        WAYS[way](q)
    assert mark.exists(), "the mark is what unpickling leaves: without it this test could not fail"


@pytest.mark.parametrize("command", ["get", "peek"])
def test_commands_unpickle_what_others_may_have_written_only_with_trust(theirs: Path, command: str) -> None:
    mark = theirs.with_name("mark")
    arguments = [command, str(theirs)]
    assert run(*arguments).returncode == Exit.UNTRUSTED
    assert run("stat", str(theirs)).returncode == Exit.UNTRUSTED
    assert not mark.exists()
    run(*arguments, "--trust")
    assert mark.exists()


def test_listing_a_directory_unpickles_nothing_and_opens_no_door(directory: str) -> None:
    mark = Path(directory) / "mark"
    with penstock.Queue.create("jobs") as q:
        q.put(Canary(mark))
        os.chown(q.path, EVE, EVE)
        listed = run("ls").stdout.decode()
        run("doctor")
        assert "not trusted" in listed
        assert not mark.exists()


# ---- what is shared on purpose ---------------------------------------------------------------------------------------

KINDS: dict[str, tuple[Any, Any]] = {
    "u4": ("u4", 4_000_000_000),
    "bytes": (bytes, bytes(range(256)) * 40),
    "str": (str, "Grüße"),
    "json": ("json", {"to": ["everybody"]}),
    "msgpack": ("msgpack", {"to": b"everybody"}),
}


def serve_the_team(kind: str, path: str) -> None:
    """Make a queue, open it to the team as the howto says, and answer one item; as Alice."""
    become(ALICE, team=True)
    os.umask(0o077)  # must not matter
    with penstock.Queue(path, item=KINDS[kind][0], max_deliveries=3) as q:
        os.chmod(path, 0o660)
        testing.send("ready")
        item = q.get(timeout=SOON_SECONDS)
        q.put(item, timeout=SOON_SECONDS)
        testing.receive()


def ask_the_team(kind: str, path: str) -> tuple[str, Any]:
    """Send an item and return what comes back, as Bob; and what happens without consent."""
    become(BOB, team=True)
    refusal = "none"
    try:
        penstock.Queue.open(path)
    except Untrusted as error:
        refusal = str(error)
    with penstock.Queue.open(path, trust=True) as q:
        q.put(KINDS[kind][1])
        testing.wait_until(lambda: q.stats()["put_total"] == 2)
        return refusal, q.get(timeout=SOON_SECONDS)


@pytest.mark.parametrize("kind", KINDS)
def test_two_users_of_one_group_share_a_queue_when_both_say_so(kind: str, shared: Path, spawn: Spawn) -> None:
    if kind == "msgpack":
        pytest.importorskip("msgspec")
    path = str(shared / "jobs")
    alice = spawn(serve_the_team, kind, path)
    assert alice.receive() == "ready"
    refusal, item = spawn(ask_the_team, kind, path).result()
    assert "trust=True" in refusal
    assert item == KINDS[kind][1]
    eve = spawn(try_all_as, EVE, path)
    assert set(eve.result().values()) <= {"Untrusted", "NotFound"}
    alice.send("done")
    alice.result()


def hold_as(user: int, path: str) -> None:
    """Take one item on loan, reserve room, and wait to be killed."""
    become(user, team=True)
    q = penstock.Queue.open(path, trust=True)
    held = (q.lease(timeout=0), q.reserve(10, timeout=0))
    testing.send(len(held))
    testing.receive()


def take_back_as(user: int, path: str, capacity: int) -> tuple[Any, int]:
    """Return what waits first within a moment, and for how many there is room then."""
    become(user, team=True)
    with penstock.Queue.open(path, trust=True) as q:
        with q.lease(timeout=SOON_SECONDS) as lease:
            first = (lease.value, lease.deliveries)
        return first, q.put_many([b"x"] * 2 * capacity, timeout=0)


def make_for_the_team(user: int, path: str, capacity: int) -> None:
    """Make a queue of the team's with one item."""
    become(user, team=True)
    with penstock.Queue.create(path, item=bytes, capacity=capacity) as q:
        os.chmod(path, 0o660)
        q.put(b"work")


@pytest.mark.parametrize(("victim", "survivor"), [(ALICE, BOB), (BOB, ALICE)], ids=["owner killed", "other killed"])
def test_what_a_killed_user_held_comes_back_to_the_others(
    victim: int, survivor: int, shared: Path, spawn: Spawn
) -> None:
    path = str(shared / "jobs")
    spawn(make_for_the_team, ALICE, path, 4).result()
    child = spawn(hold_as, victim, path)
    assert child.receive() == 2
    watcher = spawn(seen_alive_by, survivor, path, child.pid)
    assert watcher.result(), "the living of another user are seen to live"
    child.kill()
    first, room = spawn(take_back_as, survivor, path, 4).result()
    assert first == (b"work", 2)
    assert room == 4


def seen_alive_by(user: int, path: str, pid: int) -> bool:
    """Tell whether that process counts as living, and keeps what it holds, for another user."""
    become(user, team=True)
    with penstock.Queue.open(path, trust=True) as q:
        with contextlib.suppress(penstock.Empty):
            q.get(timeout=0.3)
            return False
        return any(one["pid"] == pid and one["alive"] for one in q.stats()["participants"])


def hold_mutex_as(user: int, where: str) -> None:
    """Take the team's mutex and wait to be killed."""
    become(user, team=True)
    mutex = penstock.Mutex.open("mutex", directory=where, trust=True)
    mutex.acquire()
    testing.send(mutex.is_owned)
    testing.receive()


def inherit_mutex_as(user: int, where: str) -> tuple[bool, bool]:
    """Wait for the team's mutex; return whether it came, and whether it says that it is a dead one's."""
    become(user, team=True)
    mutex = penstock.Mutex.open("mutex", directory=where, trust=True)
    testing.send("waiting")
    got = mutex.acquire(timeout=2 * SOON_SECONDS)
    return got, mutex.abandoned


def test_mutex_of_a_killed_user_is_inherited_by_another(shared: Path, spawn: Spawn) -> None:
    where = str(shared)
    with penstock.Mutex.create("mutex", directory=where, trust=True) as made:
        os.chown(made.path, ALICE, TEAM)
        os.chmod(made.path, 0o660)
    holder = spawn(hold_mutex_as, ALICE, where)
    assert holder.receive() is True
    heir = spawn(inherit_mutex_as, BOB, where)
    assert heir.receive() == "waiting"
    holder.kill()
    assert heir.result() == (True, True)


def use_the_rest_as(user: int, where: str) -> dict[str, Any]:
    """Use the team's semaphore, event and mapping."""
    become(user, team=True)
    options: dict[str, Any] = {"directory": where, "trust": True}
    semaphore = penstock.Semaphore.open("semaphore", **options)
    event = penstock.Event.open("event", **options)
    with penstock.Mapping.open("mapping", **options) as mapping:
        memoryview(mapping)[:4] = b"team"
    event.set()
    return {"semaphore": semaphore.acquire(timeout=0), "untrusting": _refuses(where)}


def _refuses(where: str) -> bool:
    openers: list[Callable[..., Any]] = [penstock.Semaphore.open, penstock.Event.open, penstock.Mapping.open]
    for opener, name in zip(openers, ("semaphore", "event", "mapping"), strict=True):
        with contextlib.suppress(Untrusted):
            opener(name, directory=where)
            return False
    return True


def test_other_objects_are_shared_in_the_same_way(shared: Path, spawn: Spawn) -> None:
    options: dict[str, Any] = {"directory": shared, "trust": True}
    semaphore = penstock.Semaphore.create("semaphore", value=1, **options)
    event = penstock.Event.create("event", **options)
    mapping = penstock.Mapping.create("mapping", 100, **options)
    for made in (semaphore, event, mapping):
        os.chown(made.path, ALICE, TEAM)
        os.chmod(made.path, 0o660)
    assert spawn(use_the_rest_as, BOB, str(shared)).result() == {"semaphore": True, "untrusting": True}
    assert semaphore.get_value() == 0
    assert event.is_set()
    assert bytes(memoryview(mapping)[:4]) == b"team"


# ---- names that change hands -----------------------------------------------------------------------------------------


def test_name_that_somebody_else_put_in_the_place_of_ours_is_refused(shared: Path, spawn: Spawn) -> None:
    path = shared / "jobs"
    q = penstock.Queue.create(path)
    spawn(replace_as, BOB, str(path)).result()
    with pytest.raises(Untrusted, match=str(BOB)):
        penstock.Queue.open(path)
    with pytest.raises(Untrusted), penstock.Queue(path):
        pass
    with pytest.raises(penstock.Removed):
        q.get(timeout=SOON_SECONDS)  # what is gone from under its name is not waited on
    q.unlink()
    assert path.exists(), "what somebody else put there is not ours to remove"


def replace_as(user: int, path: str) -> None:
    """Put a queue of one's own under a name that another had; the directory lets its group do that."""
    become(user, team=True)
    with penstock.Queue.create(f"{path}-mine") as q:
        q.put("not what you think")
    os.rename(f"{path}-mine", path)


def test_second_name_of_anothers_file_is_refused_all_the_same(shared: Path) -> None:
    with penstock.Queue.create(shared / "theirs") as q:
        os.chown(q.path, EVE, EVE)
    os.link(shared / "theirs", shared / "ours")
    with pytest.raises(Untrusted, match=str(EVE)):
        penstock.Queue.open(shared / "ours")

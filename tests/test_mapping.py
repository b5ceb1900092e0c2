"""The mapping: bytes under a name, or those of a file."""

from __future__ import annotations

import gc
import mmap
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from peers import read_mapping, write_mapping
from penstock import Closed, Foreign, Mismatch, NoSpace, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock import testing

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")


@pytest.mark.parametrize("size", [1, 7, 4096, 4097, 3_000_000])
def test_new_memory_is_zeros_and_what_is_written_stays(name: str, size: int) -> None:
    with penstock.Mapping(name, size) as mapping:
        assert mapping.size == len(mapping) == size
        assert mapping.writable
        with memoryview(mapping) as view:
            assert (view.nbytes, view.format, view.readonly) == (size, "B", False)
            assert bytes(view) == bytes(size)
            view[-1] = 7
    with penstock.Mapping.open(name) as again, memoryview(again) as view:
        assert view[-1] == 7


def test_bytes_are_shared_with_other_handles_and_processes(name: str, spawn: Spawn) -> None:
    with (
        penstock.Mapping(name, 100) as mapping,
        penstock.Mapping(name) as other,
        memoryview(mapping) as view,
        memoryview(other) as other_view,
    ):
        view[10:15] = b"hello"
        assert bytes(other_view[10:15]) == b"hello"
        assert spawn(read_mapping, name, 10, 5).result() == b"hello"
        spawn(write_mapping, name, 20, b"world").result()
        assert bytes(view[20:25]) == b"world"


def test_arrays_look_at_the_bytes_in_place(name: str) -> None:
    np = pytest.importorskip("numpy")
    with penstock.Mapping(name, 80) as mapping:
        array: Any = np.frombuffer(memoryview(mapping), "f8")
        array[:] = range(10)
        with penstock.Mapping.open(name) as other:
            assert np.frombuffer(memoryview(other), "f8").tolist() == list(range(10))


def test_views_outlive_handle_and_name(name: str) -> None:
    mapping = penstock.Mapping(name, 10)
    view = memoryview(mapping)
    mapping.unlink()
    mapping.close()
    with pytest.raises(Closed):
        memoryview(mapping)
    del mapping
    gc.collect()
    view[:] = b"0123456789"
    assert bytes(view) == b"0123456789"


def test_size_is_compared_and_must_be_given_to_create(name: str) -> None:
    with pytest.raises(ValueError, match="size"):
        penstock.Mapping(name)
    with pytest.raises(NotFound):
        penstock.Mapping.open(name)
    with penstock.Mapping(name, 10) as mapping:
        with pytest.raises(Mismatch, match=r"(?s)(?=.*10)(?=.*11)"):
            penstock.Mapping(name, 11)
        assert mapping.size == 10


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("1", TypeError)])
def test_size_that_cannot_be_is_refused(name: str, size: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        penstock.Mapping(name, size)


@pytest.mark.skipif(sys.platform == "win32", reason="Wine answers that memory is short, where Windows means the disk")
def test_more_memory_than_there_is_raises_no_space_and_leaves_nothing(name: str, directory: str) -> None:
    with pytest.raises(NoSpace):
        penstock.Mapping(name, 2**45)
    assert os.listdir(directory) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file stays in its directory until its last map is gone")
def test_private_memory_is_gone_with_its_last_view(directory: str) -> None:
    with penstock.Mapping(size=10) as mapping:
        assert len(os.listdir(directory)) == 1
        assert mapping.lifetime == "while_open"
    assert os.listdir(directory) == []


def test_flush_takes_any_part_that_lies_inside(name: str) -> None:
    with penstock.Mapping(name, 10_000) as mapping:
        mapping.flush()
        mapping.flush(5000)
        mapping.flush(5000, 5000)
        mapping.flush(10_000)
        mapping.flush(1, 0)
        for offset, size in ((-1, None), (0, 10_001), (10_001, None), (5000, 5001), (0, -1), (2**62, 2**62)):
            with pytest.raises(ValueError, match=r"offset|size|bytes"):
                mapping.flush(offset, size)


def test_stats_tell_size(name: str) -> None:
    with penstock.Mapping(name, 10) as mapping:
        stats = mapping.stats()
        assert (stats["name"], stats["kind"], stats["size"], stats["writable"]) == (name, "mapping", 10, True)
        assert [entry["pid"] for entry in stats["participants"]] == [os.getpid()]


# ---- of a file -------------------------------------------------------------------------------------------------------


def test_files_bytes_are_read_and_written_in_place(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"hello world")
    with penstock.Mapping.of_file(file) as mapping, memoryview(mapping) as view:
        assert bytes(view) == b"hello world"
        view[:5] = b"HELLO"
        mapping.flush()
        assert file.read_bytes() == b"HELLO world"
        assert mapping.name == mapping.path == str(file)


def test_file_is_made_or_grown_to_the_size_that_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "data"
    with penstock.Mapping.of_file(file, 10) as mapping:
        assert mapping.size == 10
    del mapping  # Windows shortens no file that is mapped
    assert file.read_bytes() == bytes(10)
    file.write_bytes(b"abc")
    with penstock.Mapping.of_file(file, 5) as mapping, memoryview(mapping) as view:
        assert bytes(view) == b"abc\0\0"
    assert file.stat().st_size == 5


def test_beginning_of_a_longer_file_can_be_mapped_and_the_rest_stays(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"x" * 10_000)
    with penstock.Mapping.of_file(file, 5) as mapping, memoryview(mapping) as view:
        assert (mapping.size, bytes(view)) == (5, b"xxxxx")
    assert file.stat().st_size == 10_000


def test_read_only_file_cannot_be_written_and_is_not_grown(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(b"constant")
    file.chmod(0o400)
    with penstock.Mapping.of_file(file, writable=False) as mapping, memoryview(mapping) as view:
        assert not mapping.writable
        assert view.readonly
        with pytest.raises(TypeError):
            view[0] = 1
        assert bytes(view) == b"constant"
    with pytest.raises(ValueError, match="9"):
        penstock.Mapping.of_file(file, 9, writable=False)


def test_file_that_cannot_be_mapped_is_refused_with_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "data"
    for size, writable in ((None, True), (None, False), (5, False)):
        with pytest.raises(NotFound):
            penstock.Mapping.of_file(file, size, writable)
    assert not file.exists()
    file.touch()
    with pytest.raises(ValueError, match="0 bytes"):
        penstock.Mapping.of_file(file)
    with pytest.raises(ValueError, match="size"):
        penstock.Mapping.of_file(file, 0)
    with pytest.raises(Foreign):
        penstock.Mapping.of_file(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(Foreign):
            penstock.Mapping.of_file(tmp_path / "fifo", 10)


def test_file_is_shared_with_programs_that_map_it_by_other_means(tmp_path: Path) -> None:
    file = tmp_path / "data"
    with (
        penstock.Mapping.of_file(file, mmap.PAGESIZE) as mapping,
        memoryview(mapping) as view,
        file.open("r+b") as opened,
        mmap.mmap(opened.fileno(), 0) as other,
    ):
        other[100:105] = b"hello"
        assert bytes(view[100:105]) == b"hello"
        view[100:105] = b"world"
        assert other[100:105] == b"world"


def test_unlinking_removes_the_file_once(tmp_path: Path) -> None:
    file = tmp_path / "data"
    with penstock.Mapping.of_file(file, 5) as mapping:
        mapping.unlink()
        assert not file.exists()
        file.write_bytes(b"another")
        mapping.unlink()
        assert file.exists()

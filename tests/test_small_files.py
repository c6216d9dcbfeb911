"""A small file is read whole, and nothing in its place holds anybody up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snexec import small_files
from snexec.small_files import SmallFile, read_beginning, read_small_file

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "small"


@pytest.mark.parametrize("content", [b"", b"words\n", b"\x00\xff" * 50])
def test_a_file_is_read_whole(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read_small_file(path, max_bytes=100) == SmallFile(content, steady=True)


def test_a_link_is_followed(path: Path, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"words")
    path.symlink_to("real")
    assert read_small_file(path, max_bytes=5).content == b"words"


@pytest.mark.parametrize("size", [101, 10_000_000])
def test_a_file_that_is_too_large_is_refused_and_not_read_to_its_end(
    path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.touch()
    os.truncate(path, size)
    asked: list[int] = []
    read = os.read

    def noted(descriptor: int, length: int) -> bytes:
        asked.append(length)
        return read(descriptor, length)

    monkeypatch.setattr(os, "read", noted)
    with pytest.raises(OSError, match="is larger than 100 bytes"):
        read_small_file(path, max_bytes=100)
    assert sum(asked) <= 101


def test_what_is_not_there_is_named_by_the_system(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_small_file(path, max_bytes=1)


@pytest.mark.parametrize(("size", "most"), [(0, 5), (5, 5), (6, 5), (10_000_000, 5)])
def test_the_beginning_of_any_file_can_be_read(
    path: Path, size: int, most: int
) -> None:
    path.touch()
    os.truncate(path, size)
    assert read_beginning(path, max_bytes=most) == bytes(min(size, most))


def folder(path: Path) -> str:
    path.mkdir()
    return "Is a directory"


def pipe(path: Path) -> str:
    os.mkfifo(path)
    return "is not a regular file"


def endless_device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "is not a regular file"


KINDS = pytest.mark.parametrize("make", [folder, pipe, endless_device])


@KINDS
def test_what_is_no_file_is_refused_and_not_even_opened(
    path: Path, make: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = make(path)
    monkeypatch.delattr(os, "open")
    for read in (read_small_file, read_beginning):
        with pytest.raises(OSError, match=said):
            read(path, max_bytes=1)


@KINDS
def test_what_takes_the_files_place_just_before_it_is_opened_is_refused(
    path: Path,
    tmp_path: Path,
    make: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = make(path)
    regular = tmp_path / "regular"
    regular.touch()
    found = regular.stat()
    monkeypatch.setattr(Path, "stat", lambda _path: found)
    with pytest.raises(OSError, match=said):
        read_small_file(path, max_bytes=1)


def written(path: Path) -> None:
    path.write_bytes(b"new words")


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"words")
    os.utime(other, ns=(0, path.stat().st_mtime_ns))
    other.replace(path)


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [written, replaced, removed])
def test_a_file_that_changes_while_it_is_read_is_not_steady(
    path: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"words")
    read = small_files._read

    def disturbed(descriptor: int, max_bytes: int) -> bytes:
        content = read(descriptor, max_bytes)
        change(path)
        return content

    monkeypatch.setattr(small_files, "_read", disturbed)
    assert read_small_file(path, max_bytes=100) == SmallFile(b"words", steady=False)

"""Files of ours are for their owner alone, and folders in which they are not are named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snexec.permissions import (
    files_of,
    folder_lies_open,
    lies_open,
    make_private,
    warn_open_folders,
)
from tests.fakes import warnings_of


def test_the_files_of_a_database_are_beside_what_its_name_stands_for(
    tmp_path: Path,
) -> None:
    alias = tmp_path / "alias"
    alias.symlink_to(tmp_path / "t.db")
    assert [path.name for path in files_of(alias)] == [
        *("t.db", "t.db-wal", "t.db-shm", "t.db.lock")
    ]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o620, 0o601])
def test_a_file_that_lies_open_is_made_private_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    path = tmp_path / "t.db"
    path.write_text("rows")
    path.chmod(mode)
    assert lies_open(path)
    make_private([path, tmp_path / "missing"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert warnings_of(caplog) == [
        f"{path} lay open to others (mode {mode:04o}): it is its owner's alone now"
    ]
    make_private([path])
    assert len(warnings_of(caplog)) == 1, "there is nothing to say"


def test_a_file_that_only_its_owner_may_read_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    path.write_text("rows")
    path.chmod(0o400)
    make_private([path])
    assert path.stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_none_of_ours(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.db"
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    path.chmod(0o755)
    make_private([path])
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_file_of_another_user_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.db"
    path.write_text("rows")
    path.chmod(0o644)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    make_private([path])
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("mode", "open_to_others"),
    [
        (0o700, False),
        (0o755, False),
        (0o775, True),
        (0o777, True),
        (0o702, True),
        (0o1777, False),  # as /tmp is: nobody removes what is another's
    ],
)
def test_a_folder_in_which_others_may_replace_files_is_named(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    mode: int,
    open_to_others: bool,
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    folder.chmod(mode)
    assert folder_lies_open(folder) is open_to_others
    warn_open_folders([folder, folder])
    said = warnings_of(caplog)
    assert len(said) == open_to_others
    if said:
        assert said[0].endswith(f"chmod go-w {folder}")


def test_what_is_not_there_lies_open_to_nobody(tmp_path: Path) -> None:
    assert not lies_open(tmp_path / "missing")
    assert not folder_lies_open(tmp_path / "missing")

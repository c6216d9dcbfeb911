"""The kill switch's file: written whole, read whatever is in it, removed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from snexec.logs import SecretMask
from snexec.risk import halt_file
from snexec.risk.halt_file import (
    Halt,
    halt_files,
    mended,
    read_halt,
    remove_halt,
    write_halt,
)
from tests.fakes import MOMENT_TEXT, SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LoggedErrors
    from tests.risk.conftest import Desk

HALT = Halt(reason="fire", since=MOMENT_TEXT, by="me")


def test_a_halt_is_written_and_read_back(desk: Desk) -> None:
    write_halt(desk.file, HALT)
    assert json.loads(desk.file.read_text()) == {
        "reason": "fire",
        "since": MOMENT_TEXT,
        "by": "me",
    }
    assert read_halt([desk.file]) == HALT
    assert desk.file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in desk.file.parent.iterdir()] == ["halt"]


def test_the_first_reason_stays(desk: Desk) -> None:
    write_halt(desk.file, HALT)
    write_halt(desk.file, Halt(reason="water", since=MOMENT_TEXT))
    assert read_halt([desk.file]) == HALT


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "a file named halt was made"),
        (b"fire\nand more", "fire"),
        (b"\xff\x00", "\ufffd\\x00"),
        (b"[1]", "[1]"),
        (b"{}", "no reason was given"),
        (b'{"reason": 5, "since": [], "by": {}}', "no reason was given"),
        (b'{"reason": "a\\u001b[31m"}', "a\\x1b[31m"),
        (b"x" * 10_000, "x" * 500),
        (b"\x00" * 10_000, "\\x00" * 125),
        (b"[" * 10_000, "[" * 500),
        (b'{"reason": ' + b"9" * 5000, '{"reason": ' + "9" * 489),
        (b'\xef\xbb\xbf{"reason": "fire"}\r\n', "fire"),  # of a Windows editor
        (b'{"reason": "half \\ud83d"}', "half \\ud83d"),
        (b'{"reason": "' + b"x" * 501 + b'"}', "x" * 500),
    ],
)
def test_whatever_is_in_the_file_it_halts(
    desk: Desk, content: bytes, reason: str, logged_errors: LoggedErrors
) -> None:
    desk.file.write_bytes(content)
    os.utime(desk.file, (0, 0))
    found = read_halt([desk.file])
    assert found is not None
    assert (found.reason, found.since) == (reason, "1970-01-01T00:00:00.000Z")
    assert desk.switch.is_halted()
    (error,) = logged_errors.take()
    assert error.isprintable()


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\U0001f525", "\a", "\ud83d"])
def test_the_longest_words_are_written_and_read_back(desk: Desk, letter: str) -> None:
    words = mended(letter * 600, default="")
    halt = Halt(reason=words, since=MOMENT_TEXT, by=words)
    write_halt(desk.file, halt)
    assert len(words) == 500
    assert read_halt([desk.file]) == halt


@pytest.mark.parametrize("cut", [0, 40, 480, 495, 2000])
def test_words_that_are_kept_hold_no_secret_wherever_they_are_cut(cut: int) -> None:
    mask = SecretMask()
    mask.learn([SECRET])
    words = mended("x" * cut + " " + SECRET, default="", mask=mask)
    assert len(words) <= 500
    assert not any(SECRET[at : at + 4] in words for at in range(len(SECRET) - 3))


@pytest.mark.parametrize("year", ["before", "after"])
def test_a_file_of_a_year_that_no_calendar_has_halts(
    desk: Desk, year: str, logged_errors: LoggedErrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.file.touch()
    real = desk.file.lstat()
    seconds = -(10**12) if year == "before" else 10**12
    dated = os.stat_result([*real[:8], seconds, 0])
    lstat = type(desk.file).lstat
    monkeypatch.setattr(
        type(desk.file),
        "lstat",
        lambda path: dated if path == desk.file else lstat(path),
    )
    assert desk.switch.is_halted()
    assert desk.switch.current() == Halt("a file named halt was made", since=None)
    (error,) = logged_errors.take()
    assert "since an unknown time" in error


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling link"])
def test_whatever_has_that_name_halts_and_is_never_waited_for(
    desk: Desk, kind: str, logged_errors: LoggedErrors
) -> None:
    match kind:
        case "pipe":
            os.mkfifo(desk.file)
        case "folder":
            desk.file.mkdir()
        case _:
            desk.file.symlink_to("nowhere")
    assert desk.switch.is_halted()
    assert desk.switch.current() is not None
    assert len(logged_errors.take()) == 1


def test_a_pipe_that_takes_the_files_place_while_it_is_looked_at_is_not_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.file.touch()
    regular = desk.file.lstat()
    desk.file.unlink()
    os.mkfifo(desk.file)
    monkeypatch.setattr(type(desk.file), "lstat", lambda _path: regular)
    found = read_halt([desk.file])
    assert found is not None
    assert found.reason == "a file named halt was made"


def test_a_full_disk_may_still_have_room_for_a_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(halt_file, "_write_whole", full)
    write_halt(desk.file, HALT)
    assert desk.file.read_bytes() == b""


def test_a_link_to_the_configuration_has_a_switch_at_both_ends(tmp_path: Path) -> None:
    real, here = tmp_path / "real", tmp_path / "here"
    real.mkdir()
    here.mkdir()
    (real / "config.toml").touch()
    (here / "config.toml").symlink_to(real / "config.toml")
    files = halt_files(here / "config.toml")
    assert files == (real / "halt", here / "halt")
    for path in files:
        path.touch()
        assert read_halt(files) is not None
        assert remove_halt(files) == [path]


def test_a_folder_that_is_a_link_has_one_switch(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "config.toml").touch()
    assert halt_files(tmp_path / "link" / "config.toml") == (
        tmp_path / "real" / "halt",
    )

"""The key's file: its owner's alone, whole, and the end of every cookie when it goes."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from snexec.web.key_file import key_path, read_key, take_key

if TYPE_CHECKING:
    from pathlib import Path


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = key_path(tmp_path / "snexec.db")
    assert path.parent == tmp_path
    assert read_key(path) is None
    key = take_key(path)
    assert key.is_new
    assert len(key.text) == 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = take_key(path)
    assert (again.text, again.is_new) == (key.text, False)
    assert [each.name for each in tmp_path.iterdir()] == [path.name], (
        "nothing beside it"
    )


def test_another_key_is_another_cookie_and_token_and_none_says_the_key(
    tmp_path: Path,
) -> None:
    first, second = (take_key(tmp_path / name) for name in ("a", "b"))
    words = {first.text, first.cookie, first.token}
    words |= {second.text, second.cookie, second.token}
    assert len(words) == 6
    assert first.text not in first.cookie + first.token


def test_a_key_that_lay_open_is_closed_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    key = take_key(path)
    path.chmod(0o644)
    assert take_key(path).text == key.text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "lay open to others" in caplog.text
    assert key.text not in caplog.text


def test_a_key_that_was_cut_off_as_it_was_made_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    assert take_key(path).is_new


@pytest.mark.parametrize(
    "content", [b"guessable\n", b"\xff" * 43, b"k" * 42 + b"=", b"k" * 2000]
)
def test_what_is_no_key_opens_nothing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"no key|larger"):
        take_key(path)
    assert path.read_bytes() == content, "it may be somebody's"


def test_a_link_or_a_folder_in_the_keys_place_is_not_followed(tmp_path: Path) -> None:
    known = tmp_path / "known"
    take_key(known)
    link = tmp_path / "link"
    link.symlink_to(known)
    folder = tmp_path / "folder"
    folder.mkdir()
    for path in (link, folder):
        with pytest.raises(OSError, match="not a regular file"):
            take_key(path)


def test_a_key_of_another_user_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    take_key(path)
    monkeypatch.setattr("os.geteuid", lambda: 12345)
    with pytest.raises(PermissionError, match="another user's"):
        read_key(path)

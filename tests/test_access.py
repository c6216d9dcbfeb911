"""A socket is its owner's alone, or a group's too."""

from __future__ import annotations

import grp
import os
import stat
from typing import TYPE_CHECKING

import pytest

from snexec.access import SocketAccess, access_of
from snexec.errors import ConfigError, StartError
from snexec.intake.listener import open_listener
from tests.integration.harness import short_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_group_is_looked_up_by_its_name() -> None:
    ours = grp.getgrgid(os.getgid()).gr_name

    assert access_of("0660", ours) == SocketAccess(0o660, os.getgid())
    assert access_of("0600", None) == SocketAccess()


def test_a_group_that_is_not_there_is_a_mistake_in_the_file() -> None:
    with pytest.raises(ConfigError, match=r"intake\.socket_group: there is no group"):
        access_of("0660", "n0-such-group")


def test_a_socket_has_the_mode_that_it_is_given() -> None:
    with short_folder() as folder:
        path = folder / "s.sock"
        with open_listener(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with open_listener(path, SocketAccess(0o660, os.getgid())):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert path.stat().st_gid == os.getgid()


def test_what_is_not_allowed_ends_the_start_and_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_path: Path, _uid: int, _gid: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    with short_folder() as folder:
        path = folder / "s.sock"
        with (
            pytest.raises(StartError, match="is this user one of it"),
            open_listener(path, SocketAccess(0o660, 12345)),
        ):
            pass
        assert not path.exists()

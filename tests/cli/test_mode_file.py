"""The file stays as it was but for one word."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
import tomlkit

from snexec.cli import mode_file
from snexec.cli.mode_file import changed
from snexec.errors import CommandError
from tests.cli.conftest import SHIPPED, as_live

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Desk
    from tests.integration.harness import Box


def test_only_the_word_changes_and_owner_and_permissions_stay(
    desk: Desk, shipped: Box
) -> None:
    before = shipped.config.stat()

    done = desk.run(shipped.config, "mode", "live", "--yes")

    after = shipped.config.stat()
    assert (done.status, done.err) == (0, "")
    assert shipped.config.read_text() == as_live(SHIPPED)
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert [path.name for path in shipped.folder.iterdir()] == ["config.toml"]
    assert done.lines[-1] == "no daemon runs; the next start uses it"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "mode='paper'#x\n\n[bot]\nenabled=true",
            'mode="live"#x\n\n[bot]\nenabled=true',
        ),
        (
            '# a\r\nmode = "paper"\t# b\r\n[bot]\r\n',
            '# a\r\nmode = "live"\t# b\r\n[bot]\r\n',
        ),
        ('"mode" = "paper"', '"mode" = "live"'),
        ('database = "x" # y\n[bot]\n', 'database = "x" # y\nmode = "live"\n\n[bot]\n'),
        ("", 'mode = "live"\n'),
    ],
)
def test_every_layout_survives(text: str, expected: str) -> None:
    assert changed(text, "live").replace(" = ", "=") == expected.replace(" = ", "=")


def test_a_link_stays_a_link(desk: Desk, shipped: Box, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    shutil.move(shipped.config, real)
    shipped.config.symlink_to(real)

    done = desk.run(shipped.config, "mode", "live", "--yes")

    assert done.status == 0
    assert shipped.config.is_symlink()
    assert real.read_text() == as_live(SHIPPED)


def test_a_file_that_cannot_be_replaced_stays(
    desk: Desk, shipped: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_more: object) -> tuple[int, str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)

    done = desk.run(shipped.config, "mode", "live", "--yes")

    assert done.status == 1
    assert done.err.endswith("config.toml cannot be changed: No space left on device\n")
    assert shipped.config.read_text() == SHIPPED


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_said_to_be_one(desk: Desk, shipped: Box) -> None:
    shipped.folder.chmod(0o500)
    try:
        done = desk.run(shipped.config, "mode", "live", "--yes")
    finally:
        shipped.folder.chmod(0o700)

    assert done.status == 1
    assert "cannot be changed: Permission denied" in done.err


def test_an_edit_that_comes_between_is_not_lost(
    desk: Desk, shipped: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = SHIPPED.replace("50.0 ", "60.0 ")

    def edited(text: str, mode: Any) -> str:  # noqa: ANN401 - as the true one
        shipped.config.write_text(theirs)
        return changed(text, mode)

    monkeypatch.setattr(mode_file, "changed", edited)

    done = desk.run(shipped.config, "mode", "live", "--yes")

    assert done.status == 1
    assert "was changed meanwhile: try again" in done.err
    assert shipped.config.read_text() == theirs
    assert [path.name for path in shipped.folder.iterdir()] == ["config.toml"]


@pytest.mark.parametrize("dumped", ["x = 1", "no TOML"])
def test_what_would_change_more_is_refused(
    monkeypatch: pytest.MonkeyPatch, dumped: str
) -> None:
    monkeypatch.setattr(tomlkit, "dumps", lambda _document: dumped)

    with pytest.raises(CommandError, match="cannot be changed safely"):
        changed(SHIPPED, "live")

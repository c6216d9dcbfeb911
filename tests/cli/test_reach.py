"""Who can run a program."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from snexec.cli.reach import in_the_way

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Make a program to which every folder of ours is open."""
    folder = tmp_path / "opt"
    folder.mkdir()
    path = folder / "python"
    path.touch()
    for each in (path, *path.parents):
        if each.owner() == tmp_path.owner() and each.is_relative_to("/tmp"):  # noqa: S108
            each.chmod(each.stat().st_mode | 0o055)
    return path


@pytest.mark.skipif(os.geteuid() != 0, reason="files of root's are needed")
@pytest.mark.parametrize("closed", ["python", "opt"])
def test_what_is_closed_to_a_user_is_named(program: Path, closed: str) -> None:
    assert in_the_way(program, "nobody") is None
    path = program if closed == "python" else program.parent
    path.chmod(0o700)

    assert in_the_way(program, "nobody") == path
    assert in_the_way(program, "root") is None


@pytest.mark.skipif(os.geteuid() != 0, reason="files of root's are needed")
def test_what_a_link_names_counts_too(program: Path) -> None:
    link = program.parent.parent / "link"
    link.symlink_to(program)
    program.parent.chmod(0o700)

    assert in_the_way(link, "nobody") == program.parent


def test_of_a_user_that_is_not_there_nothing_is_known(program: Path) -> None:
    assert in_the_way(program, "n0body-of-that-name") is None

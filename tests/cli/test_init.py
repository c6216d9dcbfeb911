"""A configuration to begin with: written once, private, and usable at once."""

from __future__ import annotations

import stat
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from snexec.settings import load_settings
from tests.integration.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Desk
    from tests.integration.harness import Box


def run(
    folder: Path, *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, without a configuration."""
    return subprocess.run(
        [sys.executable, "-m", "snexec", *words],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_writes_the_shipped_file_for_its_owner_alone(tmp_path: Path) -> None:
    done = run(tmp_path, "init", "deep/desk")

    path = tmp_path / "deep/desk/config.toml"
    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text() == (ROOT / "config.toml").read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_settings(path).alpaca.simulate
    assert done.stdout.count("snexec --config deep/desk/config.toml") == 3


def test_here_needs_no_config_in_its_words(tmp_path: Path) -> None:
    done = run(tmp_path, "init")

    assert (tmp_path / "config.toml").exists()
    assert "--config" not in done.stdout
    assert run(tmp_path, "trades").stdout == "0 trades\n"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('mode = "live"\n')

    done = run(tmp_path, "init")

    assert (done.returncode, done.stdout) == (1, "")
    assert "is there already: nothing was written" in done.stderr
    assert path.read_text() == 'mode = "live"\n'


def test_a_folder_that_cannot_be_made_is_said(desk: Desk, box: Box) -> None:
    done = desk.run(box.config, "init", str(box.config / "below"))

    assert (done.status, "cannot be written" in done.err) == (1, True)


def test_the_environment_names_the_file(desk: Desk, box: Box) -> None:
    other = box.folder / "other.toml"
    other.write_text(box.config.read_text().replace("paper", "live", 1))

    done = run(box.folder, "check", SNEXEC_CONFIG=str(other))

    assert f"{other} is valid, mode live" in done.stdout
    assert desk.run(box.config, "check").out.count("mode paper") == 1, "--config wins"


def test_a_wheel_has_the_file(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "hatchling",
            "build",
            "-t",
            "wheel",
            "-d",
            str(tmp_path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        text = file.read("snexec/shipped/config.toml").decode()
    assert text == (ROOT / "config.toml").read_text()

"""What is given to others: a wheel and a source distribution, whole and described."""

from __future__ import annotations

import email
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest

from tests.integration.harness import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with both, as their build makes them."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [found] = built.glob("*.whl")
    return found


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as file:
        [name] = (n for n in file.namelist() if n.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(file.read(name))


def check(program: str, *words: str) -> str:
    """Run a checker of the Python packagers, where it is installed."""
    path = Path(sys.executable).with_name(program)
    found = str(path) if path.exists() else shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    done = subprocess.run(
        [found, *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_both_pass_twines_check(built: Path) -> None:
    names = [str(path) for path in sorted(built.iterdir())]
    assert len(names) == 2
    assert check("twine", "check", "--strict", *names).count("PASSED") == 2


def test_the_wheel_passes_check_wheel_contents(wheel: Path) -> None:
    assert "OK" in check("check-wheel-contents", str(wheel))


def test_the_wheel_is_described(wheel: Path) -> None:
    about = metadata(wheel)
    for name in ("Summary", "License-Expression", "Requires-Python", "Keywords"):
        assert about[name], name
    assert len(about.get_all("Classifier", [])) > 10
    assert len(about.get_all("Project-URL", [])) > 0
    assert about["Description-Content-Type"] == "text/markdown"


def test_the_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    folders = {name.partition("/")[0] for name in names}
    assert folders == {"snexec", f"snexec-{metadata(wheel)['Version']}.dist-info"}
    sources = (ROOT / "snexec").rglob("*")
    wanted = {
        str(path.relative_to(ROOT))
        for path in sources
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= names
    assert "snexec/shipped/config.toml" in names


def test_the_source_distribution_builds_tests_and_locks_again(built: Path) -> None:
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {
        *("pyproject.toml", "config.toml", "README.md", "CHANGELOG.md", "LICENSE"),
        *(".ci/lock.txt", ".ci/lock-dev.txt", ".ci/run", "docs/Dockerfile"),
        *(".dockerignore", "tests/conftest.py", "snexec/__main__.py"),
    } <= names

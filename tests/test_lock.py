"""The locks: each package that is needed, at one version within bounds, by its hashes."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.integration.harness import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RUNTIME, DEVELOPMENT = ROOT / ".ci" / "lock.txt", ROOT / ".ci" / "lock-dev.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NEEDED = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
FOR_TESTS = PROJECT["project"]["optional-dependencies"]["dev"]
DATED = {
    "certifi",
    "tzdata",
    "types-tabulate",
}  # a version is a date and breaks nothing
OPEN_ENDED = {"packaging"}  # a version is a year, as above


class Pin(NamedTuple):
    """One version of a package, and the files that are it."""

    requirement: Requirement
    hashes: frozenset[str]


def pins(path: Path) -> dict[str, list[Pin]]:
    """Return a lock's pins by package; some have one for each range of Pythons."""
    found: dict[str, list[Pin]] = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        pin, *hashes = re.split(r"\s+--hash=", line.strip())
        requirement = Requirement(pin)
        name = canonicalize_name(requirement.name)
        found.setdefault(name, []).append(Pin(requirement, frozenset(hashes)))
    return found


def version(pin: Pin) -> Version:
    (specifier,) = pin.requirement.specifier
    assert specifier.operator == "=="
    return Version(specifier.version)


def named(requirements: list[str]) -> dict[str, Requirement]:
    return {
        canonicalize_name(found.name): found
        for found in (Requirement(text) for text in requirements)
    }


@pytest.mark.parametrize(
    ("path", "requirements"),
    [(RUNTIME, NEEDED), (DEVELOPMENT, [*NEEDED, *FOR_TESTS])],
    ids=lambda value: value.name if hasattr(value, "name") else "",
)
def test_what_is_needed_is_locked_within_its_bounds(
    path: Path, requirements: list[str]
) -> None:
    locked = pins(path)
    for name, requirement in named(requirements).items():
        assert name in locked, "run .ci/lock"
        for pin in locked[name]:
            assert version(pin) in requirement.specifier, f"{name}: run .ci/lock"


@pytest.mark.parametrize("path", [RUNTIME, DEVELOPMENT], ids=lambda path: path.name)
def test_every_line_is_one_version_and_its_hashes(path: Path) -> None:
    for of_one in pins(path).values():
        for pin in of_one:
            assert isinstance(version(pin), Version)
            assert pin.requirement.url is None
            assert pin.hashes
            assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in pin.hashes)


def test_tests_run_with_the_versions_that_are_installed_from_the_other_lock() -> None:
    development = pins(DEVELOPMENT)
    for name, of_one in pins(RUNTIME).items():
        assert development[name] == of_one


def test_what_is_needed_by_what_is_needed_is_locked_too() -> None:
    locked, seen = pins(DEVELOPMENT), set[str]()
    ahead = [*named([*NEEDED, *FOR_TESTS])]
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        assert name in locked, "run .ci/lock"
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            continue  # not on this platform
        for requirement in map(Requirement, needs):
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": ""}):
                ahead.append(canonicalize_name(requirement.name))
    assert len(seen) > 40


def test_every_dependency_ends_where_it_may_break() -> None:
    for name, requirement in named([*NEEDED, *FOR_TESTS]).items():
        ends = {specifier.operator for specifier in requirement.specifier}
        if name not in DATED | OPEN_ENDED:
            assert ends & {"<", "=="}, name


def test_the_commands_of_the_readme_install_what_is_locked_and_nothing_else() -> None:
    readme = (ROOT / "README.md").read_text()
    for lock, rest in ((RUNTIME, " ."), (DEVELOPMENT, " --editable . && ")):
        (command,) = re.findall(rf"venv .venv && .*{re.escape(lock.name)}.*", readme)
        first, second = re.findall(r"pip install (.*?)(?= && |$)", command)
        assert "--require-hashes" in first
        assert {"--no-deps", "--no-build-isolation"} <= set(second.split())
        assert rest in f"{command} && "


def test_no_file_says_where_packages_come_from() -> None:
    for path in (RUNTIME, DEVELOPMENT, ROOT / ".ci" / "lock", ROOT / "pyproject.toml"):
        text = re.sub(r"\[project.urls\].*?\n\n", "", path.read_text(), flags=re.DOTALL)
        assert not re.search(r"index-url|find-links|://", text)

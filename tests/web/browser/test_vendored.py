"""What others wrote is what they published, with its licence; nothing else is theirs."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

import snexec

ASSETS = Path(snexec.__file__).parent / "web" / "assets"
HERE = Path(__file__).parent
MANIFESTS = [ASSETS / "vendored.json", HERE / "vendored.json"]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.parent.name)
def test_each_vendored_file_is_the_one_that_was_published(manifest: Path) -> None:
    for package in json.loads(manifest.read_text()):
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert package["source"] == f"npm:{package['package']}@{package['version']}"
        assert (manifest.parent / package["licenceFile"]).stat().st_size > 1000
        for name, published in package["files"].items():
            content = (manifest.parent / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == published["sha256"], name


def test_every_file_of_the_page_is_ours_or_in_the_manifest() -> None:
    packages = json.loads((ASSETS / "vendored.json").read_text())
    theirs = {name for package in packages for name in package["files"]}
    theirs |= {package["licenceFile"] for package in packages}
    ours = {path.name for path in ASSETS.iterdir()} - theirs
    assert {Path(name).suffix for name in ours} == {
        *(".js", ".css", ".html", ".svg", ".json")
    }
    for name in ours:
        assert (ASSETS / name).stat().st_size < 24_000, f"{name} is not ours"


def test_the_page_names_no_other_host_and_runs_no_text_of_others() -> None:
    page = (ASSETS / "index.html").read_text()
    assert "//" not in page
    assert re.findall(r"<script(?![^>]* src=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []
    vendored = {"preact.js", "htm.js", "uplot.js"}
    ours = [path for path in ASSETS.glob("*.js") if path.name not in vendored]
    assert len(ours) > 10
    for path in ours:
        text = path.read_text()
        assert re.findall(r"https?://", text) == [], path.name
        unsafe = (
            r"InnerHTML|innerHTML|insertAdjacentHTML|\beval\b|new Function|\.cookie"
        )
        assert re.findall(unsafe, text) == [], path.name

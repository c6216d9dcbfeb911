"""The image that docs/Dockerfile makes: slim, nobody's root, and asked how it is."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.integration.harness import ROOT, Box, short_folder
from tests.web.scraping import free_port

TEXT = (ROOT / "docs" / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Return each instruction with its words; continued lines are one."""
    lines = re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE).replace("\\\n", "")
    parts = (line.partition(" ") for line in lines.splitlines() if line)
    return [(name, words.strip()) for name, _, words in parts]


def last(name: str) -> str:
    """Return the words of the last such instruction, which is the image's."""
    return [words for found, words in instructions() if found == name][-1]


def health_check() -> list[str]:
    words: list[str] = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    return words


def test_it_is_slim_and_not_roots_and_keeps_its_data_on_a_volume() -> None:
    assert last("FROM").endswith("-slim")
    assert last("USER").isdigit()
    assert int(last("USER")) > 0
    assert last("VOLUME") == last("WORKDIR") == "/data"
    assert "SNEXEC_CONFIG=/data/config.toml" in last("ENV")
    assert last("ENTRYPOINT") == '["snexec"]'


def test_it_installs_the_locked_versions_alone() -> None:
    installs = [words for name, words in instructions() if "pip install" in words]
    assert len(installs) == 2
    assert "--require-hashes -r .ci/lock.txt" in installs[0]
    assert "--no-deps" in installs[1]


def test_what_it_copies_is_there_and_is_not_left_out() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    for name, words in instructions():
        if name == "COPY" and not words.startswith("--from"):
            for each in words.split()[:-1]:
                assert (ROOT / each).exists(), each
                assert f"!{each}" in ignored


def test_what_it_copies_is_all_that_its_build_needs(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    for name, words in instructions():
        if name != "COPY" or words.startswith("--from"):
            continue
        for each in words.split()[:-1]:
            if (ROOT / each).is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / each, tmp_path / each, ignore=ignore)
            else:
                (tmp_path / each).parent.mkdir(exist_ok=True)
                shutil.copy(ROOT / each, tmp_path / each)
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "dist").glob("*.whl"))) == 1


async def test_its_health_check_says_what_healthz_does() -> None:
    program, *words = health_check()
    assert program == "python"
    with short_folder() as folder:
        port = await free_port()
        box = Box(folder)
        box.configure(metrics={"listen": f"127.0.0.1:{port}"})

        async def status() -> int:
            done = await trio.run_process(
                [sys.executable, *words],
                env=os.environ | {"SNEXEC_HEALTH_PORT": str(port)},
                check=False,
                capture_stderr=True,
            )
            return done.returncode

        assert await status() == 1, "nothing is there"
        async with box.daemon() as process:
            with trio.fail_after(60):
                while await status():  # noqa: ASYNC110 - another process
                    await trio.sleep(0.2)
            assert await box.stop(process) == 0


@functools.cache
def docker_runs() -> bool:
    """Return whether there is a Docker here that builds images."""
    if shutil.which("docker") is None:
        return False
    asked = ["docker", "info"]
    done = subprocess.run(asked, capture_output=True, check=False, timeout=30)
    return done.returncode == 0


def docker(*words: str) -> str:
    done = subprocess.run(
        ["docker", *words],  # noqa: S607 - whichever there is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_the_image_runs_a_simulated_day(tmp_path: Path) -> None:
    if not docker_runs():
        pytest.skip("no Docker runs here")
    image = tmp_path / "image"
    await trio.to_thread.run_sync(
        lambda: docker(
            "build", "-q", "-f", "docs/Dockerfile", "--iidfile", str(image), "."
        )
    )
    name = image.read_text().strip()
    volume = docker("volume", "create")
    mount = ("-v", f"{volume}:/data")
    try:
        docker("run", "--rm", *mount, name, "init")
        container = docker("run", "-d", *mount, name)
        try:
            with trio.fail_after(120):
                shown = "{{.State.Health.Status}}"
                while docker("inspect", "-f", shown, container) != "healthy":  # noqa: ASYNC110
                    await trio.sleep(1)
            words = ("--symbol", "AAPL", "--category", "x", "--tier", "1")
            said = docker(
                *(
                    "exec",
                    container,
                    "snexec",
                    "send",
                    *words,
                    "--price",
                    "187",
                    "--wait",
                )
            )
            assert "filled" in said
            assert docker("exec", container, "id", "-u") != "0"
            docker("stop", "-t", "30", container)
        finally:
            docker("rm", "-f", container)
    finally:
        docker("volume", "rm", "-f", volume)
        docker("image", "rm", "-f", name)

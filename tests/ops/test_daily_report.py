"""The day's report is what `snexec report` prints, asked of a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from snexec.ops.daily_report import daily_report
from tests.integration.harness import Box, short_folder
from tests.ops.delivery import SAVE

DAY = date(2026, 1, 5)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('database = "t.db"\n[alpaca]\nsimulate = true\n')
    return path


async def test_it_is_what_the_command_prints(config: Path) -> None:
    printed = subprocess.run(  # noqa: ASYNC221
        [
            *(sys.executable, "-m", "snexec", "--config", str(config)),
            *("report", "--day", str(DAY), "--mode", "paper"),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    text = await daily_report(config, DAY, "paper")

    assert text == printed.stdout.strip()
    assert text.startswith("Monday, 2026-01-05 (New York)")


async def test_a_file_that_lies_where_the_daemon_runs_is_not_run(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "snexec"
    fake.mkdir()
    (fake / "__init__.py").write_text("raise SystemExit('mine')")
    monkeypatch.chdir(tmp_path)
    text = await daily_report(config, DAY, "paper")

    assert text is not None
    assert "closed    none" in text


async def test_one_that_cannot_be_had_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = await daily_report(tmp_path / "none.toml", DAY, "paper")

    assert text is None
    assert "the report of 2026-01-05 cannot be had and is tried again" in caplog.text
    assert "none.toml" in caplog.text


async def test_it_is_not_given_the_brokers_keys(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nenv > {seen}\n")
    program.chmod(0o755)
    monkeypatch.setenv("APCA_API_SECRET_KEY", "hush-hush")
    monkeypatch.setattr(sys, "executable", str(program))
    await daily_report(config, DAY, "paper")

    assert "PYTHONPATH" in seen.read_text()
    assert "hush-hush" not in seen.read_text()
    assert os.environ["APCA_API_SECRET_KEY"] == "hush-hush"


async def test_a_daemon_sends_the_one_that_it_has_missed() -> None:
    with short_folder() as folder:
        box, told = Box(folder), folder / "told.json"
        command = [sys.executable, "-c", SAVE, str(told)]
        box.configure(
            notify={"command": command, "events": [], "daily_at": "00:00"},
        )
        record = folder / f"{box.database.name}.reported"
        record.write_text("2020-01-01\n")
        async with box.daemon() as process:
            await box.until(lambda: whole(told), "it is sent")
            assert await box.stop(process) == 0
        words, message, _environment = whole(told)
        assert words == [message["text"]]
        assert message["event"] == "report"
        day = record.read_text().strip()
        assert f", {day} (New York), simulated, paper\n" in message["text"]


def whole(path: Path) -> Any:  # noqa: ANN401 - what the program has saved
    """Return what was saved; None until all of it is there."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None

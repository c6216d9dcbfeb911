from __future__ import annotations

import sys
from pathlib import Path

import pytest

from snexec.bench.programs import Program, module
from snexec.errors import StartError


def test_a_program_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    command = module("snexec", "--config", "/nowhere/config.toml")
    with (
        Program("the daemon", command, tmp_path / "log") as program,
        pytest.raises(StartError, match="the daemon has ended: snexec: /nowhere"),
    ):
        program.expect("ready")


def test_a_program_keeps_its_byte_code_for_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    asks = (
        "import sys, time; print(sys.dont_write_bytecode, flush=True); time.sleep(60)"
    )
    with Program("one", [sys.executable, "-c", asks], tmp_path / "log") as program:
        assert program.expect("True|False") == "False"

from __future__ import annotations

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

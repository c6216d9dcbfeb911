"""What paper's open rows do to live, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.cli.blocked_symbols import blocked_symbols
from snexec.clock import SystemClock
from snexec.ledger.schema import open_database
from tests.ledger.hands import add_row

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, ""),
        (1, "1 open paper row keeps live from buying S0 until it is closed; "),
        (2, "2 open paper rows keep live from buying S0, S1 until they are closed; "),
        (10, "S5, S6, S7 and 2 more until they are closed; "),
    ],
)
def test_open_paper_rows_are_named(tmp_path: Path, count: int, said: str) -> None:
    path = tmp_path / "t.db"
    open_database(path, simulated=False, clock=SystemClock()).close()
    for n in range(count):
        add_row(path, id=f"sn-{n}", symbol=f"S{n}", mode="paper")
    add_row(path, id="sn-live", symbol="KO", mode="live")
    add_row(path, id="sn-closed", symbol="F", mode="paper", status="closed")

    found = blocked_symbols(path)

    assert said in found
    assert bool(found) is bool(count)


def test_what_is_no_database_blocks_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_text("no database at all, and that for many a byte" * 99)

    assert blocked_symbols(tmp_path / "t.db") == ""
    assert blocked_symbols(tmp_path / "none.db") == ""

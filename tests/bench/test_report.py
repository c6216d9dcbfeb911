from __future__ import annotations

from snexec.bench.report import report
from tests.bench.figures import made_up_run


def test_the_table_shows_snexec_next_to_the_floor() -> None:
    lines = report(made_up_run(800.0)).splitlines()

    cells = [line.split() for line in lines]
    p50 = ["signal", "to", "POST,", "p50,", "µs"]
    assert [*p50, "800", "100", "8", "800", "100"] in cells
    assert ["POSTs", "out", "of", "order", "2", "0"] in cells
    assert [*p50[:-2], "p99,", "µs", "900", "600", "1.50", "1.30", "missed"] in cells
    assert ["800", "to", "1,000", "1", "#" * 30] in cells
    assert any("the floor's p50 would be 350 µs" in line for line in lines)
    assert "look-ups of them slowed the fills" in lines[-1]
    assert all(len(line) <= 88 for line in lines)

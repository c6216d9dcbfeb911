"""The closing table holds all that matters on narrow screens, in one line a signal."""

from __future__ import annotations

import pytest

from snexec.cli.run_table import Line, fold, show


def line(signal: str = "news-1", outcome: str = "closed", **changes: str) -> Line:
    values = {
        "signal": signal,
        "symbol": "BTC/USD",
        "dollars": "1000.00",
        "outcome": outcome,
        "exit": "64,017.826 trailing_stop",
        "exit_reason": "trailing_stop",
        "pnl": "-$1,234.56",
        "detail": "0.001560398 shares at 64017.826",
        "brief": "0.00156 at 64,018",
    }
    return Line(**values | changes)


FILLED = [
    line("news-1"),
    line("news-2", "partly filled", exit="", exit_reason="", pnl=""),
    line("news-3", exit="180.02 market_close", exit_reason="market_close"),
]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_each_signal_has_one_line_no_wider_than_the_screen(width: int) -> None:
    head, rule, *rows = show(FILLED, width=width, has_exits=True).splitlines()
    assert len(rows) == len(FILLED)
    assert max(map(len, (head, rule, *rows))) <= width


def test_what_can_be_done_without_goes_first() -> None:
    heads = {
        width: show(FILLED, width=width, has_exits=True).splitlines()[0].split()
        for width in (80, 100, 200)
    }
    narrow = ["signal", "symbol", "outcome", "exit", "P&L", "detail"]
    assert heads[80] == heads[100] == narrow
    assert heads[200] == [*narrow[:2], "dollars", *narrow[2:]]
    wide = show(FILLED, width=200, has_exits=True)
    assert wide == show(FILLED, width=None, has_exits=True)
    for width, shown in ((200, "64,017.826 trailing_stop"), (80, "trailing_stop")):
        row = show(FILLED, width=width, has_exits=True).splitlines()[2]
        assert shown in row
    assert "64,017" not in show(FILLED, width=80, has_exits=True)


def test_a_long_reason_is_folded_and_no_other_line_is() -> None:
    why = "priceAtSignal: Input should be a valid number (got '450')"
    refused = line("news-4", "invalid", dollars="", exit="", exit_reason="", pnl="")
    refused = refused._replace(detail=why, brief="")
    rows = show([*FILLED, refused], width=80, has_exits=True).splitlines()[2:]
    assert [row[:6] for row in rows[:4]] == ["news-1", "news-2", "news-3", "news-4"]
    assert all(not row[:60].strip() for row in rows[4:])
    folded = " ".join(row[60:].strip() for row in rows[3:])
    assert folded.endswith("(got '450')")
    assert max(map(len, rows)) <= 80
    assert show([refused], width=None, has_exits=False).endswith(why)


def test_a_long_id_is_cut_on_a_narrow_screen_alone() -> None:
    name = "c0ffee00-1234-5678-9abc-def012345678"
    lines = [line(name), line("n-2")]
    assert name in show(lines, width=200, has_exits=True)
    narrow = show(lines, width=80, has_exits=True)
    assert name not in narrow
    assert "c0ffee0" in narrow
    assert "…" in narrow
    assert max(map(len, narrow.splitlines())) <= 80


def test_totals_are_folded_as_well() -> None:
    totals = "10 signals: " + ", ".join(f"{n} closed" for n in range(12))
    assert max(map(len, fold(totals, 80).splitlines())) <= 80
    assert fold(totals, None) == totals

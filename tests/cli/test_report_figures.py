"""The days of a report, and figures of rows that hold anything."""

from __future__ import annotations

from datetime import UTC, date, datetime

from snexec.cli.dates import milliseconds
from snexec.cli.report_figures import Period, figures


def test_a_day_in_spring_is_an_hour_short() -> None:
    query = Period(date(2026, 3, 8), date(2026, 3, 8)).query(None)

    assert query.since == milliseconds(datetime(2026, 3, 8, 5, tzinfo=UTC))
    assert query.until == milliseconds(datetime(2026, 3, 9, 4, tzinfo=UTC))


def test_what_is_no_number_counts_for_nothing() -> None:
    odd = {"pnl": "much", "notional": b"\xff", "shares": float("inf"), "wireMs": True}

    found = figures([odd], [odd], {"filled": 1})

    assert found["signals"] == {"filled": 1}
    assert found["orders"]["dollarsOrdered"] == 0
    assert found["results"]["pnl"] is None
    assert found["results"]["notKnown"] == 1
    assert found["latency"] == {"wireMs": None, "replyMs": None, "fillMs": None}

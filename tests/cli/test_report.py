"""A day in figures, by New York's calendar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.clock import SystemClock
from snexec.ledger.schema import open_database
from tests.ledger.hands import add_row

if TYPE_CHECKING:
    from tests.cli.conftest import Desk
    from tests.integration.harness import Box


@pytest.fixture
def day(box: Box) -> str:
    """Fill the database around a day in New York; return that day."""
    open_database(box.database, simulated=True, clock=SystemClock()).close()
    rows: list[dict[str, object]] = [
        # Made on the 5th in New York, though it is the 6th in UTC.
        {"createdAt": "2026-01-06T04:59:59.999Z", "exitAt": "2026-01-06T05:00:00.000Z",
         "status": "closed", "pnl": 9.0, "notional": 50.0},
        {"createdAt": "2026-01-05T04:59:59.999Z", "exitAt": "2026-01-05T15:00:00.000Z",
         "status": "closed", "pnl": -4.52, "notional": 50.0, "symbol": "MSFT",
         "exitReason": "stop_loss"},
        {"createdAt": "2026-01-05T15:00:00.000Z", "exitAt": "2026-01-05T16:00:00.000Z",
         "status": "closed", "pnl": 10.99, "notional": 100.0, "shares": 2.0,
         "entryPrice": 50.5, "priceAtSignal": 50.0, "symbol": "AAPL",
         "exitReason": "profit_target", "wireMs": 1.0, "mode": "live"},
        {"createdAt": "2026-01-05T16:00:00.000Z", "status": "missed",
         "exitReason": "alpaca_rejected", "notional": 75.0},
        {"createdAt": "2026-01-05T16:00:00.000Z", "exitAt": "2026-01-05T17:00:00.000Z",
         "status": "closed", "exitReason": "external"},
    ]  # fmt: skip
    for n, row in enumerate(rows):
        add_row(box.database, **{"id": f"sn-{n}", "mode": "paper"} | row)
    return "2026-01-05"


def test_orders_count_by_when_they_were_made_results_by_when_they_ended(
    desk: Desk, box: Box, day: str
) -> None:
    found = desk.run(box.config, "report", "--day", day, "--json").json()

    assert (found["from"], found["to"], found["simulated"]) == (day, day, True)
    assert found["orders"] == {
        "count": 4,
        "bought": 1,
        "missed": {"alpaca_rejected": 1},
        "dollarsOrdered": 225.0,
        "dollarsBought": 101.0,
        "slippagePct": 1.0,
    }
    results = found["results"]
    assert (results["closed"], results["pnl"], results["winRate"]) == (3, 6.47, 0.5)
    assert (results["won"], results["lost"], results["notKnown"]) == (1, 1, 1)
    assert results["best"] == {"symbol": "AAPL", "pnl": 10.99}
    assert results["worst"] == {"symbol": "MSFT", "pnl": -4.52}
    assert found["latency"]["wireMs"]["count"] == 1


def test_the_same_figures_are_a_page_for_people(desk: Desk, box: Box, day: str) -> None:
    lines = desk.run(box.config, "report", "--day", day).lines

    assert lines[0] == "Monday, 2026-01-05 (New York), simulated, paper and live"
    assert (
        "closed    3: P&L +$6.47 before fees, 1 won, 1 lost (50% won), 1 not known"
        in (lines)
    )
    assert "best      AAPL +$10.99; worst MSFT -$4.52" in lines
    assert max(map(len, lines)) < 120


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_a_screen_holds_each_line(
    desk: Desk, box: Box, day: str, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = desk.run(box.config, "report", "--day", day, terminal=True)
    file = desk.run(box.config, "report", "--day", day)

    assert max(map(len, screen.lines)) <= columns
    assert screen.out.split() == file.out.split()


def test_one_trade_is_neither_best_nor_worst(desk: Desk, box: Box, day: str) -> None:
    lines = desk.run(box.config, "report", "--day", day, "--mode", "live").lines

    assert not any(line.startswith("best") for line in lines)


def test_a_week_a_mode_and_an_empty_day(desk: Desk, box: Box, day: str) -> None:
    week = desk.run(
        box.config, "report", "--day", "2026-01-08", "--week", "--json"
    ).json()
    assert (week["from"], week["orders"]["count"]) == ("2026-01-02", 5)
    live = desk.run(
        box.config, "report", "--day", day, "--mode", "live", "--json"
    ).json()
    assert (live["orders"]["count"], live["results"]["pnl"]) == (1, 10.99)
    empty = desk.run(box.config, "report", "--day", "2026-02-01").lines
    assert empty[1:] == [
        "orders    0 orders, 0 bought; $0.00 ordered, $0.00 bought",
        "closed    none",
    ]


def test_without_a_database_there_was_nothing_and_a_bad_day_is_none(
    desk: Desk, box: Box
) -> None:
    assert "closed    none" in desk.run(box.config, "report").lines
    done = desk.run(box.config, "report", "--day", "yesterday-ish")
    assert (done.status, "is no day" in done.err) == (2, True)

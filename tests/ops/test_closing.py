"""Closing positions by the operator's word (SPEC 12.8)."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from snexec.broker.answers import MarketTimes
from snexec.errors import UnknownOutcomeError
from snexec.exits import PositionStatus
from snexec.ops.exits import CloseRequest
from tests.fakes import MOMENT, make_trade, warnings_of
from tests.ledger.broker_says import add_foreign_row
from tests.ops.selling import FakeExits, hold

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors
    from tests.ops.bench import Bench

pytestmark = pytest.mark.jumping_time

ALL = CloseRequest(None)


@pytest.fixture
def exits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> FakeExits:
    """Give a bench whose market is open a part that sells."""
    exits = FakeExits()
    bench.wings = bench.wings._replace(exits=exits)
    bench.control._wings = bench.wings
    set_market(bench, monkeypatch, is_open=True)
    return exits


def set_market(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, is_open: bool | None
) -> None:
    monkeypatch.setattr(bench.wings.market, "is_open", lambda _mode: is_open)


def rows_of(answer: dict[str, object]) -> dict[str, dict[str, Any]]:
    rows: Any = answer["rows"]
    return {row["symbol"]: row for row in rows}


async def test_a_close_says_rows_shares_and_dollars_before_it_sells(
    bench: Bench, exits: FakeExits
) -> None:
    hold(bench.rig.store)
    hold(bench.rig.store, "BTC/USD", shares="0.001")
    exits.statuses = [PositionStatus("sn-AAPL", "paper", "watched", price=Decimal(110))]
    said = await bench.control.close(ALL, dry_run=True)
    assert exits.asked == []
    assert rows_of(said) == {
        "AAPL": {
            "tradeId": "sn-AAPL",
            "symbol": "AAPL",
            "mode": "paper",
            "shares": 0.5,
            "dollars": 55.0,
            "dollarsAt": "last",
            "exitId": None,
            "state": "open",
            "error": None,
        },
        "BTC/USD": {
            "tradeId": "sn-BTC/USD",
            "symbol": "BTC/USD",
            "mode": "paper",
            "shares": 0.001,
            "dollars": 0.1,
            "dollarsAt": "entry",
            "exitId": None,
            "state": "open",
            "error": None,
        },
    }


@pytest.mark.parametrize("is_open", [True, False])
async def test_a_close_at_the_open_says_which_rows_wait_for_it(
    bench: Bench, exits: FakeExits, monkeypatch: pytest.MonkeyPatch, *, is_open: bool
) -> None:
    hold(bench.rig.store)
    hold(bench.rig.store, "BTC/USD", shares="0.001")
    set_market(bench, monkeypatch, is_open=is_open)
    said = await bench.control.close(CloseRequest(None, at_open=True), dry_run=True)
    assert exits.asked == []
    waits = {symbol: row["waits"] for symbol, row in rows_of(said).items()}
    assert waits == {"AAPL": not is_open, "BTC/USD": False}


async def test_a_close_at_the_open_may_not_know_whether_it_is_open(
    bench: Bench, exits: FakeExits, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(bench.rig.store)
    set_market(bench, monkeypatch, is_open=None)

    async def clock() -> MarketTimes:
        raise UnknownOutcomeError("no answer within 10 s")

    monkeypatch.setattr(bench.rig.paper, "market_clock", clock)
    said = await bench.control.close(CloseRequest(None, at_open=True), dry_run=True)
    assert (rows_of(said)["AAPL"]["waits"], exits.asked) == (None, [])


async def test_a_close_answers_with_the_sells_that_are_durable(
    bench: Bench, exits: FakeExits
) -> None:
    hold(bench.rig.store)
    hold(bench.rig.store, "MSFT")
    done = await bench.control.close(CloseRequest(("aapl",)), dry_run=False)
    assert exits.asked == [(["AAPL"], False)]
    row = rows_of(done)["AAPL"]
    assert (row["state"], row["exitId"]) == ("selling", "sn-AAPL-x1")
    assert "status" not in done


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_close_answers_in_the_order_in_which_was_asked(
    bench: Bench, exits: FakeExits, *, dry_run: bool
) -> None:
    for symbol in ("AAPL", "KO", "MSFT"):
        hold(bench.rig.store, symbol)
    exits.refusals["KO"] = "its buy still works"
    asked = CloseRequest(("msft", "NOPE", "KO", "AAPL"))
    answer = await bench.control.close(asked, dry_run=dry_run)
    assert list(rows_of(answer)) == ["MSFT", "NOPE", "KO", "AAPL"]
    everything = await bench.control.close(ALL, dry_run=dry_run)
    assert list(rows_of(everything)) == ["AAPL", "KO", "MSFT"], "the oldest first"


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_close_is_refused_during_halt_all_and_not_during_a_halt(
    bench: Bench, exits: FakeExits, logged_errors: LoggedErrors, *, dry_run: bool
) -> None:
    hold(bench.rig.store)
    bench.control.halt("fire", by="me")
    assert "status" not in await bench.control.close(ALL, dry_run=dry_run)
    exits.asked.clear()
    bench.control.halt("fire", by="me", for_all=True)
    refused = await bench.control.close(ALL, dry_run=dry_run)
    assert refused["status"] == "refused"
    assert str(refused["error"]).startswith("halted for all, exits too")
    assert exits.asked == []
    logged_errors.take()


async def test_shares_are_not_sold_while_the_market_is_closed_but_at_its_open(
    bench: Bench, exits: FakeExits, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(bench.rig.store)
    set_market(bench, monkeypatch, is_open=False)
    refused = await bench.control.close(CloseRequest(("AAPL",)), dry_run=False)
    assert (refused["status"], refused["error"]) == (
        "refused",
        "AAPL: the market is closed; to sell at its open: --at-open",
    )
    assert exits.asked == []
    await bench.control.close(CloseRequest(("AAPL",), at_open=True), dry_run=False)
    assert exits.asked == [(["AAPL"], True)]


async def test_crypto_is_sold_whatever_the_market_of_shares_does(
    bench: Bench, exits: FakeExits, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(bench.rig.store)
    hold(bench.rig.store, "BTC/USD")
    set_market(bench, monkeypatch, is_open=False)
    done = await bench.control.close(ALL, dry_run=False)
    assert exits.asked == [(["BTC/USD"], False)]
    assert {s: row["state"] for s, row in rows_of(done).items()} == {
        "BTC/USD": "selling",
        "AAPL": "refused",
    }


@pytest.mark.parametrize("is_open", [True, False])
async def test_where_the_market_is_not_known_the_broker_is_asked(
    bench: Bench,
    exits: FakeExits,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_open: bool,
) -> None:
    hold(bench.rig.store)
    set_market(bench, monkeypatch, is_open=None)

    async def clock() -> MarketTimes:
        return MarketTimes(
            timestamp=MOMENT, is_open=is_open, next_open=MOMENT, next_close=MOMENT
        )

    monkeypatch.setattr(bench.rig.paper, "market_clock", clock)
    await bench.control.close(ALL, dry_run=False)
    assert bool(exits.asked) is is_open


async def test_a_clock_that_cannot_be_asked_sells_no_shares(
    bench: Bench, exits: FakeExits, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(bench.rig.store)
    set_market(bench, monkeypatch, is_open=None)

    async def clock() -> MarketTimes:
        raise UnknownOutcomeError("no answer within 10 s")

    monkeypatch.setattr(bench.rig.paper, "market_clock", clock)
    refused = await bench.control.close(ALL, dry_run=False)
    assert "could not be asked: no answer within 10 s; try again" in str(
        refused["error"]
    )
    assert exits.asked == []


async def test_rows_that_are_not_ours_or_hold_nothing_are_named_and_left(
    bench: Bench, exits: FakeExits
) -> None:
    add_foreign_row(bench.rig.store, symbol="KO")
    bench.rig.open_row(make_trade("sn-new", "NVDA"))
    hold(bench.rig.store)
    done = await bench.control.close(
        CloseRequest(("KO", "NVDA", "AAPL", "GONE")), dry_run=False
    )
    assert exits.asked == [(["AAPL"], False)]
    errors = {symbol: row["error"] for symbol, row in rows_of(done).items()}
    assert errors == {
        "AAPL": None,
        "KO": "another program's row (it has no mode): it is not ours to sell",
        "NVDA": "nothing of it is known to be bought yet",
        "GONE": "it has no open row",
    }


async def test_where_nothing_can_be_sold_it_is_refused(
    bench: Bench, exits: FakeExits, caplog: pytest.LogCaptureFixture
) -> None:
    refused = await bench.control.close(ALL, dry_run=False)
    assert (refused["status"], refused["error"]) == ("refused", "there is no open row")
    hold(bench.rig.store)
    exits.refusals["AAPL"] = "its buy still works"
    refused = await bench.control.close(ALL, dry_run=False)
    assert (refused["status"], refused["error"]) == (
        ("refused", "AAPL: its buy still works")
    )
    assert warnings_of(caplog) == [
        "AAPL trade=sn-AAPL is not closed by the operator's word: its buy still works"
    ]


async def test_nothing_is_sold_while_rows_cannot_be_written_or_read(
    bench: Bench, exits: FakeExits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise sqlite3.OperationalError("locked")

    hold(bench.rig.store)
    with monkeypatch.context() as patched:
        patched.setattr(bench.rig.ledger.reader, "open_rows", broken)
        refused = await bench.control.close(ALL, dry_run=False)
        assert refused["error"] == "the database cannot be read: locked"
    bench.set_healthy(False)
    refused = await bench.control.close(ALL, dry_run=False)
    assert refused["error"] == "the database cannot be written"
    assert exits.asked == []

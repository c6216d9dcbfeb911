"""The open positions: what the rows say, and what is known beyond them."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from snexec.broker import PositionList
from snexec.errors import UnknownOutcomeError
from snexec.exits import Explained, PositionStatus
from snexec.ledger.rows import OrderRef
from snexec.ops.positions import described
from tests.ledger.broker_says import add_foreign_row
from tests.ops.selling import FakeExits, hold, holding

if TYPE_CHECKING:
    from tests.ops.bench import Bench

pytestmark = pytest.mark.jumping_time

STATUS = PositionStatus(
    "sn-AAPL",
    "paper",
    "watched",
    price=Decimal("101.5"),
    price_source="positions",
    price_age_sec=1.5,
    stop=Decimal(95),
    target=Decimal(110),
    seconds_left=60.0,
)


@pytest.fixture
def exits(bench: Bench) -> FakeExits:
    exits = FakeExits()
    bench.wings = bench.wings._replace(exits=exits)
    bench.control._wings = bench.wings
    return exits


async def listed(bench: Bench) -> dict[str, dict[str, Any]]:
    answer = await bench.control.positions()
    assert answer["daemon"] is True
    rows: Any = answer["rows"]
    return {row["symbol"]: row for row in rows}


async def test_a_watched_row_has_its_price_its_limits_and_what_it_has_won(
    bench: Bench, exits: FakeExits
) -> None:
    hold(bench.rig.store)
    exits.statuses = [STATUS]
    row = (await listed(bench))["AAPL"]
    assert row.pop("entryAt") is not None
    assert row == {
        "tradeId": "sn-AAPL",
        "symbol": "AAPL",
        "mode": "paper",
        "shares": 0.5,
        "entryPrice": 100.0,
        "price": 101.5,
        "priceSource": "positions",
        "priceAgeSec": 1.5,
        "openPnl": 0.75,
        "stop": 95.0,
        "target": 110.0,
        "secondsLeft": 60.0,
        "state": "watched",
        "blockedBy": None,
        "brokerShares": 0.0,
        "difference": "paper holds none of it",
    }


async def test_every_open_row_is_listed_whatever_it_is(
    bench: Bench, exits: FakeExits
) -> None:
    store = bench.rig.store
    hold(store)
    hold(store, "MSFT", mode="live")
    add_foreign_row(store, symbol="KO")
    exits.statuses = [STATUS._replace(state="blocked", blocked_by="HTTP 403: no")]
    rows = await listed(bench)
    assert {symbol: row["state"] for symbol, row in rows.items()} == {
        "AAPL": "blocked",
        "MSFT": "unwatched",
        "KO": "foreign",
    }
    assert rows["AAPL"]["blockedBy"] == "HTTP 403: no"
    assert rows["MSFT"]["price"] is None
    assert "another program's row" in rows["KO"]["blockedBy"]


async def test_without_a_part_that_sells_the_price_is_the_one_that_the_broker_lists(
    bench: Bench,
) -> None:
    hold(bench.rig.store)
    bench.rig.paper.holding = PositionList([holding("AAPL", "0.5", price="102")])
    row = (await listed(bench))["AAPL"]
    assert (row["state"], row["brokerShares"], row["difference"]) == (
        "unwatched",
        0.5,
        None,
    )
    assert (row["price"], row["openPnl"]) == (102.0, 1.0)
    assert (row["priceSource"], row["priceAgeSec"]) == ("positions", 0.0)


async def test_a_price_that_is_watched_is_newer_than_the_listed_one(
    bench: Bench, exits: FakeExits
) -> None:
    hold(bench.rig.store)
    exits.statuses = [STATUS]
    bench.rig.paper.holding = PositionList([holding("AAPL", "0.5", price="102")])
    assert (await listed(bench))["AAPL"]["price"] == 101.5


async def test_an_account_that_does_not_answer_is_named_and_the_rows_are_listed(
    bench: Bench,
) -> None:
    hold(bench.rig.store)
    hold(bench.rig.store, "MSFT", mode="live")
    bench.rig.paper.holding = UnknownOutcomeError("HTTP 500")
    bench.rig.live.holding = PositionList([holding("MSFT", "0.5")])
    answer = await bench.control.positions()
    assert answer["notes"] == ["what paper holds could not be asked: HTTP 500"]
    rows = await listed(bench)
    assert rows["AAPL"]["brokerShares"] is None
    assert rows["MSFT"]["brokerShares"] == 0.5


async def test_a_sell_in_the_rows_is_seen_without_a_watch(bench: Bench) -> None:
    store = bench.rig.store
    hold(store)
    new = store.exits.plan("sn-AAPL", "manual", held=None, free=None)
    assert not isinstance(new, str)
    assert (await listed(bench))["AAPL"]["state"] == "closing"
    ref = OrderRef(mode="paper", order_id=None, client_order_id=new.id)
    store.exits.apply_gone(ref, "refused")
    row = (await listed(bench))["AAPL"]
    assert row["state"] == "blocked"
    assert row["blockedBy"] == f"the broker refused its last sell, {new.id}"


async def test_rows_that_cannot_be_read_are_said_not_to_be(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(bench.rig.ledger.reader, "open_rows", broken)
    refused = {
        "status": "refused",
        "error": "the database cannot be read: disk I/O error",
    }
    assert await bench.control.positions() == refused
    assert await bench.control.explain_position("AAPL") == refused


def test_without_a_row_nothing_is_described() -> None:
    assert described([], {"sn-AAPL": STATUS}, {}) == []


# Explain ------------------------------------------------------------------------------


async def test_each_rule_says_when_it_sells_a_position(
    bench: Bench, exits: FakeExits
) -> None:
    hold(bench.rig.store, "BTC/USD")
    exits.rules = [
        Explained("stop_loss", True, "95.00", "-6.4 % from 101.50"),
        Explained("max_hold", False),
    ]
    answer = await bench.control.explain_position("btcusd")
    assert (answer["symbol"], answer["state"]) == ("BTC/USD", "unwatched")
    assert answer["rules"] == [
        {
            "rule": "stop_loss",
            "on": True,
            "threshold": "95.00",
            "distance": "-6.4 % from 101.50",
        },
        {"rule": "max_hold", "on": False, "threshold": "", "distance": ""},
    ]


async def test_a_row_that_nobody_watches_has_no_rules(
    bench: Bench, exits: FakeExits
) -> None:
    hold(bench.rig.store)
    exits.rules = None
    assert (await bench.control.explain_position("AAPL"))["rules"] == []
    assert await bench.control.explain_position("KO") == {
        "status": "refused",
        "error": "KO has no open row; why one was sold: snexec trades",
    }

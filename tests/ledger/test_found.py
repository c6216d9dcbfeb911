"""Rows of orders that were found at the broker: written once, within all rules."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.found import FoundOrder
from snexec.ledger.rows import OrderRef
from snexec.risk.gates import ActiveGates
from tests.fakes import (
    MOMENT,
    MOMENT_TEXT,
    FakeClock,
    make_settings,
    make_signal,
    make_trade,
    row_of,
    rows_of,
)

if TYPE_CHECKING:
    from snexec.ledger.rows import Ending
    from snexec.ledger.store import Store
    from snexec.model import Mode

HOUR_AGO = MOMENT - timedelta(hours=1)
HOUR_AGO_TEXT = "2026-01-05T13:30:00.123Z"


def order(
    trade_id: str = "sn-1",
    symbol: str = "AAPL",
    *,
    mode: Mode = "paper",
    ending: Ending | None = None,
    is_sold: bool = False,
    notional: Decimal | None = Decimal("100.00"),
) -> FoundOrder:
    return FoundOrder(
        trade_id=trade_id,
        symbol=symbol,
        mode=mode,
        order_id=f"o-{trade_id}",
        notional=notional,
        placed_at=HOUR_AGO,
        ending=ending,
        is_sold=is_sold,
    )


def fill(store: Store, trade_id: str = "sn-1") -> None:
    ref = OrderRef(mode="paper", order_id=f"o-{trade_id}", client_order_id=trade_id)
    store.apply_fill(ref, price=Decimal(50), quantity=Decimal(2))


def said(store: Store, trade_id: str = "sn-1") -> tuple[object, ...]:
    row = row_of(store, trade_id)
    return row["status"], row["exitReason"], row["settledAt"]


def test_a_row_is_as_the_orders_own_but_for_what_no_order_tells(store: Store) -> None:
    found = store.found.adopt(order())
    assert found is not None
    assert (found.status, found.reason, found.is_settled) == ("open", None, False)
    row = row_of(store, "sn-1")
    assert {name: value for name, value in row.items() if value is not None} == {
        "id": "sn-1",
        "symbol": "AAPL",
        "status": "open",
        "mode": "paper",
        "notional": 100.0,
        "alpacaOrderId": "o-sn-1",
        "entryAt": HOUR_AGO_TEXT,
        "createdAt": HOUR_AGO_TEXT,
        "updatedAt": MOMENT_TEXT,
    }
    assert [each.trade_id for each in store.unsettled()] == ["sn-1"]


def test_an_order_that_has_a_row_by_either_id_gets_none(store: Store) -> None:
    store.open_trade(make_trade("sn-1", "KO"))
    store.open_trade(make_trade("another's name", "MO"))
    ref = OrderRef(mode="paper", order_id="o-sn-2", client_order_id="another's name")
    store.apply_working(ref)
    before = rows_of(store)
    assert store.found.adopt(order("sn-1")) is None
    assert store.found.adopt(order("sn-1", mode="live")) is None
    assert store.found.adopt(order("sn-2")) is None
    assert rows_of(store) == before
    listed = {"sn-1": "o-sn-1", "sn-2": "o-sn-2", "sn-3": "o-sn-3"}
    assert store.found.compare(listed, "paper") == (["sn-2", "sn-3"], [])


@pytest.mark.parametrize("spelling", ["BRK.B", "BRK/B", "brk-b"])
def test_a_symbol_that_has_an_open_row_keeps_it_alone(
    store: Store, spelling: str
) -> None:
    store.open_trade(make_trade("sn-0", spelling))
    store.found.adopt(order(symbol="BRK.B"))
    assert said(store) == ("missed", "order_found_late", None)
    fill(store)
    assert said(store)[:2] == ("missed", "order_found_late")
    assert (row_of(store, "sn-1")["shares"], row_of(store, "sn-0")["shares"]) == (
        2,
        None,
    )


@pytest.mark.parametrize("ending", ["canceled", "expired", "rejected"])
def test_an_order_that_bought_nothing_is_missed_and_settled_at_once(
    store: Store, ending: Ending
) -> None:
    store.open_trade(make_trade("sn-0", "AAPL"))
    store.found.adopt(order(ending=ending))
    assert said(store) == ("missed", f"alpaca_{ending}", MOMENT_TEXT)


def test_what_was_sold_is_closed_without_a_price_and_gets_what_it_bought(
    store: Store,
) -> None:
    store.open_trade(make_trade("sn-0", "AAPL"))
    store.found.adopt(order(is_sold=True))
    fill(store)
    row = row_of(store, "sn-1")
    assert said(store) == ("closed", "rebuilt", MOMENT_TEXT)
    assert (row["shares"], row["entryPrice"]) == (2.0, 50.0)
    assert (row["exitPrice"], row["pnl"], row["exitAt"]) == (None, None, None)


def test_a_row_is_closed_once_it_is_settled_and_only_then(
    store: Store, clock: FakeClock
) -> None:
    store.found.adopt(order())
    assert store.found.close("sn-1") is None
    fill(store)
    clock.advance(1)
    closed = store.found.close("sn-1")
    assert closed is not None
    assert (closed.status, closed.reason, closed.shares) == ("closed", "rebuilt", 2.0)
    assert row_of(store, "sn-1")["updatedAt"] == "2026-01-05T14:30:01.123Z"
    assert store.found.close("sn-1") is None
    assert store.found.close("sn-9") is None


def test_what_somebody_else_ended_is_not_closed(store: Store) -> None:
    for number, (status, reason) in enumerate(
        [("missed", "alpaca_canceled"), ("closed", "take_profit")]
    ):
        store.found.adopt(order(f"sn-{number}", f"S{number}"))
        fill(store, f"sn-{number}")
        store._db.execute(
            "UPDATE BotTrade SET status = ?, exitReason = ? WHERE id = ?",
            [status, reason, f"sn-{number}"],
        )
        assert store.found.close(f"sn-{number}") is None


def test_the_limits_count_what_was_found_in_its_own_time(store: Store) -> None:
    bot = make_settings(bot={"max_orders_per_day": 2, "max_orders_per_minute": 5}).bot
    limits = ActiveGates().limits(make_signal("KO"), bot)
    assert limits is not None
    store.begin_tallies()
    for number in (1, 2):
        store.begin()
        store.found.adopt(order(f"sn-{number}", f"S{number}"))
        store.commit()
    store.begin()
    counts = store.count("KO", "paper", Decimal(5), limits)
    assert (counts.last_minute, counts.today) == (0, 2)
    opening = store.open_trade(make_trade("sn-3", "KO"), limits)
    store.commit()
    assert opening == "brake_orders_per_day"


def test_what_is_undone_is_not_counted(store: Store) -> None:
    limits = ActiveGates().limits(
        make_signal("KO"), make_settings(bot={"max_orders_per_day": 2}).bot
    )
    assert limits is not None
    store.begin_tallies()
    store.begin()
    store.found.adopt(order())
    store.rollback()
    store.begin()
    assert store.count("KO", "paper", Decimal(5), limits).today == 0
    store.rollback()
    assert rows_of(store) == {}


def test_a_row_without_dollars_or_with_another_programs_rule_is_no_fault_of_the_disk(
    store: Store,
) -> None:
    store.found.adopt(order(notional=None))
    assert row_of(store, "sn-1")["notional"] is None
    store._db.execute(
        "CREATE TRIGGER no BEFORE INSERT ON BotTrade BEGIN SELECT RAISE(IGNORE); END"
    )
    with pytest.raises(sqlite3.IntegrityError, match="is ignored"):
        store.found.adopt(order("sn-2", "KO"))


@pytest.mark.parametrize("written", [0, 1.5e12, "soon", "", None, b"x"])
def test_what_another_program_wrote_as_a_time_is_no_time(
    store: Store, written: object
) -> None:
    store.open_trade(make_trade())
    store._db.execute("UPDATE BotTrade SET createdAt = ?", [written or ""])
    newest = store.found.newest_at()
    assert newest is None or newest < 0

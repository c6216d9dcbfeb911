"""Rows that end by the operator's word (SPEC 12.8a)."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from snexec.ledger.rows import OrderRef
from snexec.risk.gates import ActiveGates
from tests.fakes import (
    FakeClock,
    make_settings,
    make_signal,
    make_trade,
    row_of,
    rows_of,
)
from tests.ledger.broker_says import add_foreign_row, closed_by_monitor
from tests.ledger.hands import TRIGGERS, trigger

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.ledger.standing import End
    from snexec.ledger.store import Store
    from snexec.model import Mode
    from tests.conftest import LoggedErrors


def buy(
    store: Store,
    trade_id: str = "sn-1",
    symbol: str = "AAPL",
    *,
    shares: str = "0.534",
    mode: Mode = "paper",
) -> None:
    """Leave an open row whose order was filled."""
    assert store.open_trade(make_trade(trade_id, symbol, mode=mode)) == "opened"
    ref = OrderRef(mode=mode, order_id=f"o-{trade_id}", client_order_id=trade_id)
    store.apply_fill(ref, price=Decimal("187.27"), quantity=Decimal(shares))


def ended(store: Store, trade_id: str = "sn-1") -> dict[str, Any]:
    names = ("status", "exitReason", "exitPrice", "pnl", "exitAt", "settledAt")
    row = row_of(store, trade_id)
    return {name: row[name] for name in names}


def test_a_position_that_is_gone_is_closed_at_a_price(
    store: Store, clock: FakeClock
) -> None:
    buy(store)
    filled = row_of(store, "sn-1")["settledAt"]
    clock.advance(60)
    assert store.settle("sn-1", "closed", Decimal("190.1")) is not None
    now = row_of(store, "sn-1")["updatedAt"]
    assert now > filled
    assert ended(store) == {
        "status": "closed",
        "exitReason": "settled",
        "exitPrice": 190.1,
        "pnl": 1.51122,  # 0.534 x (190.1 - 187.27)
        "exitAt": now,
        "settledAt": filled,
    }


def test_without_a_price_nobody_knows_what_was_won(store: Store) -> None:
    buy(store)
    store.settle("sn-1", "closed", None)
    found = ended(store)
    assert (found["status"], found["exitPrice"], found["pnl"]) == ("closed", None, None)
    assert found["exitAt"] is not None


def test_an_order_that_nobody_can_ask_about_is_missed_and_settled(
    store: Store, clock: FakeClock
) -> None:
    store.open_trade(make_trade())
    clock.advance(60)
    store.settle("sn-1", "missed", None)
    found = ended(store)
    assert (found["status"], found["exitReason"]) == ("missed", "settled")
    assert found["settledAt"] == row_of(store, "sn-1")["updatedAt"]
    assert (found["exitAt"], found["exitPrice"], found["pnl"]) == (None, None, None)
    assert store.unsettled() == []


def test_one_that_was_given_up_is_ended(store: Store) -> None:
    store.open_trade(make_trade())
    store.mark_not_found("sn-1")
    assert store.settle("sn-1", "missed", None) is not None
    assert store.unsettled() == []


@pytest.mark.parametrize("how", ["closed", "missed"])
def test_what_has_ended_stays_as_it_is(store: Store, how: End) -> None:
    buy(store)
    store.settle("sn-1", "closed", Decimal(190))
    before = row_of(store, "sn-1")
    assert store.settle("sn-1", how, Decimal(200)) is None
    assert row_of(store, "sn-1") == before
    assert store.settle("sn-nowhere", how, None) is None


def test_what_another_program_closed_is_settled_and_stays_as_it_says(
    store: Store,
) -> None:
    store.open_trade(make_trade())
    closed_by_monitor(store, "sn-1", price=1.0, shares=1.0)
    before = ended(store)
    assert before["settledAt"] is None
    assert store.settle("sn-1", "missed", None) is None, "it was bought and sold"
    assert store.settle("sn-1", "closed", Decimal(9)) is not None
    assert store.unsettled() == []
    assert ended(store) == {**before, "settledAt": row_of(store, "sn-1")["updatedAt"]}


def test_another_programs_row_is_never_changed(store: Store) -> None:
    add_foreign_row(store, symbol="IBM")
    before = row_of(store, "x")
    assert store.settle("x", "closed", None) is None
    assert row_of(store, "x") == before


def test_what_other_open_rows_hold_is_told(store: Store) -> None:
    store.open_trade(make_trade("sn-1", "AAPL"))
    store.mark_not_found("sn-1")
    buy(store, "sn-2", shares="1.25")
    buy(store, "sn-3", "KO", shares="7")
    standing = store.standing("sn-1")
    assert standing is not None
    assert standing.claimed == Decimal("1.25")
    own = store.standing("sn-2")
    assert own is not None
    assert (own.shares, own.claimed) == (Decimal("1.25"), Decimal(0))


def test_its_loss_counts_at_once(store: Store) -> None:
    limits = ActiveGates().limits(
        make_signal(), make_settings(bot={"daily_loss_limit_usd": 50.0}).bot
    )
    assert limits is not None

    def realised() -> float:
        return store.count("KO", "paper", Decimal(100), limits).realised

    buy(store, shares="1")
    assert realised() == 0
    store.begin()
    store.settle("sn-1", "closed", Decimal("87.27"))
    assert realised() == -100
    store.rollback()
    assert realised() == 0
    store.settle("sn-1", "closed", Decimal("87.27"))
    assert realised() == -100


# Another program's triggers


@pytest.mark.parametrize("kind", sorted(TRIGGERS.keys() - {"takes back"}))
def test_a_simulations_row_that_cannot_be_ended_stays_and_the_others_end(
    store: Store, database: Path, kind: str, logged_errors: LoggedErrors
) -> None:
    for number, symbol in enumerate(("AAPL", "DOOM", "MSFT")):
        store.open_trade(make_trade(f"sn-{number}", symbol))
    trigger(database, kind, "UPDATE")
    assert store.end_simulation() == 2
    statuses = [row["status"] for row in rows_of(store).values()]
    assert statuses == ["missed", "open", "missed"]
    said = logged_errors.take()
    if kind != "ignores":
        assert said == [
            f"trade=sn-1 of an earlier simulation stays as it is: {TRIGGERS[kind][1]}"
        ]


def test_a_row_that_ignores_the_operators_word_is_not_settled(
    store: Store, database: Path
) -> None:
    store.open_trade(make_trade("sn-1", "DOOM"))
    trigger(database, "ignores", "UPDATE")
    with pytest.raises(sqlite3.IntegrityError):
        store.settle("sn-1", "missed", None)

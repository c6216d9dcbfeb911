"""Rows of which the broker knows no order: when they are opened for it once more."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.rows import OrderRef
from snexec.risk import ActiveGates
from tests.fakes import make_settings, make_signal, make_trade, row_of

if TYPE_CHECKING:
    from snexec.ledger.store import Store
    from snexec.risk import Limits

TRADE = make_trade("sn-1", "KO")
REF = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")


def one_position() -> Limits:
    """Give a limit of one open row."""
    bot = make_settings(bot={"max_concurrent_positions": 1}).bot
    limits = ActiveGates().limits(make_signal("KO"), bot)
    assert limits is not None
    return limits


def said(store: Store) -> tuple[object, object]:
    row = row_of(store, "sn-1")
    return row["status"], row["exitReason"]


def test_one_that_is_open_is_there_for_its_order_and_counts_once(store: Store) -> None:
    assert store.open_trade(TRADE) == "opened"
    before = row_of(store, "sn-1")
    assert store.unsent.open_again(TRADE, one_position()) == "again"
    assert row_of(store, "sn-1") == before
    assert store.count_open() == 1


def test_one_that_was_given_up_is_open_again(store: Store) -> None:
    store.open_trade(TRADE)
    store.mark_not_found("sn-1")
    assert store.unsent.open_again(TRADE, one_position()) == "again"
    assert said(store) == ("open", None)
    assert store.open_trade(make_trade("sn-2", "KO")) == "symbol_open"
    other = make_trade("sn-3", "MO")
    assert store.open_trade(other, one_position()) == "max_positions", "it counts"


def test_it_says_what_is_ordered_now(store: Store) -> None:
    store.open_trade(TRADE)
    now = TRADE._replace(notional=Decimal("50.00"), stars=3)
    assert store.unsent.open_again(now, None) == "again"
    row = row_of(store, "sn-1")
    assert (row["notional"], row["starRating"]) == (50.0, 3)


@pytest.mark.parametrize("given_up", [False, True])
def test_a_second_signal_of_its_id_is_not_ordered_in_it(
    store: Store, *, given_up: bool
) -> None:
    store.open_trade(TRADE)
    if given_up:
        store.mark_not_found("sn-1")
    before = row_of(store, "sn-1")
    other = make_trade("sn-1", "MO")
    assert store.unsent.open_again(other, None) == "repeated"
    assert row_of(store, "sn-1") == before


def test_one_that_was_given_up_stays_so_beside_an_open_row_of_its_symbol(
    store: Store,
) -> None:
    store.open_trade(TRADE)
    store.mark_not_found("sn-1")
    store.open_trade(make_trade("sn-2", "KO"))
    assert store.unsent.open_again(TRADE, None) == "symbol_open"
    assert said(store) == ("missed", "order_not_found")


def test_one_that_was_given_up_stays_so_where_a_limit_forbids_it(store: Store) -> None:
    store.open_trade(TRADE)
    store.mark_not_found("sn-1")
    store.open_trade(make_trade("sn-2", "MO"))
    assert store.unsent.open_again(TRADE, one_position()) == "max_positions"
    assert said(store) == ("missed", "order_not_found")


@pytest.mark.parametrize(
    "end", ["named", "filled", "rejected", "settled", "closed", "gone", "given up"]
)
def test_one_of_which_anything_is_known_is_a_repetition(store: Store, end: str) -> None:
    store.open_trade(TRADE)
    match end:
        case "named":
            store.apply_working(REF)
        case "filled":
            by_id = REF._replace(order_id=None)
            store.apply_fill(by_id, price=Decimal(1), quantity=Decimal(1))
        case "rejected":
            by_id = REF._replace(order_id=None)
            store.apply_ended(by_id, "rejected", price=None, quantity=Decimal(0))
        case "settled":
            store.settle("sn-1", "missed", None)
        case "closed":
            store._db.execute("UPDATE BotTrade SET status = 'closed'")
        case "gone":
            store.discard_trade("sn-1")
        case "given up":
            store.mark_not_found("sn-1")
            store.settle_not_found("sn-1")
        case _:
            raise AssertionError(end)
    before = store._db.execute("SELECT * FROM BotTrade").fetchall()
    assert store.unsent.open_again(TRADE, None) == "repeated"
    after = store._db.execute("SELECT * FROM BotTrade").fetchall()
    assert [tuple(row) for row in after] == [tuple(row) for row in before]


def test_another_programs_rule_against_it_is_said(store: Store) -> None:
    store.open_trade(TRADE)
    store.mark_not_found("sn-1")
    store._db.execute(
        "CREATE TRIGGER stays BEFORE UPDATE ON BotTrade BEGIN SELECT RAISE(IGNORE); END"
    )
    with pytest.raises(sqlite3.IntegrityError):
        store.unsent.open_again(TRADE, None)

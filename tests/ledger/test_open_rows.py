"""The open rows as they are listed, whoever wrote them and however old the file is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.ledger.open_rows import read_open_rows
from tests.fakes import make_trade
from tests.ledger.broker_says import add_foreign_row
from tests.ledger.selling import SELL, buy, plan

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.ledger.store import Store


def test_a_row_says_what_it_holds_and_what_is_sold_of_it(store: Store) -> None:
    buy(store)
    (row,) = read_open_rows(store._db)
    assert (row.trade_id, row.symbol, row.mode) == ("sn-1", "AAPL", "paper")
    half = Decimal("0.5")
    assert (row.shares, row.sold, row.remaining) == (half, Decimal(0), half)
    assert (row.entry_price, row.is_settled) == (Decimal(100), True)
    assert (row.exit_id, row.is_closing) == (None, False)

    plan(store)
    store.exits.apply_sold(
        SELL, quantity=Decimal("0.2"), price=Decimal(101), final=False
    )
    (row,) = read_open_rows(store._db)
    assert (row.sold, row.remaining) == (Decimal("0.2"), Decimal("0.3"))
    assert (row.exit_id, row.exit_state, row.exit_reason) == (
        ("sn-1-x1", "working", "manual")
    )
    assert row.is_closing


def test_a_sell_that_has_ended_is_the_last_one_and_no_more(store: Store) -> None:
    buy(store)
    plan(store)
    store.exits.apply_gone(SELL._replace(order_id=None), "refused")
    (row,) = read_open_rows(store._db)
    assert (row.exit_id, row.exit_state, row.is_closing) == (
        ("sn-1-x1", "refused", False)
    )


def test_what_is_closed_is_not_listed(store: Store) -> None:
    buy(store)
    store.settle("sn-1", "closed", None)
    assert read_open_rows(store._db) == []


def test_a_row_that_has_bought_nothing_holds_an_unknown_number(store: Store) -> None:
    store.open_trade(make_trade("sn-1"))
    (row,) = read_open_rows(store._db)
    assert (row.shares, row.remaining, row.entry_price) == (None, None, None)


def test_another_programs_row_has_no_mode(store: Store) -> None:
    add_foreign_row(store)
    (row,) = read_open_rows(store._db)
    assert row.mode is None


def test_a_file_of_another_program_may_lack_columns_and_the_table(
    tmp_path: Path,
) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.row_factory = sqlite3.Row
        assert read_open_rows(connection) == []
        connection.execute("CREATE TABLE BotTrade (id TEXT, symbol TEXT, status TEXT)")
        connection.execute("INSERT INTO BotTrade VALUES ('1', 'KO', 'open')")
        (row,) = read_open_rows(connection)
    assert (row.symbol, row.mode, row.shares, row.is_closing) == (
        "KO",
        None,
        None,
        False,
    )

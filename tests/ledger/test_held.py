"""Rows that are held: which they are, how high they were, and how often they were tried."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.exit_reads import SOLD, UNSETTLED
from snexec.ledger.held import BUSY, TRIED, WATCHED
from snexec.ledger.held_rows import HeldBeside, HighPrice, WatchedRow
from snexec.ledger.rows import OrderRef
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from tests.fakes import MOMENT, make_trade, row_of
from tests.ledger.selling import buy, held, plan, ref_of, sell

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes import FakeClock


def high(price: str, entry: str = "100", row_id: str = "sn-1") -> HighPrice:
    return HighPrice(row_id, Decimal(price), Decimal(entry))


# What is watched


BESIDE = HeldBeside(Decimal(30), Decimal("90.5"))


def test_what_is_held_beside_others_is_known_after_a_restart(store: Store) -> None:
    buy(store)
    store.held.note_beside("sn-1", BESIDE)
    assert [row.beside for row in store.held.watched()] == [BESIDE]
    more = BESIDE._replace(quantity=Decimal(40))
    store.held.note_beside("sn-1", more)
    assert [row.beside for row in store.held.watched()] == [more]


def test_what_was_held_before_a_split_says_nothing_once_that_is_written(
    store: Store,
) -> None:
    buy(store)
    store.held.note_beside("sn-1", BESIDE)
    store.exits.split("sn-1", Fraction(2), remaining=Decimal("0.5"))
    assert [row.beside for row in store.held.watched()] == [None]


@pytest.mark.parametrize("text", ["", "[", "7", "[[], []]", '[["0.5"], ["a", "b"]]'])
def test_a_note_that_cannot_be_read_is_none(store: Store, text: str) -> None:
    buy(store)
    store._db.execute("INSERT INTO SnexecMeta VALUES ('beside sn-1', ?)", [text])
    assert [row.beside for row in store.held.watched()] == [None]


def test_what_was_noted_of_a_row_goes_once_that_has_ended(store: Store) -> None:
    buy(store)
    store.held.note_beside("sn-1", BESIDE)
    sell(store, "0.5", "90", "stop_loss")
    store.held.note_beside("sn-1", BESIDE)
    notes = "SELECT * FROM SnexecMeta WHERE key GLOB 'beside *'"
    assert store._db.execute(notes).fetchall() == []


def test_a_row_is_watched_with_what_the_rules_need(store: Store) -> None:
    buy(store)
    assert store.held.watched() == [
        WatchedRow(
            id="sn-1",
            symbol="AAPL",
            mode="paper",
            shares=Decimal("0.5"),
            remaining=Decimal("0.5"),
            entry_price=Decimal(100),
            entry_at=MOMENT,
            high_price=None,
            is_settled=True,
            order_id="o-1",
        )
    ]


def test_a_row_is_watched_from_its_first_bought_share(store: Store) -> None:
    store.open_trade(make_trade())
    assert store.held.watched() == []
    ref = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")
    store.apply_partial_fill(ref, price=Decimal(9), shares=Decimal("0.1"))
    (row,) = store.held.watched()
    assert (row.shares, row.is_settled) == (Decimal("0.1"), False)


def test_a_start_goes_on_from_what_was_sold_and_what_is_under_way(
    store: Store, clock: FakeClock
) -> None:
    buy(store)
    sell(store, "0.1", "90", "stop_loss")
    (row,) = store.held.watched()
    assert (row.remaining, row.wanted) == (Decimal("0.4"), "stop_loss")
    plan(store, "max_hold")
    clock.advance(5)
    (row,) = store.held.watched()
    assert row.live_exit == store.exits.unsettled()[0]
    assert row.live_exit is not None
    assert (row.live_exit.id, row.live_exit.reason) == ("sn-1-x2", "max_hold")
    assert row.live_exit.age_seconds == pytest.approx(5, abs=0.01)
    assert row.wanted is None
    store.exits.apply_sold(
        ref_of("sn-1-x2"), quantity=Decimal("0.4"), price=Decimal(90), final=True
    )
    assert store.held.watched() == []
    assert store.held.row("sn-1") is None


@pytest.mark.parametrize(
    "change",
    [
        "mode = NULL",
        "mode = 'theirs'",
        "status = 'closed'",
        "status = 'missed'",
        "shares = NULL",
        "shares = 0",
        "shares = 'many'",
        "shares = 9e999",
        "entryPrice = NULL",
        "entryPrice = 'much'",
    ],
)
def test_what_is_not_ours_or_not_known_is_not_watched(
    store: Store, change: str
) -> None:
    buy(store)
    store._db.execute(f"UPDATE BotTrade SET {change}")  # noqa: S608
    assert store.held.watched() == []
    assert store.held.row("sn-1") is None


def test_rows_of_both_modes_are_watched(store: Store) -> None:
    buy(store, "AAPL", trade_id="sn-1")
    buy(store, "BTC/USD", trade_id="sn-2", mode="live")
    found = {row.id: (row.symbol, row.mode) for row in store.held.watched()}
    assert found == {"sn-1": ("AAPL", "paper"), "sn-2": ("BTC/USD", "live")}


# How high prices were


def test_rows_are_read_by_their_symbol_their_id_and_page_by_page(store: Store) -> None:
    for number in range(5):
        buy(store, trade_id=f"sn-{number}", symbol=f"S{number}")
    held = store.held
    assert [row.id for row in held.of_symbol("S3")] == ["sn-3"]
    assert held.of_symbol("S9") == []
    assert [row.id for row in held.of_ids(["sn-4", "sn-1", "?"])] == ["sn-1", "sn-4"]
    pages = list[list[str]]()
    after: int | None = 0
    while after is not None:
        rows, after = held.page(after, 2)
        pages.append([row.id for row in rows])
    assert pages == [["sn-0", "sn-1"], ["sn-2", "sn-3"], ["sn-4"]]


def test_a_page_passes_over_another_programs_row_whose_id_is_no_text(
    store: Store,
) -> None:
    buy(store)
    store._db.execute(
        "INSERT INTO BotTrade (id, symbol, status, createdAt, updatedAt)"
        " VALUES (X'00FF', 'KO', 'open', '2026-01-05', '2026-01-05')"
    )
    rows, after = store.held.page(0, 100)
    assert ([row.id for row in rows], after) == (["sn-1"], None)


def test_rows_of_which_something_is_sold_or_is_to_be_are_busy(store: Store) -> None:
    for number in range(3):
        buy(store, trade_id=f"sn-{number}", symbol=f"S{number}")
    assert store.held.busy() == []
    store.held.note_close("sn-0")
    assert plan(store, row_id="sn-2").id == "sn-2-x1"
    assert [(row.id, row.wanted) for row in store.held.busy()] == [
        ("sn-0", "manual"),
        ("sn-2", None),
    ]


def test_a_high_price_only_rises(store: Store) -> None:
    buy(store)
    for price in ("110", "120.5", "90"):
        store.held.raise_highs([high(price)])
    assert held(store).high_price == Decimal("120.5")
    store.held.raise_highs([high("130", row_id="sn-2"), high("121")])
    assert held(store).high_price == Decimal(121)


def test_a_high_price_is_no_change_that_programs_have_to_read(
    store: Store, clock: FakeClock
) -> None:
    buy(store)
    before = row_of(store, "sn-1")
    clock.advance(60)
    store.held.raise_highs([high("110")])
    assert row_of(store, "sn-1") == before | {"highPrice": 110.0}


def test_it_goes_back_where_a_print_is_taken_back(store: Store) -> None:
    buy(store)
    store.held.raise_highs([high("900")])
    store.held.set_highs([high("110")])
    assert held(store).high_price == Decimal(110)


def test_it_stays_as_it_was_once_the_row_is_closed(store: Store) -> None:
    buy(store)
    store.held.raise_highs([high("110")])
    sell(store, "0.5", "90")
    store.held.raise_highs([high("120")])
    store.held.set_highs([high("130")])
    assert row_of(store, "sn-1")["highPrice"] == 110.0


# Tries and rules


def test_tries_are_counted_since_a_time_for_what_is_held(
    store: Store, clock: FakeClock
) -> None:
    buy(store)
    sell(store, "0", None)
    clock.advance(3600)
    session = clock.now() - timedelta(minutes=1)
    assert store.held.tried(session) == {}
    sell(store, "0", None)
    plan(store)
    assert store.held.tried(session) == {"sn-1": 2}
    assert store.held.tried(MOMENT) == {"sn-1": 3}


def test_the_rules_that_were_applied_last_are_known_after_a_restart(
    store: Store, clock: FakeClock
) -> None:
    assert store.held.rules() is None
    for rules in ("first", '{"hard_stop_loss_pct": "5"}'):
        store.held.note_rules(rules)
    assert Store(store._db, clock=clock).held.rules() == '{"hard_stop_loss_pct": "5"}'


def test_rules_that_were_forgotten_are_not_known(store: Store) -> None:
    store.held.note_rules("first")
    store.held.forget_rules()
    assert store.held.rules() is None


# Beside many closed rows


@pytest.fixture
def full(store: Store) -> Store:
    """Give a store with 10,000 closed rows, each sold, and one that is held."""
    buy(store)
    sell(store, "0.5", "90")
    names = [name for name in row_of(store, "sn-1") if name not in {"id", "symbol"}]
    exits = [row["name"] for row in store._db.execute("PRAGMA table_info(BotExit)")]
    others = [name for name in exits if name not in {"id", "tradeId"}]
    numbers = (
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n LIMIT 9999)"
    )
    store.begin()
    store._db.execute(
        f"{numbers} INSERT INTO BotTrade"  # noqa: S608
        f" (id, symbol, {', '.join(names)})"
        f" SELECT 'sn-' || i, 'S' || i, {', '.join(names)} FROM n, BotTrade"
    )
    store._db.execute(
        f"{numbers} INSERT INTO BotExit"  # noqa: S608
        f" (id, tradeId, {', '.join(others)})"
        f" SELECT 'sn-' || i || '-x1', 'sn-' || i, {', '.join(others)} FROM n, BotExit"
    )
    store.commit()
    buy(store, trade_id="sn-held")
    return store


def test_a_start_reads_what_is_held_and_not_what_was(full: Store) -> None:
    for read, values, indices in (
        (WATCHED, [], {"BotTrade_one_open_per_symbol", "BotExit_tradeId"}),
        (BUSY, [], {"BotTrade_one_open_per_symbol", "BotExit_tradeId"}),
        (TRIED, ["2026"], {"BotTrade_one_open_per_symbol", "BotExit_tradeId"}),
        (UNSETTLED, [], {"BotExit_one_unsettled_per_trade"}),
        (SOLD, ["2026", "2027"], {"BotTrade_closed", "BotExit_tradeId"}),
    ):
        found = full._db.execute(f"EXPLAIN QUERY PLAN {read}", values).fetchall()
        steps = " ".join(step["detail"] for step in found)
        assert all(index in steps for index in indices), steps
    best = min(_seconds(full) for _ in range(5))
    assert best < 0.002, "as quick as beside none"


def _seconds(store: Store) -> float:
    began = time.perf_counter()
    (row,) = store.held.watched()
    assert row.id == "sn-held"
    return time.perf_counter() - began


def test_sells_are_read_where_the_rows_are_after_the_file_was_mended(
    store: Store, database: Path, clock: FakeClock
) -> None:
    buy(store)
    with closing(store._db):
        store._use(open_database(database, simulated=False, clock=clock))
    assert plan(store).id == "sn-1-x1"
    assert held(store).live_exit is not None

"""BotTrade rows: what each word of the broker's makes of them, in whatever order."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snexec.ledger.rows import Applied, OrderRef, Unsettled
from snexec.ledger.store import Store
from tests.fakes import (
    MOMENT,
    MOMENT_TEXT,
    FakeClock,
    make_trade,
    open_store,
    row_of,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from snexec.model import Mode

REF = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")
LATER_TEXT = "2026-01-05T14:31:00.123Z"
PRICE, QUANTITY = Decimal("86.878"), Decimal("0.057436865")

# What the broker may say of the order of row sn-1.
SAYS: dict[str, Callable[[Store], Applied | None]] = {
    "working": lambda store: store.apply_working(REF),
    "fill": lambda store: store.apply_fill(REF, price=PRICE, quantity=QUANTITY),
    "other fill": lambda store: store.apply_fill(
        REF, price=Decimal(99), quantity=Decimal(9)
    ),
    "fill without price": lambda store: store.apply_fill(
        REF, price=None, quantity=QUANTITY
    ),
    "fill without quantity": lambda store: store.apply_fill(
        REF, price=PRICE, quantity=None
    ),
    "fill without both": lambda store: store.apply_fill(REF, price=None, quantity=None),
    "partial": lambda store: store.apply_partial_fill(
        REF, price=Decimal(80), shares=Decimal("0.02")
    ),
    "partial price": lambda store: store.apply_partial_fill(
        REF, price=Decimal(80), shares=None
    ),
    "partial shares": lambda store: store.apply_partial_fill(
        REF, price=None, shares=Decimal("0.02")
    ),
    "partial nothing": lambda store: store.apply_partial_fill(
        REF, price=None, shares=None
    ),
    "rejected": lambda store: store.apply_rejected(REF),
    "canceled": lambda store: store.apply_ended(
        REF, "canceled", price=None, quantity=Decimal(0)
    ),
    "expired": lambda store: store.apply_ended(
        REF, "expired", price=None, quantity=Decimal(0)
    ),
    "canceled with fills": lambda store: store.apply_ended(
        REF, "canceled", price=Decimal(81), quantity=Decimal("0.03")
    ),
    "expired with fills": lambda store: store.apply_ended(
        REF, "expired", price=Decimal(81), quantity=Decimal("0.03")
    ),
    "canceled without quantity": lambda store: store.apply_ended(
        REF, "canceled", price=Decimal(81), quantity=None
    ),
    "canceled without price": lambda store: store.apply_ended(
        REF, "canceled", price=None, quantity=Decimal("0.03")
    ),
    "not_found": lambda store: store.mark_not_found("sn-1"),
}


def say(store: Store, *words: str) -> Applied:
    """Let the broker say things, and return what the last of them did."""
    applied = None
    for word in words:
        applied = SAYS[word](store)
    assert applied is not None
    return applied


def closed_by_monitor(
    store: Store, trade_id: str = "sn-1", **values: float | None
) -> None:
    """Close a row, as another program on the same file does."""
    store._db.execute(
        "UPDATE BotTrade SET status = 'closed', exitReason = 'take_profit',"
        " exitPrice = 90, pnl = 1.5, entryPrice = ?, shares = ? WHERE id = ?",
        [values.get("price"), values.get("shares"), trade_id],
    )


def add_foreign_row(
    store: Store, trade_id: str = "x", symbol: str = "AAPL", status: str = "open"
) -> None:
    """Write a row without a mode: another program's."""
    store._db.execute(
        "INSERT INTO BotTrade (id, symbol, status, alpacaOrderId, createdAt, updatedAt)"
        " VALUES (?, ?, ?, 'o-x', 'then', 'then')",
        [trade_id, symbol, status],
    )


def said(row: dict[str, Any]) -> tuple[object, ...]:
    """Return the columns that the broker's words are about."""
    settled = row["settledAt"] is not None
    return (
        row["status"],
        row["exitReason"],
        row["entryPrice"],
        row["shares"],
        row["alpacaOrderId"],
        settled,
    )


# Opening and discarding


def test_a_row_is_opened_with_exactly_what_is_known(store: Store) -> None:
    assert store.open_trade(make_trade(signal_id="n-1")) == "opened"
    assert rows_of(store) == {
        "sn-1": {
            "id": "sn-1",
            "symbol": "AAPL",
            "entryPrice": None,
            "exitPrice": None,
            "shares": None,
            "pnl": None,
            "catalystType": "fda_approval",
            "catalystTier": 1,
            "exitReason": None,
            "status": "open",
            "alpacaOrderId": None,
            "entryAt": MOMENT_TEXT,
            "exitAt": None,
            "createdAt": MOMENT_TEXT,
            "updatedAt": MOMENT_TEXT,
            "settledAt": None,
            "mode": "paper",
            "notional": 100.0,
            "starRating": 5,
            "priceAtSignal": 187.2,
            "signalId": "n-1",
            "wireMs": None,
            "replyMs": None,
            "fillMs": None,
        }
    }


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 5, 14, 30, tzinfo=UTC), "2026-01-05T14:30:00.000Z"),
        (
            datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            "2026-12-31T23:59:59.999Z",
        ),
        (
            datetime(2026, 1, 5, 0, 30, tzinfo=timezone(timedelta(hours=-5))),
            "2026-01-05T05:30:00.000Z",
        ),
    ],
)
def test_times_are_utc_with_milliseconds(
    store: Store, clock: FakeClock, moment: datetime, text: str
) -> None:
    clock.moment = moment
    store.open_trade(make_trade())
    row = row_of(store, "sn-1")
    assert (row["entryAt"], row["createdAt"], row["updatedAt"]) == (text, text, text)


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_a_symbol_with_an_open_row_gets_no_second_one_whatever_its_mode(
    store: Store, mode: Mode
) -> None:
    store.open_trade(make_trade())
    before = rows_of(store)
    assert store.open_trade(make_trade("sn-2", mode=mode)) == "symbol_open"
    assert store.open_trade(make_trade("sn-3", "MSFT", mode=mode)) == "opened"
    assert rows_of(store).keys() == before.keys() | {"sn-3"}


def test_another_programs_open_row_blocks_its_symbol(store: Store) -> None:
    add_foreign_row(store)
    assert store.open_trade(make_trade()) == "symbol_open"
    store._db.execute("UPDATE BotTrade SET status = 'closed'")
    assert store.open_trade(make_trade()) == "opened"


@pytest.mark.parametrize("status", ["open", "closed", "missed"])
def test_an_id_is_opened_once_whatever_became_of_it(store: Store, status: str) -> None:
    store.open_trade(make_trade())
    store._db.execute("UPDATE BotTrade SET status = ?", [status])
    before = rows_of(store)
    assert store.open_trade(make_trade(symbol="MSFT")) == "repeated"
    assert rows_of(store) == before


def test_the_row_of_an_order_that_does_not_exist_is_removed(store: Store) -> None:
    store.open_trade(make_trade())
    assert store.discard_trade("sn-1")
    assert rows_of(store) == {}
    assert not store.discard_trade("sn-1")


@pytest.mark.parametrize("word", ["working", "partial", "fill", "rejected"])
def test_a_row_that_the_broker_has_spoken_of_is_not_removed(
    store: Store, word: str
) -> None:
    store.open_trade(make_trade())
    say(store, word)
    before = rows_of(store)
    assert not store.discard_trade("sn-1")
    assert rows_of(store) == before


# What one row becomes: (what was said before, what is said now) → row and outcome

OPEN = ("open", None, None, None, "o-1", False)
FILLED = ("open", None, 86.878, 0.057436865, "o-1", True)
PARTIAL = ("open", None, 80.0, 0.02, "o-1", False)
REJECTED = ("missed", "alpaca_rejected", None, None, "o-1", True)
CANCELED = ("missed", "alpaca_canceled", None, None, "o-1", True)
EXPIRED = ("missed", "alpaca_expired", None, None, "o-1", True)
ENDED = ("open", None, 81.0, 0.03, "o-1", True)

TRANSITIONS: list[tuple[list[str], str, tuple[object, ...], str | None]] = [
    ([], "working", OPEN, None),
    (["working"], "working", OPEN, None),
    (["fill"], "working", FILLED, "unchanged"),
    (["partial"], "working", PARTIAL, None),
    (["rejected"], "working", REJECTED, "unchanged"),
    (["canceled"], "working", CANCELED, "unchanged"),
    (["expired"], "working", EXPIRED, "unchanged"),
    ([], "fill", FILLED, "fill"),
    (["working"], "fill", FILLED, "fill"),
    (["partial"], "fill", FILLED, "fill"),
    (["fill"], "fill", FILLED, "unchanged"),
    (["fill"], "other fill", FILLED, "unchanged"),
    (["rejected"], "fill", FILLED, "fill"),
    (["canceled"], "fill", FILLED, "fill"),
    ([], "fill without price", ("open", None, None, 0.057436865, "o-1", False), None),
    ([], "fill without quantity", ("open", None, 86.878, None, "o-1", False), None),
    ([], "fill without both", OPEN, None),
    (["partial"], "fill without both", PARTIAL, None),
    (["fill without price"], "fill", FILLED, "fill"),
    (["fill without quantity"], "fill", FILLED, "fill"),
    (["fill"], "fill without both", FILLED, "unchanged"),
    ([], "partial", PARTIAL, "partial_fill"),
    ([], "partial price", ("open", None, 80.0, None, "o-1", False), "partial_fill"),
    ([], "partial shares", ("open", None, None, 0.02, "o-1", False), "partial_fill"),
    (["partial"], "partial nothing", PARTIAL, "partial_fill"),
    (["fill"], "partial", FILLED, "unchanged"),
    (["fill"], "partial price", FILLED, "unchanged"),
    ([], "rejected", REJECTED, "rejected"),
    (["working"], "rejected", REJECTED, "rejected"),
    (["rejected"], "rejected", REJECTED, "unchanged"),
    (["canceled"], "rejected", CANCELED, "unchanged"),
    (["partial"], "rejected", PARTIAL, "contradicted"),
    (["fill"], "rejected", FILLED, "contradicted"),
    ([], "canceled", CANCELED, "canceled"),
    ([], "expired", EXPIRED, "expired"),
    (["partial"], "canceled", PARTIAL, "contradicted"),
    (["fill"], "canceled", FILLED, "contradicted"),
    (["fill"], "expired", FILLED, "contradicted"),
    ([], "canceled with fills", ENDED, "fill"),
    ([], "expired with fills", ENDED, "fill"),
    (["partial"], "canceled with fills", ENDED, "fill"),
    (["fill"], "canceled with fills", FILLED, "unchanged"),
    (["canceled"], "canceled with fills", ENDED, "fill"),
    (
        [],
        "canceled without quantity",
        ("open", None, 81.0, None, "o-1", False),
        "partial_fill",
    ),
    (
        [],
        "canceled without price",
        ("open", None, None, 0.03, "o-1", False),
        "partial_fill",
    ),
    (
        [],
        "not_found",
        ("missed", "order_not_found", None, None, None, False),
        "not_found",
    ),
    (["working"], "not_found", OPEN, "unchanged"),
    (["partial"], "not_found", PARTIAL, "unchanged"),
    (["fill"], "not_found", FILLED, "unchanged"),
    (["rejected"], "not_found", REJECTED, "unchanged"),
    (["not_found"], "working", OPEN, "working"),
    (["not_found"], "fill", FILLED, "fill"),
    (["not_found"], "partial", PARTIAL, "partial_fill"),
    (["not_found"], "rejected", REJECTED, "rejected"),
    (["not_found"], "canceled", CANCELED, "canceled"),
    (["not_found"], "expired with fills", ENDED, "fill"),
    (["not_found", "fill"], "not_found", FILLED, "unchanged"),
    (["not_found", "working"], "not_found", OPEN, "unchanged"),
]


@pytest.mark.parametrize(
    ("before", "now", "becomes", "outcome"),
    TRANSITIONS,
    ids=[
        f"{'+'.join(t[0]) or 'fresh'}-then-{t[1]}".replace(" ", "_")
        for t in TRANSITIONS
    ],
)
def test_the_broker_says(  # noqa: PLR0917 - a table
    store: Store,
    clock: FakeClock,
    before: list[str],
    now: str,
    becomes: tuple[object, ...],
    outcome: str | None,
) -> None:
    store.open_trade(make_trade(signal_id="n-1"))
    for word in before:
        SAYS[word](store)
    row_before = row_of(store, "sn-1")
    clock.advance(60)
    applied = say(store, now)
    row = row_of(store, "sn-1")
    assert said(row) == becomes
    if outcome is not None:
        assert applied.outcome == outcome
    changed = row != row_before
    assert applied.changed == changed
    assert row["updatedAt"] == (LATER_TEXT if changed else MOMENT_TEXT)
    assert row["createdAt"] == row["entryAt"] == MOMENT_TEXT
    assert (
        applied.trade_id,
        applied.symbol,
        applied.signal_id,
        applied.mode,
        applied.order_id,
        applied.settled,
        applied.status,
        applied.entry_price,
        applied.shares,
        applied.reason,
    ) == (
        "sn-1",
        "AAPL",
        "n-1",
        "paper",
        row["alpacaOrderId"],
        row["settledAt"] is not None,
        row["status"],
        row["entryPrice"],
        row["shares"],
        row["exitReason"],
    )


def test_a_look_up_that_says_nothing_new_changes_nothing(store: Store) -> None:
    store.open_trade(make_trade())
    say(store, "working")
    applied = say(store, "working")
    assert (applied.outcome, applied.changed) == ("unchanged", False)


def test_settled_at_is_when_the_last_word_came(store: Store, clock: FakeClock) -> None:
    store.open_trade(make_trade())
    say(store, "partial")
    clock.advance(60)
    say(store, "fill")
    assert row_of(store, "sn-1")["settledAt"] == LATER_TEXT
    clock.advance(60)
    say(store, "fill", "partial", "rejected")
    assert row_of(store, "sn-1")["settledAt"] == LATER_TEXT


# Rows that another program closed


@pytest.mark.parametrize(
    ("price", "shares", "expected"),
    [
        (None, None, (86.878, 0.057436865)),
        (70.0, None, (70.0, 0.057436865)),
        (None, 3.0, (86.878, 3.0)),
        (70.0, 3.0, (70.0, 3.0)),
    ],
)
def test_a_late_fill_on_a_closed_row_fills_only_what_is_null(
    store: Store,
    price: float | None,
    shares: float | None,
    expected: tuple[float, float],
) -> None:
    store.open_trade(make_trade())
    closed_by_monitor(store, price=price, shares=shares)
    applied = say(store, "fill")
    row = row_of(store, "sn-1")
    assert (row["entryPrice"], row["shares"]) == expected
    assert (row["status"], row["exitReason"]) == ("closed", "take_profit")
    assert (row["exitPrice"], row["pnl"]) == (90.0, 1.5)
    assert row["settledAt"] == MOMENT_TEXT
    assert applied.settled


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("partial", "unchanged"),
        ("rejected", "contradicted"),
        ("canceled", "contradicted"),
        ("expired", "contradicted"),
        ("not_found", "unchanged"),
    ],
)
def test_nothing_else_changes_a_closed_row(
    store: Store, word: str, outcome: str
) -> None:
    store.open_trade(make_trade())
    say(store, "working")
    closed_by_monitor(store, price=70.0, shares=3.0)
    before = rows_of(store)
    assert say(store, word).outcome == outcome
    assert rows_of(store) == before


def test_a_working_order_of_a_closed_row_leaves_it_closed(store: Store) -> None:
    store.open_trade(make_trade())
    closed_by_monitor(store, price=70.0, shares=3.0)
    say(store, "working")
    assert said(row_of(store, "sn-1")) == (
        *("closed", "take_profit", 70.0, 3.0, "o-1"),
        False,
    )


# Late evidence while the symbol has a newer open row


@pytest.fixture
def overtaken(store: Store) -> Store:
    """Give a store whose row sn-1 was given up, and whose symbol has sn-2 open."""
    store.open_trade(make_trade())
    say(store, "not_found")
    assert store.open_trade(make_trade("sn-2")) == "opened"
    return store


@pytest.mark.parametrize(
    ("word", "becomes", "outcome"),
    [
        (
            "fill",
            ("missed", "order_found_late", 86.878, 0.057436865, "o-1", True),
            "found_late",
        ),
        (
            "canceled with fills",
            ("missed", "order_found_late", 81.0, 0.03, "o-1", True),
            "found_late",
        ),
        (
            "partial",
            ("missed", "order_found_late", 80.0, 0.02, "o-1", False),
            "found_late",
        ),
        (
            "working",
            ("missed", "order_not_found", None, None, "o-1", False),
            "unchanged",
        ),
        ("rejected", REJECTED, "rejected"),
        ("expired", EXPIRED, "expired"),
    ],
)
def test_late_evidence_never_opens_a_second_row_of_a_symbol(
    overtaken: Store, word: str, becomes: tuple[object, ...], outcome: str
) -> None:
    newer = row_of(overtaken, "sn-2")
    assert say(overtaken, word).outcome == outcome
    assert said(row_of(overtaken, "sn-1")) == becomes
    assert row_of(overtaken, "sn-2") == newer


def test_what_was_found_late_is_told_once(overtaken: Store) -> None:
    assert say(overtaken, "fill").changed
    assert not say(overtaken, "fill").changed


def test_a_row_found_late_is_open_again_once_its_symbol_is_free(
    overtaken: Store,
) -> None:
    say(overtaken, "working")
    closed_by_monitor(overtaken, "sn-2")
    say(overtaken, "fill")
    assert said(row_of(overtaken, "sn-1")) == FILLED


# Whose order it is


@pytest.mark.parametrize("word", [w for w in SAYS if w != "not_found"])
def test_another_modes_events_change_nothing(store: Store, word: str) -> None:
    store.open_trade(make_trade(mode="live"))
    store.apply_working(OrderRef(mode="live", order_id="o-1", client_order_id="sn-1"))
    before = rows_of(store)
    assert SAYS[word](store) is None
    assert rows_of(store) == before


@pytest.mark.parametrize(
    "ref",
    [
        OrderRef(mode="paper", order_id="o-x", client_order_id=None),
        OrderRef(mode="paper", order_id="o-x", client_order_id="x"),
        OrderRef(mode="paper", order_id="o-9", client_order_id="x"),
        OrderRef(mode="paper", order_id=None, client_order_id="x"),
        OrderRef(mode="live", order_id="o-x", client_order_id="x"),
    ],
)
def test_another_programs_rows_are_never_changed(store: Store, ref: OrderRef) -> None:
    add_foreign_row(store)
    before = rows_of(store)
    assert store.apply_working(ref) is None
    assert store.apply_fill(ref, price=PRICE, quantity=QUANTITY) is None
    assert store.apply_partial_fill(ref, price=PRICE, shares=QUANTITY) is None
    assert store.apply_rejected(ref) is None
    ended = store.apply_ended(ref, "canceled", price=None, quantity=Decimal(0))
    assert ended is None
    assert rows_of(store) == before


def test_another_programs_rows_are_not_ended_with_a_simulation(store: Store) -> None:
    add_foreign_row(store)
    before = rows_of(store)
    assert store.end_simulation() == 0
    assert rows_of(store) == before


@pytest.mark.parametrize(
    "ref",
    [
        OrderRef(mode="paper", order_id="o-2", client_order_id="sn-1"),
        OrderRef(mode="paper", order_id="o-2", client_order_id=None),
        OrderRef(mode="paper", order_id="o-2", client_order_id="sn-9"),
        OrderRef(mode="paper", order_id=None, client_order_id="sn-9"),
        OrderRef(mode="paper", order_id=None, client_order_id=None),
    ],
)
def test_an_order_that_is_not_the_rows_changes_nothing(
    store: Store, ref: OrderRef
) -> None:
    store.open_trade(make_trade())
    say(store, "working")
    before = rows_of(store)
    assert store.apply_fill(ref, price=PRICE, quantity=QUANTITY) is None
    assert rows_of(store) == before


@pytest.mark.parametrize(
    "ref",
    [
        OrderRef(mode="paper", order_id="o-1", client_order_id=None),
        OrderRef(mode="paper", order_id="o-1", client_order_id="sn-9"),
        OrderRef(mode="paper", order_id=None, client_order_id="sn-1"),
    ],
)
def test_either_id_finds_a_row_whose_order_is_known(
    store: Store, ref: OrderRef
) -> None:
    store.open_trade(make_trade())
    say(store, "working")
    store.apply_fill(ref, price=PRICE, quantity=QUANTITY)
    assert said(row_of(store, "sn-1")) == FILLED


# Giving up, and the end of a simulation


def test_an_order_given_up_for_good_is_settled(store: Store, clock: FakeClock) -> None:
    store.open_trade(make_trade())
    say(store, "not_found")
    clock.advance(60)
    store.settle_not_found("sn-1")
    row = row_of(store, "sn-1")
    assert (row["status"], row["exitReason"]) == ("missed", "order_not_found")
    assert row["settledAt"] == row["updatedAt"] == LATER_TEXT


def test_an_open_order_is_never_settled_as_given_up(store: Store) -> None:
    store.open_trade(make_trade())
    store.settle_not_found("sn-1")
    assert row_of(store, "sn-1")["settledAt"] is None


def test_what_a_simulation_left_open_is_ended(store: Store, clock: FakeClock) -> None:
    store.open_trade(make_trade("sn-1", "AAPL"))
    say(store, "fill")
    store.open_trade(make_trade("sn-2", "MSFT", mode="live"))
    store.open_trade(make_trade("sn-3", "KO"))
    closed_by_monitor(store, "sn-3", price=1.0, shares=1.0)
    add_foreign_row(store, symbol="IBM")
    foreign = row_of(store, "x")
    clock.advance(60)
    assert store.end_simulation() == 2
    found = {
        name: (row["status"], row["exitReason"], row["exitAt"], row["settledAt"])
        for name, row in rows_of(store).items()
    }
    assert found == {
        "sn-1": ("closed", "simulation_ended", LATER_TEXT, MOMENT_TEXT),
        "sn-2": ("missed", "simulation_ended", None, LATER_TEXT),
        "sn-3": ("closed", "take_profit", None, LATER_TEXT),
        "x": ("open", None, None, None),
    }
    assert row_of(store, "x") == foreign
    assert store.unsettled() == []


# Questions


def test_unsettled_rows_are_ours_without_a_last_word(
    store: Store, clock: FakeClock
) -> None:
    store.open_trade(make_trade("sn-1", "AAPL"))
    clock.advance(10)
    store.open_trade(make_trade("sn-2", "MSFT", mode="live"))
    ref = OrderRef(mode="live", order_id="o-2", client_order_id="sn-2")
    store.apply_partial_fill(ref, price=PRICE, shares=QUANTITY)
    store.open_trade(make_trade("sn-3", "KO"))
    store.mark_not_found("sn-3")
    store.open_trade(make_trade("sn-4", "IBM"))
    store.apply_rejected(OrderRef(mode="paper", order_id=None, client_order_id="sn-4"))
    store.open_trade(make_trade("sn-5", "GE"))
    closed_by_monitor(store, "sn-5")
    add_foreign_row(store, symbol="F")
    clock.advance(5)
    assert [
        (u.trade_id, u.symbol, u.mode, u.order_id, u.missed) for u in store.unsettled()
    ] == [
        ("sn-1", "AAPL", "paper", None, False),
        ("sn-2", "MSFT", "live", "o-2", False),
        ("sn-3", "KO", "paper", None, True),
        ("sn-5", "GE", "paper", None, False),
    ]
    ages = [unsettled.age_seconds for unsettled in store.unsettled()]
    assert ages == pytest.approx([15, 5, 5, 5], abs=1)


def test_a_row_from_the_future_is_not_old(store: Store, clock: FakeClock) -> None:
    store.open_trade(make_trade())
    clock.advance(-3600)
    assert store.unsettled() == [
        Unsettled(
            trade_id="sn-1",
            symbol="AAPL",
            mode="paper",
            order_id=None,
            age_seconds=0.0,
            missed=False,
        )
    ]


def test_open_rows_are_counted_whoever_wrote_them(store: Store) -> None:
    assert store.count_open() == 0
    store.open_trade(make_trade())
    add_foreign_row(store, symbol="IBM")
    add_foreign_row(store, "y", symbol="GE", status="closed")
    assert store.count_open() == 2


# Whatever comes, in whatever order

TOLD = [w for w in SAYS if w != "not_found"]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "say", "say", "say", "give up", "settle", "close"]),
        st.integers(1, 3),
        st.sampled_from(TOLD),
    ),
    max_size=25,
)


@dataclass
class Ledger:
    """Rows of one symbol, and what must hold of each for ever."""

    store: Store
    filled: dict[str, tuple[object, object]] = field(default_factory=dict)
    before: dict[str, dict[str, Any]] = field(default_factory=dict)

    def step(self, what: str, number: int, word: str) -> None:
        trade_id = f"sn-{number}"
        match what:
            case "open":
                self.store.open_trade(make_trade(trade_id))
            case "say":
                self._say(trade_id, number, word)
            case "give up":
                self.store.mark_not_found(trade_id)
            case "settle":
                self.store.settle_not_found(trade_id)
            case "close":
                self.store._db.execute(
                    "UPDATE BotTrade SET status = 'closed'"
                    " WHERE id = ? AND status = 'open'",
                    [trade_id],
                )
            case _:
                pytest.fail(what)
        self._check()

    def _say(self, trade_id: str, number: int, word: str) -> None:
        ref = OrderRef(mode="paper", order_id=f"o-{number}", client_order_id=trade_id)
        price, quantity = Decimal(10 + number), Decimal(number)
        store = self.store
        match word:
            case "working":
                store.apply_working(ref)
            case "fill":
                store.apply_fill(ref, price=price, quantity=quantity)
            case "rejected":
                store.apply_rejected(ref)
            case "canceled" | "expired":
                how: Literal["canceled", "expired"] = (
                    "canceled" if word == "canceled" else "expired"
                )
                store.apply_ended(ref, how, price=None, quantity=Decimal(0))
            case "canceled with fills" | "expired with fills":
                store.apply_ended(ref, "canceled", price=price, quantity=quantity / 2)
            case "canceled without price" | "fill without price":
                store.apply_fill(ref, price=None, quantity=quantity / 3)
            case "canceled without quantity" | "fill without quantity":
                store.apply_ended(ref, "expired", price=price / 3, quantity=None)
            case "other fill":
                store.apply_fill(ref, price=price * 7, quantity=quantity * 7)
            case "partial":
                store.apply_partial_fill(ref, price=price / 2, shares=quantity / 5)
            case _:
                store.apply_partial_fill(ref, price=None, shares=quantity / 7)

    def _check(self) -> None:
        rows = rows_of(self.store)
        assert sum(row["status"] == "open" for row in rows.values()) <= 1
        for trade_id, row in rows.items():
            bought = (row["entryPrice"], row["shares"])
            if row["settledAt"] is not None and None not in bought:
                assert self.filled.setdefault(trade_id, bought) == bought
            if row["status"] == "open" and row["settledAt"] is not None:
                assert None not in bought, "nobody would ask about it any more"
            old = self.before.get(trade_id)
            if old is None:
                continue
            assert old["status"] != "closed" or row["status"] == "closed"
            for name in ("settledAt", "entryPrice", "shares", "alpacaOrderId"):
                assert old[name] is None or row[name] is not None, name
            assert old["alpacaOrderId"] in {None, row["alpacaOrderId"]}
        self.before = rows


@pytest.fixture(scope="module")
def endless_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Give a store that many examples use, each in a transaction of its own."""
    store = open_store(tmp_path_factory.mktemp("store") / "snexec.db", FakeClock())
    yield store
    store._db.close()


@settings(max_examples=300)
@given(steps=STEPS)
@example(
    steps=[
        ("open", 1, "working"),
        ("say", 1, "rejected"),
        ("say", 1, "fill without price"),
    ]
)
def test_no_order_of_what_is_said_undoes_what_was_final(
    endless_store: Store,
    steps: list[tuple[str, int, str]],
) -> None:
    store = endless_store
    store.begin()
    try:
        ledger = Ledger(store)
        for step in steps:
            ledger.step(*step)
    finally:
        store.rollback()


# Transactions


def test_a_savepoint_undoes_one_change_of_a_transaction(store: Store) -> None:
    store.begin()
    store.savepoint()
    store.open_trade(make_trade())
    store.release()
    store.savepoint()
    store.open_trade(make_trade("sn-2", "MSFT"))
    store.undo_to_savepoint()
    store.commit()
    assert rows_of(store).keys() == {"sn-1"}


def test_a_rollback_undoes_all_of_it_and_may_come_twice(store: Store) -> None:
    store.begin()
    store.open_trade(make_trade())
    store.rollback()
    store.rollback()
    assert rows_of(store) == {}


def test_nobody_else_can_write_during_a_transaction(
    store: Store, database: Path
) -> None:
    store.begin()
    other = sqlite3.connect(database, timeout=0, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()
    store.rollback()


def test_every_time_that_is_written_has_the_form_of_the_contract(
    store: Store, clock: FakeClock
) -> None:
    form = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
    clock.moment = MOMENT + timedelta(microseconds=877_000)
    store.open_trade(make_trade())
    say(store, "fill")
    row = row_of(store, "sn-1")
    for name in ("entryAt", "createdAt", "updatedAt", "settledAt"):
        assert form.fullmatch(row[name]), name


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.876, 0.877, 0.999, 59.999, 60.0])
def test_the_age_of_a_row_is_told_to_the_millisecond(
    store: Store, clock: FakeClock, seconds: float
) -> None:
    store.open_trade(make_trade())
    clock.advance(seconds)
    [unsettled] = store.unsettled()
    assert unsettled.age_seconds == pytest.approx(seconds, abs=0.0005)

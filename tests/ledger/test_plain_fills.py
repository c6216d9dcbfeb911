"""The plain fill of an open row says and writes what the long way does (SPEC 7)."""

from __future__ import annotations

import itertools
import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.latency import Times
from snexec.ledger.rows import Applied, OrderRef
from tests.fakes import make_trade, row_of, rows_of
from tests.ledger.broker_says import PRICE, QUANTITY, say
from tests.ledger.hands import TRIGGERS, drop_trigger, trigger

if TYPE_CHECKING:
    from pathlib import Path

    from snexec.ledger.store import Store

PLAIN = OrderRef("paper", "o-1", "sn-1", symbol="AAPL", side="buy")
REFS = [
    PLAIN,
    PLAIN._replace(side=None),
    PLAIN._replace(side="sell"),
    PLAIN._replace(symbol=None),
    PLAIN._replace(symbol=""),
    PLAIN._replace(symbol="MSFT"),
    PLAIN._replace(order_id="o-2"),
    PLAIN._replace(order_id=None),
    PLAIN._replace(client_order_id="sn-2"),
    PLAIN._replace(client_order_id=None),
    PLAIN._replace(mode="live"),
    PLAIN._replace(is_answer=True),
]
STATES = {
    "new": (),
    "working": ("working",),
    "partly bought": ("working", "partial"),
    "filled": ("fill",),
    "filled without price": ("working", "fill without price"),
    "missed": ("working", "not_found"),
    "rejected": ("working", "rejected"),
}
CHANGES = [
    "status = status",
    "status = 'closed', entryPrice = 80, shares = 0.01",
    "status = 'odd'",
    "alpacaOrderId = 'o-1', wireMs = 1.5, replyMs = 'x', fillMs = 7",
    "signalId = 'n-1', exitReason = 'was_odd', notional = 'much', entryAt = 5",
    "signalId = CAST(x'ff41' AS TEXT), entryAt = NULL, notional = 9e999",
]
TIMES = [None, Times(), Times(1.25, None, 3.5)]


def fill(
    store: Store, ref: OrderRef = PLAIN, times: Times | None = None
) -> Applied | None:
    return store.apply_fill(ref, price=PRICE, quantity=QUANTITY, times=times)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("state", STATES)
def test_it_does_what_the_long_way_does(
    store: Store, monkeypatch: pytest.MonkeyPatch, state: str, change: str
) -> None:
    store.open_trade(make_trade())
    store.open_trade(make_trade("sn-2", "MSFT"))
    if STATES[state]:
        say(store, *STATES[state])
    store._db.execute(f"UPDATE BotTrade SET {change} WHERE id = 'sn-1'")  # noqa: S608 - ours
    store.begin()
    for ref, times in itertools.product(REFS, TIMES):
        found = []
        for is_plain in (True, False):
            store.savepoint()
            with monkeypatch.context() as patch:
                if not is_plain:
                    patch.setattr(store._plain, "apply", lambda *_of: None)
                found.append((fill(store, ref, times), rows_of(store)))
            store.undo_to_savepoint()
        assert found[0] == found[1], ref
    store.rollback()


@pytest.mark.parametrize("bought", ["working", "partial"])
def test_the_fill_of_an_order_that_works_needs_no_look_at_its_row(
    store: Store, monkeypatch: pytest.MonkeyPatch, bought: str
) -> None:
    store.open_trade(make_trade())
    say(store, "working", bought)
    monkeypatch.setattr(store, "_find", None)
    applied = fill(store, times=Times(1.0, 2.0, 3.0))
    assert applied is not None
    assert (applied.outcome, applied.settled, applied.fill_ms) == ("fill", True, 3.0)
    row = row_of(store, "sn-1")
    assert (row["entryPrice"], row["shares"]) == (float(PRICE), float(QUANTITY))
    assert row["settledAt"] == row["updatedAt"]
    assert (row["wireMs"], row["replyMs"], row["fillMs"]) == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("price", [None, Decimal(80)])
@pytest.mark.parametrize("quantity", [None, Decimal(1)])
def test_a_fill_without_a_price_or_a_quantity_is_not_plain(
    store: Store, price: Decimal | None, quantity: Decimal | None
) -> None:
    store.open_trade(make_trade())
    say(store, "working")
    applied = store._plain.apply(PLAIN, price, quantity, None, "now")
    assert (applied is None) is (price is None or quantity is None)
    assert (row_of(store, "sn-1")["settledAt"] is None) is (applied is None)


@pytest.mark.parametrize("kind", TRIGGERS)
def test_a_row_that_a_trigger_keeps_as_it_was_is_said_and_not_taken_for_filled(
    store: Store, database: Path, kind: str
) -> None:
    store.open_trade(make_trade(symbol="DOOM"))
    say(store, "working")
    before = rows_of(store)
    trigger(database, kind, "UPDATE")
    store.begin()
    with pytest.raises(sqlite3.Error):
        fill(store, PLAIN._replace(symbol="DOOM"))
    store.rollback()
    drop_trigger(database)
    assert rows_of(store) == before

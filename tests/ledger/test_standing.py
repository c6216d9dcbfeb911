"""The operator's word on rows of which something was sold (SPEC 12.5, 12.7, 12.8a)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.exit_rows import ExitApplied
from snexec.ledger.schema import open_unmigrated
from snexec.ledger.store import Store
from tests.fakes import row_of
from tests.ledger.files import make_foreign
from tests.ledger.selling import SELL, SELL_ID, buy, exits_of, held, plan, sell

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes import FakeClock


def result(store: Store) -> tuple[object, ...]:
    row = row_of(store, "sn-1")
    names = ("status", "exitReason", "exitPrice", "pnl")
    return tuple(row[name] for name in names)


def sold_by_others(store: Store, quantity: str) -> None:
    done = store.exits.external(
        "sn-1",
        quantity=Decimal(quantity),
        price=None,
        remaining=held(store).remaining,
    )
    assert isinstance(done, ExitApplied)


def test_the_price_of_a_sale_by_others_is_completed(store: Store) -> None:
    buy(store)
    sold_by_others(store, "0.5")
    before = row_of(store, "sn-1")
    standing = store.standing("sn-1")
    assert standing is not None
    assert standing.may_end("closed")
    assert not standing.may_end("missed")
    assert store.settle("sn-1", "closed", None) is None, "there is nothing to end"
    assert store.settle("sn-1", "closed", Decimal("90.5")) is not None
    assert result(store) == ("closed", "external", 90.5, -4.75)
    assert row_of(store, "sn-1")["exitAt"] == before["exitAt"]
    assert exits_of(store)["sn-1-e1"]["filledAvgPrice"] == "90.5"
    assert store.settle("sn-1", "closed", Decimal(80)) is None, "once"
    assert result(store) == ("closed", "external", 90.5, -4.75)


def test_it_counts_beside_what_has_a_price(store: Store) -> None:
    buy(store)
    sell(store, "0.3", "110")
    sold_by_others(store, "0.2")
    assert result(store) == ("closed", "manual", None, None)
    store.settle("sn-1", "closed", Decimal(90))
    assert result(store) == ("closed", "manual", 102.0, 1.0)


def test_what_is_left_is_settled_beside_what_was_sold(store: Store) -> None:
    buy(store)
    sell(store, "0.2", "110")
    standing = store.standing("sn-1")
    assert standing is not None
    assert standing.remaining == Decimal("0.3")
    assert standing.mean_price(Decimal(90)) == Decimal(98)
    assert standing.pnl(Decimal(90)) == Decimal(-1)
    store.settle("sn-1", "closed", Decimal(90))
    assert result(store) == ("closed", "settled", 98.0, -1.0)


def test_without_a_price_of_the_rest_nobody_knows_what_was_won(store: Store) -> None:
    buy(store)
    sell(store, "0.2", "110")
    store.settle("sn-1", "closed", None)
    assert result(store) == ("closed", "settled", None, None)


def test_a_sell_that_nobody_can_ask_about_ends_with_its_row(store: Store) -> None:
    buy(store)
    plan(store)
    store.exits.apply_working(SELL)
    standing = store.settle("sn-1", "closed", Decimal(90))
    assert standing is not None
    assert standing.live_exit == SELL_ID
    assert store.exits.unsettled() == []
    assert result(store) == ("closed", "settled", 90.0, -5.0)


def test_evidence_that_comes_after_it_is_kept_and_bends_no_number(
    store: Store,
) -> None:
    buy(store)
    plan(store)
    store.settle("sn-1", "closed", Decimal(90))
    store.exits.apply_sold(SELL, quantity=Decimal("0.5"), price=Decimal(95), final=True)
    assert result(store) == ("closed", "settled", 90.0, -5.0)
    assert exits_of(store)[SELL_ID]["state"] == "filled"


def test_other_rows_claim_what_they_have_not_sold(store: Store) -> None:
    buy(store)
    store._db.execute("UPDATE BotTrade SET status = 'closed', settledAt = NULL")
    buy(store, trade_id="sn-2", shares="0.4")
    standing = store.standing("sn-1")
    assert standing is not None
    assert standing.claimed == Decimal("0.4")
    new = plan(store, row_id="sn-2")
    store.exits.apply_ended(
        SELL._replace(client_order_id=new.id),
        "canceled",
        quantity=Decimal("0.3"),
        price=Decimal(90),
    )
    standing = store.standing("sn-1")
    assert standing is not None
    assert standing.claimed == Decimal("0.1")


def test_a_file_from_before_there_were_sells_is_settled_all_the_same(
    database: Path, clock: FakeClock
) -> None:
    make_foreign(database, ("sn-1", "AAPL", "open"))
    old = open_unmigrated(database, simulated=False)
    for name in ("settledAt", "mode", "signalId"):
        old.execute(f"ALTER TABLE BotTrade ADD COLUMN {name} TEXT")
    old.execute(
        "UPDATE BotTrade SET mode = 'paper', shares = 0.5, entryPrice = 100,"
        " settledAt = 'then'"
    )
    store = Store(old, clock=clock)
    standing = store.standing("sn-1")
    assert standing is not None
    assert (standing.sold, standing.live_exit) == ((), None)
    assert store.settle("sn-1", "closed", Decimal(90)) is not None
    assert result(store) == ("closed", "settled", 90.0, -5.0)
    old.close()


def test_a_simulation_ends_with_its_sells(store: Store) -> None:
    buy(store)
    plan(store)
    assert store.end_simulation() == 1
    assert store.exits.unsettled() == []
    assert exits_of(store)[SELL_ID]["state"] == "dropped"
    assert row_of(store, "sn-1")["exitReason"] == "simulation_ended"


@pytest.mark.parametrize("quantity", ["0", "0.2"])
def test_a_row_with_a_result_lacks_no_price(store: Store, quantity: str) -> None:
    buy(store)
    sell(store, quantity, "110")
    store.settle("sn-1", "closed", Decimal(90))
    standing = store.standing("sn-1")
    assert standing is not None
    assert not standing.may_end("closed")

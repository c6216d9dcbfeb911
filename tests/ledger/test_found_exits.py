"""Sells of ours that the broker has and the file does not: written again, never bought."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import pytest

from snexec.ledger.exit_rows import ExitApplied, FoundExit, is_our_exit
from snexec.ledger.rows import is_ours, trade_id
from tests.fakes import MOMENT, MOMENT_TEXT, make_trade, row_of
from tests.ledger.selling import SELL_ID, buy, exits_of, held, plan, ref_of, sell

if TYPE_CHECKING:
    from snexec.ledger.store import Store


def found(
    exit_id: str = SELL_ID,
    sold: str = "0.5",
    ended: Literal["filled", "canceled", "expired", "rejected"] | None = "filled",
) -> FoundExit:
    return FoundExit(
        id=exit_id,
        mode="paper",
        order_id=f"o-{exit_id.rpartition('-')[2]}",
        quantity=Decimal("0.5"),
        sold=Decimal(sold),
        price=Decimal(90) if Decimal(sold) else None,
        placed_at=MOMENT,
        ended=ended,
    )


@pytest.mark.parametrize("suffix", ["-x1", "-x12", "-s1"])
def test_a_sell_is_known_by_its_id_and_is_no_buy_of_ours(suffix: str) -> None:
    bought = trade_id("paper", "signal")
    assert is_ours(bought)
    assert not is_our_exit(bought)
    assert is_our_exit(bought + suffix)
    assert not is_ours(bought + suffix)


@pytest.mark.parametrize("other", ["sn-1-x1", f"sn-{'a' * 32}-e1", f"sn-{'a' * 32}-x0"])
def test_other_ids_are_no_orders_that_we_sell_by(other: str) -> None:
    assert not is_our_exit(other)


def test_a_sell_that_was_found_closes_its_row(store: Store) -> None:
    buy(store)
    assert store.exits.unknown([SELL_ID]) == [SELL_ID]
    done = store.exits.adopt(found())
    assert isinstance(done, ExitApplied)
    assert (done.outcome, done.closed, done.pnl) == ("fill", True, Decimal(-5))
    row = row_of(store, "sn-1")
    assert (row["status"], row["exitReason"], row["exitPrice"]) == (
        *("closed", "rebuilt", 90.0),
    )
    sale = exits_of(store)[SELL_ID]
    assert (sale["state"], sale["decidedAt"], sale["alpacaOrderId"]) == (
        *("filled", MOMENT_TEXT, "o-x1"),
    )
    assert store.exits.unknown([SELL_ID]) == []
    assert store.exits.adopt(found()) == "known"


def test_sells_that_ended_are_written_beside_one_that_works(store: Store) -> None:
    buy(store)
    for each in (
        found("sn-1-s1", "0", "expired"),
        found("sn-1-x2", "0", None),
        found("sn-1-x1", "0.2", "canceled"),
    ):
        assert isinstance(store.exits.adopt(each), ExitApplied)
    row = held(store)
    assert row.remaining == Decimal("0.3")
    assert row.live_exit is not None
    assert row.live_exit.id == "sn-1-x2"
    assert exits_of(store)["sn-1-s1"]["reason"] == "stop_loss"
    assert store.exits.adopt(found("sn-1-x3", "0", None)) == "closing"
    store.exits.apply_sold(
        ref_of("sn-1-x2"), quantity=Decimal("0.3"), price=Decimal(90), final=True
    )
    assert row_of(store, "sn-1")["status"] == "closed"


def test_the_buy_comes_first(store: Store) -> None:
    assert store.exits.adopt(found()) == "no_row"
    store.open_trade(make_trade())
    assert store.exits.adopt(found()) == "not_bought"
    store._db.execute("DELETE FROM BotTrade")
    buy(store, mode="live")
    assert store.exits.adopt(found()) == "no_row", "another account's"
    assert exits_of(store) == {}


def test_a_sell_whose_id_was_found_is_not_planned_with_it_again(store: Store) -> None:
    buy(store)
    store.exits.adopt(found("sn-1-x1", "0", "canceled"))
    assert plan(store).id == "sn-1-x2"


def test_what_was_closed_without_a_price_gets_that_of_its_sell(store: Store) -> None:
    buy(store)
    assert store.found.close("sn-1") is not None
    assert row_of(store, "sn-1")["exitPrice"] is None
    done = store.exits.adopt(found())
    assert isinstance(done, ExitApplied)
    row = row_of(store, "sn-1")
    assert (row["status"], row["exitPrice"], row["pnl"]) == ("closed", 90.0, -5.0)


def test_a_row_beside_a_newer_one_is_closed_by_its_sell(store: Store) -> None:
    buy(store)
    store._db.execute(
        "UPDATE BotTrade SET status = 'missed', exitReason = 'order_found_late'"
    )
    buy(store, trade_id="sn-2")
    done = store.exits.adopt(found())
    assert isinstance(done, ExitApplied)
    assert done.closed
    assert row_of(store, "sn-1")["status"] == "closed"
    assert row_of(store, "sn-2")["status"] == "open"


def test_the_fee_of_a_coin_keeps_no_found_row_open(store: Store) -> None:
    buy(store, "BTC/USD", "0.1", "60000")
    done = store.exits.adopt(found(SELL_ID, "0.09975"))
    assert isinstance(done, ExitApplied)
    assert done.closed


def test_a_stop_that_works_is_found_with_its_price(store: Store) -> None:
    buy(store)
    stop = found("sn-1-s1", "0", None)._replace(stop_price=Decimal("95.5"))
    store.exits.adopt(stop)
    live = held(store).live_exit
    assert live is not None
    assert (live.kind, live.trigger_price) == ("stop", Decimal("95.5"))


def test_what_a_found_sell_has_left_is_decided_anew(store: Store) -> None:
    buy(store)
    store.exits.adopt(found(SELL_ID, "0.2", "canceled"))
    assert held(store).wanted is None, "nobody knows why it was sold"
    sell(store, "0.3", "91", "max_hold")
    assert row_of(store, "sn-1")["exitReason"] == "max_hold"

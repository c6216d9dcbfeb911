"""Sells in the database: one at a time, and a row that closes with the last of them."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import pytest

from snexec.latency import Times
from snexec.ledger.rows import OrderRef
from snexec.ledger.store import Store
from tests.fakes import MOMENT, MOMENT_TEXT, FakeClock, make_trade, row_of
from tests.ledger.hands import drop_trigger, trigger
from tests.ledger.selling import SELL, SELL_ID, buy, exits_of, plan

if TYPE_CHECKING:
    from pathlib import Path


def sold(
    store: Store,
    quantity: str,
    price: str,
    *,
    final: bool = True,
    ref: OrderRef = SELL,
) -> object:
    return store.exits.apply_sold(
        ref,
        quantity=Decimal(quantity),
        price=Decimal(price),
        final=final,
    )


def ref_of(number: int) -> OrderRef:
    return OrderRef(
        mode="paper", order_id=f"o-x{number}", client_order_id=f"sn-1-x{number}"
    )


# Planning


def test_a_planned_sell_is_written_before_it_leaves(store: Store) -> None:
    buy(store)
    new = plan(store)
    assert (new.id, new.symbol, new.mode) == (SELL_ID, "AAPL", "paper")
    assert new.quantity == Decimal("0.5")
    assert exits_of(store) == {
        SELL_ID: {
            "id": SELL_ID,
            "tradeId": "sn-1",
            "kind": "sell",
            "reason": "manual",
            "qty": "0.5",
            "filledQty": "0",
            "filledAvgPrice": None,
            "triggerPrice": None,
            "triggerSource": None,
            "state": "planned",
            "alpacaOrderId": None,
            "decidedAt": MOMENT_TEXT,
            "wireMs": None,
            "fillMs": None,
            "createdAt": MOMENT_TEXT,
            "updatedAt": MOMENT_TEXT,
            "settledAt": None,
            "cancelReason": None,
            "wholePosition": 0,
            "splitRatio": None,
            "waits": 0,
        }
    }
    assert row_of(store, "sn-1")["status"] == "open", "its symbol stays blocked"


def test_two_triggers_are_one_sell(store: Store) -> None:
    buy(store)
    plan(store)
    assert store.exits.plan("sn-1", "manual", held=None, free=None) == "closing"
    assert len(exits_of(store)) == 1


def test_the_database_itself_refuses_a_second_live_sell(store: Store) -> None:
    buy(store)
    plan(store)
    copy = "INSERT INTO BotExit SELECT 'sn-1-x2', " + ", ".join(
        name for name in next(iter(exits_of(store).values())) if name != "id"
    )
    with pytest.raises(sqlite3.IntegrityError):
        store._db.execute(f"{copy} FROM BotExit")


def test_what_cannot_be_sold_is_not_planned(store: Store) -> None:
    assert store.exits.plan("sn-9", "manual", held=None, free=None) == "not_found"
    store.open_trade(make_trade("sn-1"))
    assert store.exits.plan("sn-1", "manual", held=None, free=None) == "not_bought"
    ref = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")
    store.apply_partial_fill(ref, price=Decimal(9), shares=Decimal(1))
    assert store.exits.plan("sn-1", "manual", held=None, free=None) == "not_settled"
    store.apply_fill(ref, price=Decimal(9), quantity=Decimal(1))
    nothing = Decimal(0)
    assert store.exits.plan("sn-1", "manual", held="1", free=nothing) == "none_left"
    store._db.execute("UPDATE BotTrade SET mode = NULL")
    assert store.exits.plan("sn-1", "manual", held=None, free=None) == "not_ours"
    store._db.execute("UPDATE BotTrade SET mode = 'paper', status = 'closed'")
    assert store.exits.plan("sn-1", "manual", held=None, free=None) == "not_open"


@pytest.mark.parametrize(
    ("held", "free", "quantity", "whole"),
    [
        (None, None, "0.533386947", False),
        ("0.533386947", "0.533386947", "0.533386947", True),
        ("7", "7", "0.533386947", False),
        ("7", "0.2", "0.2", False),
        ("0.5333869470", "0.533386947", "0.533386947", True),
        ("0.3", "0.3", "0.3", True),
        ("0.3", "0.1234567899", "0.123456789", False),
    ],
)
def test_it_sells_the_least_of_what_is_left_and_what_is_free(
    store: Store, held: str | None, free: str | None, quantity: str, whole: bool
) -> None:
    buy(store, shares="0.533386947")
    new = plan(store, held=held, free=free)
    assert new.quantity == Decimal(quantity)
    assert new.is_whole_position is whole


# What the broker says


def test_a_filled_sell_closes_its_row_in_the_same_transaction(
    store: Store, clock: FakeClock
) -> None:
    buy(store)
    plan(store)
    clock.advance(60)
    applied = store.exits.apply_sold(
        SELL, quantity=Decimal("0.5"), price=Decimal("90.25"), final=True
    )
    assert applied is not None
    assert applied.outcome == "fill"
    assert (applied.closed, applied.remaining) == (True, Decimal(0))
    assert (applied.exit_price, applied.pnl) == (Decimal("90.25"), Decimal("-4.875"))
    assert (applied.shares, applied.entry_price) == (Decimal("0.5"), Decimal(100))
    assert applied.exit_reason == "manual"
    row = row_of(store, "sn-1")
    assert (row["status"], row["exitReason"]) == ("closed", "manual")
    assert (row["exitPrice"], row["pnl"]) == (90.25, -4.875)
    assert row["exitOrderId"] == "o-x1"
    assert row["exitAt"] == row["updatedAt"] != MOMENT_TEXT
    sell = exits_of(store)[SELL_ID]
    assert (sell["state"], sell["filledQty"], sell["filledAvgPrice"]) == (
        *("filled", "0.5", "90.25"),
    )
    assert sell["settledAt"] is not None


def test_executions_are_cumulative_and_count_once(store: Store) -> None:
    buy(store)
    plan(store)
    for _ in range(2):
        sold(store, "0.2", "91", final=False)
    assert exits_of(store)[SELL_ID]["filledQty"] == "0.2"
    sold(store, "0.1", "95", final=False)  # an older one, late
    assert exits_of(store)[SELL_ID]["filledQty"] == "0.2"
    assert row_of(store, "sn-1")["status"] == "open"
    sold(store, "0.5", "90")
    assert row_of(store, "sn-1")["pnl"] == -5.0


def test_what_is_left_after_a_canceled_sell_is_sold_by_the_next(store: Store) -> None:
    buy(store)
    plan(store)
    ended = store.exits.apply_ended(
        SELL, "canceled", quantity=Decimal("0.2"), price=Decimal(110)
    )
    assert ended is not None
    assert (ended.outcome, ended.closed, ended.remaining) == (
        *("canceled", False, Decimal("0.3")),
    )
    second = plan(store)
    assert (second.id, second.quantity) == ("sn-1-x2", Decimal("0.3"))
    sold(store, "0.3", "90", ref=ref_of(2))
    row = row_of(store, "sn-1")
    assert row["status"] == "closed"
    assert row["exitPrice"] == 98.0, "(0.2 x 110 + 0.3 x 90) / 0.5"
    assert row["pnl"] == -1.0
    assert row["exitOrderId"] == "o-x2"


def test_without_a_price_of_each_part_there_is_no_result(store: Store) -> None:
    buy(store)
    plan(store)
    store.exits.apply_ended(SELL, "canceled", quantity=Decimal("0.2"), price=None)
    plan(store)
    sold(store, "0.3", "90", ref=ref_of(2))
    row = row_of(store, "sn-1")
    assert (row["status"], row["exitPrice"], row["pnl"]) == ("closed", None, None)


@pytest.mark.parametrize("how", ["refused", "dropped"])
def test_a_sell_that_the_broker_does_not_have_is_over(store: Store, how: str) -> None:
    buy(store)
    plan(store)
    ref = OrderRef(mode="paper", order_id=None, client_order_id=SELL_ID)
    gone = store.exits.apply_gone(ref, how)  # type: ignore[arg-type]
    assert gone is not None
    assert (gone.outcome, gone.settled) == (how, True)
    assert plan(store).id == "sn-1-x2", "the next one has an id of its own"


def test_evidence_that_comes_later_wins(store: Store) -> None:
    buy(store)
    plan(store)
    ref = OrderRef(mode="paper", order_id=None, client_order_id=SELL_ID)
    store.exits.apply_gone(ref, "dropped")
    sold(store, "0.5", "90")
    assert row_of(store, "sn-1")["status"] == "closed"
    assert exits_of(store)[SELL_ID]["filledQty"] == "0.5"


def test_a_sell_that_the_broker_has_spoken_of_is_not_dropped(store: Store) -> None:
    buy(store)
    plan(store)
    store.exits.apply_working(SELL)
    gone = store.exits.apply_gone(SELL, "dropped")
    assert gone is not None
    assert gone.outcome == "unchanged"
    assert exits_of(store)[SELL_ID]["state"] == "working"


def test_more_sold_than_held_is_said_and_no_number_is_bent(store: Store) -> None:
    buy(store)
    plan(store)
    store.exits.apply_ended(SELL, "canceled", quantity=Decimal(0), price=None)
    plan(store)
    sold(store, "0.5", "90", ref=ref_of(2))
    late = store.exits.apply_sold(
        SELL, quantity=Decimal("0.2"), price=Decimal(80), final=True
    )
    assert late is not None
    assert (late.oversold, late.remaining) == (Decimal("0.2"), Decimal(0))
    row = row_of(store, "sn-1")
    assert (row["status"], row["exitPrice"], row["pnl"]) == ("closed", 90.0, -5.0)
    again = store.exits.apply_sold(
        SELL, quantity=Decimal("0.2"), price=Decimal(80), final=True
    )
    assert again is not None
    assert again.oversold is None, "it is said once"


def test_a_row_that_another_program_closed_stays_as_it_is(store: Store) -> None:
    buy(store)
    plan(store)
    store._db.execute(
        "UPDATE BotTrade SET status = 'closed', exitReason = 'theirs', exitPrice = 5"
    )
    applied = store.exits.apply_sold(
        SELL, quantity=Decimal("0.5"), price=Decimal(90), final=True
    )
    assert applied is not None
    assert (applied.closed, applied.row_status) == (False, "closed")
    assert row_of(store, "sn-1")["exitReason"] == "theirs"


@pytest.mark.parametrize(
    ("symbol", "shares", "quantity", "price", "whole", "status"),
    [
        ("AAPL", "0.5", "0.4999995", "100", False, "closed"),
        ("AAPL", "0.5", "0.49", "100", False, "open"),
        ("PENNY", "300", "299", "0.009", False, "closed"),
        ("BTC/USD", "0.1", "0.09975", "60000", True, "closed"),
        ("BTC/USD", "0.1", "0.09975", "60000", False, "open"),
        ("BTC/USD", "0.1", "0.09", "60000", True, "open"),
        ("AAPL", "0.5", "0.499", "100", True, "open"),
    ],
)
def test_dust_and_the_fee_of_a_coin_keep_no_row_open(  # noqa: PLR0917 - a table
    store: Store,
    symbol: str,
    shares: str,
    quantity: str,
    price: str,
    whole: bool,
    status: str,
) -> None:
    buy(store, symbol, shares, price)
    assert plan(store, held=quantity if whole else None).is_whole_position is whole
    sold(store, quantity, price)
    assert row_of(store, "sn-1")["status"] == status


def test_the_unsettled_are_known_after_a_restart(
    store: Store, clock: FakeClock
) -> None:
    buy(store)
    plan(store)
    clock.advance(90)
    (left,) = store.exits.unsettled()
    assert (left.id, left.row_id, left.symbol) == (SELL_ID, "sn-1", "AAPL")
    assert (left.state, left.reason, left.order_id) == ("planned", "manual", None)
    assert left.age_seconds == pytest.approx(90, abs=0.01)
    sold(store, "0.5", "90")
    assert store.exits.unsettled() == []


def test_events_of_other_orders_and_accounts_are_not_ours(store: Store) -> None:
    buy(store)
    plan(store)
    for ref in (
        SELL._replace(mode="live"),
        OrderRef(mode="paper", order_id="o-9", client_order_id="theirs"),
        OrderRef(mode="paper", order_id=None, client_order_id=None),
    ):
        assert store.exits.apply_working(ref) is None
    store.exits.apply_working(SELL)
    other = SELL._replace(order_id="o-other")
    assert store.exits.apply_working(other) is None, "another order by our id"


# What comes late, and what is told with it


def gone(store: Store, number: int, how: Literal["refused", "dropped"]) -> None:
    ref = ref_of(number)._replace(order_id=None)
    assert store.exits.apply_gone(ref, how) is not None


def test_a_sell_that_was_dropped_and_works_is_under_way_again(store: Store) -> None:
    buy(store)
    plan(store)
    gone(store, 1, "dropped")
    found = store.exits.apply_working(SELL)
    assert found is not None
    assert (found.outcome, found.settled) == ("working", False)
    assert [each.id for each in store.exits.unsettled()] == [SELL_ID]
    assert store.exits.plan("sn-1", "manual", held=None, free=None) == "closing"


def test_beside_the_next_one_it_is_named_to_be_canceled(store: Store) -> None:
    buy(store)
    plan(store)
    gone(store, 1, "refused")
    plan(store)
    found = store.exits.apply_working(SELL)
    assert found is not None
    assert (found.outcome, found.also_live) == ("found_late", "sn-1-x2")
    assert [each.id for each in store.exits.unsettled()] == ["sn-1-x2"]
    sold(store, "0.5", "90")
    row = row_of(store, "sn-1")
    assert (row["status"], row["exitOrderId"]) == ("closed", "o-x1")


def test_a_row_closed_beside_a_live_sell_names_it(store: Store) -> None:
    buy(store)
    plan(store)
    store.exits.apply_ended(SELL, "canceled", quantity=Decimal(0), price=None)
    plan(store)
    late = store.exits.apply_sold(
        SELL, quantity=Decimal("0.5"), price=Decimal(90), final=True
    )
    assert late is not None
    assert (late.closed, late.also_live) == (True, "sn-1-x2")


def test_a_price_that_comes_late_completes_a_closed_row(store: Store) -> None:
    buy(store)
    plan(store)
    store.exits.apply_ended(SELL, "canceled", quantity=Decimal("0.2"), price=None)
    plan(store)
    sold(store, "0.3", "90", ref=ref_of(2))
    store.exits.apply_ended(
        SELL, "canceled", quantity=Decimal("0.2"), price=Decimal(110)
    )
    row = row_of(store, "sn-1")
    assert (row["status"], row["exitPrice"], row["pnl"]) == ("closed", 98.0, -1.0)


def test_a_row_was_exited_when_it_sold_last(store: Store, clock: FakeClock) -> None:
    buy(store)
    plan(store)
    clock.advance(60)
    store.exits.apply_sold(
        SELL, quantity=Decimal("0.5"), price=Decimal(90), final=True, at=MOMENT
    )
    assert row_of(store, "sn-1")["exitAt"] == MOMENT_TEXT


def test_how_long_a_sell_took_is_kept_once(store: Store) -> None:
    buy(store)
    plan(store)
    store.exits.apply_working(SELL, times=Times(wire_ms=1.5))
    store.exits.apply_sold(
        SELL,
        quantity=Decimal("0.5"),
        price=Decimal(90),
        final=True,
        times=Times(wire_ms=9.0, fill_ms=42.0),
    )
    (found,) = store.exits.of("sn-1")
    assert (found.wire_ms, found.fill_ms) == (1.5, 42.0)


def test_each_execution_is_told_once(store: Store) -> None:
    buy(store)
    plan(store)
    executed = []
    for quantity in ("0.2", "0.2", "0.1", "0.5", "0.5"):
        applied = store.exits.apply_sold(
            SELL, quantity=Decimal(quantity), price=Decimal(90), final=False
        )
        assert applied is not None
        executed.append(applied.executed)
    assert executed == [Decimal(each) for each in ("0.2", "0", "0", "0.3", "0")]


@pytest.mark.parametrize("change", [{"side": "buy"}, {"symbol": "MSFT"}])
def test_what_speaks_of_another_order_is_not_applied(
    store: Store, change: dict[str, str]
) -> None:
    buy(store)
    plan(store)
    assert store.exits.apply_working(SELL._replace(**change)) is None  # type: ignore[arg-type]
    assert exits_of(store)[SELL_ID]["state"] == "planned"
    same = SELL._replace(side="sell", symbol="AAPL")
    assert store.exits.apply_working(same) is not None


def test_the_order_that_the_broker_was_asked_for_is_the_sells(store: Store) -> None:
    buy(store)
    plan(store)
    store.exits.apply_working(SELL)
    answer = SELL._replace(order_id="o-replaced", is_answer=True)
    assert store.exits.apply_working(answer) is not None
    assert exits_of(store)[SELL_ID]["alpacaOrderId"] == "o-replaced"


def test_the_whole_position_of_a_coin_is_known_after_a_restart(
    store: Store, clock: FakeClock
) -> None:
    buy(store, "BTC/USD", "0.1", "60000")
    assert plan(store, held="0.09975", free="0.09975").is_whole_position
    again = Store(store._db, clock=clock)
    sold(again, "0.09975", "60000")
    assert row_of(store, "sn-1")["status"] == "closed"


@pytest.mark.parametrize("kind", ["ignores", "takes back", "refuses"])
def test_what_another_program_forbids_to_close_is_not_half_written(
    store: Store, database: Path, kind: str
) -> None:
    buy(store, "DOOM")
    plan(store)
    trigger(database, kind, "UPDATE")
    store.begin()
    with pytest.raises(sqlite3.IntegrityError):
        sold(store, "0.5", "90")
    store.rollback()
    assert exits_of(store)[SELL_ID]["state"] == "planned", "and no second one leaves"
    drop_trigger(database)
    sold(store, "0.5", "90")
    assert row_of(store, "sn-1")["status"] == "closed"


def test_all_sells_of_a_row_are_read_in_the_order_of_their_decisions(
    store: Store,
) -> None:
    buy(store)
    assert store.exits.of("sn-1") == []
    plan(store)
    store.exits.apply_ended(SELL, "canceled", quantity=Decimal("0.2"), price=None)
    plan(store)
    first, second = store.exits.of("sn-1")
    assert (first.id, first.state, first.sold) == (
        *("sn-1-x1", "canceled", Decimal("0.2")),
    )
    assert first.settled_at == MOMENT_TEXT
    assert (second.id, second.quantity) == ("sn-1-x2", Decimal("0.3"))
    assert second.settled_at is None

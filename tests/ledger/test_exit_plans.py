"""Sells before they leave: what is written, resumed, and why the next one is for."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.ledger.exit_rows import NewExit
from snexec.ledger.rows import OrderRef
from snexec.ledger.store import Store
from tests.ledger.selling import (
    SELL,
    SELL_ID,
    buy,
    exits_of,
    held,
    plan,
    ref_of,
    sell,
)

if TYPE_CHECKING:
    from tests.fakes import FakeClock


def test_a_sell_says_which_price_decided_it_and_whose_that_was(store: Store) -> None:
    buy(store)
    new = store.exits.plan(
        "sn-1",
        "stop_loss",
        held=None,
        free=None,
        trigger_price=Decimal("180.020"),
        trigger_source="positions",
    )
    assert isinstance(new, NewExit)
    assert (new.reason, new.trigger_price, new.trigger_source) == (
        *("stop_loss", Decimal("180.02"), "positions"),
    )
    found = exits_of(store)[SELL_ID]
    assert (found["reason"], found["triggerPrice"], found["triggerSource"]) == (
        *("stop_loss", "180.02", "positions"),
    )
    (unsettled,) = store.exits.unsettled()
    assert unsettled.trigger_price == Decimal("180.02")
    assert unsettled.quantity == Decimal("0.5")


def test_a_first_sell_is_planned_by_one_question_and_one_answer(store: Store) -> None:
    buy(store)
    said: list[str] = []
    store._db.set_trace_callback(said.append)
    plan(store, "stop_loss")
    assert [each.split()[0] for each in said if each != "BEGIN "] == [
        "SELECT",
        "INSERT",
    ]


def test_a_stop_is_a_sell_of_its_row_like_any_other(store: Store) -> None:
    buy(store)
    new = store.exits.plan(
        "sn-1",
        "stop_loss",
        held=None,
        free=None,
        trigger_price=Decimal(95),
        trigger_source="stop",
        kind="stop",
    )
    assert isinstance(new, NewExit)
    assert (new.id, new.kind, new.trigger_price) == ("sn-1-s1", "stop", Decimal(95))
    assert store.exits.plan("sn-1", "manual", held=None, free=None) == "closing"
    store.exits.apply_ended(
        ref_of("sn-1-s1"), "expired", quantity=Decimal(0), price=None
    )
    assert plan(store).id == "sn-1-x1", "each kind has numbers of its own"


def test_why_a_stop_is_canceled_is_known_after_a_restart(
    store: Store, clock: FakeClock
) -> None:
    buy(store)
    store.exits.plan("sn-1", "stop_loss", held=None, free=None, kind="stop")
    assert store.exits.note_cancel("sn-1-s1", "manual")
    assert not store.exits.note_cancel("sn-1-s1", "max_hold"), "the first reason stays"
    again = Store(store._db, clock=clock)
    (left,) = again.exits.unsettled()
    assert (left.kind, left.reason, left.cancel_reason) == (
        *("stop", "stop_loss", "manual"),
    )
    stop = ref_of("sn-1-s1")
    again.exits.apply_ended(stop, "canceled", quantity=Decimal(0), price=None)
    assert not again.exits.note_cancel("sn-1-s1", "manual"), "it has ended"
    assert held(again).wanted == "manual", "a kill between the two forgets nothing"


def test_a_stop_that_sells_all_the_same_was_the_reason(store: Store) -> None:
    buy(store)
    store.exits.plan("sn-1", "stop_loss", held=None, free=None, kind="stop")
    store.exits.note_cancel("sn-1-s1", "manual")
    done = store.exits.apply_sold(
        ref_of("sn-1-s1"), quantity=Decimal("0.5"), price=Decimal(94), final=True
    )
    assert done is not None
    assert done.closed
    found = store._db.execute("SELECT exitReason FROM BotTrade").fetchone()
    assert found["exitReason"] == "stop_loss"


def test_a_planned_sell_is_resumed_with_the_same_id_and_quantity(
    store: Store, clock: FakeClock
) -> None:
    buy(store)
    first = plan(store, "market_close", held="0.5", free="0.5")
    again = Store(store._db, clock=clock)
    resumed = again.exits.resume(SELL_ID)
    assert resumed == first._replace(is_resumed=True)
    assert len(exits_of(store)) == 1


def test_only_what_may_not_have_left_is_resumed(store: Store) -> None:
    assert store.exits.resume(SELL_ID) == "not_found"
    buy(store)
    plan(store)
    store._db.execute("UPDATE BotTrade SET status = 'closed'")
    assert store.exits.resume(SELL_ID) == "not_open", "another program closed it"
    store._db.execute("UPDATE BotTrade SET status = 'open'")
    store.exits.apply_working(SELL)
    assert store.exits.resume(SELL_ID) == "closing"
    store.exits.apply_ended(SELL, "canceled", quantity=Decimal(0), price=None)
    assert store.exits.resume(SELL_ID) == "over"


def test_nothing_is_sold_before_the_buy_has_ended(store: Store) -> None:
    buy(store)
    store._db.execute("UPDATE BotTrade SET settledAt = NULL")
    assert store.exits.plan("sn-1", "manual", held=None, free=None) == "not_settled"
    ref = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")
    store.apply_ended(ref, "canceled", price=Decimal(100), quantity=Decimal("0.3"))
    assert plan(store).quantity == Decimal("0.3"), "what it bought until then"


def test_an_id_is_never_taken_twice_even_where_one_is_missing(store: Store) -> None:
    buy(store)
    sell(store, "0", None)
    sell(store, "0", None)
    store._db.execute("DELETE FROM BotExit WHERE id = 'sn-1-x1'")
    assert plan(store).id == "sn-1-x3"


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("canceled", "manual"),
        ("expired", "manual"),
        ("rejected", "manual"),
        ("refused", "manual"),
        ("dropped", None),
    ],
)
def test_what_a_sell_has_left_is_still_to_be_sold_unless_it_was_dropped(
    store: Store, how: str, wanted: str | None
) -> None:
    buy(store)
    plan(store)
    assert held(store).wanted is None, "it is under way"
    if how in {"refused", "dropped"}:
        ref = SELL._replace(order_id=None)
        store.exits.apply_gone(ref, how)  # type: ignore[arg-type]
    else:
        store.exits.apply_ended(SELL, how, quantity=Decimal(0), price=None)  # type: ignore[arg-type]
    assert held(store).wanted == wanted

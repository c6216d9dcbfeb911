"""One order, as replies and as events spell it."""

from decimal import Decimal
from typing import Any

import pytest

from snexec.exchange.order import Order

NOON = 1_767_614_400_000_000_000


def make(**changes: Any) -> Order:  # noqa: ANN401 - as the fields are
    values: dict[str, Any] = {
        "id": "o-1",
        "client_order_id": "sn-1",
        "symbol": "AAPL",
        "side": "buy",
        "notional": Decimal("100.00"),
        "qty": None,
        "time_in_force": "day",
        "extended_hours": False,
        "submitted_ns": NOON,
        "updated_ns": NOON + 10**9,
        "expires_at": "2026-01-05T20:00:00Z",
        **changes,
    }
    return Order(**values)


@pytest.mark.parametrize(
    ("status", "terminal"),
    [
        ("pending_new", False),
        ("partially_filled", False),
        ("pending_cancel", False),
        ("filled", True),
        ("canceled", True),
        ("replaced", True),
    ],
)
def test_it_is_over_by_its_status(status: str, *, terminal: bool) -> None:
    assert make(status=status).terminal is terminal


@pytest.mark.parametrize(
    ("qty", "cost", "price"),
    [("0", "0", None), ("3", "10", "3.333333"), ("3", "1", "0.3333333333")],
)
def test_the_mean_price_has_six_places_or_ten_below_a_dollar(
    qty: str, cost: str, price: str | None
) -> None:
    order = make(filled_qty=Decimal(qty), filled_cost=Decimal(cost))
    assert order.filled_avg_price == (None if price is None else Decimal(price))
    assert order.to_reply()["filled_avg_price"] == price


def test_a_reply_spells_numbers_as_texts_and_times_as_far_as_they_are_known() -> None:
    reply = make().to_reply()
    assert reply["notional"] == "100"
    assert (reply["qty"], reply["filled_qty"], reply["stop_price"]) == (None, "0", None)
    assert reply["submitted_at"] == reply["created_at"] == "2026-01-05T12:00:00Z"
    assert reply["updated_at"] == "2026-01-05T12:00:01Z"
    assert {reply[f"{what}_at"] for what in ("filled", "canceled", "expired")} == {None}
    assert "cancel_requested_at" not in reply


def test_an_event_says_when_a_cancel_was_asked_for() -> None:
    event = make(cancel_requested_ns=NOON).to_event()
    assert event["cancel_requested_at"] == "2026-01-05T12:00:00Z"
    assert "source" not in event


@pytest.mark.parametrize(
    ("side", "stop_price", "kind", "intent"),
    [
        ("buy", None, "market", "buy_to_open"),
        ("sell", None, "market", "sell_to_close"),
        ("sell", Decimal("95.50"), "stop", "sell_to_close"),
    ],
)
def test_it_says_what_it_is_and_what_it_is_for(
    side: str, stop_price: Decimal | None, kind: str, intent: str
) -> None:
    reply = make(side=side, stop_price=stop_price).to_reply()
    assert (reply["type"], reply["order_type"], reply["position_intent"]) == (
        *(kind, kind),
        intent,
    )
    assert reply["stop_price"] == (None if stop_price is None else "95.5")


def test_the_order_in_its_place_is_for_what_is_left() -> None:
    order = make(
        notional=None,
        qty=Decimal(5),
        goal_qty=Decimal(5),
        filled_qty=Decimal(2),
        filled_cost=Decimal(200),
        status="replaced",
    )
    new = order.successor(NOON + 5)
    assert new.qty == 3
    assert new.filled_qty == new.filled_cost == 0
    assert (new.replaces, new.status, new.submitted_ns) == (
        "o-1",
        "pending_new",
        NOON + 5,
    )
    assert len({new.id, new.client_order_id, "o-1", "sn-1"}) == 4


def test_one_that_bought_nothing_is_followed_by_the_same_in_dollars() -> None:
    new = make(status="replaced").successor(NOON)
    assert (new.notional, new.qty) == (Decimal("100.00"), None)

"""What happened on an account: all of it once, newest first, and no nonsense."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from snexec.broker.activities import Activity, ActivityPages
from snexec.broker.budget import Purpose
from snexec.errors import UnknownOutcomeError
from snexec.exchange.activities import Activities, parse_activity_query
from tests.broker.asking import BASE
from tests.fakes import MOMENT

if TYPE_CHECKING:
    import respx

    from snexec.broker.client import AlpacaClient

SINCE = MOMENT - timedelta(hours=3)
FILL: dict[str, Any] = {
    "activity_type": "FILL",
    "cum_qty": "0.057436865",
    "id": "20260105101018097::fc1f73e1-a5c2-4d43-81ec-fb503c42ca5c",
    "leaves_qty": "0",
    "order_id": "f1a08ee3",
    "order_status": "filled",
    "price": "86.878",
    "qty": "0.057436865",
    "side": "sell",
    "symbol": "KO",
    "transaction_time": "2026-01-05T14:10:18.097465123Z",
    "type": "fill",
}
SPLIT: dict[str, Any] = {
    "activity_type": "SPLIT",
    "date": "2026-01-05",
    "id": "20260105000000000::1",
    "net_amount": "0",
    "qty": "-9",
    "status": "executed",
    "symbol": "KO",
}


def page(*entries: object) -> bytes:
    return json.dumps(entries).encode()


def taken(*entries: object) -> list[Activity]:
    return ActivityPages(SINCE).take(page(*entries))


def query_of(pages: ActivityPages) -> dict[str, str]:
    path = urlsplit(pages.path)
    assert path.path == "/v2/account/activities"
    return dict(parse_qsl(path.query))


def fills(count: int) -> list[dict[str, Any]]:
    """Make executions, newest first."""
    return [
        {**FILL, "id": f"id-{n}", "transaction_time": f"{MOMENT - n * timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"}
        for n in range(count)
    ]  # fmt: skip


def test_a_page_is_asked_for_as_alpaca_says() -> None:
    assert query_of(ActivityPages(SINCE)) == {
        "activity_types": "FILL,SPLIT,MA,NC,REORG,SPIN",
        "after": "2026-01-04T11:30:00.123000Z",
        "direction": "desc",
        "page_size": "100",
    }


def test_an_execution_and_a_split_are_read_as_alpaca_writes_them() -> None:
    assert taken(FILL, SPLIT) == [
        Activity(
            id=FILL["id"],
            kind="FILL",
            symbol="KO",
            at=datetime(2026, 1, 5, 14, 10, 18, 97465, tzinfo=UTC),
            quantity=Decimal("0.057436865"),
            price=Decimal("86.878"),
            side="sell",
            order_id="f1a08ee3",
        ),
        Activity(
            id=SPLIT["id"],
            kind="SPLIT",
            symbol="KO",
            at=datetime(2026, 1, 5, tzinfo=UTC),
            quantity=Decimal(-9),
        ),
    ]


@pytest.mark.parametrize("told", ["BTC/USD", "BTCUSD"])
def test_a_pair_is_known_by_either_spelling(told: str) -> None:
    [fill] = taken({**FILL, "symbol": told})
    assert fill.is_about("BTC/USD")
    assert not fill.is_about("KO")


def test_a_short_pair_is_known_too() -> None:
    [fill] = taken({**FILL, "symbol": "OPUSD"})
    assert fill.is_about("OP/USD")


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": "x" * 257},
        {"symbol": None},
        {"symbol": "AAPL240119C00100000"},
        {"activity_type": "DIV"},
        {"activity_type": ["FILL"]},
        {"transaction_time": "yesterday"},
        {"transaction_time": None},
        {"side": "both"},
        {"transaction_time": "2026-01-05T11:30:00Z"},
    ],
    ids=str,
)
def test_what_is_of_no_use_is_passed_over(changes: dict[str, object]) -> None:
    assert len(taken({**FILL, **changes}, SPLIT)) == 1


def test_a_split_that_was_canceled_is_none() -> None:
    assert taken({**SPLIT, "status": "canceled"}) == []


@pytest.mark.parametrize("name", ["qty", "price"])
@pytest.mark.parametrize("value", [None, "-1", "many", "1e999", 0])
def test_a_number_that_cannot_be_read_is_none(name: str, value: object) -> None:
    [fill] = taken({**FILL, name: value})
    assert (fill.quantity if name == "qty" else fill.price) is None


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250, 300])
def test_every_activity_is_found_once(count: int) -> None:
    listed, pages = fills(count), ActivityPages(SINCE)
    found: list[str] = []
    while not pages.is_over:
        token = query_of(pages).get("page_token")
        at = 0 if token is None else int(token.removeprefix("id-")) + 1
        found += [each.id for each in pages.take(page(*listed[at : at + 100]))]
    assert found == [each["id"] for each in listed]
    assert not pages.has_gap


def test_a_list_that_does_not_go_on_is_no_answer() -> None:
    pages = ActivityPages(SINCE)
    pages.take(page(*fills(100)))
    with pytest.raises(UnknownOutcomeError, match="does not go on"):
        pages.take(page(*fills(100)))


def test_an_account_of_endless_trades_ends_the_walk_with_a_gap() -> None:
    pages, number = ActivityPages(SINCE), 0
    while not pages.is_over:
        number += 1
        pages.take(page(*[{**FILL, "id": f"{number}-{n}"} for n in range(100)]))
    assert pages.has_gap
    assert number == 50


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[1]", b"<html>"])
def test_what_is_no_list_is_no_answer(content: bytes) -> None:
    with pytest.raises(UnknownOutcomeError, match="no list of activities"):
        ActivityPages(SINCE).take(content)


def test_the_simulated_exchange_understands_the_question() -> None:
    activities, at_ns = Activities(), int(MOMENT.timestamp() * 1e9)
    for n in range(150):
        activities.corporate_action("SPLIT", at_ns, "KO", str(n))
    pages, found = ActivityPages(SINCE), []
    while not pages.is_over:
        listed = activities.list(parse_activity_query(query_of(pages)))
        found += pages.take(page(*listed))
    assert [each.quantity for each in found] == [Decimal(n) for n in range(150)][::-1]


async def test_a_client_asks_for_a_page_and_for_whose_a_sell_was(
    respx_mock: respx.MockRouter, client: AlpacaClient
) -> None:
    respx_mock.get(f"{BASE}/v2/account/activities").respond(json=[FILL])
    respx_mock.get(f"{BASE}/v2/orders/o-9").respond(
        json={"id": "o-9", "client_order_id": "by-hand", "symbol": "KO", "side": "sell", "status": "filled"}
    )  # fmt: skip
    for _ in range(3):
        assert client.budget.try_take(Purpose.START)
    pages = ActivityPages(SINCE)
    assert len(pages.take(await client.page_of_activities(pages.path))) == 1
    order = await client.sell_order("o-9", "KO")
    assert order.client_order_id == "by-hand"
    with pytest.raises(UnknownOutcomeError, match="another order"):
        await client.sell_order("o-9", "GE")

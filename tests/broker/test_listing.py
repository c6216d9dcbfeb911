"""The account's orders, page by page: all of them once, whatever the pages are like."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.broker.listing import ListedOrder, OrderPages, read_listed
from snexec.errors import UnknownOutcomeError
from tests.fakes import MOMENT, listed_order, page_of

SINCE = MOMENT - timedelta(days=1)


def ours(name: str) -> bool:
    return name.startswith("sn-")


def walk(listed: list[dict[str, object]], pages: OrderPages) -> list[str]:
    """Ask a broker that has these orders until it is over, a hundred times at most."""
    found: list[str] = []
    for _ in range(100):
        found += pages.take(page_of(listed, pages.path))
        if pages.is_over:
            return found
    raise AssertionError("it goes on and on")


def orders(count: int, *, apart: timedelta) -> list[dict[str, object]]:
    return [listed_order(f"sn-{n}", at=MOMENT + n * apart) for n in range(count)]


def test_a_page_is_asked_for_as_alpaca_says() -> None:
    path = urlsplit(OrderPages(SINCE, ours).path)
    assert path.path == "/v2/orders"
    assert dict(parse_qsl(path.query)) == {
        "status": "all",
        "limit": "500",
        "direction": "asc",
        "after": "2026-01-04T14:30:00.123000Z",
    }


def test_an_order_is_read_as_it_is_listed() -> None:
    listed = listed_order(
        "sn-1", "KO", submitted_at="2026-10-08T15:10:18.094153596Z", notional="5"
    )
    pages = OrderPages(SINCE, ours)
    [order] = pages.take(json.dumps([listed]).encode()).values()
    assert read_listed(order) == ListedOrder(
        id="o-sn-1",
        client_order_id="sn-1",
        symbol="KO",
        status="filled",
        notional=Decimal(5),
        filled_qty=Decimal(2),
        placed_at=datetime(2026, 10, 8, 15, 10, 18, 94153, tzinfo=UTC),
        price=Decimal(50),
    )
    assert pages.is_over


@pytest.mark.parametrize("count", [0, 1, 499, 500, 501, 1000, 1001, 1700])
@pytest.mark.parametrize("apart", [timedelta(seconds=1), timedelta(microseconds=1)])
def test_every_order_is_found_once(count: int, apart: timedelta) -> None:
    found = walk(orders(count, apart=apart), OrderPages(SINCE, ours))
    assert found == [f"sn-{number}" for number in range(count)]


@given(st.lists(st.integers(0, 40), max_size=1200).map(sorted))
def test_equal_times_at_the_end_of_a_page_are_not_passed_over(times: list[int]) -> None:
    listed = [
        listed_order(f"sn-{n}", at=MOMENT + timedelta(microseconds=at))
        for n, at in enumerate(times)
    ]
    pages = OrderPages(SINCE, ours)
    names = walk(listed, pages)
    assert pages.has_gap or sorted(names) == sorted(
        str(each["client_order_id"]) for each in listed
    )
    assert len(names) == len(set(names))


def test_more_orders_of_one_time_than_a_page_holds_are_said_and_do_not_hold_it() -> (
    None
):
    listed = orders(900, apart=timedelta(0))
    listed.append(listed_order("sn-last", at=MOMENT + timedelta(hours=1)))
    pages = OrderPages(SINCE, ours)
    found = walk(listed, pages)
    assert pages.has_gap
    assert found[-1] == "sn-last"
    assert len(found) == 501


def test_a_list_that_does_not_go_on_is_no_answer() -> None:
    pages = OrderPages(SINCE, ours)
    same = json.dumps(orders(500, apart=timedelta(seconds=1))).encode()
    assert len(pages.take(same)) == 500
    assert pages.take(same) == {}
    with pytest.raises(UnknownOutcomeError, match="does not go on"):
        pages.take(same)


def test_a_list_in_another_order_is_no_answer() -> None:
    listed = orders(500, apart=timedelta(seconds=1))[::-1]
    with pytest.raises(UnknownOutcomeError, match="not in their order"):
        OrderPages(SINCE, ours).take(json.dumps(listed).encode())


def test_shorter_pages_are_asked_for_down_to_fifty() -> None:
    pages = OrderPages(SINCE, ours)
    limits = []
    while pages.ask_for_less():
        limits.append(dict(parse_qsl(urlsplit(pages.path).query))["limit"])
    assert limits == ["250", "125", "62", "50"]
    assert len(walk(orders(120, apart=timedelta(seconds=1)), pages)) == 120


@pytest.mark.parametrize(
    "changes",
    [
        {"client_order_id": "my-own-1"},
        {"client_order_id": None},
        {"client_order_id": 5},
        {"side": "sell"},
        {"side": None},
    ],
    ids=str,
)
def test_what_is_no_buy_of_ours_is_passed_over(changes: dict[str, object]) -> None:
    pages = OrderPages(SINCE, ours)
    assert walk([listed_order("sn-1", **changes)], pages) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": "x" * 257},
        {"symbol": ""},
        {"symbol": "A" * 65},
        {"status": None},
        {"submitted_at": "yesterday"},
        {"submitted_at": "2026-01-05T14:30:00"},
        {"submitted_at": 5},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_one_that_lacks_what_a_row_needs_is_listed_and_cannot_be_read(
    changes: dict[str, object],
) -> None:
    pages = OrderPages(SINCE, ours)
    page: list[Any] = [{**listed_order("sn-1"), **changes}, listed_order("sn-2")]
    bad, good = pages.take(json.dumps(page).encode()).values()
    assert read_listed(bad) is None
    assert read_listed(good) is not None


def test_where_it_was_not_submitted_yet_its_creation_counts() -> None:
    listed = listed_order("sn-1", submitted_at=None, created_at="2026-01-05T10:00:00-05:00")  # fmt: skip
    order = read_listed(listed)
    assert order is not None
    assert order.placed_at == datetime(2026, 1, 5, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'[{}, "x"]', b"<html>", b"null", b"[" * 100_000]
)
def test_what_is_no_list_is_no_answer(content: bytes) -> None:
    with pytest.raises(UnknownOutcomeError, match="no list of orders"):
        OrderPages(SINCE, ours).take(content)


@pytest.mark.parametrize(
    ("status", "is_final"),
    [
        ("filled", True),
        ("canceled", True),
        ("expired", True),
        ("rejected", True),
        ("replaced", False),
        ("new", False),
        ("done_for_day", False),
        ("never heard of", False),
    ],
)
def test_an_order_is_final_where_nothing_works_in_its_place(
    status: str, is_final: bool
) -> None:
    order = read_listed(listed_order("sn-1", status=status))
    assert order is not None
    assert order.is_final == is_final


def test_sells_are_looked_for_by_ids_of_their_own() -> None:
    def sells(name: str) -> bool:
        return name.endswith("-x1")

    listed = [
        listed_order("sn-1"),
        listed_order("sn-1-x1", side="sell"),
        listed_order("sn-2-x1", side="buy"),
        listed_order("theirs-x2", side="sell"),
    ]
    content = json.dumps(listed).encode()

    def buys(name: str) -> bool:
        return name == "sn-1"

    assert list(OrderPages(SINCE, buys).take(content)) == ["sn-1"]
    both = OrderPages(SINCE, buys, sells).take(content)
    assert list(both) == ["sn-1", "sn-1-x1"]


def test_a_sell_is_read_with_what_it_has_sold() -> None:
    listed = listed_order(
        "sn-1-s1",
        side="sell",
        notional=None,
        qty="3",
        stop_price="95.5",
        filled_at="2026-10-08T15:10:19Z",
    )
    order = read_listed(listed)
    assert order is not None
    assert (order.quantity, order.filled_qty) == (Decimal(3), Decimal(2))
    assert (order.price, order.stop_price) == (Decimal(50), Decimal("95.5"))
    assert order.filled_at == datetime(2026, 10, 8, 15, 10, 19, tzinfo=UTC)

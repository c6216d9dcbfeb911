"""The book by itself, with a clock of its own."""

import random
from decimal import Decimal

import pytest

from snexec.exchange.book import Book
from snexec.exchange.errors import ApiError
from snexec.exchange.order import Order
from snexec.exchange.prices import Prices
from snexec.exchange.ratelimit import RateWindow
from snexec.exchange.spelling import EventIds, number, parse_timestamp, timestamp
from snexec.exchange.validation import parse_order

NOON = 1_767_614_400_000_000_000


class Clock:
    """A wall clock that is set by hand."""

    def __init__(self) -> None:
        self.ns = NOON

    def __call__(self) -> int:
        return self.ns


def chance(seed: int = 1) -> random.Random:
    return random.Random(seed)  # noqa: S311


def new_book(kept: int = 100, clock: Clock | None = None) -> Book:
    rng = chance()
    return Book(
        prices=Prices(rng),
        rng=rng,
        now_ns=clock or Clock(),
        terminal_orders_kept=kept,
    )


def submit(book: Book, **fields: object) -> Order:
    body: dict[str, object] = {
        "symbol": "KO",
        "notional": "100.00",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
    }
    return book.submit(parse_order(body | fields))


def test_the_oldest_terminal_orders_are_dropped_and_open_ones_kept() -> None:
    book = new_book(kept=3)
    working = submit(book, client_order_id="working")
    for number_ in range(5):
        order = submit(book, symbol=f"S{number_}", client_order_id=f"id{number_}")
        book.execute(order)
    names = [order.client_order_id for order in book.orders()]
    assert names == ["working", "id2", "id3", "id4"]
    with pytest.raises(ApiError):
        book.find_client("id0")
    assert book.find(working.id) is working


def test_cash_goes_to_positions_and_comes_back() -> None:
    book = new_book()
    order = submit(book)
    assert book.buying_power == 400_000 - 100
    book.execute(order, Decimal("0.5"))
    book.execute(order)
    position = book.positions.get("KO")
    assert position is not None
    assert position.qty == order.filled_qty
    assert book.cash == 100_000 - order.filled_cost
    assert book.positions.cost == order.filled_cost

    sale = submit(book, notional=None, qty=str(position.qty), side="sell")
    assert book.held("KO") == position.qty
    book.execute(sale)
    assert book.positions.get("KO") is None
    assert book.positions.cost == 0
    assert book.buying_power == 4 * book.cash


def test_an_order_that_replaces_another_claims_no_more_dollars_than_it() -> None:
    book = new_book()
    order = submit(book)
    power = book.buying_power
    successor = book.replace(order)
    assert book.buying_power == power
    assert book.open_orders() == [successor]
    book.end(successor, "canceled")
    assert book.buying_power == 400_000


@pytest.mark.parametrize(
    ("fields", "expires_at"),
    [
        ({}, "2026-01-05T20:00:00Z"),
        ({"symbol": "BTC/USD", "time_in_force": "gtc"}, "2026-04-04T20:00:00Z"),
        ({"symbol": "BTC/USD", "time_in_force": "ioc"}, "2026-01-05T20:00:00Z"),
    ],
)
def test_a_day_order_expires_at_the_close_and_a_gtc_order_after_90_days(
    fields: dict[str, object], expires_at: str
) -> None:
    assert submit(new_book(), **fields).expires_at == expires_at


@pytest.mark.parametrize("seed", range(50))
def test_money_spent_is_under_the_notional_whatever_the_parts(seed: int) -> None:
    rng = chance(seed)
    book = Book(prices=Prices(rng), rng=rng, now_ns=Clock())
    order = submit(book, notional="50.00")
    for _ in range(rng.randint(0, 20)):
        book.execute(order, Decimal("0.04"))
    book.execute(order)
    assert order.status == "filled"
    assert Decimal("49.85") < order.filled_cost < 50


def test_a_hidden_order_appears_in_time() -> None:
    clock = Clock()
    book = new_book(clock=clock)
    fields: dict[str, object] = {
        "symbol": "KO",
        "notional": "5",
        "side": "buy",
        "type": "market",
        "time_in_force": "day",
    }
    order = book.submit(parse_order(fields), hidden_ns=1000)
    with pytest.raises(ApiError):
        book.find(order.id)
    clock.ns += 1000
    assert book.find(order.id) is order


def test_the_rate_window_opens_anew_when_its_reset_comes() -> None:
    clock = Clock()
    window = RateWindow(2, clock)
    assert [window.take() for _ in range(3)] == [True, True, False]
    reset = int(window.headers()["X-RateLimit-Reset"])
    clock.ns = reset * 1_000_000_000 - 1
    assert not window.take()
    clock.ns = reset * 1_000_000_000
    assert window.take()


def test_event_ids_rise_within_a_millisecond_and_when_the_clock_goes_back() -> None:
    clock = Clock()
    ids = EventIds(clock)
    given = [ids.next() for _ in range(100)]
    clock.ns -= 10**12
    given.append(ids.next())
    assert given == sorted(set(given))
    assert all(len(one) == 26 for one in given)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("5.00", "5"),
        ("100", "100"),
        ("0E-9", "0"),
        ("-0.000", "0"),
        ("1E+3", "1000"),
        ("0.057436865", "0.057436865"),
    ],
)
def test_numbers_are_spelled_without_exponent_or_trailing_zeros(
    value: str, text: str
) -> None:
    assert number(Decimal(value)) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (NOON, "2026-01-05T12:00:00Z"),
        (NOON + 95_216_400, "2026-01-05T12:00:00.0952164Z"),
        (NOON + 1, "2026-01-05T12:00:00.000000001Z"),
    ],
)
def test_times_keep_their_nanoseconds_both_ways(ns: int, text: str) -> None:
    assert timestamp(ns) == text
    assert parse_timestamp(text) == ns
    assert parse_timestamp(text.replace("T12", "T07").replace("Z", "-05:00")) == ns

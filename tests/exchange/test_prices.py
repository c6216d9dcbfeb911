"""The simulated market: a small walk around the last quote."""

import random
from decimal import Decimal

import pytest

from snexec.exchange.prices import Prices


@pytest.fixture
def prices() -> Prices:
    return Prices(random.Random(1))  # noqa: S311


def test_a_symbol_costs_what_it_was_quoted_at(prices: Prices) -> None:
    prices.quote("AAPL", Decimal("187.2"))
    assert prices.last("AAPL") == prices.opening("AAPL") == Decimal("187.2")


def test_a_symbol_is_one_by_any_spelling(prices: Prices) -> None:
    prices.quote("BTCUSD", Decimal(64000))
    assert prices.last("BTC/USD") == 64000


@pytest.mark.parametrize("price", ["0", "-1", "NaN", "Infinity"])
def test_what_is_no_price_is_refused(prices: Prices, price: str) -> None:
    with pytest.raises(ValueError, match="a price is a positive number"):
        prices.quote("AAPL", Decimal(price))


def test_an_unknown_symbol_always_has_the_same_invented_price(prices: Prices) -> None:
    other = Prices(random.Random(2))  # noqa: S311
    assert prices.last("ZZZZ") == other.last("ZZZZ")
    assert 10 <= prices.last("ZZZZ") < 500
    assert prices.last("ZZZZ") != prices.last("ZZZY")


def test_each_execution_moves_it_a_little_and_never_far_from_the_quote(
    prices: Prices,
) -> None:
    prices.quote("AAPL", Decimal(100))
    last, seen = Decimal(100), set[Decimal]()
    for _ in range(20_000):
        now = prices.execute("AAPL")
        assert abs(now / last - 1) <= Decimal("0.00031")
        last = now
        seen.add(now)
    assert 98 <= min(seen) < 99
    assert 100 < max(seen) <= 102
    assert prices.last("AAPL") == last


def test_an_execution_near_another_price_steps_from_there(prices: Prices) -> None:
    prices.quote("AAPL", Decimal(100))
    assert abs(prices.execute("AAPL", near=Decimal(101)) - 101) < Decimal("0.1")


def test_followers_hear_each_print(prices: Prices) -> None:
    heard: list[tuple[str, Decimal]] = []
    prices.follow(lambda symbol, price: heard.append((symbol, price)))
    prices.quote("AAPL", Decimal(100))
    price = prices.execute("AAPL")
    assert heard == [("AAPL", Decimal(100)), ("AAPL", price)]


def test_a_split_divides_it(prices: Prices) -> None:
    prices.quote("AAPL", Decimal(100))
    prices.split("AAPL", Decimal(3))
    assert prices.last("AAPL") == Decimal("33.333")


def test_bid_and_ask_are_a_little_apart(prices: Prices) -> None:
    assert prices.bid(Decimal(100)) == Decimal("99.990")
    assert prices.ask(Decimal(100)) == Decimal("100.010")
    assert prices.apart(Decimal(100), -5.5) == Decimal("94.500")


def test_a_price_below_a_dollar_has_seven_digits(prices: Prices) -> None:
    assert prices.ask(Decimal("0.0000123456789")) == Decimal("0.00001234691")

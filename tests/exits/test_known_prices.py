"""What is known of a price, and how little is kept where all is plain (SPEC 12.4, 12.11)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from snexec.exits.known_prices import KnownPrices
from snexec.exits.prices import Session
from tests.exits.hands import OPENED, Symbol

KEPT = ("_today", "_second")  # for what nearly no row has


def made_for(symbol: Symbol) -> list[str]:
    return [name for name in KEPT if getattr(symbol.prices, name) is not None]


def known_bid(symbol: Symbol) -> Decimal | None:
    return symbol.prices.bid(symbol.seconds, symbol.settings)


def test_nothing_is_known_at_first() -> None:
    prices = KnownPrices(Decimal(7))
    assert (prices.last, prices.measure, prices.source) == (None, None, None)
    assert (prices.doubted, prices.is_halted, prices.is_undated) == (None, False, False)
    assert prices.highs.highest == 7


@pytest.mark.parametrize("price", ["0.0001", "180.02", "189.5801", "98765.4321"])
def test_prices_and_bids_are_given_back_digit_by_digit(price: str) -> None:
    symbol = Symbol()
    symbol.hear(price)
    symbol.bid(price)
    assert symbol.prices.last == symbol.prices.measure == Decimal(price)
    assert known_bid(symbol) == Decimal(price)


@pytest.mark.parametrize(("age", "counts"), [(15.0, True), (15.1, False)])
def test_a_bid_counts_until_it_is_too_old(age: float, *, counts: bool) -> None:
    symbol = Symbol()
    symbol.bid(100, age=age)
    assert (known_bid(symbol) is not None) is counts


def test_where_nobody_bids_any_more_there_is_no_bid() -> None:
    symbol = Symbol()
    symbol.bid(100)
    symbol.bid(0)
    assert known_bid(symbol) is None


def test_where_all_is_plain_nothing_is_kept_of_the_session_or_of_others() -> None:
    symbol = Symbol()
    symbol.hear(100)
    symbol.bid(100)
    symbol.hear(101)
    assert made_for(symbol) == []


def test_a_halt_is_kept_while_it_lasts() -> None:
    symbol = Symbol()
    symbol.hear(100)
    symbol.prices.hear_status(is_halted=True, at=symbol.now.wall)
    assert made_for(symbol) == ["_today"]
    symbol.prices.hear_status(is_halted=False, at=symbol.now.wall)
    assert made_for(symbol) == []


def test_the_next_day_positions_have_to_move_again() -> None:
    symbol = Symbol()
    symbol.hear(100)
    symbol.seconds += 24 * 3600
    symbol.session = Session(is_open=True, day=2, opened_at=OPENED + 24 * 3600)
    assert symbol.hear(100, "positions") == "unmoved"
    assert made_for(symbol) == ["_today"]
    assert symbol.hear(101, "positions") is None
    assert made_for(symbol) == []


def test_a_halt_outlasts_its_day_and_then_any_print_ends_it() -> None:
    symbol = Symbol()
    symbol.hear(100)
    symbol.prices.hear_status(is_halted=True, at=symbol.now.wall)
    assert symbol.hear(100) == "halted"
    symbol.seconds += 24 * 3600
    symbol.session = Session(is_open=True, day=2, opened_at=OPENED + 24 * 3600)
    assert symbol.hear(100) is None
    assert made_for(symbol) == []


def test_a_jump_is_news_once_until_a_price_counts() -> None:
    symbol = Symbol()
    symbol.hear(100)
    assert symbol.hear(200) == "jump"
    assert [symbol.prices.is_news(), symbol.prices.is_news()] == [True, False]
    symbol.hear(100)
    assert symbol.hear(200) == "jump"
    assert symbol.prices.is_news()

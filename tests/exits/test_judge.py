"""Which rule sells, by what confirms it, and how it is explained (SPEC 12.3, 12.8)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.exits.judge import explain, first_trigger, is_reached, still_holds
from snexec.exits.position import Position
from snexec.exits.rules import RULES
from tests.exits.hands import Symbol, at, make_exits, make_position

prices = st.lists(st.integers(8000, 12_000), min_size=1, max_size=12)


def reason(symbol: Symbol, position: Position) -> str | None:
    found = first_trigger(position, symbol.prices, at(symbol.seconds), symbol.settings)
    return None if found is None else found.reason


@given(cents=prices, ticks=st.integers(1, 4))
def test_a_stop_sells_exactly_when_so_many_prices_in_a_row_say_so(
    cents: list[int], ticks: int
) -> None:
    symbol = Symbol(hard_stop_loss_pct=5, confirm_ticks=ticks, max_price_jump_pct=90)
    for each in cents:
        assert symbol.hear(f"{Decimal(each) / 100}") is None
    last = cents[-ticks:]
    expected = len(last) == ticks and all(each <= 9500 for each in last)
    assert (reason(symbol, make_position()) == "stop_loss") is expected


@given(cents=prices, ticks=st.integers(1, 4))
def test_a_target_sells_exactly_when_so_many_prices_in_a_row_say_so(
    cents: list[int], ticks: int
) -> None:
    symbol = Symbol(profit_target_pct=5, confirm_ticks=ticks, max_price_jump_pct=90)
    for each in cents:
        symbol.hear(f"{Decimal(each) / 100}")
    last = cents[-ticks:]
    expected = len(last) == ticks and all(each >= 10_500 for each in last)
    assert (reason(symbol, make_position()) == "profit_target") is expected


def test_what_is_said_of_it_later_is_of_the_moment_in_which_it_was_true() -> None:
    symbol, position = (
        Symbol(trailing_stop_pct=5),
        make_position(high_price=Decimal(120)),
    )
    symbol.hear(100)
    symbol.hear(101)
    found = first_trigger(position, symbol.prices, at(symbol.seconds), symbol.settings)
    position.high_price, position.entry_price = Decimal(999), Decimal(7)
    symbol.hear(102, "positions")
    assert found is not None
    assert found.text == (
        "101.00 is at or below 114.00 (highest 120.00, entry 100.00, +1.0 %), 2 prints"
    )


def test_a_rule_that_is_true_and_not_confirmed_hides_no_later_one() -> None:
    symbol = Symbol(hard_stop_loss_pct=5, max_hold_duration_sec=1)
    symbol.hear(94)
    assert reason(symbol, make_position()) == "max_hold"


@pytest.mark.parametrize(
    ("high", "shown"),
    [(None, ("starts once 110.00 was seen", "")), (120, ("114.00", "+14.0 % from"))],
)
def test_a_trailing_stop_says_whether_it_has_started(
    high: int | None, shown: tuple[str, str]
) -> None:
    symbol = Symbol(trailing_stop_pct=5, trailing_start_pct=10)
    symbol.hear(100)
    position = make_position(high_price=None if high is None else Decimal(high))
    told = explain(position, symbol.prices, at(0), symbol.settings)[1]
    assert told.threshold == shown[0]
    assert told.distance.startswith(shown[1])


def test_without_a_price_or_an_entry_that_is_said() -> None:
    settings, symbol = make_exits(hard_stop_loss_pct=5), Symbol()
    told = explain(make_position(), symbol.prices, at(0), settings)[0]
    assert told[2:] == ("95.00", "")
    told = explain(make_position(entry_price=None), symbol.prices, at(0), settings)[0]
    assert told[2:] == ("the entry price is not known", "")


def test_a_stop_at_the_broker_is_named() -> None:
    settings, symbol = make_exits(hard_stop_loss_pct=5), Symbol()
    position = make_position(stop_at_broker=True)
    told = explain(position, symbol.prices, at(0), settings)[0]
    assert told.threshold == "a stop at the broker stands for it"


@pytest.mark.parametrize(
    ("moment", "left"),
    [
        (at(closes_in=400.0), "in 100 s"),
        (at(closes_in=200.0), "in 0 s"),
        (at(), ""),
    ],
)
def test_the_close_says_how_long_it_is(moment: object, left: str) -> None:
    settings, symbol = make_exits(flatten_before_close_sec=300), Symbol()
    told = explain(make_position(), symbol.prices, moment, settings)[4]  # type: ignore[arg-type]
    assert told == ("market_close", True, "300 s before the close", left)


def test_rules_of_exits_that_are_not_enabled_are_off() -> None:
    settings = make_exits(hard_stop_loss_pct=5, enabled=False)
    told = explain(make_position(), Symbol().prices, at(0), settings)
    assert not any(each.is_on for each in told)


@given(
    cents=st.integers(7000, 13_000),
    high=st.none() | st.integers(100, 140).map(Decimal),
    stop_at_broker=st.booleans(),
)
def test_a_level_is_reached_exactly_when_a_rule_of_the_price_is_true(
    cents: int, high: Decimal | None, stop_at_broker: bool
) -> None:
    keys = {"hard_stop_loss_pct": 5, "profit_target_pct": 20}
    settings = make_exits(**keys, trailing_stop_pct=7, trailing_start_pct=10)
    position = make_position(high_price=high, stop_at_broker=stop_at_broker)
    price = Decimal(cents) / 100
    is_true = [
        price <= 95 and not stop_at_broker,
        high is not None and high >= 110 and price <= high * Decimal("0.93"),
        price >= 120,
    ]
    assert is_reached(position, price, settings) is any(is_true)
    rules = [each for each in RULES if each.level is not None]
    for rule, expected in zip(rules, is_true, strict=True):
        level = rule.level_now(position, settings)
        assert (level is not None and rule.reached(level)(price)) is expected


# A rule that is asked anew, of a sell that never reached the broker


def holds(symbol: Symbol, reason: str, **position: Any) -> bool | None:  # noqa: ANN401 - by name
    moment = at(symbol.seconds)
    made = make_position(**position)
    return still_holds(reason, made, symbol.prices, moment, symbol.settings)


def test_a_stop_is_asked_anew_once_it_can_be() -> None:
    symbol = Symbol(hard_stop_loss_pct=5)
    assert holds(symbol, "stop_loss") is None
    symbol.hear(90)
    assert holds(symbol, "stop_loss") is None
    symbol.hear(90)
    assert holds(symbol, "stop_loss") is True
    symbol.hear(96)
    assert holds(symbol, "stop_loss") is False
    assert holds(symbol, "stop_loss", rests="a split") is None
    symbol.seconds += 16
    assert holds(symbol, "stop_loss") is None


def test_a_rule_that_is_off_by_now_holds_no_more() -> None:
    assert holds(Symbol(), "stop_loss") is False
    assert holds(Symbol(hard_stop_loss_pct=5, enabled=False), "stop_loss") is False


def test_a_rule_of_time_can_always_be_asked() -> None:
    symbol = Symbol(max_hold_duration_sec=30)
    assert holds(symbol, "max_hold") is True
    assert holds(symbol, "max_hold", held_since=40.0) is False


@pytest.mark.parametrize("reason", ["manual", "corporate_action"])
def test_what_no_rule_wanted_holds(reason: str) -> None:
    assert holds(Symbol(), reason) is True

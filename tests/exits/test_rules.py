"""Each rule fires at its threshold, and not a cent before (SPEC 12.3, 12.10 point 9)."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snexec.exits.rules import (
    MISSED,
    RULES,
    Figures,
    show_price,
    stop_level,
    target_level,
    trailing_level,
)
from tests.exits.hands import at, make_exits, make_position

if TYPE_CHECKING:
    from snexec.exits.position import Position
    from snexec.exits.rules import Moment, Rule
    from snexec.settings import ExitSettings

CENT = Decimal("0.01")
entries = st.decimals("1.00", "5000.00", places=6)
parts = st.integers(1, 9999).map(lambda hundredths: hundredths / 100)
gains = st.integers(1, 100_000).map(lambda hundredths: hundredths / 100)


def rule(reason: str) -> Rule:
    return next(each for each in RULES if each.reason == reason)


def says(
    each: Rule,
    position: Position,
    price: Decimal,
    moment: Moment,
    settings: ExitSettings,
) -> str | None:
    """Return why a rule is true; None if it is not, or is off."""
    if each.when is not None:
        return each.when(position, moment, settings)
    level = each.level_now(position, settings)
    if level is None or each.words is None or not each.reached(level)(price):
        return None
    by = Figures(price, level, position.entry_price, position.high_price)
    return each.words(by)


def fires(
    reason: str,
    position: Position,
    price: Decimal | float | str,
    settings: ExitSettings,
    moment: Moment | None = None,
) -> str | None:
    exact = Decimal(str(price))
    return says(rule(reason), position, exact, moment or at(), settings)


def test_the_rules_are_asked_in_the_order_of_the_contract() -> None:
    assert [each.reason for each in RULES] == [
        "stop_loss",
        "trailing_stop",
        "profit_target",
        "max_hold",
        "market_close",
    ]


def test_a_rule_whose_key_is_missing_is_off() -> None:
    settings, position = make_exits(), make_position(high_price=Decimal(200))
    moment = at(1e9, closes_in=1.0, session=1e12, flatten_since=0.0)
    for each in RULES:
        assert says(each, position, Decimal("0.01"), moment, settings) is None
        assert says(each, position, Decimal(10**6), moment, settings) is None


@given(entry=entries, percent=parts)
def test_the_stop_fires_at_its_threshold_and_not_a_cent_before(
    entry: Decimal, percent: float
) -> None:
    position = make_position(entry_price=entry)
    settings = make_exits(hard_stop_loss_pct=percent)
    exact = entry * (1 - Decimal(str(percent)) / 100)
    assert stop_level(position, settings) == exact
    first = exact.quantize(CENT, ROUND_FLOOR)
    assert fires("stop_loss", position, first, settings)
    assert not fires("stop_loss", position, first + CENT, settings)


@given(entry=entries, percent=gains)
def test_the_target_fires_at_its_threshold_and_not_a_cent_before(
    entry: Decimal, percent: float
) -> None:
    position = make_position(entry_price=entry)
    settings = make_exits(profit_target_pct=percent)
    exact = entry * (1 + Decimal(str(percent)) / 100)
    assert target_level(position, settings) == exact
    first = exact.quantize(CENT, ROUND_CEILING)
    assert fires("profit_target", position, first, settings)
    assert not fires("profit_target", position, first - CENT, settings)


@given(entry=entries, percent=parts, rise=gains)
def test_the_trailing_stop_fires_below_the_highest_and_not_a_cent_before(
    entry: Decimal, percent: float, rise: float
) -> None:
    high = entry * (1 + Decimal(str(rise)) / 100)
    position = make_position(entry_price=entry, high_price=high)
    settings = make_exits(trailing_stop_pct=percent)
    first = (high * (1 - Decimal(str(percent)) / 100)).quantize(CENT, ROUND_FLOOR)
    assert fires("trailing_stop", position, first, settings)
    assert not fires("trailing_stop", position, first + CENT, settings)


@given(entry=entries, start=gains)
def test_the_trailing_stop_starts_at_its_rise_and_not_a_cent_before(
    entry: Decimal, start: float
) -> None:
    settings = make_exits(trailing_stop_pct=5.0, trailing_start_pct=start)
    needed = (entry * (1 + Decimal(str(start)) / 100)).quantize(CENT, ROUND_CEILING)
    position = make_position(entry_price=entry, high_price=needed)
    assert fires("trailing_stop", position, "0.01", settings)
    position.high_price = needed - CENT
    assert not fires("trailing_stop", position, "0.01", settings)


def test_the_fill_itself_is_the_first_high() -> None:
    position, settings = make_position(), make_exits(trailing_stop_pct=5.0)
    assert trailing_level(position, settings) == 95
    position.high_price = Decimal(90)  # it has only fallen
    assert trailing_level(position, settings) == 95


@pytest.mark.parametrize(
    "reason", ["stop_loss", "trailing_stop", "profit_target"], ids=str
)
def test_no_price_rule_fires_without_an_entry_price(reason: str) -> None:
    position = make_position(entry_price=None, high_price=Decimal(500))
    settings = make_exits(
        hard_stop_loss_pct=5, profit_target_pct=5, trailing_stop_pct=5
    )
    for price in ("0.01", "1000000"):
        assert fires(reason, position, price, settings) is None


def test_a_stop_at_the_broker_stands_for_the_stop() -> None:
    settings = make_exits(hard_stop_loss_pct=5)
    position = make_position(stop_at_broker=True)
    assert fires("stop_loss", position, 1, settings) is None
    position.stop_at_broker = False
    assert fires("stop_loss", position, 1, settings)


@given(most=st.integers(1, 10**6), held=st.floats(0, 2e6))
def test_the_hold_ends_at_its_second_and_not_before(most: int, held: float) -> None:
    settings, position = make_exits(max_hold_duration_sec=most), make_position()
    told = fires("max_hold", position, 0, settings, at(held))
    assert (told is not None) is (held >= most)


@pytest.mark.parametrize(
    ("closes_in", "fired"), [(300.1, False), (300.0, True), (0.0, True), (None, False)]
)
def test_shares_are_flattened_so_long_before_the_close(
    closes_in: float | None, fired: bool
) -> None:
    settings = make_exits(flatten_before_close_sec=300)
    told = fires("market_close", make_position(), 0, settings, at(closes_in=closes_in))
    assert (told is not None) is fired


def test_crypto_has_no_close() -> None:
    settings = make_exits(flatten_before_close_sec=300)
    moment = at(closes_in=1.0, session=1e12, flatten_since=0.0)
    position = make_position("BTC/USD")
    assert fires("market_close", position, 0, settings, moment) is None


OPEN = 1_000_000.0
NIGHT = 17.5 * 3600


@pytest.mark.parametrize(
    ("bought", "since", "missed"),
    [
        (OPEN - NIGHT - 1, 0.0, True),  # before yesterday's close
        (OPEN - 60, 0.0, False),  # since then
        (OPEN + 60, 0.0, False),  # today
        (OPEN - NIGHT - 1, OPEN - 60, False),  # the rule is of this night
        (OPEN - NIGHT - 1, None, False),
    ],
)
def test_a_close_is_missed_by_what_was_held_over_it(
    bought: float, since: float | None, missed: bool
) -> None:
    settings = make_exits(flatten_before_close_sec=300)
    position = make_position(entry_at=bought)
    moment = at(closes_in=20_000, session=OPEN, flatten_since=since)
    told = fires("market_close", position, 0, settings, moment)
    assert told == (MISSED if missed else None)


def test_a_close_is_not_missed_where_the_session_is_not_known() -> None:
    settings = make_exits(flatten_before_close_sec=300)
    moment = at(closes_in=20_000, session=None, flatten_since=0.0)
    position = make_position(entry_at=0.0)
    assert fires("market_close", position, 0, settings, moment) is None


# What they say


def test_a_stop_says_its_figures() -> None:
    position = make_position(entry_price=Decimal("189.58"))
    told = fires("stop_loss", position, "180.02", make_exits(hard_stop_loss_pct=5))
    assert told == "180.02 is at or below 180.10 (entry 189.58, -5.0 %)"


def test_a_trailing_stop_says_its_high() -> None:
    position = make_position(entry_price=Decimal(100), high_price=Decimal("120.5"))
    told = fires("trailing_stop", position, "114", make_exits(trailing_stop_pct=5))
    assert told == (
        "114.00 is at or below 114.47 (highest 120.50, entry 100.00, +14.0 %)"
    )


def test_a_target_says_the_first_cent_that_is_enough() -> None:
    position = make_position(entry_price=Decimal("33.333"))
    told = fires("profit_target", position, "35", make_exits(profit_target_pct=5))
    assert told == "35.00 is at or above 35.00 (entry 33.33, +5.0 %)"


def test_times_are_in_seconds() -> None:
    settings = make_exits(max_hold_duration_sec=60, flatten_before_close_sec=60)
    told = fires("max_hold", make_position(), 0, settings, at(61.2))
    assert told == "held for 61 s, at most 60"
    told = fires("market_close", make_position(), 0, settings, at(closes_in=59.7))
    assert told == "the market closes in 60 s"


@pytest.mark.parametrize(
    ("price", "shown"),
    [("1", "1.00"), ("180.0249", "180.02"), ("0.99999", "1.0000"), ("0.1", "0.1000")],
)
def test_dollars_are_shown_to_what_they_trade_by(price: str, shown: str) -> None:
    assert show_price(Decimal(price)) == shown

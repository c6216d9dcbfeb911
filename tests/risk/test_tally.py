"""Recent orders as the brakes count them, and when a trading day begins."""

from __future__ import annotations

from datetime import datetime

import pytest

from snexec.risk.tally import (
    OpenedOrder,
    Recently,
    Tally,
    day_start,
    too_late,
)
from snexec.trading_days import day_began

NOON = datetime.fromisoformat("2026-01-05T17:00:00+00:00").timestamp()  # in New York
HOUR = 3600.0


def order(symbol: str, at: float, cents: int = 100) -> OpenedOrder:
    return OpenedOrder("paper", symbol, at, cents)


def tally_of(*orders: OpenedOrder) -> Tally:
    tally = Tally(day_start(NOON))
    for each in orders:
        tally.add(each)
    return tally


# Orders


def test_nothing_was_ordered_at_first() -> None:
    assert tally_of().look("KO", NOON) == Recently(None, 0, 0, 0)


def test_orders_count_for_their_symbol_their_minute_and_their_day() -> None:
    tally = tally_of(
        order("KO", NOON - HOUR, 5000),
        order("KO", NOON - 61, 250),
        order("GE", NOON - 59.5, 100),
    )
    assert tally.look("KO", NOON) == Recently(61.0, 1, 3, 5350)
    assert tally.look("GE", NOON) == Recently(59.5, 1, 3, 5350)
    assert tally.look("GE", NOON + 1) == Recently(60.5, 0, 3, 5350)


def test_who_only_looks_from_another_thread_sees_the_same_and_changes_nothing() -> None:
    tally = tally_of(order("KO", NOON - 30), order("GE", NOON - 10))
    later = tally.peek("KO", NOON + 40)
    assert later == Recently(70.0, 1, 2, 200)
    assert tally.peek("KO", NOON) == Recently(30.0, 2, 2, 200), "none was forgotten"
    assert tally.look("KO", NOON) == Recently(30.0, 2, 2, 200)
    assert tally.look("KO", NOON + 40) == later


def test_an_order_that_is_found_afterwards_counts_in_its_own_time() -> None:
    tally = tally_of(order("KO", NOON - 30), order("GE", NOON - 10))
    tally.add_earlier(order("KO", NOON - 2 * HOUR, 500))
    assert tally.look("KO", NOON) == Recently(30.0, 2, 3, 700), "the others stay as new"
    tally.add_earlier(order("BA", NOON - 20, 50))
    assert tally.look("BA", NOON) == Recently(20.0, 3, 4, 750)
    tally.add_earlier(order("MO", day_start(NOON) - HOUR, 500))
    assert tally.look("MO", NOON) == Recently(13 * HOUR, 3, 4, 750), "of yesterday"
    assert tally.look("GE", NOON + 45) == Recently(55.0, 1, 4, 750)


def test_an_order_that_is_found_on_a_new_day_begins_it() -> None:
    tally = tally_of(order("KO", NOON))
    later = NOON + 24 * HOUR
    tally.add_earlier(order("GE", later - HOUR, 300))
    assert tally.look("GE", later) == Recently(HOUR, 0, 1, 300)


def test_a_new_day_counts_from_zero_and_a_symbol_still_rests() -> None:
    tally = tally_of(order("KO", NOON))
    midnight = day_start(NOON) + 24 * HOUR
    assert tally.look("KO", midnight - 1).today == 1
    assert tally.look("KO", midnight) == Recently(12 * HOUR, 0, 0, 0)
    tally.add(order("GE", midnight + 1, 700))
    assert tally.look("KO", midnight + 1) == Recently(12 * HOUR + 1, 1, 1, 700)


def test_a_clock_that_is_set_back_begins_no_new_day() -> None:
    tally = tally_of(order("KO", NOON))
    assert tally.look("KO", NOON - 24 * HOUR) == Recently(0.0, 1, 1, 100)


def test_a_clock_that_is_set_back_holds_no_brake_longer_than_it_lasts() -> None:
    tally = tally_of(order("KO", NOON), order("GE", NOON))
    back = NOON - 600
    assert tally.look("KO", back) == Recently(0.0, 2, 2, 200), "as if ordered now"
    assert tally.look("KO", back + 59) == Recently(59.0, 2, 2, 200)
    assert tally.look("KO", back + 61) == Recently(61.0, 0, 2, 200)


def test_a_clock_that_was_a_day_ahead_for_a_while_frees_nothing_of_this_day() -> None:
    tally = tally_of(order("KO", NOON, 500), order("GE", NOON + 24 * HOUR, 70))
    assert tally.look("GM", NOON + 120) == Recently(None, 1, 2, 570)
    tally.add(order("GM", NOON + 130, 3))
    assert tally.look("KO", NOON + 190).today == 3
    assert tally.look("KO", NOON + 24 * HOUR).cents_today == 73, "as they were counted"


@pytest.mark.parametrize("years", [1, 10])
def test_a_clock_that_was_years_ahead_holds_no_brake_for_years(years: int) -> None:
    ahead = NOON + years * 365 * 24 * HOUR
    tally = tally_of(order("KO", NOON, 500), order("GE", ahead, 70))
    assert tally.look("GE", NOON + 1) == Recently(0.0, 1, 2, 570), "of today, all of it"
    assert tally.peek("KO", NOON + 2).today == 2
    tally.add(order("GM", NOON + 3, 3))
    assert tally.look("GE", NOON + 100) == Recently(99.0, 0, 3, 573)
    assert tally.look("GE", NOON + 24 * HOUR).today == 0


@pytest.mark.parametrize(
    ("now", "late"),
    [
        ("2026-01-05T17:00:00+00:00", "2026-01-07T05:00:00+00:00"),
        ("2026-01-06T04:59:59+00:00", "2026-01-07T05:00:00+00:00"),
        ("2026-03-07T17:00:00+00:00", "2026-03-09T04:00:00+00:00"),  # spring
        ("2026-10-31T17:00:00+00:00", "2026-11-02T05:00:00+00:00"),  # autumn
        ("2026-11-01T17:00:00+00:00", "2026-11-03T05:00:00+00:00"),
    ],
)
def test_what_is_dated_later_than_tomorrow_is_none_of_now(now: str, late: str) -> None:
    at = datetime.fromisoformat(now).timestamp()
    assert too_late(at) == datetime.fromisoformat(late).timestamp()


def test_an_order_of_an_earlier_day_counts_for_its_symbol_alone() -> None:
    tally = tally_of()
    tally.remember(order("KO", NOON - 20 * HOUR))
    assert tally.look("KO", NOON) == Recently(20 * HOUR, 0, 0, 0)
    tally.remember(order("KO", NOON - 22 * HOUR))
    assert tally.look("KO", NOON).since_symbol == 20 * HOUR, "the last one"


def test_one_more_order_is_added_to_figures() -> None:
    found = Recently(None, 1, 2, 300)
    one = order("KO", NOON - 1, 50)
    assert found.and_one(one, "KO", NOON) == Recently(1.0, 2, 3, 350)
    assert found.and_one(one, "GE", NOON) == Recently(None, 2, 3, 350)


def test_what_is_remembered_of_orders_is_bounded() -> None:
    tally = Tally(0.0)
    for number in range(20_000):
        tally.add(OpenedOrder("paper", f"S{number}", 1000.0 + number / 1000, 100))
    now = 1020.0
    assert len(tally._minute) == 10_000
    assert tally.look("S19999", now).since_symbol == pytest.approx(0.001)
    assert tally.look("S0", now).since_symbol is None
    assert tally.look("S0", now).today == 20_000


# Days


@pytest.mark.parametrize(
    ("moment", "began"),
    [
        ("2026-01-05T04:59:59+00:00", "2026-01-04T05:00:00+00:00"),
        ("2026-01-05T05:00:00+00:00", "2026-01-05T05:00:00+00:00"),
        ("2026-07-01T03:59:59+00:00", "2026-06-30T04:00:00+00:00"),
        ("2026-07-01T04:00:00+00:00", "2026-07-01T04:00:00+00:00"),
        # The day that has 23 hours: it begins in winter time and ends in summer time.
        ("2026-03-08T05:00:00+00:00", "2026-03-08T05:00:00+00:00"),
        ("2026-03-08T12:00:00+00:00", "2026-03-08T05:00:00+00:00"),
        ("2026-03-09T03:59:59+00:00", "2026-03-08T05:00:00+00:00"),
        ("2026-03-09T04:00:00+00:00", "2026-03-09T04:00:00+00:00"),
        # The one that has 25.
        ("2026-11-01T04:00:00+00:00", "2026-11-01T04:00:00+00:00"),
        ("2026-11-02T04:59:59+00:00", "2026-11-01T04:00:00+00:00"),
        ("2026-11-02T05:00:00+00:00", "2026-11-02T05:00:00+00:00"),
    ],
)
def test_a_day_begins_at_midnight_in_new_york(moment: str, began: str) -> None:
    at, start = datetime.fromisoformat(moment), datetime.fromisoformat(began)
    assert day_began(at) == start
    assert day_start(at.timestamp()) == start.timestamp()

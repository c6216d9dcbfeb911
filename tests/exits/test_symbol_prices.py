"""Which price counts, and what confirms it (SPEC 12.4, 12.8a, 12.10 point 8)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.exits.prices import AROUND_THE_CLOCK, Session
from tests.exits.hands import OPENED, Symbol

if TYPE_CHECKING:
    from snexec.exits.prices import Source

# What is no last sale


@pytest.mark.parametrize("code", list("BW479CGHIMNPQRTUVZ"))
def test_a_print_that_no_exchange_counts_is_passed_over(code: str) -> None:
    symbol = Symbol()
    assert symbol.hear(100, conditions=("@", code)) == "conditions"
    assert symbol.confirmed == []


@pytest.mark.parametrize("conditions", [(), ("@",), ("@", "F"), ("@", "O", "X")])
def test_any_other_print_counts(conditions: tuple[str, ...]) -> None:
    assert Symbol().hear(100, conditions=conditions) is None


# While the market is closed


@pytest.mark.parametrize("source", ["positions", "snapshots", "stream"])
def test_no_price_counts_while_the_market_is_not_open(source: str) -> None:
    symbol = Symbol()
    symbol.session = Session(is_open=False, day=1)
    assert symbol.hear(100, source) == "closed"  # type: ignore[arg-type]


def test_a_print_from_before_the_open_does_not_count_after_it() -> None:
    symbol = Symbol()
    symbol.seconds = 5
    assert symbol.hear(100, age=6) == "closed"
    assert symbol.hear(100, age=4) is None


# Age


def test_a_print_counts_until_it_is_too_old() -> None:
    symbol = Symbol()
    assert symbol.hear(100, age=15.1) == "stale"
    assert symbol.hear(100, age=14.9) is None


def test_a_print_from_the_future_is_no_better_than_one_from_the_past() -> None:
    assert Symbol().hear(100, age=-15.1) == "stale"


def test_what_counted_counts_no_more_once_it_is_too_old() -> None:
    symbol = Symbol(confirm_ticks=1)
    symbol.hear(100, age=5)
    symbol.seconds += 10
    assert symbol.confirmed == [("1 print", [100])]
    symbol.seconds += 0.1
    assert symbol.confirmed == []


# Positions, which say no time


def test_a_price_of_positions_counts_once_it_has_moved_since_the_open() -> None:
    symbol = Symbol()
    for _ in range(5):
        assert symbol.hear(100, "positions") == "unmoved"
    assert symbol.hear("100.01", "positions") is None
    assert symbol.hear(100, "positions") is None


def test_a_price_of_positions_counts_once_a_print_is_from_after_the_open() -> None:
    symbol = Symbol(price_source="positions", max_price_age_sec=60.0)
    assert symbol.hear(100, "positions") == "unmoved"
    assert symbol.hear(100, "snapshots", age=61) == "closed"
    assert symbol.hear(100, "positions") == "unmoved"
    assert symbol.hear(100, "snapshots", age=30) is None
    assert symbol.hear(100, "positions") is None


def test_a_print_after_the_open_dates_positions_however_old_it_is_now() -> None:
    symbol = Symbol(price_source="positions")
    symbol.seconds += 600
    assert symbol.hear(100, "positions") == "unmoved"
    assert symbol.hear(100, "snapshots", age=60) == "stale"
    assert symbol.hear(100, "positions") is None


def test_a_print_of_a_time_to_come_dates_nothing() -> None:
    symbol = Symbol(price_source="positions")
    assert symbol.hear(100, "snapshots", age=-60) == "stale"
    assert symbol.hear(100, "positions") == "unmoved"


def test_the_first_price_that_counts_is_measured_by_the_one_it_moved_from() -> None:
    symbol = Symbol()
    assert symbol.hear(100, "positions") == "unmoved"
    for _ in range(5):
        assert symbol.hear(50, "positions") == "jump"
    assert symbol.prices.measure == 100
    symbol.bid(50)
    assert symbol.prices.last == 50


def test_it_has_to_move_each_day_anew() -> None:
    symbol = Symbol()
    symbol.hear(100, "positions")
    assert symbol.hear(101, "positions") is None
    symbol.session = Session(is_open=True, day=2, opened_at=OPENED + 86_400)
    assert symbol.hear(101, "positions") == "unmoved"
    assert symbol.hear(102, "positions") is None


def test_what_moved_before_the_open_has_not_moved_since() -> None:
    symbol = Symbol()
    open_session, symbol.session = symbol.session, Session(is_open=False, day=1)
    assert symbol.hear(100, "positions") == "closed"
    assert symbol.hear(101, "positions") == "closed"
    symbol.session = open_session
    assert symbol.hear(101, "positions") == "unmoved"


def test_an_open_that_is_not_known_is_the_first_poll_of_the_session() -> None:
    symbol = Symbol(max_price_age_sec=60.0)
    symbol.session = Session(is_open=True, day=1, opened_at=None)
    symbol.hear(100, "positions")
    symbol.seconds += 10
    symbol.hear(100, "snapshots", age=20)
    assert symbol.hear(100, "positions") == "unmoved"
    symbol.hear(100, "snapshots", age=9)
    assert symbol.hear(100, "positions") is None


def test_crypto_trades_always_so_its_first_price_counts() -> None:
    symbol = Symbol()
    symbol.session = AROUND_THE_CLOCK
    assert symbol.hear(100, "positions") is None


# What confirms


@pytest.mark.parametrize("ticks", [1, 2, 5])
def test_so_many_prints_in_a_row_confirm(ticks: int) -> None:
    symbol = Symbol(confirm_ticks=ticks)
    for number in range(ticks):
        assert symbol.confirmed == []
        symbol.hear(100 + number)
    [(name, prices)] = symbol.confirmed
    assert name == f"{ticks} print{'' if ticks == 1 else 's'}"
    assert prices == [100 + number for number in range(ticks)]


def test_polls_in_a_row_confirm_also_with_the_same_price() -> None:
    symbol = Symbol()
    symbol.hear(99, "positions")
    symbol.hear(100, "positions")
    assert symbol.confirmed == []
    symbol.seconds += 2
    symbol.hear(100, "positions")
    assert symbol.confirmed == [("2 polls", [100, 100])]


def test_a_trade_that_two_polls_show_is_confirmed_by_them_unless_the_bid_disagrees() -> (
    None
):
    symbol = Symbol(price_source="snapshots")
    assert symbol.hear(100, "snapshots", age=1) is None
    symbol.seconds += 2
    assert symbol.hear(100, "snapshots", age=3) is None
    assert symbol.confirmed == [("2 polls", [100, 100])]
    symbol.bid(104)
    assert symbol.confirmed == [("2 polls", [100, 100, 104])]
    symbol.seconds += 2
    assert symbol.hear(100, "snapshots", age=1) is None
    assert symbol.confirmed == [("2 polls", [100, 100])]


@pytest.mark.parametrize("source", ["positions", "snapshots"])
def test_one_poll_and_the_bid_confirm_nothing(source: Source) -> None:
    symbol = Symbol(price_source=source)
    symbol.hear(100, source)
    symbol.bid(99)
    assert symbol.confirmed == []
    assert symbol.prices.highs.highest is None


def test_a_trade_that_two_polls_show_raises_the_highest_price_to_the_bid() -> None:
    symbol = Symbol(price_source="snapshots")
    symbol.bid(97)
    symbol.hear(100, "snapshots", age=1)
    symbol.seconds += 2
    symbol.hear(100, "snapshots", age=3)
    assert symbol.prices.highs.highest == 97


def test_a_print_and_the_bid_confirm_whichever_comes_first() -> None:
    symbol = Symbol()
    assert not symbol.bid(99)
    symbol.hear(100)
    assert symbol.confirmed == [("1 print and the bid", [100, 99])]
    symbol = Symbol()
    symbol.hear(100)
    assert symbol.bid(99)
    assert symbol.confirmed == [("1 print and the bid", [100, 99])]


def test_an_old_bid_confirms_nothing() -> None:
    symbol = Symbol()
    symbol.hear(100)
    symbol.bid(99, age=15.1)
    assert symbol.confirmed == []


def test_no_bid_takes_the_last_one_away() -> None:
    symbol = Symbol()
    symbol.bid(99)
    assert not symbol.bid(0)
    symbol.hear(100)
    assert symbol.confirmed == []


def test_what_is_passed_over_does_not_break_a_row() -> None:
    symbol = Symbol()
    symbol.hear(100)
    symbol.hear(100, conditions=("I",))
    symbol.hear(101)
    assert symbol.confirmed == [("2 prints", [100, 101])]


def test_yesterdays_prices_confirm_nothing_today() -> None:
    symbol = Symbol(max_price_age_sec=86_400.0)
    symbol.hear(100)
    symbol.session = Session(is_open=True, day=2, opened_at=OPENED)
    symbol.hear(100)
    assert symbol.confirmed == []


# What stands in


def test_a_source_stands_in_only_while_the_better_one_is_stale() -> None:
    symbol = Symbol(price_source="stream")
    assert symbol.hear(100, "stream") is None
    assert symbol.hear(101, "snapshots") == "stand_in"
    symbol.hear(101, "positions")
    assert symbol.hear(102, "positions") == "stand_in"
    symbol.seconds += 15.1
    assert symbol.hear(103, "snapshots") is None
    assert symbol.hear(102, "positions") == "stand_in"
    symbol.seconds += 15.1
    assert symbol.hear(103, "positions") is None
    assert symbol.hear(104, "stream") is None
    assert symbol.prices.source == "stream"


def test_a_better_source_than_the_one_that_is_set_takes_nothing_over() -> None:
    symbol = Symbol(price_source="positions")
    symbol.hear(100, "positions")
    assert symbol.hear(101, "positions") is None
    assert symbol.hear(101, "snapshots") is None
    assert symbol.hear(102, "positions") is None


# Jumps


def jumped(price: float = 79.9) -> Symbol:
    symbol = Symbol(confirm_ticks=1)
    symbol.hear(100)
    assert symbol.hear(price) == "jump"
    return symbol


def test_a_price_counts_up_to_the_jump_and_not_a_cent_further() -> None:
    for near, far in ((80, "79.99"), (120, "120.01")):
        symbol = Symbol()
        symbol.hear(100)
        assert symbol.hear(far) == "jump"
        assert symbol.hear(near) is None


def test_what_jumps_does_not_count_however_often_it_comes() -> None:
    symbol = jumped(50)
    for _ in range(10):
        assert symbol.hear(50) == "jump"
    assert symbol.confirmed == [("1 print", [100])]


@pytest.mark.parametrize(
    ("bid", "counts"), [("52.5", True), ("52.51", False), ("47.5", True), (47, False)]
)
def test_a_bid_within_five_percent_is_a_second_source(
    bid: float | str, counts: bool
) -> None:
    before = Symbol(confirm_ticks=1)
    before.hear(100)
    before.bid(bid)
    assert before.hear(50) == (None if counts else "jump")
    after = jumped(50)
    after.bid(bid)
    assert (after.prices.last == 50) is counts


def test_a_snapshot_is_a_second_source_before_and_after() -> None:
    symbol = Symbol(price_source="stream")
    symbol.hear(100)
    assert symbol.hear(50) == "jump"
    assert symbol.hear(51, "snapshots") == "stand_in"
    assert symbol.prices.last == 50
    symbol = Symbol(price_source="stream")
    symbol.hear(100)
    assert symbol.hear(51, "snapshots") == "stand_in"
    assert symbol.hear(50) is None


def test_a_snapshot_confirms_a_jump_of_positions_and_they_it() -> None:
    symbol = Symbol(price_source="positions")
    symbol.hear(100, "positions")
    symbol.hear(101, "positions")
    assert symbol.hear(60, "positions") == "jump"
    assert symbol.hear(61, "snapshots") is None
    assert symbol.confirmed == [("2 polls", [60, 61])]


def test_a_snapshot_is_no_second_source_of_itself() -> None:
    symbol = Symbol(price_source="snapshots")
    symbol.hear(100, "snapshots")
    assert symbol.hear(50, "snapshots") == "jump"
    symbol.seconds += 2
    assert symbol.hear(50, "snapshots") == "jump"


def test_an_old_second_source_is_none() -> None:
    symbol = Symbol()
    symbol.hear(100)
    symbol.bid(50)
    symbol.seconds += 15.1
    assert symbol.hear(50) == "jump"
    symbol.seconds += 15.1
    symbol.bid(50)  # and an old jump is not accepted by a new one
    assert symbol.prices.last == 100


def test_a_jump_over_night_needs_a_second_source_too() -> None:
    symbol = Symbol()
    symbol.hear(100)
    symbol.session = Session(is_open=True, day=2, opened_at=OPENED)
    assert symbol.hear(70) == "jump"


# Halts


def test_no_price_counts_in_a_halt() -> None:
    symbol = Symbol()
    symbol.hear(100)
    symbol.hear(100)
    assert symbol.prices.hear_status(is_halted=True, at=symbol.now.wall)
    assert symbol.confirmed == []
    assert symbol.hear(50) == "halted"
    symbol.hear(100, "positions")
    assert symbol.hear(99, "positions") == "halted"


def test_what_was_seen_before_a_halt_confirms_nothing_after_it() -> None:
    symbol = Symbol()
    symbol.hear(100)
    symbol.prices.hear_status(is_halted=True, at=symbol.now.wall)
    assert symbol.prices.hear_status(is_halted=False, at=symbol.now.wall)
    assert symbol.hear(100) is None
    assert symbol.confirmed == []
    symbol.hear(99)
    assert symbol.confirmed == [("2 prints", [100, 99])]


def test_a_halt_is_news_once() -> None:
    symbol = Symbol()
    assert symbol.prices.hear_status(is_halted=True, at=0.0)
    assert not symbol.prices.hear_status(is_halted=True, at=0.0)


def test_a_halt_lasts_until_it_is_said_to_be_over() -> None:
    symbol = Symbol()
    symbol.prices.hear_status(is_halted=True, at=symbol.now.wall)
    symbol.seconds += 600
    assert symbol.hear(100) == "halted"


def test_a_halt_whose_end_may_be_missed_ends_by_a_later_print() -> None:
    symbol = Symbol()
    symbol.prices.hear_status(is_halted=True, at=symbol.now.wall)
    symbol.prices.lose_stream()
    symbol.seconds += 5
    assert symbol.hear(100, age=6) == "halted"  # from before
    assert symbol.hear(100, age=1) is None


def test_a_halt_may_outlast_its_day_and_ends_by_a_print() -> None:
    symbol = Symbol()
    symbol.hear(100)
    symbol.prices.hear_status(is_halted=True, at=symbol.now.wall)
    symbol.session = Session(is_open=True, day=2, opened_at=OPENED)
    assert symbol.hear(100) == "halted"  # it is of that same moment
    symbol.seconds += 1
    assert symbol.hear(100) is None


def test_a_halt_that_is_heard_before_any_price_is_one() -> None:
    symbol = Symbol()
    symbol.prices.hear_status(is_halted=True, at=symbol.now.wall)
    symbol.seconds += 1
    assert symbol.hear(100) == "halted"


# What is taken back


def test_a_print_that_is_taken_back_confirms_nothing() -> None:
    symbol = Symbol()
    symbol.hear(100, number=1)
    symbol.hear(90, number=2)
    assert symbol.confirmed == [("2 prints", [100, 90])]
    symbol.take_back(2)
    assert symbol.confirmed == []
    assert symbol.prices.last == 100
    symbol.hear(99, number=3)
    assert symbol.confirmed == [("2 prints", [100, 99])]


def test_a_jump_that_is_taken_back_is_not_accepted_later() -> None:
    symbol = Symbol()
    symbol.hear(100, number=1)
    assert symbol.hear(50, number=2) == "jump"
    symbol.take_back(2)
    symbol.bid(50)
    assert symbol.prices.last == 100


def test_taking_back_what_is_not_known_changes_nothing() -> None:
    symbol = Symbol()
    symbol.hear(100, number=1)
    assert not symbol.take_back(99)
    assert symbol.prices.last == 100


# The highest price


def test_the_highest_rises_only_by_what_is_confirmed() -> None:
    symbol = Symbol()
    symbol.hear(100)
    assert symbol.high() is None
    symbol.hear(110)
    assert symbol.high() == 100
    symbol.hear(105)
    assert symbol.high() == 105
    symbol.bid("104.5")
    symbol.hear(120)
    assert symbol.high() == 105  # the bid agrees with no more than 104.50
    symbol.bid(119)
    assert symbol.high() == 119


def test_the_highest_goes_back_when_a_print_is_taken_back() -> None:
    symbol = Symbol()
    for number, price in enumerate((100, 100, 110, 110, 101, 102), 1):
        symbol.hear(price, number=number)
    assert symbol.high() == 110
    assert symbol.take_back(4)
    assert symbol.high() == 101
    assert symbol.prices.last == 102


def test_a_start_goes_on_from_the_highest_price_that_was_kept() -> None:
    symbol = Symbol(Decimal(120))
    symbol.hear(100)
    symbol.hear(100)
    assert symbol.high() == 120

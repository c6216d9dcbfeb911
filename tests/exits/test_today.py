"""Whether positions show today's price, and whether a symbol is halted (SPEC 12.8a)."""

from __future__ import annotations

from decimal import Decimal

import pytest

from snexec.exits.prices import AROUND_THE_CLOCK, Session
from snexec.exits.today import Today

OPENED = 1_000.0
FIRST, NEXT = Decimal(100), Decimal("100.01")


def session(day: int = 1, opened_at: float | None = OPENED) -> Session:
    return Session(is_open=True, day=day, opened_at=opened_at)


@pytest.fixture
def today() -> Today:
    today = Today()
    assert today.begin(session())
    return today


# Sessions


def test_a_session_begins_once(today: Today) -> None:
    assert not today.begin(session())
    assert today.begin(session(2))


def test_none_begins_while_the_market_is_closed(today: Today) -> None:
    today.moves(FIRST, OPENED)
    assert not today.begin(Session(is_open=False, day=2))
    assert today.moves(NEXT, OPENED), "it is still the first one"


# The price of positions


def test_a_price_is_todays_once_it_has_moved(today: Today) -> None:
    assert not today.moves(FIRST, OPENED + 1)
    assert not today.moves(FIRST, OPENED + 2)
    assert today.moves(NEXT, OPENED + 3)
    assert today.moves(FIRST, OPENED + 4), "it has moved, whatever it is now"


def test_the_next_day_it_has_to_move_again(today: Today) -> None:
    today.moves(FIRST, OPENED)
    assert today.moves(NEXT, OPENED)
    today.begin(session(2))
    assert not today.moves(NEXT, OPENED)
    assert not today.moves(NEXT, OPENED)


def test_the_last_price_of_the_day_before_is_none_to_move_from(today: Today) -> None:
    today.moves(FIRST, OPENED)
    today.begin(session(2))
    assert not today.moves(NEXT, OPENED)


def test_coins_trade_always_so_every_price_is_todays() -> None:
    today = Today()
    today.begin(AROUND_THE_CLOCK)
    assert today.moves(FIRST, OPENED)
    assert not today.is_undated


@pytest.mark.parametrize(("at", "proves"), [(OPENED, False), (OPENED + 0.1, True)])
def test_a_print_from_after_the_open_proves_that_it_is_todays(
    today: Today, at: float, *, proves: bool
) -> None:
    today.traded(at, OPENED + 60, session())
    assert today.moves(FIRST, OPENED + 60) is proves


def test_where_the_open_is_not_known_a_print_after_the_first_poll_does() -> None:
    today, unknown = Today(), session(opened_at=None)
    today.begin(unknown)
    today.moves(FIRST, 500.0)
    today.traded(499.0, 501.0, unknown)
    assert not today.moves(FIRST, 501.0)
    today.traded(500.5, 501.0, unknown)
    assert today.moves(FIRST, 501.0)


def test_without_a_poll_before_it_a_print_counts_from_when_it_was_heard() -> None:
    today, unknown = Today(), session(opened_at=None)
    today.begin(unknown)
    today.traded(490.0, 500.0, unknown)
    today.traded(495.0, 510.0, unknown)
    assert not today.moves(FIRST, 510.0), "both may be from before the open"
    today.traded(505.0, 510.0, unknown)
    assert today.moves(FIRST, 510.0)


def test_it_is_undated_once_it_was_seen_to_stand_still(today: Today) -> None:
    seen = [today.is_undated]
    for _ in range(2):
        today.moves(FIRST, OPENED)
        seen.append(today.is_undated)
    today.traded(OPENED + 3, OPENED + 3, session())
    seen.append(today.is_undated)
    assert seen == [False, False, True, False]


def test_the_next_day_it_has_not_stood_still_yet(today: Today) -> None:
    for _ in range(2):
        today.moves(FIRST, OPENED)
    today.begin(session(2))
    assert not today.is_undated


# Halts


def test_a_halt_is_news_when_it_begins_and_when_it_ends(today: Today) -> None:
    news = [
        today.hear_status(is_halted=is_halted, at=10.0)
        for is_halted in (False, True, True, False, False)
    ]
    assert news == [False, True, False, True, False]


@pytest.mark.parametrize("is_halted", [True, False])
def test_it_is_halted_while_that_was_said_last(
    today: Today, *, is_halted: bool
) -> None:
    today.hear_status(is_halted=not is_halted, at=10.0)
    today.hear_status(is_halted=is_halted, at=11.0)
    assert today.is_halted is is_halted


def test_a_halt_is_not_ended_by_a_print_while_its_end_would_be_heard(
    today: Today,
) -> None:
    today.hear_status(is_halted=True, at=10.0)
    assert not today.resumes_by(20.0)
    assert today.is_halted


@pytest.mark.parametrize(("at", "ends"), [(10.0, False), (10.1, True)])
def test_once_the_stream_was_lost_a_later_print_ends_it(
    today: Today, at: float, *, ends: bool
) -> None:
    today.hear_status(is_halted=True, at=10.0)
    today.lose_stream()
    assert today.resumes_by(at) is ends
    assert today.is_halted is not ends


def test_over_night_its_end_may_have_been_missed_as_well(today: Today) -> None:
    today.hear_status(is_halted=True, at=10.0)
    today.begin(session(2))
    assert today.is_halted, "it may outlast its day"
    assert today.resumes_by(20.0)


def test_one_that_is_heard_before_the_first_session_is_certain() -> None:
    today = Today()
    today.hear_status(is_halted=True, at=10.0)
    today.begin(session())
    assert not today.resumes_by(20.0)


def test_a_halt_that_is_heard_again_is_certain_again_and_counts_from_then(
    today: Today,
) -> None:
    today.hear_status(is_halted=True, at=10.0)
    today.lose_stream()
    today.hear_status(is_halted=True, at=20.0)
    assert not today.resumes_by(30.0)
    today.lose_stream()
    assert not today.resumes_by(20.0)
    assert today.resumes_by(20.1)


def test_what_is_not_halted_is_resumed_by_nothing(today: Today) -> None:
    today.lose_stream()
    assert not today.resumes_by(1e9)

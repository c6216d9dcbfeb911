"""When the simulated market is open, and which days it trades."""

import pytest

from snexec.exchange.errors import ApiError
from snexec.exchange.market import Market, calendar


@pytest.mark.parametrize("is_open", [True, False])
def test_it_stays_as_it_is_until_a_change_that_was_announced(*, is_open: bool) -> None:
    assert Market(is_open=is_open).open_at(10**18) is is_open
    market = Market(is_open=is_open, changes_ns=100)
    assert [market.open_at(ns) is is_open for ns in (99, 100, 101)] == [
        *(True, False),
        False,
    ]


def test_every_day_that_is_asked_for_is_one_of_trade() -> None:
    days = calendar({"start": "2026-12-31", "end": "2027-01-01"})
    assert [(day["date"], day["settlement_date"]) for day in days] == [
        ("2026-12-31", "2027-01-01"),
        ("2027-01-01", "2027-01-02"),
    ]
    assert {(day["open"], day["close"]) for day in days} == {("09:30", "16:00")}


def test_without_an_end_it_is_one_day() -> None:
    assert [day["date"] for day in calendar({"start": "2026-01-05T12:00:00Z"})] == [
        "2026-01-05"
    ]
    assert len(calendar({})) == 1


def test_an_end_before_the_start_has_none() -> None:
    assert calendar({"start": "2026-01-05", "end": "2026-01-04"}) == []


def test_so_many_days_are_told_at_once() -> None:
    assert len(calendar({"start": "1000-01-01", "end": "2026-01-01"})) == 10_000


def test_what_is_no_date_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        calendar({"start": "tomorrow"})
    assert caught.value.status == 422

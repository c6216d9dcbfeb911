"""A day of trade is New York's, in winter and in summer (SPEC 11, 12.5, 12.7)."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from snexec.trading_days import day_began, day_of_trade, is_night


@pytest.mark.parametrize(
    ("moment", "day", "began"),
    [
        ("2026-01-05T04:59:59Z", date(2026, 1, 4), "2026-01-04T05:00:00Z"),
        ("2026-01-05T05:00:00Z", date(2026, 1, 5), "2026-01-05T05:00:00Z"),
        ("2026-01-05T23:00:00-05:00", date(2026, 1, 5), "2026-01-05T05:00:00Z"),
        ("2026-07-06T03:59:59Z", date(2026, 7, 5), "2026-07-05T04:00:00Z"),
        ("2026-07-06T04:00:00Z", date(2026, 7, 6), "2026-07-06T04:00:00Z"),
        # The days of 23 and of 25 hours.
        ("2026-03-09T03:59:59Z", date(2026, 3, 8), "2026-03-08T05:00:00Z"),
        ("2026-11-02T04:59:59Z", date(2026, 11, 1), "2026-11-01T04:00:00Z"),
    ],
)
def test_a_day_begins_at_midnight_in_new_york(
    moment: str, day: date, began: str
) -> None:
    at = datetime.fromisoformat(moment)
    assert day_of_trade(at) == day
    assert day_began(at) == datetime.fromisoformat(began)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-01-05T14:29:59Z", True),  # a Monday in winter
        ("2026-01-05T14:30:00Z", False),
        ("2026-01-05T20:59:59Z", False),
        ("2026-01-05T21:00:00Z", True),
        ("2026-07-06T13:30:00Z", False),  # and one in summer
        ("2026-07-06T20:00:00Z", True),
        ("2026-01-03T17:00:00Z", True),
        ("2026-01-04T17:00:00Z", True),
    ],
)
def test_it_is_night_where_no_session_is_ever_held(
    moment: str, *, expected: bool
) -> None:
    assert is_night(datetime.fromisoformat(moment)) is expected

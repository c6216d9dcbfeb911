"""Moments as an operator types them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from snexec.cli.dates import milliseconds, parse_time

NOW = datetime(2026, 1, 5, 14, 30, 10, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-05", "2026-01-05T00:00:00+00:00"),
        ("2026-01-05T14:30", "2026-01-05T14:30:00+00:00"),
        ("2026-01-05 14:30:01.250", "2026-01-05T14:30:01.250+00:00"),
        ("2026-01-05T14:30:00Z", "2026-01-05T14:30:00+00:00"),
        ("2026-01-05T09:30:00-05:00", "2026-01-05T14:30:00+00:00"),
        ("today", "2026-01-05T00:00:00+00:00"),
        ("90s", "2026-01-05T14:28:40.500+00:00"),
        ("30m", "2026-01-05T14:00:10.500+00:00"),
        ("2h", "2026-01-05T12:30:10.500+00:00"),
        ("3d", "2026-01-02T14:30:10.500+00:00"),
        (" 1w ", "2025-12-29T14:30:10.500+00:00"),
    ],
)
def test_a_time_may_be_absolute_or_ago(text: str, moment: str) -> None:
    assert parse_time(text, NOW) == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    "text",
    ["", "yesterdya", "2h3m", "-2h", "2026-13-01", "999999999w", "0001-01-01T00:00+14"],
)
def test_what_is_no_time_says_what_is_one(text: str) -> None:
    with pytest.raises(ValueError, match="is no time: give 2026-01-05"):
        parse_time(text, NOW)


def test_milliseconds_count_from_1970() -> None:
    assert milliseconds(NOW) == 1_767_623_410_500

"""Times are told in UTC, to the millisecond."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from snexec.clock import SystemClock, timestamp


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 5, 14, 30, 0, 123_000, UTC), "2026-01-05T14:30:00.123Z"),
        (datetime(2026, 1, 5, 14, 30, 0, 0, UTC), "2026-01-05T14:30:00.000Z"),
        (datetime(2026, 1, 5, 14, 30, 0, 999_999, UTC), "2026-01-05T14:30:00.999Z"),
        (
            datetime(2026, 1, 5, 9, 30, tzinfo=timezone(-timedelta(hours=5))),
            "2026-01-05T14:30:00.000Z",
        ),
        (
            datetime(2026, 1, 6, 1, 0, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2026-01-05T19:30:00.000Z",
        ),
    ],
)
def test_a_timestamp_is_iso_8601_in_utc_with_milliseconds(
    moment: datetime, text: str
) -> None:
    assert timestamp(moment) == text


def test_the_machines_clock_is_aware_and_tells_the_present() -> None:
    before = datetime.now(UTC)
    now = SystemClock().now()

    assert before <= now <= datetime.now(UTC)
    assert now.utcoffset() == timedelta(0)

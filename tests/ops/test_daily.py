"""The day's report comes once a day, whatever clocks and restarts do."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
import trio

from snexec.ops.daily import Daily, due_day
from tests.fakes import TrioClock

jumping = pytest.mark.jumping_time

AT = time(16, 15)
HOUR = 3600.0


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "at", "due"),
    [
        # In winter New York is 5 hours behind, in summer 4.
        ("2026-01-05T21:14:59", AT, "2026-01-04"),
        ("2026-01-05T21:15:00", AT, "2026-01-05"),
        ("2026-07-06T20:14:59", AT, "2026-07-05"),
        ("2026-07-06T20:15:00", AT, "2026-07-06"),
        # UTC has the next day already.
        ("2026-01-06T01:30:00", time(20, 30), "2026-01-05"),
        # On 2026-03-08 there is no 02:30: it is 03:30, an hour after 01:30.
        ("2026-03-08T07:29:59", time(2, 30), "2026-03-07"),
        ("2026-03-08T07:30:00", time(2, 30), "2026-03-08"),
        # On 2026-11-01 there are two 01:30: the first counts.
        ("2026-11-01T05:29:59", time(1, 30), "2026-10-31"),
        ("2026-11-01T05:30:00", time(1, 30), "2026-11-01"),
        ("2026-11-01T06:29:59", time(1, 30), "2026-11-01"),
    ],
)
def test_a_day_is_due_by_new_yorks_clock(now: str, at: time, due: str) -> None:
    assert due_day(utc(now), at) == date.fromisoformat(due)


class Sent:
    """A daily report whose messages are kept, with when they were sent."""

    def __init__(self, folder: Path, began: str, at: time = AT) -> None:
        self.record = folder / "t.db.reported"
        self.clock = TrioClock(utc(began))
        self.at = at
        self.sent: list[tuple[str, datetime]] = []
        self.fails = 0
        self.on_duty = True
        self.claims: dict[date, bool | None] = {}

    async def for_hours(self, hours: float) -> None:
        """Run it for so long, as a daemon that is started and stopped."""
        daily = Daily(
            at=self.at,
            record=self.record,
            clock=self.clock,
            report=self._report,
            send=lambda text: self.sent.append((text, self.clock.now())),
            on_duty=lambda: self.on_duty,
            claim=self._claim,
        )
        with trio.move_on_after(hours * HOUR):
            await daily.run()

    async def _report(self, day: date) -> str | None:
        await trio.lowlevel.checkpoint()
        if self.fails:
            self.fails -= 1
            return None
        return f"report of {day}"

    async def _claim(self, day: date) -> bool | None:
        await trio.lowlevel.checkpoint()
        return self.claims.get(day, True)

    def days(self) -> list[str]:
        return [text.removeprefix("report of ") for text, _at in self.sent]


@jumping
@pytest.mark.parametrize(
    ("began", "days", "first_utc", "last_utc"),
    [
        ("2026-01-05T14:00:00", 3, "21:15", "21:15"),
        ("2026-03-07T14:00:00", 3, "21:15", "20:15"),  # spring: the clocks go ahead
        ("2026-10-31T14:00:00", 3, "20:15", "21:15"),  # autumn: they go back
    ],
)
async def test_each_day_is_reported_once_at_its_time_also_where_clocks_change(
    tmp_path: Path, began: str, days: int, first_utc: str, last_utc: str
) -> None:
    sent = Sent(tmp_path, began)
    await sent.for_hours(24.0 * days)

    first = date.fromisoformat(began[:10])
    expected = [str(first + timedelta(days=n)) for n in range(days)]
    assert sent.days() == expected
    # Within a look of the minute.
    for (_text, at), due in zip(
        (sent.sent[0], sent.sent[-1]), (first_utc, last_utc), strict=True
    ):
        wanted = datetime.combine(at.date(), time.fromisoformat(due), UTC)
        assert timedelta() <= at - wanted <= timedelta(seconds=31)


@jumping
async def test_a_restart_repeats_no_day(tmp_path: Path) -> None:
    sent = Sent(tmp_path, "2026-01-05T21:00:00")
    await sent.for_hours(0.5)
    for _ in range(3):
        await sent.for_hours(0.1)

    assert sent.days() == ["2026-01-05"]


@jumping
async def test_what_passed_while_nothing_ran_is_reported_late_the_newest_only(
    tmp_path: Path,
) -> None:
    sent = Sent(tmp_path, "2026-01-05T21:00:00")
    await sent.for_hours(0.5)
    sent.clock.put_ahead(3 * 24 * HOUR)
    await sent.for_hours(0.1)

    assert sent.days() == ["2026-01-05", "2026-01-08"]


@jumping
async def test_the_first_start_has_no_day_to_make_good(tmp_path: Path) -> None:
    sent = Sent(tmp_path, "2026-01-05T22:00:00")
    await sent.for_hours(1)
    assert sent.days() == []

    # And a restart before the next time is no reason to forget it.
    sent.clock.put_ahead(24 * HOUR)
    await sent.for_hours(0.1)
    assert sent.days() == ["2026-01-06"]


@jumping
async def test_a_machine_that_sleeps_through_it_reports_when_it_wakes(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    sent = Sent(tmp_path, "2026-01-05T21:00:00")
    nursery.start_soon(sent.for_hours, 2)
    await trio.sleep(60)
    sent.clock.put_ahead(HOUR)
    await trio.sleep(60)

    assert sent.days() == ["2026-01-05"]


@jumping
async def test_a_clock_that_is_set_back_repeats_nothing(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    sent = Sent(tmp_path, "2026-01-05T21:00:00")
    nursery.start_soon(sent.for_hours, 24)
    await trio.sleep(HOUR)
    sent.clock.put_ahead(-HOUR)
    await trio.sleep(2 * HOUR)

    assert sent.days() == ["2026-01-05"]


@jumping
async def test_a_clock_that_was_years_ahead_silences_no_year(tmp_path: Path) -> None:
    sent = Sent(tmp_path, "2036-01-05T21:00:00")
    await sent.for_hours(1)
    sent.clock = TrioClock(utc("2026-01-05T22:00:00"))
    await sent.for_hours(1)

    assert sent.days() == ["2036-01-05", "2026-01-05"]


@jumping
async def test_a_report_that_cannot_be_had_is_tried_again(tmp_path: Path) -> None:
    sent = Sent(tmp_path, "2026-01-05T21:00:00")
    sent.fails = 3
    await sent.for_hours(2)

    assert sent.days() == ["2026-01-05"]
    assert sent.sent[0][1] >= utc("2026-01-05T21:30:00")


@jumping
async def test_of_several_hosts_the_active_one_reports(tmp_path: Path) -> None:
    sent = Sent(tmp_path, "2026-01-05T21:00:00")
    sent.on_duty = False
    await sent.for_hours(1)
    sent.on_duty = True
    sent.claims[date(2026, 1, 5)] = False  # the other one has sent that day's
    await sent.for_hours(24)

    assert sent.days() == ["2026-01-06"]


@jumping
async def test_a_day_that_the_host_before_did_not_report_is_reported_by_the_next(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    sent = Sent(tmp_path, "2026-01-05T21:00:00")
    sent.on_duty = False
    nursery.start_soon(sent.for_hours, 24)
    await trio.sleep(HOUR)
    assert sent.days() == []
    sent.on_duty = True  # the other one died at 16:15
    await trio.sleep(60)

    assert sent.days() == ["2026-01-05"]


@jumping
async def test_while_nobody_knows_whether_another_host_has_reported_none_does(
    tmp_path: Path,
) -> None:
    sent = Sent(tmp_path, "2026-01-05T21:00:00")
    sent.claims[date(2026, 1, 5)] = None
    await sent.for_hours(1)
    assert sent.days() == []
    sent.claims.clear()
    await sent.for_hours(1)

    assert sent.days() == ["2026-01-05"]


@jumping
@pytest.mark.parametrize("content", [b"", b"yesterday\n", b"\xff" * 20, b"1" * 9999])
async def test_a_record_that_is_none_is_made_anew(
    tmp_path: Path, content: bytes
) -> None:
    sent = Sent(tmp_path, "2026-01-05T21:00:00")
    sent.record.write_bytes(content)
    await sent.for_hours(1)

    assert sent.days() == ["2026-01-05"]
    assert sent.record.read_text() == "2026-01-05\n"
    assert sent.record.stat().st_mode & 0o777 == 0o600


@jumping
async def test_a_record_that_cannot_be_written_is_named_and_the_day_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sent = Sent(tmp_path / "gone", "2026-01-05T21:00:00")
    with caplog.at_level(logging.WARNING):
        await sent.for_hours(2)

    assert sent.days() == ["2026-01-05"]
    assert "t.db.reported cannot be written" in caplog.text

"""The days of the broker's calendar, and their hours, which are New York's."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from datetime import date

_NEW_YORK = ZoneInfo("America/New_York")
_FRIDAY = 4
_OPENS, _CLOSES = time(9, 30), time(16)  # of a whole day


def day_of_trade(moment: datetime) -> date:
    """Return the exchange's day of a time."""
    return moment.astimezone(_NEW_YORK).date()


def day_began(moment: datetime) -> datetime:
    """Return when the moment's trading day began: midnight in New York, as UTC."""
    return datetime.combine(day_of_trade(moment), time(), _NEW_YORK).astimezone(UTC)


def is_night(moment: datetime) -> bool:
    """Return whether no session of shares is ever held at a time.

    Holidays and half days are the calendar's alone.
    """
    there = moment.astimezone(_NEW_YORK)
    return there.weekday() > _FRIDAY or not _OPENS <= there.time() < _CLOSES

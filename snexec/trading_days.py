"""The days of the broker's calendar, which are New York's."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from datetime import date

_NEW_YORK = ZoneInfo("America/New_York")


def day_of_trade(moment: datetime) -> date:
    """Return the exchange's day of a time."""
    return moment.astimezone(_NEW_YORK).date()


def day_began(moment: datetime) -> datetime:
    """Return when the moment's trading day began: midnight in New York, as UTC."""
    return datetime.combine(day_of_trade(moment), time(), _NEW_YORK).astimezone(UTC)

"""The broker's trading days (SPEC 12.8a): what ``/v2/calendar`` says; no I/O here."""

from __future__ import annotations

from datetime import date, time
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
)

from snexec.errors import UnknownOutcomeError


def _day(value: object) -> object:
    return date.fromisoformat(value) if isinstance(value, str) else value


def _hour(value: object) -> object:
    return time.fromisoformat(value) if isinstance(value, str) else value


class TradingDay(BaseModel):
    """One day on which shares are traded.

    Attributes:
        open: When the regular session opens, in New York's time.
        close: When it closes, likewise; early on a half day.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    date: Annotated[date, BeforeValidator(_day)]
    open: Annotated[time, BeforeValidator(_hour)]
    close: Annotated[time, BeforeValidator(_hour)]


_DAYS = TypeAdapter(list[TradingDay])


def read_trading_days(content: bytes) -> list[TradingDay]:
    """Read the body of a 200 as trading days, in their order.

    Raises:
        UnknownOutcomeError: It cannot be read.
    """
    try:
        days = _DAYS.validate_json(content)
    except ValidationError as exc:
        kind = exc.errors(include_url=False, include_input=False)[0]["type"]
        raise UnknownOutcomeError(f"the calendar cannot be read ({kind})") from None
    return sorted(days, key=lambda day: day.date)

"""When the simulated market is open: as a control says, or every day at the usual hours."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from snexec.exchange.errors import invalid

_DAYS_MAX = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Market:
    """What the clock says about the market.

    Attributes:
        changes_ns: When it opens or closes next, in nanoseconds since the epoch; None is
            the usual hour.
    """

    is_open: bool = True
    changes_ns: int | None = None

    def open_at(self, ns: int) -> bool:
        """Return whether it is open at a time; an announced change happens by itself."""
        changed = self.changes_ns is not None and ns >= self.changes_ns
        return self.is_open != changed


def calendar(params: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the trading days that are asked for; here every day is one.

    Raises:
        ApiError: A date cannot be read.
    """
    today = datetime.now(UTC).date()
    try:
        start = date.fromisoformat(params.get("start", today.isoformat())[:10])
        end = date.fromisoformat(params.get("end", start.isoformat())[:10])
    except ValueError as exc:
        raise invalid(str(exc)) from exc
    days = min((end - start).days + 1, _DAYS_MAX)
    return [
        {
            "close": "16:00",
            "date": (start + timedelta(days=n)).isoformat(),
            "open": "09:30",
            "session_close": "2000",
            "session_open": "0400",
            "settlement_date": (start + timedelta(days=n + 1)).isoformat(),
        }
        for n in range(days)
    ]

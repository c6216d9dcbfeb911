"""Corporate actions that are announced, as market data lists them (ALPACA-EXITS 1.5).

Whether one is ever carried out on an account is another matter (``corporate_actions``).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from snexec.exchange.assets import canonical
from snexec.exchange.errors import invalid
from snexec.exchange.spelling import new_id

Kind = Literal["forward_split", "reverse_split", "unit_split", "name_change"]

_LIMIT, _LIMIT_MAX = 100, 1000
_KEPT = 10_000
_CUSIP = "000000000"


class Announcement(BaseModel):
    """One corporate action that is announced.

    Attributes:
        symbol: Whose.
        kind: As Alpaca names it.
        new_rate: How many shares there are for `old_rate` of the old ones.
        day: When it takes effect.
        new_symbol: What the new shares are called; None is as before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    symbol: str
    kind: Kind = "forward_split"
    new_rate: float = Field(default=2, gt=0, allow_inf_nan=False)
    old_rate: float = Field(default=1, gt=0, allow_inf_nan=False)
    day: date
    new_symbol: str | None = None

    def fields(self) -> dict[str, object]:
        """Return it as market data spells it, but for its id."""
        day, symbol = self.day.isoformat(), canonical(self.symbol)
        rates = {"new_rate": self.new_rate, "old_rate": self.old_rate}
        both = {"new_cusip": _CUSIP, "old_cusip": _CUSIP, "process_date": day}
        after = symbol if self.new_symbol is None else canonical(self.new_symbol)
        match self.kind:
            case "forward_split":
                dates = {"process_date": day, "ex_date": day}
                return {"symbol": symbol, "cusip": _CUSIP, **rates, **dates}
            case "reverse_split":
                renamed = {} if after == symbol else {"new_symbol": after}
                return {"symbol": symbol, **rates, **both, "ex_date": day, **renamed}
            case "unit_split":
                other = {"alternate_symbol": f"{after}W", "alternate_cusip": _CUSIP}
                names = {"old_symbol": symbol, "new_symbol": after, **other}
                return {
                    **names,
                    **rates,
                    **both,
                    "alternate_rate": 0.5,
                    "effective_date": day,
                }
            case "name_change":
                return {"old_symbol": symbol, "new_symbol": after, **both}


class Announcements:
    """Remembers what is announced, and answers what is asked about it.

    Args:
        now_ns: The time, in nanoseconds since the epoch.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._all: list[tuple[str, Announcement]] = []

    def add(self, announcement: Announcement) -> None:
        """Announce a corporate action."""
        self._all.append((new_id(), announcement))
        del self._all[:-_KEPT]

    def answer(self, params: Mapping[str, str]) -> dict[str, object]:
        """Return the page that a query asks for, oldest first.

        Raises:
            ApiError: It makes no sense.
        """
        today = datetime.fromtimestamp(self._now_ns() / 1e9, UTC).date().isoformat()
        try:
            start = date.fromisoformat(params.get("start", today))
            end = date.fromisoformat(params.get("end", today))
            limit = int(params.get("limit", _LIMIT))
            skipped = int(params.get("page_token") or 0)
        except ValueError as exc:
            raise invalid(str(exc)) from exc
        if not 1 <= limit <= _LIMIT_MAX or skipped < 0:
            raise invalid(f"limit must be between 1 and {_LIMIT_MAX}")
        if end < start:
            raise invalid("end should not be before start")
        symbols = {canonical(each) for each in _names(params, "symbols")}
        kinds = set(_names(params, "types"))
        found = [
            (ident, each)
            for ident, each in sorted(self._all, key=lambda entry: entry[1].day)
            if start <= each.day <= end
            and (not symbols or canonical(each.symbol) in symbols)
            and (not kinds or each.kind in kinds)
        ]
        page: dict[str, list[dict[str, object]]] = {}
        for ident, each in found[skipped : skipped + limit]:
            page.setdefault(f"{each.kind}s", []).append({"id": ident} | each.fields())
        more = str(skipped + limit) if len(found) > skipped + limit else None
        return {"corporate_actions": page, "next_page_token": more}


def _names(params: Mapping[str, str], name: str) -> list[str]:
    return [each for each in params.get(name, "").split(",") if each]

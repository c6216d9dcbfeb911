"""What the stand-in broker says of the account and the market, as long as Alpaca's words.

Everything is spelled beforehand: the time the broker takes is not to be measured.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta, timezone

_NEW_YORK = timezone(timedelta(hours=-5))
PRICE = "100"

# Every field that Alpaca sends (ALPACA 2.2), as reading them is part of what is measured.
_POSITION = json.dumps(
    {
        "asset_id": "3795cafe-fd54-4f66-a31e-66774be875ca",
        "symbol": "%(symbol)s",
        "exchange": "NASDAQ",
        "asset_class": "us_equity",
        "asset_marginable": True,
        "qty": "1",
        "avg_entry_price": PRICE,
        "side": "long",
        "market_value": "%(price)s",
        "cost_basis": PRICE,
        "unrealized_pl": "0.21",
        "unrealized_plpc": "0.0021",
        "unrealized_intraday_pl": "0.21",
        "unrealized_intraday_plpc": "0.0021",
        "current_price": "%(price)s",
        "lastday_price": PRICE,
        "change_today": "0.0021",
        "qty_available": "1",
    },
    separators=(",", ":"),
)


class Account:
    """What is held, and what that costs."""

    def __init__(self) -> None:
        self._prices: dict[str, str] = {}
        self._positions = b"[]"

    def hold(self, count: int) -> int:
        """Hold one share each of W0, W1, …; return how many that are."""
        self._prices = {symbol_of(number): PRICE for number in range(count)}
        self._spell()
        return count

    def move(self, symbol: str, price: str) -> int:
        """Show another price; return ``time.monotonic_ns`` from before."""
        now_ns = time.monotonic_ns()
        self._prices[symbol] = price
        self._spell()
        return now_ns

    def sold(self, symbol: str) -> None:
        """Hold a symbol no more."""
        if self._prices.pop(symbol, None) is not None:
            self._positions = b""  # spelled when it is asked for

    def reply(self, path: str) -> bytes | None:
        """Return the answer to a question; None to one that is not known."""
        now = datetime.now(_NEW_YORK)
        match path:
            case "/v2/positions":
                if not self._positions:
                    self._spell()
                return self._positions
            case "/v2/clock":
                return json.dumps(
                    {
                        "timestamp": now.isoformat(),
                        "is_open": True,
                        "next_open": (now + timedelta(hours=24)).isoformat(),
                        "next_close": (now + timedelta(hours=6)).isoformat(),
                    }
                ).encode()
            case "/v2/calendar":
                # It has been open for long, whenever this is.
                day = {"date": f"{now.date()}", "open": "00:00", "close": "23:59"}
                return json.dumps([day]).encode()
            case "/v2/account/activities":
                return b"[]"
            case _:
                return None

    def _spell(self) -> None:
        each = (_POSITION % {"symbol": s, "price": p} for s, p in self._prices.items())
        self._positions = f"[{','.join(each)}]".encode()


def symbol_of(number: int) -> str:
    """Return the symbol of a position, counted from 0."""
    return f"W{number}"


def spelled(seconds: float) -> str:
    """Return a time, in seconds since 1970, as market data spells it."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}000Z"

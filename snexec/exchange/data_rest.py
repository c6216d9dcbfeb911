"""Market data over REST: latest prices, and what is announced (ALPACA-EXITS 2)."""

import json
from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from snexec.exchange.announcements import Announcements
from snexec.exchange.assets import canonical, exists
from snexec.exchange.errors import ApiError, invalid, rate_limited, unauthorized_key
from snexec.exchange.keys import key_of
from snexec.exchange.ratelimit import RateWindow
from snexec.exchange.spelling import Moment, timestamp
from snexec.exchange.tape import Tape

_SYMBOLS_MAX = 500


class DataRest:
    """Answers questions about prices, with a rate limit of its own.

    Args:
        tape: What was printed.
        announcements: What corporations are about to do.
        knows_key: Whether a key is authorized.
        rate: How often it may be asked.
    """

    def __init__(
        self,
        tape: Tape,
        announcements: Announcements,
        knows_key: Callable[[str], bool],
        rate: RateWindow,
    ) -> None:
        self._tape = tape
        self._announcements = announcements
        self._knows_key = knows_key
        self._rate = rate

    def routes(self) -> list[BaseRoute]:
        """Return the routes to mount at the base of market data."""
        stocks, crypto = "/v2/stocks", "/v1beta3/crypto/us"
        return [
            self._latest(f"{stocks}/snapshots", self._snapshot, ""),
            self._latest(f"{stocks}/trades/latest", self._trade, "trades"),
            self._latest(f"{stocks}/quotes/latest", self._quote, "quotes"),
            self._latest(f"{crypto}/snapshots", self._snapshot, "snapshots"),
            self._latest(f"{crypto}/latest/trades", self._trade, "trades"),
            self._latest(f"{crypto}/latest/quotes", self._quote, "quotes"),
            self._route("/v1/corporate-actions", self._announced),
        ]

    def _latest(
        self, path: str, show: Callable[[str], dict[str, object]], head: str
    ) -> Route:
        def found(request: Request) -> object:
            by_symbol = {name: show(name) for name in _symbols(request)}
            return {head: by_symbol} if head else by_symbol

        return self._route(path, found)

    def _route(self, path: str, find: Callable[[Request], object]) -> Route:
        async def answer(request: Request) -> Response:
            try:
                self._admit(request)
                response = _json(find(request))
            except ApiError as exc:
                response = _json(exc.body, exc.status)
            response.headers.update(self._rate.headers())
            return response

        endpoint: Callable[[Request], Awaitable[Response]] = answer
        return Route(path, endpoint, methods=["GET"])

    def _announced(self, request: Request) -> object:
        return self._announcements.answer(request.query_params)

    def _admit(self, request: Request) -> None:
        key = key_of(request)
        if key is None or not self._knows_key(key):
            raise unauthorized_key()
        if not self._rate.take():
            raise rate_limited()

    def _trade(self, symbol: str) -> dict[str, object]:
        return self._tape.trade(symbol).fields()

    def _quote(self, symbol: str) -> dict[str, object]:
        return self._tape.quote(symbol)

    def _snapshot(self, symbol: str) -> dict[str, object]:
        trade = self._tape.trade(symbol)
        price = float(trade.price)
        at = {"t": Moment(trade.at_ns)}
        bar = {**dict.fromkeys("ohlc", price), "vw": price, "v": 1000.0, "n": 10, **at}
        return {
            "latestTrade": trade.fields(),
            "latestQuote": self._tape.quote(symbol),
            "minuteBar": bar,
            "dailyBar": bar,
            "prevDailyBar": bar,
        }


def _symbols(request: Request) -> Iterable[str]:
    names = [
        name for name in request.query_params.get("symbols", "").split(",") if name
    ]
    if not names:
        raise invalid("symbols is required")
    if len(names) > _SYMBOLS_MAX:
        raise invalid(f"too many symbols: at most {_SYMBOLS_MAX}")
    return [name for name in map(canonical, names) if exists(name)]


def _json(body: object, status: int = 200) -> Response:
    text = json.dumps(body, separators=(",", ":"), default=spell)
    return Response(text, status_code=status, media_type="application/json")


def spell(value: object) -> str:
    """Spell a moment as JSON has it.

    Raises:
        TypeError: It is no moment.
    """
    if isinstance(value, Moment):
        return timestamp(value.ns)
    raise TypeError(f"cannot spell {type(value).__name__}")

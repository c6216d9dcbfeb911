"""The latest trade and quote of many symbols, by one question (SPEC 12.4)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from snexec.assets import asset_class
from snexec.errors import NoAccountError, UnknownOutcomeError
from snexec.market.data_settings import data_endpoint
from snexec.market.ticks import Print, Quote, exact, print_of, quote_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from snexec.broker import Accounts
    from snexec.broker.data import DataClient
    from snexec.market.data_settings import DataSettings
    from snexec.settings import LiveSettings

_SHARES_PATH = "/v2/stocks/snapshots"
_CRYPTO_PATH = "/v1beta3/crypto/us/snapshots"
_CHUNK = 200  # symbols a question: the answer stays well below what is read of one
_VALID = (None, "", "corrected")  # else it was canceled, or printed anew
_STREAM_ONLY = frozenset({"test"})  # feeds that only streams have

_decode = json.JSONDecoder(parse_float=exact).decode


class Snapshot(NamedTuple):
    """The latest that is known of a symbol.

    Attributes:
        trade: None if there is none, or none that can be read.
        quote: Likewise.
    """

    symbol: str
    trade: Print | None
    quote: Quote | None


class _Question(NamedTuple):
    """One question for the snapshots of some symbols.

    Attributes:
        head: The name under which they stand in the answer; empty where by themselves.
    """

    path: str
    head: str
    symbols: list[str]


class Snapshots:
    """Asks for snapshots, with requests of its own budget.

    Args:
        live: The mode, and how patient to be.
        accounts: Whose keys are used.
        settings: Says where to ask now; None without ``[exits]``.
    """

    def __init__(
        self,
        live: LiveSettings,
        accounts: Accounts,
        settings: Callable[[], DataSettings | None],
    ) -> None:
        self._live = live
        self._accounts = accounts
        self._settings = settings
        self._client: DataClient | None = None

    def client(self) -> DataClient:
        """Return the client of market data, for other questions to it as well.

        It is the same one until the settings or the keys change.

        Raises:
            NoAccountError: There is no ``[exits]``, or no mode has keys.
        """
        settings, live = self._settings(), self._live.now
        if settings is None:
            raise NoAccountError("there is no [exits]")
        endpoint = data_endpoint(settings, self._accounts, live.mode)
        if endpoint.credentials is None:
            raise NoAccountError("no mode has keys for market data")
        if self._client is None or self._client.endpoint != endpoint:
            self._client = self._accounts.data_client(
                endpoint, timeout_seconds=live.alpaca.order_timeout_sec
            )
        return self._client

    async def ask(self, symbols: Iterable[str]) -> dict[str, Snapshot]:
        """Ask for the snapshots of symbols.

        Args:
            symbols: In their canonical spelling.

        Returns:
            Those that the broker knows and that can be read, by symbol.

        Raises:
            NoAccountError: There is nobody to ask.
            BrokerError: One of the questions has no readable answer; see ``DataClient``.
        """
        client, settings = self.client(), self._settings()
        found: dict[str, Snapshot] = {}
        feed = settings.feed if settings is not None else ""
        for each in _questions(symbols):
            query = {"symbols": ",".join(each.symbols)}
            if not each.head and feed not in _STREAM_ONLY:
                query["feed"] = feed
            content = await client.get(f"{each.path}?{urlencode(query, safe=',/')}")
            found |= read_snapshots(content, each.symbols, head=each.head)
        return found


def read_snapshots(
    content: bytes, asked: Iterable[str], *, head: str = ""
) -> dict[str, Snapshot]:
    """Read the body of a 200 as snapshots of the symbols that were asked for.

    Args:
        content: The body.
        asked: The symbols; what is said of others is passed over.
        head: The name under which they stand; empty where they stand by themselves.

    Raises:
        UnknownOutcomeError: It is no answer to that question.
    """
    try:
        told = _decode(content.decode())
        told = told[head] if head else told
    except (ValueError, RecursionError, KeyError, TypeError):
        told = None
    if not isinstance(told, dict):
        raise UnknownOutcomeError("the answer holds no snapshots")
    read = {symbol: _snapshot(symbol, told.get(symbol)) for symbol in asked}
    return {symbol: snapshot for symbol, snapshot in read.items() if snapshot}


def _snapshot(symbol: str, fields: object) -> Snapshot | None:
    if not isinstance(fields, dict):
        return None
    last, best = fields.get("latestTrade"), fields.get("latestQuote")
    trade = None
    if isinstance(last, dict) and last.get("u") in _VALID:
        trade = print_of(symbol, last)
    quote = quote_of(symbol, best) if isinstance(best, dict) else None
    return Snapshot(symbol, trade, quote) if trade or quote else None


def _questions(symbols: Iterable[str]) -> Iterator[_Question]:
    shares: list[str] = []
    pairs: list[str] = []
    for symbol in dict.fromkeys(symbols):
        (pairs if asset_class(symbol).around_the_clock else shares).append(symbol)
    for path, head, all_of_them in (
        (_SHARES_PATH, "", shares),
        (_CRYPTO_PATH, "snapshots", pairs),
    ):
        for start in range(0, len(all_of_them), _CHUNK):
            yield _Question(path, head, all_of_them[start : start + _CHUNK])

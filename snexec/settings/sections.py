"""The configuration's sections, frozen: durations in seconds, amounts in dollars."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, Field, model_validator

from snexec.assets import canonical_symbol
from snexec.exchange.settings import ExchangeSettings
from snexec.model import EXIT_EVENTS, ExitEvent, Mode, Stars
from snexec.settings.exits import ExitSettings
from snexec.settings.http import HttpSettings, has_place
from snexec.settings.page import PageSettings
from snexec.settings.redis import RedisSettings
from snexec.settings.values import (
    Count,
    Dollars,
    Figure,
    FileName,
    Limit,
    ListenAddress,
    LiveUrl,
    PaperUrl,
    Seconds,
    SecondsOrNone,
    Secret,
    Section,
    SocketMode,
    SomeSymbols,
    Switch,
    Symbols,
    Tiers,
    TimeOfDay,
    TradeSize,
    Webhook,
    Word,
    host_and_port,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN_CHARS = 8  # a shorter part of a webhook's URL is a word, not a secret
_LONG_TOKEN_CHARS = 20  # of letters only
_USUAL = {"exit", "exit_placed", "exit_fill"}  # of each sell that goes well

NotifyKind = Literal[
    "fill",
    "partial_fill",
    "rejected",
    "refused",
    "missed",
    "outage",
    "unhealthy",
    "mode",
    "halt",
    "lease",
    ExitEvent,
    "limit",
    "start",
    "stop",
]


class AlpacaSettings(Section):
    """``[alpaca]``: where the broker is, and how long to wait for it."""

    simulate: bool = True
    paper_url: PaperUrl = "https://paper-api.alpaca.markets"
    live_url: LiveUrl = "https://api.alpaca.markets"
    rate_limit_per_min: int = Field(default=200, ge=1, le=1_000_000)
    order_timeout_sec: Seconds = 10.0
    warm_connections: int = Field(default=64, ge=0, le=1000)
    unknown_grace_sec: SecondsOrNone = 60.0
    reconcile_interval_sec: Seconds = 60.0
    api_key: Secret | None = None
    api_secret: Secret | None = None

    @model_validator(mode="after")
    def _keys_come_in_pairs(self) -> Self:
        if (self.api_key is None) != (self.api_secret is None):
            raise ValueError("api_key and api_secret go together")
        return self


class IntakeSettings(Section):
    """``[intake]``: the socket, and the limits on what is accepted."""

    socket: FileName = "snexec.sock"
    socket_mode: SocketMode = "0600"
    socket_group: Annotated[Word, Field(min_length=1)] | None = None
    max_pending: int = Field(default=1024, ge=1, le=1_000_000)
    max_in_flight: int = Field(default=64, ge=1, le=10_000)
    max_signal_age_sec: Seconds = 30.0
    settle_timeout_sec: SecondsOrNone = 30.0
    shutdown_timeout_sec: SecondsOrNone = 10.0


class StreamSettings(Section):
    """``[stream]``: the delays of the trading stream."""

    reconnect_delay_sec: Seconds = 5.0
    restart_delay_sec: SecondsOrNone = 0.1


class BotSettings(Section):
    """``[bot]``: whether to trade, the dollars per order, and the limits.

    A limit that is None is off, as one that says ``"off"`` is; ``snexec.risk.gates`` says
    what each one means.
    """

    enabled: bool = True
    state: Literal["stopped", "running", "paused"] = "running"
    trade_size_stars3: TradeSize = Decimal(50)
    trade_size_stars4: TradeSize = Decimal(75)
    trade_size_stars5: TradeSize = Decimal(100)
    enabled_catalyst_tiers: Limit[Tiers] = None
    symbols_allowed: Limit[SomeSymbols] = None
    symbols_blocked: Limit[Symbols] = None
    max_share_price: Limit[Dollars] = None
    max_float_shares: Limit[Figure] = None
    min_relative_volume: Limit[Figure] = None
    require_market_open: Switch = False
    max_concurrent_positions: Limit[Count] = None
    daily_loss_limit_usd: Limit[Dollars] = None
    min_win_rate: Limit[Annotated[float, Field(ge=0, le=1)]] = None
    min_win_rate_trades: Limit[Annotated[int, Field(ge=1, le=10_000)]] = None
    symbol_cooldown_sec: Limit[Seconds] = None
    max_orders_per_minute: Limit[Annotated[int, Field(ge=1, le=10_000)]] = None
    max_orders_per_day: Limit[Count] = None
    max_notional_per_day_usd: Limit[Dollars] = None
    halt_after_refusals: Limit[Count] = None

    @model_validator(mode="after")
    def _win_rate_has_both_its_keys(self) -> Self:
        rate, trades = self.min_win_rate, self.min_win_rate_trades
        off = rate is None and "min_win_rate" in self.model_fields_set
        if (rate is None) != (trades is None) and not off:
            raise ValueError("min_win_rate and min_win_rate_trades go together")
        return self

    def dollars(self, stars: Stars) -> Decimal:
        """Return the size, in dollars, of an order with this many stars."""
        match stars:
            case 3:
                return self.trade_size_stars3
            case 4:
                return self.trade_size_stars4
            case 5:
                return self.trade_size_stars5


class MetricsSettings(Section):
    """``[metrics]``: figures for Prometheus and a health check, off by default.

    Attributes:
        listen: ``host:port`` to serve at; port 0 means any free one.
        stream_grace_sec: How long the stream may be down before the daemon counts as
            unhealthy.
    """

    listen: ListenAddress | None = None
    stream_grace_sec: SecondsOrNone = 60.0

    def host_and_port(self) -> tuple[str, int] | None:
        """Return the host and port to listen at; None to listen nowhere."""
        return None if self.listen is None else host_and_port(self.listen)


class NotifySettings(Section):
    """``[notify]``: who is notified of what happens, nobody by default.

    Attributes:
        command: A program and its arguments; the text is added as the last one.
        webhook: A URL to POST to; it may hold a secret.
        events: What is notified.
        outage_sec: How long the stream is down before that is notified.
        daily_at: When the day's report is sent, in New York; never where it is None.
    """

    command: list[Word] | None = Field(default=None, min_length=1)
    webhook: Webhook | None = None
    events: list[NotifyKind] = Field(
        default=[
            "fill",
            "rejected",
            "refused",
            "missed",
            "outage",
            "unhealthy",
            "mode",
            "halt",
            "lease",
            *(each for each in EXIT_EVENTS if each not in _USUAL),
            "limit",
            "start",
            "stop",
        ]
    )
    outage_sec: SecondsOrNone = 60.0
    daily_at: TimeOfDay | None = None

    @model_validator(mode="after")
    def _somebody_gets_it(self) -> Self:
        if self.daily_at is not None and (self.command or self.webhook) is None:
            raise ValueError("daily_at needs a command or a webhook to send it to")
        return self

    @property
    def is_on(self) -> bool:
        """Whether anything is sent to anybody."""
        wanted = bool(self.events) or self.daily_at is not None
        return wanted and (self.command or self.webhook) is not None

    def secrets(self) -> set[str]:
        """Return what must not be shown: the URL, and what in it may be a token."""
        if self.webhook is None:
            return self.tokens()
        url = self.webhook.get_secret_value()
        path = url.partition("//")[2].partition("/")[2]
        addresses = {url, path} if len(path) >= _TOKEN_CHARS else {url}
        return addresses | self.tokens()

    def tokens(self) -> set[str]:
        """Return those secrets of which no part must be shown either."""
        if self.webhook is None:
            return self.command_tokens()
        url = self.webhook.get_secret_value()
        return self.command_tokens() | set(_tokens_in(url))

    def command_tokens(self) -> set[str]:
        """Return those that the command's arguments hold."""
        urls = [word for word in self.command or () if "://" in word]
        return {token for url in urls for token in _tokens_in(url)}


def _tokens_in(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
    except ValueError:
        yield url  # a service of a command's own kind
        return
    values = [value for _name, value in parse_qsl(parts.query)]
    # What stands where the host does is a token in some services' URLs.
    user, _, host = parts.netloc.rpartition("@")
    hosts = [] if parts.scheme in {"http", "https"} else [host]
    words = [*re.split(r"[/:@;,]", "/".join([user, parts.path, *hosts])), *values]
    yield from filter(_may_be_token, [*words, parts.fragment])
    if parts.password:
        yield parts.password


def _may_be_token(word: str) -> bool:
    """Return whether it is a token, not a service's own word that logs hold too."""
    has_digit = any(character.isdigit() for character in word)
    return len(word) >= (_TOKEN_CHARS if has_digit else _LONG_TOKEN_CHARS)


def _as_ordered(exchange: ExchangeSettings) -> ExchangeSettings:
    """Name the symbols that misbehave as the daemon's orders do."""
    symbols = {}
    for written, behaviour in exchange.symbols.items():
        try:
            symbol = canonical_symbol(written)
        except ValueError:
            symbol = written  # somebody else may order it there
        if symbol in symbols:
            raise ValueError(
                f"symbols.{written}: {symbol} is named twice, in two spellings"
            )
        symbols[symbol] = behaviour
    return exchange.model_copy(update={"symbols": symbols})


class LogSettings(Section):
    """``[log]``: what is kept of what happens, beside the rows.

    Attributes:
        signals: Whether the last 10,000 decisions on signals are kept.
    """

    signals: bool = True


class Settings(Section):
    """The whole file.

    Attributes:
        database: The path of the SQLite file; absolute once loaded.
        exits: None without its section: then nothing is sold but by ``close``.
        page: None without its section: then there is no page.
        redis: None without its section: then nothing of Redis is even imported.
    """

    mode: Mode = "paper"
    database: FileName = "snexec.db"
    alpaca: AlpacaSettings = AlpacaSettings()
    intake: IntakeSettings = IntakeSettings()
    stream: StreamSettings = StreamSettings()
    bot: BotSettings = BotSettings()
    exits: ExitSettings | None = None
    exchange: Annotated[ExchangeSettings, AfterValidator(_as_ordered)] = (
        ExchangeSettings()
    )
    metrics: MetricsSettings = MetricsSettings()
    page: PageSettings | None = None
    http: Annotated[HttpSettings, AfterValidator(has_place)] = HttpSettings()
    notify: NotifySettings = NotifySettings()
    log: LogSettings = LogSettings()
    redis: RedisSettings | None = None

    def base_url(self, mode: Mode) -> str:
        """Return the REST base URL of a mode, without a trailing slash."""
        return self.alpaca.paper_url if mode == "paper" else self.alpaca.live_url

    def simulated_exchange(self) -> ExchangeSettings:
        """Return ``[exchange]`` with the rate limit that the daemon starts with."""
        limit = {"rate_limit_per_min": self.alpaca.rate_limit_per_min}
        return self.exchange.model_copy(update=limit)

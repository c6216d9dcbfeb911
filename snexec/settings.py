"""The configuration: one frozen object, read from the file and the environment.

The only reader of either (SPEC 3). Durations are seconds, amounts are dollars.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self, get_args
from urllib.parse import parse_qsl, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from snexec.errors import ConfigError
from snexec.exchange.settings import ExchangeSettings
from snexec.signals import valid_symbol

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from snexec.signals import Stars

Mode = Literal["paper", "live"]
MODES: tuple[Mode, ...] = get_args(Mode)

_SHOWN_VALUE_CHARS = 1000
_URL_USER = re.compile("//.*@")
# A command's words may hold one too, such as a service's address with its token.
_SECRET_KEYS = ("api_key", "api_secret", "notify.webhook", "notify.command")
_MAX_PORT = 65_535
_TOKEN_CHARS = 8  # a shorter part of a webhook's URL is a word, no secret
_LONG_TOKEN_CHARS = 20  # of letters only
_MAX_CREDENTIAL_BYTES = 4096
_MAX_SOCKET_PATH_BYTES = 107  # sockaddr_un holds 108 with its terminator
_READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH


def _base_url(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be printable ASCII without spaces")
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError("is not a URL with a valid port") from exc
    if parts.scheme not in {"https", "http"} or not parts.hostname or port == 0:
        raise ValueError("must be an https:// URL")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold a host and a path only")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ValueError("must be https:// (http:// is for loopback hosts only)")
    return parts._replace(netloc=parts.netloc.lower()).geturl().rstrip("/")


def _file_name(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold a NUL character")
    return value


def _listen_address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    named = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (
        not colon
        or not named
        or (":" in named and named == host)
        or not (port.isascii() and port.isdigit() and int(port) <= _MAX_PORT)
    ):
        raise ValueError(
            'must be "host:port", an IPv6 address in brackets, such as'
            ' "127.0.0.1:9464" or "[::1]:9464"'
        )
    return value


def _webhook(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    problem = ValueError("must be an https:// URL (http:// is for loopback hosts only)")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without spaces")
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise problem from None
    secure = parts.scheme == "https"
    loopback = parts.scheme == "http" and _is_loopback(parts.hostname or "")
    if not usable or not (secure or loopback):
        raise problem
    return value


def _word(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold a NUL character")
    return value


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _dollars(value: object) -> object:
    # Through the shortest text of the float: 50.1 means 50.10 and not 50.0999….
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(repr(value))
    raise ValueError("must be a number of dollars")


def _no_doubles(value: list[int]) -> list[int]:
    if len(set(value)) < len(value):
        raise ValueError("must not name a tier twice")
    return value


def _listed(value: object) -> object:
    if not isinstance(value, list):
        raise ValueError("must be a list")  # noqa: TRY004 - pydantic's own way
    return value


def _not_empty(value: list[int] | frozenset[str]) -> list[int] | frozenset[str]:
    # It could mean anything or nothing.
    if not value:
        raise ValueError("must not be empty: leave the key out for no limit")
    return value


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without spaces, and not empty")
    return value


Seconds = Annotated[float, Field(gt=0, le=86_400)]
SecondsOrNone = Annotated[float, Field(ge=0, le=86_400)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
TradeSize = Annotated[Decimal, BeforeValidator(_dollars), Field(ge=1, le=1_000_000_000)]
Dollars = Annotated[Decimal, BeforeValidator(_dollars), Field(gt=0, le=1_000_000_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Tiers = Annotated[
    list[Annotated[int, Field(ge=1, le=4)]],
    AfterValidator(_no_doubles),
    AfterValidator(_not_empty),
]
Symbols = Annotated[
    frozenset[Annotated[str, AfterValidator(valid_symbol)]],
    BeforeValidator(_listed),
    Field(strict=False),  # TOML has lists only
]
SomeSymbols = Annotated[Symbols, AfterValidator(_not_empty)]
Figure = Annotated[float, Field(gt=0, le=1e18)]
Secret = Annotated[SecretStr, AfterValidator(_header_value)]
FileName = Annotated[str, Field(min_length=1), AfterValidator(_file_name)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
Webhook = Annotated[SecretStr, AfterValidator(_webhook)]
Word = Annotated[str, AfterValidator(_word)]

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
]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False
    )


class AlpacaSettings(_Section):
    """``[alpaca]``: where the broker is and how patient to be with it."""

    simulate: bool = True
    paper_url: BaseUrl = "https://paper-api.alpaca.markets"
    live_url: BaseUrl = "https://api.alpaca.markets"
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


class IntakeSettings(_Section):
    """``[intake]``: the socket and the bounds of what is taken."""

    socket: FileName = "snexec.sock"
    max_pending: int = Field(default=1024, ge=1, le=1_000_000)
    max_in_flight: int = Field(default=64, ge=1, le=10_000)
    max_signal_age_sec: Seconds = 30.0
    settle_timeout_sec: SecondsOrNone = 30.0
    shutdown_timeout_sec: SecondsOrNone = 10.0


class StreamSettings(_Section):
    """``[stream]``: delays of the trading stream."""

    reconnect_delay_sec: Seconds = 5.0
    restart_delay_sec: SecondsOrNone = 0.1


class BotSettings(_Section):
    """``[bot]``: whether to trade, how many dollars an order, and the limits.

    A limit that is None is off; ``snexec.risk.gates`` says what each one means.
    """

    enabled: bool = True
    state: Literal["stopped", "running", "paused"] = "running"
    trade_size_stars3: TradeSize = Decimal(50)
    trade_size_stars4: TradeSize = Decimal(75)
    trade_size_stars5: TradeSize = Decimal(100)
    enabled_catalyst_tiers: Tiers | None = None
    symbols_allowed: SomeSymbols | None = None
    symbols_blocked: Symbols | None = None
    max_share_price: Dollars | None = None
    max_float_shares: Figure | None = None
    min_relative_volume: Figure | None = None
    require_market_open: bool = False
    max_concurrent_positions: Count | None = None
    daily_loss_limit_usd: Dollars | None = None
    min_win_rate: float | None = Field(default=None, ge=0, le=1)
    min_win_rate_trades: int | None = Field(default=None, ge=1, le=10_000)
    symbol_cooldown_sec: Seconds | None = None
    max_orders_per_minute: Annotated[int, Field(ge=1, le=10_000)] | None = None
    max_orders_per_day: Count | None = None
    max_notional_per_day_usd: Dollars | None = None
    halt_after_refusals: Count | None = None

    @model_validator(mode="after")
    def _win_rate_has_both_its_keys(self) -> Self:
        if (self.min_win_rate is None) != (self.min_win_rate_trades is None):
            raise ValueError("min_win_rate and min_win_rate_trades go together")
        return self

    def dollars(self, stars: Stars) -> Decimal:
        """Return the size of an order of so many stars."""
        match stars:
            case 3:
                return self.trade_size_stars3
            case 4:
                return self.trade_size_stars4
            case 5:
                return self.trade_size_stars5


class MetricsSettings(_Section):
    """``[metrics]``: figures for Prometheus and a health check, off by default.

    Attributes:
        listen: ``host:port`` to serve at; port 0 is any free one.
        stream_grace_sec: How long the stream may be away before that is unhealthy.
    """

    listen: ListenAddress | None = None
    stream_grace_sec: SecondsOrNone = 60.0

    def host_and_port(self) -> tuple[str, int] | None:
        """Return where to listen, if anywhere."""
        if self.listen is None:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)


class NotifySettings(_Section):
    """``[notify]``: whom to tell what happens, nobody by default.

    Attributes:
        command: A program and its arguments; the text is added as the last one.
        webhook: A URL that takes a POST; it may hold a secret.
        events: What is told.
        outage_sec: How long the stream is away before that is told.
    """

    command: list[Word] | None = Field(default=None, min_length=1)
    webhook: Webhook | None = None
    events: list[NotifyKind] = [
        "fill",
        "rejected",
        "refused",
        "missed",
        "outage",
        "unhealthy",
        "mode",
        "halt",
    ]
    outage_sec: SecondsOrNone = 60.0

    @property
    def is_on(self) -> bool:
        """Whether anybody is told anything."""
        return bool(self.events) and (self.command or self.webhook) is not None

    def secrets(self) -> set[str]:
        """Return what must not be shown: the URL, and what in it may be a token."""
        if self.webhook is None:
            return set()
        url = self.webhook.get_secret_value()
        parts = urlsplit(url)
        path = url.partition("//")[2].partition("/")[2]
        values = [value for _name, value in parse_qsl(parts.query)]
        words = [*re.split(r"[/:@;,]", parts.path), *values, parts.fragment]
        tokens = {word for word in words if _may_be_token(word)}
        if len(path) >= _TOKEN_CHARS:
            tokens.add(path)
        return {url, *tokens} | ({parts.password} if parts.password else set())


def _may_be_token(word: str) -> bool:
    """Tell a token from the words of a service's own, which stand in log lines too."""
    has_digit = any(character.isdigit() for character in word)
    return len(word) >= (_TOKEN_CHARS if has_digit else _LONG_TOKEN_CHARS)


class Settings(_Section):
    """The whole file.

    Attributes:
        database: Path of the SQLite file; absolute once loaded.
    """

    mode: Mode = "paper"
    database: FileName = "snexec.db"
    alpaca: AlpacaSettings = AlpacaSettings()
    intake: IntakeSettings = IntakeSettings()
    stream: StreamSettings = StreamSettings()
    bot: BotSettings = BotSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    metrics: MetricsSettings = MetricsSettings()
    notify: NotifySettings = NotifySettings()

    def base_url(self, mode: Mode) -> str:
        """Return the REST base URL of a mode, without a trailing slash."""
        return self.alpaca.paper_url if mode == "paper" else self.alpaca.live_url

    def simulated_exchange(self) -> ExchangeSettings:
        """Return ``[exchange]`` with the rate limit that the daemon starts from."""
        limit = {"rate_limit_per_min": self.alpaca.rate_limit_per_min}
        return self.exchange.model_copy(update=limit)


class Credentials(BaseModel):
    """A key pair, which never shows itself."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    key: Secret
    secret: Secret

    def values(self) -> tuple[str, str]:
        """Return key and secret in the clear."""
        return self.key.get_secret_value(), self.secret.get_secret_value()


def credentials_for(
    mode: Mode, settings: Settings, environ: Mapping[str, str] = os.environ
) -> Credentials | None:
    """Return the key pair of a mode: its own names, the common ones, the file.

    Each name is looked for in the environment, and then among the service manager's
    credentials (``LoadCredential=``), in capitals or in small letters.

    Raises:
        ConfigError: A pair is incomplete, cannot be read or cannot stand in a header.
    """
    sources = "environment"
    if environ.get("CREDENTIALS_DIRECTORY"):
        sources += " or credentials"
    for prefix in (f"APCA_{mode.upper()}_API", "APCA_API"):
        key_name, secret_name = f"{prefix}_KEY_ID", f"{prefix}_SECRET_KEY"
        key = environ.get(key_name) or credential(key_name, environ)
        secret = environ.get(secret_name) or credential(secret_name, environ)
        if key and secret:
            try:
                return Credentials(key=SecretStr(key), secret=SecretStr(secret))
            except ValidationError as exc:
                bad = key_name if exc.errors()[0]["loc"] == ("key",) else secret_name
                raise ConfigError(
                    f"{sources}: {bad}: must be printable ASCII without spaces"
                ) from None
        if key or secret:
            missing = secret_name if key else key_name
            raise ConfigError(f"{sources}: {missing}: is not set, and its twin is")
    if settings.alpaca.api_key and settings.alpaca.api_secret:
        return Credentials(
            key=settings.alpaca.api_key, secret=settings.alpaca.api_secret
        )
    return None


def credential(name: str, environ: Mapping[str, str]) -> str | None:
    """Read what systemd's ``LoadCredential=`` has put down under a name, if anything.

    Raises:
        ConfigError: It is there and cannot be read.
    """
    folder = environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    for file_name in (name, name.lower()):
        path = Path(folder, file_name)
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_CREDENTIAL_BYTES + 1)
        except FileNotFoundError:
            continue
        except OSError as exc:
            raise ConfigError(f"credential {file_name}: {exc.strerror}") from None
        if len(content) > _MAX_CREDENTIAL_BYTES:
            raise ConfigError(f"credential {file_name}: is too long for a key")
        return content.decode(errors="replace").removesuffix("\n").removesuffix("\r")
    return None


def load_settings(path: Path, *, again: bool = False) -> Settings:
    """Read and validate a config file.

    Args:
        path: The file.
        again: Whether it has been read before; an empty one is being written then.

    Raises:
        ConfigError: It cannot be read or does not validate; the message names the
            file, the key, the value and what is allowed.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as exc:
        reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
        raise ConfigError(f"{path}: {reason}") from None
    if again and not values:
        raise ConfigError(f"{path}: is empty; is it being written?")
    try:
        settings = Settings.model_validate(values)
    except ValidationError as exc:
        problems = "; ".join(
            _explain(detail) for detail in exc.errors(include_url=False)
        )
        raise ConfigError(f"{path}: {problems}") from None
    base = path.resolve().parent
    socket = str(base / settings.intake.socket)
    if len(os.fsencode(socket)) > _MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            f"{path}: intake.socket: {socket} is longer than the"
            f" {_MAX_SOCKET_PATH_BYTES} bytes that a Unix socket's path may have"
        )
    intake = settings.intake.model_copy(update={"socket": socket})
    database = str(base / settings.database)
    return settings.model_copy(update={"intake": intake, "database": database})


def keys_lie_open(path: Path, settings: Settings) -> bool:
    """Tell whether the file holds keys and others than its owner can read it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    secret = settings.alpaca.api_key or settings.notify.webhook
    return secret is not None and bool(mode & _READABLE_BY_OTHERS)


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """Name the keys whose values differ, as ``section.key``."""
    names: list[str] = []
    for name in Settings.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, _Section):
            names += [
                f"{name}.{key}"
                for key in type(before).model_fields
                if getattr(before, key) != getattr(after, key)
            ]
        elif before != after:
            names.append(name)
    return names


_RELOADABLE = (
    "mode",
    "bot.",
    "alpaca.paper_url",
    "alpaca.live_url",
    "alpaca.api_key",
    "alpaca.api_secret",
)


def reloadable(name: str) -> bool:
    """Tell whether a key named by ``changed_keys`` holds without a restart (SPEC 11)."""
    return name.startswith(_RELOADABLE)


def with_reloaded(old: Settings, new: Settings) -> Settings:
    """Return the old settings with the new values of what needs no restart."""
    alpaca = old.alpaca.model_copy(
        update={
            key: getattr(new.alpaca, key)
            for key in ("paper_url", "live_url", "api_key", "api_secret")
        }
    )
    return old.model_copy(
        update={"mode": new.mode, "bot": new.bot, "alpaca": alpaca},
    )


def _explain(detail: ErrorDetails) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        return f"{key}: is not a known key"
    if detail["type"] in {"model_type", "model_attributes_type"}:
        return f"{key}: must be a [{key}] table"
    given = detail["input"]
    if any(word in key for word in _SECRET_KEYS) or isinstance(given, dict | BaseModel):
        return f"{key}: {message}"  # a value that may be, or hold, a secret
    shown = _URL_USER.sub("//***@", repr(given))
    if len(shown) > _SHOWN_VALUE_CHARS:
        shown = shown[:_SHOWN_VALUE_CHARS] + "…"
    return f"{key}: {message} (got {shown})"

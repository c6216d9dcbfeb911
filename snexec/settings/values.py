"""The types of the configuration's values, each with its own validation (SPEC 3)."""

from __future__ import annotations

import ipaddress
import re
from decimal import Decimal
from typing import Annotated, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
)

from snexec.assets import canonical_symbol

_MAX_PORT = 65_535

_ALPACA = ".alpaca.markets"


class Section(BaseModel):
    """One table of the file; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False
    )


def base_url(value: str) -> str:
    """Check the URL of a REST API.

    Raises:
        ValueError: It is none, or would send keys over an open line.
    """
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
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must be https:// (http:// is for loopback hosts only)")
    return parts._replace(netloc=parts.netloc.lower()).geturl().rstrip("/")


def _paper_url(value: str) -> str:
    if _money(value) == "real":
        raise ValueError("is Alpaca's live host, where paper orders cost real money")
    return value


def _live_url(value: str) -> str:
    if _money(value) == "play":
        raise ValueError("is Alpaca's paper host, where live orders buy nothing")
    return value


def _money(url: str) -> Literal["real", "play"] | None:
    """Return which money a host of Alpaca's moves; None for any other host.

    ``api`` and ``paper-api`` are the traders', ``broker-api`` and ``broker-api.sandbox``
    the brokers', perhaps with a region (ALPACA 1).
    """
    host = unquote(urlsplit(url).hostname or "").rstrip(".").lower()
    name, *more = host.removesuffix(_ALPACA).split(".")
    if not host.endswith(_ALPACA):
        return None
    if name.startswith("paper") or "sandbox" in more:
        return "play"
    return "real" if name.endswith("api") else None


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
    loopback = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not usable or not (secure or loopback):
        raise problem
    return value


def _socket_mode(value: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3}", value):
        raise ValueError('must be text such as "0660"')
    if value[-1] != "0":
        raise ValueError("must give nothing to others: whoever may use it may trade")
    if value[-3] != "6" or value[-2] not in {"0", "6"}:
        raise ValueError('must be "0600", or "0660" for a group')
    return value


def _word(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not hold a NUL character")
    return value


def host_and_port(listen: str) -> tuple[str, int]:
    """Return the host and the port of an address to listen at."""
    host, _, port = listen.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: 127.0.0.0/8, ``::1`` or ``localhost``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _dollars(value: object) -> object:
    # By way of the float's shortest text: 50.1 means 50.10, not 50.0999….
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
        raise ValueError('must not be empty: "off" is no limit')
    return value


def _time_of_day(value: str) -> str:
    if not re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value):
        raise ValueError('must be a time of day, as "16:15"')
    return value


def _off(value: object) -> object:
    return None if value == "off" else value


def _off_is_false(value: object) -> object:
    return False if value == "off" else value


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII without spaces, and not empty")
    return value


T = TypeVar("T")
Limit = Annotated[T | None, BeforeValidator(_off)]
Switch = Annotated[bool, BeforeValidator(_off_is_false)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
SecondsOrNone = Annotated[float, Field(ge=0, le=86_400)]
BaseUrl = Annotated[str, AfterValidator(base_url)]
PaperUrl = Annotated[BaseUrl, AfterValidator(_paper_url)]
LiveUrl = Annotated[BaseUrl, AfterValidator(_live_url)]
TradeSize = Annotated[Decimal, BeforeValidator(_dollars), Field(ge=1, le=1_000_000_000)]
Dollars = Annotated[Decimal, BeforeValidator(_dollars), Field(gt=0, le=1_000_000_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Tiers = Annotated[
    list[Annotated[int, Field(ge=1, le=4)]],
    AfterValidator(_no_doubles),
    AfterValidator(_not_empty),
]
Symbols = Annotated[
    frozenset[Annotated[str, AfterValidator(canonical_symbol)]],
    BeforeValidator(_listed),
    Field(strict=False),  # TOML has lists only
]
SomeSymbols = Annotated[Symbols, AfterValidator(_not_empty)]
Figure = Annotated[float, Field(gt=0, le=1e18)]
Secret = Annotated[SecretStr, AfterValidator(_header_value)]
FileName = Annotated[str, Field(min_length=1), AfterValidator(_file_name)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
SocketMode = Annotated[str, AfterValidator(_socket_mode)]
TimeOfDay = Annotated[str, AfterValidator(_time_of_day)]
Webhook = Annotated[SecretStr, AfterValidator(_webhook)]
Word = Annotated[str, AfterValidator(_word)]

"""``[http]``: signals over HTTP, off by default (SPEC 13, Over HTTP)."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    SecretStr,
    ValidationInfo,
    model_validator,
)

from snexec.settings.page import PageSettings
from snexec.settings.values import ListenAddress, Section, host_and_port, is_loopback

TOKENS_NAME = "SNEXEC_HTTP_TOKENS"  # in the environment, or as a credential

_LEAST_TOKEN_CHARS = 32
_MOST_TOKEN_CHARS = 256
# What stands in a URL's path as it is, so that no sender and no proxy respells it.
_TOKEN = re.compile(r"[A-Za-z0-9._~-]+")
# Shorter than any token, so that a token is never shown where the two were swapped.
_NAME = re.compile(r"[A-Za-z0-9._-]{1,31}")


def _tokens(value: object) -> dict[str, SecretStr]:
    """Read the tokens by hand: no message of ours holds a part of one."""
    if not isinstance(value, dict):
        raise ValueError('must be a table such as { tradingview = "…" }')  # noqa: TRY004 - pydantic's own way
    tokens: dict[str, SecretStr] = {}
    for name, given in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(
                "a producer's name, left of its token, has 1 to 31 letters, digits,"
                " '.', '_' and '-'"
            )
        text = given.get_secret_value() if isinstance(given, SecretStr) else given
        if not isinstance(text, str):
            raise ValueError(f"the token of {name} must be a text")  # noqa: TRY004 - likewise
        if not _LEAST_TOKEN_CHARS <= len(text) <= _MOST_TOKEN_CHARS:
            raise ValueError(
                f"the token of {name} must have {_LEAST_TOKEN_CHARS} to"
                f" {_MOST_TOKEN_CHARS} characters"
            )
        if not _TOKEN.fullmatch(text):
            raise ValueError(
                f"the token of {name} may hold letters, digits, '.', '_', '~' and '-'"
            )
        if any(text == other.get_secret_value() for other in tokens.values()):
            raise ValueError(f"the token of {name} is another producer's too")
        tokens[name] = SecretStr(text)
    return tokens


def read_tokens(text: str) -> dict[str, SecretStr]:
    """Read the tokens of the environment or a credential: ``name=token``, any number.

    Raises:
        ValueError: They are none; the message holds no part of one.
    """
    tokens: dict[str, object] = {}
    for word in text.replace(",", " ").split():
        name, _, token = word.partition("=")
        if name in tokens:
            raise ValueError("names a producer twice")
        tokens[name] = token
    return _tokens(tokens)


def _proxy(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("must be an IP address, as the proxy connects from") from None


class HttpSettings(Section):
    """``[http]``: who may post signals, and where.

    Attributes:
        enabled: Whether any are taken.
        listen: ``host:port`` to take them at, beside the page or without one.
        trusted_proxy: The address of what does TLS on another machine.
        tokens: Each producer's secret, by its name; the environment may have others.
        per_minute: How many signals a producer may post.
    """

    enabled: bool = False
    listen: ListenAddress | None = None
    trusted_proxy: Annotated[str, AfterValidator(_proxy)] | None = None
    tokens: Annotated[dict[str, SecretStr], PlainValidator(_tokens)] = Field(default={})
    per_minute: int = Field(default=60, ge=1, le=100_000)

    @model_validator(mode="after")
    def _is_safe_where_it_listens(self) -> Self:
        at = self.host_and_port()
        if at is not None and not is_loopback(at[0]) and self.trusted_proxy is None:
            raise ValueError(
                f"listen: {at[0]} is no loopback address, so trusted_proxy must name"
                " the address of what does TLS"
            )
        return self

    def host_and_port(self) -> tuple[str, int] | None:
        """Return the host and port to listen at; None to listen nowhere else."""
        return None if self.listen is None else host_and_port(self.listen)

    def secrets(self) -> list[str]:
        """Return every token in the clear."""
        return [token.get_secret_value() for token in self.tokens.values()]


def has_place(http: HttpSettings, info: ValidationInfo) -> HttpSettings:
    """Check that signals are taken anywhere; the page and metrics are known by now.

    Raises:
        ValueError: They are not, or two servers would have one address.
    """
    if "page" not in info.data or not http.enabled:
        return http  # the page's own fault is named
    page: PageSettings | None = info.data["page"]
    if page is None and http.listen is None:
        raise ValueError("listen: must be set, as there is no [page] to post to")
    at, metrics = http.host_and_port(), info.data.get("metrics")
    if at is None or at[1] == 0 or metrics is None or metrics.host_and_port() != at:
        return http
    if page is None or page.host_and_port() != at:
        raise ValueError("listen: is metrics.listen's address too; name another")
    return http


def signals_at(http: HttpSettings, page: PageSettings | None) -> list[str]:
    """Return each ``host:port`` at which signals are taken; none where that is off."""
    if not http.enabled:
        return []
    places = [None if page is None else page.listen, http.listen]
    return list(dict.fromkeys(place for place in places if place is not None))

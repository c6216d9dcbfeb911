"""``[redis]``: where signals come from a stream, and who of several hosts is active (SPEC 13)."""

from __future__ import annotations

import re
import socket
from typing import Annotated, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, SecretStr

from snexec.settings.values import Seconds, Section, is_loopback

_PORT = 6379
_DATABASE = re.compile(r"/?|/\d{1,5}")
URL_NAME = "SNEXEC_REDIS_URL"  # in the environment, or as a credential


class RedisAddress(NamedTuple):
    """Where Redis is, and as whom to log in.

    Attributes:
        database: Its number.
        username: None for the default user.
        password: None where there is none.
        encrypted: Whether the host is verified, and what is said encrypted.
    """

    host: str
    port: int
    database: int
    username: str | None
    password: str | None
    encrypted: bool

    def __str__(self) -> str:
        """Return the address without what is secret."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.database}"


def read_address(url: str) -> RedisAddress:
    """Read a URL of Redis.

    Raises:
        ValueError: It is none, or would send signals over an open line.
    """
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be printable ASCII without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL with a valid port") from None
    if parts.scheme not in {"rediss", "redis"} or not parts.hostname or port == 0:
        raise ValueError("must be a rediss://host:port/database URL")
    if not _DATABASE.fullmatch(parts.path) or parts.query or parts.fragment:
        raise ValueError("must end in the number of the database, as /0")
    if parts.scheme == "redis" and not is_loopback(parts.hostname):
        raise ValueError("must be rediss:// (redis:// is for loopback hosts only)")
    return RedisAddress(
        host=parts.hostname,
        port=_PORT if port is None else port,
        database=int(parts.path.removeprefix("/") or 0),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        encrypted=parts.scheme == "rediss",
    )


def _url(value: SecretStr) -> SecretStr:
    read_address(value.get_secret_value())
    return value


def _key(value: str) -> str:
    if not value.isprintable() or " " in value:
        raise ValueError("must be printable, without spaces")
    return value


Url = Annotated[SecretStr, AfterValidator(_url)]
KeyName = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_key)]


class RedisSettings(Section):
    """``[redis]``: a stream that brings signals, one that results go to, and the lease.

    Attributes:
        url: None where the environment or a credential has it; a secret.
        group: One for each account: every group gets every signal.
        consumer: None for the host's name.
        lease_sec: One daemon of a group is active at a time; 0 where there is only one.
        claim_idle_sec: Without a lease, an entry that another consumer holds for so long
            is taken over.
        max_deliveries: An entry that was delivered more often goes to the dead stream.
        results: Where events are added; None for nowhere.
    """

    url: Url | None = None
    stream: KeyName = "snexec:signals"
    group: KeyName = "snexec"
    consumer: KeyName | None = None
    lease_sec: Annotated[float, Field(ge=0, le=3600)] = 10.0
    claim_idle_sec: Seconds = 30.0
    max_deliveries: Annotated[int, Field(ge=1, le=1000)] = 5
    results: KeyName | None = None
    results_max_length: Annotated[int, Field(ge=1, le=1_000_000_000)] = 100_000

    @property
    def name(self) -> str:
        """The consumer's name: which daemon of the group this one is."""
        return self.consumer or socket.gethostname() or "snexec"

    @property
    def holds_password(self) -> bool:
        """Whether the file itself has a password."""
        return (
            self.url is not None
            and read_address(self.url.get_secret_value()).password is not None
        )

    @property
    def dead(self) -> str:
        """The stream of what can never be traded."""
        return f"{self.stream}:dead"

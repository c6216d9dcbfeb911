"""Where an account trades, and with which keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import SecretStr

from snexec.settings import Credentials

if TYPE_CHECKING:
    from snexec.model import Mode

SIMULATED_KEYS = Credentials(
    key=SecretStr("simulated"), secret=SecretStr("simulated-secret")
)


class Endpoint(NamedTuple):
    """Where a mode trades, and with which keys.

    Attributes:
        url: REST base URL, without a trailing slash.
    """

    mode: Mode
    url: str
    credentials: Credentials | None

    @property
    def stream_url(self) -> str:
        """The trading stream's URL (SPEC 7)."""
        return "ws" + self.url.removeprefix("http") + "/stream"


class DataEndpoint(NamedTuple):
    """Where market data comes from, and with which keys.

    Attributes:
        url: REST base URL, without a trailing slash.
        stream_url: Base URL of the streams, likewise.
        credentials: None where no mode has keys.
    """

    url: str
    stream_url: str
    credentials: Credentials | None

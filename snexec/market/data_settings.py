"""What market data needs of the section ``[exits]`` (SPEC 12.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from snexec.broker import Accounts, DataEndpoint
    from snexec.model import Mode

PriceSource = Literal["positions", "snapshots", "stream"]


class DataSettings(Protocol):
    """Where prices come from."""

    @property
    def enabled(self) -> bool:
        """Whether anything is watched at all."""

    @property
    def price_source(self) -> PriceSource:
        """What prices come from first."""

    @property
    def feed(self) -> str:
        """Which tape, such as ``iex``."""

    @property
    def data_url(self) -> str:
        """REST base URL."""

    @property
    def data_stream_url(self) -> str:
        """Base URL of the streams."""


def data_endpoint(
    settings: DataSettings, accounts: Accounts, mode: Mode
) -> DataEndpoint:
    """Return where market data is, with the current mode's keys or else the other's."""
    return accounts.data_endpoint(
        mode, url=settings.data_url, stream_url=settings.data_stream_url
    )

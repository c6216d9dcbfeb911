"""``[page]``: the operator's page, off where the section is missing (SPEC 14)."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from snexec.settings.values import (
    FileName,
    ListenAddress,
    Section,
    host_and_port,
    is_loopback,
)

_ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - refused without names


def _host_name(value: str) -> str:
    allowed = value.isascii() and value.isprintable()
    if not value or not allowed or any(each in value for each in " /@:"):
        raise ValueError('must be a host\'s name without a port, as "trader.lan"')
    return value.lower()


HostName = Annotated[str, AfterValidator(_host_name)]


class PageSettings(Section):
    """``[page]``: where it is served, and to whom.

    Attributes:
        listen: ``host:port`` to serve at; port 0 means any free one.
        hosts: By which other names a browser may ask for it.
        actions: Whether it may halt, resume and close.
        certificate: A PEM file; with it the page is served over TLS.
        private_key: Its key, a PEM file.
    """

    listen: ListenAddress = "127.0.0.1:8720"
    hosts: list[HostName] = Field(default=[], max_length=100)
    actions: bool = True
    certificate: FileName | None = None
    private_key: FileName | None = None

    @model_validator(mode="after")
    def _is_safe_where_it_listens(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")
        host, _port = self.host_and_port()
        if not is_loopback(host) and self.certificate is None:
            raise ValueError(
                f"listen: {host} is no loopback address, so certificate and"
                " private_key must be set"
            )
        if host in _ANYWHERE and not self.hosts:
            raise ValueError(
                "hosts: must name the hosts by which a browser asks for it, as listen"
                f" is {host}"
            )
        return self

    def host_and_port(self) -> tuple[str, int]:
        """Return the host and port to listen at."""
        return host_and_port(self.listen)

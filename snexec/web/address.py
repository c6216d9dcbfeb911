"""The page's address, as a person opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snexec.settings import PageSettings

_ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - listened at, not opened


def page_address(page: PageSettings, *, port: int, key: str | None = None) -> str:
    """Return where a browser finds the page.

    Args:
        page: What is configured.
        port: Where it listens, if ``listen`` leaves that open.
        key: Opens it, if it is to be in the address.
    """
    host, _ = page.host_and_port()
    if host in _ANYWHERE:
        host = page.hosts[0]
    scheme = "http" if page.certificate is None else "https"
    return f"{scheme}://{authority(host, port)}/" + (
        "" if key is None else f"?key={key}"
    )


def authority(host: str, port: int) -> str:
    """Return a host and a port as they stand in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

"""How requests begin."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from snexec import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping


def order_head(base_url: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of an order's request, up to the length of its body."""
    lines = [
        *_head(base_url, "POST", "/v2/orders", headers),
        "Content-Type: application/json",
        "Content-Length: ",
    ]
    return "\r\n".join(lines).encode()


def question(
    base_url: str, method: str, path: str, headers: Mapping[str, str]
) -> bytes:
    """Return a request without a body, after which the server is to close."""
    lines = [*_head(base_url, method, path, headers), "Connection: close", "\r\n"]
    return "\r\n".join(lines).encode()


def _head(
    base_url: str, method: str, path: str, headers: Mapping[str, str]
) -> list[str]:
    url = urlsplit(base_url)
    return [
        f"{method} {url.path}{path} HTTP/1.1",
        f"Host: {url.netloc}",
        f"User-Agent: snexec/{__version__}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]

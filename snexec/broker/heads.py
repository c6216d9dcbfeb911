"""How the request of every order begins."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from snexec import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping


def order_head(base_url: str, headers: Mapping[str, str]) -> bytes:
    """Return the head of an order's request, up to the length of its body."""
    url = urlsplit(base_url)
    lines = [
        f"POST {url.path}/v2/orders HTTP/1.1",
        f"Host: {url.netloc}",
        f"User-Agent: snexec/{__version__}",
        *(f"{name}: {value}" for name, value in headers.items()),
        "Content-Type: application/json",
        "Content-Length: ",
    ]
    return "\r\n".join(lines).encode()

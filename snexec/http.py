"""httpx: its clients are made here, and keep nothing that an answer wants kept (SPEC 11).

Without the command line that comes with it, which would import Rich and Pygments where
they are installed and takes 100 ms, and without the HTTP/2, which nothing here speaks and
takes a quarter of the rest, and 2 MB.
"""

from __future__ import annotations

import sys
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING

# A module that is None here cannot be imported, and httpx does without it.
_UNUSED = [name for name in ("httpx._main", "h2") if name not in sys.modules]
sys.modules.update(dict.fromkeys(_UNUSED))  # type: ignore[arg-type]
try:
    import httpcore  # noqa: F401 - or httpx would later, with its first client
    import httpx
finally:
    for name in _UNUSED:
        del sys.modules[name]  # others may need it

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

MOST_BYTES = 1024 * 1024


class _NoCookies(CookieJar):
    """Keeps nothing: a proxy's cookies would grow the head of every later request."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Keep none."""

    def add_cookie_header(self, request: object) -> None:
        """Add none."""


def new_client(
    *,
    tls: ssl.SSLContext | None,
    headers: Mapping[str, str] | None = None,
    timeout: httpx.Timeout | None = None,
) -> httpx.AsyncClient:
    """Return a client whose requests depend on nothing but their caller.

    It follows no redirect, keeps no cookie, and reads neither proxies nor passwords from
    the environment.

    Args:
        tls: The context that verifies the host; None for hosts without TLS.
        headers: Sent with every request.
        timeout: None where the caller limits the time.
    """
    return httpx.AsyncClient(
        headers=dict(headers or {}),
        cookies=_NoCookies(),
        verify=tls if tls is not None else False,
        timeout=timeout,
        # A connection for each request: what came behind an answer, unasked, would be
        # taken for the answer to the next one.
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
        follow_redirects=False,
    )


async def read_body(
    answer: httpx.Response, *, into: bytearray, most_bytes: int = MOST_BYTES
) -> None:
    """Read a body to its end, as it is; what exceeds its bound is not kept.

    Raises:
        httpx.ReadError: It is longer than that, or breaks off.
    """
    async for chunk in answer.aiter_raw():
        if len(into) <= most_bytes:
            into += chunk
    if len(into) > most_bytes:
        raise httpx.ReadError(f"the answer is longer than {most_bytes >> 20} MiB")


__all__ = ["MOST_BYTES", "httpx", "new_client", "read_body"]

"""A small HTTP server for a few pages: GET, one request a connection, all bounded.

Not hypercorn, which the simulated exchange uses: with Starlette it takes a quarter as
long to import as the whole daemon, and it does not limit connections. h11 is loaded
anyway, by the trading stream.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11
import trio

from snexec.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger("Metrics")

_MAX_CONNECTIONS = 16  # a scraper or two and somebody's browser
_MAX_HEAD_BYTES = 8 * 1024
_READ_BYTES = 4096
_SECONDS = 10.0  # for a whole connection, whatever its client does
_METHODS = (b"GET", b"HEAD")


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """The answer to a request."""

    body: bytes
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"


async def open_page_listeners(
    host: str, port: int, *, key: str
) -> list[trio.SocketListener]:
    """Open the sockets that a page server listens on.

    Args:
        host: A name or an address.
        port: A TCP port; 0 is any free one.
        key: The address's configuration key, for the error.

    Raises:
        StartError: Nothing can listen at the address.
    """
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise StartError(
            f"{key}: cannot listen at {host} port {port}: {reason}"
        ) from None


class PageServer:
    """Serves pages; slow, rude or too many clients disturb nothing.

    Args:
        pages: The maker of each page by its path; it gets the request's Accept header.
    """

    def __init__(self, pages: Mapping[str, Callable[[str], Awaitable[Page]]]) -> None:
        self._pages = pages
        self._connections = 0

    async def run(self, listeners: list[trio.SocketListener]) -> None:
        """Serve until cancelled."""
        for listener in listeners:
            host, port = listener.socket.getsockname()[:2]
            log.info("metrics are served at http://%s/metrics", _authority(host, port))
        await trio.serve_listeners(self._serve, listeners)

    async def _serve(self, stream: trio.SocketStream) -> None:
        if self._connections >= _MAX_CONNECTIONS:
            await trio.aclose_forcefully(stream)
            return
        self._connections += 1
        try:
            async with stream:
                with trio.move_on_after(_SECONDS):
                    await self._answer(stream)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("a client of the metrics went away")
        except Exception:
            # A page that cannot be made is no reason to stop trading.
            log.exception("a page could not be made; the daemon goes on")
        finally:
            self._connections -= 1

    async def _answer(self, stream: trio.SocketStream) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD_BYTES)
        try:
            request = await _read_head(http, stream)
        except h11.RemoteProtocolError as exc:
            request = None
            page = Page(
                status=exc.error_status_hint or 400, body=b"not a request for a page\n"
            )
        else:
            if request is None:
                return
            page = await self._page(request)
        if http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        headers = [
            ("content-type", page.content_type),
            ("content-length", str(len(page.body))),
            ("connection", "close"),
        ]
        data = http.send(h11.Response(status_code=page.status, headers=headers))
        if request is None or request.method != b"HEAD":
            data = (data or b"") + (http.send(h11.Data(data=page.body)) or b"")
        await stream.send_all(data or b"")
        await stream.send_eof()

    async def _page(self, request: h11.Request) -> Page:
        if request.method not in _METHODS:
            return Page(status=405, body=b"only GET\n")
        path = request.target.decode("ascii").partition("?")[0]
        make = self._pages.get(path)
        if make is None:
            known = " ".join(self._pages)
            return Page(status=404, body=f"here are {known}\n".encode())
        accept = b",".join(v for name, v in request.headers if name == b"accept")
        return await make(accept.decode("latin-1"))


async def _read_head(
    http: h11.Connection, stream: trio.SocketStream
) -> h11.Request | None:
    """Read a request's head, or return None if none comes; a body is never read."""
    while True:
        event = http.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        http.receive_data(await stream.receive_some(_READ_BYTES))


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

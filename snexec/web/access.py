"""Who may see the page and act through it (SPEC 14); around all else that is served."""

from __future__ import annotations

import hmac
import logging
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import trio

from snexec.settings import is_loopback
from snexec.web.answers import Answer, plainly, refused
from snexec.web.client import client_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from snexec.web.key_file import PageKey

log = logging.getLogger("Page")

OPEN_TO_ALL = {"/metrics", "/healthz"}
SIGNALS = "/signals/"  # then a token, which is a secret
_API = "/api/"
_COOKIE_SECONDS = 400 * 86_400  # the longest that browsers keep one
_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^:\[\]]*))(?::\d*)?")
_CLOSES = (b"connection", b"close")
_NO_COOKIE = "this page opens with its key: open the address that `snexec page` prints"
_WRONG_KEY = f"the key is not this daemon's; {_NO_COOKIE}"
_FAILED = "this could not be made, see the daemon's log"


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Who is let in.

    Attributes:
        key: What opens the page.
        host: Where it listens, as configured.
        port: The same, as bound.
        hosts: By which other names it may be asked for.
        actions: Whether anybody may act.
        is_tls: Whether connections are private.
    """

    key: PageKey
    host: str
    port: int
    hosts: frozenset[str]
    actions: bool
    is_tls: bool

    @property
    def cookie_name(self) -> str:
        """The cookie's name; browsers send it to all ports of a host."""
        name = f"snexec_{self.port}"
        return f"__Host-{name}" if self.is_tls else name

    def knows_host(self, value: bytes) -> bool:
        """Return whether a browser means this page: no name of others leads here."""
        found = _HOST.fullmatch(value.decode("latin-1").lower())
        if found is None:
            return False
        name = found["address"] or found["name"]
        if name in {self.host.lower(), *self.hosts}:
            return True
        return is_loopback(self.host) and name in {"localhost", "127.0.0.1", "::1"}

    def has_cookie(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether a request shows the page's cookie."""
        wanted = f"{self.cookie_name}={self.key.cookie}".encode()
        return any(
            hmac.compare_digest(pair.strip(), wanted)
            for name, value in headers
            if name == b"cookie"
            for pair in value.split(b";")
        )

    def opens(self, key: str) -> bool:
        """Return whether this is the key."""
        return hmac.compare_digest(key.encode(), self.key.text.encode())

    def set_cookie(self) -> bytes:
        """Return the header's value that has a browser keep the cookie."""
        secure = "; Secure" if self.is_tls else ""
        return (
            f"{self.cookie_name}={self.key.cookie}; Path=/; HttpOnly; SameSite=Strict;"
            f" Max-Age={_COOKIE_SECONDS}{secure}"
        ).encode()


class Guard:
    """Lets in who may; a failure of what answers is an answer, and no more.

    Args:
        app: What answers.
        access: Who is let in; None where only what is open to all is served.
        takes_signals: Whether who has a token may post signals, without a cookie.
    """

    def __init__(
        self, app: ASGIApp, access: Access | None, *, takes_signals: bool = False
    ) -> None:
        self._app = app
        self._access = access
        self._takes_signals = takes_signals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        is_open = scope["path"] in OPEN_TO_ALL
        is_signal = self._takes_signals and scope["path"].startswith(SIGNALS)
        denied = None if is_open or is_signal else self._denied(scope)
        more = [_CLOSES] if is_open or denied is not None else []
        has_begun = False

        async def safely(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        if denied is not None:
            await respond(safely, *denied)
            return
        try:
            await self._app(scope, receive, safely)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("a client went away before it was answered")
        except Exception:
            # A page that cannot be shown ends no trading.
            path = f"{SIGNALS}***" if is_signal else scope["path"]
            log.exception("%s could not be answered; the daemon goes on", path)
            if not has_begun:
                await respond(safely, refused(_FAILED, status=500))

    def _denied(self, scope: Scope) -> tuple[Answer, list[tuple[bytes, bytes]]] | None:
        """Return the answer to whom is not let in, or what lets him in next time."""
        access, headers = self._access, dict(scope["headers"])
        if access is None:
            known = {f"{SIGNALS}TOKEN"} if self._takes_signals else OPEN_TO_ALL
            return plainly(f"here are {' '.join(sorted(known))}", status=404), []
        if not access.knows_host(headers.get(b"host", b"")):
            why = "this is not the host of this page: see [page] hosts"
            return plainly(why, status=403), []
        if scope["path"] == "/" and scope["method"] == "GET":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("key")
            if given is not None:
                return _by_key(access, given[-1])
        if not access.has_cookie(scope["headers"]):
            return plainly(_NO_COOKIE, status=401), []
        client_of(scope).is_trusted = True
        problem = _wrong_site(scope["path"], scope["method"], headers, access)
        return None if problem is None else (refused(problem, status=403), [])


def _by_key(access: Access, given: str) -> tuple[Answer, list[tuple[bytes, bytes]]]:
    if not access.opens(given):
        return plainly(_WRONG_KEY, status=401), []
    kept = [(b"location", b"/"), (b"set-cookie", access.set_cookie())]
    return plainly("this way", status=303), kept


def _wrong_site(
    path: str, method: str, headers: dict[bytes, bytes], access: Access
) -> str | None:
    """Return why a request that shows the cookie is not the page's own."""
    site = headers.get(b"sec-fetch-site")
    if method not in {"GET", "HEAD"}:
        if not access.actions:
            return "this page only shows: [page] actions = false"
        own = f"{'https' if access.is_tls else 'http'}://".encode()
        own += headers.get(b"host", b"")
        if site != b"same-origin" or headers.get(b"origin", own) != own:
            return "only the page itself may act"
        token = headers.get(b"x-snexec-token", b"")
        if not hmac.compare_digest(token, access.key.token.encode()):
            return "the page's token is missing or old: load the page again"
    elif path != "/" and site not in {None, b"same-origin", b"none"}:
        return "only the page itself may ask for this"
    return None


async def respond(
    send: Send, answer: Answer, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send an answer."""
    head = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *headers,
    ]
    start = {"type": "http.response.start", "status": answer.status, "headers": head}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body})

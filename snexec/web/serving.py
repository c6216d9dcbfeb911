"""What is served where, and tried again where it cannot be (SPEC 14)."""

from __future__ import annotations

import gc
import logging
import ssl
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import trio

from snexec.logs import Repeats
from snexec.settings import http_tokens
from snexec.threads import NoThreadError, in_own_thread
from snexec.web.address import authority, page_address
from snexec.web.key_file import key_path, take_key

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from snexec.clock import Clock
    from snexec.events import EventFeed
    from snexec.ops import Commands, Sources
    from snexec.settings import PageSettings, Settings
    from snexec.web.key_file import PageKey
    from snexec.web.parts import Parts

log = logging.getLogger("Page")

_AGAIN_SECONDS = 60.0
_START_SECONDS = 2.0  # for which the daemon's own start is left alone
_BACKLOG = 128


class WebServer:
    """Serves the page, and figures, each at its address.

    Args:
        settings: The configuration at the start.
    """

    def __init__(self, settings: Settings) -> None:
        self._page = settings.page
        tokens = http_tokens(settings.http)
        self._http = settings.http.model_copy(update={"tokens": tokens})
        self._metrics_at = settings.metrics.host_and_port()
        self._database = Path(settings.database)
        self._parts: Parts | None = None
        self._loaded = trio.Event()
        self._has_shown_key = False

    def watch(
        self, sources: Sources, commands: Commands, feed: EventFeed, clock: Clock
    ) -> None:
        """Begin to note what happens."""
        from snexec.web.parts import Parts  # noqa: PLC0415 - `snexec page` needs none

        http = self._http
        self._parts = Parts(sources, commands, feed, clock, self._page, http=http)

    async def run(self) -> None:
        """Serve until cancelled."""
        parts = self._parts
        assert parts is not None  # noqa: S101 - it watches before it runs
        page, at = self._page, self._metrics_at
        with parts.rows.threads:
            async with trio.open_nursery() as nursery:

                def keep(key: str, serve: Callable[[], Awaitable[None]]) -> None:
                    nursery.start_soon(self._keep, parts.clock, key, serve, name=key)

                keep("web", partial(self._load, parts))
                if page is not None:
                    keep("page", parts.run)
                    keep("page.listen", partial(self._serve_page, parts, page))
                if self._is_apart(at):
                    keep("metrics.listen", partial(self._serve_metrics, parts, *at))
                if self._http.enabled:
                    keep("http", parts.posted.run)
                    at = self._http.host_and_port()
                    if self._is_apart(at):
                        keep("http.listen", partial(self._serve_signals, parts, *at))

    def _is_apart(self, at: tuple[str, int] | None) -> TypeGuard[tuple[str, int]]:
        """Return whether this is an address, and not the page's."""
        page = self._page
        return at is not None and (page is None or page.host_and_port() != at)

    async def _load(self, parts: Parts) -> None:
        """Import the server, once the daemon's own start is over."""
        with trio.move_on_after(_START_SECONDS):
            await parts.sources.wings.reconciler.wait_started()
        await in_own_thread("page", _import_server, abandon_on_cancel=True)
        # Nor does a collection look through these, which would take 10 ms.
        gc.freeze()
        self._loaded.set()
        await trio.sleep_forever()

    async def _keep(
        self, clock: Clock, key: str, serve: Callable[[], Awaitable[None]]
    ) -> None:
        """Serve, and again a minute after it could not be: trading goes on whatever it is."""
        repeats = Repeats(key, log=log, clock=clock)
        while True:
            try:
                await serve()
            except (OSError, UnicodeError, NoThreadError) as exc:
                why = str(exc)
                if repeats.failed(why):
                    log.error(  # noqa: TRY400 - the reason says it all
                        "%s: %s; trading goes on, and it is tried again each minute",
                        key,
                        why,
                    )
            except Exception:
                # Whatever ended it, orders go on without a page.
                log.exception("%s: failed; it is tried again in a minute", key)
            await trio.sleep(_AGAIN_SECONDS)

    async def _serve_page(self, parts: Parts, page: PageSettings) -> None:
        """Serve the page.

        Raises:
            OSError: It cannot be.
        """
        listeners = await _listen(*page.host_and_port())  # who comes now waits
        try:
            key = await self._key(parts)
            tls = None if page.certificate is None else _tls_context(page)
            port = listeners[0].socket.getsockname()[1]
            shows_key = key.is_new and not self._has_shown_key
            self._has_shown_key = True
            at = page_address(page, port=port, key=key.text if shows_key else None)
            hint = "" if shows_key else " (with its key: snexec page)"
            log.info("the page is at %s%s", at, hint)
            await self._loaded.wait()
            from snexec.web.server import Server  # noqa: PLC0415 - loaded by now

            app = parts.page_app(key, port=port)
            await Server(app, tls=tls).run(listeners)
        finally:
            await _close(listeners)

    async def _key(self, parts: Parts) -> PageKey:
        """Read the key or make it, in a thread, as a disk may hang.

        Raises:
            OSError: It can neither be read nor made.
        """
        path = key_path(self._database)
        try:
            return await parts.rows.threads.run(partial(take_key, path))
        except OSError as exc:
            raise _PageError(f"its key {path}: {exc.strerror or exc}") from None

    async def _serve_metrics(self, parts: Parts, host: str, port: int) -> None:
        """Serve figures alone.

        Raises:
            OSError: They cannot be.
        """
        listeners = await _listen(host, port)
        try:
            for listener in listeners:
                at = authority(*listener.socket.getsockname()[:2])
                log.info("metrics are served at http://%s/metrics", at)
            await self._loaded.wait()
            from snexec.web.server import Server  # noqa: PLC0415 - loaded by now

            await Server(parts.metrics_app()).run(listeners)
        finally:
            await _close(listeners)

    async def _serve_signals(self, parts: Parts, host: str, port: int) -> None:
        """Take signals alone.

        Raises:
            OSError: They cannot be taken.
        """
        listeners = await _listen(host, port)
        try:
            for listener in listeners:
                at = authority(*listener.socket.getsockname()[:2])
                log.info("signals are taken at http://%s/signals/TOKEN", at)
            await self._loaded.wait()
            from snexec.web.server import Server  # noqa: PLC0415 - loaded by now

            await Server(parts.signals_app()).run(listeners)
        finally:
            await _close(listeners)


class _PageError(OSError):
    """Why the page cannot be served, in words."""


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        why = f"cannot listen at {host} port {port}: {reason}"
        raise _PageError(why) from None


async def _close(listeners: list[trio.SocketListener]) -> None:
    for listener in listeners:
        await trio.aclose_forcefully(listener)


def _tls_context(page: PageSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(page.certificate or "", page.private_key)
    except (OSError, ValueError) as exc:
        why = f"page.certificate or page.private_key cannot be used: {exc}"
        raise _PageError(why) from None
    return context


def _import_server() -> None:
    """Import what only serving needs; it takes as long as a quarter of the start."""
    import snexec.web.server  # noqa: PLC0415
    import snexec.web.signals  # noqa: PLC0415
    import snexec.web.site  # noqa: F401, PLC0415

"""The page as a browser finds it: really served, around a rig or by a real daemon."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import trio

from snexec.ops import Commands, Sources
from snexec.web.key_file import key_path, read_key
from snexec.web.serving import WebServer
from tests.fakes import Rig
from tests.ops.bench import Bench
from tests.ops.selling import FakeExits
from tests.web.scraping import free_port

PATIENCE_SECONDS = 15.0


class Browser:
    """One browser, which keeps its cookie, on the page itself."""

    def __init__(self, port: int, key: str, token: str) -> None:
        self.port = port
        self.key = key
        self.token = token
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS
        )

    async def open(self) -> httpx.Response:
        """Follow the printed address."""
        return await self.http.get("/", params={"key": self.key})

    async def get(self, path: str, **params: str) -> httpx.Response:
        return await self.http.get(path, params=params)

    async def json(self, path: str, **params: str) -> Any:  # noqa: ANN401 - it is JSON
        answer = await self.get(path, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def act(
        self,
        action: str,
        asked: object = None,
        *,
        without: str = "",
        **headers: str,
    ) -> httpx.Response:
        """Post an action as the page does; headers are named with underscores."""
        sent = {
            "x-snexec-token": self.token,
            "sec-fetch-site": "same-origin",
            "origin": f"http://127.0.0.1:{self.port}",
            "content-type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        sent.pop(without, None)
        content = json.dumps({} if asked is None else asked)
        return await self.http.post(f"/api/{action}", content=content, headers=sent)

    @property
    def cookie(self) -> str:
        """What it shows, as a header's value."""
        return "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())


class Site(Browser):
    """A page around a rig, and a browser that has opened it.

    Attributes:
        exits: Answers closes.
    """

    def __init__(self, bench: Bench, exits: FakeExits, *where: Any) -> None:  # noqa: ANN401
        super().__init__(*where)
        self.bench = bench
        self.exits = exits
        self.rig = bench.rig


@asynccontextmanager
async def site_of(rig: Rig, database: Path, **page: object) -> AsyncIterator[Site]:
    """Serve the page of a rig; keywords are those of ``[page]``."""
    port, exits, bench = await free_port(), FakeExits(), Bench(rig)
    bench.wings = bench.wings._replace(exits=exits)
    bench.control._wings = bench.wings
    bench.health._wings = bench.wings
    section = {"listen": f"127.0.0.1:{port}", **page}
    now = rig.settings.now
    known = type(now).model_validate({"page": section, "database": str(database)})
    rig.settings.now = now.model_copy(update={"page": known.page})
    web = WebServer(known)
    sources = Sources(
        wings=bench.wings,
        health=bench.health,
        outages=bench.outages,
        dropped_lines=int,
        notify=None,
    )
    async with trio.open_nursery() as nursery:
        web.watch(sources, Commands(bench.control, no_reload), rig.feed, rig.clock)
        rig.reconciler.start._over.set()
        nursery.start_soon(web.run)
        await until_served(port)
        key = read_key(key_path(database))
        assert key is not None
        site = Site(bench, exits, port, key.text, key.token)
        async with site.http:
            await site.open()
            yield site
        nursery.cancel_scope.cancel()


async def no_reload() -> str | None:
    return None


async def until_served(port: int) -> None:
    """Wait until something is answered there."""
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            try:
                if await raw(port, head("HEAD", "/healthz", port)):
                    return
            except OSError:
                pass
            await trio.sleep(0.02)


async def raw(port: int, data: bytes, *, seconds: float = 10.0) -> bytes:
    """Send bytes, and return all that comes until the server ends the connection."""
    got = b""
    with trio.fail_after(seconds):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            try:
                await stream.send_all(data)
                async for chunk in stream:
                    got += chunk
            except trio.BrokenResourceError:
                pass
    return got


def head(method: str, path: str, port: int, *lines: str) -> bytes:
    """Return the head of a request."""
    first = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    return "\r\n".join([*first, *lines, "", ""]).encode()

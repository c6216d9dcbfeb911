"""Signals over HTTP at real daemons: from an alert to an order."""

from __future__ import annotations

import json
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.integration.harness import PATIENCE_SECONDS, Box, short_folder, signal_line
from tests.web.posting import OTHER_TOKEN, TOKEN, Poster, Reply, request
from tests.web.scraping import fetch, free_port
from tests.web.site import until_served
from tests.web.test_signals import TRADINGVIEW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# As TradingView fills in the README's message.
ALERT = (
    b'{"symbol": "AAPL", "catalystCategory": "breakout", "catalystTier": 1,\n'
    b' "priceAtSignal": 187.2, "id": "AAPL-2026-11-30T15:30:00Z"}'
)


@asynccontextmanager
async def http_box(
    *, has_page: bool = True, **http: object
) -> AsyncIterator[tuple[Box, int]]:
    """Give a box whose daemons trade play money and take signals, and the port."""
    port = await free_port()
    place: dict[str, object] = {"listen": f"127.0.0.1:{port}"}
    sections: dict[str, dict[str, object]] = {
        "alpaca": {"simulate": True},
        "http": {"enabled": True, **http} | ({} if has_page else place),
        "http.tokens": {"tv": TOKEN, "model": OTHER_TOKEN},
    }
    if has_page:
        sections["page"] = place
    with short_folder() as folder:
        box = Box(folder)
        box.configure(mode="paper", **sections)
        yield box, port


async def post(port: int, body: bytes, **more: Any) -> Reply:  # noqa: ANN401
    """Post as soon as anybody listens."""
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                await trio.sleep(0.05)
                continue
            async with stream:
                await stream.send_all(request(body, **more))
                return await Poster(stream).reply()


async def test_an_alert_becomes_an_order_whose_events_name_its_producer() -> None:
    async with http_box() as (box, port), box.daemon(), box.client() as client:
        await client.ask(b'{"command":"events"}\n')
        reply = await post(port, ALERT, **TRADINGVIEW)
        assert (reply.status, reply.json["status"]) == (202, "accepted")
        names = set()
        while "fill" not in names or "placed" not in names or "settled" not in names:
            event = await client.order_event()
            assert event["producer"] == "tv", event
            names.add(event["event"])
        assert (await post(port, ALERT, **TRADINGVIEW)).status == 200
        assert (await post(port, b"AAPL crossing")).status == 400
        again = signal_line("AAPL", id="again")
        assert (await post(port, again, token=OTHER_TOKEN)).status == 202
        while (event := await client.order_event())["event"] != "skipped":
            pass
        assert (event["reason"], event["producer"]) == ("symbol_open", "model")
        assert (await client.ask(signal_line("MSFT")))["status"] == "accepted"
        while (event := await client.order_event())["event"] != "placed":
            pass
        assert "producer" not in event
        assert len(box.rows()) == 2


async def test_signals_need_no_cookie_and_the_page_still_does() -> None:
    async with http_box() as (box, port), box.daemon():
        await until_served(port)
        assert (await post(port, ALERT, host="evil.example")).status == 202
        assert (await fetch(port, "/api/snapshot"))[0] == 403
        for path in ("/signalsx", f"/signals{TOKEN}", f"/x/signals/{TOKEN}"):
            assert (await fetch(port, path, head=""))[0] == 403
        reply = await post(port, ALERT, token=f"../api/halt?{TOKEN}")
        assert reply.status == 404
        await until_served(port)
        assert TOKEN not in box.log()


async def test_without_a_page_there_are_signals_and_nothing_else() -> None:
    async with http_box(has_page=False) as (box, port), box.daemon() as process:
        lines = [signal_line(symbol).strip() for symbol in ("AAPL", "MSFT", "KO")]
        reply = await post(port, b"[" + b",".join(lines) + b"]")
        assert reply.status == 202
        assert [each["status"] for each in reply.json] == ["accepted"] * 3
        await box.until(lambda: len(box.rows()) == 3, "all are ordered")
        assert (await fetch(port, "/metrics"))[0] == 404
        assert await box.stop(process) == 0
        assert (
            f"signals are taken at http://127.0.0.1:{port}/signals/TOKEN" in box.log()
        )
        assert TOKEN not in box.log()


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
async def test_curl_posts_as_the_readme_says() -> None:
    async with http_box(has_page=False) as (box, port), box.daemon():
        await post(port, b"x")  # once it is served
        url = f"http://127.0.0.1:{port}/signals/{TOKEN}"
        done = await trio.run_process(
            ["curl", "-sS", "-i", url, "-d", signal_line("AAPL", id="try-1").decode()],
            capture_stdout=True,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 202 ")
        assert json.loads(body) == {"status": "accepted", "id": "try-1"}
        await box.until(box.rows, "it is ordered")


async def test_a_port_that_is_taken_is_an_error_line_and_trading_goes_on() -> None:
    async with http_box(has_page=False) as (box, port):
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
        async with listeners[0], box.daemon(), box.client() as client:
            said = f"http.listen: cannot listen at 127.0.0.1 port {port}"
            await box.until(lambda: said in box.log(), "it says so")
            answer = await client.ask(signal_line("AAPL"))
            assert answer["status"] == "accepted"
            await box.until(box.rows, "it is ordered")


async def test_an_attacker_without_a_token_keeps_out_no_signal_and_no_order() -> None:
    async with http_box() as (box, port), box.daemon(), AsyncExitStack() as stack:
        await until_served(port)
        for number in range(1_000):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stack.enter_async_context(stream)
            guess = request(token=f"{number:032}", length=60_000)
            # Silent ones, heads without an end, guesses whose bodies never come.
            await stream.send_all((b"", guess[:40], guess)[number % 3])
        async with box.client() as client:
            with trio.fail_after(PATIENCE_SECONDS):
                answer = await client.ask(signal_line("MSFT"))
            assert answer["status"] == "accepted"
        with trio.fail_after(PATIENCE_SECONDS):
            assert (await post(port, ALERT)).status == 202
        await box.until(lambda: len(box.rows()) == 2, "both are ordered")
        assert "0" * 30 not in box.log()
        assert box.log().count("with a token that nobody has") == 1

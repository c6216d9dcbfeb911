"""The page of real daemons: its port, its key, its start; and that trading goes on."""

from __future__ import annotations

import re
import socket
import stat
import subprocess
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress

import pytest
import trio

from snexec.web.key_file import key_path, read_key
from tests.integration.harness import Box, Client, short_folder, signal_line
from tests.web.following import Follower, following
from tests.web.scraping import fetch, free_port
from tests.web.site import Browser, head, raw, until_served

SIMULATED: dict[str, object] = {"simulate": True}


def browser_of(box: Box, port: int) -> Browser:
    key = read_key(key_path(box.database))
    assert key is not None
    return Browser(port, key.text, key.token)


@asynccontextmanager
async def paged_box(**page: object) -> AsyncIterator[tuple[Box, int]]:
    """Give a box whose daemons trade play money and have a page, and its port."""
    port = await free_port()
    with short_folder() as folder:
        box = Box(folder)
        section = {"listen": f"127.0.0.1:{port}", **page}
        box.configure(alpaca=SIMULATED, page=section)
        yield box, port


@asynccontextmanager
async def opened_by(browser: Browser) -> AsyncIterator[Follower]:
    """Open the page, and follow it."""
    assert (await browser.open()).status_code == 303
    async with following(browser) as page:
        yield page


async def buy(client: Client, *symbols: str) -> None:
    """Have each bought, and wait until all are."""
    for symbol in symbols:
        assert (await client.ask(signal_line(symbol)))["status"] == "accepted"


async def test_a_first_start_says_the_address_with_its_key_once_and_it_opens() -> None:
    async with paged_box() as (box, port), box.daemon():
        await until_served(port)
        await box.until(lambda: "the page is at" in box.log(), "it says so")
        [shown] = re.findall(r"the page is at (\S+)", box.log())
        browser = browser_of(box, port)
        assert shown == f"http://127.0.0.1:{port}/?key={browser.key}"
        assert box.log().count("?key=") == 1
        assert stat.S_IMODE(key_path(box.database).stat().st_mode) == 0o600
        async with browser.http:
            assert (await browser.open()).status_code == 303
            shot = await browser.json("/api/snapshot")
            assert (shot["kind"], shot["phase"]) == ("SIMULATED", "taking")
            assert "snexec SIMULATED" in (await browser.get("/")).text


async def test_a_cookie_holds_over_a_restart_and_ends_with_the_keys_file() -> None:
    async with paged_box() as (box, port):
        async with box.daemon() as first:
            await until_served(port)
            browser = browser_of(box, port)
            await browser.open()
            await box.stop(first)
        async with box.daemon() as second:
            await until_served(port)
            assert (await browser.get("/api/snapshot")).status_code == 200
            assert (await browser.act("halt", {"reason": "still me"})).is_success
            assert (await browser.act("resume")).is_success
            assert box.log().count("?key=") == 1, "of the first start"
            key_path(box.database).unlink()
            await box.stop(second)
        async with box.daemon():
            await until_served(port)
            assert (await browser.get("/api/snapshot")).status_code == 401
            assert (await browser.open()).status_code == 401
            assert (await browser.act("halt")).status_code == 401
            assert not (box.folder / "halt").exists()
            renewed = browser_of(box, port)
            assert (await renewed.open()).status_code == 303
            await renewed.http.aclose()
        await browser.http.aclose()


async def test_a_taken_port_is_an_error_line_and_orders_go_on() -> None:
    async with paged_box() as (box, port):
        (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
        async with box.daemon(), box.client() as client:
            said = (
                f"ERROR [Page] page.listen: cannot listen at 127.0.0.1 port {port}:"
                " Address already in use; trading goes on, and it is tried again each"
                " minute"
            )
            await box.until(lambda: said in box.log(), "the error line")
            await buy(client, "AAPL")
            await box.until(lambda: box.rows("shares > 0"), "a fill")
        await listener.aclose()


async def test_a_port_that_is_free_again_is_served_within_the_minute() -> None:
    """By the daemon's own loop, with a minute of half a second."""
    async with paged_box() as (box, port):
        (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
        script = (
            "import sys; import snexec.web.serving as serving;"
            "serving._AGAIN_SECONDS = 0.5;"
            "from snexec.__main__ import main;"
            f"sys.argv = ['snexec', '--config', {str(box.config)!r}]; main()"
        )
        command = [*box.command()[:1], "-c", script]
        box.command = lambda *_words: command  # type: ignore[method-assign]
        async with box.daemon():
            await box.until(lambda: "cannot listen" in box.log(), "the error line")
            await listener.aclose()
            await until_served(port)
            browser = browser_of(box, port)
            async with browser.http:
                assert (await browser.open()).status_code == 303
            assert box.log().count("cannot listen") == 1


async def test_a_key_that_cannot_be_read_is_an_error_line_and_opens_nothing() -> None:
    async with paged_box() as (box, port):
        key_path(box.database).write_text("guess me\n")
        async with box.daemon(), box.client() as client:
            await box.until(
                lambda: "holds no key of the page" in box.log(), "it says so"
            )
            await buy(client, "AAPL")
            with pytest.raises(OSError, match="all attempts"):
                await trio.open_tcp_stream("127.0.0.1", port)


async def test_figures_have_a_second_port_that_shows_nothing_else() -> None:
    async with paged_box() as (box, port):
        second = await free_port()
        box.configure(
            alpaca=SIMULATED,
            page={"listen": f"127.0.0.1:{port}"},
            metrics={"listen": f"127.0.0.1:{second}"},
        )
        async with box.daemon():
            await until_served(port)
            await until_served(second)
            browser = browser_of(box, port)
            await browser.http.aclose()
            for each in (port, second):
                assert (await fetch(each, "/metrics"))[0] == 200
                assert (await fetch(each, "/healthz"))[0] == 200
            shown = await raw(
                second, head("GET", f"/?key={browser.key}", second, "Connection: close")
            )
            assert shown.startswith(b"HTTP/1.1 404 ")
            assert b"/healthz /metrics" in shown


async def test_figures_alone_are_served_and_make_no_key() -> None:
    port = await free_port()
    with short_folder() as folder:
        box = Box(folder)
        box.configure(alpaca=SIMULATED, metrics={"listen": f"127.0.0.1:{port}"})
        async with box.daemon():
            await until_served(port)
            assert (await fetch(port, "/metrics"))[0] == 200
            status, _, said = await fetch(port, "/")
            assert (status, said) == (404, "here are /healthz /metrics\n")
            assert not key_path(box.database).exists()


async def test_over_tls_the_page_is_private_and_plain_http_gets_nothing() -> None:
    async with paged_box() as (box, port):
        subprocess.run(  # noqa: ASYNC221 - a moment
            ["/usr/bin/env", "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", box.folder / "k.pem", "-out", box.folder / "c.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
        box.configure(
            alpaca=SIMULATED,
            page={
                "listen": f"127.0.0.1:{port}",
                "certificate": "c.pem",
                "private_key": "k.pem",
            },
        )
        async with box.daemon():
            await box.until(lambda: "the page is at" in box.log(), "it says so")
            key = browser_of(box, port).key
            assert f"https://127.0.0.1:{port}/?key={key}" in box.log()
            assert await raw(port, head("GET", "/healthz", port)) in {b"", b"\x15"}
            done = await trio.run_process(
                ["/usr/bin/env", "curl", "-s", "-i", "--cacert", str(box.folder / "c.pem"),
                 f"https://127.0.0.1:{port}/?key={key}"],
                capture_stdout=True,
            )  # fmt: skip
            assert b" 303 " in done.stdout.splitlines()[0]
            assert b"; Secure" in done.stdout


async def test_a_fill_is_seen_live_and_a_position_is_closed_by_the_page() -> None:
    async with paged_box() as (box, port):
        box.configure(alpaca=SIMULATED, page={"listen": f"127.0.0.1:{port}"}, exits={})
        async with box.daemon(), box.client() as client, box.client() as events:
            await events.ask(b'{"command":"events"}\n')
            await until_served(port)
            browser = browser_of(box, port)
            async with browser.http, opened_by(browser) as page:
                await page.until("feed")
                await buy(client, "AAPL")
                names: set[str] = set()
                while "fill" not in names:
                    names |= {each["event"] for each in await page.until("feed")}
                while not (shown := await page.until("snapshot"))["positions"]:
                    pass
                [position] = shown["positions"]
                assert (position["symbol"], position["mode"]) == ("AAPL", "paper")

                answer = await browser.act("close", {"symbol": "aapl"})
                assert answer.status_code == 200, answer.text
                [row] = answer.json()["rows"]
                assert row["state"] == "selling"
                while (await page.until("snapshot"))["positions"]:
                    pass
            while (event := await events.answer())["event"] != "exit":
                pass
            assert (event["reason"], event["by"]) == ("manual", "page")
            [sold] = box.rows("status = 'closed'")
            assert sold["exitReason"] == "manual"


async def test_a_thousand_connections_cost_orders_nothing_to_speak_of() -> None:
    async with paged_box() as (box, port), box.daemon(), box.client() as client:
        await until_served(port)
        await client.send(b'{"command":"events"}\n')
        assert (await client.answer())["status"] == "ok"

        async def wire_ms(*symbols: str) -> list[float]:
            times = []
            for symbol in symbols:
                async with box.client() as sender:
                    await buy(sender, symbol)
                while (event := await client.answer())["event"] != "placed":
                    pass
                times.append(event["wireMs"])
            return sorted(times)

        await wire_ms(*(f"A{n}" for n in range(5)))
        alone = await wire_ms(*(f"B{n}" for n in range(15)))
        opened = trio.Event()

        async def storm() -> None:
            """Open a thousand, some of which say something."""
            with ExitStack() as stack:
                for count in range(1000):
                    made = stack.enter_context(socket.socket())
                    made.setblocking(False)
                    made.connect_ex(("127.0.0.1", port))
                    await trio.sleep(0.002)
                    if count % 3 == 0:
                        with suppress(OSError):
                            made.send(b"GET /healthz HTTP/1.1\r\n")
                    if count == 100:
                        opened.set()
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(storm)
            with trio.fail_after(30):
                await opened.wait()
            beside = await wire_ms(*(f"C{n}" for n in range(15)))
            browser = browser_of(box, port)
            async with browser.http:
                assert (await browser.open()).status_code == 303
            nursery.cancel_scope.cancel()
        assert len(box.rows("status = 'open'")) == 35
        assert beside[7] < alone[7] + 20, (alone, beside)

"""The daemon with a stream of signals, against a server and an exchange of its own."""

from __future__ import annotations

import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from snexec.exchange.settings import Behaviour, ExchangeSettings
from tests.integration.harness import Box, alpaca, real_box, signal_line
from tests.redis.server import Server, needs_redis, running_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from snexec.exchange.server import Exchange

pytestmark = needs_redis

STREAM = "snexec:signals"


def text_of(symbol: str, **fields: object) -> str:
    return signal_line(symbol, **fields).decode().strip()


def add(server: Server, symbol: str, **fields: object) -> str:
    return server.text("XADD", STREAM, "*", "signal", text_of(symbol, **fields))


def pending(server: Server) -> int:
    summary = server.ask_whole("XPENDING", STREAM, "snexec")
    return int(summary.split(b"\r\n")[1][1:]) if summary[:1] == b"*" else -1


@asynccontextmanager
async def box_with_redis(
    exchange: ExchangeSettings | None = None, **redis: object
) -> AsyncIterator[tuple[Box, Exchange, Server]]:
    with running_server() as server:
        async with real_box(exchange) as (box, broker):
            section = {"url": server.url, "lease_sec": 0.0, **redis}
            box.configure(alpaca=alpaca(broker), redis=section)
            yield box, broker, server


async def test_an_entry_becomes_a_position_and_is_acknowledged() -> None:
    async with (
        box_with_redis(results="snexec:results") as (box, broker, server),
        box.daemon() as process,
    ):
        entry_id = add(server, "AAPL")
        await box.until(lambda: box.rows("settledAt IS NOT NULL"), "a settled row")
        await box.until(lambda: pending(server) == 0, "acknowledged")
        [row] = box.rows()
        [order] = broker.paper.book.orders()
        assert row["id"] == order.client_order_id
        assert row["signalId"] == f"{STREAM}:{entry_id}"
        async with box.client() as client:
            status = await client.ask(b'{"command":"status"}\n')
            assert status["redis"]["connected"]
            # The socket goes on beside it.
            answer = await client.ask(signal_line("KO", id="s-1"))
            assert answer == {"status": "accepted", "id": "s-1"}
        await box.until(lambda: len(box.rows("settledAt IS NOT NULL")) == 2, "both")
        await box.until(
            lambda: (
                b"settled" in server.ask_whole("XRANGE", "snexec:results", "-", "+")
            ),
            "the results",
        )
        assert await box.stop(process) == 0


async def test_an_entry_whose_order_was_under_way_in_a_crash_is_ordered_once() -> None:
    slow = ExchangeSettings(
        fill_delay_sec=0.01,
        partial_fill_ratio=0.0,
        rate_limit_per_min=100_000,
        symbols={"AAPL": Behaviour(reply_delay_sec=0.5)},
    )
    async with box_with_redis(slow) as (box, broker, server):
        async with box.daemon() as process:
            add(server, "AAPL", id="n-1")
            await box.until(broker.paper.book.orders, "the order arrives")
            process.kill()
            await process.wait()
        assert pending(server) == 1, "it was not decided"
        async with box.daemon():
            await box.until(lambda: pending(server) == 0, "decided")
            await box.until(lambda: box.rows("settledAt IS NOT NULL"), "settled")
        assert len([*broker.paper.book.orders()]) == 1
        assert len(box.rows()) == 1


async def test_trading_goes_on_while_redis_is_away_and_reading_begins_again() -> None:
    async with (
        box_with_redis() as (box, broker, server),
        box.daemon(),
        box.client() as client,
    ):
        server.kill()
        away = "entries stay in the stream until it answers again"
        await box.until(lambda: away in box.log(), "that it is away is said")
        status = await client.ask(b'{"command":"status"}\n')
        assert not status["redis"]["connected"]
        assert (await client.ask(signal_line("KO")))["status"] == "accepted"
        await box.until(broker.paper.book.orders, "the socket's order")
        server.start()
        add(server, "AAPL")
        await box.until(lambda: len([*broker.paper.book.orders()]) == 2, "the entry's")


async def test_what_is_old_by_its_id_is_not_bought() -> None:
    async with box_with_redis() as (box, broker, server), box.daemon():
        words = ("XADD", STREAM, "1000-0", "signal", text_of("AAPL"))
        server.ask(*words)
        await box.until(lambda: pending(server) == 0, "decided")
        assert not [*broker.paper.book.orders()]


async def test_a_stop_leaves_what_it_did_not_decide_in_the_stream() -> None:
    async with box_with_redis() as (box, broker, server):
        async with box.daemon() as process:
            process.send_signal(signal.SIGTERM)
            await process.wait()
        add(server, "AAPL")
        async with box.daemon():
            await box.until(broker.paper.book.orders, "bought by the next one")


async def test_without_the_address_nothing_is_created() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker), redis={})
        done = await box.run()
        assert done.returncode == 2
        assert b"redis.url: is missing" in done.stderr
        assert not box.database.exists()

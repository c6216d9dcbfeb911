"""The guard rails from outside: a real daemon, its socket, its file, its broker."""

from __future__ import annotations

import itertools
import json
import signal
import sqlite3
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.exchange.market import Market
from snexec.exchange.settings import Behaviour
from tests.integration.harness import (
    PATIENCE_SECONDS,
    Box,
    Client,
    alpaca,
    real_box,
    signal_line,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from snexec.exchange.server import Exchange

BURST = 1000
LOOSE: dict[str, object] = {"enabled": True, "state": "running"}  # others are "off"
PLENTY: dict[str, object] = {"max_pending": 4096, "max_in_flight": 64}


class Desk:
    """A daemon whose limits are changed as a person does it, and what it tells."""

    def __init__(
        self, box: Box, broker: Exchange, process: trio.Process, clients: list[Client]
    ) -> None:
        self.box = box
        self.broker = broker
        self.feeder, self._feed = clients
        self._process = process
        self._said: dict[str, object] = {}
        self._symbols = (f"S{n}" for n in itertools.count())

    async def set(self, **bot: object) -> None:
        """Change the limits by SIGHUP: to these, and no others."""
        self._said = {key: LOOSE.get(key, "off") for key in self._said} | bot
        before = self.box.log().count("configuration read again")
        self.box.configure(alpaca=alpaca(self.broker), intake=PLENTY, bot=self._said)
        self._process.send_signal(signal.SIGHUP)
        await self.box.until(
            lambda: self.box.log().count("configuration read again") > before,
            "the limits are read",
        )

    async def becomes(self, symbol: str = "", **fields: object) -> str:
        """Send one signal, and return the word for what became of it."""
        symbol = symbol or next(self._symbols)
        answer = await self.feeder.ask(signal_line(symbol, **fields))
        if answer["status"] != "accepted":
            return str(answer["status"])
        event = await self._feed.order_event()
        while event["symbol"] != symbol or event["event"] not in {
            *("skipped", "refused", "settled")
        }:
            event = await self._feed.order_event()
        return str(event["reason"] or "filled")

    async def ask(self, command: str, **more: object) -> dict[str, Any]:
        line = json.dumps({"command": command, **more}).encode()
        return await self.feeder.ask(line + b"\n")

    def another_program(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.box.database, timeout=5)) as other, other:
            other.execute(statement, values)

    def close_all(self, pnl: float = 0.0) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.another_program(
            "UPDATE BotTrade SET status = 'closed', exitAt = ?, pnl = ?"
            " WHERE status = 'open'",
            *(now, pnl),
        )

    async def skipped(self) -> dict[str, int]:
        """Return the counters, once every signal has ended."""

        async def status() -> dict[str, Any]:
            return await self.ask("status")

        with trio.fail_after(PATIENCE_SECONDS):
            found = await status()
            while found["pending"] or found["orders"]["inFlight"]:
                await trio.sleep(0.02)
                found = await status()
        counted: dict[str, int] = found["skipped"]
        return counted


@asynccontextmanager
async def open_desk(**bot: object) -> AsyncIterator[Desk]:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker), intake=PLENTY, bot=bot)
        async with (
            box.daemon("--log-level", "info") as process,
            box.client() as feeder,
            box.client() as feed,
        ):
            await box.until(lambda: broker.paper.feed.listeners, "the stream listens")
            assert await feed.ask(b'{"command":"events"}\n') == {"status": "ok"}
            yield Desk(box, broker, process, [feeder, feed])


async def test_each_limit_refuses_and_allows_from_the_next_signal_on() -> None:
    """The table of the limits, line by line, in one daemon."""
    async with open_desk() as desk:
        becomes = desk.becomes
        assert await becomes() == "filled"

        for bot, reason in (
            ({"enabled": False}, "disabled"),
            ({"state": "paused"}, "paused"),
            ({"state": "stopped"}, "stopped"),
        ):
            await desk.set(**bot)
            assert await becomes() == reason

        await desk.set(enabled_catalyst_tiers=[2, 3])
        assert await becomes(catalystTier=1) == "tier_disabled"
        assert await becomes(catalystTier=2) == "filled"

        await desk.set(symbols_allowed=["YES", "BOTH"], symbols_blocked=["both"])
        assert await becomes("NO") == "symbol"
        assert await becomes("BOTH") == "symbol"
        assert await becomes("YES") == "filled"

        await desk.set(max_share_price=99.5)
        assert await becomes(priceAtSignal=99.51) == "share_price"
        assert await becomes(priceAtSignal=99.5) == "filled"

        await desk.set(max_float_shares=1e6, min_relative_volume=2.0)
        assert await becomes() == "float_shares"
        assert await becomes(floatShares=1_000_001) == "float_shares"
        assert await becomes(floatShares=5e5) == "relative_volume"
        assert await becomes(floatShares=5e5, relativeVolume=1.9) == "relative_volume"
        assert await becomes(floatShares=5e5, relative_volume=2) == "filled"

        desk.close_all()
        await desk.set(max_concurrent_positions=2)
        assert await becomes() == "filled"
        assert await becomes() == "filled"
        assert await becomes() == "max_positions"
        desk.close_all()
        assert await becomes() == "filled"

        desk.close_all(-10.0)
        await desk.set(daily_loss_limit_usd=9.99)
        assert await becomes() == "daily_loss"
        await desk.set(daily_loss_limit_usd=10.01)
        assert await becomes("LOSS") == "filled"
        desk.close_all(-0.01)
        assert await becomes() == "daily_loss"

        await desk.set(min_win_rate=0.5, min_win_rate_trades=2)
        assert await becomes() == "win_rate"
        await desk.set(min_win_rate=0.5, min_win_rate_trades=500)
        assert await becomes() == "filled"

        desk.broker.paper.market = Market(is_open=False)
        await desk.set(require_market_open=True)
        assert await becomes() == "market_closed"  # nobody knows yet
        await desk.box.until(
            lambda: "the market is closed" in desk.box.log(), "the clock is known"
        )
        assert await becomes() == "market_closed"
        assert await becomes("BTC/USD") == "filled"
        assert desk.broker.paper.counts["GET /v2/clock"] == 1

        desk.broker.paper.market = Market(is_open=True)  # or the broker queues
        orders = len(desk.broker.paper.posts)
        await desk.set(max_orders_per_day=orders)
        assert await becomes() == "brake_orders_per_day"
        await desk.set(max_orders_per_day=orders + 1)
        assert await becomes() == "filled"
        orders += 1
        await desk.set(max_orders_per_minute=orders)
        assert await becomes() == "brake_orders_per_minute"
        await desk.set(max_orders_per_minute=orders + 1)
        assert await becomes() == "filled"
        orders += 1
        await desk.set(max_notional_per_day_usd=100.0 * orders + 99.99)
        assert await becomes() == "brake_notional_per_day"
        await desk.set(max_notional_per_day_usd=100.0 * orders + 100)
        assert await becomes() == "filled"

        desk.close_all()
        await desk.set(symbol_cooldown_sec=3600.0)
        assert await becomes("LOSS") == "brake_symbol_cooldown"
        await desk.set(symbol_cooldown_sec=0.001)
        assert await becomes("LOSS") == "filled"

        await desk.set(halt_after_refusals=2)
        for symbol in ("R1", "R2"):
            desk.broker.paper.behaviours.set(symbol, Behaviour(refuse=403))
        await becomes("R1")
        assert await becomes() == "filled"
        await becomes("R2")
        desk.broker.paper.behaviours.set("R3", Behaviour(reject=True))
        assert await becomes("R3") == "alpaca_rejected"
        assert await becomes() == "halted"
        status = await desk.ask("status")
        assert "2 orders in a row" in status["halted"]["reason"]
        assert (desk.box.folder / "halt").exists()
        assert await desk.ask("resume") == {"status": "ok", "halted": False}
        assert await becomes() == "filled"

        counted = await desk.skipped()
        assert set(counted) == {
            *("disabled", "paused", "stopped", "tier_disabled", "symbol"),
            *("share_price", "float_shares", "relative_volume", "max_positions"),
            *("daily_loss", "win_rate", "market_closed", "halted"),
            *("brake_orders_per_day", "brake_orders_per_minute"),
            *("brake_notional_per_day", "brake_symbol_cooldown"),
        }


@pytest.mark.parametrize(
    ("bot", "reason", "most"),
    [
        ({"max_orders_per_minute": 7}, "brake_orders_per_minute", 7),
        ({"max_orders_per_day": 8}, "brake_orders_per_day", 8),
        ({"max_notional_per_day_usd": 950.0}, "brake_notional_per_day", 9),
        ({"symbol_cooldown_sec": 60.0}, "brake_symbol_cooldown", 1),
        ({"max_concurrent_positions": 6}, "max_positions", 6),
    ],
)
async def test_a_thousand_signals_in_a_second_meet_a_brake(
    bot: dict[str, object], reason: str, most: int
) -> None:
    async with open_desk(**bot) as desk:
        # One that is rejected leaves no open row, which would hide the brake.
        desk.broker.paper.behaviours.set("SAME", Behaviour(reject=True))
        lines = [
            signal_line("SAME" if most == 1 else f"S{n}", id=f"n-{n}")
            for n in range(BURST)
        ]
        if most == 1:
            await desk.becomes("SAME")
        began = trio.current_time()
        for first in range(0, BURST, 50):
            await desk.feeder.send(b"".join(lines[first : first + 50]))
            for _ in range(50):
                assert (await desk.feeder.answer())["status"] == "accepted"
        assert trio.current_time() - began < 5
        counted = await desk.skipped()

        assert len(desk.broker.paper.posts) == most
        assert len(desk.box.rows()) == most
        assert counted == {reason: BURST - most + (most == 1)}


async def test_a_brake_holds_over_a_restart() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker), bot={"max_orders_per_day": 3})
        for number in range(2):
            async with box.daemon() as process, box.client() as feeder:
                lines = [signal_line(f"S{number}{n}") for n in range(4)]
                await feeder.send(b"".join(lines[: 2 if number == 0 else 4]))
                for _ in range(2 if number == 0 else 4):
                    assert (await feeder.answer())["status"] == "accepted"
                assert await box.stop(process) == 0
        assert len(broker.paper.posts) == len(box.rows()) == 3


async def _feed(feeder: Client, go_on: Callable[[], bool]) -> None:
    """Send some 500 signals a second."""
    number = 0
    while go_on():
        lines = [signal_line(f"L{number + n}") for n in range(5)]
        number += 5
        await feeder.send(b"".join(lines))
        for _ in lines:
            await feeder.answer()
        await trio.sleep(0.01)


async def test_a_file_named_halt_stops_a_daemon_under_load() -> None:
    async with open_desk() as desk:
        posts, feeding = desk.broker.paper.posts, True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_feed, desk.feeder, lambda: feeding)
            await desk.box.until(lambda: len(posts) > 100, "it is under load")
            (desk.box.folder / "halt").touch()
            at_once = len(posts)
            await trio.sleep(0.3)  # for those that are at the socket already
            after = len(posts)
            await trio.sleep(0.6)
            feeding = False
        assert len(posts) == after
        assert after - at_once <= 64  # max_in_flight
        counted = await desk.skipped()
        assert set(counted) == {"halted"}
        assert counted["halted"] > 100
        assert {post.client_order_id for post in posts} == {
            row["id"] for row in desk.box.rows()
        }
        status = await desk.ask("status")
        assert status["halted"]["reason"] == "a file named halt was made"
        assert desk.box.log().count("HALTED") == 1

        (desk.box.folder / "halt").unlink()
        assert await desk.becomes("AGAIN") == "filled"
        assert desk.box.log().count("RESUMED") == 1


async def test_a_halt_is_still_there_after_a_restart() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        assert (await box.run("halt", "--reason", "fire")).returncode == 0
        async with box.daemon(), box.client() as feed, box.client() as feeder:
            await feed.ask(b'{"command":"events"}\n')
            await feeder.ask(signal_line("A"))
            event = await feed.order_event()
            assert (event["event"], event["reason"]) == ("skipped", "halted")
            assert (
                "HALTED: nothing is bought any more, exits go on (fire; since "
                in box.log()
            )

            done = await box.run("resume")
            assert done.returncode == 0
            assert b"the daemon says: orders are placed again" in done.stdout
            assert (await feed.order_event())["event"] == "resume"
            await feeder.ask(signal_line("A"))
            assert (await feed.order_event())["event"] in {"placed", "fill"}
        assert [row["symbol"] for row in box.rows()] == ["A"]


async def test_the_market_opens_and_closes_by_the_brokers_own_clock() -> None:
    async with open_desk() as desk:
        soon = int((datetime.now(UTC).timestamp() + 2.0) * 1e9)
        desk.broker.paper.market = Market(is_open=True, changes_ns=soon)
        await desk.set(require_market_open=True)
        await desk.box.until(
            lambda: "the market is open" in desk.box.log(), "the clock is known"
        )
        assert await desk.becomes() == "filled"
        await desk.box.until(
            lambda: "the market is closed" in desk.box.log(), "it closes by itself"
        )
        assert await desk.becomes() == "market_closed"
        assert desk.broker.paper.counts["GET /v2/clock"] <= 6, "it is not polled"

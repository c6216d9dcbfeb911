"""Two hosts, one account: one of them orders, and the other one follows."""

from __future__ import annotations

import signal
import socket

import httpx
import trio

from snexec.exchange.settings import Behaviour, ExchangeSettings
from tests.integration.harness import signal_line
from tests.redis.hosts import LEASE_KEY, site
from tests.redis.server import free_port, needs_redis

pytestmark = needs_redis


def exchange(**symbols: Behaviour) -> ExchangeSettings:
    return ExchangeSettings(
        fill_delay_sec=0.01,
        partial_fill_ratio=0.0,
        rate_limit_per_min=100_000,
        symbols=symbols,
    )


async def test_a_standby_says_so_everywhere_and_opens_no_stream() -> None:
    port = free_port()
    async with site() as it:
        first, second = it.hosts
        await first.start()
        await first.until_status(lease="active", stream="authorized")
        second.configure(
            alpaca={
                "simulate": False,
                "paper_url": it.broker.paper_url,
                "live_url": it.broker.live_url,
            },
            redis={"url": it.redis.url, "lease_sec": 1.0, "consumer": "host-b"},
            metrics={"listen": f"127.0.0.1:{port}"},
        )
        await second.start()
        await second.until(
            lambda: "standby: host-a is active" in second.log(), "it knows who is"
        )
        status = await second.until_status(lease="standby", phase="standby")
        assert status["redis"]["connected"]
        answer = await second.ask(signal_line("AAPL", id="n-1"))
        assert answer == {"status": "standby", "id": "n-1"}
        assert it.broker.paper.feed.listeners == 1
        async with httpx.AsyncClient() as client:
            health = await client.get(f"http://127.0.0.1:{port}/healthz")
            figures = await client.get(f"http://127.0.0.1:{port}/metrics")
        assert (health.status_code, health.json()["phase"]) == (200, "standby")
        assert "snexec_lease 0.0" in figures.text
        assert 'snexec_phase{phase="standby"} 1.0' in figures.text
        assert it.orders() == []


async def test_what_a_killed_host_had_not_decided_is_bought_by_the_other_one() -> None:
    async with site(exchange(SLOW=Behaviour(reply_delay_sec=30.0))) as it:
        for host in it.hosts:
            await host.start()
        first = await it.active()
        second = it.other(first)
        it.add("AAPL", id="n-1")
        await first.until(lambda: first.rows("settledAt IS NOT NULL"), "the first row")
        it.add("SLOW", id="n-2")
        await first.until(lambda: len(it.orders()) == 2, "the second order arrives")
        await first.kill()
        it.add("KO", id="n-3")

        assert await it.active() is second
        await second.until(
            lambda: len(second.rows("settledAt IS NOT NULL")) == 3, "every row"
        )
        await second.until(lambda: it.pending() == 0, "every entry is decided")
        assert sorted(order.symbol for order in it.orders()) == ["AAPL", "KO", "SLOW"]
        rows = {row["symbol"]: row for row in second.rows()}
        assert {row["status"] for row in rows.values()} == {"open"}
        # The open-row rule holds on the second host too.
        it.add("AAPL", id="n-4")
        await second.until(lambda: it.pending() == 0, "that one is decided")
        assert len(it.orders()) == 3


async def test_a_host_that_stood_still_orders_nothing_and_stands_by() -> None:
    async with site(exchange()) as it:
        for host in it.hosts:
            await host.start()
        first = await it.active()
        second = it.other(first)
        assert first.process is not None
        first.process.send_signal(signal.SIGSTOP)
        # Into its socket too, to be read when it wakes.
        async with first.client() as client:
            await client.send(signal_line("MSFT", id="s-1"))
            it.add("AAPL", id="n-1")
            assert await it.active(first) is second
            first.process.send_signal(signal.SIGCONT)
            await first.until_status(lease="standby", phase="standby")
        # On a machine that stalls the lease may have gone back by then.
        await second.until(
            lambda: any(host.rows("settledAt IS NOT NULL") for host in it.hosts),
            "bought by the other one",
        )
        assert [order.symbol for order in it.orders()] == ["AAPL"]
        # The other one's connection was there until it woke: the broker has one slot.
        assert it.broker.paper.feed.listeners <= 1
        # And it follows again.
        await second.kill()
        it.add("KO", id="n-2")
        assert await it.active() is first
        await first.until(lambda: len(it.orders()) == 2, "the other signal")
        await first.until(
            lambda: {row["symbol"] for row in first.rows()} == {"AAPL", "KO"},
            "the row of what the other one bought",
        )


async def test_what_the_first_host_bought_the_other_one_sells_by_its_rules() -> None:
    rises = exchange(AAPL=Behaviour(path=((8.0, 8.0),)))
    async with site(rises, exits={"profit_target_pct": 5.0, "poll_sec": 0.5}) as it:
        for host in it.hosts:
            await host.start()
        first = await it.active()
        second = it.other(first)
        it.add("AAPL", id="n-1")
        await first.until(lambda: first.rows("settledAt IS NOT NULL"), "bought")
        await first.kill()
        assert await it.active() is second
        await second.until(lambda: second.rows("status = 'closed'"), "sold")
        [row] = second.rows()
        assert row["exitReason"] == "profit_target"
        await first.start()
        await first.until_status(lease="standby", phase="standby")
        assert [order.side for order in it.orders()] == ["buy", "sell"]


async def test_a_stop_in_good_order_hands_over_at_once() -> None:
    async with site(exchange(), lease_sec=8.0) as it:
        for host in it.hosts:
            await host.start()
        first = await it.active()
        second = it.other(first)
        assert first.process is not None
        assert await first.stop(first.process) == 0
        first.process = None
        stopped_at = trio.current_time()
        assert await it.active() is second
        assert trio.current_time() - stopped_at < 5


async def test_without_redis_a_daemon_with_a_lease_stands_by() -> None:
    async with site(count=1) as it:
        [host] = it.hosts
        it.redis.kill()
        await host.start()
        status = await host.until_status(lease="standby")
        assert not status["redis"]["connected"]
        assert (await host.ask(signal_line("AAPL")))["status"] == "standby"
        it.redis.start()
        await it.active()


async def test_a_daemon_whose_redis_goes_away_trades_until_its_time_is_over() -> None:
    async with site(exchange(), count=1, lease_sec=2.0) as it:
        [host] = it.hosts
        await host.start()
        await it.active()
        it.redis.kill()
        assert (await host.ask(signal_line("AAPL")))["status"] == "accepted"
        await host.until(
            lambda: host.log().count("waiting for the lease") == 2, "again"
        )
        assert (await host.ask(signal_line("KO")))["status"] == "standby"
        it.redis.start()
        await it.active()
        assert [order.symbol for order in it.orders()] == ["AAPL"]


async def test_whoever_comes_while_the_lease_is_lost_finds_the_socket() -> None:
    """From active to standby it is the same one: no client is refused in between."""
    async with site(exchange(), count=1, lease_sec=1.0) as it:
        [host] = it.hosts
        await host.start()
        await it.active()
        inode = host.socket.stat().st_ino
        waits = host.log().count("waiting for the lease")
        it.redis.kill()
        lease = "active"
        while lease != "standby" or host.log().count("waiting for the lease") == waits:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(host.socket))
            lease = (await host.status()).get("lease", lease)
            await trio.sleep(0.02)
        assert (await host.ask(signal_line("KO")))["status"] == "standby"
        assert host.socket.stat().st_ino == inode


async def test_a_stop_ends_a_standby() -> None:
    async with site(count=1) as it:
        [host] = it.hosts
        it.redis.ask("SET", LEASE_KEY, "host-z 1")
        await host.start()
        await host.until(
            lambda: "standby: host-z is active" in host.log(), "it knows who is"
        )
        assert host.process is not None
        assert await host.stop(host.process) == 0

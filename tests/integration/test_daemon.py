"""The daemon under signals, restarts and faults, against a separate exchange."""

from __future__ import annotations

import base64
import os
import resource
import signal
import sqlite3
import subprocess
from contextlib import AsyncExitStack, closing

import httpx
import pytest
import trio

from snexec.clock import SystemClock
from snexec.exchange.settings import Behaviour, LoseHow
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from tests.fakes import make_trade
from tests.integration.harness import (
    KEYS,
    PATIENCE_SECONDS,
    ROOT,
    Box,
    alpaca,
    real_box,
    short_folder,
    signal_line,
)
from tests.logs.records import runs_shown


async def test_a_signal_becomes_a_position_and_a_true_row() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with (
            box.daemon() as process,
            box.client() as feed,
            box.client() as feeder,
        ):
            await box.until(lambda: broker.paper.feed.listeners, "the stream listens")
            assert await feed.ask(b'{"command":"events"}\n') == {"status": "ok"}

            answer = await feeder.ask(signal_line("AAPL", id="n-1"))

            assert answer == {"status": "accepted", "id": "n-1"}
            events = [await feed.order_event() for _ in range(3)]
            assert {event["event"] for event in events} == {"placed", "fill", "settled"}
            [row] = box.rows()
            [order] = broker.paper.book.orders()
            assert row["id"] == order.client_order_id == events[0]["tradeId"]
            assert row["alpacaOrderId"] == order.id
            assert row["status"] == "open"
            assert row["shares"] == float(order.filled_qty)
            assert row["settledAt"] is not None
            assert row["notional"] == 100.0
            status = await feeder.ask(b'{"command":"status"}\n')
            assert status["orders"] == {
                "placed": 1, "refused": 0, "unknown": 0, "inFlight": 0,
            }  # fmt: skip
            assert status["openTrades"] == 1
            assert await box.stop(process) == 0
        assert not box.socket.exists()


async def test_a_daemon_imports_nothing_for_what_its_settings_leave_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon(), box.client() as feeder:
            await box.until(lambda: broker.paper.feed.listeners, "the stream listens")
            await feeder.ask(signal_line("AAPL", id="n-1"))
            await box.until(
                lambda: any(row["settledAt"] for row in box.rows()), "it is settled"
            )
            await box.until(
                lambda: any(each.startswith("GET ") for each in broker.paper.counts),
                "it has asked the broker something",
            )
        lines = box.stderr.read_text().splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if "|" in line}
    assert {"trio", "trio_websocket", "snexec.broker.lookups"} <= imported
    packages = {name.partition(".")[0] for name in imported}
    assert not packages & {
        *(
            "httpx",
            "httpcore",
            "anyio",
        ),  # webhooks, and the commands that ask the broker
        *("starlette", "hypercorn", "prometheus_client"),  # [page], [http], [metrics]
        *("coredis", "rich", "pygments", "tomlkit", "sqlite_utils", "tabulate"),
    }
    assert not imported & {
        *(
            "snexec.exits.monitor",
            "snexec.redis.client",
            "snexec.web",
            "snexec.ops.notify",
        ),
        *("snexec.exchange.server", "snexec.market.snapshots", "snexec.broker.data"),
        "html",  # texts with a named entity, which a secret in HTML may have
    }


async def test_fifty_equal_signals_at_once_give_one_order() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon(), box.client() as feeder:
            await feeder.send(signal_line("AAPL") * 50)
            answers = [await feeder.answer() for _ in range(50)]
            assert [answer["status"] for answer in answers] == ["accepted"] * 50

            async def settled() -> bool:
                status = await feeder.ask(b'{"command":"status"}\n')
                skipped = status["skipped"].get("symbol_open")
                return bool(skipped == 49 and status["orders"]["placed"] == 1)

            with trio.fail_after(PATIENCE_SECONDS):
                while not await settled():  # noqa: ASYNC110 - another process does
                    await trio.sleep(0.02)

            assert len(broker.paper.posts) == 1
            assert len(box.rows()) == 1


async def test_an_asset_in_all_its_spellings_is_ordered_once_as_the_broker_takes_it() -> (
    None
):
    spellings = ("BRK.B", "BRK/B", "brk-b", "BTCUSD", "BTC/USD", "btc-usd")
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon(), box.client() as feeder:
            await feeder.send(b"".join(signal_line(symbol) for symbol in spellings))
            answers = [await feeder.answer() for _ in spellings]
            assert [answer["status"] for answer in answers] == ["accepted"] * 6

            async def settled() -> bool:
                status = await feeder.ask(b'{"command":"status"}\n')
                skipped = status["skipped"].get("symbol_open")
                return bool(skipped == 4 and status["orders"]["placed"] == 2)

            with trio.fail_after(PATIENCE_SECONDS):
                while not await settled():  # noqa: ASYNC110 - another process does
                    await trio.sleep(0.02)

            assert sorted(
                (order.symbol, order.time_in_force)
                for order in broker.paper.book.orders()
            ) == [("BRK.B", "day"), ("BTC/USD", "gtc")]
            assert {row["symbol"] for row in box.rows()} == {"BRK.B", "BTC/USD"}


async def test_sighup_moves_to_live_and_back_and_orders_stay_with_their_mode() -> None:
    async with real_box() as (box, broker):
        broker.paper.behaviours.set("SLOW", Behaviour(reply_delay_sec=0.5))
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await box.until(lambda: broker.paper.feed.listeners, "paper is listened to")
            await client.ask(signal_line("SLOW"))
            await box.until(lambda: broker.paper.posts, "the order is under way")

            box.configure(mode="live", alpaca=alpaca(broker))
            process.send_signal(signal.SIGHUP)

            await box.until(lambda: broker.live.feed.listeners, "live is listened to")
            assert broker.paper.feed.connections == 0
            await client.ask(signal_line("LIVE"))
            await box.until(
                lambda: len(box.rows("settledAt IS NOT NULL")) == 2, "both settle"
            )
            modes = {row["symbol"]: row["mode"] for row in box.rows()}
            assert modes == {"SLOW": "paper", "LIVE": "live"}
            assert [o.symbol for o in broker.live.book.orders()] == ["LIVE"]


async def test_200_sighups_in_a_row_are_survived() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            for number in range(200):
                mode = "paper" if number % 2 else "live"
                box.configure(mode=mode, alpaca=alpaca(broker))
                process.send_signal(signal.SIGHUP)
            await box.until(
                lambda: broker.paper.feed.listeners and not broker.live.feed.listeners,
                "the last mode is listened to",
            )
            assert (await client.ask(signal_line("AAPL")))["status"] == "accepted"
            await box.until(
                lambda: box.rows("settledAt IS NOT NULL AND mode = 'paper'"),
                "an order is filled",
            )
            assert await box.stop(process) == 0


async def test_a_bad_file_is_refused_on_sighup_and_the_old_settings_stay() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            box.config.write_text(box.config.read_text() + "\n[bot]\nenabeld = true")
            process.send_signal(signal.SIGHUP)

            await box.until(lambda: "bot.enabeld" in box.log(), "the key is named")
            assert "ERROR [Daemon] the configuration is refused" in box.log()
            status = await client.ask(b'{"command":"status"}\n')
            assert status["mode"] == "paper"
            assert status["state"] == "running"


async def test_changed_dollars_hold_from_the_next_signal() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("ONE"))
            await box.until(lambda: len(broker.paper.posts) == 1, "the first order")
            box.configure(alpaca=alpaca(broker), bot={"trade_size_stars5": 12.345})
            process.send_signal(signal.SIGHUP)
            await box.until(lambda: "bot.trade_size_stars5" in box.log(), "it is read")
            await client.ask(signal_line("TWO"))
            await box.until(lambda: len(broker.paper.posts) == 2, "the second order")

            assert [row["notional"] for row in box.rows()] == [100.0, 12.34]


async def test_sigterm_lets_an_order_under_way_finish() -> None:
    async with real_box() as (box, broker):
        broker.paper.behaviours.set("SLOW", Behaviour(reply_delay_sec=1.0))
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("SLOW"))
            await box.until(lambda: broker.paper.posts, "the order is under way")
            process.send_signal(signal.SIGTERM)
            await box.until(lambda: "stopping: SIGTERM" in box.log(), "it stops")
            assert (await client.ask(signal_line("NEXT")))["status"] == "stopping"
            with trio.fail_after(PATIENCE_SECONDS):
                assert await process.wait() == 0

        [row] = box.rows()
        [order] = broker.paper.book.orders()
        assert row["alpacaOrderId"] == order.id


async def test_a_hung_order_does_not_outlive_the_shutdown_timeout() -> None:
    async with real_box() as (box, broker):
        broker.paper.behaviours.set(
            "HUNG", Behaviour(lose="after_accept", lose_how="hang")
        )
        box.configure(alpaca=alpaca(broker), intake={"shutdown_timeout_sec": 0.5})
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("HUNG"))
            await box.until(lambda: broker.paper.posts, "the order is under way")
            with trio.fail_after(9):  # without that setting it may take 10
                assert await box.stop(process) == 0
            assert len(box.rows("status = 'open'")) == 1

        async with box.daemon():
            await box.until(
                lambda: box.rows("settledAt IS NOT NULL"), "recovery settles it"
            )
            assert len(broker.paper.posts) == 1


async def test_a_second_signal_stops_at_once() -> None:
    async with real_box() as (box, broker):
        broker.paper.behaviours.set(
            "HUNG", Behaviour(lose="after_accept", lose_how="hang")
        )
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("HUNG"))
            await box.until(lambda: broker.paper.posts, "the order is under way")
            process.send_signal(signal.SIGINT)
            await box.until(lambda: "stopping: SIGINT" in box.log(), "it stops")
            process.send_signal(signal.SIGINT)
            with trio.fail_after(9):  # the first one alone may take 10
                assert await process.wait() == -signal.SIGINT


async def test_a_killed_daemon_starts_again_on_the_same_socket() -> None:
    async with real_box() as (box, broker):
        broker.paper.behaviours.set("AAPL", Behaviour(fill_delay_sec=1.0))
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("AAPL", id="n-1"))
            await box.until(lambda: box.rows("alpacaOrderId IS NOT NULL"), "placed")
            process.kill()
            await process.wait()
        assert box.socket.exists()

        box.stderr.unlink()
        async with box.daemon() as process, box.client() as client:
            assert (await client.ask(signal_line("AAPL", id="n-1")))["id"] == "n-1"
            await box.until(lambda: box.rows("settledAt IS NOT NULL"), "it settles")
            assert await box.stop(process) == 0
        assert len(broker.paper.posts) == 1


async def test_a_lost_reply_is_settled_by_evidence_and_never_sent_again() -> None:
    async with real_box() as (box, broker):
        ways: tuple[LoseHow, ...] = ("reset", "close", "500", "502_html", "garbage_200")
        for way in ways:
            broker.paper.behaviours.set(
                f"L{ways.index(way)}",
                Behaviour(lose="after_accept", lose_how=way, no_events=True),
            )
        box.configure(alpaca=alpaca(broker))
        async with box.daemon(), box.client() as client:
            for number in range(len(ways)):
                await client.ask(signal_line(f"L{number}"))
            await box.until(
                lambda: len(box.rows("settledAt IS NOT NULL")) == len(ways),
                "every row is settled",
            )

            assert len(broker.paper.posts) == len(ways)
            bought = {o.id: float(o.filled_qty) for o in broker.paper.book.orders()}
            assert {r["alpacaOrderId"]: r["shares"] for r in box.rows()} == bought


async def test_a_second_daemon_is_refused_on_the_socket_and_on_the_database() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            same = await box.run()
            with short_folder() as folder:
                other = Box(folder)
                other.database = box.database
                other.configure(alpaca=alpaca(broker))
                text = other.config.read_text()
                other.config.write_text(text.replace('"t.db"', f'"{box.database}"'))
                same_database = await other.run()
                other.config.write_text(text.replace('"s.sock"', f'"{box.socket}"'))
                same_socket = await other.run()

            for done in (same, same_database, same_socket):
                assert done.returncode == 1
                assert done.stderr.decode().count("\n") == 1
                assert "in use" in done.stderr.decode()
            assert (await client.ask(signal_line("AAPL")))["status"] == "accepted"
            assert process.poll() is None


async def test_a_locked_database_holds_orders_back_and_loses_nothing() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            locker = sqlite3.connect(box.database, isolation_level=None)
            locker.execute("BEGIN IMMEDIATE")
            await client.ask(signal_line("AAPL"))
            await box.until(lambda: "cannot write the database" in box.log(), "told")
            refused = await client.ask(signal_line("MSFT"))
            assert refused["status"] == "overloaded"
            assert "database" in refused["reason"]
            assert not broker.paper.posts
            locker.execute("ROLLBACK")
            locker.close()

            await box.until(lambda: box.rows("settledAt IS NOT NULL"), "it heals")
            status = await client.ask(b'{"command":"status"}\n')
            assert status["writer"]["healthy"] is True
            assert await box.stop(process) == 0


async def test_standard_error_that_nobody_reads_holds_nothing_up() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        process = await trio.lowlevel.open_process(
            box.command("--log-level", "debug"),
            env=box.environment(),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            await box.until(box.socket.exists, "the socket is there")
            async with box.client() as client:
                junk = b"no signal at all " * 60 + b"\n"
                for number in range(2000):
                    await client.send(signal_line(f"S{number}", catalystTier=4) + junk)
                    await client.answer()
                    await client.answer()
                assert (await client.ask(signal_line("AAPL")))["status"] == "accepted"
                await box.until(lambda: box.rows("settledAt IS NOT NULL"), "bought")
        finally:
            process.kill()
            await process.wait()
            assert process.stderr is not None
            await process.stderr.aclose()


async def test_a_pipe_without_the_flag_is_read_and_its_end_stops_nothing() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        with box.stderr.open("wb") as log:
            process = await trio.lowlevel.open_process(
                box.command(), env=box.environment(), stdin=subprocess.PIPE, stderr=log
            )
        try:
            assert process.stdin is not None
            await process.stdin.send_all(signal_line("AAPL"))
            await process.stdin.aclose()
            await box.until(lambda: box.rows("settledAt IS NOT NULL"), "bought")
            async with box.client() as client:
                assert (await client.ask(signal_line("MSFT")))["status"] == "accepted"
            assert await box.stop(process) == 0
        finally:
            if process.poll() is None:
                process.kill()
                await process.wait()


async def test_no_key_and_no_secret_is_ever_shown() -> None:
    key, secret = KEYS["APCA_API_KEY_ID"], KEYS["APCA_API_SECRET_KEY"]
    echoes = {
        "ECHO": f"{key} and {secret}",
        "CUT": secret[:-1],
        "TAIL": secret[1:],
        "UPPER": secret.upper(),
        "LINES": "\n".join(secret),
        "JSON": "".join(rf"\u{ord(c):04x}" for c in secret),
        "URL": "".join(f"%{ord(c):02x}" for c in secret),
        "BASIC": base64.b64encode(f"{key}:{secret}".encode()).decode(),
        "END": "x" * 1980 + secret,
    }
    async with real_box() as (box, broker):
        for symbol, echo in echoes.items():
            behaviour = Behaviour(refuse=403, refuse_message=f"bad key {echo}")
            broker.paper.behaviours.set(symbol, behaviour)
        box.configure(alpaca=alpaca(broker), bot={"halt_after_refusals": 99})
        async with box.daemon("--log-level", "debug") as process, box.client() as feed:
            await feed.ask(b'{"command":"events"}\n')
            seen: list[object] = []
            async with box.client() as client:
                for symbol, echo in echoes.items():
                    await client.ask(signal_line(symbol))
                    seen.append(await feed.order_event())
                    seen.append(await client.ask(signal_line(echo)))
                seen.append(await client.ask(b'{"command":"status"}\n'))
            assert await box.stop(process) == 0

        assert isinstance(seen[0], dict)
        assert seen[0]["reason"] == "bad key *** and ***"
        told = f"{box.log()} {seen}"
        assert told.count("***") > 3 * len(echoes)
        basic = echoes["BASIC"].rstrip("=")
        assert not runs_shown(key, told) | runs_shown(secret, told)
        assert not runs_shown(basic, told)


async def test_the_exchange_runs_by_itself_as_configured_and_says_its_urls() -> None:
    async with real_box() as (box, _broker):
        box.configure(exchange={"rate_limit_per_min": 7})
        process = await trio.lowlevel.open_process(
            box.command("exchange", "--port", "0"),
            env=box.environment(),
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            with trio.fail_after(PATIENCE_SECONDS):
                told = (await process.stdout.receive_some()).decode()
            assert 'paper_url = "http://127.0.0.1:' in told
            async with httpx.AsyncClient(trust_env=False) as client:
                reply = await client.get(told.split('"')[1] + "/v2/clock")
            assert reply.headers["X-RateLimit-Limit"] == "7"
            process.send_signal(signal.SIGINT)
            with trio.fail_after(PATIENCE_SECONDS):
                assert await process.wait() == 0
        finally:
            if process.poll() is None:
                process.kill()
            await process.stdout.aclose()
            await process.wait()


async def test_the_table_tells_a_fill_that_comes_before_the_orders_reply() -> None:
    async with real_box() as (box, broker):
        broker.paper.behaviours.set("EARLY", Behaviour(fill_before_reply=True))
        box.configure(alpaca=alpaca(broker))

        done = await box.run("--stdin", stdin=signal_line("EARLY", id="n-1"))

    assert done.returncode == 0, done.stderr.decode()
    row, total = done.stdout.decode().splitlines()[-2:]
    assert row.split()[:4] == ["n-1", "EARLY", "100.00", "filled"]
    assert total == "1 signal: 1 filled"


async def test_more_clients_than_files_are_one_line_and_hold_nothing_up() -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker, warm_connections=2))
        async with box.daemon() as process, box.client() as client:
            assert (await client.ask(signal_line("AAPL")))["status"] == "accepted"
            await box.until(lambda: box.rows("settledAt IS NOT NULL"), "it is filled")
            open_files = await trio.Path(f"/proc/{process.pid}/fd").iterdir()
            files = len(list(open_files)) + 20
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (files, files))
            async with AsyncExitStack() as crowd:
                for _ in range(60):
                    await crowd.enter_async_context(box.client())
                await box.until(lambda: "no further client" in box.log(), "it says so")
                await trio.sleep(0.5)
                assert (await client.ask(signal_line("MSFT")))["status"] == "accepted"
            await box.until(lambda: len(box.rows("settledAt IS NOT NULL")) == 2, "both")
            assert box.log().count("no further client") == 1
            assert "Traceback" not in box.log()
            async with box.client() as later:
                assert (await later.ask(signal_line("TSLA")))["status"] == "accepted"
            assert await box.stop(process) == 0


async def test_a_database_that_is_taken_away_stops_all_orders_until_it_is_back() -> (
    None
):
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("AAPL"))
            await box.until(lambda: box.rows("settledAt IS NOT NULL"), "it is filled")
            elsewhere = box.database.with_name("elsewhere.db")
            box.database.rename(elsewhere)
            await client.ask(signal_line("MSFT"))
            await box.until(lambda: "removed or replaced" in box.log(), "it says so")
            status = await client.ask(b'{"command":"status"}\n')
            assert status["writer"]["healthy"] is False
            assert [o.symbol for o in broker.paper.book.orders()] == ["AAPL"]
            await box.until(
                lambda: "cannot write the database" in box.log(), "it stops"
            )
            elsewhere.rename(box.database)
            await box.until(lambda: "writes the database again" in box.log(), "back")
            await client.ask(signal_line("TSLA"))
            await box.until(lambda: box.rows("symbol = 'TSLA'"), "TSLA is bought")
            assert await box.stop(process) == 0
        for order in broker.paper.book.orders():
            assert box.rows(f"id = '{order.client_order_id}'"), "an order without a row"


async def test_a_proxy_is_named_once_at_the_start_and_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://me:password@127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://me:password@127.0.0.1:1")
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("AAPL"))
            await box.until(broker.paper.book.orders, "the order is there")
            assert await box.stop(process) == 0

        said = [line for line in box.log().splitlines() if "proxy" in line]
        assert len(said) == 1
        assert said[0].endswith(
            "WARNING [Daemon] ALL_PROXY, https_proxy: set in the environment and not"
            " used; orders go direct, never through a proxy"
        )
        assert "password" not in box.log()


async def test_without_keys_signals_are_skipped_and_the_ready_line_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Box, "environment", without_keys)
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker), bot={"require_market_open": True})
        async with (
            box.daemon() as process,
            box.client() as feed,
            box.client() as feeder,
        ):
            assert await feed.ask(b'{"command":"events"}\n') == {"status": "ok"}
            assert (await feeder.ask(signal_line("AAPL")))["status"] == "accepted"
            event = await feed.order_event()
            assert (event["event"], event["reason"]) == ("skipped", "no_keys")
            status = await feeder.ask(b'{"command":"status"}\n')
            assert status["skipped"] == {"no_keys": 1}
            assert await box.stop(process) == 0

        [ready] = [line for line in box.log().splitlines() if "ready: " in line]
        assert "WARNING [Daemon] ready: taking signals at " in ready
        assert ready.endswith(
            ", mode paper, bot running; there are no keys for paper, so every signal is"
            " skipped as no_keys: see snexec check"
        )
        assert "market_closed" not in box.log()
        assert not broker.paper.posts
        assert not box.rows()


async def test_a_mode_without_keys_is_said_as_it_comes_into_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Box, "environment", with_paper_keys)
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as feeder:
            assert "no_keys" not in box.log()
            box.configure(mode="live", alpaca=alpaca(broker))
            process.send_signal(signal.SIGHUP)
            await box.until(
                lambda: (
                    (
                        "WARNING [Daemon] there are no keys for live, so every signal is"
                        " skipped as no_keys: see snexec check"
                    )
                    in box.log()
                ),
                "it says that live has no keys",
            )
            await feeder.ask(signal_line("AAPL"))
            status = await feeder.ask(b'{"command":"status"}\n')
            assert status["skipped"] == {"no_keys": 1}
            assert await box.stop(process) == 0


def without_keys(box: Box) -> dict[str, str]:
    """Give a daemon an environment without the broker's keys."""
    del box
    kept = {k: v for k, v in os.environ.items() if not k.startswith("APCA_")}
    return kept | {"PYTHONPATH": str(ROOT)}


def with_paper_keys(box: Box) -> dict[str, str]:
    """Give a daemon an environment with the keys of paper alone."""
    paper = {name.replace("APCA_", "APCA_PAPER_"): key for name, key in KEYS.items()}
    return without_keys(box) | paper


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (
            "CREATE TRIGGER theirs BEFORE UPDATE ON BotTrade WHEN OLD.symbol = 'AAPL'"
            " BEGIN SELECT RAISE(ABORT, 'hands off'); END",
            "stays as it is: trigger theirs of another program refuses the row: hands"
            " off",
        ),
        (
            "UPDATE BotTrade SET symbol = CAST(X'ff' AS TEXT), createdAt = 'junk',"
            " notional = 'much'",
            "cannot be read in full: its symbol is no text",
        ),
    ],
)
async def test_a_row_that_another_program_has_spoilt_keeps_no_other_from_being_bought(
    how: str, said: str
) -> None:
    clock = SystemClock()
    with short_folder() as folder:
        box = Box(folder)
        with closing(
            open_database(box.database, simulated=True, clock=clock)
        ) as connection:
            Store(connection, clock=clock).open_trade(make_trade())
            connection.execute(how)
        box.configure(bot={"max_orders_per_day": 9})
        async with box.daemon(), box.client() as feeder:
            answer = await feeder.ask(signal_line("MSFT", id="n-1"))
            assert answer["status"] == "accepted"
            await box.until(
                lambda: box.rows("symbol = 'MSFT' AND shares > 0"), "MSFT is bought"
            )
            await box.until(lambda: said in box.log(), "the row is named")

"""Signals that the world has left behind: by a gap, by a change of mode."""

from __future__ import annotations

import json
import signal
from contextlib import AsyncExitStack

import trio

from snexec.exchange.settings import ExchangeSettings
from tests.integration.harness import Client, alpaca, real_box, signal_line

AGE_SECONDS = 1.0


async def _skipped(client: Client) -> dict[str, int]:
    status = await client.ask(b'{"command":"status"}\n')
    found = status["skipped"]
    assert isinstance(found, dict)
    return found


async def test_what_lay_unread_while_the_daemon_stood_still_is_not_bought() -> None:
    async with real_box() as (box, broker), AsyncExitStack() as clients:
        box.configure(alpaca=alpaca(broker), intake={"max_signal_age_sec": AGE_SECONDS})
        async with box.daemon() as process, box.client() as idle:
            await _skipped(idle)  # it is served
            part = await clients.enter_async_context(box.client())
            await _skipped(part)
            await part.send(signal_line("PART")[:30])
            await _skipped(idle)
            process.send_signal(signal.SIGSTOP)
            olds = []
            for number in range(40):
                olds.append(await clients.enter_async_context(box.client()))
                await olds[-1].send(signal_line(f"OLD{number}"))
            await trio.sleep(3 * AGE_SECONDS)
            process.send_signal(signal.SIGCONT)
            for old in olds:
                assert (await old.answer())["status"] == "accepted"
            await part.send(signal_line("PART")[30:])
            assert (await part.answer())["status"] == "accepted"
            assert (await idle.ask(signal_line("NEW")))["status"] == "accepted"
            await box.until(lambda: box.rows("settledAt IS NOT NULL"), "it is bought")
            assert await _skipped(idle) == {"stale": 41}
            assert [row["symbol"] for row in box.rows()] == ["NEW"]
            assert [post.symbol for post in broker.paper.posts] == ["NEW"]


async def test_what_waited_while_the_mode_changed_is_bought_in_no_mode() -> None:
    slow = ExchangeSettings(fill_delay_sec=0.01, rate_limit_per_min=10)
    async with real_box(slow) as (box, broker):
        account = alpaca(broker, rate_limit_per_min=10)
        box.configure(alpaca=account)
        async with box.daemon() as process, box.client() as feeder:
            for number in range(16):
                answer = await feeder.ask(signal_line(f"S{number}", id=f"n-{number}"))
                assert answer["status"] == "accepted"
            # Where the machine is slow the budget has room for one more by then.
            await box.until(lambda: len(broker.paper.posts) >= 8, "the rest waits")

            box.configure(mode="live", alpaca=account)
            process.send_signal(signal.SIGHUP)
            await box.until(lambda: "mode is live now" in box.log(), "it is read again")
            answer = await feeder.ask(signal_line("LIVE", id="n-15"))
            assert answer["status"] == "accepted", "an id buys once in each mode"

            await box.until(lambda: broker.live.posts, "live trades")
            ordered = len(broker.paper.posts)
            assert ordered < 16
            assert await _skipped(feeder) == {"mode_changed": 16 - ordered}
            assert [post.symbol for post in broker.live.posts] == ["LIVE"]
            assert len(broker.paper.posts) == ordered
            modes = json.dumps([row["mode"] for row in box.rows()])
            assert modes.count("paper") == ordered
            assert modes.count("live") == 1

"""The figures of a real daemon, as a scrape reads them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.integration.harness import Box, alpaca, real_box, signal_line
from tests.ops.scraping import fetch, free_port, scrape, value

STATUS = b'{"command":"status"}\n'


@asynccontextmanager
async def measured() -> AsyncIterator[tuple[Box, int]]:
    """Give a daemon that serves metrics, and the port."""
    async with real_box() as (box, broker):
        port = await free_port()
        box.configure(alpaca=alpaca(broker), metrics={"listen": f"127.0.0.1:{port}"})
        async with box.daemon() as process:
            async with box.client() as client:
                while (await client.ask(STATUS))["stream"] != "authorized":  # noqa: ASYNC110
                    await trio.sleep(0.02)
            yield box, port
            assert await box.stop(process) == 0


async def test_a_days_work_is_on_the_page() -> None:
    async with measured() as (box, port), box.client() as client:
        await client.ask(signal_line("AAPL", id="n-1"))
        await client.ask(signal_line("AAPL", id="n-1"))
        await client.ask(b"{}\n")
        await box.until(lambda: box.rows("settledAt IS NOT NULL"), "it is filled")
        found = await scrape(port)

        assert value(found, "snexec_signals_total", outcome="accepted") == 1
        assert value(found, "snexec_signals_total", outcome="repeated") == 1
        assert value(found, "snexec_signals_total", outcome="invalid") == 1
        assert value(found, "snexec_signals_skipped_total", reason="stale") == 0
        assert value(found, "snexec_orders_total", outcome="placed") == 1
        assert value(found, "snexec_orders_settled_total", outcome="filled") == 1
        assert value(found, "snexec_orders_settled_total", outcome="rejected") == 0
        assert value(found, "snexec_orders_dollars_total", mode="paper") == 100
        assert value(found, "snexec_orders_unsettled") == 0
        assert value(found, "snexec_trades_open") == 1
        assert value(found, "snexec_mode", mode="paper") == 1
        assert value(found, "snexec_mode", mode="live") == 0
        assert value(found, "snexec_bot_state", state="running") == 1
        assert value(found, "snexec_phase", phase="taking") == 1
        assert value(found, "snexec_halted") == 0
        assert value(found, "snexec_signals_skipped_total", reason="halted") == 0
        assert value(found, "snexec_simulated") == 0
        assert value(found, "snexec_healthy") == 1
        assert value(found, "snexec_stream_state", state="authorized") == 1
        assert value(found, "snexec_stream_state", state="waiting") == 0
        assert 0 <= value(found, "snexec_stream_event_age_seconds") < 10
        assert 0 <= value(found, "snexec_stream_heard_age_seconds") < 10
        assert value(found, "snexec_stream_away_seconds") == 0
        assert value(found, "snexec_writer_healthy") == 1
        applied = value(found, "snexec_writer_applied_total")
        assert applied >= 3
        assert 1 <= value(found, "snexec_writer_commit_seconds_count") <= applied
        assert 0 < value(found, "snexec_rate_budget_left", mode="paper") < 100_000

        await client.ask(b'{"command":"halt","reason":"enough"}\n')
        await client.ask(signal_line("MSFT", id="n-2"))
        halted = await scrape(port)

        assert value(halted, "snexec_halted") == 1
        assert value(halted, "snexec_signals_skipped_total", reason="halted") == 1
        assert value(found, "process_open_fds") > 0
        assert value(found, "process_resident_memory_bytes") > 1e6
        status, head, body = await fetch(port, "/healthz")
        assert (status, json.loads(body)["status"]) == (200, "ok")
        assert "content-type: application/json" in head.lower()
        assert (await client.ask(b'{"command":"status"}\n'))["problems"] == {}
        assert not any(label == "AAPL" for _, pairs in found for _, label in pairs)
        assert not any("_created" in name for name, _ in found)

"""The metrics page and the health check, of real daemons and of a server alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from snexec.errors import StartError
from snexec.events import EventFeed
from snexec.ops.metrics import Metrics, Sources
from snexec.ops.pages import Page, PageServer, open_page_listeners
from tests.fakes import FakeClock
from tests.integration.harness import Box, alpaca, real_box, signal_line

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def fetch(port: int, path: str, *, head: str = "") -> tuple[int, str, str]:
    """Ask for a page, and return its status, head and body."""
    with trio.fail_after(10):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{head}\r\n"
            await stream.send_all(request.encode())
            data = b"".join([chunk async for chunk in stream])
    said, _, body = data.decode().partition("\r\n\r\n")
    return int(said.split()[1]), said, body


async def free_port() -> int:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listener.socket.getsockname()[1]
    await listener.aclose()
    return port


async def scrape(port: int) -> Samples:
    """Read the page with the official parser."""
    status, head, body = await fetch(port, "/metrics")
    assert status == 200
    assert "content-type: text/plain; version=0.0.4" in head.lower()
    samples: Samples = {}
    for family in text_string_to_metric_families(body):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, "told once"
            samples[key] = sample.value
    return samples


STATUS = b'{"command":"status"}\n'


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


# A real daemon ----------------------------------------------------------------------


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


async def test_a_daemon_without_a_broker_is_unhealthy() -> None:
    port = await free_port()
    async with real_box() as (box, broker):
        box.configure(
            alpaca=alpaca(broker, paper_url="http://127.0.0.1:9"),
            metrics={"listen": f"127.0.0.1:{port}", "stream_grace_sec": 0},
        )
        async with box.daemon():
            status, _, body = await fetch(port, "/healthz")
            assert status == 503
            assert "away for" in json.loads(body)["problems"]["stream"]
            assert value(await scrape(port), "snexec_healthy") == 0


async def test_an_address_that_cannot_be_listened_at_refuses_the_start() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]

    with pytest.raises(StartError) as caught:
        await open_page_listeners("127.0.0.1", port, key="metrics.listen")
    assert str(caught.value) == (
        f"metrics.listen: cannot listen at 127.0.0.1 port {port}:"
        " Address already in use"
    )
    with pytest.raises(StartError, match=r"metrics.listen: cannot listen at 192.0.2.1"):
        await open_page_listeners("192.0.2.1", 0, key="metrics.listen")
    await listener.aclose()


async def test_without_metrics_the_client_library_is_not_loaded() -> None:
    script = (
        "import sys; import snexec.cli.daemon;"
        "print([m for m in sys.modules if m.startswith(('prometheus', 'snexec.ops.noti'))])"
    )
    ended = await trio.run_process(
        [sys.executable, "-c", script], capture_stdout=True, env=dict(os.environ)
    )

    assert ended.stdout.strip() == b"[]"


# Latencies --------------------------------------------------------------------------


async def test_latencies_that_events_carry_are_observed_once_each() -> None:
    metrics = Metrics(cast("Sources", None))  # nothing is read before a scrape
    feed = EventFeed(clock=FakeClock())
    feed.follow(metrics.happened)

    feed.publish("placed", {"wireMs": 1.5, "replyMs": 40, "fillMs": None})
    feed.publish("settled", {"wireMs": 1.5, "replyMs": 40, "fillMs": 250})
    feed.publish("settled", {"fillMs": None}, reason="alpaca_rejected")
    feed.publish("settled", reason="something new")

    sums = {kind: found._sum.get() for kind, found in metrics._latencies.items()}
    assert sums == {"wire": 0.0015, "reply": 0.04, "fill": 0.25}
    assert metrics._ends == {"filled": 1, "rejected": 1, "other": 1}


# The server alone -------------------------------------------------------------------


@pytest.fixture
async def port(nursery: trio.Nursery) -> AsyncIterator[int]:
    """Give the port of a server with one page."""

    async def page(accept: str) -> Page:
        await trio.lowlevel.checkpoint()
        return Page(body=accept.encode() or b"hello")

    listeners = await open_page_listeners("127.0.0.1", 0, key="metrics.listen")
    nursery.start_soon(PageServer({"/page": page}).run, listeners)
    yield listeners[0].socket.getsockname()[1]
    nursery.cancel_scope.cancel()


async def test_pages_are_found_by_their_path(port: int) -> None:
    assert await fetch(port, "/page") == (200, await head_of(port, "/page"), "hello")
    assert (await fetch(port, "/page?x=1"))[0] == 200
    assert (await fetch(port, "/page", head="Accept: text/html\r\n"))[2] == "text/html"
    status, _, body = await fetch(port, "/other")
    assert (status, body) == (404, "here are /page\n")


async def head_of(port: int, path: str) -> str:
    return (await fetch(port, path))[1]


async def raw(port: int, data: bytes) -> bytes:
    with trio.fail_after(15):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            try:
                await stream.send_all(data)
                return b"".join([chunk async for chunk in stream])
            except trio.BrokenResourceError:
                return b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", b"405"),
        (b"GET /page HTTP/1.1\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /page HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET /page HTTP/1.0\r\n\r\n", b"200"),
    ],
)
async def test_whatever_is_asked_is_answered_and_the_server_lives_on(
    port: int, data: bytes, status: bytes
) -> None:
    assert (await raw(port, data)).startswith(b"HTTP/1.1 " + status)
    assert (await fetch(port, "/page"))[0] == 200


async def test_a_head_request_gets_no_body(port: int) -> None:
    answer = await raw(port, b"HEAD /page HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 5" in answer


async def test_clients_that_say_nothing_are_bounded_and_do_not_disturb(
    port: int,
) -> None:
    held = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(20)]
    await trio.sleep(0.1)
    with trio.fail_after(2):
        assert await held[-1].receive_some() == b"", "one too many is closed at once"
    for stream in held[:8]:
        await stream.aclose()
    await trio.sleep(0.1)
    assert (await fetch(port, "/page"))[0] == 200
    for stream in held[8:]:
        await stream.aclose()


async def test_a_client_that_says_nothing_is_closed_in_time(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.ops.pages._SECONDS", 0.2)
    assert await raw(port, b"GET /page HTTP/1.1\r\n") == b""

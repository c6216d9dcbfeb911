"""What the metrics keep, the health check, and what they cost where they are off."""

from __future__ import annotations

import json
import os
import sys
from typing import cast

import trio

from snexec.events import EventFeed
from snexec.ops import Sources
from snexec.web.metrics import Metrics
from tests.fakes import FakeClock
from tests.integration.harness import alpaca, real_box
from tests.web.scraping import fetch, free_port, scrape, value


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


async def test_where_it_is_off_nothing_of_the_web_is_loaded() -> None:
    script = (
        "import sys; import snexec.cli.daemon;"
        "off = ('prometheus', 'snexec.ops.noti', 'snexec.web', 'starlette', 'hypercorn');"
        "print([m for m in sys.modules if m.startswith(off)])"
    )
    ended = await trio.run_process(
        [sys.executable, "-c", script], capture_stdout=True, env=dict(os.environ)
    )

    assert ended.stdout.strip() == b"[]"

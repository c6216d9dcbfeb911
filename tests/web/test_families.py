"""The figures that a scrape reads: where they are kept, and of a real daemon."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio
from prometheus_client import CollectorRegistry, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from snexec.broker.budget import Purpose
from snexec.ops import Sources
from snexec.web.families import all_families
from tests.conftest import LoggedErrors
from tests.fakes import MOMENT
from tests.integration.harness import Box, alpaca, real_box, signal_line
from tests.ops.bench import Bench
from tests.ops.delivery import Told
from tests.web.scraping import fetch, free_port, samples_of, scrape, value

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from snexec.ops.notify import Notify
    from tests.web.scraping import Samples

jumping = pytest.mark.jumping_time

STATUS = b'{"command":"status"}\n'
TEXT, OPEN_METRICS = "", "application/openmetrics-text; version=1.0.0"
COMMITS = "snexec_writer_commit_seconds"
COMMITS_HELP = "One commit of the database, with all the changes that shared it."
# In seconds; whoever has a dashboard has these in its queries.
COMMIT_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)  # fmt: skip


class Page(Collector):
    """What a scrape of a bench reads."""

    def __init__(
        self,
        bench: Bench,
        *,
        open_trades: int | None = None,
        notify: Notify | None = None,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._open_trades = open_trades
        self._sources = Sources(
            wings=bench.wings,
            health=bench.health,
            outages=bench.outages,
            dropped_lines=lambda: 5,
            notify=notify,
        )

    def collect(self) -> Iterator[Metric]:
        return all_families(
            self._sources,
            ends={"filled": 2, "other": 1},
            dollars={"paper": Decimal("100.50"), "live": Decimal(0)},
            open_trades=self._open_trades,
        )

    def encoded(self, accept: str = TEXT) -> bytes:
        return encoded(self, accept)

    def samples(self) -> Samples:
        return samples_of(self.encoded().decode())


def encoded(collector: Collector, accept: str) -> bytes:
    registry = CollectorRegistry()
    registry.register(collector)
    encode, _ = choose_encoder(accept)
    return encode(registry)


# Commits ------------------------------------------------------------------------------

ON_BOUNDS = list(COMMIT_BUCKETS)
BESIDE_BOUNDS = [
    beside
    for bound in COMMIT_BUCKETS
    for beside in (math.nextafter(bound, 0), math.nextafter(bound, math.inf))
]


@pytest.mark.parametrize("accept", [TEXT, "text/plain; version=1.0.0", OPEN_METRICS])
@pytest.mark.parametrize(
    "seconds",
    [
        [],
        [0.0],
        [0.00037],
        [90.0, 1e6],
        ON_BOUNDS,
        BESIDE_BOUNDS,
        [0.0013] * 1000 + [0.1 + 0.2, 1 / 3, *ON_BOUNDS],
    ],
    ids=["none", "no time", "one", "slow", "on bounds", "beside bounds", "many"],
)
@jumping
async def test_commits_are_printed_as_the_librarys_own_histogram_is(
    bench: Bench, seconds: list[float], accept: str
) -> None:
    page = Page(bench)
    theirs = Histogram(COMMITS, COMMITS_HELP, registry=None, buckets=COMMIT_BUCKETS)
    for each in seconds:
        bench.rig.writer._committer._timer.add(each)
        theirs.observe(each)

    lines = encoded(theirs, accept).removesuffix(b"# EOF\n")
    assert lines.count(b"\n") == 2 + len(COMMIT_BUCKETS) + 1 + 2, "bounds, count, sum"
    assert page.encoded(accept).count(lines) == 1


# What is not there --------------------------------------------------------------------


@jumping
async def test_rows_that_could_not_be_counted_are_left_out(bench: Bench) -> None:
    assert ("snexec_trades_open", ()) not in Page(bench).samples()
    assert value(Page(bench, open_trades=3).samples(), "snexec_trades_open") == 3


@jumping
async def test_an_age_of_what_never_was_is_left_out(bench: Bench) -> None:
    ages = ("state", "heard", "event")
    before = Page(bench).samples()
    assert not any((f"snexec_stream_{one}_age_seconds", ()) in before for one in ages)

    bench.set_stream("authorized")
    bench.stream._life.heard()
    await trio.sleep(7)
    later = Page(bench).samples()
    assert value(later, "snexec_stream_state_age_seconds") == 7
    assert value(later, "snexec_stream_heard_age_seconds") == 7
    assert ("snexec_stream_event_age_seconds", ()) not in later


@jumping
@pytest.mark.parametrize("header", ["x-ratelimit-limit", "x-ratelimit-remaining"])
@jumping
async def test_no_header_of_the_brokers_empties_the_page(
    bench: Bench, header: str
) -> None:
    budget = bench.wings.accounts.budget("paper")
    before = Page(bench).samples()
    told = {"x-ratelimit-limit": "200", "x-ratelimit-remaining": "9"}
    told |= {"x-ratelimit-reset": str(MOMENT.timestamp() + 30), header: "1" * 400}
    assert budget.try_take(Purpose.START)
    budget.finish(told)

    limit = ("snexec_rate_budget_limit", (("mode", "paper"),))
    assert Page(bench).samples()[limit] == before[limit]


@jumping
async def test_notifications_are_counted_only_where_there_are_any(
    bench: Bench,
) -> None:
    assert b"snexec_notifications" not in Page(bench).encoded()

    told = Told(bench.rig)
    told.counts["failed"] = 2
    found = Page(bench, notify=told).samples()
    assert value(found, "snexec_notifications_total", outcome="delivered") == 0
    assert value(found, "snexec_notifications_total", outcome="failed") == 2


# What is there ------------------------------------------------------------------------


@jumping
async def test_each_figure_is_what_the_wing_says(
    bench: Bench, logged_errors: LoggedErrors
) -> None:
    bench.set_stream("authorized")
    bench.set_stream("waiting")
    bench.take("AAPL", id="n-1")
    bench.take("AAPL", id="n-1")
    bench.rig.set_bot(enabled=False)
    bench.rig.set_mode("live")
    bench.set_healthy(False)
    bench.rig.intake.note_dropped_answer()
    bench.rig.dispatcher.in_flight = 4
    assert bench.rig.accounts.budget("paper").try_take(Purpose.ORDER)
    bench.control.halt("fire", by="me")
    await trio.sleep(9)
    found = Page(bench).samples()

    assert value(found, "snexec_mode", mode="live") == 1
    assert value(found, "snexec_mode", mode="paper") == 0
    assert value(found, "snexec_bot_state", state="disabled") == 1
    assert value(found, "snexec_bot_state", state="running") == 0
    assert value(found, "snexec_halted") == 1
    assert value(found, "snexec_healthy") == 0
    assert value(found, "snexec_signals_total", outcome="accepted") == 1
    assert value(found, "snexec_signals_total", outcome="repeated") == 1
    assert value(found, "snexec_signals_pending") == 1
    assert value(found, "snexec_orders_in_flight") == 4
    assert value(found, "snexec_orders_settled_total", outcome="filled") == 2
    assert value(found, "snexec_orders_settled_total", outcome="other") == 1
    assert value(found, "snexec_orders_settled_total", outcome="expired") == 0
    assert value(found, "snexec_orders_dollars_total", mode="paper") == 100.5
    assert value(found, "snexec_stream_state", state="waiting") == 1
    assert value(found, "snexec_stream_away_seconds") == 9
    assert value(found, "snexec_stream_outages_total") == 1
    assert value(found, "snexec_writer_healthy") == 0
    assert value(found, "snexec_rate_budget_left", mode="paper") == 199
    assert value(found, "snexec_rate_budget_left", mode="live") == 200
    assert value(found, "snexec_rate_budget_limit", mode="live") == 200
    assert value(found, "snexec_answers_dropped_total") == 1
    assert value(found, "snexec_log_lines_dropped_total") == 5
    assert len(logged_errors.take()) == 1


# A real daemon ------------------------------------------------------------------------


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

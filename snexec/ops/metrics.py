"""Figures for Prometheus, and a health check (README, "Metrics").

Counters are read where they are kept, at the moment of a scrape; only what has no
counter elsewhere is kept here, fed by the event feed. No label is a symbol or an id, so
the number of series does not grow.

Imported only where ``[metrics]`` is on: the client library costs time to load.
"""

from __future__ import annotations

import collections
import json
import platform
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import trio
from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from snexec import __version__
from snexec.intake import Phase, Status
from snexec.model import MODES
from snexec.ops.pages import Page
from snexec.orders import SKIP_REASONS
from snexec.stream import StreamState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from snexec.broker import Accounts
    from snexec.events import Event
    from snexec.intake import Intake
    from snexec.ledger import WriterStatus
    from snexec.ops.health import Health
    from snexec.ops.notify import Notify
    from snexec.ops.outages import Outages
    from snexec.orders import Dispatcher, Outcomes, Skips
    from snexec.reconciliation import UnsettledOrders
    from snexec.settings import Settings
    from snexec.stream import TradingStream

LatencyKind = Literal["wire", "reply", "fill"]

_MS = 1000.0
_COUNT_SECONDS = 1.0  # for the open rows, which another program's lock may hold up
_WIRE_BUCKETS = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
_REPLY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # fmt: skip
_FILL_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)  # fmt: skip
_COMMIT_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5)  # fmt: skip
_BOT_STATES = ("running", "paused", "stopped", "disabled")
_ENDS = {
    None: "filled",
    "alpaca_rejected": "rejected",
    "alpaca_canceled": "canceled",
    "alpaca_expired": "expired",
    "order_not_found": "not_found",
    "order_found_late": "found_late",
}
_OTHER_END = "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Where the figures are.

    Attributes:
        writer: Tells the writer's figures.
        dropped_lines: Tells how many log lines were dropped.
        notify: Who is notified, if anybody.
        count_open: Counts the open rows, in a thread of its own; None if it cannot.
    """

    settings: Callable[[], Settings]
    simulated: bool
    intake: Intake
    skips: Skips
    outcomes: Outcomes
    dispatcher: Dispatcher
    accounts: Accounts
    stream: TradingStream
    outages: Outages
    unsettled: UnsettledOrders
    writer: Callable[[], WriterStatus]
    health: Health
    halted: Callable[[], bool]
    dropped_answers: Callable[[], int]
    dropped_lines: Callable[[], int]
    notify: Notify | None
    count_open: Callable[[], Awaitable[int | None]]


class Metrics:
    """Makes the pages ``/metrics`` and ``/healthz``."""

    def __init__(self, sources: Sources) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._sources = sources
        self._open_trades: int | None = None
        self._ends: collections.Counter[str] = collections.Counter()
        self._dollars: dict[str, Decimal] = dict.fromkeys(MODES, Decimal(0))
        self._registry = CollectorRegistry()
        self._registry.register(_Reader(self._collect))
        ProcessCollector(registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        self._latencies: dict[LatencyKind, Histogram] = {
            "wire": histogram(
                "snexec_order_wire_seconds",
                "From a signal's line read to its order's request on the wire.",
                buckets=_WIRE_BUCKETS,
            ),
            "reply": histogram(
                "snexec_order_reply_seconds",
                "From a signal's line read to the broker's answer to its order.",
                buckets=_REPLY_BUCKETS,
            ),
            "fill": histogram(
                "snexec_order_fill_seconds",
                "From a signal's line read to its order's final fill.",
                buckets=_FILL_BUCKETS,
            ),
        }
        self._commits = histogram(
            "snexec_writer_commit_seconds",
            "One commit of the database, with all the changes that shared it.",
            buckets=_COMMIT_BUCKETS,
        )

    def pages(self) -> Mapping[str, Callable[[str], Awaitable[Page]]]:
        """Return what makes each page."""
        return {"/metrics": self._metrics_page, "/healthz": self._health_page}

    def observe_latency(self, kind: LatencyKind, seconds: float) -> None:
        """Note how long an order took, counted from its line read."""
        self._latencies[kind].observe(seconds)

    def observe_commit(self, seconds: float) -> None:
        """Note how long a commit took; may be called from any thread."""
        self._commits.observe(seconds)

    def happened(self, event: Event) -> None:
        """Note an event of the feed: what it carries of latencies, ends and dollars."""
        if event.event == "placed":
            self._observe_ms("wire", event.more.get("wireMs"))
            self._observe_ms("reply", event.more.get("replyMs"))
            self._add_dollars(event.more.get("mode"), event.more.get("notional"))
        elif event.event == "settled":
            self._ends[_ENDS.get(event.reason, _OTHER_END)] += 1
            self._observe_ms("fill", event.more.get("fillMs"))

    def _observe_ms(self, kind: LatencyKind, value: object) -> None:
        if isinstance(value, int | float):
            self.observe_latency(kind, value / _MS)

    def _add_dollars(self, mode: object, notional: object) -> None:
        try:
            self._dollars[str(mode)] += Decimal(str(notional))
        except (KeyError, InvalidOperation):
            return

    async def _metrics_page(self, accept: str) -> Page:
        self._open_trades = None
        with trio.move_on_after(_COUNT_SECONDS):
            self._open_trades = await self._sources.count_open()
        encode, content_type = choose_encoder(accept)
        return Page(body=encode(self._registry), content_type=content_type)

    async def _health_page(self, _accept: str) -> Page:
        await trio.lowlevel.checkpoint()
        problems = self._sources.health.problems()
        answer = {
            "status": "unhealthy" if problems else "ok",
            "phase": self._sources.intake.phase.value,
            "mode": self._sources.settings().mode,
            "problems": problems,
        }
        return Page(
            status=503 if problems else 200,
            body=json.dumps(answer).encode() + b"\n",
            content_type="application/json",
        )

    def _collect(self) -> Iterator[Metric]:
        yield from self._about_the_daemon()
        yield from self._about_signals_and_orders()
        yield from self._about_the_stream()
        yield from self._about_the_writer()
        yield from self._about_the_rest()

    def _about_the_daemon(self) -> Iterator[Metric]:
        sources, settings = self._sources, self._sources.settings()
        build = GaugeMetricFamily(
            "snexec_build_info", "Always 1.", labels=("version", "python")
        )
        build.add_metric((__version__, platform.python_version()), 1)
        yield build
        yield _one_of("snexec_mode", "The mode that trades.", MODES, settings.mode)
        yield _gauge(
            "snexec_simulated",
            "Whether the built-in exchange answers.",
            sources.simulated,
        )
        bot = settings.bot.state if settings.bot.enabled else "disabled"
        yield _one_of("snexec_bot_state", "What the bot does.", _BOT_STATES, bot)
        yield _gauge(
            "snexec_halted", "Whether the kill switch is on.", sources.halted()
        )
        phases = [phase.value for phase in Phase]
        yield _one_of(
            "snexec_phase",
            "Whether signals are taken.",
            phases,
            sources.intake.phase.value,
        )
        yield _gauge(
            "snexec_healthy",
            "Whether fills can be confirmed and rows written, as /healthz says.",
            not sources.health.problems(),
        )

    def _about_signals_and_orders(self) -> Iterator[Metric]:
        sources = self._sources
        yield _counters(
            "snexec_signals",
            "Lines read, by what they were answered.",
            "outcome",
            get_args(Status),
            sources.intake.counts,
        )
        yield _counters(
            "snexec_signals_skipped",
            "Signals taken and not traded, by the reason.",
            "reason",
            SKIP_REASONS,
            sources.skips.counts,
        )
        yield _gauge(
            "snexec_signals_pending",
            "Signals that wait for an order slot.",
            sources.intake.pending,
        )
        yield _counters(
            "snexec_orders",
            "Orders, by the broker's first answer.",
            "outcome",
            ("placed", "refused", "unknown"),
            sources.outcomes.counts,
        )
        yield _counters(
            "snexec_orders_settled",
            "Orders by how they ended: filled is wholly or in part, not_found may turn up.",
            "outcome",
            (*_ENDS.values(), _OTHER_END),
            self._ends,
        )
        dollars = CounterMetricFamily(
            "snexec_orders_dollars", "Dollars of orders placed.", labels=("mode",)
        )
        for mode, amount in self._dollars.items():
            dollars.add_metric((mode,), float(amount))
        yield dollars
        yield _gauge(
            "snexec_orders_in_flight",
            "Orders that are being placed.",
            sources.dispatcher.in_flight,
        )
        yield _gauge(
            "snexec_orders_unsettled",
            "Orders whose outcome is not final.",
            len(sources.unsettled),
        )
        if self._open_trades is not None:
            yield _gauge(
                "snexec_trades_open",
                "Open rows, whoever wrote them.",
                self._open_trades,
            )

    def _about_the_stream(self) -> Iterator[Metric]:
        stream, now = self._sources.stream, trio.current_time()
        yield _one_of(
            "snexec_stream_state",
            "The state of the trading stream.",
            get_args(StreamState),
            stream.state,
        )
        ages = {
            "snexec_stream_state_age_seconds": (
                "Since the state of the stream changed.",
                stream.state_since,
            ),
            "snexec_stream_heard_age_seconds": (
                "Since the broker was last heard on the stream, be it a pong.",
                stream.life.heard_at,
            ),
            "snexec_stream_event_age_seconds": (
                "Since the last event of an order.",
                stream.life.event_at,
            ),
        }
        for name, (text, since) in ages.items():
            if since is not None:
                yield _gauge(name, text, now - since)
        yield _gauge(
            "snexec_stream_away_seconds",
            "For how long the stream has not been authorized; 0 while it is.",
            self._sources.health.stream_away_seconds(),
        )
        outages = CounterMetricFamily(
            "snexec_stream_outages",
            "Times without a stream that are over; the start counts as one.",
        )
        outages.add_metric((), self._sources.outages.count)
        yield outages

    def _about_the_writer(self) -> Iterator[Metric]:
        status = self._sources.writer()
        yield _gauge(
            "snexec_writer_pending",
            "Changes that wait for the database.",
            status.pending,
        )
        applied = CounterMetricFamily(
            "snexec_writer_applied", "Changes written to the database."
        )
        applied.add_metric((), status.applied)
        yield applied
        yield _gauge(
            "snexec_writer_healthy",
            "Whether the database can be written.",
            status.healthy,
        )

    def _about_the_rest(self) -> Iterator[Metric]:
        sources = self._sources
        left = GaugeMetricFamily(
            "snexec_rate_budget_left",
            "Requests that may still be made in this minute.",
            labels=("mode",),
        )
        limit = GaugeMetricFamily(
            "snexec_rate_budget_limit", "Requests a minute.", labels=("mode",)
        )
        for mode in MODES:
            budget = sources.accounts.budget(mode)
            left.add_metric((mode,), budget.left)
            limit.add_metric((mode,), budget.limit)
        yield left
        yield limit
        for name, text, count in (
            (
                "snexec_answers_dropped",
                "Answers that their client did not take.",
                sources.dropped_answers(),
            ),
            (
                "snexec_log_lines_dropped",
                "Log lines that nobody took.",
                sources.dropped_lines(),
            ),
        ):
            family = CounterMetricFamily(name, text)
            family.add_metric((), count)
            yield family
        if sources.notify is not None:
            yield _counters(
                "snexec_notifications",
                "Messages, by whether they were delivered.",
                "outcome",
                ("delivered", "failed"),
                sources.notify.counts,
            )


class _Reader(Collector):
    """Reads the daemon's own counters at each scrape."""

    def __init__(self, collect: Callable[[], Iterator[Metric]]) -> None:
        self._collect = collect

    def describe(self) -> Iterable[Metric]:
        """Return nothing, so that registering reads nothing yet."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every figure."""
        return self._collect()


def _gauge(name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text)
    family.add_metric((), float(value))
    return family


def _one_of(name: str, text: str, values: Iterable[str], current: str) -> Metric:
    """Make a gauge a value, 1 for the current one."""
    label = name.rpartition("_")[2]
    family = GaugeMetricFamily(name, f"{text} 1 for the current one.", labels=(label,))
    for value in values:
        family.add_metric((value,), float(value == current))
    return family


def _counters(
    name: str,
    text: str,
    label: str,
    values: Iterable[str],
    counts: Mapping[Any, int],
) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for value in values:
        family.add_metric((value,), counts.get(value, 0))
    return family

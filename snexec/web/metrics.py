"""Figures for Prometheus, and a health check (README, "Metrics").

Only what has no counter elsewhere is kept here, fed by the event feed; ``families``
reads all else where it is kept.

Imported only where ``[page]`` or ``[metrics]`` is on: the client library costs time.
"""

from __future__ import annotations

import collections
import json
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TYPE_CHECKING, Literal

import trio
from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from snexec.model import MODES
from snexec.web.answers import Answer
from snexec.web.exit_metrics import ExitMetrics
from snexec.web.families import ENDS, OTHER_END, all_families

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from snexec.events import Event
    from snexec.ops import Sources

LatencyKind = Literal["wire", "reply", "fill"]

_MS = 1000.0
_COUNT_SECONDS = 1.0  # to count the open rows; another program's lock may delay it
_WIRE_BUCKETS = (
    *(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
_REPLY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # fmt: skip
_FILL_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)  # fmt: skip


class Metrics:
    """Makes what ``/metrics`` and ``/healthz`` answer.

    Args:
        sources: Where the figures are that are kept elsewhere.
    """

    def __init__(self, sources: Sources) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._sources = sources
        self._open_trades: int | None = None
        self._ends: collections.Counter[str] = collections.Counter()
        self._dollars: dict[str, Decimal] = dict.fromkeys(MODES, Decimal(0))
        self._registry = CollectorRegistry()
        self._registry.register(_Reader(self._collect))
        ProcessCollector(registry=self._registry)
        self._exits = ExitMetrics(self._registry)
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

    def observe_latency(self, kind: LatencyKind, seconds: float) -> None:
        """Record how long an order took since its line was read, in seconds."""
        self._latencies[kind].observe(seconds)

    def happened(self, event: Event) -> None:
        """Record the latencies, the end and the dollars in an event of the feed."""
        if event.event == "placed":
            self._observe_ms("wire", event.more.get("wireMs"))
            self._observe_ms("reply", event.more.get("replyMs"))
            self._add_dollars(event.more.get("mode"), event.more.get("notional"))
        elif event.event == "settled":
            self._ends[ENDS.get(event.reason, OTHER_END)] += 1
            self._observe_ms("fill", event.more.get("fillMs"))
        else:
            self._exits.happened(event)

    def _observe_ms(self, kind: LatencyKind, value: object) -> None:
        if isinstance(value, int | float):
            self.observe_latency(kind, value / _MS)

    def _add_dollars(self, mode: object, notional: object) -> None:
        try:
            self._dollars[str(mode)] += Decimal(str(notional))
        except (KeyError, InvalidOperation):
            return

    async def figures(self, accept: str) -> Answer:
        """Return the figures, in the form that an ``Accept`` header wants."""
        self._open_trades = None
        with trio.move_on_after(_COUNT_SECONDS):
            self._open_trades = await self._sources.wings.ledger.count_open()
        encode, content_type = choose_encoder(accept)
        return Answer(encode(self._registry), content_type=content_type)

    def health(self) -> Answer:
        """Return whether the daemon can do its work, and what is wrong."""
        wings, problems = self._sources.wings, self._sources.health.problems()
        answer = {
            "status": "unhealthy" if problems else "ok",
            "phase": wings.intake.status().phase.value,
            "mode": wings.live.now.mode,
            "problems": problems,
        }
        return Answer(
            json.dumps(answer).encode() + b"\n",
            status=503 if problems else 200,
        )

    def _collect(self) -> Iterator[Metric]:
        yield from self._exits.families()
        yield from all_families(
            self._sources,
            ends=self._ends,
            dollars=self._dollars,
            open_trades=self._open_trades,
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

"""The figures about positions and their sells that are read at a scrape (SPEC 12.8)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from snexec.exits import Source
from snexec.model import MODES
from snexec.web.figures import gauge, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from snexec.exits import Exits

_STATES = ("watched", "closing", "blocked")


def about_exits(exits: Exits) -> Iterator[Metric]:
    """Yield the figures of what is watched."""
    status = exits.status()
    counts: Counter[tuple[str, str]] = Counter(
        (each.mode, each.state) for each in exits.positions()
    )
    positions = GaugeMetricFamily(
        "snexec_positions",
        "Rows of which something is held, by what is done about them.",
        labels=("mode", "state"),
    )
    for mode in MODES:
        for state in _STATES:
            positions.add_metric((mode, state), float(counts[mode, state]))
    yield positions
    if status.price_age_sec is not None:
        yield gauge(
            "snexec_price_age_seconds",
            "Since the latest price that counted.",
            status.price_age_sec,
        )
    yield one_of(
        "snexec_price_source",
        "Where prices come from.",
        get_args(Source),
        status.source or "",
    )
    yield gauge(
        "snexec_exits_blind",
        "Whether no price is fresh while positions are watched.",
        status.blind,
    )
    passed_over = CounterMetricFamily(
        "snexec_prices_passed_over",
        "Prices that did not count, by the reason.",
        labels=("why",),
    )
    for why, count in sorted(status.passed_over.items()):
        passed_over.add_metric((why,), float(count))
    yield passed_over

"""Makes one family of figures each, for those that are read at a scrape."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client.metrics_core import Metric

    from snexec.ledger import CommitTimes


def gauge(name: str, text: str, value: float) -> Metric:
    """Make one gauge."""
    family = GaugeMetricFamily(name, text)
    family.add_metric((), float(value))
    return family


def histogram(name: str, text: str, times: CommitTimes) -> Metric:
    """Make one histogram of times that are counted elsewhere."""
    bounds = [*map(floatToGoString, times.bounds), "+Inf"]
    counts = map(float, accumulate(times.counts))
    return HistogramMetricFamily(
        name,
        text,
        buckets=list(zip(bounds, counts, strict=True)),
        sum_value=times.total,
    )


def one_of(name: str, text: str, values: Iterable[str], current: str) -> Metric:
    """Make one gauge for each value: 1 for the current one, 0 for the others."""
    label = name.rpartition("_")[2]
    family = GaugeMetricFamily(name, f"{text} 1 for the current one.", labels=(label,))
    for value in values:
        family.add_metric((value,), float(value == current))
    return family


def counters(
    name: str,
    text: str,
    label: str,
    values: Iterable[str],
    counts: Mapping[Any, int],
) -> Metric:
    """Make one counter for each value of a label, in their order."""
    family = CounterMetricFamily(name, text, labels=(label,))
    for value in values:
        family.add_metric((value,), counts.get(value, 0))
    return family

"""Each family of figures as a scrape reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

from snexec.ledger.commit_times import CommitTimes
from snexec.web.figures import counters, gauge, histogram, one_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.metrics_core import Metric


def scraped(family: Metric) -> list[str]:
    """Return the lines of a family, comments left out."""

    class One:
        def collect(self) -> Iterable[Metric]:
            return [family]

    registry = CollectorRegistry()
    registry.register(One())
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_a_gauge_has_one_value() -> None:
    assert scraped(gauge("snexec_open", "Open rows.", 3)) == ["snexec_open 3.0"]


def test_a_histograms_buckets_hold_all_that_took_no_longer() -> None:
    times = CommitTimes(bounds=(0.001, 0.01), counts=(2, 3, 1), total=0.5)
    assert scraped(histogram("snexec_commit_seconds", "Commits.", times)) == [
        'snexec_commit_seconds_bucket{le="0.001"} 2.0',
        'snexec_commit_seconds_bucket{le="0.01"} 5.0',
        'snexec_commit_seconds_bucket{le="+Inf"} 6.0',
        "snexec_commit_seconds_count 6.0",
        "snexec_commit_seconds_sum 0.5",
    ]


def test_of_several_states_the_current_one_is_1() -> None:
    family = one_of("snexec_stream_state", "The stream.", ("up", "down"), "down")
    assert scraped(family) == [
        'snexec_stream_state{state="up"} 0.0',
        'snexec_stream_state{state="down"} 1.0',
    ]
    assert family.documentation == "The stream. 1 for the current one."


def test_what_was_never_counted_is_0() -> None:
    family = counters(
        *("snexec_skipped", "Skipped.", "reason"), ("stale", "paused"), {"paused": 2}
    )
    assert scraped(family) == [
        'snexec_skipped_total{reason="stale"} 0.0',
        'snexec_skipped_total{reason="paused"} 2.0',
    ]

"""The figures about Redis, where there is one: the stream, and the lease (SPEC 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

from snexec.web.figures import gauge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from snexec.redis import RedisFeeder


def about_redis(redis: RedisFeeder | None) -> Iterator[Metric]:
    """Yield the figures; none without ``[redis]``."""
    if redis is None:
        return
    status = redis.status()
    yield gauge("snexec_redis_connected", "Whether Redis answers.", status.connected)
    if status.pending is not None:
        yield gauge(
            "snexec_redis_pending",
            "Entries that the group was given and has not decided.",
            status.pending,
        )
    if status.lag is not None:
        yield gauge(
            "snexec_redis_lag",
            "Entries that the group was not given yet.",
            status.lag,
        )
    yield gauge(
        "snexec_lease",
        "Whether this daemon may order: 1 is active or alone, 0 is standby.",
        status.lease != "standby",
    )
    for name, text, count in (
        ("snexec_redis_dead", "Entries put aside in the dead stream.", status.dead),
        ("snexec_redis_again", "Entries that were delivered again.", status.again),
        (
            "snexec_redis_results_dropped",
            "Events that the results stream did not get.",
            status.dropped,
        ),
    ):
        family = CounterMetricFamily(name, text)
        family.add_metric((), count)
        yield family

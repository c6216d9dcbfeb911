"""The figures that are read where they are kept, at the moment of a scrape.

No label is a symbol or an id, so the number of series does not grow.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, get_args

import trio
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from snexec import __version__
from snexec.intake import Phase, Status
from snexec.model import MODES
from snexec.orders import SKIP_REASONS
from snexec.stream import StreamState
from snexec.web.exit_families import about_exits
from snexec.web.figures import counters, gauge, histogram, one_of
from snexec.web.redis_families import about_redis

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from decimal import Decimal

    from prometheus_client.metrics_core import Metric

    from snexec.ops import Sources

_BOT_STATES = ("running", "paused", "stopped", "disabled")
# How an order ended, by the reason in its settled event.
ENDS = {
    None: "filled",
    "alpaca_rejected": "rejected",
    "alpaca_canceled": "canceled",
    "alpaca_expired": "expired",
    "order_not_found": "not_found",
    "order_found_late": "found_late",
}
OTHER_END = "other"


def all_families(
    sources: Sources,
    *,
    ends: Mapping[str, int],
    dollars: Mapping[str, Decimal],
    open_trades: int | None,
) -> Iterator[Metric]:
    """Yield every figure but the latencies of orders.

    Args:
        sources: Where the figures are.
        ends: Orders settled, by a value of ``ENDS`` or ``OTHER_END``.
        dollars: Dollars of the orders placed, by mode.
        open_trades: How many rows are open, or None if they could not be counted.
    """
    yield from _about_the_daemon(sources)
    yield from _about_signals_and_orders(sources, ends, dollars, open_trades)
    yield from _about_the_stream(sources)
    yield from _about_the_writer(sources)
    yield from _about_the_rest(sources)
    yield from about_exits(sources.wings.exits)
    yield from about_redis(sources.wings.redis)


def _about_the_daemon(sources: Sources) -> Iterator[Metric]:
    wings = sources.wings
    build = GaugeMetricFamily(
        "snexec_build_info", "Always 1.", labels=("version", "python")
    )
    build.add_metric((__version__, platform.python_version()), 1)
    yield build
    yield one_of("snexec_mode", "The mode that trades.", MODES, wings.live.now.mode)
    yield gauge(
        "snexec_simulated",
        "Whether the built-in exchange answers.",
        wings.accounts.simulated,
    )
    yield one_of("snexec_bot_state", "What the bot does.", _BOT_STATES, wings.bot_state)
    halted = wings.halt.current() is not None
    yield gauge("snexec_halted", "Whether the kill switch is on.", halted)
    yield gauge(
        "snexec_halted_for_all",
        "Whether it halts exits too.",
        wings.halt.is_all_halted(),
    )
    phases = [phase.value for phase in Phase]
    yield one_of(
        "snexec_phase",
        "Whether signals are taken.",
        phases,
        wings.intake.status().phase.value,
    )
    yield gauge(
        "snexec_healthy",
        "Whether fills can be confirmed and rows written, as /healthz says.",
        not sources.health.problems(),
    )


def _about_signals_and_orders(
    sources: Sources,
    ends: Mapping[str, int],
    dollars: Mapping[str, Decimal],
    open_trades: int | None,
) -> Iterator[Metric]:
    orders = sources.wings.orders.status()
    yield counters(
        "snexec_signals",
        "Lines read, by what they were answered.",
        "outcome",
        get_args(Status),
        sources.wings.intake.status().counts,
    )
    yield counters(
        "snexec_signals_skipped",
        "Signals taken and not traded, by the reason.",
        "reason",
        SKIP_REASONS,
        orders.skipped,
    )
    yield gauge(
        "snexec_signals_pending",
        "Signals that wait for an order slot.",
        orders.pending,
    )
    yield counters(
        "snexec_orders",
        "Orders, by the broker's first answer.",
        "outcome",
        ("placed", "refused", "unknown"),
        {
            "placed": orders.placed,
            "refused": orders.refused,
            "unknown": orders.unknown,
        },
    )
    yield counters(
        "snexec_orders_settled",
        "Orders by how they ended: filled is wholly or in part, not_found may turn up.",
        "outcome",
        (*ENDS.values(), OTHER_END),
        ends,
    )
    placed = CounterMetricFamily(
        "snexec_orders_dollars", "Dollars of orders placed.", labels=("mode",)
    )
    for mode, amount in dollars.items():
        placed.add_metric((mode,), float(amount))
    yield placed
    yield gauge(
        "snexec_orders_in_flight",
        "Orders that are being placed.",
        orders.in_flight,
    )
    yield gauge(
        "snexec_orders_unsettled",
        "Orders whose outcome is not final.",
        sources.wings.reconciler.status().unsettled,
    )
    if open_trades is not None:
        yield gauge(
            "snexec_trades_open",
            "Open rows, whoever wrote them.",
            open_trades,
        )


def _about_the_stream(sources: Sources) -> Iterator[Metric]:
    stream, now = sources.wings.stream.status(), trio.current_time()
    yield one_of(
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
            stream.heard_at,
        ),
        "snexec_stream_event_age_seconds": (
            "Since the last event of an order.",
            stream.event_at,
        ),
    }
    for name, (text, since) in ages.items():
        if since is not None:
            yield gauge(name, text, now - since)
    yield gauge(
        "snexec_stream_away_seconds",
        "For how long the stream has not been authorized; 0 while it is.",
        sources.health.stream_away_seconds(),
    )
    outages = CounterMetricFamily(
        "snexec_stream_outages",
        "Times without a stream that are over; the start counts as one.",
    )
    outages.add_metric((), sources.outages.count)
    yield outages


def _about_the_writer(sources: Sources) -> Iterator[Metric]:
    status = sources.wings.ledger.status()
    yield gauge(
        "snexec_writer_pending",
        "Changes that wait for the database.",
        status.pending,
    )
    applied = CounterMetricFamily(
        "snexec_writer_applied", "Changes written to the database."
    )
    applied.add_metric((), status.applied)
    yield applied
    yield gauge(
        "snexec_writer_healthy",
        "Whether the database can be written.",
        status.healthy,
    )
    yield histogram(
        "snexec_writer_commit_seconds",
        "One commit of the database, with all the changes that shared it.",
        status.commits,
    )


def _about_the_rest(sources: Sources) -> Iterator[Metric]:
    left = GaugeMetricFamily(
        "snexec_rate_budget_left",
        "Requests that may still be made in this minute.",
        labels=("mode",),
    )
    limit = GaugeMetricFamily(
        "snexec_rate_budget_limit", "Requests a minute.", labels=("mode",)
    )
    for mode, budget in sources.wings.accounts.status().items():
        left.add_metric((mode,), budget.left)
        limit.add_metric((mode,), budget.limit)
    yield left
    yield limit
    for name, text, count in (
        (
            "snexec_answers_dropped",
            "Answers that their client did not take.",
            sources.wings.intake.status().dropped_answers,
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
        yield counters(
            "snexec_notifications",
            "Messages, by whether they were delivered.",
            "outcome",
            ("delivered", "failed"),
            sources.notify.counts,
        )

"""What is kept of sells for Prometheus, fed by the event feed (SPEC 12.8)."""

from __future__ import annotations

import collections
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, get_args

import trio
from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from snexec.ledger import ExitReason
from snexec.model import MODES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from snexec.events import Event

_MS = 1000.0
_MOST_DECIDED = 10_000  # sells that are under way; older ones are not measured
_OTHER_REASON = "other"
_OUTCOMES = {
    "exit_placed": "placed",
    "exit_refused": "refused",
    "exit_unknown": "unknown",
    "closed": "closed",
}
_WIRE_BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0)  # fmt: skip
_FILL_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)  # fmt: skip
_SLIPPAGE_BUCKETS = (-0.01, -0.001, 0.0, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)  # fmt: skip


class _Decided(NamedTuple):
    """A sell that was decided.

    Attributes:
        at: When, on Trio's clock.
        shares: That it should sell.
        trigger: The price that decided it, in dollars; None for a rule of time.
    """

    at: float
    shares: Decimal | None
    trigger: Decimal | None


class ExitMetrics:
    """Counts sells by reason and outcome, and what they won.

    Args:
        registry: Where the histograms are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._exits: collections.Counter[tuple[str, str]] = collections.Counter()
        self._decided: dict[object, _Decided] = {}  # by the sell's id, oldest first
        self._pnl: dict[str, Decimal] = dict.fromkeys(MODES, Decimal(0))
        self._wire = Histogram(
            "snexec_exit_wire_seconds",
            "From a sell decided to its request on the wire.",
            buckets=_WIRE_BUCKETS,
            registry=registry,
        )
        self._fill = Histogram(
            "snexec_exit_fill_seconds",
            "From a sell decided to its final fill.",
            buckets=_FILL_BUCKETS,
            registry=registry,
        )
        self._slippage = Histogram(
            "snexec_exit_slippage_ratio",
            "By what part of the price that decided it a sell brought less.",
            buckets=_SLIPPAGE_BUCKETS,
            registry=registry,
        )

    def happened(self, event: Event) -> None:
        """Record what an event of the feed says about a sell."""
        if (outcome := _OUTCOMES.get(event.event)) is not None:
            self._exits[_reason_of(event), outcome] += 1
        match event.event:
            case "exit":
                self._decide(event)
            case "exit_placed":
                if (value := _number(event.more.get("wireMs"))) is not None:
                    self._wire.observe(float(value) / _MS)
            case "exit_fill":
                self._sell(event)
            case "exit_refused":
                self._decided.pop(event.more.get("exitId"), None)
            case "closed":
                self._add_pnl(event)
            case _:
                pass

    def families(self) -> Iterator[Metric]:
        """Yield the counts; the histograms are in the registry."""
        exits = CounterMetricFamily(
            "snexec_exits",
            "Sells by the broker's first answer, and rows closed, by reason.",
            labels=("reason", "outcome"),
        )
        for reason in (*get_args(ExitReason), _OTHER_REASON):
            for outcome in _OUTCOMES.values():
                count = self._exits[reason, outcome]
                exits.add_metric((reason, outcome), float(count))
        yield exits
        # A loss takes from it, which no counter can show.
        pnl = GaugeMetricFamily(
            "snexec_pnl_dollars_total",
            "Dollars won by the rows closed in this run, before fees; may go down.",
            labels=("mode",),
        )
        for mode, dollars in self._pnl.items():
            pnl.add_metric((mode,), float(dollars))
        yield pnl

    def _decide(self, event: Event) -> None:
        decided = _Decided(
            trio.current_time(),
            _number(event.more.get("shares")),
            _number(event.more.get("triggerPrice")),
        )
        self._decided[event.more.get("exitId")] = decided
        if len(self._decided) > _MOST_DECIDED:
            self._decided.pop(next(iter(self._decided)))

    def _sell(self, event: Event) -> None:
        """Observe how long a sell took and what it brought, once all of it is sold."""
        exit_id, sold = event.more.get("exitId"), _number(event.more.get("shares"))
        decided = self._decided.get(exit_id)
        if decided is None or sold is None or decided.shares is None:
            return
        if sold < decided.shares:
            return
        del self._decided[exit_id]
        self._fill.observe(trio.current_time() - decided.at)
        price, trigger = _number(event.more.get("exitPrice")), decided.trigger
        if trigger is not None and price is not None and trigger > 0:
            self._slippage.observe(float((trigger - price) / trigger))

    def _add_pnl(self, event: Event) -> None:
        pnl, mode = _number(event.more.get("pnl")), str(event.more.get("mode"))
        if pnl is not None and mode in self._pnl:
            self._pnl[mode] += pnl


def _reason_of(event: Event) -> str:
    reason = event.reason or ""
    return reason if reason in get_args(ExitReason) else _OTHER_REASON


def _number(value: object) -> Decimal | None:
    """Return a number of an event, be it text of the broker or a column's value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    return number if number.is_finite() else None

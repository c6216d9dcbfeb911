"""What is kept of sells for Prometheus."""

from __future__ import annotations

import pytest
import trio
from prometheus_client import CollectorRegistry

from snexec.events import EventFeed
from snexec.web import exit_metrics
from snexec.web.exit_metrics import ExitMetrics
from tests.fakes import FakeClock


class Kept:
    """The figures, and the feed that they are from."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ExitMetrics(self.registry)
        self.feed = EventFeed(clock=FakeClock())
        self.feed.follow(self.metrics.happened)

    def counted(self) -> dict[tuple[str, ...], float]:
        """Return every count that is not 0, by its name and its labels."""
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in self.metrics.families()
            for sample in family.samples
            if sample.value
        }

    def decide(self, exit_id: str, *, trigger: float | None) -> None:
        more = {"exitId": exit_id, "shares": 0.5, "triggerPrice": trigger}
        self.feed.publish("exit", more, reason="stop_loss")

    def sell(self, exit_id: str, shares: float, *, price: float) -> None:
        more = {"exitId": exit_id, "shares": shares, "exitPrice": price}
        self.feed.publish("exit_fill", more, reason="stop_loss")

    def sample(self, name: str) -> float | None:
        return self.registry.get_sample_value(name)


async def test_sells_are_counted_by_reason_and_outcome() -> None:
    kept = Kept()
    kept.feed.publish("exit_placed", {"wireMs": 1.5}, reason="stop_loss")
    kept.feed.publish("exit_refused", reason="stop_loss")
    kept.feed.publish("exit_unknown", reason="stop_loss")
    kept.feed.publish("closed", {"mode": "paper", "pnl": -5.1}, reason="max_hold")
    kept.feed.publish("closed", {"mode": "live", "pnl": None}, reason="something new")
    kept.feed.publish("fill", reason="stop_loss")
    assert kept.counted() == {
        ("snexec_exits_total", "stop_loss", "placed"): 1,
        ("snexec_exits_total", "stop_loss", "refused"): 1,
        ("snexec_exits_total", "stop_loss", "unknown"): 1,
        ("snexec_exits_total", "max_hold", "closed"): 1,
        ("snexec_exits_total", "other", "closed"): 1,
        ("snexec_pnl_dollars_total", "paper"): -5.1,
    }
    assert kept.sample("snexec_exit_wire_seconds_sum") == 0.0015


@pytest.mark.jumping_time
async def test_the_last_execution_gives_the_time_and_the_slippage_once() -> None:
    kept = Kept()
    kept.decide("x1", trigger=100)
    await trio.sleep(1)
    kept.sell("x1", 0.2, price=99.9)
    assert kept.sample("snexec_exit_fill_seconds_count") == 0
    await trio.sleep(1)
    kept.sell("x1", 0.5, price=99.0)
    kept.sell("x1", 0.5, price=99.0)
    assert kept.sample("snexec_exit_fill_seconds_sum") == 2
    bucket = "snexec_exit_slippage_ratio_bucket"
    assert [
        kept.registry.get_sample_value(bucket, {"le": le}) for le in ("0.005", "0.01")
    ] == [0, 1]


@pytest.mark.jumping_time
async def test_a_rule_of_time_has_no_price_to_slip_from() -> None:
    kept = Kept()
    kept.decide("x1", trigger=None)
    kept.sell("x1", 0.5, price=99.0)
    kept.decide("x2", trigger=0)
    kept.sell("x2", 0.5, price=99.0)
    assert kept.sample("snexec_exit_slippage_ratio_count") == 0
    assert kept.sample("snexec_exit_fill_seconds_count") == 2


@pytest.mark.jumping_time
async def test_sells_that_never_end_fill_no_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exit_metrics, "_MOST_DECIDED", 2)
    kept = Kept()
    for exit_id in ("x1", "x2", "x3", "x4"):
        kept.decide(exit_id, trigger=100)
    kept.feed.publish("exit_refused", {"exitId": "x4"}, reason="stop_loss")
    assert list(kept.metrics._decided) == ["x3"]


async def test_what_was_won_and_lost_adds_up_by_mode() -> None:
    kept = Kept()
    for pnl in (1.1, -3.3, "2.2"):
        kept.feed.publish("closed", {"mode": "live", "pnl": pnl}, reason="manual")
    kept.feed.publish("closed", {"mode": "other", "pnl": 7}, reason="manual")
    found = kept.counted()
    assert ("snexec_pnl_dollars_total", "live") not in found, "to the cent"
    assert found["snexec_exits_total", "manual", "closed"] == 4

"""What became of signals is written behind the orders, in batches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.ops.signal_log import OUTCOMES, SignalLog
from tests.fakes import make_settings
from tests.ops.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.ledger import Decision
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


async def test_a_burst_is_written_a_while_later_a_few_at_a_time(
    rig: Rig, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    wings = Bench(rig).wings
    written: list[list[Decision]] = []

    def log_signals(decisions: Sequence[Decision]) -> None:
        written.append(list(decisions))

    monkeypatch.setattr(wings.ledger, "log_signals", log_signals)
    log = SignalLog(wings)
    rig.feed.follow(log.happened, *OUTCOMES)
    nursery.start_soon(log.run)
    await trio.sleep(100)
    for n in range(500):
        rig.feed.publish("skipped", signal_id=f"n-{n}", symbol="KO", reason="paused")
    rig.feed.publish("fill", symbol="KO")
    rig.feed.publish(
        "placed", {"mode": "live", "notional": "50.00", "shares": 1}, symbol="KO"
    )
    assert written == []
    await trio.sleep(3)

    assert [len(part) for part in written] == [100] * 5 + [1]
    batch = [decision for part in written for decision in part]
    assert batch[0][1:6] == ("n-0", "KO", "paper", "skipped", "paused")
    assert (batch[-1].mode, batch[-1].outcome) == ("live", "placed")
    assert json.loads(batch[-1].figures or "") == {"notional": "50.00"}
    nursery.cancel_scope.cancel()


async def test_a_flood_is_written_while_it_lasts(
    rig: Rig, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    wings = Bench(rig).wings
    written: list[int] = []
    monkeypatch.setattr(
        wings.ledger, "log_signals", lambda decisions: written.append(len(decisions))
    )
    log = SignalLog(wings)
    rig.feed.follow(log.happened, *OUTCOMES)
    nursery.start_soon(log.run)
    most = 0
    for tenths in range(100):
        for _ in range(400):
            rig.feed.publish("placed", symbol="KO")
        await trio.sleep(0.1)
        most = max(most, 400 * (tenths + 1) - sum(written))

    assert most < 3500, "of 4,000 a second, which take memory while they wait"
    await trio.sleep(3)
    assert sum(written) == 40_000
    assert max(written) == 100
    nursery.cancel_scope.cancel()


async def test_what_is_skipped_has_the_figures_of_its_limit(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.settings.now = make_settings(
        bot={"max_share_price": 1000.5, "min_win_rate": 0.3, "min_win_rate_trades": 20}
    )
    written: list[Decision] = []
    wings = Bench(rig).wings
    monkeypatch.setattr(wings.ledger, "log_signals", written.extend)
    log = SignalLog(wings)
    rig.feed.follow(log.happened, *OUTCOMES)
    rig.feed.publish("skipped", {"priceAtSignal": 2e6}, reason="share_price")
    rig.feed.publish("skipped", reason="win_rate")
    rig.feed.publish("skipped", reason="symbol_open")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        await trio.sleep(3)
        nursery.cancel_scope.cancel()

    assert [json.loads(each.figures or "null") for each in written] == [
        {"priceAtSignal": 2_000_000.0, "max_share_price": 1000.5},
        {"min_win_rate": 0.3, "min_win_rate_trades": 20},
        None,
    ]


async def test_what_waits_at_the_stop_is_written(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    wings = Bench(rig).wings
    written: list[int] = []
    monkeypatch.setattr(
        wings.ledger, "log_signals", lambda decisions: written.append(len(decisions))
    )
    log = SignalLog(wings)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.run)
        await trio.sleep(1)
        rig.feed.follow(log.happened, *OUTCOMES)
        rig.feed.publish("refused", symbol="KO", reason="no money")
        nursery.cancel_scope.cancel()

    assert written == [1]

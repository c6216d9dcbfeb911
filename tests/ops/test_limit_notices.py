"""Somebody hears that a limit has stopped trading."""

from __future__ import annotations

from typing import get_args

import pytest
import trio

from snexec.ops.limit_notices import _UNTIL
from snexec.risk import COUNTED_REASONS
from snexec.risk.limits import Reason
from tests.fakes import Rig
from tests.ops.delivery import Told

pytestmark = pytest.mark.jumping_time


async def test_a_limit_that_stops_trading_is_told_at_first_and_then_hourly(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    for _ in range(200):
        told.feed.publish("skipped", symbol="KO", reason="daily_loss")
        await trio.sleep(20)

    assert told.texts() == 2 * [
        "snexec: KO is not bought, daily_loss: nothing is until midnight in New York"
        " (daily_loss_limit_usd)"
    ]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("reason", ["symbol_open", "brake_symbol_cooldown", "no_stars"])
async def test_what_stops_one_signal_alone_is_not_told(
    rig: Rig, nursery: trio.Nursery, reason: str
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    told.feed.publish("skipped", symbol="KO", reason=reason)
    await trio.sleep(20)

    assert told.texts() == []
    nursery.cancel_scope.cancel()


def test_every_limit_that_counts_says_until_when() -> None:
    assert set(_UNTIL) <= set(get_args(Reason))
    assert COUNTED_REASONS - {"brake_symbol_cooldown"} <= set(_UNTIL)

"""Without any price that counts, an alarm and no price rule (SPEC 12.4)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.exits.hands import Desk

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

STOP: dict[str, Any] = {"hard_stop_loss_pct": 5}
ALARM = (
    "no price counts for any of 1 paper row since 30 s: price rules rest, time rules and"
    " `snexec close` go on; `snexec check` shows what does not answer"
)


async def sees(desk: Desk, price: float) -> bool:
    """Say a price, and return whether that ends the blindness."""
    desk.say(price)
    await trio.sleep(1.1)
    return not desk.monitor.is_blind


async def test_nothing_fresh_for_so_long_is_an_alarm_once_and_an_event(
    nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    desk = Desk(**STOP)
    desk.hold()
    desk.start(nursery)
    await trio.sleep(29.5)
    assert logged_errors.take() == []
    await trio.sleep(1)
    assert desk.monitor.is_blind
    await trio.sleep(600)
    assert logged_errors.take() == [ALARM]
    [event] = desk.events
    assert (event.event, event.reason) == ("exits_blind", "positions")
    assert event.more == {"mode": "paper", "rows": 1, "seconds": 30.0}
    assert await sees(desk, 189)
    nursery.cancel_scope.cancel()


async def test_a_price_counts_until_it_is_stale_and_so_long(
    nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    desk = Desk(**STOP)
    desk.hold()
    desk.start(nursery)
    desk.say(189)
    await trio.sleep(44)
    assert desk.events == []
    await trio.sleep(2.1)
    assert desk.monitor.is_blind
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()


async def test_one_row_that_is_seen_is_enough_and_each_mode_has_its_own(
    nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    desk = Desk(**STOP)
    desk.hold("AAPL", "MSFT")
    desk.book.load([desk.row("GME", mode="live")])
    desk.start(nursery)
    for _ in range(40):
        desk.say(189)
        await trio.sleep(1)
    assert desk.monitor.is_blind
    assert ["live" in line for line in logged_errors.take()] == [True]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("why", ["closed", "unknown", "halted", "rests", "no rule"])
async def test_it_is_no_alarm_where_no_price_is_due(
    nursery: trio.Nursery, why: str
) -> None:
    desk = Desk(**(STOP if why != "no rule" else {"max_hold_duration_sec": 1e6}))
    held = desk.hold()
    if why == "closed":
        desk.market.close()
    elif why == "unknown":
        desk.market.is_open = None
    elif why == "halted":
        desk.monitor.hear_status("AAPL", is_halted=True, at=None)
    elif why == "rests":
        held.position.rests = "a split"
    desk.start(nursery)
    await trio.sleep(600)
    assert not desk.monitor.is_blind
    assert desk.events == []
    nursery.cancel_scope.cancel()


async def test_a_poll_that_is_not_due_yet_makes_nobody_blind(
    nursery: trio.Nursery,
) -> None:
    desk = Desk(**STOP, poll_sec=60, blind_sec=1)
    desk.hold()
    desk.start(nursery)
    await trio.sleep(119)
    assert not desk.monitor.is_blind
    nursery.cancel_scope.cancel()


async def test_blind_never_sells_by_price_and_goes_on_by_time(
    nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    desk = Desk(**STOP, max_hold_duration_sec=100)
    desk.hold(entry_at=desk.clock.now() - timedelta(seconds=20))
    desk.start(nursery)
    desk.say(170)
    await trio.sleep(60)
    assert desk.monitor.is_blind
    assert desk.reasons == []
    await trio.sleep(21)
    assert desk.reasons == [("AAPL", "max_hold")]
    assert len(logged_errors.take()) == 1
    nursery.cancel_scope.cancel()

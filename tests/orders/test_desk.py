"""The order desk: any intent in, one order out, and what it says of itself."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.fakes import Rig, make_signal, symbols_ordered
from tests.orders.selling import Sell

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.ledger.changes import Change

pytestmark = pytest.mark.jumping_time


async def test_an_intent_to_sell_shares_goes_the_way_of_every_order(rig: Rig) -> None:
    sell = Sell("AAPL", "0.533313387")
    rig.orders.submit(sell)
    rig.orders.close()
    await rig.orders.run()
    (request,) = rig.paper.requests
    assert (request.side, request.quantity) == ("sell", Decimal("0.533313387"))
    assert (request.symbol, request.notional) == ("AAPL", None)
    assert rig.rows()["x-AAPL"]["alpacaOrderId"] == "paper-o-1"
    assert rig.unsettled.get("x-AAPL") is not None
    assert sell.drops == []


async def test_intents_of_every_kind_take_their_turns_in_one_queue(rig: Rig) -> None:
    rig.offer(make_signal("A"))
    rig.orders.submit(Sell("B", "1"))
    rig.offer(make_signal("C"))
    rig.orders.close()
    await rig.orders.run()
    assert symbols_ordered(rig) == ["A", "B", "C"]


async def test_an_intent_that_stops_itself_hears_why_and_costs_nothing(
    rig: Rig,
) -> None:
    sell = Sell("AAPL", "1")
    sell.stop = "paused"
    rig.orders.submit(sell)
    rig.orders.close()
    await rig.orders.run()
    assert sell.drops == [("paused", "")]
    assert rig.paper.requests == []
    assert rig.rows() == {}
    assert dict(rig.skips.counts) == {}, "what is no signal is no skipped signal"


async def test_an_intent_that_waits_too_long_hears_what_held_it_up(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(alpaca={"rate_limit_per_min": 1})
    rig.paper.budget.block(10)
    sell = Sell("AAPL", "1")
    rig.orders.submit(sell)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.orders.run)
        await wait_all_tasks_blocked()
        sell.lapse = "stale"
        rig.orders.close()
    assert sell.drops == [("stale", "it waited too long for its turn")]
    assert rig.rows() == {}


async def test_an_intent_that_still_waits_when_time_is_up_hears_it(rig: Rig) -> None:
    sell = Sell("AAPL", "1")
    rig.orders.submit(sell)
    rig.orders.drop_pending()
    assert sell.drops == [("stopping", "")]
    assert rig.pending == 0


async def test_an_intent_with_nothing_to_wait_for_begins_in_the_same_step(
    rig: Rig,
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.orders.run)
        await wait_all_tasks_blocked()
        rig.orders.submit(Sell("AAPL", "1"))
        assert rig.orders.status().in_flight == 1
        assert rig.orders.status().pending == 0
        rig.orders.close()


async def test_an_intent_overtakes_none_that_is_about_to_have_its_turn(
    rig: Rig,
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.orders.run)
        await wait_all_tasks_blocked()
        rig.offer(make_signal("A"))  # and nobody has had the time to take it out
        rig.orders.submit(Sell("B", "1"))
        rig.orders.close()
    assert symbols_ordered(rig) == ["A", "B"]


async def test_an_order_whose_row_is_durable_after_time_is_up_does_not_leave(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[tuple[Change[Any], object]] = []

    def begin_commit(change: Change[Any]) -> None:
        commits.append((change, rig.writer._apply(change.apply)))

    monkeypatch.setattr(rig.writer, "open", begin_commit)
    with trio.move_on_after(1):
        await rig.trade(make_signal("A"))
    assert rig.told() == [("skipped", "stopping")]
    [(change, opening)] = commits
    assert opening == "opened"
    change.done(opening)
    assert rig.paper.requests == []
    assert rig.orders.status().in_flight == 0
    assert rig.paper.budget.left == rig.paper.budget.limit


async def test_the_status_is_a_picture_that_does_not_change(rig: Rig) -> None:
    before = rig.orders.status()
    rig.set_bot(state="paused")
    await rig.trade(make_signal("A"))
    rig.set_bot(state="running")
    after = rig.orders.status()
    assert (before.placed, dict(before.skipped)) == (0, {})
    assert (after.placed, dict(after.skipped)) == (0, {"paused": 1})

"""Reconciliation as a whole: what the stream's return makes it ask about."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
import trio

from snexec.stream.trading import StreamState
from tests.fakes import make_order, make_trade

if TYPE_CHECKING:
    from snexec.model import Mode
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


def placed(rig: Rig, trade_id: str, *, mode: Mode = "paper") -> None:
    """Leave an order as it is left after placing; the broker works on it."""
    trade = make_trade(trade_id, trade_id.upper(), mode=mode)
    order_id = f"o-{trade_id}"
    rig.open_row(trade, order_id=order_id)
    rig.unsettled.placed(trade, order_id=order_id)
    working = make_order(trade_id, "new", order_id=order_id)
    rig.accounts.clients[mode].book[trade_id] = working


def asked(rig: Rig, mode: Mode = "paper") -> list[tuple[float, str | None]]:
    """Return when an account was asked about which row's order."""
    requests = rig.accounts.clients[mode].asked("order")
    return [(round(each.at, 6), each.client_order_id) for each in requests]


def stream_is(rig: Rig, state: StreamState) -> None:
    """Publish what the trading stream publishes."""
    rig.feed.publish("stream", reason=state, more={"state": state, "mode": "paper"})


async def test_each_time_the_stream_is_authorized_all_unsettled_is_asked_about(
    rig: Rig, nursery: trio.Nursery
) -> None:
    nursery.start_soon(rig.recover)
    placed(rig, "sn-1")
    placed(rig, "sn-2")
    placed(rig, "sn-3", mode="live")
    await trio.sleep(2)
    assert asked(rig) == asked(rig, "live") == []
    stream_is(rig, "authorized")
    await trio.sleep(1)
    first = [(2, "sn-1"), (2, "sn-2")]
    assert (asked(rig), asked(rig, "live")) == (first, [(2, "sn-3")])
    stream_is(rig, "waiting")
    stream_is(rig, "authorized")
    await trio.sleep(1)
    assert asked(rig) == [*first, (3, "sn-1"), (3, "sn-2")]
    assert asked(rig, "live") == [(2, "sn-3"), (3, "sn-3")]


@pytest.mark.parametrize("state", sorted({*get_args(StreamState)} - {"authorized"}))
async def test_no_other_state_of_the_stream_has_anything_asked(
    rig: Rig, nursery: trio.Nursery, state: StreamState
) -> None:
    nursery.start_soon(rig.recover)
    placed(rig, "sn-1")
    await trio.sleep(2)
    stream_is(rig, state)
    rig.feed.publish("settled", reason="authorized")
    await trio.sleep(1)
    assert asked(rig) == []


async def test_each_time_the_stream_is_authorized_its_account_is_swept(
    rig: Rig, nursery: trio.Nursery
) -> None:
    nursery.start_soon(rig.reconciler.run, lambda *_starved: None)
    await trio.sleep(2)
    stream_is(rig, "waiting")
    await trio.sleep(1)
    stream_is(rig, "authorized")
    await trio.sleep(1)
    assert [each.at for each in rig.paper.asked("list")] == [0, 3]
    assert [each.at for each in rig.live.asked("list")] == [0]
    nursery.cancel_scope.cancel()


async def test_what_is_settled_is_not_asked_about_again(
    rig: Rig, nursery: trio.Nursery
) -> None:
    nursery.start_soon(rig.recover)
    placed(rig, "sn-1")
    placed(rig, "sn-2")
    rig.unsettled.settled("sn-1")
    stream_is(rig, "authorized")
    await trio.sleep(1)
    assert asked(rig) == [(0, "sn-2")]

"""One sell on its way: what the writer, the client and the desk share (SPEC 12.5)."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import pytest
import trio

from snexec.ledger.exit_rows import NewExit
from snexec.orders.sell_attempt import SellAttempt
from tests.orders.hearing import SELL, Heard, buy, exits_of

if TYPE_CHECKING:
    from snexec.broker import SentOrder
    from snexec.orders.selling import Sell
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


class Owner:
    """Notes what it is told of its sell."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def sell_decided(self, _attempt: SellAttempt) -> None:
        self.calls.append("decided")

    def sell_answered(self, _attempt: SellAttempt) -> None:
        self.calls.append("answered")


def begin(rig: Rig, sell: Sell = SELL) -> SellAttempt:
    return SellAttempt(
        sell=sell,
        listener=Heard(),
        lease=rig.accounts.lease("paper"),
        owner=Owner(),
        halt=rig.halt,
        ledger=rig.ledger,
        latencies=rig.latencies,
        decided_at=trio.current_time(),
    )


def planned(rig: Rig, sell: Sell = SELL) -> SellAttempt:
    """Make a sell that is durable."""
    buy(rig)
    attempt = begin(rig, sell)
    attempt.done(attempt.apply(rig.store))
    return attempt


def calls(attempt: SellAttempt) -> list[str]:
    assert isinstance(attempt.owner, Owner)
    return attempt.owner.calls


# As a change of rows


async def test_it_is_planned_as_it_was_decided(rig: Rig) -> None:
    sell = SELL._replace(free=Decimal("0.3"), held="5", leaves=False)
    attempt = planned(rig, sell)
    [row] = exits_of(rig).values()
    assert (row["reason"], row["triggerPrice"], row["triggerSource"]) == (
        *("stop_loss", "180.02"),
        "positions",
    )
    assert (row["qty"], row["kind"], row["waits"]) == ("0.3", "sell", 1)
    assert attempt.trade.id == attempt.client_order_id == "sn-1-x1"
    assert calls(attempt) == ["decided"]


async def test_one_that_leaves_does_not_wait(rig: Rig) -> None:
    planned(rig)
    [row] = exits_of(rig).values()
    assert not row["waits"]


async def test_a_stop_is_planned_as_one(rig: Rig) -> None:
    attempt = planned(rig, SELL._replace(kind="stop"))
    assert attempt.client_order_id == "sn-1-s1"
    assert attempt.stop_price == Decimal("180.02")


async def test_one_that_is_planned_already_goes_on_with_its_id(rig: Rig) -> None:
    planned(rig)
    again = begin(rig, SELL._replace(exit_id="sn-1-x1"))
    result = again.apply(rig.store)
    assert isinstance(result, NewExit)
    assert (result.id, result.is_resumed) == ("sn-1-x1", True)
    assert len(exits_of(rig)) == 1


async def test_why_there_is_none_is_noted(rig: Rig) -> None:
    planned(rig)
    other = begin(rig)
    other.done(other.apply(rig.store))
    assert (other.is_planned, other.why_not) == (False, "closing")
    assert calls(other) == ["decided"]


async def test_once_time_is_up_nothing_is_planned(rig: Rig) -> None:
    buy(rig)
    attempt = begin(rig)
    attempt.given_up = True
    assert attempt.apply(rig.store) is None
    assert exits_of(rig) == {}


async def test_what_keeps_it_from_being_written_is_noted(rig: Rig) -> None:
    attempt, problem = begin(rig), ValueError("not that")
    attempt.failed(problem)
    assert (attempt.error, attempt.is_planned) == (problem, False)
    assert calls(attempt) == ["decided"]


# As the client's order


async def test_it_sells_shares_and_never_dollars(rig: Rig) -> None:
    attempt = planned(rig)
    assert (attempt.symbol, attempt.side, attempt.notional) == ("AAPL", "sell", None)
    assert attempt.quantity == Decimal("0.533386947")
    assert attempt.stop_price is None, "its price decided it, and is no limit"
    assert attempt.says_intent
    assert not begin(rig, SELL._replace(says_intent=False)).says_intent


async def test_its_time_on_the_wire_is_noted(rig: Rig) -> None:
    attempt = planned(rig)
    rig.latencies.begin("sn-1-x1", read_at=0.0)
    await trio.sleep(2)
    attempt.left()
    assert rig.latencies.replied("sn-1-x1", at=3.0).wire_ms == 2000


async def test_it_is_known_when_the_broker_answered(rig: Rig) -> None:
    attempt = planned(rig)
    before = attempt.answered_at
    await trio.sleep(2)
    attempt.answered()
    assert (before, attempt.answered_at) == (math.inf, 2)
    assert calls(attempt) == ["decided", "answered"]


# At the last moment


async def test_nothing_keeps_it_back(rig: Rig) -> None:
    attempt = planned(rig)
    assert not attempt.is_withheld()
    assert attempt.withheld is None


async def test_halt_does_not_and_halt_all_does(rig: Rig) -> None:
    attempt = planned(rig)
    rig.halt.on = True
    assert not attempt.is_withheld()
    rig.halt.all_on = True
    assert attempt.is_withheld()
    assert attempt.withheld == "halted"


@pytest.mark.parametrize("was_sent", [False, True])
async def test_rows_in_a_file_that_was_touched_keep_it_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, was_sent: bool
) -> None:
    """The first look came with the row's commit; later ones are made anew."""
    attempt = planned(rig)
    looks: list[str] = []
    damage = "the database was replaced"

    def look() -> str:
        looks.append("look")
        return damage

    monkeypatch.setattr(rig.ledger, "look", look)
    if was_sent:
        attempt.sent = cast("SentOrder", object())
    else:
        monkeypatch.setattr(type(rig.ledger), "damage", damage)
    assert attempt.is_withheld()
    assert attempt.withheld == "not_written"
    assert looks == (["look"] if was_sent else [])

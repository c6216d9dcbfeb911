"""What is in a sell's way is canceled, and its evidence waited for (SPEC 12.5, 12.6)."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.errors import NotFoundError, RateLimitedError, RefusedError
from snexec.errors import UnknownOutcomeError as NoAnswerError
from snexec.exits.way_clear import WayClear
from snexec.ledger.rows import OrderRef
from tests.exits.hands import make_position
from tests.fakes import make_trade, warnings_of
from tests.orders.hearing import buy, exits_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from snexec.exits.position import Position
    from snexec.ledger import Applied, ExitApplied
    from snexec.reconciliation import ForeignSell
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


class Way:
    """A way to clear, which hears what the broker says."""

    def __init__(self, rig: Rig, nursery: trio.Nursery) -> None:
        self.rig = rig
        self.clear = WayClear(rig.accounts, rig.ledger, rig.reconciler)
        self._over_at: float | None = None
        self._nursery = nursery
        rig.reconciler.report_to(self)
        nursery.start_soon(rig.fills.run)

    def bought(self, applied: Applied) -> None:
        self.clear.heard_of_buy(applied)

    def sold(self, applied: ExitApplied) -> None:
        self.clear.heard_of_sell(applied)

    def foreign_sell(self, sell: ForeignSell) -> None:
        raise AssertionError(sell)

    async def start(self, call: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await call()
            self._over_at = trio.current_time()

        self._nursery.start_soon(run)
        await wait_all_tasks_blocked()

    def over(self) -> float | None:
        """Return when what was started had ended; None before."""
        return self._over_at

    @property
    def canceled(self) -> list[tuple[float, str | None]]:
        """When each cancel was sent, and of which order."""
        return [(each.at, each.order_id) for each in self.rig.paper.asked("cancel")]

    def work(self, *, order_id: str | None = "o-1") -> Position:
        """Have a row's buy be at work."""
        trade = make_trade()
        self.rig.open_row(trade, order_id=order_id)
        self.rig.unsettled.placed(trade, order_id=order_id)
        return make_position(row_id="sn-1", is_settled=False, order_id=order_id)

    def rest(self) -> Position:
        """Have a row's stop rest at the broker."""
        buy(self.rig)
        exits = self.rig.store.exits
        exits.plan("sn-1", "stop_loss", held=None, free=None, kind="stop")
        exits.apply_working(OrderRef("paper", "o-stop", "sn-1-s1"))
        [stop] = exits.unsettled()
        self.rig.unsettled.follow_sell(stop)
        return make_position(row_id="sn-1", live_exit="sn-1-s1")

    async def ends(self, row: str = "sn-1", order_id: str = "o-1") -> None:
        """Have the stream say that the whole order was filled."""
        await self.rig.fills.on_fill_event(
            *("fill", order_id, "0.533386947", "180", "AAPL"),
            mode="paper",
            client_order_id=row,
            side="buy" if row == "sn-1" else "sell",
        )
        await wait_all_tasks_blocked()


@pytest.fixture
def way(rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> Way:
    caplog.set_level(logging.INFO)
    return Way(rig, nursery)


# A buy.


async def test_a_buy_is_canceled_once_and_its_last_word_ends_the_wait_at_once(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    position = way.work()
    await way.start(lambda: way.clear.cancel_buy(position))
    await trio.sleep(4)
    assert way.canceled == [(0, "o-1")]
    assert way.over() is None
    await way.ends()
    assert way.over() == 4, "no pause is slept out"
    assert "AAPL trade=sn-1: its buy is canceled before it is sold" in caplog.messages


async def test_the_broker_is_asked_about_it_less_and_less_often(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    position, asked = way.work(), list[float]()
    monkeypatch.setattr(
        way.rig.unsettled, "ask_now", lambda _id: asked.append(trio.current_time())
    )
    await way.start(lambda: way.clear.cancel_buy(position))
    await trio.sleep(20)
    assert [round(at, 1) for at in asked] == [0, 0.2, 0.7, 1.7, 3.7, 8.7, 13.7, 18.7]


async def test_a_cancel_that_comes_to_nothing_is_sent_again_each_minute(
    way: Way, logged_errors: LoggedErrors
) -> None:
    position = way.work()
    await way.start(lambda: way.clear.cancel_buy(position))
    await trio.sleep(130)
    first, second, third = (at for at, _order_id in way.canceled)
    assert first == 0
    assert 60 <= second < 66
    assert 60 <= third - second < 66
    assert logged_errors.take() == [
        "AAPL trade=sn-1 cannot be sold yet: its buy (orderId=o-1) is not canceled after"
        " 30 s, and nothing is sold beside it; look at the account"
    ], "once"


@pytest.mark.parametrize(
    "answer",
    [
        RefusedError(status_code=422, body="", reason="order is not cancelable"),
        NoAnswerError("reset"),
        NotFoundError(status_code=404, body="", reason="no such order"),
    ],
    ids=["refused", "no answer", "not found"],
)
async def test_a_cancel_that_was_not_taken_is_sent_again_soon(
    way: Way, answer: Exception
) -> None:
    way.rig.paper.canceling.extend([answer] * 3)
    position = way.work()
    await way.start(lambda: way.clear.cancel_buy(position))
    await trio.sleep(25)
    times = [at for at, _order_id in way.canceled]
    assert len(times) == 4, "the last one was taken"
    for before, after, pause in zip(times, times[1:], (1, 2, 4), strict=False):
        assert pause <= after - before < pause + 5
    await way.ends()


@pytest.mark.parametrize("is_taken", [True, False])
async def test_what_took_its_place_at_the_broker_is_canceled_as_soon_as_that_is_known(
    way: Way, *, is_taken: bool
) -> None:
    if not is_taken:
        way.rig.paper.canceling.append(
            RefusedError(status_code=422, body="", reason="it is replaced")
        )
    position = way.work()
    await way.start(lambda: way.clear.cancel_buy(position))
    order = way.rig.unsettled.get("sn-1")
    assert order is not None
    await trio.sleep(0.1)
    way.rig.unsettled.follow_replacement(order, "o-2")
    await trio.sleep(0.2)
    assert [order_id for _at, order_id in way.canceled] == ["o-1", "o-2"]
    await way.ends()


async def test_nothing_is_said_of_one_that_takes_less_than_half_a_minute(
    way: Way, logged_errors: LoggedErrors
) -> None:
    await trio.sleep(100)
    position = way.work()
    await way.start(lambda: way.clear.cancel_buy(position))
    await trio.sleep(28)
    await way.ends()
    assert way.over() == 128
    assert logged_errors.take() == []


async def test_a_buy_whose_last_word_was_heard_is_not_canceled(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    position = way.work()
    await way.ends()
    position.is_settled = True
    await way.start(lambda: way.clear.cancel_buy(position))
    assert (way.over(), way.canceled) == (0, [])
    assert not any("is canceled" in line for line in caplog.messages)


async def test_the_id_of_a_buy_that_is_not_answered_yet_is_waited_for(way: Way) -> None:
    position = way.work(order_id=None)
    way.rig.unsettled.settled("sn-1")  # it is followed once it is answered
    await way.start(lambda: way.clear.cancel_buy(position))
    await trio.sleep(1)
    assert (way.over(), way.canceled) == (None, [])
    way.rig.unsettled.placed(make_trade(), order_id="o-1")
    await trio.sleep(5)
    assert [order_id for _at, order_id in way.canceled] == ["o-1"]
    await way.ends()
    assert way.over() is not None


async def test_one_that_turns_out_to_be_settled_is_waited_for_no_longer(
    way: Way,
) -> None:
    position = way.work(order_id=None)
    way.rig.unsettled.settled("sn-1")
    await way.start(lambda: way.clear.cancel_buy(position))
    position.is_settled = True
    await trio.sleep(1)
    assert (way.over(), way.canceled) == (0.2, [])


async def test_an_order_that_is_followed_no_more_is_waited_for_no_longer(
    way: Way,
) -> None:
    position = way.work()
    position.is_settled = True
    await way.start(lambda: way.clear.cancel_buy(position))
    way.rig.unsettled.settled("sn-1")
    await trio.sleep(1)
    assert way.over() == 0.2


# A stop.


async def test_why_a_stop_is_canceled_is_durable_before_the_cancel_leaves(
    way: Way,
) -> None:
    position = way.rest()
    way.rig.writer.gate = trio.Event()
    await way.start(lambda: way.clear.cancel_stop(position, "sn-1-s1", "max_hold"))
    await trio.sleep(1)
    assert way.canceled == []
    way.rig.writer.gate.set()
    await wait_all_tasks_blocked()
    assert exits_of(way.rig)["sn-1-s1"]["cancelReason"] == "max_hold"
    assert way.canceled == [(1, "o-stop")]
    await way.ends("sn-1-s1", "o-stop")
    assert way.over() == 1


async def test_a_stop_is_canceled_though_its_reason_cannot_be_written(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    position = way.rest()
    way.rig.store._db.execute(
        "CREATE TRIGGER guard BEFORE UPDATE OF cancelReason ON BotExit"
        " BEGIN SELECT RAISE(ABORT, 'not that'); END"
    )
    await way.start(lambda: way.clear.cancel_stop(position, "sn-1-s1", "max_hold"))
    assert way.canceled == [(0, "o-stop")], "the position has to be sold"
    [line] = warnings_of(caplog)
    assert line.startswith("AAPL trade=sn-1-s1: why it is canceled cannot be kept (not")
    await way.ends("sn-1-s1", "o-stop")


async def test_a_stop_that_is_taken_back_leaves_no_reason_to_sell(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    position = way.rest()
    await way.start(lambda: way.clear.take_back_stop(position, "sn-1-s1"))
    assert way.canceled == [(0, "o-stop")]
    assert exits_of(way.rig)["sn-1-s1"]["cancelReason"] is None
    [line] = [each for each in caplog.messages if "canceled" in each]
    assert line.endswith(
        "its broker stop is canceled as another one is to rest, or none"
    )
    await way.ends("sn-1-s1", "o-stop")
    assert way.over() == 0


async def test_two_that_wait_for_one_stop_both_go_on(way: Way) -> None:
    position = way.rest()
    await way.start(lambda: way.clear.take_back_stop(position, "sn-1-s1"))
    for_another = trio.Event()

    async def wait() -> None:
        await way.clear.sell_ended("sn-1-s1")
        for_another.set()

    await way.start(wait)
    assert way.over() is None
    await way.ends("sn-1-s1", "o-stop")
    assert way.over() == 0
    assert for_another.is_set()


# A sell.


async def test_a_sell_whose_end_was_heard_is_not_waited_for(way: Way) -> None:
    await way.start(lambda: way.clear.sell_ended("sn-1-x1"))
    assert way.over() == 0


async def test_a_sell_is_waited_for_through_its_parts_and_is_not_canceled(
    way: Way,
) -> None:
    position = way.rest()  # as any order that sells
    assert position.live_exit is not None
    await way.start(lambda: way.clear.sell_ended("sn-1-s1"))
    applied = way.rig.store.exits.apply_sold(
        *(OrderRef("paper", "o-stop", "sn-1-s1"),),
        quantity=Decimal("0.1"),
        price=Decimal(180),
        final=False,
    )
    assert applied is not None
    way.clear.heard_of_sell(applied)
    await trio.sleep(100)
    assert (way.over(), way.canceled) == (None, [])
    await way.ends("sn-1-s1", "o-stop")
    assert way.over() == 100


async def test_a_sell_that_is_followed_no_more_is_waited_for_no_longer(
    way: Way,
) -> None:
    """As one whose row another program has removed: no row says how it ended."""
    way.rest()
    await way.start(lambda: way.clear.sell_ended("sn-1-s1"))
    await trio.sleep(10)
    way.rig.unsettled.settled("sn-1-s1")
    await wait_all_tasks_blocked()
    assert way.over() == 10


async def test_the_broker_is_asked_at_once_about_a_sell_that_somebody_asks_about(
    way: Way,
) -> None:
    way.rest()
    order = way.rig.unsettled.get("sn-1-s1")
    assert order is not None
    order.due = 1000.0
    way.clear.ask(None)
    assert order.due == 1000
    way.clear.ask("sn-1-s1")
    assert order.due == 0


# A sell that has not left, and a close by hand.


async def test_a_sell_is_followed_until_its_end_was_heard(way: Way) -> None:
    way.rest()
    assert way.clear.follows("sn-1-s1")
    assert not way.clear.follows("sn-1-x1")
    assert not way.clear.follows(None)


async def test_a_sell_that_is_not_wanted_any_more_is_dropped(way: Way) -> None:
    buy(way.rig)
    way.rig.store.exits.plan("sn-1", "max_hold", held=None, free=None)
    await way.clear.drop(make_position(row_id="sn-1"), "sn-1-x1")
    assert exits_of(way.rig)["sn-1-x1"]["state"] == "dropped"


async def test_one_that_cannot_be_dropped_now_is_dropped_once_it_can(
    way: Way, logged_errors: LoggedErrors
) -> None:
    buy(way.rig)
    way.rig.store.exits.plan("sn-1", "max_hold", held=None, free=None)
    way.rig.store._db.execute(
        "CREATE TRIGGER guard BEFORE UPDATE ON BotExit"
        " BEGIN SELECT RAISE(ABORT, 'not that'); END"
    )
    position = make_position(row_id="sn-1")
    await way.start(lambda: way.clear.drop(position, "sn-1-x1"))
    await trio.sleep(150)
    assert logged_errors.take() == [
        "AAPL trade=sn-1-x1: that it is not wanted any more cannot be written (not that);"
        " it has not left, and that is tried again each minute"
    ], "once"
    assert way.over() is None
    way.rig.store._db.execute("DROP TRIGGER guard")
    await trio.sleep(60)
    assert way.over() == 180
    assert exits_of(way.rig)["sn-1-x1"]["state"] == "dropped"


async def test_a_close_by_hand_is_kept_for_a_start_until_it_is_over(way: Way) -> None:
    buy(way.rig)
    await way.clear.note_close("sn-1")
    assert [row.wanted for row in way.rig.store.held.watched()] == ["manual"]
    await way.clear.forget_close("sn-1")
    assert [row.wanted for row in way.rig.store.held.watched()] == [None]


async def test_a_close_that_cannot_be_kept_is_said_and_goes_on(
    way: Way, logged_errors: LoggedErrors
) -> None:
    buy(way.rig)
    way.rig.store._db.execute(
        "CREATE TRIGGER guard BEFORE INSERT ON SnexecMeta"
        " BEGIN SELECT RAISE(ABORT, 'no notes'); END"
    )
    await way.clear.note_close("sn-1")
    [line] = logged_errors.take()
    assert line.startswith(
        "trade=sn-1: whether it is to be closed by hand cannot be no"
    )


# The request.


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, []),
        (NotFoundError(status_code=404, body="", reason="no such order"), []),
        (
            RefusedError(status_code=422, body="", reason="order is not cancelable"),
            [
                "AAPL: order o-1 is not canceled (HTTP 422: order is not cancelable): it"
                " is asked about"
            ],
        ),
        (
            NoAnswerError("reset"),
            [
                "AAPL: whether order o-1 is canceled is not known (reset): it is asked about"
            ],
        ),
    ],
    ids=["taken", "ended", "refused", "no answer"],
)
async def test_whatever_a_cancel_is_answered_its_lease_ends_and_a_no_is_said(
    way: Way,
    answer: Exception | None,
    said: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    way.rig.paper.canceling.append(answer)
    taken = await way.clear.cancel("paper", "o-1", "AAPL")
    assert (warnings_of(caplog), taken) == (said, answer is None)
    assert way.rig.accounts.leased == {"paper": 0, "live": 0}


async def test_a_cancel_that_meets_the_limit_stops_the_requests_that_follow(
    way: Way,
) -> None:
    way.rig.paper.canceling.append(RateLimitedError("429", wait_seconds=7))
    await way.clear.cancel("paper", "o-1", "AAPL")
    assert trio.current_time() == 0
    await way.clear.cancel("paper", "o-1", "AAPL")
    assert [at for at, _order_id in way.canceled] == [0, 7]

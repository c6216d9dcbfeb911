"""Sells against the broker's word, over restarts, until each has its end."""

from __future__ import annotations

import logging
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.clock import timestamp
from snexec.reconciliation.parties import ForeignSell
from tests.fakes import make_order, make_trade, ref_of
from tests.orders.hearing import SELL, Heard, buy, exits_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.ledger import Applied, ExitApplied
    from snexec.reconciliation import Fate
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time

HALF = "0.266693473"


class Book:
    """Remembers what it hears of holdings, and says what it is to say of sells."""

    def __init__(self, fate: Fate = "send") -> None:
        self.heard: list[tuple[str, object]] = []
        self.asked: list[str] = []
        self.say: Fate = fate

    def bought(self, applied: Applied) -> None:
        self.heard.append(("bought", applied.shares))

    def sold(self, applied: ExitApplied) -> None:
        self.heard.append((applied.outcome, applied.remaining))

    def foreign_sell(self, sell: ForeignSell) -> None:
        self.heard.append(("foreign", sell))

    def fate(self, exit_id: str) -> Fate:
        self.asked.append(exit_id)
        return self.say

    def waits(self, exit_id: str) -> bool:
        raise AssertionError(f"{exit_id} is of an earlier run")


@pytest.fixture
def run(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> Callable[[Rig], None]:
    """Give a function that starts a rig's services and its desk."""
    caplog.set_level(logging.INFO)

    def start(rig: Rig) -> None:
        nursery.start_soon(rig.fills.run)
        nursery.start_soon(rig.recover)
        nursery.start_soon(rig.reconciler.sells.run)
        nursery.start_soon(rig.orders.run)

    return start


async def selling(rig: Rig, run: Callable[[Rig], None]) -> Book:
    """Leave a sell at work, and who hears of what becomes of it."""
    book = Book()
    rig.reconciler.report_to(book)
    buy(rig)
    run(rig)
    await wait_all_tasks_blocked()
    rig.orders.sell(SELL, Heard())
    await wait_all_tasks_blocked()
    rig.paper.looking.append(await_forever)
    return book


async def await_forever(_request: object) -> None:
    await trio.sleep_forever()


async def heard(
    rig: Rig,
    event: Literal["fill", "partial_fill"],
    quantity: str,
    price: str = "180",
    **changes: Any,  # noqa: ANN401 - of any of its arguments
) -> None:
    """Have the stream report an execution of the sell."""
    values: dict[str, Any] = {
        "mode": "paper",
        "client_order_id": "sn-1-x1",
        "side": "sell",
        **changes,
    }
    await rig.fills.on_fill_event(event, "paper-o-1", quantity, price, "AAPL", **values)
    await wait_all_tasks_blocked()


def decided(rig: Rig, seconds_ago: float, reason: Any = "stop_loss") -> None:  # noqa: ANN401
    """Leave what a kill leaves between a sell's row and its request."""
    buy(rig)
    rig.store.exits.plan("sn-1", reason, held=None, free=None)
    moment = rig.clock.now().timestamp() - seconds_ago
    rig.store._db.execute(
        "UPDATE BotExit SET decidedAt = strftime('%Y-%m-%dT%H:%M:%fZ', ?, 'unixepoch')",
        [moment],
    )


async def start_up(rig: Rig, run: Callable[[Rig], None]) -> None:
    """Start as the daemon does."""
    rig.reconciler.load(rig.store.unsettled(), rig.store.exits.unsettled())
    run(rig)
    await wait_all_tasks_blocked()


# What the stream says.


async def test_a_fill_closes_the_row_with_what_it_came_to(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    book = await selling(rig, run)
    await heard(rig, "fill", "0.533386947", "180.02")
    row = rig.rows()["sn-1"]
    assert (row["status"], row["exitReason"]) == ("closed", "stop_loss")
    assert row["exitPrice"] == 180.02
    assert row["pnl"] == pytest.approx(-5.099179)
    assert rig.unsettled.get("sn-1-x1") is None
    assert book.heard[-1] == ("fill", Decimal(0))
    assert rig.told("exit_fill", "closed") == [
        ("exit_fill", "stop_loss"),
        ("closed", "stop_loss"),
    ]
    closed = next(event for event in rig.events if event.event == "closed")
    assert closed.more == {
        "exitId": "sn-1-x1",
        "orderId": "paper-o-1",
        "mode": "paper",
        "exitPrice": 180.02,
        "pnl": -5.099179,
        "status": "closed",
        "source": "stream",
    }


async def test_each_execution_is_told_once_and_counted_once(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    await selling(rig, run)
    await heard(rig, "partial_fill", HALF, execution_id="e-1")
    await heard(rig, "partial_fill", HALF, execution_id="e-1")
    await heard(rig, "partial_fill", HALF)  # the same without its id
    await heard(rig, "fill", "0.533386947", execution_id="e-2")
    fills = [event.more for event in rig.events if event.event == "exit_fill"]
    assert [each["shares"] for each in fills] == [float(HALF), 0.533386947]
    assert [each["remaining"] for each in fills] == [0.266693474, 0.0]
    assert exits_of(rig)["sn-1-x1"]["filledQty"] == "0.533386947"


async def test_a_partial_fill_of_a_sell_asks_for_no_position(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    await selling(rig, run)
    await heard(rig, "partial_fill", HALF)
    assert rig.paper.asked("position") == []


async def test_a_rejected_sell_leaves_its_row_open_and_halts_nothing(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    book = await selling(rig, run)
    await rig.fills.on_rejected_event(
        *("paper-o-1", "AAPL", "halted"),
        mode="paper",
        client_order_id="sn-1-x1",
        side="sell",
    )
    await wait_all_tasks_blocked()
    assert rig.rows()["sn-1"]["status"] == "open"
    assert exits_of(rig)["sn-1-x1"]["state"] == "rejected"
    assert book.heard[-1] == ("rejected", Decimal("0.533386947"))
    assert rig.told("rejected", "settled") == []


async def test_a_sale_by_others_is_reported_and_changes_nothing(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    book = await selling(rig, run)
    rig.reconciler.mind_foreign_sells()
    before = exits_of(rig)
    await heard(rig, "fill", "1", client_order_id="by-hand")
    await rig.fills.on_fill_event(
        *("partial_fill", "theirs", "0.5", "180", "MSFT"), mode="live", side="sell"
    )
    await rig.fills.on_fill_event(
        *("fill", "theirs", "1", "181", "MSFT"), mode="live", side="sell"
    )
    await wait_all_tasks_blocked()
    whole = ForeignSell("live", "MSFT", "theirs", Decimal(1), Decimal(181))
    working = ForeignSell("live", "MSFT", "theirs")
    assert [each for each in book.heard if each[0] == "foreign"][-2:] == [
        ("foreign", working),
        ("foreign", whole),
    ]
    assert exits_of(rig) == before


async def test_a_buy_is_reported_to_whoever_holds_positions(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    book = Book()
    rig.reconciler.report_to(book)
    trade = make_trade("sn-2", "MSFT")
    rig.open_row(trade, order_id="o-2")
    run(rig)
    await rig.fills.on_fill_event(
        *("fill", "o-2", "2", "50", "MSFT"),
        mode="paper",
        client_order_id="sn-2",
        side="buy",
    )
    await wait_all_tasks_blocked()
    assert book.heard == [("bought", 2.0)]


async def test_more_sold_than_held_is_an_error_and_bends_no_number(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    await selling(rig, run)
    await heard(rig, "fill", "0.533386947")
    await heard(rig, "fill", "1")
    (error,) = logged_errors.take()
    assert "0.466613053 shares more were sold than its row held" in error
    assert rig.told("oversold") == [("oversold", "stop_loss")]
    assert exits_of(rig)["sn-1-x1"]["filledQty"] == "1"
    assert rig.rows()["sn-1"]["status"] == "closed"


# What look-ups say.


@pytest.mark.parametrize("how", ["canceled", "expired", "rejected"])
async def test_a_sell_that_ends_with_something_left_leaves_that_in_the_row(
    rig: Rig, run: Callable[[Rig], None], how: str
) -> None:
    book = Book()
    rig.reconciler.report_to(book)
    buy(rig)
    run(rig)
    await wait_all_tasks_blocked()
    rig.orders.sell(SELL, Heard())
    await wait_all_tasks_blocked()
    rig.paper.book["sn-1-x1"] = make_order(
        "sn-1-x1", how, order_id="paper-o-1", quantity=HALF, price="180"
    )
    await trio.sleep(6)
    assert exits_of(rig)["sn-1-x1"]["state"] == how
    assert rig.rows()["sn-1"]["status"] == "open"
    assert book.heard[-1] == (how, Decimal("0.266693474"))
    assert rig.paper.asked("order")[0].side == "sell"


async def test_what_neither_stream_nor_look_up_has_said_is_asked_again(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    buy(rig)
    run(rig)
    await wait_all_tasks_blocked()
    rig.orders.sell(SELL, Heard())
    await wait_all_tasks_blocked()
    await trio.sleep(20)
    rig.paper.book["sn-1-x1"] = make_order(
        "sn-1-x1", "filled", order_id="paper-o-1", quantity="0.533386947", price="180"
    )
    await trio.sleep(30)
    assert rig.rows()["sn-1"]["status"] == "closed"


async def test_a_row_is_closed_as_of_the_time_at_which_it_was_sold(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    decided(rig, 300)
    filled = make_order(
        "sn-1-x1", "filled", order_id="paper-o-1", quantity="0.533386947", price="180"
    )
    sold_at = rig.clock.now() - timedelta(seconds=200)
    rig.paper.book["sn-1-x1"] = filled.model_copy(update={"filled_at": sold_at})
    await start_up(rig, run)
    assert rig.rows()["sn-1"]["exitAt"] == timestamp(sold_at)


async def test_a_fill_of_the_stream_closes_its_row_as_of_its_own_time(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    await selling(rig, run)
    await trio.sleep(20)
    sold_at = rig.clock.now() - timedelta(seconds=7)
    await heard(rig, "fill", "0.533386947", at=sold_at)
    assert rig.rows()["sn-1"]["exitAt"] == timestamp(sold_at)


@pytest.mark.parametrize("how", ["canceled", "expired"])
async def test_the_streams_word_that_a_sell_has_ended_is_taken_at_once(
    rig: Rig,
    run: Callable[[Rig], None],
    how: Any,  # noqa: ANN401 - one of two words
) -> None:
    book = await selling(rig, run)
    said = (how, "paper-o-1", HALF, "180", "AAPL")
    for _twice in range(2):
        await rig.fills.on_sell_ended_event(
            *said, mode="paper", client_order_id="sn-1-x1", execution_id="e-1"
        )
    assert exits_of(rig)["sn-1-x1"]["state"] == how
    assert book.heard[-1] == (how, Decimal("0.266693474"))
    assert rig.unsettled.get("sn-1-x1") is None
    assert rig.rows()["sn-1"]["status"] == "open"


async def test_an_end_that_does_not_say_what_was_sold_is_asked_about(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    await selling(rig, run)
    asked = len(rig.paper.asked("order"))
    await rig.fills.on_sell_ended_event(
        *("canceled", "paper-o-1", None, None, "AAPL"),
        mode="paper",
        client_order_id="sn-1-x1",
    )
    await wait_all_tasks_blocked()
    assert exits_of(rig)["sn-1-x1"]["settledAt"] is None
    assert len(rig.paper.asked("order")) == asked + 1


async def test_the_end_of_somebody_elses_sell_changes_nothing(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    book = await selling(rig, run)
    before = len(book.heard)
    await rig.fills.on_sell_ended_event(
        *("canceled", "hand-1", "0", None, "AAPL"),
        mode="paper",
        client_order_id="by-hand",
    )
    assert len(book.heard) == before


async def test_a_stop_that_was_to_make_room_for_a_close_by_hand_is_wanted(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    decided(rig, 300)
    rig.store.exits.note_cancel("sn-1-x1", "manual")
    await start_up(rig, run)
    await trio.sleep(1)
    assert exits_of(rig)["sn-1-x1"]["state"] == "working"


# What a kill leaves.


async def test_a_start_asks_about_every_sell_before_it_is_compared(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    decided(rig, 5)
    rig.paper.seconds = 3.0
    rig.paper.book["sn-1-x1"] = make_order("sn-1-x1", order_id="paper-o-7")
    rig.reconciler.load(rig.store.unsettled(), rig.store.exits.unsettled())
    run(rig)
    rig.unsettled.swept("paper")  # no stream begins here, which would have it swept
    await rig.reconciler.compare()
    assert trio.current_time() == pytest.approx(3.0)
    assert exits_of(rig)["sn-1-x1"]["state"] == "working"
    assert rig.paper.asked("place") == [], "the broker has it"


async def test_a_sell_that_never_reached_the_broker_goes_with_its_id_if_wanted(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    decided(rig, 5)
    rig.reconciler.ask_reasons(book := Book("send"))
    await start_up(rig, run)
    await trio.sleep(50)
    assert rig.paper.asked("place") == [], "a 404 proves nothing before the grace"
    await trio.sleep(30)
    (post,) = rig.paper.asked("place")
    assert post.client_order_id == "sn-1-x1"
    assert set(book.asked) == {"sn-1-x1"}
    assert exits_of(rig)["sn-1-x1"]["state"] == "working"


async def test_a_sell_that_is_wanted_no_more_is_dropped(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    decided(rig, 300)
    rig.reconciler.ask_reasons(Book("drop"))
    rig.reconciler.report_to(book := Book())
    await start_up(rig, run)
    assert exits_of(rig)["sn-1-x1"]["state"] == "dropped"
    assert book.heard == [("dropped", Decimal("0.533386947"))]
    assert rig.paper.asked("place") == []
    assert rig.unsettled.get("sn-1-x1") is None
    assert rig.rows()["sn-1"]["status"] == "open"


async def test_a_sell_that_waits_for_its_market_stays_as_it_is(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    decided(rig, 300)
    rig.reconciler.ask_reasons(book := Book("wait"))
    await start_up(rig, run)
    await trio.sleep(600)
    assert exits_of(rig)["sn-1-x1"]["state"] == "planned"
    book.say = "send"
    with trio.fail_after(61):
        while not rig.paper.asked("place"):  # noqa: ASYNC110 - time alone brings it
            await trio.sleep(1)


@pytest.mark.parametrize(
    ("reason", "state"), [("manual", "working"), ("stop_loss", "dropped")]
)
async def test_without_a_monitor_only_what_was_asked_for_by_hand_is_sent(
    rig: Rig, run: Callable[[Rig], None], reason: str, state: str
) -> None:
    decided(rig, 300, reason)
    await start_up(rig, run)
    await trio.sleep(1)
    assert exits_of(rig)["sn-1-x1"]["state"] == state


async def test_evidence_that_comes_after_a_sell_was_dropped_wins(
    rig: Rig, run: Callable[[Rig], None]
) -> None:
    decided(rig, 300)
    rig.reconciler.ask_reasons(Book("drop"))
    await start_up(rig, run)
    await heard(rig, "fill", "0.533386947")
    assert exits_of(rig)["sn-1-x1"]["state"] == "filled"
    assert rig.rows()["sn-1"]["status"] == "closed"


async def test_a_sell_that_a_start_finds_at_work_is_an_alarm_once_it_stays_so(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    decided(rig, 10)
    rig.paper.book["sn-1-x1"] = make_order("sn-1-x1", order_id="paper-o-1")
    await start_up(rig, run)
    await trio.sleep(60)
    assert exits_of(rig)["sn-1-x1"]["state"] == "working"
    (alarm,) = logged_errors.take()
    assert "is not filled after 30 s (orderId=paper-o-1)" in alarm


async def test_a_sell_that_its_account_does_not_know_any_more_stays(
    rig: Rig, run: Callable[[Rig], None], logged_errors: LoggedErrors
) -> None:
    decided(rig, 300)
    ref = ref_of(make_trade("sn-1-x1"), "paper-o-1")
    assert rig.store.exits.apply_working(ref) is not None
    await start_up(rig, run)
    await trio.sleep(3600)
    assert exits_of(rig)["sn-1-x1"]["state"] == "working", "other keys prove nothing"
    (alarm,) = logged_errors.take()
    assert "is not filled after 30 s" in alarm
    assert rig.paper.asked("place") == []

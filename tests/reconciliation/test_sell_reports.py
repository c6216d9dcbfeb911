"""What the broker's word did to a sell is logged, published and handed on (SPEC 12.8)."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio

from snexec.events import EventFeed
from snexec.ledger.exit_rows import ExitApplied
from snexec.ledger.rows import OrderRef
from snexec.reconciliation.parties import ForeignSell
from snexec.reconciliation.sell_reports import SellReports
from snexec.reconciliation.sell_steps import SellStep
from snexec.reconciliation.unsettled import UnsettledOrders
from tests.fakes import TrioClock, warnings_of

if TYPE_CHECKING:
    from snexec.events import Event
    from snexec.ledger import Applied
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

REF = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1-x1")
NAMES = {"exitId": "sn-1-x1", "orderId": "o-1", "mode": "paper"}


def made(**changes: Any) -> ExitApplied:  # noqa: ANN401 - as the fields are
    """Make what a part that was sold did to a sell."""
    values: dict[str, Any] = {
        "id": "sn-1-x1",
        "row_id": "sn-1",
        "symbol": "AAPL",
        "mode": "paper",
        "signal_id": "n-1",
        "order_id": "o-1",
        "reason": "stop_loss",
        "outcome": "partial_fill",
        "changed": True,
        "settled": False,
        "quantity": Decimal("0.5"),
        "sold": Decimal("0.3"),
        "price": Decimal("180.5"),
        "remaining": Decimal("0.2"),
        "closed": False,
        "row_status": "open",
        "executed": Decimal("0.1"),
    }
    return ExitApplied(**(values | changes))


def closed(**changes: Any) -> ExitApplied:  # noqa: ANN401 - likewise
    """Make what the last part did."""
    values: dict[str, Any] = {
        "outcome": "fill",
        "settled": True,
        "sold": Decimal("0.5"),
        "remaining": Decimal(0),
        "closed": True,
        "row_status": "closed",
        "exit_price": Decimal("180.50"),
        "pnl": Decimal("-4.536"),
        "exit_reason": "stop_loss",
    }
    return made(**(values | changes))


def quiet(**changes: Any) -> ExitApplied:  # noqa: ANN401 - likewise
    """Make what an end without a sale did."""
    values: dict[str, Any] = {
        "outcome": "canceled",
        "settled": True,
        "sold": Decimal(0),
        "price": None,
        "executed": Decimal(0),
        "remaining": Decimal("0.5"),
    }
    return made(**(values | changes))


class Said:
    """Reports, and what they said to whom."""

    def __init__(self) -> None:
        self.unsettled = UnsettledOrders()
        self.events: list[Event] = []
        self.heard: list[object] = []
        feed = EventFeed(clock=TrioClock())
        feed.follow(self.events.append)
        self.reports = SellReports(self.unsettled, [self], feed)

    # As who holds positions.

    def bought(self, applied: Applied) -> None:
        raise AssertionError(applied)

    def sold(self, applied: ExitApplied) -> None:
        self.heard.append(applied.id)

    def foreign_sell(self, sell: ForeignSell) -> None:
        self.heard.append(sell)

    def step(self, **changes: Any) -> SellStep:  # noqa: ANN401 - as the fields are
        values: dict[str, Any] = {
            "ref": REF,
            "symbol": "AAPL",
            "source": "stream",
            "reporter": self.reports,
        }
        return SellStep(**(values | changes))

    def follow(self) -> None:
        """Follow the sell, which is to be asked about in 5 s."""
        self.unsettled.placed(made(), order_id="o-1", side="sell")

    def asks(self) -> bool | None:
        """Return whether the sell is asked about at once; None if it is not followed."""
        order = self.unsettled.get("sn-1-x1")
        if order is None:
            return None
        assert order.side == "sell"
        return order.due <= trio.current_time()

    def published(self) -> dict[str, dict[str, object]]:
        return {each.event: dict(each.more) for each in self.events}


@pytest.fixture
async def said(caplog: pytest.LogCaptureFixture) -> Said:
    caplog.set_level(logging.DEBUG)
    return Said()


# Sold


async def test_a_part_is_said_published_and_handed_on(
    said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    said.reports.tell(made(), "stream")
    assert caplog.messages == [
        "Sold: AAPL 0.3 of 0.5 shares at 180.5 orderId=o-1 trade=sn-1-x1 signal=n-1"
    ]
    [event] = said.events
    assert (event.event, event.trade_id, event.symbol, event.reason) == (
        *("exit_fill", "sn-1"),
        *("AAPL", "stop_loss"),
    )
    assert event.signal_id == "n-1"
    assert event.more == {
        **NAMES,
        "executed": 0.1,
        "shares": 0.3,
        "exitPrice": 180.5,
        "remaining": 0.2,
        "status": "open",
        "source": "stream",
    }
    assert said.heard == ["sn-1-x1"]


async def test_a_price_that_is_not_known_is_none(said: Said) -> None:
    said.reports.tell(made(price=None), "stream")
    assert said.published()["exit_fill"]["exitPrice"] is None


async def test_what_others_sold_is_no_fill_of_ours(said: Said) -> None:
    said.reports.tell(closed(kind="external"), "lookup")
    assert list(said.published()) == ["closed"]
    assert said.heard == ["sn-1-x1"]


async def test_what_changes_nothing_is_neither_said_nor_handed_on(
    said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    unchanged = quiet(outcome="unchanged", changed=False, settled=False)
    said.reports.tell(unchanged, "stream")
    assert (said.events, said.heard, caplog.messages) == ([], [], [])


# Closed


async def test_a_row_that_is_closed_is_said_with_what_it_came_to(
    said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    said.reports.tell(closed(), "stream")
    assert caplog.messages[-1] == (
        "Closed: AAPL at 180.5, -$4.54 (stop_loss) trade=sn-1 signal=n-1"
    )
    assert said.published()["closed"] == {
        **NAMES,
        "exitPrice": 180.5,
        "pnl": -4.536,
        "status": "closed",
        "source": "stream",
    }


@pytest.mark.parametrize(
    ("changes", "said_of_it"),
    [
        ({"pnl": Decimal("4.536")}, "Closed: AAPL at 180.5, +$4.54 (stop_loss)"),
        ({"pnl": Decimal(0)}, "Closed: AAPL at 180.5, +$0.00 (stop_loss)"),
        (
            {"pnl": None, "exit_price": None},
            "Closed: AAPL at a price that is not known, P&L not known (stop_loss)",
        ),
        ({"exit_price": Decimal(200)}, "Closed: AAPL at 200, -$4.54 (stop_loss)"),
        ({"exit_reason": None}, "Closed: AAPL at 180.5, -$4.54 (stop_loss)"),
    ],
    ids=["gain", "nothing", "not known", "whole dollars", "its own reason"],
)
async def test_it_is_said_in_dollars_and_cents(
    said: Said,
    changes: dict[str, Any],
    said_of_it: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    said.reports.tell(closed(**changes), "stream")
    assert caplog.messages[-1].startswith(said_of_it)


async def test_a_row_that_several_sells_closed_has_the_reason_of_the_greatest(
    said: Said,
) -> None:
    said.reports.tell(closed(exit_reason="max_hold"), "stream")
    assert [(each.event, each.reason) for each in said.events] == [
        ("exit_fill", "stop_loss"),
        ("closed", "max_hold"),
    ]


async def test_dust_that_is_left_is_named_in_digits(
    said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    said.reports.tell(closed(remaining=Decimal("4E-10")), "stream")
    assert caplog.messages[-1].endswith("signal=n-1; 0.0000000004 left, which is dust")


# Ended


@pytest.mark.parametrize(
    ("kind", "outcome", "level", "line"),
    [
        ("sell", "canceled", "WARNING", "Sell canceled: AAPL 0 of 0.5 sold"),
        ("sell", "expired", "WARNING", "Sell expired: AAPL 0 of 0.5 sold"),
        ("sell", "rejected", "WARNING", "Sell rejected: AAPL 0 of 0.5 sold"),
        ("stop", "canceled", "INFO", "Stop canceled: AAPL 0 of 0.5 sold"),
        ("stop", "expired", "INFO", "Stop expired: AAPL 0 of 0.5 sold"),
        ("stop", "rejected", "WARNING", "Stop rejected: AAPL 0 of 0.5 sold"),
    ],
)
async def test_an_end_is_a_warning_unless_it_is_how_stops_end(  # noqa: PLR0917 - what is said
    said: Said,
    kind: str,
    outcome: str,
    level: str,
    line: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    said.reports.tell(quiet(kind=kind, outcome=outcome), "lookup")
    [record] = caplog.records
    assert record.levelname == level
    assert record.getMessage().startswith(line)
    assert (said.events, said.heard) == ([], ["sn-1-x1"])


@pytest.mark.parametrize("outcome", ["refused", "dropped", "working"])
async def test_what_others_say_better_is_only_handed_on(
    said: Said, outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    said.reports.tell(quiet(outcome=outcome), "lookup")
    assert (caplog.messages, said.events, said.heard) == ([], [], ["sn-1-x1"])


# What should not be


async def test_one_that_is_found_beside_another_is_an_error(
    said: Said, logged_errors: LoggedErrors
) -> None:
    said.reports.tell(quiet(outcome="found_late", also_live="sn-1-x2"), "lookup")
    [line] = logged_errors.take()
    assert "given up, while sn-1-x2 is under way: look at the account" in line


async def test_more_sold_than_held_is_an_error_and_an_event(
    said: Said, logged_errors: LoggedErrors
) -> None:
    said.reports.tell(closed(oversold=Decimal("0.25")), "stream")
    [line] = logged_errors.take()
    assert "0.25 shares more were sold than its row held (sn-1)" in line
    assert said.published()["oversold"] == {
        **NAMES,
        "oversold": 0.25,
        "source": "stream",
    }


# Followed


async def test_a_sell_that_has_ended_is_followed_no_more(said: Said) -> None:
    said.follow()
    said.reports.report(said.step(), quiet())
    assert said.asks() is None


async def test_one_that_works_on_is_asked_about_in_its_turn(said: Said) -> None:
    said.follow()
    said.reports.report(said.step(), made())
    assert said.asks() is False
    assert said.published()["exit_fill"]["source"] == "stream"
    assert said.heard == ["sn-1-x1"]


@pytest.mark.parametrize("is_followed", [True, False])
@pytest.mark.parametrize("word", [{"is_filled": True}, {"how": "canceled"}])
async def test_an_end_that_does_not_say_what_was_sold_is_asked_about_at_once(
    said: Said,
    word: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    *,
    is_followed: bool,
) -> None:
    if is_followed:
        said.follow()
    said.reports.report(said.step(**word), quiet(outcome="working", settled=False))
    assert said.asks() is True
    is_said = "a final fill came without a readable price" in caplog.text
    assert is_said is ("is_filled" in word)


@pytest.mark.parametrize(("source", "streamed"), [("stream", True), ("lookup", False)])
async def test_what_the_stream_has_reported_it_is_not_missed_for(
    said: Said, source: str, *, streamed: bool
) -> None:
    said.reports.report(said.step(source=source), made())
    assert said.unsettled.was_streamed("sn-1-x1") is streamed


async def test_a_sell_that_takes_the_brokers_word_again_is_news_when_it_does_not(
    said: Said, logged_errors: LoggedErrors
) -> None:
    said.follow()
    for _ in range(2):
        said.reports.not_written(said.step(), ValueError("not that"))
    said.reports.report(said.step(), made())
    said.reports.not_written(said.step(), ValueError("not that"))
    first, second = logged_errors.take()
    assert first == second
    assert first == (
        "AAPL trade=sn-1-x1 orderId=o-1: its rows do not take what the broker says of"
        " this sell (not that); the broker is asked again until they do"
    )


@pytest.mark.parametrize(("source", "streamed"), [("stream", True), ("lookup", False)])
async def test_the_stream_did_its_part_though_it_cannot_be_written(
    said: Said, source: str, logged_errors: LoggedErrors, *, streamed: bool
) -> None:
    said.reports.not_written(said.step(source=source), ValueError("not that"))
    assert said.unsettled.was_streamed("sn-1-x1") is streamed
    assert len(logged_errors.take()) == 1


# No sell of ours


async def test_a_sell_of_others_on_the_stream_is_for_whoever_looks_at_those(
    said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    said.follow()
    said.reports.report(said.step(), None)
    assert said.heard == [ForeignSell("paper", "AAPL", "o-1")]
    assert said.asks() is False
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    last = said.step(symbol=None, is_filled=True, quantity=Decimal(3), price=Decimal(9))
    said.reports.report(last, None)
    assert said.heard[1:] == [ForeignSell("paper", "", "o-1", Decimal(3), Decimal(9))]


async def test_a_look_up_whose_sell_is_gone_is_said_and_asked_about_no_more(
    said: Said, caplog: pytest.LogCaptureFixture
) -> None:
    said.follow()
    said.reports.report(said.step(source="lookup"), None)
    assert warnings_of(caplog) == [
        "AAPL trade=sn-1-x1: the broker has order o-1, and its sell is gone or names"
        " another; look at the account"
    ]
    assert said.asks() is None
    assert said.heard == []

"""What the broker's word has done to a row: in the log, the feed, and the unsettled."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

import pytest

from snexec.events import Event, EventFeed
from snexec.ledger.rows import Applied, OrderRef, Outcome
from snexec.ledger.writer import Writer
from snexec.reconciliation.confirmations import Confirmations
from snexec.reconciliation.discarded import Discarded
from snexec.reconciliation.steps import PartialFillStep, Source, Step
from snexec.reconciliation.unsettled import UnsettledOrders
from tests.fakes import FakeClock, make_trade, warnings_of

if TYPE_CHECKING:
    from snexec.ledger.store import Store
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

BOUGHT = Applied(
    trade_id="sn-1",
    symbol="AAPL",
    signal_id="n-1",
    order_id="o-1",
    mode="paper",
    outcome="fill",
    changed=True,
    settled=True,
    status="open",
    entry_price=86.878,
    shares=0.5,
    reason=None,
)


class Told:
    """Confirmations, and all that they tell."""

    def __init__(self, store: Store) -> None:
        self.events: list[Event] = []
        self.unsettled = UnsettledOrders()
        self.unsettled.placed(make_trade(signal_id="n-1"), order_id="o-1")
        feed = EventFeed(clock=FakeClock())
        feed.follow(self.events.append)
        discarded = Discarded(Writer(store), self.unsettled)
        self.confirmations = Confirmations(self.unsettled, discarded, [], feed)

    def tell(self, applied: Applied | None, source: Source = "stream") -> list[str]:
        """Tell, and return the names of the events that this made."""
        ref = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")
        step = Step(ref=ref, symbol="AAPL", source=source, reporter=self.confirmations)
        if applied is not None and applied.outcome == "partial_fill":
            step = PartialFillStep(
                ref=ref,
                symbol="AAPL",
                source=source,
                reporter=self.confirmations,
                price=None,
            )
        self.confirmations.report(step, applied)
        return [event.event for event in self.events]


@pytest.fixture
async def told(store: Store, caplog: pytest.LogCaptureFixture) -> Told:
    caplog.set_level(logging.DEBUG)
    return Told(store)


@pytest.mark.parametrize(
    ("outcome", "events", "level", "words"),
    [
        ("fill", ["fill", "settled"], "INFO", "Order filled: AAPL 0.5 shares at"),
        ("rejected", ["rejected", "settled"], "WARNING", "Order rejected: AAPL order"),
        ("canceled", ["settled"], "WARNING", "Order canceled: AAPL orderId=o-1"),
        ("expired", ["settled"], "WARNING", "Order expired: AAPL orderId=o-1"),
        ("not_found", ["settled"], "WARNING", "Order not_found: AAPL orderId=o-1"),
        ("contradicted", [], "WARNING", "nothing was changed, look at the account"),
        ("working", [], "WARNING", "the broker has the order after all"),
    ],
)
async def test_each_outcome_is_told_once(  # noqa: PLR0917 - a table
    told: Told,
    caplog: pytest.LogCaptureFixture,
    outcome: Outcome,
    events: list[str],
    level: str,
    words: str,
) -> None:
    assert told.tell(BOUGHT._replace(outcome=outcome)) == events
    (record,) = caplog.records
    assert record.levelname == level
    assert words in record.getMessage()
    assert len(told.unsettled) == 0, "the last word ends the asking"


async def test_what_changed_nothing_is_not_told(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    same = BOUGHT._replace(outcome="unchanged", changed=False)
    assert told.tell(same) == []
    assert caplog.records == []


async def test_a_partial_fill_is_told_and_asked_about_further(told: Told) -> None:
    part = BOUGHT._replace(outcome="partial_fill", settled=False)
    assert told.tell(part) == ["partial_fill"]
    assert len(told.unsettled) == 1


async def test_a_look_up_that_finds_the_same_part_tells_nothing(told: Told) -> None:
    part = BOUGHT._replace(outcome="partial_fill", settled=False, changed=False)
    assert told.tell(part, "lookup") == []


async def test_only_the_stream_is_heard(told: Told) -> None:
    told.tell(BOUGHT, "lookup")
    assert not told.unsettled.was_streamed("sn-1")
    told.tell(BOUGHT)
    assert told.unsettled.was_streamed("sn-1")


async def test_a_row_that_is_open_again_is_a_warning(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    assert told.tell(BOUGHT._replace(reopened=True)) == ["fill", "settled"]
    (warning,) = warnings_of(caplog)
    assert warning.endswith("has bought after all, and the row is open again")


async def test_shares_that_no_open_row_holds_are_an_error(
    told: Told, logged_errors: LoggedErrors
) -> None:
    told.tell(BOUGHT._replace(outcome="unchanged", status="closed", unheld=0.25))
    (error,) = logged_errors.take()
    assert "trade=sn-1" in error
    assert "order o-1 has bought 0.25 shares more" in error


async def test_a_fill_found_late_is_an_error_that_names_both_rows(
    told: Told, logged_errors: LoggedErrors
) -> None:
    late = BOUGHT._replace(outcome="found_late", status="missed", newer_trade_id="sn-2")
    assert told.tell(late) == ["settled"]
    (error,) = logged_errors.take()
    assert "trade=sn-1" in error
    assert "trade=sn-2" in error


async def test_a_row_that_is_gone_is_asked_about_no_longer(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    assert told.tell(None, "lookup") == []
    assert "its row is gone or names another" in caplog.text
    assert len(told.unsettled) == 0


async def test_what_is_not_found_is_told_as_settled(told: Told) -> None:
    given_up = BOUGHT._replace(outcome="not_found", reason="order_not_found")
    told.confirmations.report_not_found(given_up)
    assert [(e.event, e.reason) for e in told.events] == [
        ("settled", "order_not_found")
    ]


# What a row does not take


async def test_what_a_row_does_not_take_is_said_with_the_row_and_asked_again(
    told: Told, logged_errors: LoggedErrors
) -> None:
    ref = OrderRef(mode="paper", order_id="o-1", client_order_id="sn-1")
    step = Step(ref=ref, symbol="AAPL", source="stream", reporter=told.confirmations)
    for _ in range(3):
        told.confirmations.not_written(step, sqlite3.IntegrityError("says no"))
    assert logged_errors.take() == [
        "AAPL trade=sn-1 orderId=o-1: its row does not take what the broker says (says"
        " no); it stays as it is, and the broker is asked again until it does"
    ]
    assert told.events == []
    assert len(told.unsettled) == 1
    assert told.unsettled.was_streamed("sn-1"), "the stream has done its part"
    told.tell(BOUGHT._replace(settled=False, outcome="unchanged"))
    (order,) = told.unsettled
    assert order.unwritten is None

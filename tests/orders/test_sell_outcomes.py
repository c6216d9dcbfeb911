"""What became of a sell that was sent: in its row, the log, the feed (SPEC 12.5, 12.8)."""

from __future__ import annotations

import logging
import math
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.broker import Purpose
from snexec.errors import (
    DuplicateOrderError,
    NotSentError,
    RateLimitedError,
    RefusedError,
)
from snexec.errors import UnknownOutcomeError as NoAnswerError
from snexec.ledger.exit_rows import NewExit
from snexec.ledger.rows import OrderRef
from snexec.orders.sell_attempt import SellAttempt
from tests.fakes import make_order, warnings_of
from tests.orders.hearing import SELL, Heard, buy, exits_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.ledger.exit_rows import ExitKind
    from snexec.reconciliation.due import UnsettledOrder
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time

SHARES = "0.533386947"
REFUSED = RefusedError(status_code=403, body='{"message":"no"}', reason="no")


class Sent:
    """A sell that was sent, and what became of it."""

    def __init__(self, rig: Rig, kind: ExitKind) -> None:
        self.rig = rig
        self.outcomes = rig.orders.sell_outcomes
        self.latencies = rig.reconciler.sells.latencies
        self.heard = Heard()
        self.recorded: list[SellAttempt] = []
        buy(rig)
        new = rig.store.exits.plan(
            "sn-1",
            "stop_loss",
            held=None,
            free=None,
            trigger_price=Decimal("180.02"),
            trigger_source="positions",
            kind=kind,
        )
        assert isinstance(new, NewExit)
        self.new = new
        self.attempt = SellAttempt(
            sell=SELL,
            listener=self.heard,
            lease=rig.accounts.lease("paper"),
            owner=rig.orders.sells,
            halt=rig.halt,
            ledger=rig.ledger,
            latencies=self.latencies,
            decided_at=trio.current_time(),
        )
        self.attempt.trade, self.attempt.is_planned = new, True
        self.latencies.begin(new.id, read_at=trio.current_time())

    @property
    def row(self) -> dict[str, object]:
        return exits_of(self.rig)[self.new.id]

    def followed(self) -> UnsettledOrder:
        """Return the sell as it is followed."""
        order = self.rig.unsettled.get(self.new.id)
        assert order is not None
        assert order.side == "sell"
        return order

    async def accept(self, status: str = "accepted") -> None:
        order = make_order(self.new.id, status, order_id="o-9")
        self.attempt.answered_at = trio.current_time()
        self.outcomes.accepted(self.attempt, order, self.recorded.append)
        await wait_all_tasks_blocked()

    def event(self, name: str) -> dict[str, object]:
        """Return the one event of this name as it is published."""
        [event] = [each for each in self.rig.events if each.event == name]
        assert (event.trade_id, event.symbol, event.reason, event.signal_id) == (
            *("sn-1", "AAPL"),
            *("stop_loss", "n-sn-1"),
        )
        return dict(event.more)


@pytest.fixture
def sent(rig: Rig, caplog: pytest.LogCaptureFixture) -> Sent:
    caplog.set_level(logging.INFO)
    return Sent(rig, "sell")


NAMES = {"exitId": "sn-1-x1", "orderId": None, "mode": "paper"}


async def test_what_is_decided_is_published_with_what_decided_it(sent: Sent) -> None:
    sent.outcomes.decided(sent.attempt)
    sent.outcomes.announcements.say_all()
    assert sent.event("exit") == {
        **NAMES,
        "shares": 0.533386947,
        "triggerPrice": 180.02,
        "triggerSource": "positions",
    }


async def test_what_is_sold_by_hand_says_who_asked_for_it(sent: Sent) -> None:
    sent.attempt.trade = sent.new._replace(
        reason="manual", trigger_price=None, trigger_source="page"
    )
    sent.outcomes.decided(sent.attempt)
    sent.outcomes.announcements.say_all()
    [event] = [each for each in sent.rig.events if each.event == "exit"]
    assert event.more["by"] == "page"


async def test_a_rule_of_time_has_no_price(sent: Sent) -> None:
    sent.attempt.trade = sent.new._replace(trigger_price=None, trigger_source="clock")
    sent.outcomes.decided(sent.attempt)
    sent.outcomes.announcements.say_all()
    assert sent.event("exit")["triggerPrice"] is None


# Accepted


async def test_an_acceptance_is_written_published_and_told(
    sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    sent.latencies.sent(sent.new.id)
    await trio.sleep(0.25)
    await sent.accept()
    assert (sent.row["state"], sent.row["alpacaOrderId"]) == ("working", "o-9")
    assert sent.event("exit_placed") == {
        **NAMES,
        "orderId": "o-9",
        "shares": 0.533386947,
        "wireMs": 0.0,
        "replyMs": 250.0,
    }
    assert sent.heard.calls == [("placed", "o-9")]
    assert sent.recorded == [sent.attempt]
    assert sent.outcomes.counts == {"placed": 1}
    assert caplog.messages == [
        f"Sell placed: AAPL {SHARES} shares (stop_loss, paper) orderId=o-9 trade=sn-1-x1"
        " signal=n-sn-1"
    ]


async def test_a_stop_says_at_which_price_it_rests(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await Sent(rig, "stop").accept()
    assert caplog.messages == [
        f"Stop placed: AAPL {SHARES} shares at 180.02 (stop_loss, paper) orderId=o-9"
        " trade=sn-1-s1 signal=n-sn-1"
    ]


async def test_it_is_followed_before_its_acceptance_is_written(sent: Sent) -> None:
    sent.rig.writer.gate = trio.Event()
    await sent.accept()
    assert sent.followed().order_id == "o-9"
    assert (sent.heard.calls, sent.recorded) == ([], [])
    sent.rig.writer.gate.set()
    await wait_all_tasks_blocked()
    assert sent.heard.names == ["placed"]


@pytest.mark.parametrize(
    ("status", "is_asked"), [("accepted", False), ("filled", True), ("canceled", True)]
)
async def test_an_answer_that_says_the_end_is_asked_about_at_once(
    sent: Sent, status: str, *, is_asked: bool
) -> None:
    await sent.accept(status)
    assert (sent.followed().due == 0) is is_asked


async def test_one_that_was_filled_before_its_answer_came_is_followed_no_more(
    sent: Sent,
) -> None:
    sent.rig.store.exits.apply_sold(
        OrderRef("paper", "o-9", sent.new.id),
        quantity=Decimal(SHARES),
        price=Decimal(180),
        final=True,
    )
    await sent.accept("filled")
    assert sent.rig.unsettled.get(sent.new.id) is None
    assert sent.heard.names == ["placed"]


async def test_a_sell_whose_row_is_gone_is_an_error_and_is_followed_no_more(
    sent: Sent, logged_errors: LoggedErrors
) -> None:
    sent.rig.store._db.execute("DELETE FROM BotExit")
    await sent.accept()
    [line] = logged_errors.take()
    assert "the broker took the sell as o-9, and its row is gone or names" in line
    assert sent.rig.unsettled.get(sent.new.id) is None
    assert (sent.heard.calls, sent.rig.events) == ([("unbooked", "o-9")], [])
    assert sent.recorded == [sent.attempt], "whoever waits for it goes on"


async def test_an_acceptance_that_cannot_be_written_is_asked_about(
    sent: Sent, logged_errors: LoggedErrors
) -> None:
    sent.rig.store._db.execute(
        "CREATE TRIGGER guard BEFORE UPDATE ON BotExit"
        " BEGIN SELECT RAISE(ABORT, 'not that'); END"
    )
    await sent.accept()
    [line] = logged_errors.take()
    assert "the row does not take that the broker has the sell o-9 (not that)" in line
    assert sent.followed().order_id == "o-9"
    assert sent.recorded == [sent.attempt]


async def test_whoever_waits_for_it_goes_on_even_if_a_listener_fails(
    sent: Sent, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    def fail(*_args: object) -> None:
        raise ValueError("a fault of the listener's")

    monkeypatch.setattr(sent.heard, "placed", fail)
    put = list[object]()
    monkeypatch.setattr(sent.rig.writer, "put", put.append)
    await sent.accept()
    [change] = put
    applied = change.apply(sent.rig.store)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="a fault"):
        change.done(applied)  # type: ignore[attr-defined]
    assert sent.recorded == [sent.attempt]
    nursery.cancel_scope.cancel()


# Unknown


async def test_an_unknown_outcome_is_asked_about_and_may_be_sent_again(
    sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    await trio.sleep(3)
    sent.rig.set_exits(resend_after_sec=7)
    sent.outcomes.unknown(sent.attempt, NoAnswerError("reset"))
    order = sent.followed()
    assert (order.order_id, order.due, order.resend_at) == (None, 3, 10)
    assert order.unanswered_at == 3, "that request may still arrive"
    assert sent.row["state"] == "planned"
    assert sent.event("exit_unknown") == {**NAMES, "problem": "reset"}
    assert sent.heard.calls == [("unknown", "reset")]
    assert sent.outcomes.counts == {"unknown": 1}
    assert warnings_of(caplog) == [
        "Sell outcome unknown: AAPL trade=sn-1-x1 signal=n-sn-1: reset; the broker is"
        " asked what became of it, and it is sent again with its id if there is no such"
        " order"
    ]


async def test_without_exits_it_is_sent_again_as_by_their_default(sent: Sent) -> None:
    sent.outcomes.unknown(sent.attempt, NoAnswerError("reset"))
    assert sent.followed().resend_at == 5


async def test_one_that_never_left_cannot_arrive_later(sent: Sent) -> None:
    sent.outcomes.unknown(sent.attempt, NotSentError("no route"))
    assert sent.followed().unanswered_at is None
    assert sent.followed().resend_at == 5


async def test_a_429_was_not_taken_and_stops_the_requests_that_follow(
    sent: Sent,
) -> None:
    sent.outcomes.unknown(sent.attempt, RateLimitedError("429", wait_seconds=9))
    assert sent.followed().resend_at == 0
    assert sent.followed().unanswered_at is None
    await sent.attempt.lease.take(Purpose.EXIT)
    assert trio.current_time() == 9


async def test_an_id_that_was_taken_before_is_sent_no_more(
    sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    taken = DuplicateOrderError(status_code=422, body="", reason="must be unique")
    sent.outcomes.unknown(sent.attempt, taken)
    assert sent.followed().resend_at == math.inf
    assert warnings_of(caplog)[0].endswith("the broker is asked what became of it")


@pytest.mark.parametrize(("sends_again", "resend_at"), [(True, 5), (False, math.inf)])
async def test_one_that_may_have_left_is_asked_about_at_once(
    sent: Sent, *, sends_again: bool, resend_at: float
) -> None:
    sent.outcomes.look_up(sent.new, sends_again=sends_again)
    assert (sent.followed().due, sent.followed().resend_at) == (0, resend_at)


async def test_one_whose_acceptance_was_lost_is_asked_about_at_once(sent: Sent) -> None:
    sent.outcomes.lost(sent.attempt)
    assert (sent.followed().due, sent.followed().resend_at) == (0, 5)


# An earlier request


async def test_a_refusal_waits_until_no_earlier_request_can_arrive(
    sent: Sent, caplog: pytest.LogCaptureFixture
) -> None:
    sent.outcomes.unknown(sent.attempt, NoAnswerError("reset"))
    caplog.clear()
    await trio.sleep(20)
    assert sent.outcomes.waits_for_earlier(sent.attempt)
    assert (sent.followed().due, sent.followed().resend_at) == (20, 60)
    assert sent.followed().unanswered_at == 0, "it is not counted from the refusal"
    assert "is asked about for 40 s more, then sent once more" in warnings_of(caplog)[0]
    await trio.sleep(39.9)
    assert sent.outcomes.waits_for_earlier(sent.attempt)
    await trio.sleep(0.1)
    assert not sent.outcomes.waits_for_earlier(sent.attempt)


async def test_there_is_none_to_wait_for_where_every_request_was_answered(
    sent: Sent,
) -> None:
    assert not sent.outcomes.waits_for_earlier(sent.attempt)
    sent.outcomes.unknown(sent.attempt, NotSentError("no route"))
    assert not sent.outcomes.waits_for_earlier(sent.attempt)


# Refused


class Refusal:
    """A refusal that a look-up is to bear out."""

    async def not_found(self) -> None:
        raise AssertionError

    async def not_answered(self, problem: RefusedError) -> bool:
        raise AssertionError(problem)

    def found(self) -> None:
        raise AssertionError


async def test_a_refusal_is_said_and_only_then_borne_out(
    sent: Sent, logged_errors: LoggedErrors
) -> None:
    refusal = Refusal()
    sent.outcomes.refused(sent.attempt, refusal, REFUSED)
    assert logged_errors.take() == [
        f"Sell refused: AAPL {SHARES} shares trade=sn-1-x1 signal=n-sn-1 HTTP 403: no"
        ' (body: {"message":"no"})'
    ]
    order = sent.followed()
    assert (order.refusal, order.due, order.resend_at) == (refusal, 0, math.inf)
    assert sent.row["state"] == "planned", "it may exist"
    assert (sent.heard.calls, sent.rig.events) == ([], [])


async def test_one_that_is_borne_out_settles_the_sell_and_is_told(sent: Sent) -> None:
    sent.outcomes.look_up(sent.new)
    await sent.outcomes.refused_durably(sent.attempt, REFUSED)
    assert sent.row["state"] == "refused"
    assert sent.event("exit_refused") == {
        **NAMES,
        "httpStatus": 403,
        "message": "no",
    }
    assert sent.heard.calls == [("refused", 403)]
    assert sent.rig.unsettled.get(sent.new.id) is None
    assert sent.outcomes.counts == {"refused": 1}
    assert sent.latencies.replied(sent.new.id, at=9.0).reply_ms is None, "not timed"


async def test_one_that_the_broker_has_spoken_of_meanwhile_is_not_refused(
    sent: Sent,
) -> None:
    sent.rig.store.exits.apply_working(OrderRef("paper", "o-9", sent.new.id))
    await sent.outcomes.refused_durably(sent.attempt, REFUSED)
    assert sent.row["state"] == "working"
    assert sent.followed().due == 0
    assert (sent.heard.calls, sent.rig.events) == ([], [])
    assert sent.outcomes.counts["refused"] == 0


async def test_a_refusal_that_cannot_be_written_is_asked_about_again(
    sent: Sent, logged_errors: LoggedErrors
) -> None:
    sent.rig.store._db.execute(
        "CREATE TRIGGER guard BEFORE UPDATE ON BotExit"
        " BEGIN SELECT RAISE(ABORT, 'not that'); END"
    )
    await sent.outcomes.refused_durably(sent.attempt, REFUSED)
    [line] = logged_errors.take()
    assert "it cannot be written that there is no such sell (not that)" in line
    assert sent.followed().due == 0
    assert sent.heard.calls == []


# Withheld


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("halted", "not sold: halt-all is on"),
        ("not_written", "not sold: its row is in a file that was touched"),
    ],
)
async def test_a_new_sell_that_did_not_leave_is_dropped(
    sent: Sent,
    why: str,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await sent.outcomes.withheld(sent.attempt, why)  # type: ignore[arg-type]
    assert sent.row["state"] == "dropped"
    assert sent.heard.calls == [("withheld", why)]
    assert said in warnings_of(caplog)[0]


async def test_one_that_may_have_left_at_another_time_stays_planned(sent: Sent) -> None:
    sent.attempt.sell = SELL._replace(exit_id=sent.new.id)
    await sent.outcomes.withheld(sent.attempt, "halted")
    assert sent.row["state"] == "planned"
    assert sent.heard.calls == [("withheld", "halted")]


@pytest.mark.parametrize(
    "what",
    [
        lambda sent: sent.outcomes.refused_durably(sent.attempt, REFUSED),
        lambda sent: sent.outcomes.withheld(sent.attempt, "halted"),
        lambda sent: sent.accept(),
    ],
    ids=["refused", "dropped", "accepted"],
)
async def test_whoever_watches_the_row_hears_of_it(
    sent: Sent, what: Callable[[Sent], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[str]()
    reports = sent.rig.reconciler.sells.reports
    monkeypatch.setattr(
        reports, "tell", lambda applied, source: told.append(f"{applied.id} {source}")
    )
    await what(sent)  # type: ignore[misc]
    assert told == ["sn-1-x1 lookup"]

"""One row's stop at the broker, from one to the next (SPEC 12.6)."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from snexec.exits.kept_stop import KeptStop
from snexec.exits.stops import Stop
from tests.exits.hands import make_exits, make_position
from tests.exits.selling import insufficient, refused
from tests.fakes import warnings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker import BrokerOrder
    from snexec.errors import BrokerError
    from snexec.exits.means import Means
    from snexec.exits.position import Position
    from snexec.ledger import ExitApplied, NewExit
    from snexec.model import Mode
    from snexec.orders import NotPlanned, Sell

pytestmark = pytest.mark.jumping_time

FORBIDDEN = refused(403, "account is restricted")
STOP = Stop(Decimal("95.00"), Decimal("0.5"), "trailing_stop")
ORDER = cast("BrokerOrder", None)


@dataclass
class Applied:
    """What the broker's word did to a stop."""

    id: str = "sn-1-s1"
    outcome: str = "working"
    settled: bool = False
    quantity: Decimal = Decimal("0.5")
    sold: Decimal = Decimal(0)


@dataclass
class New:
    """A stop that is durable."""

    id: str = "sn-1-s1"
    trigger_price: Decimal | None = Decimal("95.00")
    quantity: Decimal = Decimal("0.5")
    is_resumed: bool = False


@dataclass
class Desk:
    """Takes sells."""

    taken: list[Sell] = field(default_factory=list)
    listened: list[str] = field(default_factory=list)

    def sell(self, sell: Sell, listener: KeptStop) -> None:
        assert listener.is_in_flight
        self.taken.append(sell)

    def listen(self, exit_id: str, _listener: KeptStop) -> None:
        self.listened.append(exit_id)


class Bench:
    """A kept stop with the means that it asks; all of them this."""

    def __init__(self) -> None:
        self.settings = make_exits(retry_max_sec=300)
        self.orders = Desk()
        self.way = self.market = self.tries = self
        self.is_closed = False
        self.failures = 0
        self.looks: list[Mode] = []
        self.canceled: list[str] = []
        self.on_cancel: Callable[[], object] = lambda: None
        self.position: Position = make_position(row_id="sn-1", order_id="o-1")
        self.stop = KeptStop(cast("Means", self), self.position)

    # As the means.

    def has_to_wait(self, _position: Position) -> bool:
        return self.is_closed

    def failed_stops(self, _row_id: str) -> int:
        return self.failures

    def may_stop(self, row_id: str) -> bool:
        return self.failed_stops(row_id) < 20

    def add_failed_stop(self, row_id: str) -> None:
        assert row_id == "sn-1"
        self.failures += 1

    def look_outside(self, mode: Mode) -> None:
        self.looks.append(mode)

    async def take_back_stop(self, _position: Position, exit_id: str) -> None:
        assert self.stop.is_canceling
        await trio.lowlevel.checkpoint()
        self.canceled.append(exit_id)
        self.on_cancel()

    # What happens.

    def rests(self) -> KeptStop:
        """Have it rest."""
        self.stop.place(STOP)
        self.stop.planned(cast("NewExit", New()))
        self.stop.placed(cast("NewExit", New()), ORDER)
        return self.stop

    def hears(self, **changes: Any) -> None:  # noqa: ANN401 - as the fields are
        self.stop.heard(cast("ExitApplied", Applied(**changes)))

    def ends(self, outcome: str = "canceled") -> None:
        self.hears(outcome=outcome, settled=True)

    def pause(self) -> float:
        """Return for how many seconds none may be placed."""
        assert self.stop.may_be_placed is (self.stop.due <= trio.current_time())
        return self.stop.due - trio.current_time()


@pytest.fixture
async def bench(caplog: pytest.LogCaptureFixture) -> Bench:
    caplog.set_level(logging.INFO)
    return Bench()


# From the order to rest


async def test_it_is_ordered_as_a_stop_at_its_price(bench: Bench) -> None:
    bench.stop.place(STOP)
    [sell] = bench.orders.taken
    assert (sell.row_id, sell.symbol, sell.mode, sell.kind) == (
        *("sn-1", "AAPL"),
        *("paper", "stop"),
    )
    assert (sell.reason, sell.trigger_price, sell.trigger_source) == (
        *("trailing_stop", Decimal("95.00")),
        "broker_stop",
    )
    assert sell.says_intent


async def test_once_it_is_durable_the_row_has_a_sell_without_an_end(
    bench: Bench,
) -> None:
    await trio.sleep(5)
    bench.stop.place(STOP)
    bench.stop.planned(cast("NewExit", New()))
    assert bench.stop.exit_id == bench.position.live_exit == "sn-1-s1"
    assert bench.stop.resting == Stop(Decimal("95.00"), Decimal("0.5"))
    assert bench.stop.is_in_flight
    assert bench.stop.rested == 0


async def test_it_rests_since_the_broker_took_it(bench: Bench) -> None:
    assert bench.stop.rested == math.inf
    bench.stop.place(STOP)
    bench.stop.planned(cast("NewExit", New(trigger_price=None)))
    await trio.sleep(5)
    bench.stop.placed(cast("NewExit", New()), ORDER)
    await trio.sleep(2)
    assert (bench.stop.rested, bench.stop.is_in_flight) == (2, False)
    assert bench.stop.resting == Stop(Decimal(0), Decimal("0.5")), "no price was said"


async def test_what_keeps_it_for_a_moment_is_tried_again_in_a_second(
    bench: Bench,
) -> None:
    bench.stop.place(STOP)
    bench.stop.not_planned("closing", None)
    assert (bench.pause(), bench.stop.is_in_flight) == (1, False)
    await trio.sleep(1)
    bench.stop.place(STOP)
    bench.stop.withheld(cast("NewExit", New()), "halted")
    assert (bench.pause(), bench.stop.is_in_flight) == (1, False)
    assert bench.failures == 0


async def test_one_that_was_to_be_sent_again_is_waited_for_and_not_placed_twice(
    bench: Bench,
) -> None:
    bench.stop.place(STOP)
    bench.stop.planned(cast("NewExit", New()))
    bench.stop.unknown(cast("NewExit", New()), cast("BrokerError", None))
    bench.stop.withheld(cast("NewExit", New(is_resumed=True)), "halted")
    bench.stop.not_planned("not_written", "sn-1-s1")
    assert bench.stop.is_in_flight
    bench.stop.not_planned("over", "sn-1-s1")
    assert not bench.stop.is_in_flight


async def test_the_rule_rests_for_none_that_did_not_leave(bench: Bench) -> None:
    bench.stop.place(STOP)
    bench.stop.planned(cast("NewExit", New()))
    assert bench.position.stop_at_broker
    bench.stop.withheld(cast("NewExit", New()), "not_written")
    assert not bench.position.stop_at_broker, "also where its end cannot be written"


async def test_one_whose_outcome_is_not_known_is_waited_for(bench: Bench) -> None:
    bench.stop.place(STOP)
    bench.stop.planned(cast("NewExit", New()))
    bench.stop.unknown(cast("NewExit", New()), cast("BrokerError", None))
    assert bench.stop.is_in_flight
    assert bench.stop.exit_id == "sn-1-s1"


@pytest.mark.parametrize(
    ("why", "exit_id", "waits"),
    [
        ("halted", "sn-1-s1", True),
        ("not_written", "sn-1-s1", True),
        ("halted", None, False),
        ("over", "sn-1-s1", False),
        ("stopping", "sn-1-s1", False),
    ],
)
async def test_one_that_cannot_be_sent_again_now_is_sent_again_later(
    bench: Bench, why: NotPlanned, exit_id: str | None, *, waits: bool
) -> None:
    bench.stop.know("sn-1-s1", STOP, is_in_flight=True)
    bench.stop.not_planned(why, exit_id)
    assert bench.stop.is_in_flight is waits
    assert bench.stop.may_be_placed is waits, "no other before it, nor at once after it"


# What the broker says of it


async def test_what_is_left_of_it_is_what_it_would_sell(bench: Bench) -> None:
    bench.rests()
    bench.hears(sold=Decimal("0.2"))
    assert bench.stop.resting == Stop(Decimal("95.00"), Decimal("0.3"))


async def test_one_that_was_found_rests_at_a_price_that_is_not_known(
    bench: Bench,
) -> None:
    bench.rests()
    bench.hears(id="sn-1-s2")
    assert bench.stop.exit_id == "sn-1-s2"
    assert bench.stop.resting == Stop(Decimal(0), Decimal("0.5"))


async def test_the_end_of_another_changes_nothing(bench: Bench) -> None:
    bench.rests()
    bench.hears(id="sn-1-s0", outcome="canceled", settled=True)
    assert bench.stop.exit_id == "sn-1-s1"
    assert bench.failures == 0


async def test_one_of_an_earlier_run_is_listened_to_until_it_is_answered(
    bench: Bench,
) -> None:
    bench.stop.know("sn-1-s1", STOP, is_in_flight=False)
    assert (bench.orders.listened, bench.stop.is_in_flight) == ([], False)
    bench.stop.know("sn-1-s1", STOP, is_in_flight=True)
    assert (bench.orders.listened, bench.stop.resting) == (["sn-1-s1"], STOP)
    assert bench.stop.is_in_flight


# Taken back


async def test_it_is_taken_back_and_forgotten_where_its_end_was_heard_elsewhere(
    bench: Bench,
) -> None:
    await bench.rests().take_back()
    assert bench.canceled == ["sn-1-s1"]
    assert (bench.stop.exit_id, bench.stop.resting) == (None, None)
    assert not bench.stop.is_canceling


async def test_one_that_is_found_meanwhile_is_not_forgotten(bench: Bench) -> None:
    bench.on_cancel = lambda: bench.hears(id="sn-1-s2")
    await bench.rests().take_back()
    assert bench.stop.exit_id == "sn-1-s2"


async def test_where_none_rests_nothing_is_canceled(bench: Bench) -> None:
    await bench.stop.take_back()
    assert (bench.canceled, bench.stop.is_canceling) == ([], False)


async def test_one_that_we_take_back_is_no_failure(bench: Bench) -> None:
    bench.on_cancel = bench.ends
    await bench.rests().take_back()
    assert (bench.failures, bench.stop.may_be_placed) == (0, True)


async def test_nor_is_one_that_ends_as_its_row_is_sold(bench: Bench) -> None:
    bench.rests()
    bench.position.state = "closing"
    bench.ends()
    assert (bench.failures, bench.stop.exit_id) == (0, None)


# Ended by others


async def test_that_others_have_ended_it_is_said(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.rests()
    bench.ends("expired")
    [line] = warnings_of(caplog)
    assert line.startswith(
        "AAPL trade=sn-1 has no stop at the broker: it was expired; its rules are watched"
    )


async def test_one_that_ends_at_once_is_followed_ever_later(bench: Bench) -> None:
    pauses = []
    for _ in range(6):
        bench.rests()
        bench.ends()
        pauses.append(bench.pause())
        bench.stop.due = 0
    assert pauses == [1, 5, 15, 60, 300, 300]
    assert bench.failures == 6


@pytest.mark.parametrize(("seconds", "failures"), [(59.9, 2), (60.0, 1)])
async def test_one_that_rested_a_minute_ended_for_a_reason_of_its_own(
    bench: Bench, seconds: float, failures: int
) -> None:
    bench.rests()
    bench.ends()
    bench.rests()
    await trio.sleep(seconds)
    bench.ends()
    assert bench.failures == failures
    assert bench.stop.may_be_placed is (failures == 1)
    bench.rests()
    bench.ends()
    assert round(bench.pause()) == (15 if failures == 2 else 1)


@pytest.mark.parametrize(
    ("outcome", "is_closed", "failures"),
    [("expired", True, 0), ("expired", False, 1), ("canceled", True, 1)],
)
async def test_every_stop_ends_with_its_session(
    bench: Bench, outcome: str, failures: int, *, is_closed: bool
) -> None:
    bench.is_closed = is_closed
    bench.rests()
    bench.ends(outcome)
    assert bench.failures == failures


async def test_a_rejected_one_is_a_failure_however_long_it_rested(bench: Bench) -> None:
    bench.rests()
    await trio.sleep(1000)
    bench.ends("rejected")
    assert bench.failures == 1


@pytest.mark.parametrize("outcome", ["fill", "refused", "dropped"])
async def test_what_is_heard_of_otherwise_is_not_counted_here(
    bench: Bench, outcome: str
) -> None:
    bench.rests()
    bench.ends(outcome)
    assert (bench.failures, bench.stop.exit_id) == (0, None)


async def test_after_so_many_in_a_session_none_is_placed(bench: Bench) -> None:
    bench.failures = 19
    assert bench.stop.may_be_placed
    bench.failures = 20
    assert not bench.stop.may_be_placed


# Refused


async def test_a_refusal_is_tried_again_by_the_table_of_sells(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        bench.stop.place(STOP)
        bench.stop.refused(cast("NewExit", New()), FORBIDDEN)
    assert (bench.pause(), bench.failures, bench.stop.is_in_flight) == (5, 2, False)
    assert warnings_of(caplog) == [
        "AAPL trade=sn-1 has no stop at the broker: account is restricted; its rules are"
        " watched here alone, and nothing does while the daemon does not run; the next"
        " try comes in 1 s (1 of 20 in this session)"
    ], "once an hour"
    assert bench.looks == []


async def test_refusals_from_before_one_that_rested_keep_the_next_no_longer_waiting(
    bench: Bench,
) -> None:
    for _ in range(4):
        bench.stop.refused(cast("NewExit", New()), FORBIDDEN)
    bench.rests()
    await trio.sleep(60)
    bench.ends("expired")
    bench.stop.refused(cast("NewExit", New()), FORBIDDEN)
    assert bench.pause() == 1


async def test_one_that_finds_nothing_has_others_sales_looked_at(bench: Bench) -> None:
    bench.stop.refused(cast("NewExit", New()), insufficient("0", "0", "0"))
    assert bench.looks == ["paper"]


async def test_it_is_said_again_after_an_hour(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for pause in (0, 3599, 1):
        await trio.sleep(pause)
        bench.stop.refused(cast("NewExit", New()), FORBIDDEN)
    assert len(warnings_of(caplog)) == 2


async def test_the_last_try_of_a_session_is_said_to_be_that(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.failures = 19
    bench.stop.refused(cast("NewExit", New()), FORBIDDEN)
    [line] = warnings_of(caplog)
    assert line.endswith(
        "no more tries in this session, the next one is tomorrow's (20 of 20 in this"
        " session)"
    )


async def test_a_row_that_has_a_stop_again_is_said_once_and_the_next_lack_is_news(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.stop.refused(cast("NewExit", New()), FORBIDDEN)
    for _ in range(2):
        bench.rests()
    again = [line for line in caplog.messages if line.endswith("broker again")]
    assert again == ["AAPL trade=sn-1 has a stop at the broker again"]
    bench.stop.refused(cast("NewExit", New()), FORBIDDEN)
    assert len(warnings_of(caplog)) == 2


async def test_a_position_that_lags_is_no_lack_to_speak_of(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.position.bought_at = trio.current_time() - 3
    for _ in range(3):
        bench.stop.refused(cast("NewExit", New()), insufficient("0", "0", "0"))
    assert warnings_of(caplog) == []
    assert bench.pause() == 15, "no sooner than after so many refusals"


async def test_a_field_that_is_not_taken_is_not_sent_with_the_next_one(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.stop.refused(cast("NewExit", New()), refused(422, "position_intent?"))
    caplog.clear()
    bench.stop.place(STOP)
    assert not bench.orders.taken[0].says_intent

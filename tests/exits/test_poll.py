"""The poll of positions: how often, with which requests, and what it says (SPEC 12.4)."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from snexec.broker import HeldPosition, PositionList, Purpose
from snexec.errors import RateLimitedError, RefusedError, UnknownOutcomeError
from snexec.exits.poll import PositionsPoll
from tests.exits.hands import Desk
from tests.fakes import FakeAccounts, make_settings, warnings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.model import Mode

pytestmark = pytest.mark.jumping_time

STOP: dict[str, Any] = {"hard_stop_loss_pct": 5}


class Account:
    """Answers with what it holds, or with the script, and notes when it was asked.

    Attributes:
        holds: The last sale of each symbol.
        seconds: How long each answer takes.
    """

    def __init__(self, accounts: FakeAccounts, mode: Mode) -> None:
        self.asked: list[float] = []
        self.holds: dict[str, str] = {}
        self.script: list[Exception] = []
        self.seconds = 0.05
        self._budget = accounts.clients[mode].budget
        cast("Any", accounts.clients[mode]).positions = self.positions

    async def positions(self, *_own: object) -> PositionList:
        self.asked.append(trio.current_time())
        await trio.sleep(self.seconds)
        self._budget.finish(None)
        if self.script:
            raise self.script.pop(0)
        return PositionList(
            HeldPosition(
                symbol=symbol,
                quantity=Decimal("0.533386947"),
                quantity_text="0.533386947",
                available=Decimal("0.5"),
                current_price=Decimal(price) if price else None,
                average_price=Decimal(100),
                side="long",
            )
            for symbol, price in self.holds.items()
        )

    @property
    def pauses(self) -> list[float]:
        return [round(b - a, 1) for a, b in itertools.pairwise(self.asked)]


class Polled(Desk):
    """A desk whose prices come from positions."""

    def __init__(self, *, per_minute: int = 200, **keys: object) -> None:
        super().__init__(**keys)
        self.accounts = FakeAccounts(clock=self.clock, per_minute=per_minute)
        self.paper = Account(self.accounts, "paper")
        self.real = Account(self.accounts, "live")
        self.seconds: list[Sequence[str]] = []
        self.lists: list[tuple[Mode, PositionList]] = []
        self.poll = PositionsPoll(
            self.live,
            self.accounts,
            self.book,
            self.view,
            self.monitor,
            second=self,
            clock=self.clock,
        )
        self.poll.follow(self)

    async def seen(self, mode: Mode, positions: PositionList) -> None:
        self.lists.append((mode, positions))

    async def ask(self, symbols: Sequence[str]) -> None:
        await trio.lowlevel.checkpoint()
        self.seconds.append(symbols)

    def start(self, nursery: trio.Nursery, *, again: bool = True) -> None:
        super().start(nursery, again=again and self.live.now.exits is not None)
        nursery.start_soon(self.poll.run)


async def test_nobody_is_asked_without_exits_rows_or_keys(
    nursery: trio.Nursery,
) -> None:
    without, empty = Polled(), Polled(**STOP)
    keyless = Polled(**STOP, blind_sec=1000.0)
    off = Polled(**STOP, enabled=False)
    without.hold()
    keyless.hold()
    keyless.accounts.lose_keys("paper")
    for desk in (without, empty, keyless):
        desk.start(nursery)
    nursery.start_soon(off.poll.run)
    await trio.sleep(600)
    for desk in (without, empty, keyless, off):
        assert desk.paper.asked == desk.real.asked == []
    nursery.cancel_scope.cancel()


async def test_each_mode_of_a_row_is_asked_every_poll_sec(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP, poll_sec=3)
    desk.hold()
    desk.paper.holds = {"AAPL": "189"}
    desk.start(nursery)
    await trio.sleep(29)
    assert desk.paper.asked == pytest.approx([*range(0, 30, 3)])
    assert desk.real.asked == []
    nursery.cancel_scope.cancel()


async def test_a_stop_sells_by_two_polls_within_their_time(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP)
    desk.hold()
    desk.paper.holds = {"AAPL": "189"}
    desk.start(nursery)
    await trio.sleep(2.5)
    desk.paper.holds = {"AAPL": "180.10"}
    await trio.sleep(1.5)
    assert desk.reasons == []
    await trio.sleep(2.1)
    [(at, position, trigger)] = desk.seller.sells
    assert at - 2.5 <= 2 * 2 + 0.05
    assert (trigger.source, trigger.text[-7:]) == ("positions", "2 polls")
    assert (position.held, position.free) == ("0.533386947", Decimal("0.5"))
    nursery.cancel_scope.cancel()


async def test_what_is_free_takes_no_memory_where_it_is_all_of_a_row(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP)
    position = desk.hold(remaining=Decimal("0.5"), shares=Decimal("0.5")).position
    desk.paper.holds = {"AAPL": "189"}
    desk.start(nursery)
    await trio.sleep(2.5)
    assert position.free is position.remaining
    nursery.cancel_scope.cancel()


async def test_yesterdays_price_sells_nothing_in_the_morning(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP)
    desk.hold()
    desk.paper.holds = {"AAPL": "170"}
    desk.start(nursery)
    await trio.sleep(20)
    assert desk.reasons == []
    assert desk.monitor.passed_over == {"unmoved": 10}
    desk.paper.holds = {"AAPL": "170.01"}
    await trio.sleep(4.1)
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_a_price_that_stands_still_is_dated_by_a_snapshot(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP)
    desk.hold("AAPL", "MSFT")
    desk.paper.holds = {"AAPL": "170", "MSFT": "170"}
    desk.start(nursery)
    await trio.sleep(1)
    desk.paper.holds["MSFT"] = "170.01"
    await trio.sleep(39)
    assert desk.seconds == [["AAPL"]] * 3
    desk.market.close()
    await trio.sleep(100)
    assert desk.seconds == [["AAPL"]] * 3
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("why", ["closed", "no price rule", "stream"])
async def test_positions_are_compared_seldom_where_they_say_no_price(
    nursery: trio.Nursery, why: str
) -> None:
    keys = {"max_hold_duration_sec": 1e6} if why == "no price rule" else STOP
    desk = Polled(**keys, price_source="stream" if why == "stream" else "positions")
    desk.hold()
    if why == "closed":
        desk.market.close()
    desk.say(189)
    desk.start(nursery)
    for _ in range(200):
        if why == "stream":
            desk.say(189)
        await trio.sleep(1)
    assert desk.paper.pauses == [60, 60, 60]
    nursery.cancel_scope.cancel()


async def test_positions_stand_in_for_a_stream_that_says_nothing(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP, price_source="stream")
    desk.hold()
    desk.paper.holds = {"AAPL": "189"}
    desk.start(nursery)
    for _ in range(20):
        desk.say(189)
        await trio.sleep(1)
    asked = len(desk.paper.asked)
    await trio.sleep(20)
    desk.paper.holds = {"AAPL": "170"}
    await trio.sleep(6.1)
    assert len(desk.paper.asked) > asked + 4
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


async def test_a_slow_answer_makes_no_second_question(nursery: trio.Nursery) -> None:
    desk = Polled(**STOP)
    desk.hold()
    desk.paper.seconds = 5
    desk.start(nursery)
    await trio.sleep(29)
    assert desk.paper.pauses == [5] * 5
    nursery.cancel_scope.cancel()


async def test_a_row_that_is_bought_is_asked_for_at_once(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP)
    desk.start(nursery)
    await trio.sleep(100)
    desk.hold()
    desk.poll.look()
    await trio.sleep(0.1)
    assert desk.paper.asked == [100]
    nursery.cancel_scope.cancel()


async def test_what_was_asked_before_a_fill_says_nothing_of_what_is_free(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP)
    entry = desk.hold()
    desk.paper.holds = {"AAPL": "189"}
    desk.paper.seconds = 1
    desk.start(nursery)
    await trio.sleep(0.5)
    entry.change()
    await trio.sleep(1)
    assert entry.position.free is None
    await trio.sleep(2)
    assert entry.position.free == Decimal("0.5")
    nursery.cancel_scope.cancel()


async def test_a_row_of_another_mode_is_not_that_position(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP)
    entry = desk.hold(mode="live")
    desk.book.load([desk.row("MSFT")])
    desk.paper.holds = {"AAPL": "1", "MSFT": "189", "GME": "5", "KO": ""}
    desk.start(nursery)
    await trio.sleep(1)
    assert entry.position.held is None
    assert entry.prices.last is None
    nursery.cancel_scope.cancel()


async def test_a_price_that_jumps_is_asked_for_a_second_time(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP)
    desk.hold()
    desk.paper.holds = {"AAPL": "189"}
    desk.start(nursery)
    await trio.sleep(1.5)
    desk.paper.holds = {"AAPL": "188"}
    await trio.sleep(2)
    assert desk.seconds == []
    desk.paper.holds = {"AAPL": "120"}
    await trio.sleep(2)
    assert desk.seconds == [["AAPL"]]
    desk.say(121, source="snapshots")
    assert desk.reasons == [("AAPL", "stop_loss")]
    nursery.cancel_scope.cancel()


# Requests


async def test_who_follows_a_list_sees_it_before_its_prices_are_heard(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP)
    position = desk.hold().position

    class Split:
        async def seen(self, _mode: Mode, _positions: PositionList) -> None:
            position.rests = "its position looks split"

    desk.poll.follow(Split())
    desk.paper.holds = {"AAPL": "189"}
    desk.start(nursery)
    await trio.sleep(1)
    desk.paper.holds = {"AAPL": "90"}
    desk.say(90, source="snapshots")
    position.rests = None
    await trio.sleep(20)
    assert desk.reasons == []
    nursery.cancel_scope.cancel()


async def test_polls_take_what_orders_leave_and_none_of_recoverys(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Polled(per_minute=100, **STOP, blind_sec=1000.0)
    budget = desk.accounts.budget("paper")
    while budget.try_take(Purpose.ORDER):
        budget.finish(None)
    desk.hold()
    desk.start(nursery)
    await trio.sleep(30)
    assert desk.paper.asked == []
    recovered = 0
    while budget.try_take(Purpose.RECOVERY):
        budget.finish(None)
        recovered += 1
    assert recovered == 20
    await trio.sleep(60)
    assert desk.paper.asked
    [line] = warnings_of(caplog)
    assert "orders leave no requests for a poll of paper positions" in line
    nursery.cancel_scope.cancel()


async def test_polls_that_orders_crowd_out_are_a_warning_once(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Polled(per_minute=100, **STOP, blind_sec=1000.0)
    desk.hold()
    desk.start(nursery)
    budget = desk.accounts.budget("paper")
    for _ in range(300):
        while budget.try_take(Purpose.ORDER):
            budget.finish(None)
        await trio.sleep(1)
    assert warnings_of(caplog) == [
        "orders leave no requests for a poll of paper positions each 2 s: it comes less"
        " often, and its prices later; a greater poll_sec leaves more to orders"
    ]
    asked = len(desk.paper.asked)
    await trio.sleep(180)
    assert len(desk.paper.asked) - asked > 50
    nursery.cancel_scope.cancel()


async def test_150_buys_in_a_minute_before_the_first_poll_are_told_as_well(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Polled(**STOP, blind_sec=1000.0)
    budget = desk.accounts.budget("paper")
    for _ in range(150):  # of 200, with a fifth for recovery and a tenth for orders
        assert budget.try_take(Purpose.ORDER)
        budget.finish(None)
    desk.hold()
    desk.start(nursery)
    await trio.sleep(20)
    assert desk.paper.asked == [], "orders go first"
    [line] = warnings_of(caplog)
    assert "orders leave no requests for a poll of paper positions" in line
    await trio.sleep(60)
    assert len(desk.paper.asked) > 5
    nursery.cancel_scope.cancel()


async def test_a_low_limit_spreads_polls_over_the_minute(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(per_minute=20, **STOP)
    desk.hold()
    desk.start(nursery)
    desk.say(189)
    await trio.sleep(20)
    assert desk.paper.pauses == [pytest.approx(60 / 14, abs=0.1)] * 4
    nursery.cancel_scope.cancel()


# Faults


async def test_an_answer_that_is_none_is_a_warning_and_asked_again(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Polled(**STOP)
    desk.hold()
    desk.paper.script = [UnknownOutcomeError("no answer within 10 s")] * 5
    desk.start(nursery)
    await trio.sleep(20)
    assert desk.paper.pauses[:8] == [2] * 8
    assert warnings_of(caplog) == [
        "paper positions cannot be asked for: no answer within 10 s; rules go by what"
        " other sources say, if any does"
    ]
    assert len(desk.lists) >= 4
    nursery.cancel_scope.cancel()


async def test_an_account_that_says_no_is_asked_once_a_minute(
    nursery: trio.Nursery,
) -> None:
    desk = Polled(**STOP, blind_sec=1000.0)
    desk.hold()
    refused = RefusedError(status_code=401, body="", reason="unauthorized")
    desk.paper.script = [refused] * 2
    desk.start(nursery)
    await trio.sleep(130)
    assert desk.paper.pauses[:3] == [60, 60, 2]
    nursery.cancel_scope.cancel()


async def test_the_brokers_limit_is_kept(nursery: trio.Nursery) -> None:
    desk = Polled(**STOP)
    desk.hold()
    desk.paper.script = [RateLimitedError("429", wait_seconds=20.0)]
    desk.start(nursery)
    await trio.sleep(25)
    assert desk.paper.pauses[0] == pytest.approx(20, abs=2)
    nursery.cancel_scope.cancel()


async def test_sighup_holds_from_the_next_poll_on(nursery: trio.Nursery) -> None:
    desk = Polled(**STOP)
    desk.hold()
    desk.paper.holds = {"AAPL": "189"}
    desk.start(nursery)
    await trio.sleep(5)
    desk.live.now = make_settings()
    desk.poll.look()
    asked = len(desk.paper.asked)
    await trio.sleep(100)
    assert len(desk.paper.asked) == asked
    nursery.cancel_scope.cancel()

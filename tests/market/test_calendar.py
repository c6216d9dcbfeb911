"""Today's session: asked for once a day, and never taken for another day's."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from snexec.broker.calendar import TradingDay
from snexec.errors import RateLimitedError, UnknownOutcomeError
from snexec.market.calendar import SessionCalendar, TradingSession
from snexec.market.hours import MarketHours, View
from snexec.model import MODES
from tests.fakes import (
    FakeAccounts,
    FakeClock,
    live_settings,
    make_settings,
    warnings_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from snexec.model import Mode

pytestmark = pytest.mark.jumping_time

NEW_YORK = timezone(timedelta(hours=-5))
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=NEW_YORK)
OPENED_AT = datetime(2026, 1, 5, 9, 30, tzinfo=NEW_YORK).timestamp()


def trading_day(day: date, opens: time = time(9, 30)) -> TradingDay:
    return TradingDay(date=day, open=opens, close=time(16, 0))


@dataclass
class Bench:
    """A calendar, a clock that says what the test says, and a broker.

    Attributes:
        script: What the next questions are answered, then with the usual hours.
    """

    script: list[list[TradingDay] | Exception] = field(default_factory=list)
    asked: list[tuple[Mode, float, date]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.accounts = FakeAccounts(clock=FakeClock())
        self.hours = MarketHours(live_settings(make_settings()), self.accounts)
        self.calendar = SessionCalendar(self.hours, self.accounts, FakeClock())
        for mode, client in self.accounts.clients.items():
            self._answer(mode, client)

    def _answer(self, mode: Mode, client: object) -> None:
        async def trading_days(first: date, last: date) -> list[TradingDay]:
            assert first == last
            self.asked.append((mode, trio.current_time(), first))
            await trio.lowlevel.checkpoint()
            self.accounts.clients[mode].budget.finish(None)
            answer = self.script.pop(0) if self.script else [trading_day(first)]
            if isinstance(answer, Exception):
                raise answer
            return answer

        cast("Any", client).trading_days = trading_days

    def session(self) -> TradingSession | None:
        """Return the session that the clock speaks of, if it has said anything."""
        known = (self.hours.view(mode) for mode in MODES)
        view = next(filter(None, known), None)
        return None if view is None else self.calendar.session(view)

    def say(
        self,
        now: datetime = NOON,
        *,
        is_open: bool = True,
        mode: Mode = "paper",
        hours: float = 4,
    ) -> None:
        """Have the broker's clock say something."""
        change = now + timedelta(hours=hours)
        until = trio.current_time() + hours * 3600
        self.hours._views[mode] = View(is_open, until, change, now)
        self.hours._said.set()
        self.hours._said = trio.Event()


@pytest.fixture
async def bench(nursery: trio.Nursery) -> AsyncIterator[Bench]:
    made = Bench()
    nursery.start_soon(made.calendar.run)
    await trio.sleep(1)
    yield made
    nursery.cancel_scope.cancel()


async def test_nothing_is_asked_while_the_market_is_not_known_to_be_open(
    bench: Bench,
) -> None:
    await trio.sleep(10_000)
    assert bench.session() is None
    bench.say(is_open=False, hours=21.5)
    await trio.sleep(10_000)
    assert bench.session() == TradingSession(date(2026, 1, 6), None)
    assert bench.asked == []


async def test_todays_opening_is_asked_for_once(bench: Bench) -> None:
    bench.say()
    assert bench.session() == TradingSession(NOON.date(), None)
    await trio.sleep(1)
    for _ in range(3):
        assert bench.session() == TradingSession(NOON.date(), OPENED_AT)
        bench.say()
        await trio.sleep(100)
    assert [(mode, day) for mode, _at, day in bench.asked] == [("paper", NOON.date())]
    bench.say(NOON + timedelta(days=1))
    await trio.sleep(1)
    session = bench.session()
    assert session == TradingSession(date(2026, 1, 6), OPENED_AT + 86_400)
    assert len(bench.asked) == 2


async def test_the_market_is_the_same_whoevers_account_is_asked(bench: Bench) -> None:
    bench.say(mode="live")
    await trio.sleep(1)
    bench.say(mode="paper")
    await trio.sleep(1)
    assert bench.session() == TradingSession(NOON.date(), OPENED_AT)
    assert [mode for mode, _at, _day in bench.asked] == ["live"]


@pytest.mark.parametrize(
    "failure",
    [
        UnknownOutcomeError("no answer within 10 s"),
        RateLimitedError("429", wait_seconds=1),
    ],
)
async def test_it_is_asked_again_ever_less_often_where_it_is_not_known(
    bench: Bench, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    bench.script = [failure] * 5
    bench.say()
    await trio.sleep(200)
    starts = [at for _mode, at, _day in bench.asked]
    assert [round(at - starts[0]) for at in starts] == [0, 5, 15, 35, 75, 155]
    assert bench.session() == TradingSession(NOON.date(), OPENED_AT)
    assert "count from the first poll" in warnings_of(caplog)[0]


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [trading_day(date(2026, 1, 6))],
        [trading_day(NOON.date(), time(12, 30))],  # it is open already, says the clock
    ],
)
async def test_a_calendar_that_contradicts_the_clock_says_nothing(
    bench: Bench, answer: list[TradingDay]
) -> None:
    bench.script = [answer]
    bench.say()
    await trio.sleep(10_000)
    assert bench.session() == TradingSession(NOON.date(), None)
    assert len(bench.asked) == 1


async def test_a_clock_of_another_zone_dates_no_opening(bench: Bench) -> None:
    bench.say(NOON.astimezone(timezone(timedelta(hours=9))).replace(hour=12))
    await trio.sleep(1)
    session = bench.session()
    assert session is not None
    assert session.opened_at is None

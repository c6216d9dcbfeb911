"""The market's clock: asked only while it matters, and never taken for open."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from snexec.broker.answers import MarketTimes, read_market_times
from snexec.errors import RateLimitedError, RefusedError, UnknownOutcomeError
from snexec.market.hours import MarketHours
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

NOW = datetime(2026, 1, 5, 14, 0, tzinfo=UTC)


def times(seconds: float, *, is_open: bool) -> MarketTimes:
    change, other = NOW + timedelta(seconds=seconds), NOW + timedelta(days=1)
    opens, closes = (other, change) if is_open else (change, other)
    return MarketTimes(
        timestamp=NOW, is_open=is_open, next_open=opens, next_close=closes
    )


@dataclass
class Broker:
    """Answers with the script, then with what is usual."""

    script: list[MarketTimes | Exception] = field(default_factory=list)
    asked: list[tuple[Mode, float]] = field(default_factory=list)
    seconds: float = 0.1

    def client(self, accounts: FakeAccounts, mode: Mode) -> None:
        async def market_clock() -> MarketTimes:
            self.asked.append((mode, trio.current_time()))
            await trio.sleep(self.seconds)
            accounts.clients[mode].budget.finish(None)
            answer = self.script.pop(0) if self.script else times(1000, is_open=True)
            if isinstance(answer, Exception):
                raise answer
            return answer

        cast("Any", accounts.clients[mode]).market_clock = market_clock


class Bench:
    """A clock that runs, and the broker behind it."""

    def __init__(self) -> None:
        self.broker = Broker()
        self.live = live_settings(make_settings(bot={"require_market_open": True}))
        self.accounts = FakeAccounts(clock=FakeClock())
        self.broker.client(self.accounts, "paper")
        self.broker.client(self.accounts, "live")
        self.market = MarketHours(self.live, self.accounts)

    def change(self, mode: Mode = "paper", *, asked: bool = True) -> None:
        self.live.now = make_settings(mode=mode, bot={"require_market_open": asked})
        self.market.settings_changed()


@pytest.fixture
async def bench(nursery: trio.Nursery) -> AsyncIterator[Bench]:
    made = Bench()
    nursery.start_soon(made.market.run)
    yield made
    nursery.cancel_scope.cancel()


async def test_nobody_is_asked_while_the_limit_is_off(nursery: trio.Nursery) -> None:
    bench = Bench()
    bench.change(asked=False)
    nursery.start_soon(bench.market.run)
    await bench.market.wait_decided()
    await trio.sleep(80_000)
    assert bench.broker.asked == []
    assert bench.market.is_open("paper") is None
    bench.change(asked=True)
    await trio.sleep(1)
    assert bench.market.is_open("paper") is True
    nursery.cancel_scope.cancel()


async def test_nobody_is_asked_without_keys(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.accounts.lose_keys("paper")
    nursery.start_soon(bench.market.run)
    await bench.market.wait_decided()
    await trio.sleep(80_000)
    assert bench.broker.asked == []
    assert warnings_of(caplog) == []
    bench.change("live")
    await trio.sleep(1)
    assert bench.market.is_open("live") is True
    nursery.cancel_scope.cancel()


async def test_at_a_start_and_at_a_change_it_is_being_asked(bench: Bench) -> None:
    bench.broker.script = [times(600, is_open=True), times(5000, is_open=False)]
    assert bench.market.is_being_asked("paper")
    assert not bench.market.is_being_asked("live"), "nobody needs to know"
    await trio.sleep(1)
    assert not bench.market.is_being_asked("paper")
    await trio.sleep_until(600.05)
    assert bench.market.is_open("paper") is None
    assert bench.market.is_being_asked("paper")
    await trio.sleep(1)
    assert bench.market.is_open("paper") is False


async def test_it_is_asked_while_somebody_wants_to_know(
    nursery: trio.Nursery,
) -> None:
    bench = Bench()
    bench.change(asked=False)
    bench.broker.script = [times(10, is_open=False), times(600, is_open=True)]
    nursery.start_soon(bench.market.run)
    await trio.sleep(1)
    bench.market.want("paper")
    assert bench.market.is_being_asked("paper")
    await trio.sleep(5)
    assert bench.market.is_open("paper") is False
    bench.market.want("paper")
    await trio.sleep(6)
    assert bench.market.is_open("paper") is True
    await trio.sleep(80_000)
    assert len(bench.broker.asked) == 2, "nobody has wanted to know since"
    assert not bench.market.is_being_asked("paper")
    nursery.cancel_scope.cancel()


async def test_a_clock_that_does_not_answer_is_waited_for_once(bench: Bench) -> None:
    bench.broker.script = [UnknownOutcomeError("no answer within 10 s")] * 3
    await trio.sleep(0.2)
    assert not bench.market.is_being_asked("paper"), "nobody knows"
    await trio.sleep(60)
    assert bench.market.is_open("paper") is True


async def test_it_is_asked_once_until_its_own_next_change(bench: Bench) -> None:
    bench.broker.script = [times(600, is_open=True), times(5000, is_open=False)]
    assert bench.market.is_open("paper") is None
    await bench.market.wait_decided()
    assert bench.market.is_open("paper") is True
    await trio.sleep(599)
    assert bench.market.is_open("paper") is True
    await trio.sleep(0.95)  # at the change: unknown until the broker has said so
    assert bench.market.is_open("paper") is None
    await trio.sleep(0.2)
    assert bench.market.is_open("paper") is False
    await trio.sleep(4998)
    assert bench.market.is_open("paper") is False
    await trio.sleep(3)
    assert bench.market.is_open("paper") is True
    assert [round(at) for _mode, at in bench.broker.asked] == [0, 600, 5600]


async def test_the_age_counts_from_the_question(bench: Bench) -> None:
    bench.broker.seconds = 5
    bench.broker.script = [times(8, is_open=True)]
    await trio.sleep(7.9)
    assert bench.market.is_open("paper") is True
    await trio.sleep(0.2)
    assert bench.market.is_open("paper") is None


@pytest.mark.parametrize(
    "failure",
    [
        UnknownOutcomeError("no answer within 10 s"),
        RefusedError(status_code=401, body="", reason="unauthorized"),
        times(0, is_open=True),  # a change that is over is no news
        times(-60, is_open=True),
    ],
)
async def test_it_is_asked_again_ever_less_often_where_it_is_not_known(
    bench: Bench, failure: MarketTimes | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    bench.broker.script = [failure] * 8
    await trio.sleep(180)
    assert bench.market.is_open("paper") is None
    starts = [at for _mode, at in bench.broker.asked]
    assert [round(b - a - 0.1) for a, b in itertools.pairwise(starts)] == [
        *(1, 2, 4, 8, 16, 32, 60)
    ]
    assert len(warnings_of(caplog)) == 1
    await trio.sleep(60)
    assert bench.market.is_open("paper") is True


async def test_each_mode_has_its_own(bench: Bench) -> None:
    await trio.sleep(1)
    assert bench.market.is_open("live") is None
    bench.broker.script = [times(100, is_open=False)]
    bench.change(mode="live")
    await trio.sleep(1)
    assert bench.market.is_open("live") is False
    assert bench.market.is_open("paper") is True
    assert [mode for mode, _at in bench.broker.asked] == ["paper", "live"]


async def test_a_change_of_settings_does_not_wait_for_the_next_try(
    bench: Bench,
) -> None:
    bench.broker.script = [UnknownOutcomeError("x")] * 8
    await trio.sleep(130)  # a minute's pause by now
    before = len(bench.broker.asked)
    bench.change()
    await trio.sleep(1)
    assert len(bench.broker.asked) == before + 1


# Positions that are watched


async def test_what_is_watched_is_asked_for_in_each_mode_that_has_some(
    nursery: trio.Nursery,
) -> None:
    bench = Bench()
    bench.change(asked=False)
    nursery.start_soon(bench.market.run)
    await trio.sleep(1)
    assert bench.broker.asked == []
    bench.market.watch(["live"])
    await trio.sleep(1)
    assert [mode for mode, _at in bench.broker.asked] == ["live"]
    bench.market.watch(["live", "paper"])
    await trio.sleep(1)
    assert bench.market.is_open("paper") is bench.market.is_open("live") is True
    asked = len(bench.broker.asked)
    bench.market.watch(["paper", "live"])
    await trio.sleep(50)
    assert len(bench.broker.asked) == asked, "what is known is not asked again"
    bench.market.watch([])
    await trio.sleep(80_000)
    assert len(bench.broker.asked) == asked, "and nothing, once nothing is watched"
    nursery.cancel_scope.cancel()


async def test_a_close_before_its_time_is_known_within_a_minute_where_rows_are_watched(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.change(asked=False)
    bench.market.watch(["paper"])
    bench.broker.script = [times(5000, is_open=True), times(4940, is_open=True)]
    bench.broker.script += [UnknownOutcomeError("x"), times(70_000, is_open=False)]
    bench.broker.script += [times(4000, is_open=True)]
    nursery.start_soon(bench.market.run)
    await trio.sleep(179)
    assert bench.market.is_open("paper") is True, "one answer was lost"
    assert warnings_of(caplog) == []
    await trio.sleep(3)
    assert bench.market.is_open("paper") is False
    await trio.sleep(61)
    assert bench.market.is_open("paper") is True, "nor is an opening missed"
    assert [round(at) for _mode, at in bench.broker.asked] == [0, 60, 120, 180, 240]
    said = [each.getMessage() for each in caplog.records if each.name == "Market"]
    assert said == [
        "the market is open (paper), for another 1.4 h",
        "the market is closed (paper), for another 19.4 h",
        "the market is open (paper), for another 1.1 h",
    ]
    nursery.cancel_scope.cancel()


async def test_one_mode_that_does_not_answer_keeps_no_other_waiting(
    bench: Bench,
) -> None:
    await trio.sleep(1)
    bench.broker.script = [UnknownOutcomeError("x")] * 2
    bench.market.watch(["live"])
    await trio.sleep(0.5)
    assert bench.market.is_open("live") is None
    assert bench.market.is_open("paper") is True
    await trio.sleep(5)
    assert bench.market.is_open("live") is True


async def test_a_clock_that_is_not_known_says_what_waits_for_it(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.broker.script = [UnknownOutcomeError("x")]
    await trio.sleep(2)
    bench.broker.script = [UnknownOutcomeError("x")]
    bench.market.watch(["live"])
    await trio.sleep(0.5)
    assert [line.split("): ")[1] for line in warnings_of(caplog)] == [
        "signals are skipped as market_closed until it is",
        "no position is sold for its price until it is",
    ]


async def test_a_clock_that_lags_at_the_close_is_asked_again_and_sells_wait(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    over = times(0, is_open=True)
    bench.broker.script = [
        times(10, is_open=True),
        over,
        over,
        times(60, is_open=False),
    ]
    await trio.sleep(10.5)
    assert (bench.market.is_open("paper"), bench.market.is_being_asked("paper")) == (
        (None, True)
    )
    await trio.sleep(1)
    assert bench.market.is_open("paper") is False
    assert warnings_of(caplog) == []


async def test_a_clock_that_goes_on_lagging_is_not_known(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    over = times(0, is_open=True)
    bench.broker.script = [times(10, is_open=True), *[over] * 20]
    await trio.sleep(20)
    assert not bench.market.is_being_asked("paper")
    [warning] = warnings_of(caplog)
    assert "it says that its next change is over" in warning
    assert len(bench.broker.asked) < 15


async def test_a_clock_that_is_asked_for_a_sell_alone_keeps_nothing_waiting(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    bench.change(asked=False)
    bench.broker.script = [UnknownOutcomeError("x")]
    nursery.start_soon(bench.market.run)
    bench.market.want("paper")
    await trio.sleep(0.5)
    [warning] = warnings_of(caplog)
    assert warning.endswith("): sells under way keep to a usual day's hours")
    nursery.cancel_scope.cancel()


async def test_the_close_is_known_while_the_market_is_open(bench: Bench) -> None:
    bench.broker.script = [times(600, is_open=True), times(5000, is_open=False)]
    assert bench.market.seconds_to_close("paper") is None
    await trio.sleep(100)
    assert bench.market.seconds_to_close("paper") == pytest.approx(500)
    await trio.sleep(499)
    assert bench.market.seconds_to_close("paper") == pytest.approx(1)
    await trio.sleep(100)
    assert bench.market.is_open("paper") is False
    assert bench.market.seconds_to_close("paper") is None


async def test_whoever_waits_for_the_clock_hears_of_each_word(bench: Bench) -> None:
    bench.broker.script = [times(600, is_open=True), times(5000, is_open=False)]
    heard = []
    for _ in range(3):
        await bench.market.wait_said()
        heard.append(round(trio.current_time()))
    assert heard == [0, 600, 5600]


ANSWER = (
    b'{"timestamp":"2026-01-05T09:00:00.123456789-05:00","is_open":false,'
    b'"next_open":"2026-01-05T09:30:00-05:00","next_close":"2026-01-05T16:00:00-05:00"}'
)


async def test_the_brokers_answer_is_read() -> None:
    found = read_market_times(ANSWER)
    assert not found.is_open
    assert found.seconds_left == pytest.approx(1799.877, abs=0.001)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        ANSWER.replace(b"false", b'"false"'),
        ANSWER.replace(b"false", b"null"),
        ANSWER.replace(b"-05:00", b""),  # of no zone
        ANSWER.replace(b"2026-01-05T09:30:00-05:00", b"soon"),
        ANSWER.replace(b"timestamp", b"time"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_no_answer(answer: bytes) -> None:
    with pytest.raises(UnknownOutcomeError):
        read_market_times(answer)


async def test_a_rate_limit_of_one_account_keeps_nobody_from_asking_the_other(
    bench: Bench,
) -> None:
    bench.broker.script = [RateLimitedError("429", wait_seconds=1800)]
    await trio.sleep(20)
    bench.change("live")
    await trio.sleep(1)
    assert bench.market.is_open("live") is True
    assert [mode for mode, _at in bench.broker.asked] == ["paper", "live"]


async def test_what_was_known_before_a_gap_is_unknown_and_asked_anew(
    bench: Bench,
) -> None:
    bench.broker.script = [times(600, is_open=True), times(5000, is_open=False)]
    await bench.market.wait_decided()
    assert bench.market.is_open("paper") is True
    bench.market.forget()
    assert bench.market.is_open("paper") is None
    await trio.sleep(0.2)
    assert bench.market.is_open("paper") is False


async def test_what_was_asked_before_a_gap_is_asked_anew(bench: Bench) -> None:
    bench.broker.seconds = 5
    bench.broker.script = [times(600, is_open=True), times(5000, is_open=False)]
    await trio.sleep(4)
    bench.market.forget()
    await trio.sleep(2)
    assert bench.market.is_open("paper") is None
    await trio.sleep(5)
    assert bench.market.is_open("paper") is False

"""Whether a sell waits for its market, and until when (SPEC 12.5)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.exits.market_wait import MarketWait
from tests.exits.hands import make_position
from tests.fakes import FakeClock, FakeMarket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.jumping_time

NOON = datetime(2026, 1, 6, 17, tzinfo=UTC)  # of a Tuesday, in New York
NIGHT = datetime(2026, 1, 6, 5, tzinfo=UTC)
SHARE = make_position()
COIN = make_position("BTC/USD")


class Bench:
    """A market, and whoever waits for it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.market = FakeMarket()
        self.clock = FakeClock(NOON)
        self.wait = MarketWait(self.market, self.clock)
        self._over_at: float | None = None
        self._nursery = nursery

    def start(self, until: Callable[..., Awaitable[None]], *what: object) -> None:
        async def run() -> None:
            await until(*what)
            self._over_at = trio.current_time()

        self._nursery.start_soon(run)

    def over_at(self) -> float | None:
        """Return when the wait was over; None before."""
        return self._over_at


@pytest.fixture
def bench(nursery: trio.Nursery) -> Bench:
    return Bench(nursery)


@pytest.mark.parametrize(
    ("is_open", "is_asked", "has_to_wait"),
    [
        (True, False, False),
        (False, False, True),
        (None, False, False),
        (None, True, True),
    ],
    ids=["open", "closed", "nobody knows", "just asked"],
)
async def test_a_sell_of_shares_waits_while_the_market_is_closed_or_is_just_asked_for(
    bench: Bench, *, is_open: bool | None, is_asked: bool, has_to_wait: bool
) -> None:
    bench.market.open, bench.market.asks = is_open, is_asked
    assert bench.wait.has_to_wait(SHARE) is has_to_wait


async def test_what_an_earlier_run_left_waiting_leaves_on_the_clocks_word_alone(
    bench: Bench,
) -> None:
    bench.market.open = None
    assert bench.wait.has_to_wait(SHARE, was_left=True), "nobody knows"
    bench.start(partial(bench.wait.until_open, was_left=True), SHARE)
    await trio.sleep(100)
    assert bench.over_at() is None
    bench.market.open = True
    assert not bench.wait.has_to_wait(SHARE, was_left=True)
    await trio.sleep(1.5)
    assert bench.over_at() is not None


async def test_nothing_is_sold_at_night_where_nobody_knows_the_hours(
    bench: Bench,
) -> None:
    bench.market.open, bench.clock.moment = None, NIGHT
    assert bench.wait.has_to_wait(SHARE), "no market is open now"
    assert not bench.wait.has_to_wait(COIN)
    bench.start(bench.wait.until_open, SHARE)
    await trio.sleep(100)
    assert bench.over_at() is None
    bench.clock.moment = NOON
    await trio.sleep(1.5)
    assert bench.over_at() is not None


async def test_the_brokers_word_is_worth_more_than_a_usual_days_hours(
    bench: Bench,
) -> None:
    bench.market.open, bench.clock.moment = True, NIGHT
    assert not bench.wait.has_to_wait(SHARE)


async def test_coins_wait_for_no_market_and_ask_for_none(bench: Bench) -> None:
    bench.market.open, bench.market.asks = False, True
    assert not bench.wait.has_to_wait(COIN)
    await bench.wait.until_known(COIN)
    await bench.wait.until_open(COIN)
    assert trio.current_time() == 0
    assert bench.market.wanted == set()


async def test_the_hours_of_the_rows_own_account_are_asked_for(bench: Bench) -> None:
    bench.market.open = True
    await bench.wait.until_open(make_position(mode="live"))
    assert bench.market.wanted == {"live"}
    await bench.wait.until_known(SHARE)
    assert bench.market.wanted == {"live", "paper"}


async def test_who_waits_for_the_open_asks_for_the_hours_until_it_comes(
    bench: Bench,
) -> None:
    bench.market.open = False
    bench.start(bench.wait.until_open, SHARE)
    await trio.sleep(0.1)
    assert bench.market.wanted == {"paper"}
    await trio.sleep(100)
    assert bench.over_at() is None
    bench.market.wanted.clear()
    await trio.sleep(1.5)
    assert bench.market.wanted == {"paper"}, "it is forgotten unless it is asked for"
    bench.market.open = True
    await trio.sleep(1.5)
    assert bench.over_at() is not None


@pytest.mark.parametrize("is_open", [True, False, None])
async def test_who_waits_for_the_answer_goes_on_with_it_or_without_one(
    bench: Bench, *, is_open: bool | None
) -> None:
    bench.market.asks = True
    bench.start(bench.wait.until_known, SHARE)
    await trio.sleep(3)
    assert bench.over_at() is None
    bench.market.open, bench.market.asks = is_open, False
    await trio.sleep(1)
    assert (bench.over_at() or 9) <= 3.05, "the operator waits for it"

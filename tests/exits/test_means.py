"""What every way to closed asks: the market, how often it was tried, since when (SPEC 12.5)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from snexec.exits.means import Means
from tests.exits.hands import make_position
from tests.fakes import TrioClock

if TYPE_CHECKING:
    from snexec.ledger import Applied
    from snexec.model import Mode
    from snexec.reconciliation import Fate
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time

SHARE = make_position()
COIN = make_position("BTC/USD")


def make(rig: Rig) -> Means:
    return Means(
        *(rig.settings, rig.accounts, rig.ledger, rig.reconciler),
        *(rig.orders, rig.market, rig.feed),
    )


@pytest.fixture
def means(rig: Rig) -> Means:
    return make(rig)


class Bought:
    """What a fill did to a row."""

    def __init__(self, row_id: str = "sn-1", **changes: Any) -> None:  # noqa: ANN401 - by name
        self.trade_id = row_id
        self.outcome = "fill"
        self.changed = True
        self.settled = False
        self.__dict__.update(changes)


def bought(means: Means, row_id: str = "sn-1", **changes: Any) -> None:  # noqa: ANN401 - likewise
    means.bought(cast("Applied", Bought(row_id, **changes)))


# Patience


async def test_without_exits_close_is_as_patient_as_their_defaults(
    rig: Rig, means: Means
) -> None:
    assert means.settings.retry_max_sec == 300
    rig.set_exits(retry_max_sec=7)
    assert means.settings.retry_max_sec == 7


# The market


@pytest.mark.parametrize(
    ("is_open", "is_asked", "is_closed"),
    [
        (True, False, False),
        (False, False, True),
        (None, False, False),
        (None, True, True),
    ],
    ids=["open", "closed", "nobody knows", "just asked"],
)
async def test_a_sell_of_shares_waits_while_the_market_is_closed_or_is_just_asked_for(
    rig: Rig, means: Means, *, is_open: bool | None, is_asked: bool, is_closed: bool
) -> None:
    rig.market.open, rig.market.asks = is_open, is_asked
    assert means.is_market_closed(SHARE) is is_closed
    assert means.is_market_asked(SHARE) is is_asked


async def test_coins_wait_for_no_market_and_ask_for_none(
    rig: Rig, means: Means
) -> None:
    rig.market.open, rig.market.asks = False, True
    assert not means.is_market_closed(COIN)
    assert not means.is_market_asked(COIN)
    means.want_hours(COIN)
    assert rig.market.wanted == set()


async def test_the_hours_of_the_rows_own_account_are_asked_for(
    rig: Rig, means: Means
) -> None:
    means.want_hours(make_position(mode="live"))
    assert rig.market.wanted == {"live"}


async def test_who_waits_for_the_open_asks_for_the_hours_until_it_comes(
    rig: Rig, means: Means, nursery: trio.Nursery
) -> None:
    rig.market.open = False
    over = trio.Event()

    async def wait() -> None:
        await means.wait_for_open(SHARE)
        over.set()

    nursery.start_soon(wait)
    await trio.sleep(0.1)
    assert rig.market.wanted == {"paper"}
    await trio.sleep(100)
    assert not over.is_set()
    rig.market.wanted.clear()
    await trio.sleep(1.5)
    assert rig.market.wanted == {"paper"}, "it is forgotten unless it is asked for"
    rig.market.open = True
    await trio.sleep(1.5)
    assert over.is_set()


async def test_who_waits_for_orders_goes_on_once_halt_all_is_off(
    rig: Rig, means: Means, nursery: trio.Nursery
) -> None:
    assert means.orders is rig.orders
    rig.halt.all_on = rig.halt.on = True
    over = trio.Event()

    async def wait() -> None:
        await means.wait_for_orders()
        over.set()

    nursery.start_soon(wait)
    await trio.sleep(100)
    assert not over.is_set()
    rig.halt.all_on = False
    await trio.sleep(1.5)
    assert over.is_set(), "`halt` lets sells out"


# Fills


@pytest.mark.parametrize("outcome", ["fill", "partial_fill"])
async def test_a_row_was_bought_when_its_buy_was_filled_last(
    means: Means, outcome: str
) -> None:
    assert means.since_bought("sn-1") == math.inf
    for _ in range(2):
        await trio.sleep(10)
        bought(means, outcome=outcome)
    await trio.sleep(3)
    assert means.since_bought("sn-1") == 3
    assert means.since_bought("sn-2") == math.inf


@pytest.mark.parametrize("changes", [{"outcome": "canceled"}, {"changed": False}])
async def test_what_bought_nothing_new_is_no_fill(
    means: Means, changes: dict[str, Any]
) -> None:
    bought(means, **changes)
    assert means.since_bought("sn-1") == math.inf


async def test_of_very_many_fills_the_latest_are_remembered(means: Means) -> None:
    bought(means, "first")
    bought(means, "second")
    bought(means, "first")
    for number in range(2047):
        bought(means, f"sn-{number}")
    assert means.since_bought("second") == math.inf
    assert means.since_bought("first") == 0
    bought(means, "sn-2047")
    assert means.since_bought("first") == math.inf


async def test_whoever_waits_for_the_buy_to_end_hears_of_it(
    means: Means, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[object] = []
    monkeypatch.setattr(means.way, "heard_of_buy", heard.append)
    bought(means, outcome="canceled", changed=False)
    assert len(heard) == 1


# Tries


async def test_sells_and_stops_of_each_row_are_counted_apart(means: Means) -> None:
    means.tried("sn-1")
    means.tried("sn-1")
    means.tried("sn-2")
    means.stop_failed("sn-1")
    counted = [
        (means.tries(row), means.stop_failures(row)) for row in ("sn-1", "sn-2", "sn-3")
    ]
    assert counted == [(2, 1), (1, 0), (0, 0)]


async def test_an_earlier_run_has_tried_as_well(means: Means) -> None:
    means.load_tries({"sn-1": 19}, {"sn-2": 3})
    means.tried("sn-1")
    means.stop_failed("sn-2")
    assert (means.tries("sn-1"), means.stop_failures("sn-2")) == (20, 4)


@pytest.mark.parametrize(
    ("at", "next_day"),
    [
        (datetime(2026, 1, 6, 4, 59, tzinfo=UTC), datetime(2026, 1, 6, 5, tzinfo=UTC)),
        (datetime(2026, 7, 7, 3, 59, tzinfo=UTC), datetime(2026, 7, 7, 4, tzinfo=UTC)),
    ],
    ids=["winter", "summer"],
)
@pytest.mark.parametrize("reads", ["tries", "stop_failures"])
async def test_they_count_anew_with_each_day_of_new_york(
    rig: Rig, at: datetime, next_day: datetime, reads: str
) -> None:
    rig.ledger.clock = clock = TrioClock(at)
    means = make(rig)
    means.tried("sn-1")
    means.stop_failed("sn-1")
    await trio.sleep((next_day - at).total_seconds() - 1)
    assert (means.tries("sn-1"), means.stop_failures("sn-1")) == (1, 1)
    await trio.sleep(1)
    assert clock.now() == next_day
    assert getattr(means, reads)("sn-1") == 0
    assert (means.tries("sn-1"), means.stop_failures("sn-1")) == (0, 0)


async def test_the_first_try_of_a_day_is_not_counted_with_the_last_ones(
    rig: Rig,
) -> None:
    rig.ledger.clock = TrioClock(datetime(2026, 1, 6, 4, tzinfo=UTC))
    means = make(rig)
    means.tried("sn-1")
    means.stop_failed("sn-1")
    await trio.sleep(3600)
    means.tried("sn-1")
    assert means.tries("sn-1") == 1
    means.stop_failed("sn-1")
    assert means.stop_failures("sn-1") == 1


async def test_a_row_that_is_closed_is_forgotten(means: Means) -> None:
    bought(means)
    means.tried("sn-1")
    means.stop_failed("sn-1")
    means.closed("sn-1")
    assert means.tries("sn-1") == means.stop_failures("sn-1") == 0
    assert means.since_bought("sn-1") == math.inf
    means.closed("sn-1")


class Guard:
    """Knows one rule that is set, and is asked about one stop."""

    def __init__(self) -> None:
        self.looks: list[Mode] = []

    def is_set(self, reason: str) -> bool:
        return reason == "stop_loss"

    def still_holds(self, row_id: str, reason: str) -> bool | None:
        return reason == "stop_loss" and row_id == "sn-1"

    def fate(self, exit_id: str) -> Fate:
        return "send" if exit_id == "sn-1-s1" else "wait"

    def look_now(self, mode: Mode) -> None:
        self.looks.append(mode)


async def test_a_reason_is_set_while_its_rule_is_or_nobody_has_rules(
    means: Means,
) -> None:
    assert means.is_set("max_hold")
    means.guard_by(Guard())
    assert (means.is_set("stop_loss"), means.is_set("max_hold")) == (True, False)


async def test_without_a_guard_no_rule_holds_no_stop_is_sent_and_nobody_looks(
    means: Means,
) -> None:
    assert means.still_holds("sn-1", "manual")
    assert not means.still_holds("sn-1", "stop_loss")
    assert means.fate_of_stop("sn-1-s1") == "drop"
    means.look_outside("paper")
    means.guard_by(guard := Guard())
    assert means.still_holds("sn-1", "stop_loss")
    assert not means.still_holds("sn-1", "max_hold")
    assert means.still_holds("sn-2", "manual")
    assert (means.fate_of_stop("sn-1-s1"), means.fate_of_stop("sn-1-s2")) == (
        *("send", "wait"),
    )
    means.look_outside("live")
    assert guard.looks == ["live"]

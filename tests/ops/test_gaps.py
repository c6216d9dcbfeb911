"""A gap is noticed within a second, and what was true before it is asked anew."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from snexec.broker.budget import Purpose
from snexec.intake.unread import Source
from snexec.ops.gaps import Gaps
from tests.fakes import (
    FakeClock,
    Rig,
    make_settings,
    make_signal,
    make_trade,
    symbols_ordered,
    warnings_of,
)
from tests.input_helpers import open_pipe
from tests.ops.bench import make_wings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from snexec.ledger.store import Store

pytestmark = pytest.mark.frozen_time

ASKED_ANEW = (
    ": signals from before are not traded; the market's clock, the trading stream,"
    " connections and unsettled orders (1) are asked anew"
)
HOURS = 3600.0


@dataclass
class Watch:
    """A daemon's wings on clocks that are driven by hand, and what they were told."""

    rig: Rig
    wall: FakeClock
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wings = make_wings(self.rig)
        self.gaps = Gaps(self.wings, self.wall)

    def note(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Note what is asked anew, in place of doing it."""
        for name, owner, method in (
            ("market", self.wings.market, "forget"),
            ("stream", self.wings.stream, "restart"),
        ):
            monkeypatch.setattr(owner, method, lambda name=name: self.told.append(name))

    async def passes(self, *, trio_seconds: float, wall_seconds: float) -> None:
        """Let time pass in which nothing runs, and a look come after it."""
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        self.wall.advance(wall_seconds)
        clock.jump(trio_seconds)
        await wait_all_tasks_blocked()


@pytest.fixture
async def watch(
    store: Store,
    clock: FakeClock,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Watch]:
    made = Watch(Rig(config=make_settings(), clock=clock, store=store), clock)
    made.note(monkeypatch)
    trade = make_trade()
    made.rig.open_row(trade, order_id="o-1")
    made.rig.unsettled.placed(trade, order_id="o-1")
    nursery.start_soon(made.gaps.run)
    await wait_all_tasks_blocked()
    yield made
    nursery.cancel_scope.cancel()


def due_in(watch: Watch) -> float:
    (order,) = watch.rig.unsettled
    return order.due - trio.current_time()


async def test_after_sleep_all_is_asked_anew_with_one_line(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await watch.passes(trio_seconds=8 * HOURS, wall_seconds=8 * HOURS)

    assert watch.told == ["market", "stream"]
    assert watch.rig.paper.renewed == watch.rig.live.renewed == 1
    assert due_in(watch) <= 0
    assert warnings_of(caplog) == [
        f"the machine slept, or this process stood still, for 28800 s{ASKED_ANEW}"
    ]
    await watch.passes(trio_seconds=1, wall_seconds=1)
    assert len(watch.told) == 2, "once for each gap"


async def test_a_paused_machine_shows_by_the_wall_clock_alone(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    read_at = trio.current_time()
    await watch.passes(trio_seconds=1, wall_seconds=601)

    assert watch.told == ["market", "stream"]
    assert due_in(watch) == 0
    assert watch.rig.orders.freshness.is_stale(read_at)
    assert warnings_of(caplog) == [
        "the machine's clock jumped ahead by 600 s (the machine was paused, or its clock"
        f" was set){ASKED_ANEW}"
    ]


@pytest.mark.parametrize(
    ("trio_seconds", "wall_seconds"),
    [(1, 1), (31, 31), (1, 31), (1, -600), (31, -600), (1, 0)],
)
async def test_what_is_no_gap_changes_nothing(
    watch: Watch,
    caplog: pytest.LogCaptureFixture,
    trio_seconds: float,
    wall_seconds: float,
) -> None:
    before = due_in(watch)
    await watch.passes(trio_seconds=trio_seconds, wall_seconds=wall_seconds)

    assert watch.told == []
    assert due_in(watch) == before - trio_seconds
    assert not watch.rig.orders.freshness.is_stale(trio.current_time())
    assert warnings_of(caplog) == []


async def test_a_pause_ages_the_rate_budget_by_as_much(watch: Watch) -> None:
    budget = watch.rig.accounts.budget("paper")
    while budget.try_take(Purpose.START):
        budget.finish(None)
    budget.block(45)
    await watch.passes(trio_seconds=1, wall_seconds=41)
    assert budget.left == 0, "40 seconds are not yet a minute"
    assert budget.seconds_until(Purpose.RECOVERY) == pytest.approx(19, abs=0.1)

    await watch.passes(trio_seconds=1, wall_seconds=8 * HOURS)
    assert budget.left == 200


@pytest.mark.parametrize(
    ("trio_seconds", "wall_seconds"), [(1, 601), (601, 601), (20, 20)]
)
async def test_what_lies_unread_in_a_gap_or_a_pause_is_from_before_it(
    watch: Watch, trio_seconds: float, wall_seconds: float
) -> None:
    freshness = watch.rig.orders.freshness
    with (
        open_pipe() as (read_end, write_end),
        Source(watch.rig.intake.unread, read_end) as source,
    ):
        began = trio.current_time()
        os.write(write_end, b"old")
        await watch.passes(trio_seconds=trio_seconds, wall_seconds=wall_seconds)
        old = source.read_at(3)
        await watch.passes(trio_seconds=1, wall_seconds=1)
        assert not freshness.is_stale(source.read_at(3))
    if wall_seconds < freshness.max_age_seconds:
        assert (old, freshness.is_stale(old)) == (began, False), "a short one: it ages"
    else:
        assert freshness.is_stale(old)
        assert freshness.is_from_before_a_gap(old)


async def test_signals_that_wait_through_a_pause_are_not_ordered(
    watch: Watch, nursery: trio.Nursery
) -> None:
    rig = watch.rig
    rig.set_bot(require_market_open=True)
    rig.market.open = None  # as it is asked anew
    rig.offer(make_signal("AAPL"))  # it waits, as no order is begun yet
    await watch.passes(trio_seconds=1, wall_seconds=601)
    nursery.start_soon(rig.orders.run)
    await wait_all_tasks_blocked()

    assert rig.told("skipped") == [("skipped", "stale")]
    await watch.passes(trio_seconds=1, wall_seconds=1)
    rig.market.open = True
    rig.offer(make_signal("MSFT"))
    await wait_all_tasks_blocked()
    assert symbols_ordered(rig) == ["MSFT"]

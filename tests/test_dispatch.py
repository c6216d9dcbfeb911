"""Which signal becomes an order, and when."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.budget import Purpose
from snexec.executor import TradeExecutor
from snexec.writer import Writer
from tests.fakes import (
    Rig,
    make_signal,
    symbols_ordered,
    warnings_of,
)
from tests.input_helpers import signal_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time


# Signals that are not traded


@pytest.mark.parametrize(
    ("bot", "signal", "reason"),
    [
        ({"enabled": False}, {}, "disabled"),
        ({"enabled": False, "state": "paused"}, {}, "disabled"),
        ({"state": "paused"}, {}, "paused"),
        ({"state": "stopped"}, {}, "stopped"),
        ({}, {"catalystTier": 3, "aiConfidence": None}, "no_stars"),
        ({}, {"catalystTier": 4, "aiConfidence": None}, "no_stars"),
    ],
)
async def test_a_skipped_signal_is_a_debug_line_a_counter_and_no_row(
    make_rig: Callable[..., Rig],
    caplog: pytest.LogCaptureFixture,
    bot: dict[str, object],
    signal: dict[str, Any],
    reason: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    rig = make_rig(bot=bot)
    await rig.trade(make_signal(id="n-1", **signal))
    assert rig.rows() == {}
    assert rig.paper.requests == []
    assert rig.writer.writes == 0
    assert dict(rig.executor.skipped) == {reason: 1}
    assert rig.told() == [("skipped", reason)]
    assert (rig.events[0].signal_id, rig.events[0].sequence) == ("n-1", 1)
    (record,) = [r for r in caplog.records if r.name == "TradeExecutor"]
    assert record.levelno == logging.DEBUG
    assert rig.intake.pending == 0


async def test_changed_bot_values_hold_from_the_next_signal_on(rig: Rig) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        rig.offer(make_signal("A"))
        await wait_all_tasks_blocked()
        rig.set_bot(trade_size_stars5=Decimal("33.339"))
        rig.offer(make_signal("B"))
        await wait_all_tasks_blocked()
        rig.set_bot(state="paused")
        rig.offer(make_signal("C"))
        await wait_all_tasks_blocked()
        rig.set_bot(state="running")
        rig.offer(make_signal("D"))
        await wait_all_tasks_blocked()
        rig.intake.close()
    ordered = [(r.symbol, r.notional) for r in rig.paper.requests]
    assert ordered == [("A", "100.00"), ("B", "33.33"), ("D", "33.33")]


async def test_what_still_waits_when_time_is_up_is_told(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.offer(make_signal("A", id="n-1"), make_signal("B"))
    rig.dispatcher.skip_pending()
    assert rig.told() == [("skipped", "stopping")] * 2
    assert warnings_of(caplog) == [
        "A signal=n-1 is not traded: the daemon stops",
        "B signal=None is not traded: the daemon stops",
    ]
    assert rig.intake.pending == 0


async def test_the_signal_whose_turn_it_was_when_time_is_up_is_told_too(
    rig: Rig,
) -> None:
    while rig.paper.budget.try_take(Purpose.START):
        pass
    rig.offer(make_signal("A", id="n-1"), make_signal("B"))
    with trio.move_on_after(1):
        await rig.dispatcher.run()
    rig.dispatcher.skip_pending()
    assert rig.told() == [("skipped", "stopping")] * 2
    assert rig.intake.pending == 0


# In the step that reads the line


def take(rig: Rig, symbol: str) -> None:
    """Have the intake take a signal's line."""
    answer = rig.intake.take(
        signal_line(symbol=symbol, id=symbol), read_at=trio.current_time()
    )
    assert answer.status == "accepted"


async def test_a_lone_signal_is_an_order_in_the_step_that_reads_it(rig: Rig) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        take(rig, "A")
        assert (rig.dispatcher.in_flight, rig.intake.pending) == (1, 0)
        rig.intake.close()
    assert symbols_ordered(rig) == ["A"]


async def test_a_signal_overtakes_none_that_waits(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    rig.paper.seconds = 1
    names = [f"S{n}" for n in range(5)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        for name in names:
            take(rig, name)
            await trio.sleep(0.5)
        rig.intake.close()
    assert symbols_ordered(rig) == names


async def test_no_order_begins_before_recovery_is_done(rig: Rig) -> None:
    take(rig, "A")
    assert (rig.dispatcher.in_flight, rig.intake.pending) == (0, 1)
    rig.intake.close()
    await rig.dispatcher.run()
    assert symbols_ordered(rig) == ["A"]


async def test_what_may_not_trade_is_skipped_behind_its_answer(rig: Rig) -> None:
    rig.set_bot(state="paused")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        take(rig, "A")
        assert rig.told() == []
        rig.intake.close()
    assert rig.told() == [("skipped", "paused")]


async def test_a_slot_is_free_once_the_broker_has_taken_the_order(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    put_down = trio.Event()
    accepted = TradeExecutor._accepted

    async def slowly(self: TradeExecutor, *args: Any) -> None:  # noqa: ANN401
        await put_down.wait()
        await accepted(self, *args)

    monkeypatch.setattr(TradeExecutor, "_accepted", slowly)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        take(rig, "A")
        take(rig, "B")
        await wait_all_tasks_blocked()
        assert symbols_ordered(rig) == ["A", "B"]
        assert rig.dispatcher.in_flight == 0
        put_down.set()
        rig.intake.close()
    assert rig.executor.outcomes["placed"] == 2


async def test_a_slot_stays_taken_while_the_writer_is_behind(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    monkeypatch.setattr(Writer, "is_behind", True)
    put_down = trio.Event()
    accepted = TradeExecutor._accepted

    async def slowly(self: TradeExecutor, *args: Any) -> None:  # noqa: ANN401
        await put_down.wait()
        await accepted(self, *args)

    monkeypatch.setattr(TradeExecutor, "_accepted", slowly)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        take(rig, "A")
        take(rig, "B")
        await wait_all_tasks_blocked()
        assert symbols_ordered(rig) == ["A"]
        put_down.set()
        rig.intake.close()
    assert symbols_ordered(rig) == ["A", "B"]


# Waiting for a turn


async def test_orders_wait_for_a_slot_in_their_order(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(intake={"max_in_flight": 2})
    rig.paper.seconds = 3
    names = [f"S{n}" for n in range(7)]
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, rig.dispatcher.in_flight)
            await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await rig.trade(*map(make_signal, names))
        nursery.cancel_scope.cancel()
    assert symbols_ordered(rig) == names
    assert [r.at for r in rig.paper.requests] == [0, 0, 3, 3, 6, 6, 9]
    assert most == 2


async def test_orders_wait_for_the_rate_limit_in_their_order_and_as_pending(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(
        alpaca={"rate_limit_per_min": 10}, intake={"max_signal_age_sec": 300}
    )
    names = [f"S{n}" for n in range(20)]
    rig.offer(*map(make_signal, names))
    rig.intake.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await trio.sleep(1)
        assert (rig.dispatcher.in_flight, rig.intake.pending) == (0, 12)
    assert symbols_ordered(rig) == names
    assert [round(r.at) for r in rig.paper.requests] == [0] * 8 + [60] * 8 + [120] * 4


async def test_a_signal_too_old_for_its_slot_is_not_traded(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = make_rig(intake={"max_in_flight": 1, "max_signal_age_sec": 5.0})
    rig.paper.seconds = 3
    await rig.trade(*(make_signal(f"S{n}", id=f"n-{n}") for n in range(4)))
    assert symbols_ordered(rig) == ["S0", "S1"]
    assert {row["symbol"] for row in rig.rows().values()} == {"S0", "S1"}
    assert dict(rig.executor.skipped) == {"stale": 2}
    assert warnings_of(caplog) == [
        f"S{n} signal=n-{n} is not traded: it is older than 5 s (it waited too long"
        " for its turn)"
        for n in (2, 3)
    ]


async def test_an_age_of_exactly_the_limit_is_fresh(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(intake={"max_in_flight": 1, "max_signal_age_sec": 3.0})
    rig.paper.seconds = 3
    await rig.trade(make_signal("A"), make_signal("B"), make_signal("C"))
    assert symbols_ordered(rig) == ["A", "B"]


# The mode


async def test_who_waits_for_one_modes_budget_goes_with_the_new_mode(rig: Rig) -> None:
    rig.paper.budget.block(25)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        rig.offer(make_signal("A"))
        await trio.sleep(3.5)
        rig.set_mode("live")
        await trio.sleep(2)
        rig.intake.close()
    (request,) = rig.live.requests
    assert 3.5 <= request.at <= 4.5
    assert rig.paper.requests == []


# Faults


async def test_a_slot_is_free_again_after_a_fault(
    make_rig: Callable[..., Rig], logged_errors: LoggedErrors
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    rig.paper.placing.extend([ZeroDivisionError()] * 3)
    await rig.trade(*(make_signal(f"S{n}") for n in range(4)))
    assert len(rig.paper.asked("place")) == 4
    assert len(logged_errors.take()) == 3

"""Which signal becomes an order, and when."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.broker.budget import Purpose
from snexec.errors import NotSentError, RateLimitedError, RefusedError
from snexec.ledger.writer import Writer
from snexec.orders import acks as acks_module
from tests.fakes import (
    InlineWriter,
    Request,
    Rig,
    UnreadableError,
    make_signal,
    symbols_ordered,
    warnings_of,
)
from tests.input_helpers import signal_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker.answers import BrokerOrder
    from snexec.events import Event
    from snexec.latency import Times
    from snexec.model import Mode
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
    assert dict(rig.skips.counts) == {reason: 1}
    assert rig.told() == [("skipped", reason)]
    assert (rig.events[0].signal_id, rig.events[0].sequence) == ("n-1", 1)
    (record,) = [r for r in caplog.records if r.name == "TradeExecutor"]
    assert record.levelno == logging.DEBUG
    assert rig.pending == 0


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
        rig.orders.close()
    ordered = [(r.symbol, r.notional) for r in rig.paper.requests]
    assert ordered == [("A", "100.00"), ("B", "33.33"), ("D", "33.33")]


async def test_what_still_waits_when_time_is_up_is_told(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.offer(make_signal("A", id="n-1"), make_signal("B"))
    rig.orders.drop_pending()
    assert rig.told() == [("skipped", "stopping")] * 2
    assert warnings_of(caplog) == [
        "A signal=n-1 is not traded: the daemon stops",
        "B signal=None is not traded: the daemon stops",
    ]
    assert rig.pending == 0


async def test_the_signal_whose_turn_it_was_when_time_is_up_is_told_too(
    rig: Rig,
) -> None:
    while rig.paper.budget.try_take(Purpose.START):
        pass
    rig.offer(make_signal("A", id="n-1"), make_signal("B"))
    with trio.move_on_after(1):
        await rig.dispatcher.run()
    rig.orders.drop_pending()
    assert rig.told() == [("skipped", "stopping")] * 2
    assert rig.pending == 0


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
        assert (rig.dispatcher.in_flight, rig.pending) == (1, 0)
        rig.orders.close()
    assert symbols_ordered(rig) == ["A"]


async def test_no_slot_is_lost_where_the_rate_limit_has_no_request_left(
    rig: Rig,
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        slots = rig.dispatcher._slots.value
        while rig.paper.budget.try_take(Purpose.START):
            pass
        for number in range(3):
            take(rig, f"A{number}")
            rig.orders.drop_pending()
        # The first of them waits for the limit with a slot of its own.
        await wait_all_tasks_blocked()
        assert rig.dispatcher._slots.value >= slots - 1
        nursery.cancel_scope.cancel()
    assert rig.rows() == {}


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
        rig.orders.close()
    assert symbols_ordered(rig) == names


async def test_no_order_begins_before_recovery_is_done(rig: Rig) -> None:
    take(rig, "A")
    assert (rig.dispatcher.in_flight, rig.pending) == (0, 1)
    rig.orders.close()
    await rig.dispatcher.run()
    assert symbols_ordered(rig) == ["A"]


async def test_what_may_not_trade_is_skipped_behind_its_answer(rig: Rig) -> None:
    rig.set_bot(state="paused")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        take(rig, "A")
        assert rig.told() == []
        rig.orders.close()
    assert rig.told() == [("skipped", "paused")]


@pytest.fixture
def put_down(monkeypatch: pytest.MonkeyPatch) -> trio.Event:
    """Give an event that acceptances wait for before they are durable."""
    event = trio.Event()
    put = InlineWriter.put

    def later(self: InlineWriter, *arguments: Any) -> None:  # noqa: ANN401
        async def apply() -> None:
            await event.wait()
            put(self, *arguments)

        trio.lowlevel.spawn_system_task(apply)

    monkeypatch.setattr(InlineWriter, "put", later)
    return event


async def test_a_slot_is_free_once_the_broker_has_taken_the_order(
    make_rig: Callable[..., Rig], put_down: trio.Event
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        take(rig, "A")
        take(rig, "B")
        await wait_all_tasks_blocked()
        assert symbols_ordered(rig) == ["A", "B"]
        assert rig.dispatcher.in_flight == 0
        put_down.set()
        rig.orders.close()
    assert rig.outcomes.counts["placed"] == 2


async def test_a_slot_stays_taken_while_the_writer_is_behind(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch, put_down: trio.Event
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    monkeypatch.setattr(Writer, "is_behind", True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        take(rig, "A")
        take(rig, "B")
        await wait_all_tasks_blocked()
        assert symbols_ordered(rig) == ["A"]
        put_down.set()
        rig.orders.close()
    assert symbols_ordered(rig) == ["A", "B"]


# Orders that leave go before answers that came


def times_of(rig: Rig, name: str) -> dict[str | None, float]:
    """Note when each symbol has an event of this name."""
    times: dict[str | None, float] = {}

    def note(event: Event) -> None:
        if event.event == name:
            times[event.symbol] = trio.current_time()

    rig.feed.follow(note)
    return times


async def test_an_answer_is_put_down_behind_the_orders_that_leave(rig: Rig) -> None:
    rig.writer.delay_seconds = 0.1
    placed = times_of(rig, "placed")
    await rig.trade(*map(make_signal, "ABC"))
    left = {request.symbol: request.at for request in rig.paper.requests}
    assert left == pytest.approx({"A": 0.1, "B": 0.2, "C": 0.3})
    assert placed == pytest.approx(dict.fromkeys("ABC", 0.3 + 0.005 + 0.1))


async def test_answers_wait_also_between_the_turns_of_a_burst(rig: Rig) -> None:
    rig.paper.seconds = 0.001
    placed = times_of(rig, "placed")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        for turn in ("AB", "CD", "EF"):
            for symbol in turn:
                take(rig, symbol)
            await trio.sleep(0.004)
        rig.orders.close()
    assert placed == pytest.approx(dict.fromkeys("ABCDEF", 0.008 + 0.005))


async def test_orders_that_come_one_by_one_are_put_down_one_by_one(rig: Rig) -> None:
    rig.paper.seconds = 0.001
    placed = times_of(rig, "placed")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        for symbol in "ABC":
            take(rig, symbol)
            await trio.sleep(0.002)
        rig.orders.close()
    assert placed == pytest.approx({"A": 0.001, "B": 0.003, "C": 0.005})


async def test_an_answer_waits_for_others_no_longer_than_half_a_second(
    rig: Rig,
) -> None:
    rig.writer.delay_seconds = 0.1
    placed = times_of(rig, "placed")
    await rig.trade(*(make_signal(f"S{n}") for n in range(20)))
    assert placed["S0"] == pytest.approx(0.1 + 0.5 + 0.1)
    assert placed["S5"] == pytest.approx(0.6 + 0.5 + 0.1)
    assert placed["S19"] == pytest.approx(2.0 + 0.005 + 0.1)


async def test_a_refusal_is_put_down_before_others_leave(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    rig.writer.delay_seconds = 0.1
    rig.paper.placing.append(RefusedError(status_code=403, body="{}", reason="no"))
    refused = times_of(rig, "refused")
    await rig.trade(*map(make_signal, "ABCDE"))
    assert refused == pytest.approx({"A": 0.1 + 0.1})
    assert len(logged_errors.take()) == 1


async def test_an_order_that_was_taken_with_unreadable_words_is_looked_up(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    rig.paper.placing.append(UnreadableError("the answer cannot be read"))
    await rig.trade(make_signal("A"), make_signal("B"))
    assert dict(rig.outcomes.counts) == {"unknown": 1, "placed": 1}
    assert len(rig.unsettled) == 2
    assert rig.accounts.leased["paper"] == rig.dispatcher.in_flight == 0


async def test_more_answers_than_may_wait_are_put_down_while_orders_leave(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks_module, "_MOST_WAITING", 3)
    rig.writer.delay_seconds = 0.1
    placed = times_of(rig, "placed")
    await rig.trade(*(make_signal(f"S{n}") for n in range(8)))
    assert placed["S0"] == pytest.approx(0.4 + 0.1)


async def test_an_order_keeps_its_slot_while_it_waits_after_a_429(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    rig.paper.placing.append(RateLimitedError("slow down", wait_seconds=2.0))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        rig.offer(*map(make_signal, "ABC"))
        await trio.sleep(1)
        assert symbols_ordered(rig) == ["A"]
        assert rig.dispatcher.in_flight == 1
        rig.orders.close()
    assert symbols_ordered(rig) == ["A", "A", "B", "C"]


async def test_a_late_answer_of_a_quiet_hour_is_put_down_at_once(rig: Rig) -> None:
    rig.paper.seconds = 3
    placed = times_of(rig, "placed")
    await rig.trade(make_signal("A"))
    assert placed == {"A": 3}


async def test_answers_that_wait_when_time_is_up_are_put_down(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rig.writer.delay_seconds = 0.1
    rig.offer(*map(make_signal, "ABC"))
    with trio.move_on_after(0.25):
        await rig.dispatcher.run()
    placed = [m for m in caplog.messages if m.startswith("Order placed")]
    assert len(placed) == 2
    assert warnings_of(caplog) == ["C signal=None is not traded: the daemon stops"]
    assert rig.accounts.leased["paper"] == rig.dispatcher.in_flight == 0


async def test_a_row_that_was_given_up_before_it_was_written_never_is(
    rig: Rig,
) -> None:
    rig.writer.gate = trio.Event()
    with trio.move_on_after(1):
        await rig.trade(make_signal("A"))
    rig.writer.gate.set()
    await wait_all_tasks_blocked()
    assert rig.rows() == {}
    assert rig.told() == [("skipped", "stopping")]
    assert rig.accounts.leased["paper"] == rig.dispatcher.in_flight == 0
    assert rig.paper.requests == []
    assert rig.paper.budget._in_flight == 0


async def test_an_order_under_way_when_time_is_up_is_waited_for_no_longer(
    rig: Rig,
) -> None:
    rig.paper.seconds = 30
    with trio.move_on_after(1):
        await rig.trade(make_signal("A"), make_signal("B"))
    assert trio.current_time() == 1
    assert rig.accounts.leased["paper"] == rig.dispatcher.in_flight == 0
    assert {row["status"] for row in rig.rows().values()} == {"open"}
    await wait_all_tasks_blocked()
    assert rig.paper.budget._in_flight == 0


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
    rig.orders.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await trio.sleep(1)
        assert (rig.dispatcher.in_flight, rig.pending) == (0, 12)
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
    assert dict(rig.skips.counts) == {"stale": 2}
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


async def test_who_waits_for_the_budget_of_a_mode_that_ends_buys_in_none(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.paper.budget.block(25)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        rig.offer(make_signal("A", id="n-1"), make_signal("B"))
        await trio.sleep(3.5)
        rig.set_mode("live")
        rig.offer(make_signal("C"))
        await trio.sleep(1)
        assert [r.symbol for r in rig.live.requests] == ["C"], "those held up nobody"
        rig.orders.close()
    assert rig.paper.requests == []
    assert rig.told("skipped") == [("skipped", "mode_changed")] * 2
    assert dict(rig.skips.counts) == {"mode_changed": 2}
    assert [row["symbol"] for row in rig.rows().values()] == ["C"]
    assert warnings_of(caplog)[0] == (
        "A signal=n-1 is not traded: it was taken in paper, before the mode changed"
    )


async def test_who_waits_for_a_slot_buys_in_no_mode_but_its_own(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    rig.paper.seconds = 3
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        take(rig, "A")
        take(rig, "B")
        await wait_all_tasks_blocked()
        rig.set_mode("live")
        take(rig, "C")
        rig.orders.close()
    assert symbols_ordered(rig) == ["A"], "it was on the wire"
    assert [r.symbol for r in rig.live.requests] == ["C"]
    assert rig.told("skipped") == [("skipped", "mode_changed")]


async def test_who_waits_while_the_mode_goes_and_comes_back_is_left_behind(
    rig: Rig,
) -> None:
    rig.paper.budget.block(10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        take(rig, "A")
        rig.set_mode("live")
        rig.set_mode("paper")
        take(rig, "B")
        rig.orders.close()
    assert symbols_ordered(rig) == ["B"]
    assert rig.told("skipped") == [("skipped", "mode_changed")]


async def test_who_waits_for_the_start_is_left_behind_by_a_change_of_mode(
    rig: Rig,
) -> None:
    take(rig, "A")  # as standard input does before the start is over
    rig.set_mode("live")
    rig.orders.close()
    await rig.dispatcher.run()
    assert rig.live.requests == rig.paper.requests == []
    assert rig.told("skipped") == [("skipped", "mode_changed")]


@pytest.mark.parametrize("mode", ["paper", "live"])
async def test_an_order_whose_row_is_not_written_yet_leaves_in_no_mode_but_its_own(
    rig: Rig, mode: Mode
) -> None:
    rig.set_mode(mode)
    rig.writer.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        take(rig, "A")
        rig.set_mode("paper" if mode == "live" else "live")
        rig.writer.gate.set()
        rig.orders.close()
    assert rig.live.requests == rig.paper.requests == []
    assert rig.rows() == {}
    assert rig.told("skipped") == [("skipped", "mode_changed")]


# Faults


async def test_a_slot_is_free_again_after_a_fault(
    make_rig: Callable[..., Rig], logged_errors: LoggedErrors
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    rig.paper.placing.extend([ZeroDivisionError()] * 3)
    await rig.trade(*(make_signal(f"S{n}") for n in range(4)))
    assert len(rig.paper.asked("place")) == 4
    assert len(logged_errors.take()) == 3


async def test_a_fault_at_an_order_that_was_taken_ends_that_order_alone(
    make_rig: Callable[..., Rig],
    logged_errors: LoggedErrors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    replied = rig.latencies.replied
    faults = [ZeroDivisionError()]

    def reply(trade_id: str, *, at: float) -> Times:
        if faults:
            raise faults.pop()
        return replied(trade_id, at=at)

    monkeypatch.setattr(rig.latencies, "replied", reply)
    await rig.trade(make_signal("A"), make_signal("B"))
    assert symbols_ordered(rig) == ["A", "B"]
    assert len(logged_errors.take()) == 1
    assert dict(rig.outcomes.counts) == {"placed": 1}
    assert rig.accounts.leased["paper"] == rig.dispatcher.in_flight == 0
    assert len(rig.unsettled) == 2


# Guard rails


@pytest.mark.parametrize(
    ("bot", "signal", "reason"),
    [
        ({"enabled_catalyst_tiers": [2]}, {}, "tier_disabled"),
        ({"symbols_blocked": ["AAPL"]}, {}, "symbol"),
        ({"max_share_price": 100.0}, {}, "share_price"),
        ({"max_float_shares": 1e6}, {"floatShares": 2e6}, "float_shares"),
        ({"min_relative_volume": 2.0}, {}, "relative_volume"),
        ({"require_market_open": True}, {}, "market_closed"),
    ],
)
async def test_a_limit_without_a_count_stops_a_signal_before_the_database(
    make_rig: Callable[..., Rig],
    bot: dict[str, object],
    signal: dict[str, Any],
    reason: str,
) -> None:
    rig = make_rig(bot=bot)
    await rig.trade(make_signal(**signal))
    assert rig.writer.writes == 0
    assert rig.told() == [("skipped", reason)]
    assert dict(rig.skips.counts) == {reason: 1}


@pytest.mark.parametrize(
    ("bot", "reason"),
    [
        ({"max_concurrent_positions": 2}, "max_positions"),
        ({"max_orders_per_minute": 2}, "brake_orders_per_minute"),
        ({"max_orders_per_day": 2}, "brake_orders_per_day"),
        ({"max_notional_per_day_usd": 299.0}, "brake_notional_per_day"),
    ],
)
async def test_a_limit_that_counts_holds_in_a_burst(
    make_rig: Callable[..., Rig],
    caplog: pytest.LogCaptureFixture,
    bot: dict[str, object],
    reason: str,
) -> None:
    rig = make_rig(bot=bot)
    await rig.trade(*(make_signal(f"S{n}") for n in range(10)))
    assert symbols_ordered(rig) == ["S0", "S1"]
    assert len(rig.rows()) == 2
    assert dict(rig.skips.counts) == {reason: 8}
    assert rig.paper.budget.try_take(Purpose.START)
    assert rig.told("skipped") == [("skipped", reason)] * 8
    assert warnings_of(caplog) == [
        f"S2 signal=None is not traded: {reason} (1 signal so far, logged once a minute)"
    ]


async def test_a_changed_limit_holds_from_the_next_signal_on(rig: Rig) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        for symbol, limit in (("A", 2), ("B", 1), ("C", 2), ("D", None), ("E", 3)):
            rig.set_bot(max_concurrent_positions=limit)
            rig.offer(make_signal(symbol))
            await wait_all_tasks_blocked()
        rig.orders.close()
    assert symbols_ordered(rig) == ["A", "C", "D"]


async def test_a_limit_that_is_lowered_stops_who_waits_for_a_turn(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    rig.paper.seconds = 3
    rig.offer(make_signal("A"), make_signal("B"), make_signal("C"))
    rig.orders.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await trio.sleep(4)
        rig.set_bot(max_concurrent_positions=2)
    assert symbols_ordered(rig) == ["A", "B"]
    assert rig.told("skipped") == [("skipped", "max_positions")]


async def test_the_markets_clock_is_asked_anew_for_each_signal(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(bot={"require_market_open": True})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        for symbol, is_open in (
            ("A", None),
            ("B", True),
            ("C", False),
            ("X/USD", None),
        ):
            rig.market.open = is_open
            rig.offer(make_signal(symbol))
            await wait_all_tasks_blocked()
        rig.orders.close()
    assert symbols_ordered(rig) == ["B", "X/USD"]


# The kill switch


async def test_nothing_is_written_while_halted(rig: Rig) -> None:
    rig.halt.on = True
    await rig.trade(make_signal("A"), make_signal("B"))
    assert rig.writer.writes == 0
    assert rig.told() == [("skipped", "halted")] * 2


async def test_a_halt_between_row_and_request_takes_the_row_back(rig: Rig) -> None:
    rig.writer.gate = trio.Event()
    rig.offer(make_signal("A", id="n-1"), make_signal("B"))
    rig.orders.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await wait_all_tasks_blocked()
        rig.halt.on = True
        rig.writer.gate.set()
    assert rig.paper.requests == []
    assert rig.rows() == {}
    assert rig.left.symbols == []
    assert rig.told() == [("skipped", "halted")] * 2
    assert rig.dispatcher.in_flight == 0
    assert rig.paper.budget._in_flight == 0


async def test_a_halt_while_the_rate_limit_holds_an_order_up_keeps_it(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.paper.placing.append(RateLimitedError("HTTP 429", wait_seconds=3.0))
    rig.offer(make_signal("A"))
    rig.orders.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await trio.sleep(1)
        rig.halt.on = True
    assert len(rig.paper.asked("place")) == 1
    assert len(rig.paper.asked("order")) == 1
    assert rig.rows() == {}
    assert rig.told() == [("skipped", "halted")]
    assert rig.paper.budget._in_flight == 0
    assert len(warnings_of(caplog)) == 1


async def test_an_order_that_waits_too_long_for_a_connection_does_not_leave(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    oldest = rig.settings.now.intake.max_signal_age_sec

    async def wait_for_a_connection(_request: Request) -> BrokerOrder:
        assert rig.paper.withheld is not None
        await trio.sleep(oldest - 0.1)
        assert not rig.paper.withheld()
        await trio.sleep(0.2)
        assert rig.paper.withheld()
        raise NotSentError("it is withheld")

    rig.paper.placing.append(wait_for_a_connection)
    await rig.trade(make_signal("A"))
    assert rig.rows() == {}
    assert rig.told() == [("skipped", "stale")]
    assert "no connection to the broker was free in time" in warnings_of(caplog)[0]


async def test_a_halt_keeps_an_order_that_waits_for_a_connection(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async def wait_for_a_connection(_request: Request) -> BrokerOrder:
        await trio.sleep(1)
        assert rig.paper.withheld is not None
        assert not rig.paper.withheld()
        rig.halt.on = True
        assert rig.paper.withheld()
        raise NotSentError("it is withheld")

    rig.paper.placing.append(wait_for_a_connection)
    await rig.trade(make_signal("A"))
    assert rig.rows() == {}
    assert rig.told() == [("skipped", "halted")]
    assert warnings_of(caplog) == []


async def test_an_order_that_left_before_the_halt_is_confirmed(rig: Rig) -> None:
    rig.paper.seconds = 3
    rig.offer(make_signal("A"))
    rig.orders.close()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.dispatcher.run)
        await trio.sleep(1)
        rig.halt.on = True
    (row,) = rig.rows().values()
    assert row["alpacaOrderId"] == "paper-o-1"
    assert rig.told() == [("placed", None)]

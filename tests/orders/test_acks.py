"""Acceptances, recorded behind the orders that leave now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.fakes import Rig, make_signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time


async def test_a_lone_acceptance_is_recorded_at_once(rig: Rig) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.orders.run)
        rig.offer(make_signal("A"))
        await wait_all_tasks_blocked()
        assert [name for name, _ in rig.told()] == ["placed"]
        assert trio.current_time() == 0
        rig.orders.close()


async def test_acceptances_wait_for_the_orders_that_leave_but_not_for_long(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(intake={"max_in_flight": 1})
    rig.writer.delay_seconds = 0.1
    placed: list[float] = []

    def note(event: object) -> None:
        del event
        placed.append(round(trio.current_time(), 3))

    rig.feed.follow(note)
    await rig.trade(*(make_signal(f"S{n}") for n in range(10)))
    assert len(placed) == 10
    assert placed[0] <= 0.1 + 0.5 + 0.1 + 0.005, "half a second later at most"
    assert placed == sorted(placed)


async def test_what_waits_is_recorded_when_time_is_up(rig: Rig) -> None:
    rig.writer.delay_seconds = 0.05
    rig.offer(*(make_signal(f"S{n}") for n in range(5)))
    with trio.move_on_after(0.08):
        await rig.orders.run()
    await trio.sleep(1)
    accepted = [row["alpacaOrderId"] for row in rig.rows().values()]
    assert None not in accepted
    assert len(rig.unsettled) == len(accepted) > 0


async def test_a_fault_in_recording_has_the_broker_asked_and_frees_the_slot(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, logged_errors: LoggedErrors
) -> None:
    def broken(*_args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(rig.writer, "put", broken)
    await rig.trade(make_signal("A", id="n-1"))
    (error,) = logged_errors.take()
    assert error.startswith("the order of A trade=")
    (row,) = rig.rows()
    order = rig.unsettled.get(row)
    assert order is not None
    assert order.due <= trio.current_time()
    assert rig.dispatcher.in_flight == 0

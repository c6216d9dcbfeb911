"""What a start waits for: the current mode's rows, and no other's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.broker.budget import Purpose
from snexec.errors import NotSentError
from tests.fakes import Rig, make_order, make_trade, put_mode, warnings_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.model import Mode

pytestmark = pytest.mark.jumping_time

AWAY = NotSentError("ConnectError")
BESIDE = ", beside trading: a symbol whose row is open is blocked meanwhile"


@pytest.fixture
def start(
    rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> Callable[[], trio.Event]:
    """Give a function that starts as the daemon does, and returns what is set then."""
    caplog.set_level(logging.INFO)

    def begin() -> trio.Event:
        rig.reconciler.load(rig.ledger.load(simulated=False, tally=False))
        nursery.start_soon(rig.fills.run)
        nursery.start_soon(rig.recover)
        nursery.start_soon(rig.reconciler.sweep.run)
        nursery.start_soon(rig.reconciler.compare)
        return rig.reconciler.start._over

    return begin


def leave_row(rig: Rig, mode: Mode, symbol: str, *, seconds_away: float = 0) -> None:
    """Leave an unsettled row, whose account does not answer for a time."""
    trade = make_trade(f"{mode}-{symbol}", symbol, mode=mode)
    rig.open_row(trade, order_id=f"o-{symbol}")
    client = rig.accounts.clients[mode]
    found = make_order(trade.id, "new", order_id=f"o-{symbol}")
    client.book[trade.id] = found

    async def answer(_request: object) -> object:
        return found if trio.current_time() >= seconds_away else AWAY

    client.looking.extend([answer] * 1000)


def switch(rig: Rig, mode: Mode) -> None:
    """Change the mode as a re-read of the file does, which tells it."""
    put_mode(rig.settings, mode)
    rig.feed.publish("mode", {"mode": mode}, reason="was the other")


@pytest.mark.parametrize("mode", ["paper", "live"])
async def test_a_row_of_the_other_mode_whose_broker_is_away_holds_up_no_start(
    rig: Rig,
    start: Callable[[], trio.Event],
    caplog: pytest.LogCaptureFixture,
    mode: Mode,
) -> None:
    other: Mode = "paper" if mode == "live" else "live"
    rig.set_mode(mode)
    leave_row(rig, other, "AAPL", seconds_away=3600)
    leave_row(rig, mode, "MSFT", seconds_away=3)
    over = start()
    await over.wait()
    assert 3 <= trio.current_time() <= 4
    lines = [r.getMessage() for r in caplog.records if r.name == "Recovery"]
    assert f"comparing 1 unsettled row with the broker ({mode})" in lines
    assert f"comparing 1 unsettled row with the broker ({other}){BESIDE}" in lines
    await trio.sleep(2 * 3600)
    assert all(order.is_compared for order in rig.unsettled), "it is compared beside"
    assert not [m for m in warnings_of(caplog) if m.startswith("no signals are taken")]


async def test_a_start_with_the_other_modes_rows_alone_waits_for_nothing(
    rig: Rig, start: Callable[[], trio.Event]
) -> None:
    leave_row(rig, "live", "AAPL", seconds_away=3600)
    over = start()
    await wait_all_tasks_blocked()
    assert over.is_set()


async def test_the_lines_of_the_wait_say_which_mode_it_is_for(
    rig: Rig, start: Callable[[], trio.Event], caplog: pytest.LogCaptureFixture
) -> None:
    leave_row(rig, "live", "AAPL", seconds_away=3600)
    leave_row(rig, "paper", "MSFT", seconds_away=12)
    await start().wait()
    assert (
        "no signals are taken yet: 1 row is not compared with the broker (paper); is"
        " it reachable?"
    ) in warnings_of(caplog)
    assert any(
        m.startswith("every row is compared (paper), in 1") for m in caplog.messages
    )


async def test_a_start_that_waits_for_the_list_of_orders_alone_says_that(
    rig: Rig, start: Callable[[], trio.Event], caplog: pytest.LogCaptureFixture
) -> None:
    rig.paper.seconds = 12.0
    rig.unsettled.expect_sweep("paper")
    over = start()
    await trio.sleep(11)
    assert warnings_of(caplog) == [
        "no signals are taken yet: the broker has not listed its orders (paper); is it"
        " reachable?"
    ]
    await over.wait()


async def test_a_change_of_mode_while_a_start_waits_changes_what_it_waits_for(
    rig: Rig, start: Callable[[], trio.Event]
) -> None:
    leave_row(rig, "paper", "AAPL", seconds_away=3600)
    leave_row(rig, "live", "MSFT", seconds_away=20)
    over = start()
    await trio.sleep(10)
    switch(rig, "live")
    await wait_all_tasks_blocked()
    assert not over.is_set(), "those of live have not been compared either"
    await over.wait()
    assert 20 <= trio.current_time() < 40


async def test_a_change_to_a_mode_without_rows_ends_the_wait_at_once(
    rig: Rig, start: Callable[[], trio.Event]
) -> None:
    leave_row(rig, "paper", "AAPL", seconds_away=3600)
    over = start()
    await trio.sleep(10)
    switch(rig, "live")
    await wait_all_tasks_blocked()
    assert over.is_set()


async def test_a_change_to_a_mode_whose_rows_are_not_compared_says_so_and_goes_on(
    rig: Rig, start: Callable[[], trio.Event], caplog: pytest.LogCaptureFixture
) -> None:
    leave_row(rig, "live", "AAPL", seconds_away=3600)
    await start().wait()
    caplog.clear()
    switch(rig, "live")
    assert warnings_of(caplog) == [
        "1 row of live is not compared with the broker yet: signals are taken, and a"
        " symbol whose row is open is blocked"
    ]
    caplog.clear()
    switch(rig, "paper")
    assert warnings_of(caplog) == []


async def test_only_the_current_modes_rows_use_what_is_kept_for_orders(
    rig: Rig, start: Callable[[], trio.Event]
) -> None:
    leave_row(rig, "paper", "AAPL", seconds_away=5)
    over = start()
    purpose = rig.reconciler.start.purpose
    assert (purpose("paper"), purpose("live")) == (Purpose.START, Purpose.ROUTINE)
    assert purpose("live", is_lost=True) is Purpose.RECOVERY
    await over.wait()
    assert (purpose("paper"), purpose("live")) == (Purpose.ROUTINE, Purpose.ROUTINE)
    assert purpose("paper", is_lost=True) is Purpose.RECOVERY

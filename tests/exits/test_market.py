"""What rules and prices see of the market's hours (SPEC 12.3, 12.8a)."""

from __future__ import annotations

from datetime import date

import pytest
import trio

from snexec.exits.prices import AROUND_THE_CLOCK, Session
from snexec.exits.rules import Moment
from tests.exits.hands import Desk, make_position

pytestmark = pytest.mark.jumping_time

TODAY = date(2026, 1, 5).toordinal()


@pytest.fixture
async def desk() -> Desk:
    await trio.sleep(100)
    return Desk()


async def test_an_open_market(desk: Desk) -> None:
    desk.market.open(closes_in=60)
    position, now = make_position(), desk.view.now()
    assert desk.view.session(position, now) == Session(
        True, TODAY, desk.market.opened_at
    )
    assert desk.view.moment(position, now, 5.0) == Moment(
        100, True, 60, desk.market.opened_at, 5.0
    )


async def test_a_closed_market_opens_next(desk: Desk) -> None:
    desk.market.close(opens_in=60)
    position, now = make_position(), desk.view.now()
    assert desk.view.session(position, now) == Session(False, TODAY + 1, None)
    opens = now.wall + 60
    assert desk.view.moment(position, now, 5.0) == Moment(100, False, None, opens, 5.0)


async def test_a_market_of_which_nothing_is_known_is_not_open(desk: Desk) -> None:
    desk.market.is_open = None
    position, now = make_position(), desk.view.now()
    assert not desk.view.session(position, now).is_open
    assert desk.view.moment(position, now, 5.0) == Moment(100, False)


async def test_an_open_market_without_a_calendar_has_no_opening(desk: Desk) -> None:
    desk.market.opened_at = None
    position, now = make_position(), desk.view.now()
    assert desk.view.session(position, now) == Session(True, TODAY, None)
    assert desk.view.moment(position, now, 5.0).session is None


async def test_crypto_trades_whatever_the_market_does(desk: Desk) -> None:
    desk.market.close()
    position, now = make_position("BTC/USD"), desk.view.now()
    assert desk.view.session(position, now) == AROUND_THE_CLOCK
    assert desk.view.moment(position, now, 5.0) == Moment(100, True)

"""An id that the broker says it has taken, and then does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.errors import DuplicateOrderError, UnknownOutcomeError
from tests.fakes import make_order
from tests.orders.hearing import SELL, Heard, buy, exits_of

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time

TAKEN = DuplicateOrderError(status_code=422, body="", reason="must be unique")


async def sold(rig: Rig, nursery: trio.Nursery) -> Heard:
    """Hand in the sell of a row that was bought."""
    buy(rig)
    for run in (rig.fills.run, rig.recover, rig.orders.run):
        nursery.start_soon(run)
    await wait_all_tasks_blocked()
    heard = Heard()
    rig.orders.sell(SELL, heard)
    await wait_all_tasks_blocked()
    return heard


async def test_it_is_sent_no_more_and_asked_about_ever_less_often(
    rig: Rig,
    nursery: trio.Nursery,
    logged_errors: LoggedErrors,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rig.paper.placing.extend([UnknownOutcomeError("HTTP 502"), *[TAKEN] * 9])
    await sold(rig, nursery)
    await trio.sleep(1800)
    assert len(rig.paper.asked("place")) == 2
    assert len(rig.paper.asked("order")) <= 12 + 1800 / 60
    assert exits_of(rig)["sn-1-x1"]["state"] == "planned"
    unknown = [each for each in caplog.messages if "outcome unknown" in each]
    assert ["sent again" in line for line in unknown] == [True, False]
    logged_errors.take()


async def test_that_it_is_not_known_is_an_alarm_once_look_ups_had_their_time(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    rig.paper.placing.append(TAKEN)
    await sold(rig, nursery)
    await trio.sleep(rig.settings.now.alpaca.unknown_grace_sec - 1)
    assert logged_errors.take() == []
    await trio.sleep(3500)
    (alarm,) = logged_errors.take()
    assert "has taken this sell, and that it does not know it" in alarm
    await trio.sleep(3600)
    assert len(logged_errors.take()) == 1, "and then hourly"


async def test_once_it_is_found_it_is_like_any_other(
    rig: Rig, nursery: trio.Nursery
) -> None:
    rig.paper.placing.append(TAKEN)
    await sold(rig, nursery)
    await trio.sleep(10)
    rig.paper.book["sn-1-x1"] = make_order(
        "sn-1-x1", "filled", order_id="paper-o-9", quantity="0.533386947", price="180"
    )
    await trio.sleep(60)
    assert rig.rows()["sn-1"]["status"] == "closed"
    assert len(rig.paper.asked("place")) == 1

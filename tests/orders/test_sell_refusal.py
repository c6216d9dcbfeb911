"""The broker's no to a sell: whose it is, and what comes after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.errors import RefusedError
from tests.fakes import AskedOrder, make_order, not_found
from tests.orders.hearing import SELL, Heard, buy, exits_of

if TYPE_CHECKING:
    from snexec.broker.answers import BrokerOrder
    from snexec.broker.sent import OutgoingSell, SentOrder
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time

NO = RefusedError(status_code=403, body="{}", reason="insufficient qty")


@pytest.fixture
def sent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> list[AskedOrder]:
    """Give every sell that is sent."""
    orders: list[AskedOrder] = []
    send = rig.paper.send_sell

    def keep(sell: OutgoingSell) -> SentOrder:
        order = send(sell)
        assert isinstance(order, AskedOrder)
        orders.append(order)
        return order

    monkeypatch.setattr(rig.paper, "send_sell", keep)
    return orders


async def refused(rig: Rig, nursery: trio.Nursery) -> Heard:
    """Have a sell refused, and return who heard of it."""
    buy(rig)
    rig.paper.placing.append(NO)
    for run in (rig.fills.run, rig.recover, rig.orders.run):
        nursery.start_soon(run)
    await wait_all_tasks_blocked()
    rig.orders.sell(SELL, heard := Heard())
    await wait_all_tasks_blocked()
    return heard


async def test_with_keys_that_are_no_good_the_look_up_says_no_as_well(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    rig.paper.looking.append(NO)
    heard = await refused(rig, nursery)
    assert heard.names == ["planned", "refused"]
    assert exits_of(rig)["sn-1-x1"]["state"] == "refused"
    logged_errors.take()


async def test_another_no_to_the_look_up_proves_nothing(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    rig.paper.looking.append(RefusedError(status_code=403, body="", reason="other"))
    heard = await refused(rig, nursery)
    assert heard.names == ["planned"]
    assert exits_of(rig)["sn-1-x1"]["state"] == "planned"
    await trio.sleep(1)
    assert heard.names == ["planned", "refused"], "the next answer is a 404"
    logged_errors.take()


async def test_a_no_that_may_be_another_orders_refuses_nothing(
    rig: Rig,
    nursery: trio.Nursery,
    sent: list[AskedOrder],
    logged_errors: LoggedErrors,
) -> None:
    async def disturbed(_request: object) -> BrokerOrder:
        sent[0].doubtful = True
        raise not_found()

    rig.paper.looking.append(disturbed)
    heard = await refused(rig, nursery)
    assert heard.names == ["planned", "unknown"]
    await trio.sleep(10)
    ids = [each.client_order_id for each in rig.paper.asked("place")]
    assert ids == ["sn-1-x1", "sn-1-x1"], "the same id, which is taken once"
    logged_errors.take()


async def test_bytes_that_come_after_the_refusal_have_the_sell_looked_up_again(
    rig: Rig,
    nursery: trio.Nursery,
    sent: list[AskedOrder],
    logged_errors: LoggedErrors,
) -> None:
    heard = await refused(rig, nursery)
    assert heard.names == ["planned", "refused"]
    rig.paper.book["sn-1-x1"] = make_order(
        "sn-1-x1", "filled", order_id="o-9", quantity="0.533386947", price="180"
    )
    assert sent[0].doubted is not None
    sent[0].doubted()
    await trio.sleep(1)
    assert rig.rows()["sn-1"]["status"] == "closed", "evidence wins"
    assert "may have been another order's" in logged_errors.take()[1]


async def test_a_doubt_that_a_look_up_does_not_bear_out_sends_nothing(
    rig: Rig,
    nursery: trio.Nursery,
    sent: list[AskedOrder],
    logged_errors: LoggedErrors,
) -> None:
    await refused(rig, nursery)
    assert sent[0].doubted is not None
    sent[0].doubted()
    await trio.sleep(300)
    assert len(rig.paper.asked("place")) == 1
    assert rig.unsettled.get("sn-1-x1") is None, "it is not asked about for ever"
    assert exits_of(rig)["sn-1-x1"]["state"] == "refused"
    logged_errors.take()


async def test_a_sell_whose_refusal_cannot_be_written_stays_under_way(
    rig: Rig,
    nursery: trio.Nursery,
    logged_errors: LoggedErrors,
) -> None:
    rig.store._db.execute(
        "CREATE TRIGGER no BEFORE UPDATE ON BotExit BEGIN SELECT RAISE(ABORT, 'no');"
        " END"
    )
    heard = await refused(rig, nursery)
    assert heard.names == ["planned"]
    assert rig.unsettled.get("sn-1-x1") is not None
    rig.store._db.execute("DROP TRIGGER no")
    assert any("it cannot be written" in text for text in logged_errors.take())

"""An order that was found: how its row will be, and that it is followed."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.broker.listing import ListedOrder
from snexec.reconciliation.adoption import Adoption, found_order
from tests.fakes import MOMENT, make_trade

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time


def listed(
    symbol: str = "AAPL", status: str = "filled", filled: str | None = "2"
) -> ListedOrder:
    return ListedOrder(
        id="o-1",
        client_order_id="sn-1",
        symbol=symbol,
        status=status,
        notional=Decimal(100),
        filled_qty=None if filled is None else Decimal(filled),
        placed_at=MOMENT,
    )


@pytest.mark.parametrize(
    ("status", "filled", "ending"),
    [
        ("canceled", "0", "canceled"),
        ("expired", "0", "expired"),
        ("rejected", "0", "rejected"),
        ("canceled", "0.5", None),
        ("canceled", None, None),
        ("rejected", "1", None),
        ("filled", "2", None),
        ("filled", "0", None),
        ("replaced", "0", None),
        ("new", "0", None),
        ("never heard of", "0", None),
    ],
)
def test_only_what_has_ended_and_bought_nothing_is_known_as_that(
    status: str, filled: str | None, ending: str | None
) -> None:
    assert found_order("paper", listed(status=status, filled=filled)).ending == ending


@pytest.mark.parametrize(
    ("spelled", "symbol"),
    [
        ("AAPL", "AAPL"),
        ("BRK.B", "BRK.B"),
        ("BTC/USD", "BTC/USD"),
        ("BTCUSD", "BTC/USD"),
        ("ETH/BTC", "ETH/BTC"),
        ("A VERY ODD NAME", "A VERY ODD NAME"),
    ],
)
def test_a_symbol_has_its_one_spelling_where_it_has_one(
    spelled: str, symbol: str
) -> None:
    assert found_order("live", listed(spelled)).symbol == symbol


async def test_its_order_is_asked_about_as_any_that_is_not_settled(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    adoption = Adoption(rig.unsettled, found_order("paper", listed()))
    await trio.sleep(7)
    rig.writer.put(adoption)
    await adoption.over.wait()
    assert adoption.row is not None
    assert not adoption.is_lost
    order = rig.unsettled.get("sn-1")
    assert order is not None
    assert (order.order_id, order.due, order.of_this_run) == ("o-1", 7, False)
    assert len(logged_errors.take()) == 1


async def test_nothing_is_done_where_a_row_came_before_it(rig: Rig) -> None:
    rig.open_row(make_trade("sn-1"))
    adoption = Adoption(rig.unsettled, found_order("paper", listed()))
    rig.writer.put(adoption)
    await adoption.over.wait()
    assert (adoption.row, adoption.is_lost, len(rig.unsettled)) == (None, False, 0)


async def test_what_bought_nothing_is_settled_and_not_asked_about(
    rig: Rig, logged_errors: LoggedErrors
) -> None:
    order = found_order("paper", listed(status="canceled", filled="0"))
    adoption = Adoption(rig.unsettled, order)
    rig.writer.put(adoption)
    await adoption.over.wait()
    assert len(rig.unsettled) == 0
    [line] = logged_errors.take()
    assert line.endswith("its row is written, missed (alpaca_canceled)")


async def test_what_another_host_has_ordered_is_no_error(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    order = found_order("paper", listed())
    adoption = Adoption(rig.reconciler.unsettled, order, is_expected=True)
    rig.writer.put(adoption)
    await adoption.over.wait()
    assert "that no row knows: its row is written" in caplog.text

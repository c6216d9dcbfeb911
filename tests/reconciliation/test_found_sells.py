"""Sells of ours that no row knows: written again beside the rows that they sold."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from snexec.broker.budget import Purpose
from snexec.ledger.rows import OrderRef
from tests.fakes import MOMENT, listed_order, make_order, make_trade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

    from snexec.reconciliation.rebuild import Rebuilt
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time

SINCE = MOMENT - timedelta(days=7)
ROW = f"sn-{hashlib.md5(b'row', usedforsecurity=False).hexdigest()}"
SELL = f"{ROW}-x1"


@pytest.fixture
async def running(rig: Rig, nursery: trio.Nursery) -> AsyncIterator[Rig]:
    """Give a rig whose recovery runs."""
    nursery.start_soon(rig.fills.run)
    nursery.start_soon(rig.recover)
    yield rig
    nursery.cancel_scope.cancel()


async def rebuild(rig: Rig) -> list[Rebuilt]:
    return await rig.reconciler.rebuild.rebuild(
        SINCE, purpose=Purpose.RECOVERY, patience_seconds=600
    )


def bought_at_broker(rig: Rig, symbol: str = "AAPL", quantity: str = "2") -> None:
    """Have the broker know the buy of the row, an hour ago, at 50."""
    client = rig.accounts.clients["paper"]
    client.listed.append(
        listed_order(
            *(ROW, symbol),
            at=MOMENT - timedelta(hours=1),
            order_id="o-1",
            filled_qty=quantity,
        )
    )
    client.book[ROW] = make_order(ROW, "filled", quantity=quantity, price="50")


def bought(rig: Rig) -> None:
    """Leave the row, whose buy is settled."""
    rig.open_row(make_trade(ROW), order_id="o-1")
    ref = OrderRef(mode="paper", order_id="o-1", client_order_id=ROW)
    rig.store.apply_fill(ref, price=Decimal(50), quantity=Decimal(2))


def sold_at_broker(
    rig: Rig,
    status: str = "filled",
    sold: str = "2",
    *,
    exit_id: str = SELL,
    symbol: str = "AAPL",
    **changes: object,
) -> None:
    """Have the broker know a sell of the row, half an hour ago, at 60."""
    at = MOMENT - timedelta(minutes=30)
    listed = listed_order(exit_id, symbol, status, at=at, side="sell", qty="2")
    price = "60" if sold != "0" else None
    said = {"notional": None, "filled_qty": sold, "filled_avg_price": price}
    rig.accounts.clients["paper"].listed.append(listed | said | changes)


def said(rig: Rig) -> tuple[object, ...]:
    row = rig.rows()[ROW]
    names = ("status", "exitReason", "shares", "exitPrice", "pnl")
    return tuple(row[name] for name in names)


async def test_a_lost_database_gets_its_rows_and_their_sells_again(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    bought_at_broker(running)
    sold_at_broker(running, filled_at="2026-01-05T14:01:00Z")
    [paper, _live] = await rebuild(running)
    assert paper.problem == ""
    assert [row.status for row in paper.rows] == ["closed"]
    assert said(running) == ("closed", "rebuilt", 2.0, 60.0, 20.0)
    assert running.rows()[ROW]["exitAt"] == "2026-01-05T14:01:00.000Z"
    assert set(running.rows()) == {ROW}, "a sell is never taken for a buy"
    (found,) = running.store.exits.of(ROW)
    assert (found.id, found.state, found.order_id) == (SELL, "filled", f"o-{SELL}")
    assert [line.partition(": ")[2] for line in logged_errors.take()] == [
        "the broker has order o-1 of ours that no row knows: its row is written, open",
        f"the broker has sell o-{SELL} of ours that no row knows: it is written, 2 sold;"
        " the row is closed",
    ]
    again = await rebuild(running)
    assert [each.rows for each in again] == [[], []]
    assert len(running.store.exits.of(ROW)) == 1


async def test_a_row_that_is_there_gets_the_sell_that_it_lacks(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    bought(running)
    sold_at_broker(running, "canceled", "0.5")
    await rebuild(running)
    assert said(running)[0] == "open"
    row = running.store.held.row(ROW)
    assert row is not None
    assert row.remaining == Decimal("1.5")
    assert logged_errors.take() == [
        f"AAPL trade={SELL} signal=None: the broker has sell o-{SELL} of ours that no"
        " row knows: it is written, 0.5 sold; the row is open"
    ]


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        ("new", {}),
        ("partially_filled", {}),
        ("filled", {"filled_avg_price": "soon"}),
        ("canceled", {"filled_qty": "some"}),
    ],
)
async def test_one_whose_end_is_not_known_is_unsettled(
    running: Rig,
    logged_errors: LoggedErrors,
    status: str,
    changes: dict[str, object],
) -> None:
    bought(running)
    sold_at_broker(running, status, "0.5", **changes)  # type: ignore[arg-type]
    await rebuild(running)
    (left,) = running.store.exits.unsettled()
    assert (left.id, left.order_id, left.state) == (SELL, f"o-{SELL}", "working")
    assert logged_errors.take()


async def test_what_a_coin_lacks_of_what_was_bought_was_its_fee(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    bought_at_broker(running, "BTC/USD")
    sold_at_broker(running, "filled", "1.995", symbol="BTC/USD")
    await rebuild(running)
    assert said(running)[:2] == ("closed", "rebuilt")
    assert said(running)[3] == 60.0
    assert logged_errors.take()


async def test_a_sell_without_its_row_is_named_once(
    running: Rig, logged_errors: LoggedErrors
) -> None:
    sold_at_broker(running)
    for _ in range(2):
        [paper, _live] = await rebuild(running)
        assert paper.problem == f"order {SELL} has no row that can be written"
    assert running.rows() == {}
    assert logged_errors.take() == [
        f"paper lists sell {SELL} of ours, whose row is not there or not settled: look"
        " further back (snexec rebuild --since)"
    ]


async def test_others_sells_are_none_of_ours(running: Rig) -> None:
    bought(running)
    sold_at_broker(running, exit_id="theirs")
    sold_at_broker(running, exit_id=f"{ROW}-e1")
    await rebuild(running)
    assert running.store.exits.of(ROW) == []
    assert said(running)[0] == "open"

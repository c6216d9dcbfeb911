"""What must hold once everything has settled (issue 3, points 7 and 8)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.simulation.world import FIRST_PRICE, Row, Run, World, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.model import Order


def problems(world: World) -> list[str]:
    """Tell what the daemon and the broker do not agree on (yet)."""
    rows = world.rows()
    orders = {order.client_order_id: order for order in world.broker.orders()}
    assert len(orders) == len(world.broker.orders())
    return [
        *_every_order_has_its_row(world, rows, orders),
        *_rows_without_an_order(rows, orders),
        *_one_open_row_each(rows),
        *_one_order_a_signal(rows, orders),
        *_every_signal_ends(world, rows),
        *_nothing_is_forgotten(world, rows),
        *_within_the_limit(world),
    ]


def _every_order_has_its_row(
    world: World, rows: dict[str, Row], orders: dict[str, Order]
) -> Iterator[str]:
    for trade_id, order in orders.items():
        row = rows.get(trade_id)
        if row is None:
            yield f"the broker has {order.id} {order.symbol}, and no row says so"
            continue
        problem = _disagreement(world, order, row, rows)
        if problem is not None:
            yield (
                f"{order.id} is {order.status}, {order.bought} at {order.price}:"
                f" {problem}; its row: {shown(row)}"
            )


def _disagreement(  # noqa: PLR0911 - a table
    world: World, order: Order, row: Row, rows: dict[str, Row]
) -> str | None:
    said = (row["symbol"], row["mode"], row["notional"], row["alpacaOrderId"])
    if said != (order.symbol, order.mode, float(order.notional), order.id):
        return "another order"
    if (row["settledAt"] is not None) != order.is_final:
        return "settled or not"
    status = (row["status"], row["exitReason"])
    if row["id"] in world.sold:
        if status != ("closed", "take_profit"):
            return "closed by another program"
        held = row["shares"] and (row["entryPrice"] or not order.is_final)
        return None if held else "nothing held"
    if order.bought_in_all:
        if row["entryPrice"] != float(order.price_in_all or 0):
            return "the price"
        if order.is_final and row["shares"] != float(order.bought_in_all):
            return "the shares"
        told = world.broker.told_positions.get((order.mode, order.symbol), set())
        if not order.is_final and row["shares"] not in {None, *told}:
            return "shares of no position"
        return _expect_open(world, row, rows, "order_found_late")
    if row["shares"] is not None or row["entryPrice"] is not None:
        return "nothing was bought"
    if order.is_final:
        expected = ("missed", f"alpaca_{order.latest.status}")
        return None if status == expected else f"should be {expected}"
    return _expect_open(world, row, rows, "order_not_found")


def _expect_open(
    world: World, row: Row, rows: dict[str, Row], else_reason: str
) -> str | None:
    status = (row["status"], row["exitReason"])
    if status == ("open", None):
        return None
    if row["id"] not in world.given_up or status != ("missed", else_reason):
        return "should be open"
    if row["settledAt"] is None and not any(
        other["symbol"] == row["symbol"] and other["status"] == "open"
        for other in rows.values()
    ):
        return "nothing keeps it from being open again"
    return None


def _rows_without_an_order(
    rows: dict[str, Row], orders: dict[str, Order]
) -> Iterator[str]:
    for trade_id, row in rows.items():
        if trade_id in orders:
            continue
        said = (row["status"], row["exitReason"], row["shares"], row["alpacaOrderId"])
        if said != ("missed", "order_not_found", None, None):
            yield f"the broker has no such order: {shown(row)}"


def _one_open_row_each(rows: dict[str, Row]) -> Iterator[str]:
    symbols = [row["symbol"] for row in rows.values() if row["status"] == "open"]
    if len(symbols) != len(set(symbols)):
        yield f"two open rows of a symbol: {symbols}"


def _one_order_a_signal(
    rows: dict[str, Row], orders: dict[str, Order]
) -> Iterator[str]:
    named = sorted(
        (order.mode, order.step.id, order.id)
        for order in orders.values()
        if order.step.id is not None
    )
    for (mode, signal_id, first), (*same, second) in itertools.pairwise(named):
        if [mode, signal_id] == same:
            yield f"signal {signal_id} bought twice in {mode}: {first} and {second}"
    for trade_id, order in orders.items():
        row = rows.get(trade_id)
        if row is not None and row["signalId"] != order.step.id:
            yield f"{order.id} is of another signal: {shown(row)}"


def _every_signal_ends(world: World, rows: dict[str, Row]) -> Iterator[str]:
    for run in world.runs:
        if not run.crashed:
            yield from signals_without_an_end(run, rows)


def signals_without_an_end(run: Run, rows: dict[str, Row]) -> Iterator[str]:
    """Tell which signals were accepted, and neither ordered nor spoken of since."""
    ordered = {row["priceAtSignal"] for row in rows.values()}
    for sequence, number in run.taken.items():
        if sequence not in run.ended and FIRST_PRICE + number not in ordered:
            yield f"nothing became of the signal of step #{number}"


def _nothing_is_forgotten(world: World, rows: dict[str, Row]) -> Iterator[str]:
    assert world.daemon is not None
    followed = {order.trade_id for order in world.daemon.wings.reconciler.unsettled}
    for trade_id, row in rows.items():
        if (row["settledAt"] is None) != (trade_id in followed):
            yield f"followed, {trade_id in followed}: {shown(row)}"


def _within_the_limit(world: World) -> Iterator[str]:
    limit = world.settings.alpaca.rate_limit_per_min
    for run in world.runs:
        for client in run.clients:
            times = client.sent_at
            for first, later in zip(times, times[limit:], strict=False):
                if later - first < 59.9:
                    yield f"{limit + 1} {client.mode} requests within a minute"

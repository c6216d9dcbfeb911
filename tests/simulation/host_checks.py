"""What must hold once everything has settled, of several hosts (SPEC 13)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.simulation.world import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.model import Order
    from tests.simulation.site import Host, Site
    from tests.simulation.world import Row


def host_problems(site: Site) -> list[str]:
    """Tell what the active host and the broker do not agree on (yet)."""
    active = site.active()
    assert active is not None
    rows = active.rows()
    return [
        *_every_order_has_its_row(site, rows),
        *_every_open_row_has_its_order(site, rows),
        *_one_order_a_signal(site),
        *_nothing_is_forgotten(active, rows),
        *_nothing_is_lost(site, rows),
    ]


def _every_order_has_its_row(site: Site, rows: dict[str, Row]) -> Iterator[str]:
    for order in site.broker.orders():
        row = rows.get(order.client_order_id)
        if row is None:
            yield f"the broker has {order.id} {order.symbol}, and no row says so"
        elif problem := _disagreement(order, row):
            yield (
                f"{order.id} is {order.status}, {order.bought} at {order.price}:"
                f" {problem}; its row: {shown(row)}"
            )


def _disagreement(order: Order, row: Row) -> str | None:
    said = (row["symbol"], row["notional"], row["alpacaOrderId"])
    if said != (order.symbol, float(order.notional), order.id):
        return "another order"
    if (row["settledAt"] is not None) != order.is_final:
        return "settled or not"
    status = (row["status"], row["exitReason"])
    if order.bought_in_all:
        if row["entryPrice"] != float(order.price_in_all or 0):
            return "the price"
        if order.is_final and row["shares"] != float(order.bought_in_all):
            return "the shares"
    elif order.is_final:
        expected = ("missed", f"alpaca_{order.latest.status}")
        return None if status == expected else f"should be {expected}"
    return None if status == ("open", None) else "should be open"


def _every_open_row_has_its_order(site: Site, rows: dict[str, Row]) -> Iterator[str]:
    orders = {order.client_order_id for order in site.broker.orders()}
    for trade_id, row in rows.items():
        if trade_id not in orders and row["status"] == "open":
            yield f"the broker has no such order: {shown(row)}"


def _one_order_a_signal(site: Site) -> Iterator[str]:
    named = sorted(
        (order.step.id or "", order.id)
        for order in site.broker.orders()
        if getattr(order.step, "form", "signal") != "no id"
    )
    for (signal_id, first), (same, second) in itertools.pairwise(named):
        if signal_id == same:
            yield f"signal {signal_id} bought twice: {first} and {second}"


def _nothing_is_forgotten(active: Host, rows: dict[str, Row]) -> Iterator[str]:
    assert active.daemon is not None
    followed = {order.trade_id for order in active.daemon.wings.reconciler.unsettled}
    for trade_id, row in rows.items():
        if (row["settledAt"] is None) != (trade_id in followed):
            yield f"followed, {trade_id in followed}: {shown(row)}"


def _nothing_is_lost(site: Site, rows: dict[str, Row]) -> Iterator[str]:
    """Find what was never sent, and is no longer going to be, though nothing forbade it."""
    redis = site.hosts[0].redis
    there = {
        site.entered[each.id].signal_id for each in site.server.entries(redis.stream)
    }
    sent = {each.trade_id for each in site.sent}
    for trade_id, row in rows.items():
        if row["exitReason"] != "order_not_found" or trade_id in sent:
            continue
        if row["signalId"] in there and row["signalId"] not in site.unwanted:
            yield f"the signal is lost: {shown(row)}"

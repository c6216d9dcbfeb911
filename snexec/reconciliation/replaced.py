"""The orders that took the place of one that the broker has replaced (SPEC 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from snexec.errors import NotFoundError

if TYPE_CHECKING:
    from snexec.broker import BrokerOrder, Lease, Purpose
    from snexec.model import Side


class Followed(NamedTuple):
    """What became of an order that was replaced.

    Attributes:
        order: The order, with the word of the last one in its place, and what all of
            them bought.
        latest_id: The broker's id of that last one; None if none was found.
        problem: Why it goes no further, where the broker leaves that open.
    """

    order: BrokerOrder
    latest_id: str | None
    problem: str


async def follow_replaced(
    replaced: BrokerOrder, symbol: str, side: Side, lease: Lease, purpose: Purpose
) -> Followed:
    """Ask about the orders in a replaced one's place, one by one, up to the last.

    Raises:
        BrokerError: There is no answer about one of them; ask again later.
    """
    order = latest = replaced
    seen = [replaced.id]
    problem = ""
    while latest.status == "replaced":
        order_id = latest.replaced_by
        if order_id is None or order_id in seen:
            problem = "the broker has replaced it and does not say by which order"
            break
        await lease.take(purpose)
        try:
            latest = await lease.use().replacement(order_id, symbol=symbol, side=side)
        except NotFoundError:
            problem = f"the broker does not know order {order_id} in its place"
            break
        order = order.continued_by(latest)
        seen.append(latest.id)
    return Followed(order, seen[-1] if len(seen) > 1 else None, problem)

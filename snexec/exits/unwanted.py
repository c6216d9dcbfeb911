"""Sells that must sell no more, canceled: their row is closed, or has another (SPEC 12.5).

Evidence that comes late may show a sell at work that had been given up, while the next one
is; or close a row whose other sell still works. Each would sell what the row does not have.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.exits.way_clear import WayClear
    from snexec.ledger import ExitApplied, UnsettledExit
    from snexec.reconciliation import UnsettledOrders

log = logging.getLogger("PositionMonitor")

_PAUSES = (0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
_CLOSED = "its row is closed"


class Unwanted:
    """Cancels them until the broker has said their last word.

    Args:
        way: Cancels orders.
        unsettled: Has them looked up.
    """

    def __init__(self, way: WayClear, unsettled: UnsettledOrders) -> None:
        self._way = way
        self._unsettled = unsettled
        self._canceling: dict[str, trio.Event] = {}
        self._early: list[tuple[ExitApplied | UnsettledExit, str]] = []
        self._nursery: trio.Nursery | None = None

    def load(self, exits: Iterable[UnsettledExit]) -> None:
        """Take over the sells of rows that are closed from an earlier run."""
        for each in exits:
            if each.row_status == "closed":
                self._begin(each, _CLOSED)

    async def run(self) -> None:
        """Cancel what is to be, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            early, self._early = self._early, []
            for order, why in early:
                self._begin(order, why)
            await trio.sleep_forever()

    def heard(self, applied: ExitApplied) -> None:
        """Take what the broker's word did to a sell and its row."""
        is_late = applied.outcome == "found_late"
        if is_late:
            self._begin(applied, f"{applied.also_live} is under way in its place")
        elif applied.settled:
            self._end(applied.id)
        elif applied.row_status == "closed":
            self._begin(applied, _CLOSED)
        if applied.row_status == "closed" and applied.also_live is not None:
            other = applied._replace(id=applied.also_live, order_id=None)
            self._begin(other, _CLOSED)

    def _begin(self, order: ExitApplied | UnsettledExit, why: str) -> None:
        if self._nursery is None:
            self._early.append((order, why))
        elif order.id not in self._canceling:
            log.warning(
                "%s trade=%s: this sell is not wanted any more (%s): it is canceled",
                *(order.symbol, order.id, why),
            )
            self._canceling[order.id] = trio.Event()
            name = f"cancel {order.id}"
            self._nursery.start_soon(self._cancel, order, name=name)

    async def _cancel(self, order: ExitApplied | UnsettledExit) -> None:
        ended, order_id, tries = self._canceling[order.id], order.order_id, 0
        while not ended.is_set():
            followed = self._unsettled.get(order.id)
            if order_id is None and followed is not None:
                order_id = followed.order_id
            if order_id is not None:
                latest = followed.latest_id if followed is not None else None
                await self._way.cancel(order.mode, latest or order_id, order.symbol)
                self._unsettled.follow_sell(order._replace(order_id=order_id))
            elif followed is None:
                break  # its last word has been heard
            else:
                self._unsettled.ask_now(order.id)
            with trio.move_on_after(_PAUSES[min(tries, len(_PAUSES) - 1)]):
                await ended.wait()
            tries += 1
        self._canceling.pop(order.id, None)

    def _end(self, exit_id: str) -> None:
        if (ended := self._canceling.get(exit_id)) is not None:
            ended.set()

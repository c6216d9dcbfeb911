"""What the trading stream needs of whoever takes its events (SPEC 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from snexec.model import Mode


class TradeUpdates(Protocol):
    """Takes the events of one account's orders, one after the other.

    The stream reads the next event once the method has returned. An error that it
    raises ends the connection, and a new one is opened. Ids are as short as the
    broker's are.
    """

    async def on_fill_event(
        self,
        event: Literal["fill", "partial_fill"],
        order_id: str,
        filled_qty: object,
        filled_avg_price: object,
        symbol: str | None,
        *,
        mode: Mode,
        client_order_id: str | None = None,
        execution_id: str | None = None,
        side: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Take a fill; numbers are as they came, readable or not.

        Args:
            event: Whether it is the final one.
            order_id: The broker's id of the order.
            filled_qty: Shares bought so far by this order.
            filled_avg_price: Dollars per share so far.
            symbol: The order's symbol, as the broker spells it.
            mode: The account that the stream belongs to.
            client_order_id: The row's id, if the order is ours.
            execution_id: The broker's id of this execution; each counts once.
            side: What the order does, in the broker's words.
            at: When it was filled; None where that is not said, and of a buy.
        """

    async def on_sell_ended_event(
        self,
        event: Literal["canceled", "expired"],
        order_id: str,
        filled_qty: object,
        filled_avg_price: object,
        symbol: str | None,
        *,
        mode: Mode,
        client_order_id: str | None = None,
        execution_id: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Take the end of an order that sells; numbers are as they came.

        Args:
            event: How it ended.
            order_id: The broker's id of the order.
            filled_qty: Shares sold before by this order.
            filled_avg_price: Dollars per share of those.
            symbol: The order's symbol, as the broker spells it.
            mode: The account that the stream belongs to.
            client_order_id: The sell's id, if the order is ours.
            execution_id: The broker's id of this event; each counts once.
            at: When it sold last, if it did and that is said.
        """

    async def on_rejected_event(
        self,
        order_id: str,
        symbol: str | None,
        reason: str | None,
        *,
        mode: Mode,
        client_order_id: str | None = None,
        execution_id: str | None = None,
        filled_qty: object = None,
        filled_avg_price: object = None,
        side: str | None = None,
    ) -> None:
        """Take a rejection.

        Args:
            order_id: The broker's id of the order.
            symbol: The order's symbol, as the broker spells it.
            reason: Why, if the broker says so.
            mode: The account that the stream belongs to.
            client_order_id: The row's id, if the order is ours.
            execution_id: The broker's id of this event; each counts once.
            filled_qty: Shares bought before, as it came; None is none.
            filled_avg_price: Dollars per share of those, as it came.
            side: What the order does, in the broker's words.
        """

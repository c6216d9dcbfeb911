"""Log lines about an order: which one, said in the same words everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from snexec.logs.lines import about

if TYPE_CHECKING:
    import logging

    from snexec.model import AccountName


class NamesOrder(Protocol):
    """Whatever is about one order."""

    @property
    def trade_id(self) -> str:
        """The row's id, which is the order's client order id."""

    @property
    def symbol(self) -> str:
        """What is ordered."""

    @property
    def mode(self) -> AccountName:
        """The account that has it."""

    @property
    def signal_id(self) -> str | None:
        """The signal's id, if it has one."""

    @property
    def order_id(self) -> str | None:
        """The broker's id, where it is known."""


def about_order(order: NamesOrder, *, order_id: str | None = None) -> dict[str, object]:
    """Return which order a log line is about, as logging's ``extra``."""
    return about(
        symbol=order.symbol,
        trade_id=order.trade_id,
        signal_id=order.signal_id,
        order_id=order_id or order.order_id,
    )


class OrderLog:
    """Logs lines that begin with the order that they are about."""

    def __init__(self, log: logging.Logger) -> None:
        self._info = log.info
        self._warning = log.warning
        self._error = log.error

    def info(self, order: NamesOrder, text: str, *args: object) -> None:
        """Log what happened, in one line."""
        self._info(
            "%s trade=%s signal=%s: " + text,
            *(order.symbol, order.trade_id, order.signal_id, *args),
            extra=about_order(order),
        )

    def warning(self, order: NamesOrder, text: str, *args: object) -> None:
        """Log what somebody should know."""
        self._warning(
            "%s trade=%s signal=%s: " + text,
            *(order.symbol, order.trade_id, order.signal_id, *args),
            extra=about_order(order),
        )

    def error(
        self, order: NamesOrder, text: str, *args: object, order_id: str | None = None
    ) -> None:
        """Log what somebody must look at.

        Args:
            order: Which one.
            text: What is wrong with it, and what to do.
            args: What the text holds.
            order_id: The broker's id, where the order itself does not know it.
        """
        self._error(
            "%s trade=%s signal=%s: " + text,
            *(order.symbol, order.trade_id, order.signal_id, *args),
            extra=about_order(order, order_id=order_id),
        )

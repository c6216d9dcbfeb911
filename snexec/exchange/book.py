"""One account's orders, cash and positions; no I/O: time and chance are passed in."""

import random
from collections import deque
from collections.abc import Callable, Reversible
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from uuid import UUID

from snexec.exchange.assets import class_of
from snexec.exchange.checks import (
    check_funds,
    check_holding,
    check_intent,
    check_size,
    check_wash,
)
from snexec.exchange.errors import invalid, order_not_found, unprocessable
from snexec.exchange.order import ZERO, Order
from snexec.exchange.positions import Positions
from snexec.exchange.prices import Prices
from snexec.exchange.spelling import (
    QTY_STEP,
    expiry,
    new_id,
    truncate,
)
from snexec.exchange.statuses import EndStatus, RestingStatus
from snexec.exchange.validation import OrderRequest

OPENING_CASH = Decimal(100_000)
TERMINAL_ORDERS_KEPT = 100_000

_MULTIPLIER = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """A part of an order that was traded; price in USD."""

    id: str
    at_ns: int
    price: Decimal
    qty: Decimal
    position_qty: Decimal


class Book:
    """The truth about one account."""

    def __init__(
        self,
        *,
        prices: Prices,
        rng: random.Random,
        now_ns: Callable[[], int],
        terminal_orders_kept: int = TERMINAL_ORDERS_KEPT,
    ) -> None:
        self.prices = prices
        self.positions = Positions()
        self.cash = OPENING_CASH
        self._rng = rng
        self._now_ns = now_ns
        self._terminal_orders_kept = terminal_orders_kept
        self._orders: dict[str, Order] = {}
        self._by_client_id: dict[str, Order] = {}
        self._open: dict[str, dict[str, Order]] = {}
        self._terminal: deque[Order] = deque()
        self._reserved = ZERO

    @property
    def buying_power(self) -> Decimal:
        """What may still be bought, in USD: four times equity at cost, less what is held or on order."""
        equity = self.cash + self.positions.cost
        return _MULTIPLIER * equity - self.positions.cost - self._reserved

    def submit(
        self,
        request: OrderRequest,
        *,
        status: Literal["accepted", "pending_new"] = "pending_new",
        hidden_ns: int = 0,
    ) -> Order:
        """Accept an order.

        Args:
            request: What the client asks for.
            status: `accepted` if it waits for the market to open.
            hidden_ns: Nanoseconds for which look-ups do not find the order.

        Raises:
            ApiError: The account may not place this order.
        """
        client_order_id = request.client_order_id or new_id()
        if client_order_id in self._by_client_id:
            raise invalid("client_order_id must be unique")
        price = self.prices.last(request.symbol)
        cost = request.notional or (request.qty or ZERO) * price
        existing = self.positions.qty(request.symbol)
        check_size(request, cost)
        check_intent(request, existing)
        goal = ZERO
        if request.side == "buy":
            check_funds(cost, self.buying_power)
        else:
            goal = request.qty or truncate(cost / price, QTY_STEP)
            held = self.held(request.symbol)
            check_holding(request.symbol, goal, existing=existing, held=held)
        check_wash(request, self._open.get(request.symbol, {}).values())
        now = self._now_ns()
        order = Order(
            id=new_id(),
            client_order_id=client_order_id,
            symbol=request.symbol,
            side=request.side,
            notional=request.notional,
            qty=request.qty,
            time_in_force=request.time_in_force,
            extended_hours=request.extended_hours,
            submitted_ns=now,
            updated_ns=now,
            status=status,
            expires_at=expiry(now, request.time_in_force),
            stop_price=request.stop_price,
            goal_qty=goal,
            reserved=cost if request.side == "buy" else ZERO,
            hidden_until_ns=now + hidden_ns if hidden_ns else 0,
        )
        self._add(order)
        return order

    def open_up(self, order: Order) -> None:
        """Turn an accepted or pending order into a working one."""
        order.status = "new"
        order.updated_ns = self._now_ns()

    def execute(self, order: Order, share: Decimal | None = None) -> Execution:
        """Trade a part of an order at a price near the last one.

        Args:
            order: A working order.
            share: The part of the whole order, between 0 and 1; None is all that is left.
        """
        now = self._now_ns()
        if order.sizing_price:
            price = self.prices.execute(order.symbol, near=order.sizing_price)
        else:
            price = order.sizing_price = self.prices.execute(order.symbol)
            order.goal_qty = order.goal_qty or self._buy_goal(order, price)
        if order.side == "sell":
            price = self.prices.paid(order.symbol, price)
        left = order.goal_qty - order.filled_qty
        qty = left
        if share is not None:
            part = max(truncate(order.goal_qty * share, QTY_STEP), QTY_STEP)
            qty = min(part, max(left - QTY_STEP, ZERO))
        cost = qty * price
        kept = 1 - class_of(order.symbol).fee
        order.filled_qty += qty
        order.filled_cost += cost
        order.status = "partially_filled"
        order.updated_ns = now
        if order.side == "buy":
            # The fee is taken out of what is received: coins here, dollars below.
            received = max(truncate(qty * kept, QTY_STEP), QTY_STEP)
            self.positions.buy(order.symbol, received, received * price)
            self.cash -= cost
            self._release(order, min(cost, order.reserved))
        else:
            self.positions.sell(order.symbol, qty)
            self.cash += cost * kept
        if order.filled_qty == order.goal_qty:
            order.status = "filled"
            order.filled_ns = now
            self._close(order)
        return Execution(
            id=new_id(),
            at_ns=now,
            price=price,
            qty=qty,
            position_qty=self.positions.qty(order.symbol),
        )

    def end(self, order: Order, status: EndStatus) -> None:
        """End an order without another execution; what was traded stays."""
        now = self._now_ns()
        order.status = status
        order.updated_ns = now
        match status:
            case "canceled":
                order.cancel_requested_ns = order.canceled_ns = now
            case "expired":
                order.expired_ns = now
            case "rejected":
                order.failed_ns = now
            case "replaced":
                order.replaced_ns = now
        self._close(order)

    def rest(self, order: Order, status: RestingStatus) -> None:
        """Leave a working order in a status in which nothing more happens to it."""
        order.status = status
        order.updated_ns = self._now_ns()
        if status == "pending_cancel":
            order.cancel_requested_ns = order.updated_ns

    def replace(self, order: Order) -> Order:
        """End a working order, and return the new one for what is left of it."""
        successor = order.successor(self._now_ns())
        order.replaced_by = successor.id
        self.end(order, "replaced")
        self._add(successor)
        return successor

    def cancelable(self, order_id: str) -> Order | None:
        """Return an order that may be canceled; None if it was canceled before.

        Raises:
            ApiError: There is no such order, or it ended in another way.
        """
        order = self._orders.get(_checked_id(order_id))
        if order is None:
            raise order_not_found(order_id)
        if order.status == "canceled":
            return None
        if order.terminal:
            raise unprocessable(f'order is already in "{order.status}" state')
        return order

    def find(self, order_id: str) -> Order:
        """Find an order by the exchange's id.

        Raises:
            ApiError: There is none, or it is still hidden.
        """
        order = self._orders.get(_checked_id(order_id))
        if order is None or self._hidden(order):
            raise order_not_found(order_id)
        return order

    def find_client(self, client_order_id: str) -> Order:
        """Find an order by the client's id.

        Raises:
            ApiError: There is none, or it is still hidden.
        """
        order = self._by_client_id.get(client_order_id)
        if order is None or self._hidden(order):
            raise order_not_found(client_order_id)
        return order

    def orders(self) -> Reversible[Order]:
        """Return every order that the book still has, hidden ones too, oldest first."""
        return self._orders.values()

    def open_orders(self) -> list[Order]:
        """Return the orders that may still be executed, oldest first."""
        orders = [order for some in self._open.values() for order in some.values()]
        return sorted(orders, key=lambda order: order.submitted_ns)

    def visible(self, order: Order) -> bool:
        """Return whether look-ups find the order."""
        return not self._hidden(order)

    def held(self, symbol: str) -> Decimal:
        """Return the quantity of a symbol that open sell orders claim."""
        return sum(
            (
                order.goal_qty - order.filled_qty
                for order in self._open.get(symbol, {}).values()
                if order.side == "sell"
            ),
            ZERO,
        )

    def _add(self, order: Order) -> None:
        self._orders[order.id] = order
        self._by_client_id[order.client_order_id] = order
        self._open.setdefault(order.symbol, {})[order.id] = order
        self._reserved += order.reserved

    def _buy_goal(self, order: Order, price: Decimal) -> Decimal:
        if order.qty is not None or order.notional is None:
            return order.qty or QTY_STEP
        # Alpaca's engine holds back 0.1 to 0.2 %: $5 bought 4.98999, $10 bought 9.99.
        cushion = Decimal(self._rng.uniform(0.001, 0.002))
        return max(truncate(order.notional * (1 - cushion) / price, QTY_STEP), QTY_STEP)

    def _release(self, order: Order, amount: Decimal) -> None:
        order.reserved -= amount
        self._reserved -= amount

    def _close(self, order: Order) -> None:
        self._release(order, order.reserved)
        siblings = self._open[order.symbol]
        del siblings[order.id]
        if not siblings:
            del self._open[order.symbol]
        self._terminal.append(order)
        if len(self._terminal) > self._terminal_orders_kept:
            oldest = self._terminal.popleft()
            del self._orders[oldest.id]
            del self._by_client_id[oldest.client_order_id]

    def _hidden(self, order: Order) -> bool:
        return order.hidden_until_ns > self._now_ns()


def _checked_id(order_id: str) -> str:
    try:
        return str(UUID(order_id))
    except ValueError:
        raise invalid("order_id must be a UUID") from None

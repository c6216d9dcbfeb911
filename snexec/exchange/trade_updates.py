"""The `trade_updates` events that an account's stream sends."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Literal

from snexec.exchange.book import Execution
from snexec.exchange.order import Order
from snexec.exchange.spelling import EventIds, number, timestamp
from snexec.exchange.statuses import EndStatus, RestingStatus

EventName = (
    Literal["accepted", "pending_new", "new", "partial_fill", "fill"]
    | EndStatus
    | RestingStatus
)
Event = dict[str, object]


class Events:
    """Builds events as Alpaca spells them."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._ids = EventIds(now_ns)

    def change(
        self, name: EventName, order: Order, execution_id: str | None = None
    ) -> Event:
        """Return the event of an order's change of status.

        Args:
            name: What happened.
            order: The order after it.
            execution_id: The event leaves it out if it is None.
        """
        event = self._head(name, order.updated_ns)
        event["order"] = order.to_event()
        if execution_id is not None:
            event["execution_id"] = execution_id
        return event

    def fill(self, order: Order, execution: Execution) -> Event:
        """Return the event of an execution of an order or of a part of it."""
        name: EventName = "fill" if order.status == "filled" else "partial_fill"
        settles = datetime.fromtimestamp(execution.at_ns / 1e9, UTC) + timedelta(days=1)
        return self._head(name, execution.at_ns) | {
            "order": order.to_event(),
            "price": number(execution.price),
            "qty": number(execution.qty),
            "position_qty": number(execution.position_qty),
            "execution_id": execution.id,
            "swap_rate": "1",
            "settle_date": settles.strftime("%Y-%m-%d"),
        }

    def _head(self, name: EventName, at_ns: int) -> Event:
        # `at` has microseconds, `timestamp` nanoseconds.
        at = self._now_ns() // 1000 * 1000
        return {
            "at": timestamp(at),
            "event_id": self._ids.next(),
            "event": name,
            "timestamp": timestamp(at_ns),
        }

"""What happened on one account: executions, and what corporations did (ALPACA-EXITS 1.5)."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from snexec.exchange.assets import position_symbol
from snexec.exchange.book import Execution
from snexec.exchange.errors import invalid
from snexec.exchange.order import Order
from snexec.exchange.spelling import new_id, number, parse_timestamp, timestamp

KEPT = 100_000
PAGE_MAX = 100

CorporateAction = Literal["SPLIT", "MA", "NC", "SPIN", "REORG"]


@dataclass(frozen=True, slots=True)
class Activity:
    """One entry of the account's history; its time in nanoseconds since the epoch."""

    at_ns: int
    body: dict[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActivityQuery:
    """A query of GET /v2/account/activities; its time bounds are exclusive."""

    kinds: frozenset[str] | None
    after_ns: int | None
    until_ns: int | None
    ascending: bool
    page_size: int
    page_token: str | None


class Activities:
    """Remembers what happened, oldest first."""

    def __init__(self) -> None:
        self._all: deque[Activity] = deque(maxlen=KEPT)

    def executed(self, order: Order, execution: Execution) -> None:
        """Remember an execution."""
        left = order.goal_qty - order.filled_qty
        body: dict[str, object] = {
            "cum_qty": number(order.filled_qty),
            "leaves_qty": number(left),
            "order_id": order.id,
            "order_status": order.status,
            "price": number(execution.price),
            "qty": number(execution.qty),
            "side": order.side,
            "symbol": order.symbol,
            "transaction_time": timestamp(execution.at_ns),
            "type": "partial_fill" if left else "fill",
        }
        self._add("FILL", execution.at_ns, body)

    def corporate_action(
        self, kind: CorporateAction, at_ns: int, symbol: str, qty: str
    ) -> None:
        """Remember what a corporation did to a position, and by how much that changed."""
        body: dict[str, object] = {
            "date": timestamp(at_ns)[:10],
            "net_amount": "0",
            "qty": qty,
            "status": "executed",
            "symbol": position_symbol(symbol),
        }
        self._add(kind, at_ns, body)

    def list(self, query: ActivityQuery) -> list[dict[str, object]]:
        """Return one page of what a query asks for."""
        entries = (entry for entry in self._all if _fits(entry, query))
        found = list(entries)
        if not query.ascending:
            found.reverse()
        if query.page_token is not None:
            ids = [entry.body["id"] for entry in found]
            if query.page_token not in ids:
                raise invalid("page_token is invalid")
            found = found[ids.index(query.page_token) + 1 :]
        return [entry.body for entry in islice(found, query.page_size)]

    def _add(self, kind: str, at_ns: int, body: dict[str, object]) -> None:
        digits = "".join(char for char in timestamp(at_ns)[:23] if char.isdigit())
        head: dict[str, object] = {
            "activity_type": kind,
            "id": f"{digits:0<17}::{new_id()}",
        }
        self._all.append(Activity(at_ns, head | body))


def parse_activity_query(
    params: Mapping[str, str], kind: str | None = None
) -> ActivityQuery:
    """Read the parameters of a request for activities.

    Raises:
        ApiError: One of them makes no sense.
    """
    direction = params.get("direction", "desc")
    if direction not in ("asc", "desc"):
        raise invalid('direction can only be "asc" or "desc"')
    try:
        page_size = int(params.get("page_size", PAGE_MAX))
        after, until = (
            parse_timestamp(params[name]) if params.get(name) else None
            for name in ("after", "until")
        )
    except ValueError as exc:
        raise invalid(str(exc)) from exc
    if not 1 <= page_size <= PAGE_MAX:
        raise invalid(f"page_size must be between 1 and {PAGE_MAX}")
    names = kind or params.get("activity_types")
    return ActivityQuery(
        kinds=frozenset(names.split(",")) if names else None,
        after_ns=after,
        until_ns=until,
        ascending=direction == "asc",
        page_size=page_size,
        page_token=params.get("page_token") or None,
    )


def _fits(entry: Activity, query: ActivityQuery) -> bool:
    if query.kinds is not None and entry.body["activity_type"] not in query.kinds:
        return False
    if query.after_ns is not None and entry.at_ns <= query.after_ns:
        return False
    return query.until_ns is None or entry.at_ns < query.until_ns

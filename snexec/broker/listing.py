"""The account's orders, page by page: what to ask for, and what a page says.

No I/O here. A page is of orders in the order of their submission (ALPACA 2.1).
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard
from urllib.parse import urlencode

from pydantic_core import from_json

from snexec.broker.answers import FINAL_STATUSES, amount, quantity_or_zero
from snexec.errors import UnknownOutcomeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

_PAGE = 500  # the most that Alpaca gives at once
_SMALLEST_PAGE = 50
_LONGEST_ID = 256  # as in the answer to a look-up
_LONGEST_SYMBOL = 64
# Bounds are exclusive, and several orders may have one time.
_OVERLAP = timedelta(microseconds=1)


class ListedOrder(NamedTuple):
    """An order as the list has it.

    Attributes:
        symbol: As the broker spells it.
        notional: Dollars; None where it was ordered in shares.
        filled_qty: Shares bought or sold; None if that cannot be read.
        placed_at: When the broker took it, by the broker's clock.
        quantity: Shares ordered; None where it was ordered in dollars.
        price: Dollars a share, over those filled; None if that cannot be read.
        stop_price: Dollars a share, of a stop.
        filled_at: When it was filled, by the broker's clock.
    """

    id: str
    client_order_id: str
    symbol: str
    status: str
    notional: Decimal | None
    filled_qty: Decimal | None
    placed_at: datetime
    quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    filled_at: datetime | None = None

    @property
    def is_final(self) -> bool:
        """Whether it never works again, nor does another in its place."""
        return self.status in FINAL_STATUSES and self.status != "replaced"


class OrderPages:
    """Walks through the orders that an account has had since a time.

    Args:
        since: No order before it is asked for.
        wanted: Returns whether a buy of this client order id is looked for.
        sells: Returns whether a sell of it is; by default none is.

    Attributes:
        is_over: Whether the last page was taken.
        has_gap: Whether so many orders have one time that some may not be listed.
    """

    def __init__(
        self,
        since: datetime,
        wanted: Callable[[str], bool],
        sells: Callable[[str], bool] | None = None,
    ) -> None:
        self._after = since.astimezone(UTC)
        self._wanted = {"buy": wanted, "sell": sells}
        self._limit = _PAGE
        self._last_page: set[str] = set()
        self.is_over = False
        self.has_gap = False

    @property
    def path(self) -> str:
        """The path of the page that is to be asked for next, with its query."""
        after = f"{self._after.replace(tzinfo=None).isoformat()}Z"
        query = {
            "status": "all",
            "limit": self._limit,
            "direction": "asc",
            "after": after,
        }
        return f"/v2/orders?{urlencode(query)}"

    def ask_for_less(self) -> bool:
        """Ask for shorter pages: one did not come whole; False if none is shorter."""
        if self._limit <= _SMALLEST_PAGE:
            return False
        self._limit = max(_SMALLEST_PAGE, self._limit // 2)
        return True

    def take(self, content: bytes) -> dict[str, dict[str, Any]]:
        """Read the body of a 200, and return the orders in it that are wanted.

        Each is as it came, by its client order id: few of them have to be read.

        Raises:
            UnknownOutcomeError: It is no page of orders, or not the one asked for.
        """
        page = _read(content)
        ids = [str(each.get("id")) for each in page]
        new = [
            each
            for each, name in zip(page, ids, strict=True)
            if name not in self._last_page
        ]
        self._last_page = set(ids)
        if len(page) < self._limit:
            self.is_over = True
        else:
            self._go_on(_time_of(page[0]), _time_of(page[-1]), is_new=bool(new))
        return {
            name: each
            for each in new
            if isinstance(name := each.get("client_order_id"), str)
            and self._is_wanted(each.get("side"), name)
        }

    def _is_wanted(self, side: object, name: str) -> bool:
        wanted = self._wanted.get(str(side))
        return wanted is not None and wanted(name)

    def _go_on(
        self, first: datetime | None, last: datetime | None, *, is_new: bool
    ) -> None:
        if first is None or last is None or last < first:
            raise UnknownOutcomeError("the list of orders is not in their order")
        after = last - _OVERLAP
        if not is_new:
            # A whole page of one time: what is behind it can be asked for, no more.
            self.has_gap, after = True, last + _OVERLAP
        if after <= self._after:
            raise UnknownOutcomeError("the list of orders does not go on")
        self._after = after


def read_listed(fields: Mapping[str, Any]) -> ListedOrder | None:
    """Read one order of a page; None if it lacks what a row needs."""
    order_id, symbol = fields.get("id"), fields.get("symbol")
    name, status = fields.get("client_order_id"), fields.get("status")
    placed_at = _time_of(fields)
    if (
        not _is_text(order_id, _LONGEST_ID)
        or not _is_text(symbol, _LONGEST_SYMBOL)
        or not isinstance(name, str)
        or not isinstance(status, str)
        or placed_at is None
    ):
        return None
    return ListedOrder(
        id=order_id,
        client_order_id=name,
        symbol=symbol,
        status=status,
        notional=amount(fields.get("notional")),
        filled_qty=quantity_or_zero(fields.get("filled_qty")),
        placed_at=placed_at,
        quantity=amount(fields.get("qty")),
        price=amount(fields.get("filled_avg_price")),
        stop_price=amount(fields.get("stop_price")),
        filled_at=_time_of(fields, "filled_at"),
    )


def _read(content: bytes) -> list[dict[str, Any]]:
    try:
        page = from_json(content)
    except ValueError:
        page = None
    if not isinstance(page, list) or not all(isinstance(each, dict) for each in page):
        raise UnknownOutcomeError("the answer is no list of orders")
    return page


def _is_text(value: object, longest: int) -> TypeGuard[str]:
    return isinstance(value, str) and 1 <= len(value) <= longest


def _time_of(fields: Mapping[str, Any], *names: str) -> datetime | None:
    """Return when an order was submitted, or another time; None if it cannot be read."""
    for name in names or ("submitted_at", "created_at"):
        text = fields.get(name)
        if isinstance(text, str):
            with contextlib.suppress(ValueError, OverflowError):
                moment = datetime.fromisoformat(text)
                if moment.tzinfo is not None:
                    return moment.astimezone(UTC)
    return None

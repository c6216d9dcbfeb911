"""What happened on an account, page by page: executions, splits, mergers (ALPACA-EXITS 1.5).

No I/O here. Pages go from the newest to the oldest, each from where the last one ended, so
that what happens meanwhile moves none of them.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeGuard, get_args
from urllib.parse import urlencode

from pydantic_core import from_json

from snexec.assets import position_symbol
from snexec.broker.answers import MAX_ORDER_ID_CHARS, amount
from snexec.broker.positions import signed, told_symbol
from snexec.errors import UnknownOutcomeError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

ActivityKind = Literal["FILL", "SPLIT", "MA", "NC", "REORG", "SPIN"]
KINDS: tuple[ActivityKind, ...] = get_args(ActivityKind)

_PAGE = 100  # the most that Alpaca gives at once
_MOST_PAGES = 50  # a walk takes of recovery's requests, so it ends some time
# What is not an execution has a day and no time, which may count as that day's start.
_MARGIN = timedelta(days=1)


class Activity(NamedTuple):
    """One thing that happened.

    Attributes:
        symbol: In its canonical spelling; a pair perhaps without its slash.
        at: When it happened; of what is not an execution, the start of its day, in UTC.
        quantity: Shares; of what is not an execution, the change, which may be below 0.
            None if it cannot be read.
        price: Dollars a share of an execution; None likewise.
        side: Of an execution; None of all else.
        order_id: The broker's id of the order that was executed.
    """

    id: str
    kind: ActivityKind
    symbol: str
    at: datetime
    quantity: Decimal | None
    price: Decimal | None = None
    side: Literal["buy", "sell"] | None = None
    order_id: str | None = None

    def is_about(self, symbol: str) -> bool:
        """Return whether it is about an asset, by its canonical spelling."""
        return self.symbol in (symbol, position_symbol(symbol))


class ActivityPages:
    """Walks back through what has happened on an account since a time.

    Args:
        since: Nothing before it is returned.

    Attributes:
        is_over: Whether the last page was taken.
        has_gap: Whether so much has happened that the oldest of it was not asked for.
    """

    def __init__(self, since: datetime) -> None:
        self._since = since.astimezone(UTC)
        self._token: str | None = None
        self._pages = 0
        self.is_over = False
        self.has_gap = False

    @property
    def path(self) -> str:
        """The path of the page that is to be asked for next, with its query."""
        after = (self._since - _MARGIN).replace(tzinfo=None).isoformat()
        query = {
            "activity_types": ",".join(KINDS),
            "after": f"{after}Z",
            "direction": "desc",
            "page_size": str(_PAGE),
        }
        if self._token is not None:
            query["page_token"] = self._token
        return f"/v2/account/activities?{urlencode(query)}"

    def take(self, content: bytes) -> list[Activity]:
        """Read the body of a 200, and return what in it can be read, newest first.

        Raises:
            UnknownOutcomeError: It is no page of activities, or the last one again.
        """
        try:
            page = from_json(content)
        except ValueError:
            page = None
        if not isinstance(page, list) or not all(isinstance(e, dict) for e in page):
            raise UnknownOutcomeError("the answer is no list of activities")
        self._pages += 1
        if len(page) < _PAGE:
            self.is_over = True
        else:
            self._go_on(page)
        found = [activity for each in page if (activity := _read(each)) is not None]
        return [each for each in found if each.at >= self._earliest(each)]

    def _go_on(self, page: list[dict[str, Any]]) -> None:
        token = page[-1].get("id")
        is_new = all(each.get("id") != self._token for each in page)
        if not _is_id(token) or (self._token is not None and not is_new):
            raise UnknownOutcomeError("the list of activities does not go on")
        self._token = token
        if self._pages >= _MOST_PAGES:
            self.is_over = self.has_gap = True

    def _earliest(self, activity: Activity) -> datetime:
        if activity.kind == "FILL":
            return self._since
        return self._since.replace(hour=0, minute=0, second=0, microsecond=0)


def _read(fields: Mapping[str, Any]) -> Activity | None:
    """Read one; None for what is of no use here, or has no id, symbol or time."""
    name, kind = fields.get("id"), fields.get("activity_type")
    symbol = told_symbol(fields.get("symbol"), None)
    if not _is_id(name) or kind not in KINDS or not symbol:
        return None
    if kind != "FILL":
        day = _time_of(fields.get("date"))
        if day is None or fields.get("status") == "canceled":
            return None
        return Activity(name, kind, symbol, day, signed(fields.get("qty")))
    at, side = _time_of(fields.get("transaction_time")), fields.get("side")
    if at is None or side not in ("buy", "sell", "sell_short"):
        return None
    order_id = fields.get("order_id")
    return Activity(
        *(name, kind, symbol, at),
        quantity=amount(fields.get("qty")),
        price=amount(fields.get("price")),
        side="buy" if side == "buy" else "sell",
        order_id=order_id if _is_id(order_id) else None,
    )


def _is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 1 <= len(value) <= MAX_ORDER_ID_CHARS


def _time_of(told: object) -> datetime | None:
    """Read a time, or a day as its start; None if it is neither."""
    if isinstance(told, str):
        with contextlib.suppress(ValueError, OverflowError):
            moment = datetime.fromisoformat(told)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return moment.astimezone(UTC)
    return None

"""Watches an account: what may never be, at each order, each execution and the end."""

from __future__ import annotations

import collections
import itertools
import sqlite3
from contextlib import contextmanager
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

from snexec.ledger.exit_rows import row_of_exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import trio

    from snexec.exchange.account import Account
    from snexec.exchange.order import Order
    from snexec.exchange.settings import Behaviour
    from snexec.exchange.validation import OrderRequest

Row = dict[str, Any]
_MILLIONTH = Decimal("0.000001")
_DUST = Decimal("0.000001")  # of a share (SPEC 12.5)


def exact(value: Any) -> Decimal:  # noqa: ANN401 - whatever SQLite holds
    """Return a number of the database's as it is spelled."""
    return Decimal(0) if value is None else Decimal(str(value))


class Auditor:
    """Follows an account from the inside.

    Attributes:
        audits: How often it has looked.
        found: What was not as it must be.
    """

    def __init__(self, account: Account) -> None:
        self.audits = 0
        self.found: list[str] = []
        self._account = account
        self._accept, self._publish = account.accept, account.feed.publish
        account.accept = self._accepted  # type: ignore[method-assign]
        account.feed.publish = self._published  # type: ignore[method-assign]
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def reading(self, database: Path) -> Iterator[None]:
        """Read a database while the block lasts, as another program would."""
        self._database = database
        yield
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def rows(self, symbol: str | None = None) -> list[Row]:
        """Read every row, or those of a symbol, in the order of their writing."""
        if symbol is None:
            return self._read("BotTrade")
        return self._read("BotTrade WHERE symbol = ?", symbol)

    def sells(self) -> dict[str, Row]:
        return {row["id"]: row for row in self._read("BotExit")}

    def problems(self) -> list[str]:
        """Return what is not as it must be, once nothing happens any more."""
        rows, sells = {row["id"]: row for row in self.rows()}, self.sells()
        own = [each for each in self._sold() if row_of_exit(each.client_order_id)]
        return [
            *self.found,
            *never(rows, sells, own),
            *agree(sells, own),
            *results(rows.values(), sells),
        ]

    def _read(self, table: str, *values: str) -> list[Row]:
        if self._connection is None:
            self._connection = sqlite3.connect(self._database, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
        query = f"SELECT * FROM {table} ORDER BY rowid"  # noqa: S608
        found = self._connection.execute(query, values)
        return [dict(row) for row in found]

    def _sold(self) -> list[Order]:
        return [o for o in self._account.book.orders() if o.side == "sell"]

    def _accepted(
        self, request: OrderRequest, behaviour: Behaviour
    ) -> tuple[Order, trio.Event]:
        answer = self._accept(request, behaviour)
        self._audit()
        return answer

    def _published(self, event: Mapping[str, object]) -> None:
        self._audit()
        self._publish(event)

    def _audit(self) -> None:
        self.audits += 1
        book = self._account.book
        live = [o for o in book.open_orders() if o.side == "sell"]
        names = [row_of_exit(each.client_order_id) for each in live]
        for name, count in collections.Counter(filter(None, names)).items():
            if count > 1:
                self.found.append(f"{name} has {count} sells that may fill")
        self.found += [
            f"the account is short of {each.symbol}"
            for each in book.positions.all()
            if each.qty < 0
        ]


def never(
    rows: Mapping[str, Row], sells: Mapping[str, Row], orders: Iterable[Order]
) -> Iterator[str]:
    """Find what may never be, not even in what a killed daemon leaves behind.

    Args:
        rows: Of ``BotTrade``, by their ids.
        sells: Of ``BotExit``, likewise.
        orders: The sells that the broker has had from the daemon.
    """
    by_row: dict[str, list[Order]] = collections.defaultdict(list)
    for order in orders:
        row_id = row_of_exit(order.client_order_id)
        if row_id is None or order.client_order_id not in sells:
            yield f"sell {order.client_order_id} was sent, and nothing decided it"
        else:
            by_row[row_id].append(order)
    for row_id, own in by_row.items():
        own.sort(key=lambda order: order.submitted_ns)
        for first, second in itertools.pairwise(own):
            if not first.terminal or first.updated_ns > second.submitted_ns:
                yield f"{row_id} had two sells at once: {first.id} and {second.id}"
        sold = sum((order.filled_qty for order in own), Decimal(0))
        bought = exact(rows[row_id]["shares"])
        is_split = any(sells[order.client_order_id]["splitRatio"] for order in own)
        if sold > bought and not is_split:
            yield f"{row_id} has bought {bought} and sold {sold}"
    for row in rows.values():
        own_sells = [each for each in sells.values() if each["tradeId"] == row["id"]]
        if sum(each["settledAt"] is None for each in own_sells) > 1:
            yield f"{row['id']} has two sells without an end"
        if row["status"] == "closed" and not any(
            exact(each["filledQty"]) for each in own_sells
        ):
            yield f"{row['id']} is closed without evidence"


def agree(sells: Mapping[str, Row], orders: Iterable[Order]) -> Iterator[str]:
    """Find the orders of whose end their rows say something else than the broker."""
    for order in orders:
        sell = sells.get(order.client_order_id, {})
        if sell.get("splitRatio"):
            continue  # it is kept in the shares of now
        said = sell.get("alpacaOrderId"), sell.get("state")
        state = order.status if order.terminal else "working"
        told = (*said, exact(sell.get("filledQty")))
        if told != (expected := (order.id, state, order.filled_qty)):
            yield f"{order.client_order_id} is {told}, and the broker says {expected}"


def results(rows: Iterable[Row], sells: Mapping[str, Row]) -> Iterator[str]:
    """Find the closed rows whose price and result are not those of SPEC 12.5."""
    for row in rows:
        if row["status"] != "closed":
            continue
        own = [each for each in sells.values() if each["tradeId"] == row["id"]]
        parts = [each for each in own if exact(each["filledQty"])]
        quantity = sum((exact(each["filledQty"]) for each in parts), Decimal(0))
        if abs(quantity - exact(row["shares"])) > _DUST:
            yield f"{row['id']} is closed, and {quantity} of {row['shares']} are sold"
            continue
        price = pnl = None
        if all(each["filledAvgPrice"] is not None for each in parts):
            dollars = sum(
                (exact(each["filledQty"]) * exact(each["filledAvgPrice"]))
                for each in parts
            )
            price = rounded(dollars / quantity)
            pnl = rounded(dollars - exact(row["entryPrice"]) * exact(row["shares"]))
        if (row["exitPrice"], row["pnl"]) != (price, pnl):
            yield (
                f"{row['id']}: {row['exitPrice']} and {row['pnl']} should be {price}"
                f" and {pnl}"
            )


def rounded(value: Decimal) -> float:
    """Return a number as the database holds prices and results."""
    return float(value.quantize(_MILLIONTH, ROUND_HALF_EVEN))

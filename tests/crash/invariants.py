"""What must be true of the rows and the broker's books, whatever was killed when."""

from __future__ import annotations

import collections
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snexec.ledger.rows import trade_id
from snexec.model import MODES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from snexec.exchange.account import Account
    from snexec.exchange.order import Order
    from snexec.exchange.server import Exchange
    from snexec.model import Mode
    from tests.integration.harness import Box

Row = dict[str, Any]

_NO_ROW = {"refused", "not sent", "stale"}  # what leaves none (SPEC 5)


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the last daemon's log says of a signal that it did not order.

    Attributes:
        signal_id: The signal.
        why: ``symbol_open``, ``repeated``, ``no_stars``, ``refused``, …
    """

    signal_id: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A signal that the last daemon has taken.

    Attributes:
        mode: The mode that it was in.
    """

    signal_id: str
    symbol: str
    mode: Mode


def check(
    box: Box, exchange: Exchange, sent: Collection[Sent] = (), said: Iterable[Said] = ()
) -> list[str]:
    """Compare every row with every order, once all is settled; return what is wrong."""
    rows = {row["id"]: row for row in box.rows()}
    problems = [*check_always(rows, exchange), *_check_symbols(rows, exchange)]
    for mode in MODES:
        account = exchange.account(mode)
        for order in account.book.orders():
            row = rows.get(order.client_order_id)
            if row is not None:
                problems += _disagreements(row, order, account)
    known = {
        order.client_order_id
        for mode in MODES
        for order in exchange.account(mode).book.orders()
    }
    problems += [
        f"{_named(row)} is {row['status']} ({row['exitReason']}) with order id"
        f" {row['alpacaOrderId']}, and the broker has no such order"
        for row in rows.values()
        if row["id"] not in known
        and (row["status"], row["exitReason"], row["alpacaOrderId"], row["shares"])
        != ("missed", "order_not_found", None, None)
    ]
    return problems + list(_unaccounted(rows, sent, said))


def check_always(rows: dict[str, Row], exchange: Exchange) -> list[str]:
    """Return what is wrong even for the rows that a killed daemon leaves behind."""
    problems = []
    for mode in MODES:
        for order in exchange.account(mode).book.orders():
            row = rows.get(order.client_order_id)
            if row is None:
                problems.append(f"{mode} {_told(order)} has no row")
            elif (row["mode"], row["symbol"]) != (mode, order.symbol):
                problems.append(f"{mode} {_told(order)} has the row {_named(row)}")
            elif row["alpacaOrderId"] not in {None, order.id}:
                problems.append(f"{mode} {_told(order)}: {_named(row)} has another id")
    for row in rows.values():
        if row["mode"] not in MODES or row["notional"] is None:
            problems.append(f"{_named(row)} has no mode or no notional")
        if row["signalId"] is not None and row["id"] != trade_id(
            row["mode"], row["signalId"]
        ):
            problems.append(f"{_named(row)}: its id is not its signal's")
    return problems


def check_kept(before: dict[str, Row], now: dict[str, Row]) -> list[str]:
    """Return what a later daemon has undone: rows with an order, and settled rows."""
    problems = []
    for old in before.values():
        new = now.get(old["id"])
        if new is None:
            if old["alpacaOrderId"] is not None:
                problems.append(f"{_named(old)} is gone, and it had an order")
        elif old["settledAt"] is not None and new != old:
            problems.append(f"a settled row has changed: from {old} to {new}")
        elif old["alpacaOrderId"] not in {None, new["alpacaOrderId"]}:
            problems.append(f"{_named(old)} has another order now: {new}")
    return problems


def _check_symbols(rows: dict[str, Row], exchange: Exchange) -> Iterator[str]:
    """Find symbols with two open rows, or with two orders where one was enough.

    No row is ever closed here, so an order that bought something, or that may still,
    must be its symbol's only one; others must have ended before the next one left.
    An order found after it was given up is what SPEC 11 makes an exception of.
    """
    is_open = collections.Counter(
        row["symbol"] for row in rows.values() if row["status"] == "open"
    )
    yield from (f"{name} has {n} open rows" for name, n in is_open.items() if n > 1)
    by_symbol: dict[str, list[Order]] = collections.defaultdict(list)
    for mode in MODES:
        for order in exchange.account(mode).book.orders():
            row = rows.get(order.client_order_id)
            if row is None or row["exitReason"] != "order_found_late":
                by_symbol[order.symbol].append(order)
    for symbol, orders in by_symbol.items():
        orders.sort(key=lambda order: order.submitted_ns)
        for first, second in itertools.pairwise(orders):
            if not first.terminal or first.filled_qty:
                yield f"{symbol} has two orders: {_told(first)} and {_told(second)}"
            elif first.updated_ns > second.submitted_ns:
                yield f"{symbol} had two orders at once: {first.id} and {second.id}"


def _disagreements(row: Row, order: Order, account: Account) -> Iterator[str]:
    """Compare one row with its order (the tables of SPEC 7 and 8)."""
    bought = float(order.filled_qty) or None
    expected: Row = {
        "alpacaOrderId": order.id,
        "status": "open" if bought or not order.terminal else "missed",
        "exitReason": None,
        "shares": bought,
        "entryPrice": None if not bought else float(order.filled_avg_price or 0),
    }
    if order.terminal and not bought:
        expected["exitReason"] = f"alpaca_{order.status}"
    if not order.terminal and bought:
        expected["shares"] = float(account.book.positions.qty(order.symbol))
    if row["exitReason"] == "order_found_late" and bought:
        expected |= {"status": "missed", "exitReason": "order_found_late"}
    for name, value in expected.items():
        if row[name] != value:
            yield f"{_told(order)}: {name} of {_named(row)} is {row[name]!r}, not {value!r}"
    if order.terminal != (row["settledAt"] is not None):
        yield f"{_told(order)}: {_named(row)} has settledAt {row['settledAt']}"


def _unaccounted(
    rows: dict[str, Row], sent: Collection[Sent], said: Iterable[Said]
) -> Iterator[str]:
    """Find signals of which neither a row nor the log says what became of them."""
    reasons = {one.signal_id: one.why for one in said}
    symbols = {row["symbol"] for row in rows.values()}
    symbols |= {one.symbol for one in sent if reasons.get(one.signal_id) in _NO_ROW}
    for signal in sent:
        has_row = trade_id(signal.mode, signal.signal_id) in rows
        why = reasons.get(signal.signal_id)
        # A symbol is open while an order is tried that leaves no row in the end.
        skipped = why == "symbol_open" and signal.symbol in symbols
        if not (has_row or skipped or why in _NO_ROW or why == "no_stars"):
            yield (
                f"signal {signal.signal_id} of {signal.symbol} ({signal.mode}) was"
                f" accepted and has neither an order nor a row; the log says: {why}"
            )
        if why == "no_stars" and has_row:
            yield f"signal {signal.signal_id} has a row, and it is no trade"


def _told(order: Order) -> str:
    return (
        f"order {order.id} of {order.symbol} ({order.client_order_id}, {order.status},"
        f" {order.filled_qty} filled)"
    )


def _named(row: Row) -> str:
    return f"row {row['id']} ({row['symbol']}, {row['mode']}, signal {row['signalId']})"

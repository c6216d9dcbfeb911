"""What GET requests show of a book: orders, positions, account, clock, assets."""

from collections.abc import Iterator, Mapping, Reversible
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

from snexec.exchange.assets import (
    CRYPTO,
    asset_id,
    canonical,
    class_of,
    exists,
    position_symbol,
)
from snexec.exchange.book import Book
from snexec.exchange.errors import ApiError, invalid, not_found
from snexec.exchange.market import Market
from snexec.exchange.order import Order
from snexec.exchange.positions import Position
from snexec.exchange.spelling import CENT, next_close, number, parse_timestamp, truncate

# The smallest steps of an order of coins.
_STEPS = {
    "min_order_size": "0.000000001",
    "min_trade_increment": "0.000000001",
    "price_increment": "0.01",
}
LIMIT_MAX = 500
_LIMIT = 50
_NEW_YORK = timezone(timedelta(hours=-4))


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderQuery:
    """A query of GET /v2/orders; its time bounds are exclusive."""

    status: str
    limit: int
    after_ns: int | None
    until_ns: int | None
    ascending: bool
    symbols: frozenset[str] | None
    side: str | None


def parse_order_query(params: Mapping[str, str]) -> OrderQuery:
    """Read the parameters of GET /v2/orders.

    Raises:
        ApiError: One of them makes no sense.
    """
    status = params.get("status", "open")
    if status not in ("open", "closed", "all"):
        raise invalid('status can only be "open", "closed" or "all"')
    direction = params.get("direction", "desc")
    if direction not in ("asc", "desc"):
        raise invalid('direction can only be "asc" or "desc"')
    try:
        limit = int(params.get("limit", _LIMIT))
        after = params.get("after")
        until = params.get("until")
        after_ns = parse_timestamp(after) if after else None
        until_ns = parse_timestamp(until) if until else None
    except ValueError as exc:
        raise invalid(str(exc)) from exc
    symbols = params.get("symbols")
    return OrderQuery(
        status=status,
        limit=max(1, min(limit, LIMIT_MAX)),
        after_ns=after_ns,
        until_ns=until_ns,
        ascending=direction == "asc",
        symbols=frozenset(map(canonical, symbols.split(","))) if symbols else None,
        side=params.get("side"),
    )


def list_orders(book: Book, query: OrderQuery) -> list[dict[str, object]]:
    """Return the orders that a query asks for."""
    matching = _matching(book, query)
    if query.ascending and query.after_ns is not None:
        # Newest first up to the bound: a query of the recent past must not walk the whole book.
        matching = reversed(list(matching))
    return [order.to_reply() for order in islice(matching, query.limit)]


def _matching(book: Book, query: OrderQuery) -> Iterator[Order]:
    newest_first = not query.ascending or query.after_ns is not None
    orders: Reversible[Order] = book.orders()
    if query.status == "open":
        orders = book.open_orders()
    for order in reversed(orders) if newest_first else orders:
        if query.after_ns is not None and order.submitted_ns <= query.after_ns:
            return
        if query.until_ns is not None and order.submitted_ns >= query.until_ns:
            continue
        if query.status == "closed" and not order.terminal:
            continue
        if query.symbols is not None and order.symbol not in query.symbols:
            continue
        if query.side is not None and order.side != query.side:
            continue
        if book.visible(order):
            yield order


def asset_not_found(symbol: str) -> ApiError:
    """Return the reply that there is no such asset."""
    return not_found(f"asset not found for {symbol}")


def no_position() -> ApiError:
    """Return the reply that nothing is held of a symbol."""
    return not_found("position does not exist")


def held(book: Book, symbol: str) -> Position:
    """Return what is held of a symbol, which is asked for as positions spell it.

    Raises:
        ApiError: There is none, or the symbol is spelled as in orders.
    """
    position = book.positions.get(canonical(symbol))
    if position is None or symbol != position_symbol(position.symbol):
        raise no_position()
    return position


def position(book: Book, symbol: str) -> object:
    """Return the position in a symbol, as ``held`` finds it.

    Raises:
        ApiError: There is none.
    """
    return _show(book, held(book, symbol))


def positions(book: Book) -> list[object]:
    """Return all positions."""
    return [_show(book, each) for each in book.positions.all()]


def _show(book: Book, position: Position) -> object:
    symbol, prices = position.symbol, book.prices
    return position.to_reply(
        prices.last(symbol), prices.opening(symbol), book.held(symbol)
    )


def account(book: Book) -> object:
    """Return the account."""
    value = sum(
        (each.qty * book.prices.last(each.symbol) for each in book.positions.all()),
        start=book.cash * 0,
    )
    cash = number(truncate(book.cash, CENT))
    equity = number(truncate(book.cash + value, CENT))
    power = number(truncate(max(book.buying_power, book.cash * 0), CENT))
    long_value = number(truncate(value, CENT))
    return {
        "account_blocked": False,
        "account_number": "SIMULATED",
        "accrued_fees": "0",
        "admin_configurations": {},
        "balance_asof": datetime.now(UTC).strftime("%Y-%m-%d"),
        "buying_power": power,
        "cash": cash,
        "created_at": "2020-01-01T00:00:00Z",
        "crypto_status": "ACTIVE",
        "crypto_tier": 1,
        "currency": "USD",
        "effective_buying_power": power,
        "equity": equity,
        "id": asset_id("account"),
        "initial_margin": "0",
        "intraday_adjustments": "0",
        "last_equity": equity,
        "last_maintenance_margin": "0",
        "long_market_value": long_value,
        "maintenance_margin": "0",
        "multiplier": "4",
        "non_marginable_buying_power": cash,
        "options_approved_level": 0,
        "options_buying_power": cash,
        "options_trading_level": 0,
        "pending_reg_taf_fees": "0",
        "portfolio_value": equity,
        "position_market_value": long_value,
        "regt_buying_power": power,
        "short_market_value": "0",
        "shorting_enabled": False,
        "sma": "0",
        "status": "ACTIVE",
        "trade_suspended_by_user": False,
        "trading_blocked": False,
        "transfers_blocked": False,
        "user_configurations": None,
    }


def clock(ns: int, market: Market) -> object:
    """Return the market's clock; the market stays as it is until a control changes it.

    A change that is announced takes place by itself.
    """
    now = datetime.fromtimestamp(ns / 1e9, _NEW_YORK)
    closes = next_close(ns).astimezone(_NEW_YORK)
    opens = (closes + timedelta(days=1)).replace(hour=9, minute=30)
    if market.changes_ns is not None and ns < market.changes_ns:
        change = datetime.fromtimestamp(market.changes_ns / 1e9, _NEW_YORK)
        if market.is_open:
            closes = change
        else:
            opens = change
    return {
        "timestamp": now.isoformat(),
        "is_open": market.open_at(ns),
        "next_open": opens.isoformat(),
        "next_close": closes.isoformat(),
    }


def asset(symbol: str) -> object:
    """Return an asset.

    Raises:
        ApiError: There is none of that symbol.
    """
    name = canonical(symbol)
    if not exists(name):
        raise asset_not_found(symbol)
    asset_class = class_of(name)
    crypto = asset_class is CRYPTO
    return {
        "attributes": [] if crypto else ["fractional_eh_enabled", "has_options"],
        "borrow_status": "easy_to_borrow",
        "class": asset_class.name,
        "easy_to_borrow": not crypto,
        "exchange": asset_class.exchange,
        "fractionable": True,
        "id": asset_id(name),
        "maintenance_margin_requirement": 100 if crypto else 30,
        "margin_requirement_long": "100" if crypto else "30",
        "margin_requirement_short": "100" if crypto else "30",
        "marginable": not crypto,
        **(_STEPS if crypto else {}),
        "name": f"{name} (simulated)",
        "shortable": False,
        "status": "active",
        "symbol": name,
        "tradable": True,
    }

"""What must hold of what was bought and sold, once everything has settled (SPEC 12.10)."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from snexec.ledger import row_of_exit
from tests.simulation.checks import (
    _every_signal_ends,
    _nothing_is_forgotten,
    _one_open_row_each,
    _one_order_a_signal,
    _rows_without_an_order,
    _within_the_limit,
)
from tests.simulation.world import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulation.exit_world import ExitWorld
    from tests.simulation.model import Order
    from tests.simulation.world import Row, World

_MILLIONTH = Decimal("0.000001")
_DUST = Decimal("0.000001")


def exit_problems(world: World) -> list[str]:
    """Tell what the daemon and the broker do not agree on (yet)."""
    sold = cast("ExitWorld", world)
    rows = world.rows()
    orders = {order.client_order_id: order for order in world.broker.orders()}
    return [
        *_rows_without_an_order(rows, orders),
        *_one_open_row_each(rows),
        *_one_order_a_signal(rows, orders),
        *_every_signal_ends(world, rows),
        *_nothing_is_forgotten(world, rows),
        *_within_the_limit(world),
        *_every_buy_has_its_row(rows, orders),
        *_every_sale_has_its_row(sold),
        *_every_exit_has_ended(sold),
        *(problem for row in rows.values() for problem in _result(sold, row)),
        *_rows_hold_what_is_held(sold, rows),
        *_every_rule_was_obeyed(sold, rows),
    ]


def _every_buy_has_its_row(
    rows: dict[str, Row], orders: dict[str, Order]
) -> Iterator[str]:
    for row_id, order in orders.items():
        row = rows.get(row_id)
        if row is None:
            yield f"the broker has {order.id} {order.symbol}, and no row says so"
        elif (row["settledAt"] is not None) != order.is_final:
            yield f"{order.id} is {order.status}: {shown(row)}"
        elif not order.bought and row["status"] != "missed":
            yield f"{order.id} has bought nothing: {shown(row)}"
        elif order.bought and row["status"] == "missed":
            yield f"{order.id} has bought {order.bought}: {shown(row)}"


def _every_sale_has_its_row(world: ExitWorld) -> Iterator[str]:
    sells = world.exits()
    for name, sale in world.broker.sales.items():
        sell = sells.get(name)
        if sell is None:
            yield f"the broker has sell {sale.id}, and nothing decided it"
            continue
        split = Fraction(sell["splitRatio"] or 1)
        ratio = Decimal(split.numerator) / split.denominator
        said = sell["alpacaOrderId"], sell["state"]
        status = sale.status if sale.is_final else "working"
        if said != (sale.id, status):
            yield f"{name} is {said}, and the broker says {sale.id} {sale.status}"
        elif abs(Decimal(sell["filledQty"]) - sale.sold * ratio) > Decimal("1e-12"):
            yield f"{name} has sold {sell['filledQty']}, and {sale.sold} x {ratio} are"
        elif sale.price is not None and not _near(
            Decimal(sell["filledAvgPrice"]), sale.price / ratio
        ):
            yield f"{name} was sold at {sell['filledAvgPrice']}, not {sale.price}"


def _near(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) < Decimal("1e-9")


def _every_exit_has_ended(world: ExitWorld) -> Iterator[str]:
    for name, sell in world.exits().items():
        sale = world.broker.sales.get(name)
        rests = sale is not None and sale.stop_price and not sale.sold
        if sell["settledAt"] is None and rests:
            if world.seen[sell["tradeId"]]["status"] != "open":
                yield f"{name} rests, and its row has ended"
        elif sell["settledAt"] is None:
            yield f"{name} has no end: {sell['state']}"
        elif (
            sell["kind"] != "external"
            and sale is None
            and sell["state"] not in {"refused", "dropped"}
        ):
            yield f"{name} is {sell['state']}, and the broker never had it"


def _result(world: ExitWorld, row: Row) -> Iterator[str]:
    """See that a closed row says what its sells come to."""
    if row["status"] != "closed":
        return
    own = [each for each in world.exits().values() if each["tradeId"] == row["id"]]
    parts = [each for each in own if Decimal(each["filledQty"])]
    quantity = sum((Decimal(each["filledQty"]) for each in parts), Decimal(0))
    shares = Decimal(repr(row["shares"]))
    if abs(shares - quantity) > _DUST:
        yield f"closed with {quantity} of {shares} sold: {shown(row)}"
    most = max(parts, key=lambda each: Decimal(each["filledQty"]), default=None)
    if most is None or row["exitReason"] != most["reason"]:
        yield f"closed as {row['exitReason']}: {parts}"
        return
    price = pnl = None
    if all(each["filledAvgPrice"] is not None for each in parts):
        dollars = sum(
            (
                Decimal(each["filledQty"]) * Decimal(each["filledAvgPrice"])
                for each in parts
            ),
            Decimal(0),
        )
        price = _rounded(dollars / quantity)
        pnl = _rounded(dollars - Decimal(repr(row["entryPrice"])) * shares)
    if (row["exitPrice"], row["pnl"]) != (price, pnl):
        yield f"{row['exitPrice']}, {row['pnl']} should be {price}, {pnl}: {shown(row)}"


def _rounded(value: Decimal) -> float:
    return float(value.quantize(_MILLIONTH, ROUND_HALF_EVEN))


def _rows_hold_what_is_held(world: ExitWorld, rows: dict[str, Row]) -> Iterator[str]:
    """See that open rows are of shares that are there, and all others' are theirs."""
    left: dict[tuple[str, str], Decimal] = {}
    for row in rows.values():
        if row["status"] != "open" or not row["shares"]:
            continue
        own = [each for each in world.exits().values() if each["tradeId"] == row["id"]]
        sold = sum((Decimal(each["filledQty"]) for each in own), Decimal(0))
        left[row["mode"], row["symbol"]] = Decimal(repr(row["shares"])) - sold
    for (mode, symbol), holding in world.broker.holdings.items():
        beyond = holding.qty - left.pop((mode, symbol), Decimal(0))
        # What others sold and bought before it was looked at is not told apart.
        if not -_DUST <= beyond <= holding.others_bought + _DUST:
            yield (
                f"{mode} holds {holding.qty} {symbol}, its rows {holding.qty - beyond},"
                f" and others have bought {holding.others_bought}"
            )
    for (account, symbol), remaining in left.items():
        yield f"an open row has {remaining} {symbol}, and {account} none"


def _every_rule_was_obeyed(world: ExitWorld, rows: dict[str, Row]) -> Iterator[str]:
    """See that what a rule sells is not held any more."""
    if not world.market.is_open:
        yield "the market is closed"
        return
    assert world.daemon is not None
    for row in rows.values():
        if row["status"] != "open" or not row["shares"]:
            continue
        found = world.daemon.wings.exits.explain(row["id"])
        if found is None:
            yield f"not watched: {shown(row)}"
        yield from _rule_of(world, row)


def _rule_of(world: ExitWorld, row: Row) -> Iterator[str]:
    from tests.simulation import exit_steps as steps  # noqa: PLC0415

    price = world.market.price(row["symbol"])
    entry = Decimal(repr(row["entryPrice"]))
    held = world.held_seconds(row)
    if held > world.max_hold + 5:
        yield f"held for {held:.0f} s: {shown(row)}"
    if price <= world.stop_level(row):
        yield f"at {price}, below its stop: {shown(row)}"
    if price >= entry * (1 + steps.TARGET / 100):
        yield f"at {price}, beyond its target: {shown(row)}"


def rows_of(world: ExitWorld, *, status: str = "closed") -> list[Row]:
    """Return the rows of a status."""
    return [row for row in world.seen.values() if row["status"] == status]


def sales_of(world: ExitWorld) -> int:
    """Count the sell orders that the broker had."""
    return sum(row_of_exit(name) is not None for name in world.broker.sales)

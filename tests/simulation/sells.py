"""The broker's other side: what is held, and every way in which a sell can go."""

from __future__ import annotations

import itertools
import json
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any

import trio

from snexec.broker.answers import BrokerOrder
from snexec.broker.positions import (
    HeldPosition,
    PositionList,
    read_position,
    read_positions,
)
from snexec.errors import (
    BrokerError,
    DuplicateOrderError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.ledger import row_of_exit
from tests.fakes import listed_order, page_of
from tests.simulation.exit_steps import PLAIN, Fate
from tests.simulation.holdings import MILLIONTH, Holding, PostedSell, Sale
from tests.simulation.market import Market, moment
from tests.simulation.model import (
    _POSTS,
    TIMEOUT_SECONDS,
    Broker,
    Order,
    _answered,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker.sent import OutgoingSell
    from snexec.model import Mode
    from tests.simulation.model import _PostFate

_BILLIONTH = Decimal("1e-9")
_PARTS = (Decimal("0.3"), Decimal("0.7"))
_OTHERS_BUY = Decimal(3)
_ENDS = {"cancel": "canceled", "expire": "expired", "reject": "rejected"}
Key = tuple["Mode", str]


class SellingBroker(Broker):
    """A broker that also sells, and whose market moves.

    Args:
        market: It.
        may_sell: Called with each sell that leaves the daemon.
        wrong: Called with what must never be.

    Attributes:
        sales: Every sell order, by its client order id.
        holdings: What is held.
        empty_lists: How many lists of positions are still to be empty.
        is_another: Whether the account is another, which has nothing.
        sold_at: When others sold of a symbol last.
    """

    def __init__(
        self,
        *,
        market: Market,
        may_sell: Callable[[Mode, OutgoingSell], None],
        wrong: Callable[[str], None],
        **more: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(**more)
        self.market = market
        self._may_sell = may_sell
        self._wrong = wrong
        self.sales: dict[str, Sale] = {}
        self.holdings: dict[Key, Holding] = {}
        self.posted_sells: list[PostedSell] = []
        self.fates: dict[str, list[Fate]] = {}
        self.empty_lists = 0
        self.is_another = False
        self._fate_of: dict[str, Fate] = {}
        self._activities: list[dict[str, Any]] = []
        self._theirs: dict[str, BrokerOrder] = {}
        self._bought: dict[str, Decimal] = {}
        self._sale_numbers = itertools.count(1)
        self._dollars: dict[str, Decimal] = {}
        self._nursery.start_soon(market.run, self._session_ends)

    def holding(self, mode: Mode, symbol: str) -> Holding:
        """Return what an account has of a symbol."""
        return self.holdings.setdefault((mode, symbol), Holding())

    def sales_of(self, row_id: str) -> list[Sale]:
        """Return the sell orders of a row."""
        return [
            s for s in self.sales.values() if row_of_exit(s.client_order_id) == row_id
        ]

    def free(self, mode: Mode, symbol: str) -> Decimal:
        """Return what could be sold of a symbol now."""
        return self.holding(mode, symbol).qty - self._claimed(mode, symbol)

    # Buys.

    def _price(self, order: Order, part: int) -> Decimal:
        """Buy at the market: the average of what was bought so far and of the rest."""
        before = self._dollars.get(order.id, Decimal(0))
        more = order.bought - self._bought.get(order.id, Decimal(0))
        price = self.market.price(order.symbol)
        self._dollars[order.id] = before + more * price
        holding = self.holding(order.mode, order.symbol)
        holding.add(more, price)
        self._bought[order.id] = order.bought
        self._executed(order.mode, order.id, order.symbol, "buy", more, price)
        del part
        return (self._dollars[order.id] / order.bought).quantize(MILLIONTH)

    def _holds(self, mode: Mode, symbol: str) -> Decimal:
        return Decimal(0) if self.is_another else self.holding(mode, symbol).qty

    def _claimed(self, mode: Mode, symbol: str) -> Decimal:
        return sum(
            (
                s.left
                for s in self.sales.values()
                if (s.mode, s.symbol) == (mode, symbol)
            ),
            Decimal(0),
        )

    async def look_up(
        self, mode: Mode, client_order_id: str, order_id: str | None
    ) -> BrokerOrder:
        if self.is_another:
            await self._on_its_way()
            raise NotFoundError(status_code=404, body="", reason="order not found")
        return await super().look_up(mode, client_order_id, order_id)

    # Sells, as requests.

    async def post_sell(self, mode: Mode, sell: OutgoingSell) -> BrokerOrder:
        """Take a sell, as its fate has it."""
        name = sell.client_order_id
        self._may_sell(mode, sell)
        fate = self._fate_of.get(name)
        if fate is None:
            waiting = self.fates.get(sell.symbol)
            fate = self._fate_of[name] = waiting.pop(0) if waiting else PLAIN
        count = sum(each.client_order_id == name for each in self.posted_sells)
        kind = fate.posts[count] if count < len(fate.posts) else "ok"
        posted = PostedSell(
            mode=mode,
            symbol=sell.symbol,
            client_order_id=name,
            at=trio.current_time(),
            stop_price=sell.stop_price,
        )
        self.posted_sells.append(posted)
        what = _POSTS[kind]
        if what.answer == "not sent" or self._is_unreachable():
            await trio.sleep(0.02)
            self._say(f"POST sell {sell.symbol}: not sent")
            posted.answered, posted.is_handled = "not sent", True
            raise NotSentError("no route")
        self._say(f"POST sell {sell.quantity} {sell.symbol} {mode} {name}: {kind}")
        reply: list[BrokerOrder | BrokerError] = []
        replied = trio.Event()
        self.busy += 1
        self._nursery.start_soon(
            self._handle_sell, what, posted, sell.quantity, reply, replied
        )
        self._come_to("post leaves")
        with trio.move_on_after(TIMEOUT_SECONDS):
            await replied.wait()
        self._come_to("post answered")
        answer = reply[0] if reply else UnknownOutcomeError("no answer within 10 s")
        posted.answered = _answered(answer)
        if isinstance(answer, BrokerOrder):
            return answer
        raise answer

    async def _handle_sell(
        self,
        what: _PostFate,
        posted: PostedSell,
        qty: Decimal,
        reply: list[BrokerOrder | BrokerError],
        replied: trio.Event,
    ) -> None:
        try:
            sale: Sale | None = None
            answer: BrokerOrder | BrokerError | None = None
            if what.accepted_after is not None:
                await trio.sleep(what.accepted_after)
                answer = self._refusal(posted, qty)
                if answer is None:
                    sale = self._accept_sell(posted, qty)
                    answer = sale.answer()
                self._come_to("post accepted")
            posted.is_handled = True
            await trio.sleep(what.answered_after)
            match what.answer:
                case "order now" if sale is not None:
                    answer = sale.answer()
                case "lost":
                    answer = UnknownOutcomeError("lost")
                case "refused":
                    answer = _refused(403, "account is restricted")
                case "429":
                    answer = RateLimitedError("HTTP 429", wait_seconds=3.0)
                case _:
                    pass
            if answer is not None and what.answer is not None:
                reply.append(answer)
                replied.set()
        finally:
            self.busy -= 1

    def _refusal(self, posted: PostedSell, qty: Decimal) -> BrokerError | None:
        """Return why a sell is not taken, by what the account has."""
        mode, symbol, name = posted.mode, posted.symbol, posted.client_order_id
        if name in self.sales:
            return DuplicateOrderError(
                status_code=422, body="", reason="must be unique"
            )
        held = Decimal(0) if self.is_another else self.holding(mode, symbol).qty
        if not held:
            return _refused(422, "position intent mismatch, inferred: sell_to_open")
        for order in self.accounts[mode].orders.values():
            if order.symbol == symbol and not order.is_final:
                return _refused(
                    403,
                    "potential wash trade detected",
                    existing_order_id=order.latest.id,
                )
        claimed = self._claimed(mode, symbol)
        if qty > held - claimed:
            return _refused(
                403,
                "insufficient qty available for order",
                available=f"{held - claimed:f}",
                existing_qty=f"{held:f}",
                held_for_orders=f"{claimed:f}",
            )
        return None

    def _accept_sell(self, posted: PostedSell, qty: Decimal) -> Sale:
        now = trio.current_time()
        row_id = row_of_exit(posted.client_order_id) or ""
        for other in self.sales_of(row_id):
            if not other.is_final:
                self._wrong(f"two sells of a row work: {other.id} beside a new one")
        fate = self._fate_of[posted.client_order_id]
        sale = Sale(
            id=f"{posted.mode}-s{next(self._sale_numbers)}",
            client_order_id=posted.client_order_id,
            symbol=posted.symbol,
            mode=posted.mode,
            qty=qty,
            fate=fate,
            found_from=now + fate.hidden,
            placed_at=now,
            stop_price=posted.stop_price,
        )
        self.sales[sale.client_order_id] = sale
        self._say(f"the broker accepts {sale.id}: sell {qty} {sale.symbol}")
        self.busy += 1
        self._nursery.start_soon(self._sell, sale)
        return sale

    async def look_up_sell(
        self, mode: Mode, client_order_id: str, order_id: str | None
    ) -> BrokerOrder:
        """Tell of a sell, as its fate has it."""
        fate = self._fate_of.get(client_order_id, PLAIN)
        count = self._looked[client_order_id] = self._looked.get(client_order_id, 0) + 1
        kind = fate.looks[count - 1] if count <= len(fate.looks) else "ok"
        await trio.sleep(0.02)
        if kind == "not sent" or self._is_unreachable():
            raise NotSentError("no route")
        sale = self.sales.get(client_order_id)
        if sale is not None and (
            trio.current_time() < sale.found_from
            or order_id not in {None, sale.id}
            or self.is_another
            or sale.mode != mode
        ):
            sale = None
        answer = None if sale is None else sale.answer()
        match kind:
            case "lost":
                raise UnknownOutcomeError("lost")
            case "hangs":
                await trio.sleep(TIMEOUT_SECONDS)
                raise UnknownOutcomeError("no answer within 10 s")
            case "slow":
                await trio.sleep(4.0)
            case "429":
                raise RateLimitedError("HTTP 429", wait_seconds=3.0)
            case "401":
                raise RefusedError(status_code=401, body="", reason="unauthorized")
            case _:
                pass
        self._come_to("look-up answered")
        if answer is None:
            self._say(f"look-up of {client_order_id}: 404")
            raise NotFoundError(status_code=404, body="", reason="order not found")
        self._say(f"look-up: {answer.id} is {answer.status}")
        return answer

    async def sell_order(self, mode: Mode, order_id: str) -> BrokerOrder:
        """Tell of any order that has sold."""
        await self._on_its_way()
        for sale in self.sales.values():
            if sale.id == order_id and sale.mode == mode and not self.is_another:
                return sale.answer()
        if order_id in self._theirs:
            return self._theirs[order_id]
        raise NotFoundError(status_code=404, body="", reason="order not found")

    async def cancel_order(self, mode: Mode, order_id: str) -> None:
        """Cancel a working order, if it still works."""
        await self._on_its_way()
        for order in self.accounts[mode].orders.values():
            if (found := order.find(order_id)) is not None:
                if found.is_final:
                    raise _refused(422, "order is not cancelable")
                self._say(f"cancel {order_id}")
                self._go_on(order, "cancel", 0)
                return
        for sale in self.sales.values():
            if sale.id == order_id:
                if sale.is_final:
                    raise _refused(422, "order is not cancelable")
                self._end(sale, "canceled")
                return
        raise NotFoundError(status_code=404, body="", reason="order not found")

    def cancel(self, symbol: str) -> None:
        super().cancel(symbol)
        for sale in self.sales.values():
            if sale.symbol == symbol and not sale.is_final:
                self._end(sale, "canceled")

    # What is held.

    async def positions(self, mode: Mode) -> PositionList:
        """List what an account holds."""
        await self._on_its_way()
        if self.is_another:
            return await read_positions(b"[]")
        if self.empty_lists:
            self.empty_lists -= 1
            return await read_positions(b"[]")
        held = [
            self._position(mode, symbol, self.market.told(symbol))
            for (account, symbol), holding in self.holdings.items()
            if account == mode and holding.qty
        ]
        return await read_positions(json.dumps(held).encode())

    async def one_position(self, mode: Mode, symbol: str) -> HeldPosition:
        """Tell of one position."""
        await self._on_its_way()
        if self.is_another or not self.holding(mode, symbol).qty:
            raise NotFoundError(status_code=404, body="", reason="no position")
        told = self._position(mode, symbol, self.market.price(symbol))
        return read_position(json.dumps(told).encode(), symbol)

    def _position(self, mode: Mode, symbol: str, price: Decimal) -> dict[str, Any]:
        holding = self.holding(mode, symbol)
        return {
            "symbol": symbol,
            "asset_class": "us_equity",
            "qty": f"{holding.qty:f}",
            "qty_available": f"{self.free(mode, symbol):f}",
            "avg_entry_price": f"{(holding.cost / holding.qty).quantize(MILLIONTH):f}",
            "current_price": f"{price:f}",
            "side": "long",
        }

    async def page_of_activities(self, mode: Mode, path: str) -> bytes:
        """Tell what happened, newest first."""
        await self._on_its_way()
        assert "page_token" not in path
        found = [a for a in self._activities if a["mode"] == mode]
        return json.dumps([] if self.is_another else found[::-1]).encode()

    async def page_of_orders(self, mode: Mode, path: str) -> bytes:
        """List the orders that look-ups find, sells too."""
        await self._on_its_way()
        listed = [
            listed_order(
                *(order.client_order_id, order.symbol, order.status),
                order_id=order.id,
                at=moment(order.placed_at),
                notional=order.notional,
                filled_qty=str(order.bought),
                filled_avg_price=None if order.price is None else str(order.price),
            )
            for order in self.accounts[mode].orders.values()
            if trio.current_time() >= order.found_from
        ]
        for sale in self.sales.values():
            if sale.mode == mode and trio.current_time() >= sale.found_from:
                at = moment(sale.placed_at).isoformat()
                listed.append(sale.fields() | {"submitted_at": at, "notional": None})
        if self.is_another:
            listed = []
        self._say(f"list: {len(listed)} orders of {mode}")
        return page_of(listed, path)

    async def data(self, path: str) -> bytes:
        """Answer a question about market data."""
        await trio.sleep(0.02)
        if self._is_unreachable():
            raise NotSentError("no route")
        if path.startswith("/v1/corporate-actions"):
            return b'{"corporate_actions": {}, "next_page_token": null}'
        query = path.partition("symbols=")[2].partition("&")[0]
        return self.market.snapshots(query.split(","))

    async def market_clock(self) -> bytes:
        """Tell whether the market is open."""
        await self._on_its_way()
        return self.market.clock()

    async def calendar(self) -> bytes:
        """Tell its days."""
        await self._on_its_way()
        return self.market.days()

    async def _on_its_way(self) -> None:
        await trio.sleep(0.02)
        if self._is_unreachable():
            raise NotSentError("no route")

    # What others do.

    def others_sell(self, mode: Mode, symbol: str, part: int, *, traced: bool) -> None:
        """Have somebody else sell of what is free."""
        free = self.free(mode, symbol)
        qty = (free * part / 10).quantize(_BILLIONTH, ROUND_DOWN)
        if qty <= 0 or not self.market.is_open or symbol in self.market.halted:
            self._say("  there is nothing that others could sell")
            return
        holding, price = self.holding(mode, symbol), self.market.price(symbol)
        holding.take(qty)
        self._say(f"others sell {qty} {symbol}; {holding.qty} are left")
        if not traced:
            return
        order_id = f"theirs-{next(self._sale_numbers)}"
        fields = {
            "id": order_id,
            "client_order_id": f"by-hand-{order_id}",
            "symbol": symbol,
            "side": "sell",
            "status": "filled",
            "filled_qty": f"{qty:f}",
            "filled_avg_price": f"{price:f}",
        }
        self._theirs[order_id] = BrokerOrder.model_validate(fields)
        self._executed(mode, order_id, symbol, "sell", qty, price)
        data = {"event": "fill", "execution_id": order_id, "order": fields}
        frame = json.dumps({"stream": "trade_updates", "data": data})
        self.busy += 1
        self._nursery.start_soon(self._deliver, mode, 0.05, frame)

    def others_buy(self, mode: Mode, symbol: str) -> None:
        """Have somebody else buy on the same account."""
        if not self.market.is_open or symbol in self.market.halted:
            self._say("  there is nobody who would sell")
            return
        if any(s.left and s.stop_price for s in self.sales.values()):
            self._say("  a buy beside a stop is a wash trade")
            return
        price = self.market.price(symbol)
        holding = self.holding(mode, symbol)
        holding.add(_OTHERS_BUY, price)
        holding.others_bought += _OTHERS_BUY
        self._executed(
            *(mode, f"theirs-{next(self._sale_numbers)}", symbol, "buy"),
            *(_OTHERS_BUY, price),
        )
        self._say(f"others buy {_OTHERS_BUY} {symbol}")

    def split(self, symbol: str, ratio: int, *, traced: bool) -> bool:
        """Split a symbol on both accounts; return whether that was possible now."""
        stops = [s for s in self.sales.values() if s.stop_price and s.symbol == symbol]
        for stop in stops:
            if not stop.is_final:
                self._end(stop, "canceled")
        orders: list[Order | Sale] = [*self.orders(), *self.sales.values()]
        works = any(not each.is_final for each in orders if each.symbol == symbol)
        if works or any(not each.is_handled for each in self.posted_sells):
            self._say("  an order works: no split now")
            return False
        for (mode, name), holding in self.holdings.items():
            if name != symbol or not holding.qty:
                continue
            more = holding.qty * (ratio - 1)
            holding.qty *= ratio
            holding.others_bought *= ratio
            if traced:
                day = moment(trio.current_time()).date().isoformat()
                self._activities.append(
                    {
                        "id": f"split-{len(self._activities)}",
                        "activity_type": "SPLIT",
                        "date": day,
                        "symbol": symbol,
                        "qty": f"{more:f}",
                        "mode": mode,
                    }
                )
        self.market.move(symbol, self.market.price(symbol) / ratio)
        self._say(f"{symbol} is split, {ratio} for 1")
        return True

    # What becomes of sells.

    async def _sell(self, sale: Sale) -> None:
        try:
            self._emit_sale(sale, "new")
            await self._rest(sale)
            parts = iter(_PARTS)
            for kind in sale.fate.life.split():
                await trio.sleep(sale.fate.pace)
                if kind in {"part", "fill"}:
                    await self.market.trades(sale.symbol)
                if sale.is_final:
                    return
                if kind in _ENDS:
                    self._end(sale, _ENDS[kind])
                    continue
                goal = sale.qty
                if kind == "part":
                    goal = (goal * next(parts)).quantize(_BILLIONTH, ROUND_DOWN)
                self._execute(sale, goal - sale.sold)
        finally:
            self.busy -= 1

    async def _rest(self, sale: Sale) -> None:
        """Have a stop wait until it is elected; what rests keeps nobody busy."""
        if sale.stop_price is None:
            return
        self.busy -= 1
        try:
            await self.market.elects(
                sale.symbol, sale.stop_price, is_over=lambda: sale.is_final
            )
        finally:
            self.busy += 1
        if not sale.is_final:
            self._say(f"{sale.id} is elected")

    def _execute(self, sale: Sale, qty: Decimal) -> None:
        if qty <= 0:
            return
        holding, price = (
            self.holding(sale.mode, sale.symbol),
            self.market.price(sale.symbol),
        )
        if qty > holding.qty:
            self._wrong(f"the account is short of {sale.symbol}")
        holding.take(qty)
        sale.sold += qty
        sale.dollars += qty * price
        self._executed(sale.mode, sale.id, sale.symbol, "sell", qty, price)
        if sale.sold == sale.qty:
            sale.status, sale.ended_at = "filled", trio.current_time()
            self._emit_sale(sale, "fill")
        else:
            sale.status = "partially_filled"
            self._emit_sale(sale, "partial_fill")

    def _end(self, sale: Sale, how: str) -> None:
        sale.status, sale.ended_at = how, trio.current_time()
        self._emit_sale(sale, how)
        if sale.stop_price is not None:
            self.market.end_a_wait()

    def _session_ends(self) -> None:
        self._say("the market closes")
        for sale in self.sales.values():
            if not sale.is_final:
                self._end(sale, "expired")
        for order in self.orders():
            if not order.is_final:
                self._go_on(order, "expire", 0)

    def _executed(  # noqa: PLR0917 - as an activity has it
        self,
        mode: Mode,
        order_id: str,
        symbol: str,
        side: str,
        qty: Decimal,
        price: Decimal,
    ) -> None:
        self._activities.append(
            {
                "id": f"a-{len(self._activities)}",
                "activity_type": "FILL",
                "transaction_time": moment(trio.current_time()).isoformat(),
                "symbol": symbol,
                "side": side,
                "qty": f"{qty:f}",
                "price": f"{price:f}",
                "order_id": order_id,
                "mode": mode,
            }
        )

    def _emit_sale(self, sale: Sale, event: str) -> None:
        self._say(f"{sale.id} {sale.symbol}: {event} {sale.sold} of {sale.qty}")
        sale.events += 1
        fields = sale.fields()
        delays = [0.05]
        match sale.fate.feed:
            case "late":
                delays = [8.0]
            case "twice":
                delays = [0.05, 2.0]
            case "reversed":
                delays = [max(0.05, 3.0 - 0.9 * sale.events)]
            case "lost":
                delays = []
            case "garbled":
                fields |= {"filled_qty": "a few", "filled_avg_price": None}
            case _:
                pass
        data = {
            "event": event,
            "execution_id": f"{sale.id}-{sale.events}",
            "order": fields,
        }
        frame = json.dumps({"stream": "trade_updates", "data": data})
        for delay in delays:
            self.busy += 1
            self._nursery.start_soon(self._deliver, sale.mode, delay, frame)


def _refused(status: int, message: str, **fields: str) -> RefusedError:
    body = json.dumps({"message": message, **fields})
    return RefusedError(status_code=status, body=body, reason=message)

"""The broker as a story wants it: accounts, orders, positions and the stream.

It lives outside the daemon: what has left the daemon goes on here when that is killed.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import trio
from trio_websocket import CloseReason, ConnectionClosed

from snexec.broker.answers import FINAL_STATUSES, BrokerOrder
from snexec.errors import (
    BrokerError,
    DuplicateOrderError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.model import MODES, Mode
from tests.fakes import MOMENT, listed_order, page_of
from tests.simulation.steps import Send

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.steps import Point, Post

TIMEOUT_SECONDS = 10.0
_WHOLE = Decimal("1.5")
_PARTS = (Decimal("0.4"), Decimal("0.7"))
_PLAIN = Send()
_PARKED = ("pending_cancel", "done_for_day", "suspended", "held", "unheard_of")


class _PostFate(NamedTuple):
    """What becomes of a POST.

    Attributes:
        accepted_after: Seconds on its way, if it is accepted at all.
        answer: What comes back, if anything.
        answered_after: Seconds after that.
    """

    accepted_after: float | None
    answer: Literal["order", "order now", "lost", "refused", "429", "not sent"] | None
    answered_after: float = 0.02


_POSTS: dict[Post, _PostFate] = {
    "ok": _PostFate(0.02, "order"),
    "slow": _PostFate(0.02, "order", 4.0),
    "told at once": _PostFate(0.02, "order now", 0.1),
    "lost after accept": _PostFate(0.02, "lost"),
    "hangs after accept": _PostFate(0.02, None),
    "lost before accept": _PostFate(None, "lost"),
    "hangs before accept": _PostFate(None, None),
    "accepted after 30 s": _PostFate(30.0, None),
    "accepted after 90 s": _PostFate(90.0, None),
    "not sent": _PostFate(None, "not sent"),
    "refused": _PostFate(None, "refused"),
    "429": _PostFate(None, "429"),
    "429, yet accepted": _PostFate(0.02, "429"),
}

Answered = Literal["accepted", "unknown", "429", "refused", "not sent"]


@dataclass(slots=True, eq=False, kw_only=True)
class Order:
    """One order that the broker has.

    Attributes:
        step: The signal that it came from.
        found_from: When look-ups find it.
        placed_at: When the broker took it.
        bought: By itself, without what one in its place bought.
        price: The average of that so far.
        replaced_by: The order that took its place.
    """

    id: str
    client_order_id: str
    symbol: str
    notional: str
    mode: Mode
    step: Send
    number: int
    found_from: float
    placed_at: float
    status: str = "new"
    bought: Decimal = Decimal(0)
    price: Decimal | None = None
    sold: bool = False
    events: int = 0
    replaced_by: Order | None = None

    @property
    def latest(self) -> Order:
        """The order that works in its place, or it itself."""
        return self if self.replaced_by is None else self.replaced_by.latest

    @property
    def bought_in_all(self) -> Decimal:
        more = self.replaced_by.bought_in_all if self.replaced_by else Decimal(0)
        return self.bought + more

    @property
    def price_in_all(self) -> Decimal | None:
        parts = [o for o in self._chain() if o.bought]
        if len(parts) < 2:
            return parts[0].price if parts else None
        dollars = sum((o.bought * (o.price or 0) for o in parts), Decimal(0))
        return dollars / self.bought_in_all

    @property
    def is_final(self) -> bool:
        return self.latest.status in FINAL_STATUSES

    def _chain(self) -> list[Order]:
        more = self.replaced_by._chain() if self.replaced_by else []
        return [self, *more]

    def find(self, order_id: str) -> Order | None:
        """Return the order of this id: it, or one in its place."""
        return next((o for o in self._chain() if o.id == order_id), None)

    def answer(self) -> BrokerOrder:
        """Return what a reply says of it at this moment."""
        return BrokerOrder.model_validate(
            {
                "id": self.id,
                "client_order_id": self.client_order_id,
                "status": self.status,
                "filled_qty": str(self.bought),
                "filled_avg_price": None if self.price is None else str(self.price),
                "replaced_by": self.replaced_by.id if self.replaced_by else None,
            }
        )


@dataclass(slots=True, eq=False, kw_only=True)
class Posted:
    """One POST, and what the daemon was told."""

    mode: Mode
    client_order_id: str
    at: float
    answered: Answered | None = None


class Connection:
    """One trading stream, as the client's side sees a WebSocketConnection."""

    def __init__(self, mode: Mode, delivered: Callable[[], None]) -> None:
        self.mode = mode
        self._delivered = delivered
        self._send, self._receive = trio.open_memory_channel[str](math.inf)
        self.listens = False
        self.fed = True
        self.pongs = True
        self.is_open = True

    def close(self) -> None:
        """End it, from either side."""
        self.is_open = False
        self._send.close()

    def feed(self, frame: str) -> None:
        """Send a frame to the client, if it is fed at all."""
        if self.is_open and self.listens and self.fed:
            self._send.send_nowait(frame)

    async def send_message(self, text: str) -> None:
        await trio.lowlevel.checkpoint()
        if not self.is_open:
            raise _closed()
        if json.loads(text)["action"] == "auth":
            data: dict[str, object] = {"status": "authorized", "action": "authenticate"}
            self._send.send_nowait(
                json.dumps({"stream": "authorization", "data": data})
            )
        else:
            self.listens = True
            data = {"streams": ["trade_updates"]}
            self._send.send_nowait(json.dumps({"stream": "listening", "data": data}))

    async def get_message(self) -> str:
        try:
            frame = await self._receive.receive()
        except trio.EndOfChannel:
            raise _closed() from None
        if "trade_updates" in frame:
            self._delivered()
        return frame

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()
        if not self.is_open:
            raise _closed()
        if not self.pongs:
            await trio.sleep_forever()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


def _closed() -> ConnectionClosed:
    return ConnectionClosed(CloseReason(1006, None))


@dataclass(slots=True, eq=False)
class Account:
    """One mode's account."""

    orders: dict[str, Order] = field(default_factory=dict)
    connection: Connection | None = None

    def position(self, symbol: str) -> Decimal:
        return sum(
            (
                order.bought_in_all
                for order in self.orders.values()
                if order.symbol == symbol and not order.sold
            ),
            Decimal(0),
        )


class Broker:
    """Both accounts, and every fault of theirs.

    Args:
        nursery: Where what happens at the broker goes on, whatever the daemon does.
        say: Notes what happens.
        come_to: Called at each named point.
        may_post: Called with the id of each order that leaves the daemon, and with the
            POSTs of that id so far.

    Attributes:
        steps: The signal behind each client order id.
        busy: How much is still going to happen by itself.
        last_404: When a look-up last said so of a client order id.
        told_positions: Every quantity that was ever told.
    """

    def __init__(
        self,
        *,
        nursery: trio.Nursery,
        say: Callable[[str], None],
        come_to: Callable[[Point], None],
        may_post: Callable[[str, Sequence[Posted]], None],
    ) -> None:
        self._nursery = nursery
        self._say = say
        self._come_to = come_to
        self._may_post = may_post
        self.accounts = {mode: Account() for mode in MODES}
        self.steps: dict[str, Send] = {}
        self.posted: list[Posted] = []
        self.busy = 0
        self.last_404: dict[str, float] = {}
        self.told_positions: dict[tuple[Mode, str], set[float]] = {}
        self.unreachable_until = -math.inf
        self._numbers = itertools.count(1)
        self._looked: dict[str, int] = {}
        self._asked: dict[str, int] = {}

    def orders(self) -> list[Order]:
        """Return every order of both accounts."""
        return [
            o for account in self.accounts.values() for o in account.orders.values()
        ]

    # Requests.

    async def post(
        self, mode: Mode, symbol: str, notional: str, client_order_id: str
    ) -> BrokerOrder:
        """Take an order, as its signal's fate has it."""
        step = self.steps.get(client_order_id, _PLAIN)
        before = [p for p in self.posted if p.client_order_id == client_order_id]
        self._may_post(client_order_id, before)
        kind: Post = step.posts[len(before)] if len(before) < len(step.posts) else "ok"
        posted = Posted(
            mode=mode, client_order_id=client_order_id, at=trio.current_time()
        )
        self.posted.append(posted)
        fate = _POSTS[kind]
        if fate.answer == "not sent" or self._is_unreachable():
            await trio.sleep(0.02)
            self._say(f"POST {symbol}: not sent")
            posted.answered = "not sent"
            raise NotSentError("no route")
        self._say(f"POST {symbol} {mode}: {kind}")
        reply: list[BrokerOrder | BrokerError] = []
        replied = trio.Event()
        self.busy += 1
        self._nursery.start_soon(
            self._handle, fate, mode, posted, symbol, notional, reply, replied
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

    async def _handle(  # noqa: PLR0917 - started by position
        self,
        fate: _PostFate,
        mode: Mode,
        posted: Posted,
        symbol: str,
        notional: str,
        reply: list[BrokerOrder | BrokerError],
        replied: trio.Event,
    ) -> None:
        """Take one request that has left the daemon, dead or alive by now."""
        client_order_id = posted.client_order_id
        try:
            account = self.accounts[mode]
            order: Order | None = None
            answer: BrokerOrder | BrokerError | None = None
            if fate.accepted_after is not None:
                await trio.sleep(fate.accepted_after)
                if client_order_id in account.orders:
                    answer = DuplicateOrderError(
                        status_code=422, body="", reason="must be unique"
                    )
                else:
                    order = self._accept(mode, symbol, notional, client_order_id)
                    if fate.answer == "429":
                        # SPEC 5 trusts one look-up here, so it must find the order: a
                        # broker that says no, yet accepts, and hides it is beyond it.
                        order.found_from = trio.current_time()
                    answer = order.answer()
                self._come_to("post accepted")
            await trio.sleep(fate.answered_after)
            match fate.answer:
                case "order now" if order is not None:
                    answer = order.answer()
                case "lost":
                    answer = UnknownOutcomeError("lost")
                case "refused":
                    answer = RefusedError(status_code=403, body="", reason="no money")
                case "429":
                    answer = RateLimitedError("HTTP 429", wait_seconds=3.0)
                case _:
                    pass
            if answer is not None and fate.answer is not None:
                reply.append(answer)
                replied.set()
        finally:
            self.busy -= 1

    def _accept(
        self, mode: Mode, symbol: str, notional: str, client_order_id: str
    ) -> Order:
        step = self.steps.get(client_order_id, _PLAIN)
        number = next(self._numbers)
        order = Order(
            id=f"{mode}-{number}",
            client_order_id=client_order_id,
            symbol=symbol,
            notional=notional,
            mode=mode,
            step=step,
            number=number,
            found_from=trio.current_time() + step.hidden,
            placed_at=trio.current_time(),
        )
        self.accounts[mode].orders[client_order_id] = order
        self._say(f"the broker accepts {order.id} {symbol}")
        self.busy += 1
        self._nursery.start_soon(self._live, order)
        return order

    async def look_up(
        self, mode: Mode, client_order_id: str, order_id: str | None
    ) -> BrokerOrder:
        """Tell of an order, as its signal's fate has it."""
        step = self.steps.get(client_order_id, _PLAIN)
        count = self._looked[client_order_id] = self._looked.get(client_order_id, 0) + 1
        kind = step.looks[count - 1] if count <= len(step.looks) else "ok"
        await trio.sleep(0.02)
        if kind == "not sent" or self._is_unreachable():
            self._say("look-up: not sent")
            raise NotSentError("no route")
        if kind != "ok":
            self._say(f"look-up: {kind}")
        order = self.accounts[mode].orders.get(client_order_id)
        if order is not None and (
            trio.current_time() < order.found_from or order_id not in {None, order.id}
        ):
            order = None
        answer = None if order is None else order.answer()
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
            self.last_404[client_order_id] = trio.current_time()
            self._say("look-up: 404")
            raise NotFoundError(status_code=404, body="", reason="order not found")
        self._say(f"look-up: {answer.id} is {answer.status}")
        return answer

    async def replacement(self, mode: Mode, order_id: str) -> BrokerOrder:
        """Tell of an order that took another's place."""
        await trio.sleep(0.02)
        if self._is_unreachable():
            self._say("look-up: not sent")
            raise NotSentError("no route")
        for order in self.accounts[mode].orders.values():
            if (found := order.find(order_id)) is not None:
                self._say(f"look-up: {found.id} is {found.status}")
                return found.answer()
        raise NotFoundError(status_code=404, body="", reason="order not found")

    async def page_of_orders(self, mode: Mode, path: str) -> bytes:
        """List the orders that look-ups find."""
        await trio.sleep(0.02)
        if self._is_unreachable():
            self._say("list: not sent")
            raise NotSentError("no route")
        listed = [
            listed_order(
                order.client_order_id,
                order.symbol,
                order.status,
                order_id=order.id,
                at=MOMENT + timedelta(seconds=order.placed_at),
                notional=order.notional,
                filled_qty=str(order.bought),
            )
            for order in self.accounts[mode].orders.values()
            if trio.current_time() >= order.found_from
        ]
        self._say(f"list: {len(listed)} orders of {mode}")
        return page_of(listed, path)

    async def position(self, mode: Mode, symbol: str) -> Decimal:
        """Tell of a position, as the last signal of the symbol has it."""
        orders = [o for o in self.accounts[mode].orders.values() if o.symbol == symbol]
        step = orders[-1].step if orders else _PLAIN
        count = self._asked[symbol] = self._asked.get(symbol, 0) + 1
        kind = step.positions[count - 1] if count <= len(step.positions) else "ok"
        await trio.sleep(0.02)
        if self._is_unreachable():
            raise NotSentError("no route")
        quantity = self._holds(mode, symbol)
        match kind:
            case "lost":
                raise UnknownOutcomeError("lost")
            case "slow":
                await trio.sleep(4.0)
            case _:
                pass
        if kind == "404" or quantity == 0:
            raise NotFoundError(status_code=404, body="", reason="no position")
        self.told_positions.setdefault((mode, symbol), set()).add(float(quantity))
        self._say(f"position of {symbol}: {quantity}")
        return quantity

    def _holds(self, mode: Mode, symbol: str) -> Decimal:
        return self.accounts[mode].position(symbol)

    def _is_unreachable(self) -> bool:
        return trio.current_time() < self.unreachable_until

    # What becomes of orders.

    async def _live(self, order: Order) -> None:
        try:
            self._emit(order, "new")
            for part, kind in enumerate(order.step.life.split()):
                if kind == "rest":
                    return
                await trio.sleep(order.step.pace)
                if order.is_final:
                    return
                self._go_on(order, kind, part)
        finally:
            self.busy -= 1

    def _go_on(self, order: Order, kind: str, part: int) -> None:
        order = order.latest
        match kind:
            case "replace":
                order.status = "replaced"
                order.replaced_by = replace(
                    order,
                    id=f"{order.id}-r",
                    client_order_id=f"theirs-{order.id}",
                    status="new",
                    bought=Decimal(0),
                    price=None,
                    replaced_by=None,
                )
                self._emit(order, "replaced")
                self._emit(order.replaced_by, "new")
            case "part":
                order.status, order.bought = "partially_filled", _PARTS[part]
                order.price = self._price(order, part)
                self._emit(order, "partial_fill")
            case "fill":
                order.status, order.bought = "filled", _WHOLE
                order.price = self._price(order, 9)
                self._emit(order, "fill")
            case "cancel":
                order.status = "canceled"
                self._emit(order, "canceled")
            case "expire":
                order.status = "expired"
                self._emit(order, "expired")
            case "park":
                order.status = _PARKED[order.number % len(_PARKED)]
                self._emit(order, order.status)
            case "reject":
                order.status = "rejected"
                self._emit(order, "rejected")
            case _:
                raise AssertionError(kind)

    def _price(self, order: Order, part: int) -> Decimal:
        """Return the average price of what an order has bought by now."""
        return Decimal(10 * order.number + part)

    def cancel(self, symbol: str) -> None:
        """Cancel what still works, as its owner may at any time."""
        for order in self.orders():
            if order.symbol == symbol and not order.is_final:
                self._go_on(order, "cancel", 0)

    # The stream.

    def _emit(self, order: Order, event: str) -> None:
        self._say(f"{order.id} {order.symbol}: {event}")
        order.events += 1
        number, feed = order.events, order.step.feed
        data: dict[str, Any] = {
            "event": event,
            "execution_id": f"{order.id}-{number}",
            "order": {
                "id": order.id,
                "client_order_id": order.client_order_id,
                "symbol": order.symbol,
                "status": order.status,
                "filled_qty": str(order.bought),
                "filled_avg_price": None if order.price is None else str(order.price),
            },
        }
        delays = [0.05]
        match feed:
            case "late":
                delays = [8.0]
            case "twice":
                delays = [0.05, 2.0]
            case "reversed":
                delays = [max(0.05, 3.0 - 0.9 * number)]
            case "lost":
                delays = []
            case "garbled":
                data["order"] |= {"filled_qty": "a few", "filled_avg_price": None}
            case "other frames":
                for noise in ("{", '{"stream": 7}', '{"stream": "trade_updates"}'):
                    self._deliver_now(order.mode, noise)
            case _:
                pass
        frame = json.dumps({"stream": "trade_updates", "data": data})
        for delay in delays:
            self.busy += 1
            self._nursery.start_soon(self._deliver, order.mode, delay, frame)

    async def _deliver(self, mode: Mode, delay: float, frame: str) -> None:
        try:
            await trio.sleep(delay)
            self._deliver_now(mode, frame)
        finally:
            self.busy -= 1

    def _deliver_now(self, mode: Mode, frame: str) -> None:
        connection = self.accounts[mode].connection
        if connection is not None:
            connection.feed(frame)


def _answered(answer: BrokerOrder | BrokerError) -> Answered:
    match answer:
        case BrokerOrder():
            return "accepted"
        case RateLimitedError():
            return "429"
        case DuplicateOrderError():
            return "unknown"
        case RefusedError():
            return "refused"
        case _:
            return "unknown"

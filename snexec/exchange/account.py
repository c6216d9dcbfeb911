"""One account: its book and stream, the life of its orders, and its controls."""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Literal

import trio

from snexec.exchange.activities import Activities
from snexec.exchange.assets import canonical, class_of
from snexec.exchange.behaviours import BEHAVES, Behaviours
from snexec.exchange.book import Book
from snexec.exchange.errors import not_found, unprocessable
from snexec.exchange.faults import RestFaults
from snexec.exchange.feed import Feed
from snexec.exchange.lifecycle import Step, plan
from snexec.exchange.market import Market
from snexec.exchange.order import Order
from snexec.exchange.prices import Prices
from snexec.exchange.ratelimit import RateWindow
from snexec.exchange.settings import Behaviour, ExchangeSettings
from snexec.exchange.spelling import new_id
from snexec.exchange.stops import Stops
from snexec.exchange.story import begin
from snexec.exchange.timeline import Timeline
from snexec.exchange.trade_updates import Event, Events
from snexec.exchange.usual import Configurations
from snexec.exchange.validation import OrderRequest

# Bounded, as the daemon may run the exchange for weeks.
POSTS_KEPT = 50_000


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderPost:
    """A POST to /v2/orders as it arrived, whatever happened to it.

    Attributes:
        arrived_ns: `time.monotonic_ns` when its body had arrived.
    """

    client_order_id: str | None
    symbol: str | None
    notional: str | None
    arrived_ns: int


@dataclass(slots=True)
class _Life:
    """An accepted order: what is still to happen to it, and what was reported."""

    order: Order
    behaviour: Behaviour
    steps: Iterator[Step]
    over: trio.Event
    sent: list[Event]


class Account:
    """One account with all that belongs to it; its methods are the in-process controls.

    Attributes:
        book: Orders, cash and positions.
        feed: The stream, with its faults.
        activities: What happened.
        behaviours: How orders misbehave.
        rest_faults: Faults of all REST requests.
        rate: The rate limit.
        posts: The last order POSTs, oldest first.
        counts: Requests by endpoint.
        refused_keys: Keys that are unauthorized; `*` stands for all.
        configurations: What clients may set, and nothing goes by.
    """

    def __init__(
        self,
        settings: ExchangeSettings,
        *,
        prices: Prices,
        rng: random.Random,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.book = Book(prices=prices, rng=rng, now_ns=now_ns)
        self._prices = prices
        self.feed = Feed(self.knows_key)
        self.activities = Activities()
        self.behaviours = Behaviours(settings.symbols)
        self.rest_faults = RestFaults()
        self.rate = RateWindow(settings.rate_limit_per_min, now_ns)
        self.posts: deque[OrderPost] = deque(maxlen=POSTS_KEPT)
        self.counts: Counter[str] = Counter()
        self.refused_keys: frozenset[str] = frozenset()
        self.configurations = Configurations()
        self._market = Market(is_open=settings.market_open)
        self._settings = settings
        self._rng = rng
        self._now_ns = now_ns
        self._events = Events(now_ns)
        self._timeline = Timeline()
        self._queued: list[_Life] = []
        self._stops = Stops()
        prices.follow(self._printed)
        self._cancels: dict[str, tuple[Order, Behaviour]] = {}
        self._missing_positions: dict[str, int] = {}

    async def run(self) -> None:
        """Run the lives of the orders until cancelled."""
        await self._timeline.run()

    @property
    def market(self) -> Market:
        """What the clock says; orders of shares wait until it is open."""
        return self._market

    @market.setter
    def market(self, market: Market) -> None:
        now = self._now_ns()
        was_open, self._market = self._market.open_at(now), market
        is_open = market.open_at(now)
        if is_open:
            queued, self._queued = self._queued, []
            for life in queued:
                self._timeline.after(0, partial(self._begin, life))
        elif was_open:
            self._expire_day_orders()
        if market.changes_ns is not None and market.changes_ns > now:
            wait_sec = (market.changes_ns - now) / 1e9
            self._timeline.after(wait_sec, partial(self._change_as_announced, market))

    def knows_key(self, key: str) -> bool:
        """Return whether a key is authorized."""
        return "*" not in self.refused_keys and key not in self.refused_keys

    def accept(
        self, request: OrderRequest, behaviour: Behaviour
    ) -> tuple[Order, trio.Event]:
        """Accept an order and start its life.

        Returns:
            The order, which stays pending until the next checkpoint or until the market
            opens, and an event that is set once all that happens by itself has happened
            and been reported.

        Raises:
            ApiError: The account may not place this order.
        """
        hidden_ns = int(behaviour.lookup_404_sec * 1e9)
        waits = not (
            class_of(request.symbol).around_the_clock
            or self._market.open_at(self._now_ns())
        )
        status: Literal["accepted", "pending_new"] = (
            "accepted" if waits else "pending_new"
        )
        order = self.book.submit(request, status=status, hidden_ns=hidden_ns)
        if behaviour.refuse_cancel or behaviour.cancel_delay_sec:
            working = {k: v for k, v in self._cancels.items() if not v[0].terminal}
            self._cancels = working | {order.id: (order, behaviour)}
        if behaviour.position_404_times:
            self._missing_positions[order.symbol] = behaviour.position_404_times
        life = self._life(order, behaviour)
        self._report(life, self._events.change(status, order), keep=False)
        if waits:
            self._queued.append(life)
        else:
            self._timeline.after(0, partial(self._begin, life))
        return order, life.over

    def cancel(self, order_id: str) -> None:
        """Cancel a working order.

        Raises:
            ApiError: There is none, or it ended in another way.
        """
        order = self.book.cancelable(order_id)
        if order is None:
            return
        _order, behaviour = self._cancels.get(order.id, (order, BEHAVES))
        if behaviour.refuse_cancel:
            raise unprocessable("order is not cancelable")
        if not behaviour.cancel_delay_sec:
            self._cancel(order)
        elif order.status != "pending_cancel":
            self.book.rest(order, "pending_cancel")
            self.feed.publish(self._events.change("pending_cancel", order, new_id()))
            wait = behaviour.cancel_delay_sec
            self._timeline.after(wait, partial(self._cancel, order))

    def close_position(self, symbol: str, qty: Decimal | None = None) -> Order:
        """Sell a position, as whoever holds the account's keys may; None is all of it.

        Raises:
            ApiError: There is no position, or not as much of it.
        """
        name = canonical(symbol)
        held = self.book.positions.qty(name)
        if not held:
            raise not_found("position does not exist")
        request = OrderRequest(
            symbol=name,
            side="sell",
            notional=None,
            qty=held if qty is None else qty,
            time_in_force="gtc" if class_of(name).around_the_clock else "day",
            extended_hours=False,
            client_order_id=None,
        )
        order, _over = self.accept(request, self.behaviours.take(name, "sell"))
        return order

    def misses_position(self, symbol: str) -> bool:
        """Count a position look-up; return whether it answers 404 whatever is held."""
        name = canonical(symbol)
        left = self._missing_positions.get(name, 0)
        if left > 1:
            self._missing_positions[name] = left - 1
        elif left:
            del self._missing_positions[name]
        return left > 0

    def reset(self) -> None:
        """Begin anew, as a paper account does: no orders, positions or activities."""
        for order in self.book.open_orders():
            self.book.end(order, "canceled")
        self.book = Book(prices=self._prices, rng=self._rng, now_ns=self._now_ns)
        self.activities = Activities()

    def follow_path(self, symbol: str, points: Iterable[tuple[float, Decimal]]) -> None:
        """Move a symbol's price, in USD, at each of some numbers of seconds from now."""
        for after_sec, price in points:
            move = partial(self._prices.quote, symbol, price)
            self._timeline.after(after_sec, move)

    def set_cash(self, cash: Decimal) -> None:
        """Set the account's cash, in USD."""
        self.book.cash = cash

    def _cancel(self, order: Order) -> None:
        if not order.terminal:
            self.book.end(order, "canceled")
            self.feed.publish(self._events.change("canceled", order, new_id()))

    def _change_as_announced(self, market: Market) -> None:
        if self._market is not market:
            return
        if market.is_open:
            # What works is known by its events; the clock has closed by itself.
            self._market = Market(is_open=False)
            self._expire_day_orders()
        else:
            self.market = Market()

    def _expire_day_orders(self) -> None:
        """End at the close what was placed for the session."""
        for order in self.book.open_orders():
            waits = order.status == "accepted"
            around_the_clock = class_of(order.symbol).around_the_clock
            if order.time_in_force == "day" and not waits and not around_the_clock:
                self.book.end(order, "expired")
                self.feed.publish(self._events.change("expired", order, new_id()))

    def _printed(self, symbol: str, price: Decimal) -> None:
        if class_of(symbol).around_the_clock or self._market.open_at(self._now_ns()):
            self._stops.printed(symbol, price)

    def _life(self, order: Order, behaviour: Behaviour) -> _Life:
        steps = iter(plan(behaviour, self._settings, self._rng))
        return _Life(order, behaviour, steps, trio.Event(), [])

    def _begin(self, life: _Life) -> None:
        order = life.order
        if not order.terminal and not life.behaviour.reject:
            self.book.open_up(order)
            self._report(life, self._events.change("new", order, new_id()))
        if order.stop_price is None or order.terminal:
            self._schedule(life)
        else:
            self._stops.wait(order, partial(self._schedule, life))

    def _schedule(self, life: _Life) -> None:
        step = next(life.steps, None)
        if step is None or life.order.terminal:
            self._end(life)
        else:
            self._timeline.after(step.after_sec, partial(self._do, life, step))

    def _do(self, life: _Life, step: Step) -> None:
        order = life.order
        if order.terminal:
            self._end(life)
            return
        halts, again = self._prices.halts, partial(self._do, life, step)
        if step.deed == "execute" and halts.wait(order.symbol, again):
            return
        event = self._carry_out(life, step)
        late = life.behaviour.late_event_sec
        if late:
            self._timeline.after(late, partial(self._report, life, event))
        else:
            self._report(life, event)
        if order.status == "filled" and order.side == "buy":
            stage, sell = self._timeline, self.close_position
            begin(life.behaviour, order, stage, prices=self._prices, sell=sell)
        self._schedule(life)

    def _carry_out(self, life: _Life, step: Step) -> Event:
        order = life.order
        match step.deed:
            case "execute":
                execution = self.book.execute(order, step.share)
                self.activities.executed(order, execution)
                return self._events.fill(order, execution)
            case "replaced":
                filled = {"end_status": "filled", "partial_fills": 0}
                behaviour = life.behaviour.model_copy(update=filled)
                successor = self._life(self.book.replace(order), behaviour)
                self._timeline.after(0, partial(self._begin, successor))
            case "canceled" | "expired" | "rejected" as end:
                self.book.end(order, end)
            case status:
                self.book.rest(order, status)
        return self._events.change(step.deed, order, new_id())

    def _end(self, life: _Life) -> None:
        self._timeline.after(life.behaviour.late_event_sec, partial(self._rest, life))

    def _rest(self, life: _Life) -> None:
        for _ in range(life.behaviour.duplicate_events):
            for event in life.sent:
                self.feed.publish(event)
        life.over.set()

    def _report(self, life: _Life, event: Event, *, keep: bool = True) -> None:
        if life.behaviour.no_events:
            return
        if keep and life.behaviour.duplicate_events:
            life.sent.append(event)
        self.feed.publish(event)

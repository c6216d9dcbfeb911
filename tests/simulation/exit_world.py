"""A world in which what was bought is sold: the daemon with an ``[exits]`` section."""

from __future__ import annotations

import math
from collections import Counter
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

import trio

from snexec.broker.answers import read_market_times
from snexec.broker.budget import RateBudget
from snexec.broker.calendar import read_trading_days
from snexec.ledger import row_of_exit
from snexec.risk.halt import HaltSwitch
from tests.fakes import AskedOrder, TrioClock, make_settings
from tests.simulation import exit_steps as steps
from tests.simulation.market import AHEAD_SECONDS, OPENS, SPLITS, BadTick, Market
from tests.simulation.sells import SellingBroker
from tests.simulation.steps import DiskFull
from tests.simulation.world import ModelAccounts, ModelClient, Row, Run, World, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from snexec.broker.answers import BrokerOrder, MarketTimes
    from snexec.broker.calendar import TradingDay
    from snexec.broker.endpoint import DataEndpoint
    from snexec.broker.positions import HeldPosition, PositionList
    from snexec.broker.sent import OutgoingSell, SentOrder
    from snexec.model import Mode, Side
    from snexec.settings import Settings
    from tests.simulation.steps import Step

MOST_A_SESSION = 20
PATIENCE_SECONDS = (
    200.0  # a split shows after a while; the rows that are held longer go
)
_FINAL = ("status", "exitReason", "exitPrice", "pnl", "exitAt", "shares", "entryPrice")
_LOOK_BACK_SECONDS = 20.0  # a price is at most 15 s old, and is polled each 2
_PRICE_REASONS = {"stop_loss", "trailing_stop", "profit_target"}


class ExitClient(ModelClient):
    """What the daemon asks a broker through that sells as well."""

    _broker: SellingBroker

    def send_sell(self, sell: OutgoingSell) -> SentOrder:
        sell.left()
        assert sell.side == "sell"
        post = partial(self._broker.post_sell, self.mode, sell)
        return AskedOrder(partial(self._ask, post), sell)

    async def order(
        self,
        *,
        client_order_id: str,
        order_id: str | None,
        symbol: str | None = None,
        side: Side = "buy",
    ) -> BrokerOrder:
        if side == "buy":
            return await super().order(
                client_order_id=client_order_id, order_id=order_id, symbol=symbol
            )
        return await self._ask(
            partial(self._broker.look_up_sell, self.mode, client_order_id, order_id)
        )

    async def cancel(self, order_id: str) -> None:
        await self._ask(partial(self._broker.cancel_order, self.mode, order_id))

    async def sell_order(self, order_id: str, symbol: str) -> BrokerOrder:
        assert symbol
        return await self._ask(partial(self._broker.sell_order, self.mode, order_id))

    async def positions(self, *_own: object) -> PositionList:
        return await self._ask(partial(self._broker.positions, self.mode))

    async def position(self, symbol: str) -> HeldPosition:
        return await self._ask(partial(self._broker.one_position, self.mode, symbol))

    async def page_of_activities(self, path: str) -> bytes:
        ask = partial(self._broker.page_of_activities, self.mode, path)
        return await self._ask(ask)

    async def market_clock(self) -> MarketTimes:
        return read_market_times(await self._ask(self._broker.market_clock))

    async def trading_days(self, first: date, last: date) -> list[TradingDay]:
        days = read_trading_days(await self._ask(self._broker.calendar))
        return [day for day in days if first <= day.date <= last]


class _Data:
    """Market data, with a budget of its own."""

    def __init__(
        self, endpoint: DataEndpoint, broker: SellingBroker, run: Run, clock: TrioClock
    ) -> None:
        self.endpoint = endpoint
        self.budget = RateBudget(per_minute=200, clock=clock)
        self._broker = broker
        self._run = run

    async def get(self, path: str) -> bytes:
        if self._run.crashed:
            await trio.sleep_forever()
        return await self._broker.data(path)


class ExitAccounts(ModelAccounts):
    """The daemon's accounts, with market data."""

    client = ExitClient

    def data_client(self, endpoint: DataEndpoint, *, timeout_seconds: float) -> Any:  # noqa: ANN401
        assert timeout_seconds > 0
        broker = cast("SellingBroker", self._broker)
        return _Data(endpoint, broker, self._run, cast("TrioClock", self._clock))


class _Switch(HaltSwitch):
    """The kill switch without its files."""

    def __init__(self, *wings: Any, world: ExitWorld) -> None:  # noqa: ANN401
        super().__init__(*wings)
        self._world = world

    def is_halted(self) -> bool:
        return trio.current_time() < self._world.halted_until

    def is_all_halted(self) -> bool:
        return trio.current_time() < self._world.all_halted_until

    def is_known(self) -> bool:
        return self.is_halted()

    def is_all_known(self) -> bool:
        return self.is_all_halted()

    async def run(self) -> None:
        await trio.sleep_forever()


class ExitWorld(World):
    """Everything around a daemon that sells.

    Args:
        closes: Whether a night falls.
        max_hold: ``max_hold_duration_sec``.
        stops: ``broker_stop``.

    Attributes:
        sells: The ``BotExit`` rows as they were last committed.
        ratios: By how much each symbol was split since each row was bought.
        tries: How many sells of each row were decided, by the session.
    """

    broker: SellingBroker

    def __init__(
        self,
        story: Sequence[Step],
        *,
        closes: bool = False,
        max_hold: float = 300.0,
        stops: bool = False,
        **more: Any,  # noqa: ANN401
    ) -> None:
        self.max_hold, self._stops = max_hold, stops
        self.market = Market(closes=closes)
        self.sells: dict[str, Row] = {}
        self.splits: list[tuple[str, int, set[str]]] = []
        self.tries: Counter[tuple[str, bool]] = Counter()
        self.halted_until = self.all_halted_until = -math.inf
        self._nursery: trio.Nursery | None = None
        self._enabled_at = -math.inf
        self._unseen: set[str] = set()  # rows of shares before a split
        self._closes: set[trio.CancelScope] = set()
        self._entries: dict[str, set[Decimal]] = {}
        self._disk = (-math.inf, -math.inf)  # since when it was full, and until when
        super().__init__(story, **more)

    def _settings(self, per_minute: int) -> Settings:
        return _exit_settings(per_minute, self.max_hold, stops=self._stops)

    def _clock(self) -> TrioClock:
        return TrioClock(ahead=AHEAD_SECONDS)

    def _make_broker(self, nursery: trio.Nursery) -> SellingBroker:
        self._nursery = nursery
        return SellingBroker(
            market=self.market,
            may_sell=self._may_sell,
            wrong=self.wrong,
            nursery=nursery,
            say=self.say,
            come_to=self._come_to,
            may_post=self._may_post,
        )

    def _parts(self, run: Run) -> dict[str, Any]:
        return super()._parts(run) | {
            "Accounts": partial(ExitAccounts, broker=self.broker, run=run),
            "HaltSwitch": partial(_Switch, world=self),
        }

    # What is seen.

    def exits(self) -> dict[str, Row]:
        """Read every sell."""
        found = self._database.execute("SELECT * FROM BotExit ORDER BY rowid")
        return {row["id"]: dict(row) for row in found}

    def held_seconds(self, row: Row) -> float:
        """Return for how long a row has been held."""
        entered = datetime.fromisoformat(row["entryAt"])
        return (self.clock.now() - entered).total_seconds()

    def exits_of(self, row_id: str) -> list[Row]:
        """Read every sell of a row, as it was last committed."""
        return [each for each in self.sells.values() if each["tradeId"] == row_id]

    def _committed(self) -> None:
        before, self.sells = self.sells, self.exits()
        for row_id, row in self.rows().items():
            if row["entryPrice"]:
                price = Decimal(repr(row["entryPrice"]))
                self._entries.setdefault(row_id, set()).add(price)
        super()._committed()
        for exit_id, sell in self.sells.items():
            if exit_id not in before:
                self._decided(sell)
            elif sell != before[exit_id]:
                self._sell_changed(before[exit_id], sell)
        live = Counter(
            each["tradeId"] for each in self.sells.values() if not each["settledAt"]
        )
        for row_id, count in live.items():
            if count > 1:
                self.wrong(f"{row_id} has {count} sells without an end")

    def _changed(self, before: Row, row: Row, _rows: dict[str, Row]) -> None:
        if row["exitReason"] == "order_not_found":
            self.given_up.add(row["id"])
        if before["status"] == "closed" and any(
            row[name] != before[name] for name in _FINAL
        ):
            completed = before["exitPrice"] is None and row["status"] == "closed"
            if not completed:
                self.wrong(f"a closed row has changed: {shown(before)} {shown(row)}")
        if row["status"] == "closed" and before["status"] != "closed":
            own = self.exits_of(row["id"])
            if not any(Decimal(each["filledQty"]) for each in own):
                self.wrong(f"closed without evidence: {shown(row)}")
        if (
            before["status"] == "open"
            and row["status"] == "missed"
            and before["shares"]
        ):
            self.wrong(f"what was bought is missed: {shown(row)}")
        for name in ("id", "symbol", "mode", "notional", "createdAt", "signalId"):
            if row[name] != before[name]:
                self.wrong(f"{name} was {before[name]}: {shown(row)}")
        if row["shares"] != before["shares"] and before["settledAt"]:
            self._restated(before, row)

    def _restated(self, before: Row, row: Row) -> None:
        """See that a split has moved no dollar."""
        self._unseen.discard(row["id"])
        ratio = next(
            (
                ratio
                for symbol, ratio, done in self.splits
                if symbol == row["symbol"] and row["id"] not in done
            ),
            None,
        )
        if ratio is None:
            self.wrong(f"restated without a split: {shown(before)}, {shown(row)}")
            return
        for symbol, each, done in self.splits:
            if symbol == row["symbol"] and each == ratio and row["id"] not in done:
                done.add(row["id"])
                break
        if not (
            math.isclose(row["shares"], before["shares"] * ratio)
            and math.isclose(row["entryPrice"], before["entryPrice"] / ratio)
        ):
            self.wrong(f"a split has moved dollars: {shown(before)}, {shown(row)}")

    def _sell_changed(self, before: Row, sell: Row) -> None:
        kept = ["id", "tradeId", "kind", "reason", "decidedAt"]
        if before["alpacaOrderId"] is not None:
            kept.append("alpacaOrderId")
        for name in kept:
            if sell[name] != before[name]:
                self.wrong(f"{name} of a sell was {before[name]}: {sell}")
        begun = sell["cancelReason"] if before["cancelReason"] is None else None
        if (before["state"], begun) == ("working", "stop_loss"):
            self.wrong(f"a stop is canceled to sell at the stop: {sell}")
        if begun in _PRICE_REASONS:
            row = self.seen[sell["tradeId"]]
            self._sold_by_price({**sell, "reason": begun}, row)
        said = (sell["state"], sell["filledQty"], sell["filledAvgPrice"])
        self.say(f"sell {sell['id']} " + " ".join(map(str, said)))
        if Decimal(sell["filledQty"]) < Decimal(before["filledQty"]):
            self.wrong(f"less is sold than before: {sell}")

    # What may be decided, and leave.

    def _decided(self, sell: Row) -> None:
        """See whether a sell that appears is one that may be."""
        self.say(f"sell {sell['id']} {sell['reason']} {sell['qty']} is decided")
        row = self.seen[sell["tradeId"]]
        if sell["kind"] != "sell":
            return
        is_after_night = trio.current_time() > 600 and self.market.closes
        self.tries[row["id"], is_after_night] += 1
        if self.tries[row["id"], is_after_night] > MOST_A_SESSION:
            self.wrong(f"more than {MOST_A_SESSION} sells a session: {sell['id']}")
        own = [each for each in self.exits_of(row["id"]) if each["id"] != sell["id"]]
        left = Decimal(repr(row["shares"])) - sum(
            (Decimal(each["filledQty"]) for each in own), Decimal(0)
        )
        if Decimal(sell["qty"]) > left:
            self.wrong(f"{sell['qty']} are to be sold, and {left} are left")
        # What a stop gives way to was decided before that, however long it takes.
        is_known = any(each["cancelReason"] == sell["reason"] for each in own)
        is_by_price = sell["reason"] in _PRICE_REASONS and sell["id"].endswith("-x1")
        if is_by_price and not is_known:
            self._sold_by_price(sell, row)

    def _sold_by_price(self, sell: Row, row: Row) -> None:
        """See whether a price rule that sells is true, by what really traded."""
        symbol = row["symbol"]
        if not self.market.was_open:
            self.wrong(f"a price rule fires while the market is closed: {sell['id']}")
        # What is decided while the disk is full becomes durable once it is not.
        filled, emptied = self._disk
        now = trio.current_time()
        decided = filled if now < emptied + _LOOK_BACK_SECONDS else now
        since = decided - _LOOK_BACK_SECONDS
        been = self.market.was_since(symbol, since)
        # A buy that worked when the rule was true was canceled first, and bought more.
        entries = self._entries[row["id"]]
        match sell["reason"]:
            case "stop_loss":
                holds = min(been) <= max(entries) * (1 - steps.STOP / 100)
            case "profit_target":
                holds = max(been) >= min(entries) * (1 + steps.TARGET / 100)
            case _:
                high = max(*self.market.was_since(symbol, -1), *entries)
                holds = min(been) <= high * (1 - steps.TRAIL / 100)
        if not holds:
            self.wrong(f"{sell['reason']} of {symbol} at {entries}, it was at {been}")

    def _may_sell(self, mode: Mode, sell: OutgoingSell) -> None:
        """Find out whether a sell may leave now."""
        name = sell.client_order_id
        row = self.exits().get(name)
        if row is None or row["settledAt"] is not None:
            self.wrong(f"a sell leaves that is not durable, or has ended: {name}")
            return
        if Decimal(row["qty"]) != sell.quantity:
            self.wrong(f"{name} sells {sell.quantity}, and {row['qty']} was decided")
        if trio.current_time() < self.all_halted_until:
            self.wrong(f"a sell leaves during halt-all: {name}")
        # Where nothing is watched, nobody asks for the market's hours.
        knows_hours = trio.current_time() - self._enabled_at > 1
        is_stop = sell.stop_price is not None  # which waits for the open at the broker
        if not self.market.was_open and knows_hours and not is_stop:
            self.wrong(f"a sell leaves while the market is closed: {name}")
        trade = self.rows()[row["tradeId"]]
        if trade["mode"] != mode:
            self.wrong(f"{name} is sold on {mode}: {shown(trade)}")
        for posted in self.broker.posted_sells:
            other = posted.client_order_id
            if row_of_exit(other) == row["tradeId"] and other != name:
                self._is_over(other, name)

    def _is_over(self, other: str, name: str) -> None:
        """See that an earlier sell cannot fill any more, now that another leaves."""
        order = self.broker.sales.get(other)
        on_its_way = any(
            posted.client_order_id == other and not posted.is_handled
            for posted in self.broker.posted_sells
        )
        # The broker takes an id once, whatever else is on its way with it.
        may_fill = on_its_way if order is None else not order.is_final
        if may_fill:
            self.wrong(f"{name} leaves, and {other} may still fill")

    # What happens.

    async def _settle(self, check: Callable[[World], list[str]]) -> None:
        self.halted_until = self.all_halted_until = -math.inf
        self.broker.is_another = False
        self.broker.empty_lists = 0
        self.market.bad.clear()
        self.market.resume()
        await self._enable(enabled=True)
        assert self._nursery is not None
        self._nursery.start_soon(self._see_rules_obeyed)
        await super()._settle(check)

    def stop_level(self, row: Row) -> Decimal:
        """Return at which price a row is sold; a stop at the broker has whole cents."""
        level = Decimal(repr(row["entryPrice"])) * (1 - steps.STOP / 100)
        return level.quantize(Decimal("0.01"), ROUND_DOWN) if self._stops else level

    async def _see_rules_obeyed(self) -> None:
        """See that a price rule sells in time, once nothing is in its way."""
        if trio.current_time() < OPENS:
            await trio.sleep_until(OPENS if self.market.closes else 0)
        await trio.sleep(PATIENCE_SECONDS)
        for row in self.seen.values():
            if row["status"] != "open" or not row["entryPrice"]:
                continue
            price = self.market.price(row["symbol"])
            gain = (price / Decimal(repr(row["entryPrice"])) - 1) * 100
            is_wanted = gain >= steps.TARGET or price <= self.stop_level(row)
            if not is_wanted or any(
                each["kind"] == "sell" for each in self.exits_of(row["id"])
            ):
                continue
            self.wrong(f"no rule sells in {PATIENCE_SECONDS:g} s: {shown(row)}")

    async def _do(self, number: int, step: Step) -> None:  # noqa: PLR0912 - a table
        broker, market = self.broker, self.market
        mode = self.settings.mode
        match step:
            case steps.Fates():
                broker.fates[step.symbol] = list(step.fates)
            case steps.Move():
                market.move(step.symbol, Decimal(step.price) / self._ratio(step.symbol))
            case steps.BadPrint():
                price = Decimal(step.price) / self._ratio(step.symbol)
                market.bad[step.symbol] = BadTick(price)
            case steps.OthersSell() | steps.OthersBuy() if self._is_split(step.symbol):
                self.say(
                    "  what others do beside a split that nobody has seen is doubt"
                )
            case steps.OthersSell():
                broker.others_sell(mode, step.symbol, step.part, traced=step.traced)
            case steps.OthersBuy():
                broker.others_buy(mode, step.symbol)
            case steps.Splits():
                await self._split(step)
            case steps.TradingHalts():
                market.halt(step.symbol)
                await trio.sleep(step.seconds)
                market.resume()
            case steps.EmptyLists():
                broker.empty_lists = step.count
            case steps.OtherAccount():
                broker.is_another = True
                await trio.sleep(step.seconds)
                broker.is_another = False
            case steps.Halt():
                until = trio.current_time() + step.seconds
                self.halted_until = until
                if step.all_orders:
                    self.all_halted_until = until
            case steps.CloseByHand():
                if self.daemon is not None and self._nursery is not None:
                    run, exits = self.runs[-1], self.daemon.wings.exits
                    self._nursery.start_soon(self._close, run, exits, step.symbol)
            case DiskFull():
                now = trio.current_time()
                began = now if now > self._disk[1] else self._disk[0]
                self._disk = (began, now + step.seconds)
                await super()._do(number, step)
            case steps.ExitsEnabled() if market.closes:
                self.say("  a split of the night would be seen by nobody")
            case steps.ExitsEnabled():
                await self._enable(enabled=step.enabled)
            case _:
                await super()._do(number, step)

    async def _close(self, run: Run, exits: Any, symbol: str) -> None:  # noqa: ANN401
        if run.crashed:
            return
        scope = trio.CancelScope()
        self._closes.add(scope)  # it ends with the daemon that was asked
        with scope:
            try:
                answers = await exits.close([symbol], at_open=True)
            except ExceptionGroup:
                if not run.crashed:  # in this very moment
                    raise
            else:
                self.say(f"close {symbol}: {answers[0].state} {answers[0].error}")
        self._closes.discard(scope)

    def _crash(self, why: str, down: float) -> None:
        for scope in self._closes:
            scope.cancel(reason=why)
        super()._crash(why, down)

    async def _enable(self, *, enabled: bool) -> None:
        assert self.settings.exits is not None
        exits = self.settings.exits.model_copy(update={"enabled": enabled})
        if exits != self.settings.exits:
            self._enabled_at = trio.current_time() if enabled else math.inf
            await self._reload(exits=exits)

    def _ratio(self, symbol: str) -> int:
        return math.prod(ratio for name, ratio, _done in self.splits if name == symbol)

    def _is_split(self, symbol: str) -> bool:
        """Return whether a row is of shares before a split."""
        return any(
            (row["symbol"], row["status"]) == (symbol, "open")
            and row["id"] in self._unseen
            for row in self.seen.values()
        )

    async def _split(self, step: steps.Splits) -> None:
        is_split = any(symbol == step.symbol for symbol, _ratio, _done in self.splits)
        if not self.market.closes or trio.current_time() >= OPENS or is_split:
            self.say("  no night, no split; and one a night")
            return
        await trio.sleep_until(SPLITS)
        # With shares of others beside it that no run has seen, a split without a trace
        # cannot be told from what others bought.
        noted = {
            (row.mode, row.symbol): row.beside.quantity
            for row in self.store.held.watched()
            if row.beside is not None
        }
        has_unseen = any(
            holding.others_bought and noted.get((mode, symbol)) != holding.qty
            for (mode, symbol), holding in self.broker.holdings.items()
            if symbol == step.symbol
        )
        traced = step.traced or has_unseen
        if self.broker.split(step.symbol, step.ratio, traced=traced):
            # A row that is bought from now on is bought in new shares.
            self.splits.append((step.symbol, step.ratio, set()))
            self._unseen |= {
                row["id"] for row in self.seen.values() if row["symbol"] == step.symbol
            }


@cache
def _exit_settings(per_minute: int, max_hold: float, *, stops: bool) -> Settings:
    return make_settings(
        alpaca={
            "simulate": False,
            "rate_limit_per_min": per_minute,
            "api_key": "PK",
            "api_secret": "s3cr3t",
        },
        intake={"max_pending": 4, "max_in_flight": 3},
        exits={
            "hard_stop_loss_pct": float(steps.STOP),
            "profit_target_pct": float(steps.TARGET),
            "trailing_stop_pct": float(steps.TRAIL),
            "trailing_start_pct": float(steps.TRAIL_START),
            "max_hold_duration_sec": max_hold,
            "broker_stop": stops,
            "retry_max_sec": 30.0,
            "activation_delay_sec": 5.0,
        },
    )

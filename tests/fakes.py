"""Stand-ins for the daemon's collaborators: clocks, a writer, accounts, a rig.

The store behind them is always the real one, on a real SQLite file.
"""

from __future__ import annotations

import collections
import contextvars
import itertools
import json
import logging
from dataclasses import InitVar, dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import parse_qsl, urlsplit

import trio
from pydantic import SecretStr

from snexec.broker.accounts import Accounts
from snexec.broker.answers import BrokerOrder
from snexec.broker.budget import RateBudget
from snexec.broker.client import AlpacaClient
from snexec.broker.endpoint import Endpoint
from snexec.broker.lease import Held
from snexec.broker.positions import PositionList
from snexec.broker.sent import DOUBTFUL, OutgoingOrder, OutgoingSell, SentOrder
from snexec.errors import NotFoundError, UnknownOutcomeError
from snexec.events import Event, EventFeed
from snexec.intake.admission import Intake
from snexec.latency import Latencies
from snexec.ledger.ledger import Ledger
from snexec.ledger.rows import NewTrade, OrderRef
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from snexec.ledger.writer import Writer
from snexec.logs.mask import SecretMask
from snexec.model import MODES, Mode, Side
from snexec.orders.buying import SignalBuy
from snexec.orders.desk import OrderDesk
from snexec.reconciliation.reconciler import Reconciler
from snexec.risk.halt import HaltSwitch
from snexec.settings import Credentials, Settings
from snexec.settings.live import LiveSettings, Reload
from snexec.signals import Signal, TakenSignal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from snexec.broker.positions import HeldPosition
    from snexec.clock import Clock
    from snexec.ledger.changes import Change

T = TypeVar("T")

MOMENT = datetime(2026, 1, 5, 14, 30, 0, 123000, tzinfo=UTC)
MOMENT_TEXT = "2026-01-05T14:30:00.123Z"
KEY, SECRET = "PKTESTKEY0001", "s3cr3t/Value+0001"
CREDENTIALS = Credentials(key=SecretStr(KEY), secret=SecretStr(SECRET))


class FakeClock:
    """A wall clock that stands still until it is advanced."""

    def __init__(self, moment: datetime = MOMENT) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class TrioClock:
    """A wall clock that goes with Trio's clock, which a MockClock may drive."""

    def __init__(self, moment: datetime = MOMENT, *, ahead: float = 0.0) -> None:
        self._moment = moment + timedelta(seconds=ahead)

    def now(self) -> datetime:
        return self._moment + timedelta(seconds=trio.current_time())

    def put_ahead(self, seconds: float) -> None:
        """Have time pass that Trio's clock does not count."""
        self._moment += timedelta(seconds=seconds)


def make_settings(**sections: Any) -> Settings:  # noqa: ANN401 - as in the file
    """Make settings from what a config file would hold."""
    return Settings.model_validate(sections)


def make_signal(symbol: str = "AAPL", **changes: object) -> Signal:
    """Make a signal of five stars."""
    values: dict[str, object] = {
        "symbol": symbol,
        "catalystCategory": "fda_approval",
        "catalystTier": 1,
        "aiConfidence": "high",
        "priceAtSignal": 187.2,
    }
    return Signal.model_validate(values | changes)


def make_trade(
    trade_id: str = "sn-1",
    symbol: str = "AAPL",
    *,
    mode: Mode = "paper",
    signal_id: str | None = None,
) -> NewTrade:
    """Make a row about to be opened."""
    return NewTrade(
        id=trade_id,
        symbol=symbol,
        catalyst_type="fda_approval",
        catalyst_tier=1,
        mode=mode,
        notional=Decimal("100.00"),
        stars=5,
        price_at_signal=187.2,
        signal_id=signal_id,
    )


def make_order(
    trade_id: str,
    status: str = "accepted",
    *,
    order_id: str = "o-1",
    quantity: object = "0",
    price: object = None,
    replaced_by: str | None = None,
) -> BrokerOrder:
    """Make the broker's word on an order, read as a reply would be."""
    return BrokerOrder.model_validate(
        {
            "id": order_id,
            "client_order_id": trade_id,
            "status": status,
            "filled_qty": quantity,
            "filled_avg_price": price,
            "replaced_by": replaced_by,
        }
    )


_empty_database: bytes | None = None


def open_store(path: Path, clock: FakeClock | TrioClock) -> Store:
    """Open a real store whose commits do not wait for the disk; for speed only."""
    global _empty_database  # noqa: PLW0603 - made once, as every commit of it is slow
    if _empty_database is None:
        open_database(path, simulated=False, clock=clock).close()
        _empty_database = path.read_bytes()
    elif not path.exists():
        path.touch(0o600)
        path.write_bytes(_empty_database)
    connection = open_database(path, simulated=False, clock=clock)
    connection.execute("PRAGMA synchronous = OFF")
    return Store(connection, clock=clock)


def rows_of(store: Store) -> dict[str, dict[str, Any]]:
    """Read every row, by id."""
    found = store._db.execute("SELECT * FROM BotTrade ORDER BY rowid")
    return {row["id"]: dict(row) for row in found}


def row_of(store: Store, trade_id: str) -> dict[str, Any]:
    """Read one row."""
    return rows_of(store)[trade_id]


class InlineWriter(Writer):
    """Applies each change at once, durable or not, without a thread.

    So a MockClock may jump: nothing waits that Trio does not know of.

    Attributes:
        gate: Holds every change back until it is set.
        delay_seconds: What a commit costs.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._store = store
        self.gate = trio.Event()
        self.gate.set()
        self.delay_seconds = 0.0
        self.writes = 0
        self._rows: collections.deque[Callable[[], Awaitable[None]]] = (
            collections.deque()
        )

    async def write(self, function: Callable[[Store], T]) -> T:
        await self.gate.wait()
        await trio.sleep(self.delay_seconds)
        return self._apply(function)

    def open(self, change: Change[Any]) -> None:
        self._rows.append(partial(self._write_and_report, change))
        if len(self._rows) == 1:
            trio.lowlevel.spawn_system_task(self._open_rows, name="rows")

    async def _open_rows(self) -> None:
        while self._rows:
            await self._rows[0]()
            self._rows.popleft()

    def put(self, change: Change[Any]) -> None:
        trio.lowlevel.spawn_system_task(self._write_and_report, change)

    async def _write_and_report(self, change: Change[Any]) -> None:
        try:
            result = await self.write(change.apply)
        except Exception as exc:  # noqa: BLE001 - as the real one does
            change.failed(exc)
        else:
            change.done(result)

    async def submit(self, change: Change[Any]) -> None:
        await self.gate.wait()
        try:
            result = self._apply(change.apply)
        except Exception as exc:  # noqa: BLE001 - as the real one does
            change.failed(exc)
        else:
            change.done(result)

    async def run(self) -> None:
        await trio.sleep_forever()

    def _apply(self, function: Callable[[Store], T]) -> T:
        self._store.begin()
        try:
            result = function(self._store)
        except BaseException:
            self._store.rollback()
            raise
        self._store.commit()
        self.writes += 1
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request that the fake broker has seen."""

    at: float
    kind: Literal["place", "order", "position", "list", "cancel"]
    symbol: str | None = None
    side: Side | None = None
    notional: str | None = None
    quantity: Decimal | None = None
    client_order_id: str | None = None
    order_id: str | None = None
    path: str | None = None


Reply = BrokerOrder | Decimal | Exception


class UnreadableError(UnknownOutcomeError):
    """A 200 whose body cannot be read."""


class AskedOrder(SentOrder):
    """An order whose outcome a model of the broker tells.

    Args:
        ask: Waits for the outcome; what it raises is the outcome too.

    Attributes:
        doubtful: Whether bytes came that nobody had asked for.
        doubted: What is called if they come later.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[BrokerOrder]], order: OutgoingOrder
    ) -> None:
        self.doubtful = False
        self.doubted: Callable[[], None] | None = None
        self._ask = ask
        self._order = order
        self._asking = trio.CancelScope()
        self._told: BrokerOrder | Exception = UnknownOutcomeError("abandoned")
        # The connection's task tells, whatever becomes of the order's.
        trio.lowlevel.spawn_system_task(self._run, context=contextvars.copy_context())

    async def _run(self) -> None:
        with self._asking:
            try:
                self._told = await self._ask()
            except Exception as exc:  # noqa: BLE001 - raised again by `outcome`
                self._told = exc
        self._order.answered()

    @property
    def is_taken(self) -> bool:
        return isinstance(self._told, BrokerOrder | UnreadableError)

    @property
    def is_doubtful(self) -> bool:
        return self.doubtful

    def if_doubted(self, call: Callable[[], None]) -> None:
        self.doubted = call
        if self.is_doubtful:
            call()

    def abandon(self, problem: str) -> None:
        self._asking.cancel(reason=problem)

    def outcome(self) -> BrokerOrder:
        if isinstance(self._told, BrokerOrder):
            return self._told
        if self.doubtful:
            raise UnknownOutcomeError(DOUBTFUL)
        raise self._told


class FakeClient(AlpacaClient):
    """A broker's account that answers from scripts, and remembers what it was asked.

    Without a script an order is accepted, a look-up tells what ``book`` holds (of one
    that took another's place, by its id, ``replacements``), and a position is what
    ``holds`` says; what they do not hold is a 404.

    Attributes:
        placing: Scripts for the next orders, in order.
        looking: Scripts for the next look-ups.
        listing: Scripts for the next pages of the list: a body, or an error.
        listed: What the list holds otherwise, as ``listed_order`` makes it.
        asking: Scripts for the next questions about a position's quantity.
        showing: Scripts for the next questions about a whole position; then a 404.
        canceling: Scripts for the next cancels: an error, or None.
        sells: The sells that were sent.
        holding: What the list of positions says, or why it does not.
        seconds: How long each answer takes.
        withheld: What the last order would have asked, had it waited.
        renewed: How often its connections were renewed.
    """

    def __init__(self, mode: Mode, budget: RateBudget) -> None:
        self.mode = mode
        self.budget = budget
        self.requests: list[Request] = []
        self.placing: collections.deque[Any] = collections.deque()
        self.looking: collections.deque[Any] = collections.deque()
        self.asking: collections.deque[Any] = collections.deque()
        self.listing: collections.deque[bytes | Exception] = collections.deque()
        self.listed: list[dict[str, object]] = []
        self.canceling: collections.deque[Exception | None] = collections.deque()
        self.showing: collections.deque[HeldPosition | Exception] = collections.deque()
        self.sells: list[OutgoingSell] = []
        self.book: dict[str, BrokerOrder] = {}
        self.replacements: dict[str, BrokerOrder] = {}
        self.holds: dict[str, Decimal] = {}
        self.holding: PositionList | Exception = PositionList()
        self.seconds = 0.0
        self.renewed = 0
        self.withheld: Callable[[], bool] | None = None
        self._numbers = itertools.count(1)

    def number_orders_from(self, number: int) -> None:
        """Give other ids than an earlier client has given."""
        self._numbers = itertools.count(number)

    def renew_connections(self) -> None:
        self.renewed += 1

    def send_order(self, order: OutgoingOrder) -> SentOrder:
        request = Request(
            at=trio.current_time(),
            kind="place",
            symbol=order.symbol,
            side=order.side,
            notional=None if order.notional is None else str(order.notional),
            quantity=order.quantity,
            client_order_id=order.client_order_id,
        )
        order_id = f"{self.mode}-o-{next(self._numbers)}"
        accepted = make_order(order.client_order_id, order_id=order_id)
        self.requests.append(request)
        self.withheld = order.is_withheld
        order.left()
        script = collections.deque([self.placing.popleft()] if self.placing else [])
        return AskedOrder(partial(self._placed, request, script, accepted), order)

    def send_sell(self, sell: OutgoingSell) -> SentOrder:
        self.sells.append(sell)
        return self.send_order(sell)

    async def cancel(self, order_id: str) -> None:
        self.requests.append(
            Request(at=trio.current_time(), kind="cancel", order_id=order_id)
        )
        try:
            await trio.sleep(self.seconds)
            reply = self.canceling.popleft() if self.canceling else None
        finally:
            self.budget.finish(None)
        if isinstance(reply, Exception):
            raise reply

    async def position(self, symbol: str) -> HeldPosition:
        self.requests.append(
            Request(at=trio.current_time(), kind="position", symbol=symbol)
        )
        try:
            await trio.sleep(self.seconds)
            reply = self.showing.popleft() if self.showing else not_found()
        finally:
            self.budget.finish(None)
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def positions(self, *_own: object) -> PositionList:
        self.requests.append(
            Request(at=trio.current_time(), kind="position", symbol="")
        )
        await trio.sleep(self.seconds)
        self.budget.finish(None)
        if isinstance(self.holding, Exception):
            raise self.holding
        return self.holding

    async def _placed(
        self, request: Request, script: collections.deque[Any], order: BrokerOrder
    ) -> BrokerOrder:
        found = await self._answer(request, script, order)
        assert isinstance(found, BrokerOrder)
        self.book.setdefault(order.client_order_id, found)
        return found

    async def order(
        self,
        *,
        client_order_id: str,
        order_id: str | None,
        symbol: str | None = None,
        side: Side = "buy",
    ) -> BrokerOrder:
        request = Request(
            at=trio.current_time(),
            kind="order",
            client_order_id=client_order_id,
            order_id=order_id,
            symbol=symbol,
            side=side,
        )
        self.requests.append(request)
        found = await self._answer(request, self.looking, None, client_order_id)
        assert isinstance(found, BrokerOrder)
        return found

    async def replacement(
        self, order_id: str, *, symbol: str | None = None, side: Side = "buy"
    ) -> BrokerOrder:
        request = Request(
            at=trio.current_time(),
            kind="order",
            order_id=order_id,
            symbol=symbol,
            side=side,
        )
        self.requests.append(request)
        found = await self._answer(
            request, collections.deque(), self.replacements.get(order_id)
        )
        assert isinstance(found, BrokerOrder)
        return found

    async def page_of_orders(self, path: str) -> bytes:
        self.requests.append(Request(at=trio.current_time(), kind="list", path=path))
        try:
            await trio.sleep(self.seconds)
            page = (
                self.listing.popleft() if self.listing else page_of(self.listed, path)
            )
        finally:
            self.budget.finish(None)
        if isinstance(page, Exception):
            raise page
        return page

    async def position_quantity(self, symbol: str) -> Decimal:
        request = Request(at=trio.current_time(), kind="position", symbol=symbol)
        self.requests.append(request)
        found = await self._answer(request, self.asking, self.holds.get(symbol))
        assert isinstance(found, Decimal)
        return found

    def asked(
        self, kind: Literal["place", "order", "position", "list", "cancel"]
    ) -> list[Request]:
        """Return the requests of one kind."""
        return [request for request in self.requests if request.kind == kind]

    async def _answer(
        self,
        request: Request,
        script: collections.deque[Any],
        default: Reply | None,
        book_key: str | None = None,
    ) -> Reply:
        try:
            await trio.sleep(self.seconds)
            reply = script.popleft() if script else default
            if callable(reply):
                reply = await reply(request)
            if reply is None and book_key is not None:
                reply = self.book.get(book_key)
        finally:
            self.budget.finish(None)
        if reply is None:
            reply = not_found()
        if isinstance(reply, Exception):
            raise reply
        assert isinstance(reply, BrokerOrder | Decimal)
        return reply


def listed_order(
    trade_id: str,
    symbol: str = "AAPL",
    status: str = "filled",
    *,
    order_id: str | None = None,
    at: datetime = MOMENT,
    **changes: object,
) -> dict[str, object]:
    """Make an order as the list of orders has it; it has bought 2 if it is filled."""
    bought = "2" if status == "filled" else "0"
    return {
        "id": order_id or f"o-{trade_id}",
        "client_order_id": trade_id,
        "symbol": symbol,
        "side": "buy",
        "status": status,
        "notional": "100",
        "filled_qty": bought,
        "filled_avg_price": "50" if bought == "2" else None,
        "submitted_at": at.isoformat().replace("+00:00", "Z"),
        **changes,
    }


def page_of(listed: list[dict[str, object]], path: str) -> bytes:
    """Make the page of a list that a path asks for, as the broker would."""
    query = dict(parse_qsl(urlsplit(path).query))
    assert query["status"] == "all", path
    assert query["direction"] == "asc", path
    after = datetime.fromisoformat(query["after"])
    in_order = sorted(listed, key=lambda each: str(each["submitted_at"]))
    page = [
        each
        for each in in_order
        if datetime.fromisoformat(str(each["submitted_at"])) > after
    ]
    return json.dumps(page[: int(query["limit"])]).encode()


def not_found() -> NotFoundError:
    """Make the answer to a look-up of what the broker does not know."""
    return NotFoundError(status_code=404, body="", reason="order not found")


class FakeAccounts(Accounts):
    """Both modes' fake clients, each with a real budget and real leases."""

    def __init__(self, *, clock: FakeClock | TrioClock, per_minute: int = 200) -> None:
        self.clients = {
            mode: FakeClient(mode, RateBudget(per_minute=per_minute, clock=clock))
            for mode in MODES
        }
        self._held = {
            mode: Held(
                Endpoint(mode=mode, url="http://127.0.0.1:1", credentials=CREDENTIALS),
                client,
            )
            for mode, client in self.clients.items()
        }
        self._exchange = None
        self._clock = clock
        self._environ = {}
        self._tls = None

    @property
    def leased(self) -> dict[Mode, int]:
        """How many leases of each account there are."""
        return {mode: held.leases for mode, held in self._held.items()}

    def lose_keys(self, mode: Mode) -> None:
        """Have no keys for a mode from now on."""
        held = self._held[mode]
        held.endpoint = held.endpoint._replace(credentials=None)

    async def run(self) -> None:
        await trio.sleep_forever()


class FakeHalt(HaltSwitch):
    """A kill switch without a file."""

    def __init__(self) -> None:
        self.on = False
        self.all_on = False
        self.standby = False
        self.refusals: list[str] = []

    def refusal_heard(self, trade_id: str) -> None:
        self.refusals.append(trade_id)

    def is_halted(self) -> bool:
        return self.on or self.all_on

    def is_known(self) -> bool:
        return self.on

    def is_all_halted(self) -> bool:
        return self.all_on

    def is_all_known(self) -> bool:
        return self.all_on

    def is_standby(self) -> bool:
        return self.standby


class FakeMarket:
    """A market that is open, closed, or of which that is not known, or is asked."""

    def __init__(self) -> None:
        self.open: bool | None = None
        self.asks = False
        self.wanted: set[Mode] = set()
        self.closes_in = 3600.0

    def is_being_asked(self, _mode: Mode) -> bool:
        return self.asks

    def want(self, mode: Mode) -> None:
        self.wanted.add(mode)

    def is_open(self, _mode: Mode) -> bool | None:
        return self.open

    def seconds_to_close(self, _mode: Mode) -> float | None:
        return self.closes_in if self.open else None


class InlineLedger(Ledger):
    """Rows that are written in the moment they are asked for."""

    def __init__(self, store: Store, writer: InlineWriter, clock: Clock) -> None:
        super().__init__(store, path=Path("nowhere"), clock=clock)
        self.writer: InlineWriter = writer

    def _changed_at(self) -> float:
        return MOMENT.timestamp()  # as the note of a new file


class Orders:
    """Notes the orders that leave."""

    def __init__(self) -> None:
        self.symbols: list[str] = []

    def leaving(self, trade: NewTrade, _sequence: int | None) -> None:
        self.symbols.append(trade.symbol)


def put_mode(live: LiveSettings, mode: Mode) -> None:
    """Change the mode, as a re-read of the config file does."""
    settings = live.now.model_copy(update={"mode": mode})
    live.put_in_force(Reload(settings, ["mode"], [], settings))


def live_settings(settings: Settings, path: Path = Path("config.toml")) -> LiveSettings:
    """Put settings in force, without an environment."""
    return LiveSettings(settings, path=path, mask=SecretMask(), environ={})


@dataclass(kw_only=True)
class Rig:
    """The order side, built of the daemon's own faces, with a fake broker.

    Attributes:
        events: Every event of the feed.
        starved: What recovery said of the stream.
        halt: The kill switch.
        market: What the broker's clock says.
    """

    config: InitVar[Settings]
    clock: FakeClock | TrioClock
    store: Store
    id_salt: str = ""
    events: list[Event] = field(default_factory=list)
    starved: list[tuple[Mode, float]] = field(default_factory=list)
    halt: FakeHalt = field(default_factory=FakeHalt)
    market: FakeMarket = field(default_factory=FakeMarket)

    def __post_init__(self, config: Settings) -> None:
        self.settings = live_settings(config)
        self.accounts = FakeAccounts(
            clock=self.clock, per_minute=config.alpaca.rate_limit_per_min
        )
        self.paper = self.accounts.clients["paper"]
        self.live = self.accounts.clients["live"]
        self.writer = InlineWriter(self.store)
        self.ledger = InlineLedger(self.store, self.writer, self.clock)
        self.latencies = Latencies()
        self.feed = EventFeed(clock=self.clock)
        self.feed.follow(self.events.append)
        self.reconciler = Reconciler(
            self.settings, self.accounts, self.ledger, self.latencies, self.feed
        )
        self.unsettled = self.reconciler.unsettled
        self.fills = self.reconciler.fills
        self.recovery = self.reconciler.recovery
        self.left = Orders()
        self.orders = OrderDesk(
            *(self.settings, self.accounts, self.ledger, self.reconciler),
            *(self.halt, self.market, self.latencies, self.feed),
            id_salt=self.id_salt,
            onlookers=[self.left],
        )
        self.skips = self.orders.skips
        self.outcomes = self.orders.outcomes
        self.dispatcher = self.orders.dispatcher
        self.intake = Intake(self.settings, self.ledger, self.orders)
        self.intake.open()
        self._numbers = itertools.count(1)

    @property
    def pending(self) -> int:
        """How many signals wait."""
        return self.orders.status().pending

    def set_mode(self, mode: Mode) -> None:
        """Change the mode, as a re-read of the config file does."""
        put_mode(self.settings, mode)

    def set_bot(self, **values: object) -> None:
        """Change ``[bot]``, as a re-read of the config file does."""
        bot = self.settings.now.bot.model_copy(update=values)
        self.settings.now = self.settings.now.model_copy(update={"bot": bot})

    def set_exits(self, **values: object) -> None:
        """Put an ``[exits]`` section in the place of the last."""
        exits = make_settings(exits=values).exits
        self.settings.now = self.settings.now.model_copy(update={"exits": exits})

    def offer(self, *signals: Signal) -> None:
        """Put signals into the queue, past the intake's own checks."""
        for signal in signals:
            taken = TakenSignal(
                signal=signal,
                read_at=trio.current_time(),
                sequence=next(self._numbers),
                term=self.settings.term,
            )
            self.orders._queue.put(SignalBuy(taken, self.orders._buying))

    async def trade(self, *signals: Signal) -> None:
        """Execute signals, and return when the last order's task has ended."""
        self.offer(*signals)
        self.orders.close()
        await self.orders.run()

    async def recover(self) -> None:
        """Look up what is due, as the daemon does."""
        await self.recovery.run(self._note_starved)

    def open_row(self, trade: NewTrade, *, order_id: str | None = None) -> None:
        """Write a row, as an order that was placed leaves it."""
        assert self.store.open_trade(trade) == "opened"
        if order_id is not None:
            applied = self.store.apply_working(ref_of(trade, order_id))
            assert applied is not None

    def rows(self) -> dict[str, dict[str, Any]]:
        """Read every row, by id."""
        return rows_of(self.store)

    def told(self, *names: str) -> list[tuple[str, str | None]]:
        """Return the events of these names, or all, each with its reason."""
        return [
            (event.event, event.reason)
            for event in self.events
            if not names or event.event in names
        ]

    def _note_starved(self, mode: Mode, placed_at: float) -> None:
        self.starved.append((mode, placed_at))


def ref_of(trade: NewTrade, order_id: str | None) -> OrderRef:
    """Name a trade's order as an event does."""
    return OrderRef(mode=trade.mode, order_id=order_id, client_order_id=trade.id)


def only_row(rig: Rig) -> dict[str, Any]:
    """Return the one row that there is."""
    (row,) = rig.rows().values()
    return row


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings that were logged."""
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def symbols_ordered(rig: Rig) -> list[str | None]:
    """Return the symbols ordered at paper, in their order."""
    return [request.symbol for request in rig.paper.asked("place")]

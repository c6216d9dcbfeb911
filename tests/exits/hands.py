"""Positions, settings and prices as the tests of the exits need them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar, cast

import trio

from snexec.events import EventFeed
from snexec.exits.book import PositionBook
from snexec.exits.market import MarketView
from snexec.exits.monitor import PositionMonitor
from snexec.exits.position import Position
from snexec.exits.prices import Instant, PassedOver, Price, Session
from snexec.exits.records import Records
from snexec.exits.rules import Moment
from snexec.exits.symbol_prices import SymbolPrices
from snexec.ledger import WatchedRow, Writer
from snexec.market.calendar import TradingSession
from snexec.market.hours import View
from tests.fakes import TrioClock, live_settings, make_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from snexec.events import Event
    from snexec.exits.book_entry import BookEntry
    from snexec.exits.prices import Source
    from snexec.exits.rules import Trigger
    from snexec.ledger import HighPrice, Store
    from snexec.model import Mode
    from snexec.settings import ExitSettings

T = TypeVar("T")

_SAID_AT = datetime(2026, 1, 5, tzinfo=UTC)  # which nobody here looks at

OPENED = 1_000_000.0  # when the session of ``Symbol`` opened, in seconds since 1970


def make_exits(**keys: object) -> ExitSettings:
    found = make_settings(exits=keys).exits
    assert found is not None
    return found


def make_position(symbol: str = "AAPL", **changes: Any) -> Position:  # noqa: ANN401 - by name
    values: dict[str, Any] = {
        "row_id": f"row-{symbol}",
        "symbol": symbol,
        "mode": "paper",
        "shares": Decimal("0.5"),
        "remaining": Decimal("0.5"),
        "entry_price": Decimal(100),
        "entry_at": OPENED,
        "held_since": 0.0,
    }
    return Position(**(values | changes))


def at(now: float = 0.0, **changes: Any) -> Moment:  # noqa: ANN401 - by name
    return Moment(**({"now": now, "is_open": True} | changes))


class Symbol:
    """One symbol's prices at an open market, with a clock of its own.

    Attributes:
        seconds: Since the market opened, on both clocks.
    """

    def __init__(self, high: Decimal | None = None, **keys: object) -> None:
        self.settings = make_exits(**keys)
        self.prices = SymbolPrices(high)
        self.seconds = 60.0
        self.session = Session(is_open=True, day=1, opened_at=OPENED)
        self._numbers = itertools.count(1)

    @property
    def now(self) -> Instant:
        return Instant(OPENED + self.seconds, self.seconds)

    def hear(
        self,
        price: float | str,
        source: Source = "stream",
        *,
        age: float | None = 0.0,
        number: int | None = None,
        conditions: Sequence[str] = (),
    ) -> PassedOver | None:
        """Hear a price of so many seconds ago; None of positions, which do not say."""
        dated = None if source == "positions" or age is None else self.now.wall - age
        if number is None:
            number = next(self._numbers) if source == "stream" else 0
        said = Price("AAPL", Decimal(str(price)), dated, source, number, conditions)
        return self.prices.hear(said, self.now, self.session, self.settings)

    def bid(self, bid: float | str, *, age: float = 0.0) -> bool:
        return self.prices.hear_bid(
            Decimal(str(bid)), self.now.wall - age, self.now, self.settings
        )

    def take_back(self, number: int) -> bool:
        return self.prices.take_back(number, self.settings)

    @property
    def confirmed(self) -> list[tuple[str, list[float]]]:
        """What confirms a rule now, by its name."""
        if not self.prices.is_fresh(self.seconds, self.settings):
            return []
        found = self.prices.confirmations(self.seconds, self.settings)
        return [
            (self.prices.name(each), [float(price) for price in each.prices])
            for each in found
        ]

    def high(self) -> float | None:
        high = self.prices.highs.highest
        return None if high is None else float(high)


class Market:
    """A market that opens and closes as it is told; its hours and its calendar."""

    def __init__(self, clock: TrioClock) -> None:
        self._clock = clock
        self.watched: set[Mode] = set()
        self.is_open: bool | None = True
        self.until = math.inf
        self.opened_at: float | None = clock.now().timestamp() - 3600
        self.today = date(2026, 1, 5)

    def open(self, *, closes_in: float = math.inf) -> None:
        self.is_open, self.until = True, trio.current_time() + closes_in
        self.opened_at = self._clock.now().timestamp()

    def close(self, *, opens_in: float = 63_000) -> None:
        """Close until another day."""
        self.is_open, self.until = False, trio.current_time() + opens_in
        self.today += timedelta(days=1)

    def view(self, _mode: Mode) -> View | None:
        if self.is_open is None:
            return None
        return View(self.is_open, self.until, _SAID_AT, _SAID_AT)

    def watch(self, modes: Iterable[Mode]) -> None:
        self.watched = set(modes)

    def session(self, view: View) -> TradingSession:
        return TradingSession(self.today, self.opened_at if view.is_open else None)


@dataclass
class Sold:
    """Notes what it is to sell."""

    sells: list[tuple[float, Position, Trigger]] = field(default_factory=list)

    def announce(self, say: Callable[[], None]) -> None:
        say()

    def sell(self, position: Position, trigger: Trigger) -> None:
        assert position.state == "closing"
        self.sells.append((trio.current_time(), position, trigger))

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return [(position.symbol, each.reason) for _at, position, each in self.sells]


@dataclass
class Switch:
    """The kill switch."""

    all_halted: bool = False

    def is_all_halted(self) -> bool:
        return self.all_halted

    def is_all_known(self) -> bool:
        return self.all_halted


class Shelf(Writer):
    """A database that remembers what was written, and when; a store of held rows, too."""

    def __init__(self) -> None:
        self.rules: list[str] = []
        self.raised: list[tuple[float, list[HighPrice]]] = []
        self.lowered: list[tuple[float, list[HighPrice]]] = []
        self.held = self

    async def write(self, function: Callable[[Store], T]) -> T:
        await trio.lowlevel.checkpoint()
        return function(cast("Store", self))

    def note_rules(self, rules: str) -> None:
        self.rules.append(rules)

    def raise_highs(self, highs: Iterable[HighPrice]) -> None:
        self.raised.append((trio.current_time(), list(highs)))

    def set_highs(self, highs: Iterable[HighPrice]) -> None:
        self.lowered.append((trio.current_time(), list(highs)))


class Desk:
    """A monitor over a book, with all that it talks to; for ``jumping_time``."""

    def __init__(self, **keys: object) -> None:
        self.clock = TrioClock()
        self.live = live_settings(make_settings(exits=keys or None))
        self.market = Market(self.clock)
        self.view = MarketView(self.market, self.market, self.clock)
        self.book = PositionBook(self.clock)
        self.book.follows_all = True
        self.seller = Sold()
        self.switch = Switch()
        self.shelf = Shelf()
        self.records = Records(self.shelf)
        self.events: list[Event] = []
        feed = EventFeed(clock=self.clock)
        feed.follow(self.events.append)
        self.monitor = PositionMonitor(
            self.live,
            self.book,
            self.view,
            self.seller,
            self.switch,
            records=self.records,
            feed=feed,
        )

    def row(self, symbol: str = "AAPL", **changes: Any) -> WatchedRow:  # noqa: ANN401 - by name
        values: dict[str, Any] = {
            "id": f"row-{symbol}",
            "symbol": symbol,
            "mode": "paper",
            "shares": Decimal("0.533386947"),
            "remaining": Decimal("0.533386947"),
            "entry_price": Decimal("189.58"),
            "entry_at": self.clock.now(),
            "high_price": None,
            "is_settled": True,
            "order_id": "o-1",
        }
        return WatchedRow(**(values | changes))

    def hold(self, *symbols: str, **changes: Any) -> BookEntry:  # noqa: ANN401 - by name
        """Watch rows of an earlier run, whose rules are applied already."""
        self.book.load([self.row(symbol, **changes) for symbol in symbols or ["AAPL"]])
        found = self.book.of_symbol(symbols[0] if symbols else "AAPL")
        assert found is not None
        return found

    def apply_rules(self) -> None:
        """Let the rules as they are set be those of an earlier run."""
        from snexec.exits.rule_set import NO_RULES, rules_of  # noqa: PLC0415

        assert self.live.now.exits is not None
        since = self.clock.now() - timedelta(days=30)
        rules = rules_of(self.live.now.exits, NO_RULES, since.timestamp())
        self.monitor.load(rules.text())

    def start(self, nursery: trio.Nursery, *, again: bool = True) -> None:
        if again:
            self.apply_rules()
        nursery.start_soon(self.records.run)
        nursery.start_soon(self.monitor.run)

    def set(self, **keys: object) -> None:
        """Put other settings in force, as SIGHUP does."""
        self.live.now = make_settings(exits=keys or None)
        self.monitor.settings_changed()

    def say(
        self,
        price: float | str,
        symbol: str = "AAPL",
        source: Source = "stream",
        *,
        number: int = 0,
        age: float = 0.0,
    ) -> PassedOver | None:
        dated = None
        if source != "positions":
            dated = self.clock.now().timestamp() - age
        said = Price(symbol, Decimal(str(price)), dated, source, number)
        return self.monitor.hear(said)

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return self.seller.reasons


def day(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, 5, hour, minute, tzinfo=UTC)

"""Ticks of what is watched: by class of asset, only where wanted, from a real server."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import trio

from snexec.broker.simulated import BuiltInExchange
from snexec.exchange.data_stream import DataFaults
from snexec.exchange.server import Exchange
from snexec.exchange.settings import ExchangeSettings
from snexec.market.data_line import DataLine
from snexec.market.data_stream import DataStream
from snexec.market.ticks import Cancel, Correction, Print, Quote, Status
from snexec.stream.keeper import Keeper
from tests.fakes import FakeAccounts, FakeClock, live_settings, make_settings
from tests.market.data import MadeDataSettings, RecordingSink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from snexec.model import Mode


class Hours:
    """A market that is open or closed."""

    def __init__(self) -> None:
        self.open: bool | None = True

    def is_open(self, mode: Mode) -> bool | None:
        return self.open if mode == "paper" else None


@dataclass
class Bench:
    """A stream, and the simulated exchange that it follows.

    Attributes:
        settings: What ``[exits]`` says; None without it.
    """

    exchange: Exchange
    accounts: FakeAccounts
    settings: MadeDataSettings | None
    sink: RecordingSink = field(default_factory=RecordingSink)
    hours: Hours = field(default_factory=Hours)
    times_lost: int = 0

    def __post_init__(self) -> None:
        self.stream = DataStream(
            live_settings(make_settings(stream={"reconnect_delay_sec": 0.01})),
            self.accounts,
            lambda: self.settings,
            self.hours,  # type: ignore[arg-type]  # one question of it
            self.sink,
            lost=self.lose,
            clock=FakeClock(),
        )

    def lose(self) -> None:
        """Count a connection that has ended."""
        self.times_lost += 1

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; the clock is the real one."""
        with trio.fail_after(5):
            while not condition():  # noqa: ASYNC110 - sockets set no Trio event
                await trio.sleep(0.002)

    def serves(self, symbol: str) -> bool:
        """Return whether ticks of a symbol come now."""
        return self.stream._line(symbol).serves(symbol)

    async def served(self, *symbols: str) -> None:
        """Wait until ticks of these symbols would come."""
        await self.until(lambda: all(map(self.serves, symbols)))

    async def taken(self, count: int) -> list[Any]:
        """Wait until as many ticks have come, and return them."""
        await self.until(lambda: len(self.sink.taken) >= count)
        return self.sink.taken

    @property
    def connected(self) -> list[str]:
        """The endpoints that somebody is connected to."""
        feeds = self.exchange.data_feeds
        return [path for path, feed in feeds.items() if feed.connections]


@pytest.fixture
async def bench(nursery: trio.Nursery) -> AsyncIterator[Bench]:
    """Give a stream that runs, of an exchange that runs."""
    exchange = Exchange(ExchangeSettings(seed=1))
    await nursery.start(exchange.run)
    accounts = FakeAccounts(clock=FakeClock())
    accounts._exchange = BuiltInExchange(
        urls={"paper": exchange.paper_url, "live": exchange.live_url},
        quote=exchange.quote,
        id_salt="s",
        data_url=exchange.data_url,
    )
    made = Bench(exchange, accounts, MadeDataSettings())
    nursery.start_soon(made.stream.run)
    yield made
    nursery.cancel_scope.cancel()


async def test_trades_quotes_and_what_is_taken_back_come_from_iex(bench: Bench) -> None:
    bench.stream.watch(["KO"])
    await bench.served("KO")
    bench.exchange.quote("KO", Decimal("60.25"))
    printed, quoted = await bench.taken(2)
    assert isinstance(printed, Print)
    assert (printed.symbol, printed.price) == ("KO", Decimal("60.25"))
    assert printed.conditions == ("@",)
    assert isinstance(quoted, Quote)
    assert quoted.bid is not None
    assert quoted.bid < printed.price
    bench.exchange.tape.take_back("KO", Decimal("60.20"))
    bench.exchange.tape.take_back("KO", None)
    bench.exchange.tape.halted("KO", halted=True)
    bench.exchange.tape.print_odd("KO", Decimal(30), ("I", "Z"), 1)
    _printed, _quoted, corrected, canceled, halted, odd = await bench.taken(6)
    assert isinstance(corrected, Correction)
    assert corrected.trade_id == printed.trade_id
    assert corrected.corrected is not None
    assert corrected.corrected.price == Decimal("60.2")
    assert isinstance(canceled, Cancel)
    assert canceled.trade_id == printed.trade_id
    assert isinstance(halted, Status)
    assert halted.state == "halted"
    assert odd.conditions == ("I", "Z")
    assert bench.connected == ["v2/iex"]


async def test_the_test_feed_has_its_symbol(bench: Bench) -> None:
    bench.settings = MadeDataSettings(feed="test")
    bench.stream.settings_changed()
    bench.stream.watch(["FAKEPACA"])
    await bench.served("FAKEPACA")
    assert bench.connected == ["v2/test"]
    bench.exchange.quote("FAKEPACA", Decimal("135.5"))
    assert (await bench.taken(1))[0].price == Decimal("135.5")


async def test_crypto_has_an_endpoint_of_its_own(bench: Bench) -> None:
    bench.stream.watch(["BTC/USD"])
    await bench.served("BTC/USD")
    assert bench.connected == ["v1beta3/crypto/us"]
    bench.exchange.quote("BTC/USD", Decimal("60000.5"))
    printed = (await bench.taken(1))[0]
    assert (printed.symbol, printed.price) == ("BTC/USD", Decimal("60000.5"))
    assert printed.conditions == ()
    bench.stream.watch(["BTC/USD", "KO"])
    await bench.served("BTC/USD", "KO")
    assert len(bench.connected) == 2
    assert [bench.exchange.data_feeds[path].subscribed for path in bench.connected] == [
        ["KO"],
        ["BTC/USD"],
    ]


async def test_symbols_change_on_the_open_connection(bench: Bench) -> None:
    bench.stream.watch(["KO"])
    await bench.served("KO")
    bench.stream.watch(["PEP"])
    await bench.served("PEP")
    assert not bench.serves("KO")
    feed = bench.exchange.data_feeds["v2/iex"]
    assert (feed.connections, feed.subscribed) == (1, ["PEP"])


async def test_the_thirty_first_symbol_stays_out(bench: Bench) -> None:
    symbols = [f"S{number}" for number in range(31)]
    bench.stream.watch(symbols)
    await bench.served(*symbols[:30])
    assert not bench.serves("S30")


async def test_of_forty_the_newest_come_in_as_older_ones_go(bench: Bench) -> None:
    symbols = [f"S{number}" for number in range(40)]
    bench.stream.watch(symbols)
    await bench.served(*symbols[:30])
    assert not any(map(bench.serves, symbols[30:]))
    bench.exchange.data_feeds["v2/iex"].drop()
    await bench.until(lambda: not bench.serves("S0"))
    await bench.served(*symbols[:30])
    bench.stream.watch(symbols[15:])
    await bench.served(*symbols[15:])
    assert not any(map(bench.serves, symbols[:15]))


async def test_a_dropped_connection_comes_back_with_its_symbols(bench: Bench) -> None:
    bench.stream.watch(["KO"])
    await bench.served("KO")
    assert bench.times_lost == 0
    bench.exchange.data_feeds["v2/iex"].drop()
    await bench.until(lambda: not bench.serves("KO"))
    assert bench.times_lost == 1, "a halt may have ended meanwhile"
    await bench.served("KO")


async def test_a_restart_replaces_what_is_open_and_nothing_else(bench: Bench) -> None:
    bench.stream.watch(["KO"])
    await bench.served("KO")
    bench.stream.restart()
    await bench.until(lambda: bench.times_lost == 1)
    await bench.served("KO")
    assert bench.connected == ["v2/iex"]


async def test_a_slot_that_another_has_is_no_end(bench: Bench) -> None:
    feed = bench.exchange.data_feeds["v2/iex"]
    feed.faults = DataFaults(refuse=406)
    bench.stream.watch(["KO"])
    await bench.until(lambda: bench.stream._lines["share"].state == "refused")
    feed.faults = DataFaults()
    bench.stream.settings_changed()
    await bench.served("KO")


@pytest.mark.parametrize(
    "settings",
    [
        None,
        MadeDataSettings(price_source="snapshots"),
        MadeDataSettings(price_source="positions"),
        MadeDataSettings(enabled=False),
    ],
)
async def test_it_is_never_opened_unless_the_source_is_the_stream(
    bench: Bench, settings: MadeDataSettings | None
) -> None:
    bench.settings = settings
    bench.stream.settings_changed()
    bench.stream.watch(["KO", "BTC/USD"])
    await trio.sleep(0.2)
    assert bench.connected == []
    bench.settings = MadeDataSettings()
    bench.stream.settings_changed()
    await bench.served("KO", "BTC/USD")
    bench.settings = settings
    bench.stream.settings_changed()
    await bench.until(lambda: not bench.connected)


async def test_without_keys_of_any_mode_nobody_is_asked(bench: Bench) -> None:
    for mode in ("paper", "live"):
        bench.accounts.lose_keys(mode)
    bench.stream.settings_changed()
    bench.stream.watch(["KO"])
    await trio.sleep(0.2)
    assert bench.connected == []


async def test_the_other_modes_keys_do_where_the_current_one_has_none(
    bench: Bench,
) -> None:
    bench.accounts.lose_keys("paper")
    bench.stream.settings_changed()
    bench.stream.watch(["KO"])
    await bench.served("KO")


class Held(NamedTuple):
    """What a poll finds of a position."""

    symbol: str
    current_price: Decimal | None


@pytest.fixture
def restarts(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give when connections were replaced; they seem to be open, and are silent."""
    found: list[float] = []
    monkeypatch.setattr(DataLine, "serves", lambda line, symbol: symbol in line.watched)
    monkeypatch.setattr(Keeper, "restart", lambda _: found.append(trio.current_time()))
    return found


def silent_bench() -> Bench:
    """Make a stream that does not run."""
    exchange, accounts = Exchange(ExchangeSettings()), FakeAccounts(clock=FakeClock())
    return Bench(exchange, accounts, MadeDataSettings())


@pytest.mark.jumping_time
@pytest.mark.parametrize(
    ("symbol", "is_open", "replaced"),
    [("KO", True, [30]), ("KO", False, []), ("KO", None, []), ("BTC/USD", False, [30])],
)
async def test_shares_may_be_silent_while_their_market_is_not_open(
    symbol: str, is_open: bool | None, replaced: list[float], restarts: list[float]
) -> None:
    bench = silent_bench()
    bench.hours.open = is_open
    bench.stream.watch([symbol])
    for number in range(17):
        await bench.stream.seen("paper", [Held(symbol, Decimal(60 + number % 2))])
        await trio.sleep(2)
    assert restarts == [at + 2 for at in replaced], "the first poll shows no move"


@pytest.mark.jumping_time
@pytest.mark.parametrize(
    "prices",
    [
        [Decimal(60)] * 40,
        [None] * 40,
        [Decimal(60), None] * 20,
        [Decimal(60), None, Decimal(61), None] * 10,
    ],
)
async def test_a_poll_that_shows_no_move_accuses_nobody(
    prices: list[Decimal | None], restarts: list[float]
) -> None:
    bench = silent_bench()
    bench.stream.watch(["KO"])
    for price in prices:
        await bench.stream.seen(
            "paper", [Held("KO", price), Held("F", Decimal(price or 1))]
        )
        await trio.sleep(2)
    assert restarts == []


@pytest.mark.jumping_time
async def test_snapshots_that_stand_in_find_a_silent_stream_too(
    restarts: list[float],
) -> None:
    bench = silent_bench()
    bench.stream.watch(["KO"])
    for number in range(17):
        bench.stream.seen_trade("KO", Decimal(60 + number % 2))
        await trio.sleep(2)
    assert restarts == [32]


@pytest.mark.jumping_time
async def test_two_polls_that_differ_by_a_cent_are_no_move(
    restarts: list[float],
) -> None:
    bench = silent_bench()
    bench.stream.watch(["KO"])
    for _ in range(40):
        bench.stream.seen_trade("KO", Decimal("60.01"))
        await bench.stream.seen("paper", [Held("KO", Decimal(60))])
        await trio.sleep(2)
    assert restarts == []

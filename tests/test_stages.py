"""How the daemon starts taking signals, and how it stops, from the inside out."""

from __future__ import annotations

import logging
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from snexec.broker.simulated import BuiltInExchange
from snexec.errors import StartError
from snexec.intake.admission import Answer, Phase
from snexec.ledger import file as file_module
from snexec.ledger.rows import OrderRef, trade_id
from snexec.ops.systemd import Systemd
from snexec.stages import Opened, Stages
from tests.fakes import (
    Rig,
    make_order,
    make_trade,
    only_row,
    symbols_ordered,
    warnings_of,
)
from tests.input_helpers import signal_line
from tests.ledger.files import contents, make_foreign
from tests.ops.bench import make_wings
from tests.orders.hearing import buy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from snexec.events import Event
    from snexec.ledger.rows import NewTrade
    from snexec.stream.trading import StreamState
    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

TIME_IS_UP = (
    "time is up with orders not settled; the next start asks the broker about them"
)


class Manager(Systemd):
    """The service manager, and what it was sent."""

    def __init__(self) -> None:
        super().__init__({})
        self.sent: list[tuple[str, float]] = []

    def ready(self) -> None:
        self.sent.append(("ready", trio.current_time()))

    def stopping(self, *, seconds: float) -> None:
        self.sent.append(("stopping", seconds))


class Run:
    """The report of a run of ``--stdin``, and all that it was given."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.events: list[Event] = []

    def answered(self, answer: Answer) -> None:
        self.answers.append(answer)

    def leaving(self, trade: NewTrade, sequence: int | None) -> None:
        """Look on; the rig's own onlooker notes it."""

    def happened(self, event: Event) -> None:
        self.events.append(event)


class Daemon:
    """A rig whose signals are taken and no longer taken by stages.

    Attributes:
        ended_at: When ``run_orders`` returned, on Trio's clock; infinite until then.
    """

    def __init__(
        self,
        rig: Rig,
        report: Run | None = None,
        exchange: BuiltInExchange | None = None,
    ) -> None:
        self.rig = rig
        rig.intake.phase = Phase.STARTING
        self.wings = make_wings(rig)
        self.manager = Manager()
        unused: Any = None
        opened = Opened(
            live=rig.settings,
            clock=rig.clock,
            ledger=rig.ledger,
            listener=unused,
            systemd=self.manager,
            report=report,
            exchange=exchange,
        )
        self.stages = Stages(self.wings, opened, rig.feed)
        self.ended_at = math.inf

    def take(self, symbol: str = "AAPL", *, early: bool = False) -> Answer:
        """Take a signal's line now."""
        line = signal_line(symbol=symbol, id=symbol)
        answer = self.rig.intake.take(line, read_at=trio.current_time(), early=early)
        self.rig.intake.flush()
        return answer

    def set_stream(self, state: StreamState) -> None:
        self.wings.stream._set_state(state, "paper")

    async def run_orders(self) -> None:
        await self.stages.run_orders()
        self.ended_at = trio.current_time()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the stages, and what they wait for, until they have ended."""
        self.stages.load()
        async with trio.open_nursery() as services:
            services.start_soon(self.rig.reconciler.run, self.rig._note_starved)
            services.start_soon(self.wings.market.run)
            async with trio.open_nursery() as orders:
                orders.start_soon(self.run_orders)
                await wait_all_tasks_blocked()
                yield
            services.cancel_scope.cancel()


@pytest.fixture
async def daemon(rig: Rig) -> Daemon:
    """Give a daemon that is fed over its socket alone."""
    return Daemon(rig)


@pytest.fixture
def run() -> Run:
    """Give the report of a run of ``--stdin``."""
    return Run()


@pytest.fixture
async def fed(rig: Rig, run: Run) -> Daemon:
    """Give the daemon of a run of ``--stdin``."""
    return Daemon(rig, run)


def leave_row(rig: Rig) -> None:
    """Leave a row whose order the broker works on, as an earlier run does."""
    rig.open_row(make_trade("sn-1", "OLD"), order_id="o-1")
    rig.paper.book["sn-1"] = make_order("sn-1", "new")


def fill(rig: Rig, symbol: str, order_id: str = "paper-o-1") -> None:
    """Let the broker say at the next look-up that an order is filled."""
    row = trade_id("paper", symbol)
    order = make_order(row, "filled", order_id=order_id, quantity="1", price="5")
    rig.paper.book[row] = order


def infos_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]


# The start


async def test_nothing_is_taken_before_every_row_is_compared(daemon: Daemon) -> None:
    leave_row(daemon.rig)
    daemon.rig.paper.seconds = 3
    async with daemon.running():
        await trio.sleep(2.9)
        assert daemon.take().status == "starting"
        assert daemon.manager.sent == []
        await trio.sleep(0.2)
        assert daemon.take().status == "accepted"
        assert daemon.manager.sent == [("ready", 3)]
        daemon.stages.stop(why="test", seconds=10)
    assert symbols_ordered(daemon.rig) == ["AAPL"]


async def test_what_standard_input_brings_early_waits_until_every_row_is_compared(
    daemon: Daemon,
) -> None:
    leave_row(daemon.rig)
    daemon.rig.paper.seconds = 3
    async with daemon.running():
        assert daemon.take(early=True).status == "accepted"
        await trio.sleep(2.9)
        assert (daemon.rig.pending, daemon.rig.paper.asked("place")) == (1, [])
        await trio.sleep(0.2)
        assert [r.at for r in daemon.rig.paper.asked("place")] == [3]
        daemon.stages.stop(why="test", seconds=10)


async def test_a_start_with_nothing_to_compare_is_ready_at_once_and_says_so(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with daemon.running():
        assert daemon.manager.sent == [("ready", 0)]
        daemon.stages.stop(why="test", seconds=10)
    socket = daemon.rig.settings.now.intake.socket
    assert infos_of(caplog) == [
        f"ready: taking signals at {socket}, mode paper, bot running",
        "stopping: test",
    ]


async def test_a_market_that_is_not_known_yet_is_waited_for_two_seconds(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = Daemon(make_rig(bot={"require_market_open": True}))
    monkeypatch.setattr(daemon.wings.market, "run", trio.sleep_forever)
    async with daemon.running():
        await trio.sleep(1.9)
        assert daemon.take().status == "starting"
        await trio.sleep(0.2)
        assert daemon.manager.sent == [("ready", 2)]
        daemon.stages.stop(why="test", seconds=10)


async def test_rows_of_an_earlier_run_are_followed(daemon: Daemon) -> None:
    leave_row(daemon.rig)
    daemon.stages.load()
    assert [order.trade_id for order in daemon.rig.unsettled] == ["sn-1"]


async def test_rows_of_an_earlier_simulation_are_ended_and_not_followed(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_row(daemon.rig)
    monkeypatch.setattr(daemon.rig.accounts, "_exchange", object())
    daemon.stages.load()
    assert only_row(daemon.rig)["exitReason"] == "simulation_ended"
    assert len(daemon.rig.unsettled) == 0


@pytest.mark.parametrize(
    ("bot", "are_tallied"), [({"max_orders_per_day": 5}, True), ({}, False)]
)
async def test_recent_orders_are_tallied_at_the_start_where_a_limit_counts_them(
    make_rig: Callable[..., Rig], bot: dict[str, object], are_tallied: bool
) -> None:
    daemon = Daemon(make_rig(bot=bot))
    daemon.stages.load()
    tallied = daemon.rig.ledger.tallied("AAPL", "paper")
    assert (tallied is not None) is are_tallied


async def test_a_database_that_cannot_be_used_ends_the_start(daemon: Daemon) -> None:
    daemon.rig.store._db.execute("DROP TABLE BotTrade")
    with pytest.raises(StartError, match="cannot be used"):
        daemon.stages.load()


# A stop while starting


async def test_a_stop_while_starting_ends_it_at_once_and_orders_nothing(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    leave_row(daemon.rig)
    daemon.rig.paper.seconds = 1000
    async with daemon.running():
        daemon.take(early=True)
        await trio.sleep(1)
        daemon.stages.stop(why="test", seconds=10)
        assert daemon.take("LATE").status == "stopping"
    assert daemon.ended_at == 1
    assert daemon.manager.sent == [("stopping", 10)], "and never ready"
    assert daemon.rig.paper.asked("place") == []
    assert daemon.rig.told() == [("stop", "test"), ("skipped", "stopping")]
    assert daemon.rig.pending == 0
    assert TIME_IS_UP in warnings_of(caplog)


async def test_an_input_that_ends_while_starting_is_still_ordered(fed: Daemon) -> None:
    leave_row(fed.rig)
    fed.rig.paper.seconds = 3
    async with fed.running():
        fed.take(early=True)
        await trio.sleep(1)
        fed.stages.input_ended()
        fill(fed.rig, "AAPL")
    assert [(r.symbol, r.at) for r in fed.rig.paper.asked("place")] == [("AAPL", 3)]
    assert fed.manager.sent == [("stopping", 30)], "a run that ends is never ready"


# A stop


async def test_a_stop_takes_no_more_signals_and_lets_orders_finish(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.rig.paper.seconds = 3
    async with daemon.running():
        daemon.take()
        await trio.sleep(1)
        daemon.stages.stop(why="test", seconds=10)
        assert daemon.take("LATE").status == "stopping"
        assert daemon.manager.sent[1:] == [("stopping", 10)]
    assert daemon.ended_at == 3
    told = [("start", None), ("stop", "test"), ("placed", None)]
    assert daemon.rig.told() == told
    assert symbols_ordered(daemon.rig) == ["AAPL"]
    assert len(daemon.rig.unsettled) == 1, "it does not wait for fills"
    assert TIME_IS_UP not in warnings_of(caplog)


async def test_signals_that_were_taken_before_a_stop_are_ordered_within_its_time(
    make_rig: Callable[..., Rig],
) -> None:
    daemon = Daemon(make_rig(intake={"max_in_flight": 1}))
    daemon.rig.paper.seconds = 3
    async with daemon.running():
        daemon.take("A")
        daemon.take("B")
        daemon.stages.stop(why="test", seconds=10)
    assert symbols_ordered(daemon.rig) == ["A", "B"]
    assert daemon.ended_at == 6


async def test_a_stop_waits_no_longer_than_its_time(
    make_rig: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    daemon = Daemon(make_rig(intake={"max_in_flight": 1}))
    daemon.rig.paper.seconds = 100
    async with daemon.running():
        daemon.take("A")
        daemon.take("B")
        await trio.sleep(1)
        daemon.stages.stop(why="test", seconds=10)
    assert daemon.ended_at == 11
    assert symbols_ordered(daemon.rig) == ["A"]
    assert only_row(daemon.rig)["status"] == "open", "the next start asks about it"
    told = [("start", None), ("stop", "test"), ("skipped", "stopping")]
    assert daemon.rig.told() == told
    assert (daemon.rig.pending, daemon.rig.dispatcher.in_flight) == (0, 0)
    assert TIME_IS_UP in warnings_of(caplog)


async def test_a_second_stop_may_shorten_the_time_and_never_lengthens_it(
    daemon: Daemon,
) -> None:
    daemon.rig.paper.seconds = 100
    async with daemon.running():
        daemon.take()
        daemon.stages.stop(why="test", seconds=10)
        daemon.stages.stop(why="again", seconds=50)
        assert daemon.stages.deadline() == 10
        daemon.stages.stop(why="hurry", seconds=5)
        assert daemon.stages.deadline() == 5
    assert daemon.ended_at == 5


async def test_without_a_stop_there_is_no_deadline(daemon: Daemon) -> None:
    assert daemon.stages.deadline() == math.inf


# Settling


async def test_settling_waits_until_every_order_is_settled(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    async with daemon.running():
        daemon.take("A")
        daemon.take("B")
        await trio.sleep(1)
        daemon.stages.stop(why="test", seconds=60, settle=True)
        fill(daemon.rig, "A")
        await trio.sleep(8)
        assert [o.symbol for o in daemon.rig.unsettled] == ["B"]
        assert daemon.ended_at == math.inf
        fill(daemon.rig, "B", "paper-o-2")
    assert daemon.ended_at == pytest.approx(10, abs=0.01), "by the next look-up"
    assert len(daemon.rig.unsettled) == 0
    assert warnings_of(caplog) == []


async def test_settling_waits_no_longer_than_its_time(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    async with daemon.running():
        daemon.take()
        await trio.sleep(1)
        daemon.stages.stop(why="test", seconds=60, settle=True)
    assert daemon.ended_at == 61
    assert warnings_of(caplog) == [TIME_IS_UP]


async def test_a_stop_ends_the_settling_of_an_earlier_one(daemon: Daemon) -> None:
    async with daemon.running():
        daemon.take()
        await trio.sleep(1)
        daemon.stages.stop(why="end of input", seconds=60, settle=True)
        await trio.sleep(1)
        daemon.stages.stop(why="SIGTERM", seconds=10)
    assert daemon.ended_at == 2


# A simulation that moves what is bought


@pytest.fixture
async def moved(rig: Rig, run: Run, caplog: pytest.LogCaptureFixture) -> Daemon:
    """Give a run of ``--stdin`` in which AAPL is to be sold 5 s after it is bought."""
    caplog.set_level(logging.INFO, logger="Daemon")
    stories = {"AAPL": 5.0, "KO": 2.0}
    exchange = BuiltInExchange({}, lambda *_: None, id_salt="", stories=stories)
    daemon = Daemon(rig, run, exchange)
    rig.set_exits(hard_stop_loss_pct=5)
    return daemon


def sell_by_others(daemon: Daemon, symbol: str) -> None:
    """Have a row end without a sell of ours, as the exits hear of it."""
    daemon.wings.exits.ended(trade_id("paper", symbol))


async def test_a_run_waits_until_what_the_simulation_moves_is_sold(
    moved: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    async with moved.running():
        for symbol in ("AAPL", "BTC"):
            moved.take(symbol)
        await trio.sleep(1)
        moved.stages.input_ended()
        fill(moved.rig, "AAPL")
        fill(moved.rig, "BTC", "paper-o-2")
        await trio.sleep(20)
        assert moved.ended_at == math.inf
        sell_by_others(moved, "AAPL")
    assert moved.ended_at == 21
    assert [line for line in infos_of(caplog) if "simulated" in line] == [
        "every order is settled; waiting until the simulated market has sold AAPL,"
        " 31 s at most (Ctrl-C ends it)"
    ]


async def test_a_run_waits_for_the_simulation_as_long_as_for_orders_after_its_end(
    moved: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    async with moved.running():
        moved.take("AAPL")
        await trio.sleep(1)
        moved.stages.input_ended()
        fill(moved.rig, "AAPL")
    settle_seconds = moved.rig.settings.now.intake.settle_timeout_sec
    assert moved.ended_at == 1 + 5 + settle_seconds
    assert infos_of(caplog)[-1] == "time is up, and AAPL is not sold"
    assert warnings_of(caplog) == []


async def test_a_stop_ends_the_wait_for_the_simulation(moved: Daemon) -> None:
    async with moved.running():
        moved.take("AAPL")
        await trio.sleep(1)
        moved.stages.input_ended()
        fill(moved.rig, "AAPL")
        await trio.sleep(8)
        moved.stages.stop(why="SIGINT", seconds=10)
    assert moved.ended_at == 9


async def test_a_stop_that_is_no_end_of_input_waits_for_no_simulation(
    moved: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    async with moved.running():
        moved.take("AAPL")
        await trio.sleep(1)
        fill(moved.rig, "AAPL")
        await trio.sleep(8)
        moved.stages.stop(why="SIGTERM", seconds=10)
    assert moved.ended_at == 9
    assert infos_of(caplog)[-1] == "stopping: SIGTERM"


async def test_nothing_is_waited_for_where_nothing_sells(moved: Daemon) -> None:
    moved.rig.set_exits(enabled=False)
    async with moved.running():
        moved.take("AAPL")
        await trio.sleep(1)
        moved.stages.input_ended()
        fill(moved.rig, "AAPL")
    assert moved.ended_at < 8


# The writer's time


async def test_without_a_stop_the_writer_has_a_second(daemon: Daemon) -> None:
    await trio.sleep(7)
    assert daemon.stages.drain_deadline() == 8


async def test_the_writer_has_what_a_stop_has_left_and_a_second_at_least(
    daemon: Daemon,
) -> None:
    daemon.stages.stop(why="test", seconds=10)
    await trio.sleep(2)
    assert daemon.stages.drain_deadline() == 10
    await trio.sleep(7.5)
    assert daemon.stages.drain_deadline() == 10.5
    await trio.sleep(20)
    assert daemon.stages.drain_deadline() == 30.5


# A damaged database


@pytest.fixture
def damaged(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """Give a daemon whose file was too large to be checked at the start."""
    monkeypatch.setattr(file_module, "_QUICKLY_CHECKED_BYTES", 0)
    path = tmp_path / "damaged.db"
    make_foreign(path, *((f"id-{n}" * 9, f"S{n}", "open") for n in range(2000)))
    damage = bytearray(contents(path))
    damage[8192:12288] = b"\xff" * 4096
    path.write_bytes(damage)
    daemon.rig.ledger._path = path
    return daemon


async def test_a_damaged_database_stops_the_daemon_and_is_raised_at_the_end(
    damaged: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await damaged.stages.check_database()
    assert damaged.rig.intake.phase is Phase.STOPPING
    patience = damaged.rig.settings.now.intake.shutdown_timeout_sec
    assert damaged.manager.sent == [("stopping", patience)]
    with pytest.raises(StartError, match=r"damaged\.db is damaged: "):
        damaged.stages.report_stopped()
    assert infos_of(caplog) == ["stopping: the database is damaged", "stopped"]


async def test_a_database_that_is_sound_stops_nothing(
    daemon: Daemon, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "_QUICKLY_CHECKED_BYTES", 0)
    daemon.rig.ledger._path = database
    await daemon.stages.check_database()
    assert daemon.manager.sent == []
    daemon.stages.report_stopped()


# The end


async def test_changes_that_were_abandoned_are_an_error_that_counts_them(
    daemon: Daemon, logged_errors: LoggedErrors
) -> None:
    daemon.rig.writer._abandoned = 3
    daemon.stages.report_stopped()
    assert logged_errors.take() == [
        "3 changes of rows could not be written; the next start asks the broker about"
        " their orders"
    ]


async def test_an_end_with_everything_written_is_one_line(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    daemon.stages.report_stopped()
    assert infos_of(caplog) == ["stopped"]


@pytest.mark.parametrize(
    ("exits", "symbols", "with_stop", "said"),
    [
        (None, ["AAPL"], 0, ""),
        ({"enabled": False}, ["AAPL"], 0, ""),
        ({}, [], 0, ""),
        (
            *({}, ["AAPL"], 0),
            "; 1 row is unwatched from now on, 0 of them with a stop at the broker",
        ),
        (
            *({}, ["AAPL", "MSFT"], 1),
            "; 2 rows are unwatched from now on, 1 of them with a stop at the broker",
        ),
    ],
)
async def test_the_last_line_says_what_nothing_watches_from_now_on(
    make_rig: Callable[..., Rig],
    caplog: pytest.LogCaptureFixture,
    *,
    exits: dict[str, object] | None,
    symbols: list[str],
    with_stop: int,
    said: str,
) -> None:
    caplog.set_level(logging.INFO)
    rig = make_rig(**({} if exits is None else {"exits": exits}))
    for number, symbol in enumerate(symbols):
        buy(rig, f"sn-{number}", symbol)
        if number < with_stop:
            rig.store.exits.plan(
                *(f"sn-{number}", "stop_loss"), held=None, free=None, kind="stop"
            )
            ref = OrderRef("paper", f"o-stop-{number}", f"sn-{number}-s1")
            assert rig.store.exits.apply_working(ref) is not None
    daemon = Daemon(rig)
    daemon.wings.exits.load()
    daemon.stages.report_stopped()
    assert infos_of(caplog)[-1] == f"stopped{said}"


# Standard input


async def test_a_file_waits_until_every_row_is_compared_and_for_the_stream(
    daemon: Daemon,
) -> None:
    leave_row(daemon.rig)
    daemon.rig.paper.seconds = 3
    async with daemon.running(), trio.open_nursery() as nursery:
        fed_at: list[float] = []

        async def feed() -> None:
            await daemon.stages.wait_to_feed_file()
            fed_at.append(trio.current_time())

        nursery.start_soon(feed)
        await trio.sleep(5)
        assert fed_at == []
        daemon.set_stream("authorized")
        await trio.sleep(1)
        assert fed_at == [5]
        daemon.stages.stop(why="test", seconds=10)


async def test_a_file_waits_for_the_stream_five_seconds_and_no_longer(
    daemon: Daemon,
) -> None:
    async with daemon.running():
        await daemon.stages.wait_to_feed_file()
        assert trio.current_time() == 5
        daemon.stages.stop(why="test", seconds=10)


async def test_a_file_does_not_wait_for_a_stream_that_is_decided(
    daemon: Daemon,
) -> None:
    daemon.set_stream("disabled")
    async with daemon.running():
        await daemon.stages.wait_to_feed_file()
        assert trio.current_time() == 0
        daemon.stages.stop(why="test", seconds=10)


async def test_a_run_is_given_every_answer_and_every_event(
    fed: Daemon, run: Run
) -> None:
    answer = Answer(status="invalid", error="line: is no JSON")
    fed.stages.input_answered(answer)
    fed.rig.feed.publish("mode", reason="was live")
    assert run.answers == [answer]
    assert [(event.event, event.reason) for event in run.events] == [
        ("mode", "was live")
    ]


async def test_an_answer_that_nobody_asked_for_is_not_reported(
    daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    daemon.stages.input_answered(Answer(status="accepted", id="n-1"))
    assert (caplog.messages, daemon.rig.events, daemon.manager.sent) == ([], [], [])


async def test_the_end_of_input_stops_a_run_once_every_order_is_settled(
    fed: Daemon,
) -> None:
    async with fed.running():
        fed.take(early=True)
        fed.stages.input_ended()
        assert fed.rig.intake.phase is Phase.STOPPING
        assert fed.stages.deadline() == fed.rig.settings.now.intake.settle_timeout_sec
        await trio.sleep(4)
        assert fed.ended_at == math.inf
        fill(fed.rig, "AAPL")
    assert fed.ended_at == 5


async def test_the_end_of_input_stops_nothing_but_a_run(daemon: Daemon) -> None:
    async with daemon.running():
        daemon.stages.input_ended()
        assert daemon.take().status == "accepted"
        assert daemon.stages.deadline() == math.inf
        daemon.stages.stop(why="test", seconds=10)


async def test_the_end_of_input_gives_a_run_that_stops_already_no_more_time(
    fed: Daemon,
) -> None:
    fed.stages.stop(why="SIGTERM", seconds=10)
    fed.stages.input_ended()
    assert fed.manager.sent == [("stopping", 10)]


# What is open before there is a daemon


async def test_an_order_is_seen_by_a_simulated_exchange_and_a_run_and_nobody_else(
    rig: Rig, run: Run
) -> None:
    class Simulated:
        id_salt = "salt"
        stories: ClassVar[dict[str, float]] = {"KO": 3.0}

    exchange = cast("BuiltInExchange", Simulated())
    unused: Any = None
    opened = Opened(
        live=rig.settings,
        clock=rig.clock,
        ledger=rig.ledger,
        listener=unused,
        systemd=Systemd({}),
    )
    assert (opened.onlookers, opened.id_salt, opened.stories) == ([], "", {})
    simulated = opened._replace(exchange=exchange, report=run)
    assert (simulated.onlookers, simulated.id_salt) == ([exchange, run], "salt")
    assert simulated.stories == {"KO": 3.0}


# Several hosts


class FakeLease:
    """A lease that is taken, and lost, when the test says so."""

    def __init__(self) -> None:
        self.taken, self.lost = trio.Event(), trio.Event()

    async def wait_taken(self) -> None:
        await self.taken.wait()

    async def wait_lost(self) -> None:
        await self.lost.wait()


class FakeRedis:
    """What stages know of Redis."""

    def __init__(self) -> None:
        self.lease = FakeLease()
        self.given_up = 0

    async def give_up_lease(self) -> None:
        await trio.lowlevel.checkpoint()
        self.given_up += 1


@pytest.fixture
async def standby(rig: Rig) -> tuple[Daemon, FakeRedis]:
    """Give a daemon of several, which stands by."""
    daemon, redis = Daemon(rig), FakeRedis()
    wings = daemon.wings._replace(redis=cast("Any", redis))
    unused: Any = None
    opened = Opened(
        live=rig.settings,
        clock=rig.clock,
        ledger=rig.ledger,
        listener=unused,
        systemd=daemon.manager,
    )
    daemon.wings, daemon.stages = wings, Stages(wings, opened, rig.feed)
    rig.intake.stand_by()
    return daemon, redis


async def test_a_standby_loads_and_takes_nothing_before_it_has_the_lease(
    standby: tuple[Daemon, FakeRedis], rig: Rig
) -> None:
    daemon, redis = standby
    leave_row(rig)
    daemon.stages.load()
    assert len(rig.reconciler.unsettled) == 0
    became: list[bool] = []

    async def wait() -> None:
        became.append(await daemon.stages.become_active())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert daemon.manager.sent[0][0] == "ready", "as ready as a standby is"
        assert daemon.take().status == "standby"
        redis.lease.taken.set()
    assert became == [True]
    assert daemon.take().status == "starting"
    assert len(rig.reconciler.unsettled) == 1


async def test_a_stop_ends_a_standby(
    standby: tuple[Daemon, FakeRedis], rig: Rig
) -> None:
    daemon, _redis = standby
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            assert not await daemon.stages.become_active()

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        daemon.stages.stop(why="SIGTERM", seconds=10)
    assert not daemon.stages.is_lease_lost
    assert rig.intake.phase is Phase.STOPPING


async def test_a_stop_while_a_lost_lease_ends_all_is_a_stop(
    standby: tuple[Daemon, FakeRedis], rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    daemon, redis = standby
    redis.lease.taken.set()
    await daemon.stages.become_active()
    redis.lease.lost.set()
    await daemon.stages._watch_lease()
    was_lost = daemon.stages.is_lease_lost
    daemon.stages.stop(why="SIGTERM", seconds=10)
    # Nobody stands by in its place.
    assert (was_lost, daemon.stages.is_lease_lost) == (True, False)
    assert rig.intake.phase is Phase.STOPPING
    with caplog.at_level(logging.INFO):
        daemon.stages.report_stopped()
    assert [record.getMessage() for record in caplog.records][-1] == "stopped"


async def test_a_takeover_waits_for_what_other_hosts_have_ordered(
    standby: tuple[Daemon, FakeRedis], rig: Rig
) -> None:
    daemon, redis = standby
    redis.lease.taken.set()
    await daemon.stages.become_active()
    assert rig.reconciler.unsettled.awaits_sweep("paper")


async def test_the_trading_stream_of_a_takeover_comes_after_the_rows(
    standby: tuple[Daemon, FakeRedis], rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, redis = standby
    redis.lease.taken.set()
    await daemon.stages.become_active()
    ran: list[str] = []

    async def run() -> None:
        await trio.lowlevel.checkpoint()
        ran.append("stream")

    monkeypatch.setattr(daemon.wings.stream, "run", run)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(daemon.stages.run_stream)
        await wait_all_tasks_blocked()
        assert ran == []
        rig.reconciler.unsettled.swept("paper")
        await rig.reconciler.compare()
    assert ran == ["stream"]


async def test_a_lost_lease_ends_every_order_at_once(
    standby: tuple[Daemon, FakeRedis], rig: Rig
) -> None:
    daemon, redis = standby
    redis.lease.taken.set()
    await daemon.stages.become_active()
    daemon.set_stream("authorized")
    rig.paper.seconds = 30.0
    async with trio.open_nursery() as services:
        services.start_soon(rig.reconciler.run, rig._note_starved)
        services.start_soon(daemon.wings.market.run)
        services.start_soon(rig.writer.run)
        async with trio.open_nursery() as orders:
            orders.start_soon(daemon.run_orders)
            await trio.sleep(40)
            assert daemon.take().status == "accepted"
            await trio.sleep(1)
            began = trio.current_time()
            redis.lease.lost.set()
        assert daemon.ended_at == began
        assert daemon.stages.is_lease_lost
        assert daemon.take("KO").status == "standby"
        services.cancel_scope.cancel()
    daemon.stages.report_stopped()
    await daemon.stages.give_up_lease()
    assert redis.given_up == 1

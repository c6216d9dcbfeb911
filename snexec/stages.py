"""How the daemon starts taking signals, and how it stops, from the inside out.

Signals are taken once every row of the current mode is compared with the broker. A stop
takes no more of them, lets orders finish, and then lets the writer finish, within the
time it was given.
"""

from __future__ import annotations

import logging
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

import trio

from snexec.errors import StartError
from snexec.intake import Kind, Phase
from snexec.model import counted
from snexec.ops import Systemd
from snexec.risk import counts_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ssl import SSLContext

    from snexec.broker import BuiltInExchange
    from snexec.clock import Clock
    from snexec.events import Event, EventFeed
    from snexec.intake import Answer, UnixListener
    from snexec.ledger import Ledger, NewTrade
    from snexec.ops import Web, Wings
    from snexec.orders import Onlooker
    from snexec.settings import LiveSettings

log = logging.getLogger("Daemon")

_STREAM_SECONDS = 5.0  # how long the lines of a file wait for the stream
_CLOCK_SECONDS = 2.0  # how long the first signal waits for the market's clock
_NO_STORIES: Mapping[str, float] = MappingProxyType({})
_TAKEOVER_SECONDS = 1.0  # how long a takeover waits for the stream
_LAST_SELLS_SECONDS = 1.0  # that left as a simulation's time was up
_DRAIN_SECONDS = 1.0  # for the writer, where the stop's own time is used up


class Report(Protocol):
    """Follows what becomes of the signals of standard input."""

    def answered(self, answer: Answer) -> None:
        """Called with the answer to each line."""

    def leaving(self, trade: NewTrade, sequence: int | None) -> None:
        """Called just before an order leaves: which row its signal has."""

    def happened(self, event: Event) -> None:
        """Called with each event."""


class Opened(NamedTuple):
    """What is opened before there is a daemon, and closed after it has ended.

    Attributes:
        live: The settings in force.
        clock: Gives rows and events their time.
        ledger: The rows.
        listener: The socket, already listening.
        systemd: The service manager, if there is one.
        stdin: What standard input is; no signals are read from ``NOTHING``.
        report: Follows one run of ``--stdin``, which stops at the end of its input.
        exchange: Answers in the broker's place in both modes, if it is simulated.
        tls: The context that verifies the broker; if None, made when it is needed.
        web: Serves the page and metrics, where they are on.
        dropped_lines: Returns how many log lines were dropped.
    """

    live: LiveSettings
    clock: Clock
    ledger: Ledger
    listener: UnixListener
    systemd: Systemd
    stdin: Kind = Kind.NOTHING
    report: Report | None = None
    exchange: BuiltInExchange | None = None
    tls: SSLContext | None = None
    web: Web | None = None
    dropped_lines: Callable[[], int] = int

    @property
    def id_salt(self) -> str:
        """What makes the ids of one simulation differ from the last one's."""
        return "" if self.exchange is None else self.exchange.id_salt

    @property
    def stories(self) -> Mapping[str, float]:
        """For how many seconds a simulation moves what is bought, by symbol."""
        return _NO_STORIES if self.exchange is None else self.exchange.stories

    @property
    def onlookers(self) -> list[Onlooker]:
        """The parts that must know of each order just before it leaves."""
        return [each for each in (self.exchange, self.report) if each is not None]


class Stages:
    """Starts and stops the flow of signals.

    Args:
        wings: What it starts and stops.
        opened: The service manager, which is sent each step; in a run of ``--stdin`` the
            report, which gets every answer, and that run stops at the end of its input.
        feed: The events, which the report follows; it hears of the start and the stop.

    Attributes:
        is_lease_lost: Whether it has ended as another host may order, and not by a stop.
    """

    def __init__(self, wings: Wings, opened: Opened, feed: EventFeed) -> None:
        self._systemd, self._report = opened.systemd, opened.report
        self._stories = opened.stories
        if self._report is not None:
            feed.follow(self._report.happened)
        self._wings = wings
        self._lease = None if wings.redis is None else wings.redis.lease
        self._waiting_scope = trio.CancelScope()
        self._feed = feed
        self._orders_scope = trio.CancelScope()
        self._settling_scope = trio.CancelScope()
        self._deadline = math.inf
        self._damage: StartError | None = None
        self.is_lease_lost = False

    def load(self) -> None:
        """Take over the rows that an earlier run left unsettled, unless another host acts.

        Raises:
            StartError: The database cannot be used.
        """
        if self._lease is None:
            self._load()

    def _load(self) -> None:
        wings, is_shared = self._wings, self._lease is not None
        rows = wings.ledger.load(
            simulated=wings.accounts.simulated,
            tally=counts_orders(wings.live.now.bot),
            is_shared=is_shared,
        )
        wings.reconciler.load(rows, wings.ledger.unsettled_exits, is_shared=is_shared)
        wings.exits.load()

    async def become_active(self) -> bool:
        """Wait until no other host of the group orders, and take over its rows.

        Returns:
            Whether this daemon orders now; False if it is to stop before that.
        """
        if self._lease is None:
            return True
        log.info("standby: waiting for the lease; no signals are taken")
        self._systemd.ready()  # as ready as a standby is
        with self._waiting_scope:
            await self._lease.wait_taken()
        if self._waiting_scope.cancelled_caught:
            return False
        self._wings.intake.begin()
        try:
            self._load()
        except StartError as exc:
            self._damage = exc
            self.stop(why="the database cannot be used", seconds=0)
            return False
        return True

    async def run_stream(self) -> None:
        """Run the trading stream; on a takeover only once every row is compared."""
        if self._lease is not None:
            await self._wings.reconciler.wait_started()
        await self._wings.stream.run()

    async def run_orders(self) -> None:
        """Take signals once the mode's rows are compared; return when orders have ended."""
        wings = self._wings
        with self._orders_scope:
            async with trio.open_nursery() as watching:
                watching.start_soon(self._watch_lease, name="lease")
                await wings.reconciler.compare()
                with trio.move_on_after(_CLOCK_SECONDS):
                    await wings.market.wait_decided()
                if self._lease is not None:
                    with trio.move_on_after(_TAKEOVER_SECONDS):
                        await wings.stream.wait_decided()
                self._begin_taking()
                await wings.orders.run(settle=self._settle)
                watching.cancel_scope.cancel(reason="every order has ended")
        wings.orders.drop_pending()
        if self._orders_scope.cancelled_caught and not self.is_lease_lost:
            log.warning(
                "time is up with orders not settled; the next start asks the broker"
                " about them"
            )

    async def _watch_lease(self) -> None:
        """End every order the moment another host may order."""
        if self._lease is not None:
            await self._lease.wait_lost()
            self.is_lease_lost = self._deadline == math.inf
            self._wings.intake.stand_by()
            self._orders_scope.cancel(reason="the lease is lost")

    def stop(self, *, why: str, seconds: float, settle: bool = False) -> None:
        """Take no more signals, but work off those that were taken.

        Args:
            why: For the log.
            seconds: How long they may take.
            settle: Whether to wait, within that time, until every order is settled.
        """
        log.info("stopping: %s", why)
        self._feed.publish("stop", {"mode": self._wings.live.now.mode}, reason=why)
        self._systemd.stopping(seconds=seconds)
        self.is_lease_lost = False  # whoever stops does not stand by instead
        starting = self._wings.intake.phase in {Phase.STARTING, Phase.STANDBY}
        self._wings.intake.close()
        self._wings.orders.close(sells_too=not settle)
        self._deadline = min(self._deadline, trio.current_time() + seconds)
        self._orders_scope.deadline = self._deadline
        self._waiting_scope.cancel(reason="the daemon stops")
        if not settle:
            self._settling_scope.cancel(reason="the daemon stops")
            if starting:
                self._orders_scope.cancel(reason="the daemon stops before it took any")

    def deadline(self) -> float:
        """Return when a stop must be over, on Trio's clock; infinite without one."""
        return self._deadline

    def drain_deadline(self) -> float:
        """Return when the writer must be done, now that all else has ended."""
        soonest = trio.current_time() + _DRAIN_SECONDS
        return max(self._deadline, soonest) if self._deadline < math.inf else soonest

    async def check_database(self) -> None:
        """Check a large file while the daemon runs, and stop if it is damaged."""
        try:
            await self._wings.ledger.check()
        except StartError as exc:
            self._damage = exc
            seconds = self._wings.live.now.intake.shutdown_timeout_sec
            self.stop(why="the database is damaged", seconds=seconds)

    async def give_up_lease(self) -> None:
        """Let another host order, now that nothing of ours is under way."""
        if self._wings.redis is not None:
            await self._wings.redis.give_up_lease()

    def report_stopped(self) -> None:
        """Log that nothing runs any more, and what could not be written.

        Raises:
            StartError: The database turned out to be damaged.
        """
        if abandoned := self._wings.ledger.status().abandoned:
            log.error(
                "%s could not be written; the next start asks the broker about their orders",
                counted(abandoned, "change of rows"),
            )
        if self.is_lease_lost:
            log.warning("this daemon stands by: only its wait for the lease goes on")
        else:
            log.info("stopped%s", self._left_unwatched())
        if self._damage is not None:
            raise self._damage

    def _left_unwatched(self) -> str:
        """Return what nothing watches from now on, as the last line says it."""
        rows, stops = self._wings.exits.left_by_a_stop()
        if not rows:
            return ""
        named = "1 row is" if rows == 1 else f"{rows} rows are"
        return f"; {named} unwatched from now on, {stops} of them with a stop at the broker"

    # For standard input.

    async def wait_to_feed_file(self) -> None:
        """Wait until the mode's rows are compared, and a while for the stream.

        A file can wait, and the stream then reports every fill as it happens.
        """
        await self._wings.reconciler.wait_started()
        with trio.move_on_after(_STREAM_SECONDS):
            await self._wings.stream.wait_decided()

    def input_answered(self, answer: Answer) -> None:
        """Pass the answer to a line on to the report, if there is one."""
        if self._report is not None:
            self._report.answered(answer)

    def input_ended(self) -> None:
        """Stop a run of ``--stdin``, once every order is settled.

        In a simulation once what is bought has also been sold, where its market or a
        hand moves it; ``settle_timeout_sec`` after the last of that at most.
        """
        intake = self._wings.intake
        if self._report is not None and intake.phase is not Phase.STOPPING:
            seconds = self._wings.live.now.intake.settle_timeout_sec
            seconds += max(self._stories.values(), default=0.0)
            self.stop(why="end of input", seconds=seconds, settle=True)

    async def _settle(self) -> None:
        with self._settling_scope:
            await self._wings.reconciler.wait_settled()
            await trio.lowlevel.checkpoint()  # a stop that is no end of input ends here
            await self._wait_for_stories()

    async def _wait_for_stories(self) -> None:
        """Wait until what a simulation moves is sold, where anything sells it."""
        settings, exits = self._wings.live.now, self._wings.exits
        held = exits.held(self._stories)
        if not held or settings.exits is None or not settings.exits.enabled:
            return
        # Every order has settled, so nothing is cut short; the last sells may finish.
        self._orders_scope.deadline = self._deadline + _LAST_SELLS_SECONDS
        log.info(
            "every order is settled; waiting until the simulated market has sold %s,"
            " %.0f s at most (Ctrl-C ends it)",
            ", ".join(held),
            self._deadline - trio.current_time(),
        )
        with trio.move_on_at(self._deadline):
            await exits.wait_sold(held)
        if still := exits.held(held):
            log.info("time is up, and %s is not sold", ", ".join(still))

    def _begin_taking(self) -> None:
        intake, settings = self._wings.intake, self._wings.live.now
        if intake.phase is Phase.STARTING:
            intake.open()
            self._systemd.ready()
            missing = self._wings.missing_keys
            log.log(
                logging.WARNING if missing else logging.INFO,
                "ready: taking signals at %s, mode %s, bot %s%s",
                settings.intake.socket,
                settings.mode,
                settings.bot.state,
                missing and f"; {missing}",
            )
            more = {"mode": settings.mode, "simulate": self._wings.accounts.simulated}
            self._feed.publish("start", more, reason=missing or None)

"""The daemon: what it is made of, how it runs, and how it stops.

Read this first. ``Daemon.run`` is the one tree of tasks (SPEC 1):

    root ── log lines, OS signals, the simulated exchange
     └─ writer                         writes the database, whoever asks
         └─ services                   trading stream, fills, recovery, REST clients,
             │                         metrics, notifications, the service manager
             └─ feeders                socket, standard input
                 └─ orders             what is left to do once each is answered

A stop closes it from the inside out: no more signals, orders finish, the stream says
goodbye, the writer drains. So nothing that was decided is lost on the way.
"""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
import sqlite3
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from snexec.broker import Accounts
from snexec.clock import timestamp
from snexec.errors import ConfigError, StartError
from snexec.events import EventFeed
from snexec.intake import Intake, Kind, Phase, SocketServer, read_signals
from snexec.latency import Latencies
from snexec.ledger import Store, Writer, check_large, checkpoint
from snexec.market import MarketClock
from snexec.ops import (
    Controls,
    Health,
    Outages,
    Systemd,
    Watchdog,
    account_name,
    knock_at,
)
from snexec.orders import Dispatcher, Outcomes, Skips, TradeExecutor
from snexec.reconciliation import Confirmations, Fills, Recovery, UnsettledOrders
from snexec.risk import HaltSwitch, counts_orders
from snexec.settings import (
    changed_keys,
    learn_secrets,
    load_settings,
    reloadable,
    warn_open_keys,
    with_reloaded,
)
from snexec.stream import TradingStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from ssl import SSLContext

    from snexec.cli.run_report import RunReport
    from snexec.clock import Clock
    from snexec.ledger import WriterStatus
    from snexec.logs import SecretMask
    from snexec.model import Mode
    from snexec.ops.notify import Notify
    from snexec.ops.pages import PageServer
    from snexec.settings import Settings
    from snexec.signals import Signal

log = logging.getLogger("Daemon")

_STREAM_SECONDS = 5.0
_CLOCK_SECONDS = 2.0  # for the market's clock, if it is asked, before the first signal
_DRAIN_SECONDS = 1.0  # for the writer, where the stop has used up its own time


@dataclass(frozen=True, kw_only=True, slots=True)
class BuiltInExchange:
    """What the daemon needs to know of the simulated exchange inside it.

    Attributes:
        urls: Its REST base URL for each mode.
        quote: Tells it a symbol's price, in dollars.
    """

    urls: Mapping[Mode, str]
    quote: Callable[[str, Decimal], None]


class Daemon:
    """Every object of the daemon, built in the order in which they need each other.

    Args:
        settings: The valid configuration; ``mode``, ``[bot]``, keys and URLs follow
            the file on ``reload``.
        store: The open database; the writer's alone from now on.
        exchange: What answers for the broker in both modes, if it is simulated.
        report: Told what becomes of the signals of standard input.
        systemd: The service manager, which need not be there.
        pages: Where to serve metrics, if anywhere.
        tls: The context that verifies the broker, if it is made: 30 ms of a start.
        dropped_lines: Tells how many log lines were dropped.
    """

    def __init__(
        self,
        *,
        config: Path,
        settings: Settings,
        store: Store,
        clock: Clock,
        mask: SecretMask,
        exchange: BuiltInExchange | None = None,
        report: RunReport | None = None,
        systemd: Systemd | None = None,
        pages: list[trio.SocketListener] | None = None,
        tls: SSLContext | None = None,
        dropped_lines: Callable[[], int] = int,
    ) -> None:
        self._systemd = systemd or Systemd({})
        self._config = config
        self._clock = clock
        self.settings = settings
        self._store = store
        self._mask = mask
        self._simulated = exchange is not None
        self._orders_scope = trio.CancelScope()
        self._settling_scope = trio.CancelScope()
        self._stop_deadline = math.inf
        self._damage: StartError | None = None

        self.feed = EventFeed(clock=clock)
        self.halt = HaltSwitch(
            config=config,
            bot=lambda: self.settings.bot,
            feed=self.feed,
            clock=clock,
        )
        self.feed.follow(self.halt.happened)
        self.accounts = Accounts(
            settings=settings,
            clock=clock,
            simulated_urls=None if exchange is None else exchange.urls,
            tls=tls,
        )
        self.writer = Writer(
            store, checkpoint=partial(checkpoint, Path(settings.database))
        )
        self.unsettled = UnsettledOrders()
        self.latency = Latencies()
        self.confirmations = Confirmations(
            unsettled=self.unsettled,
            feed=self.feed,
            heard=self._heard,
            restore=lambda *said: self.outcomes.restore(*said),  # noqa: PLW0108 - made below
        )
        self.fills = Fills(
            writer=self.writer,
            accounts=self.accounts,
            latency=self.latency,
            confirmations=self.confirmations,
        )
        self.stream = TradingStream(
            settings=settings.stream,
            endpoint=lambda: self.accounts.endpoint(self.settings.mode),
            tls=self.accounts.tls,
            fills=self.fills,
            feed=self.feed,
            authorized=self.unsettled.ask_all,
        )
        self.recovery = Recovery(
            settings=settings.alpaca,
            accounts=self.accounts,
            writer=self.writer,
            fills=self.fills,
            confirmations=self.confirmations,
            unsettled=self.unsettled,
            starved=self.stream.replace_starved,
        )
        self.intake = Intake(
            max_pending=settings.intake.max_pending,
            mode=lambda: self.settings.mode,
            refusal=lambda: (
                None if self.writer.healthy else "the database cannot be written"
            ),
        )
        self.market = MarketClock(
            settings=lambda: self.settings, accounts=self.accounts
        )
        # A simulated account starts empty each time, and so do its order ids.
        id_salt = secrets.token_hex(8) if self._simulated else ""
        self.skips = Skips(
            feed=self.feed, max_age_seconds=settings.intake.max_signal_age_sec
        )
        self.outcomes = Outcomes(
            writer=self.writer,
            unsettled=self.unsettled,
            feed=self.feed,
            latency=self.latency,
            skips=self.skips,
        )
        self.executor = TradeExecutor(
            settings=lambda: self.settings,
            writer=self.writer,
            fills=self.fills,
            outcomes=self.outcomes,
            skips=self.skips,
            latency=self.latency,
            halted=self.halt.is_halted,
            id_salt=id_salt,
            opened=None if report is None else report.opened,
            seen=None if exchange is None else _quoting(exchange.quote),
        )
        self.dispatcher = Dispatcher(
            settings=lambda: self.settings,
            intake=self.intake,
            accounts=self.accounts,
            executor=self.executor,
            skips=self.skips,
            halted=self.halt.is_known,
            market_open=self.market.is_open,
        )
        self.outages = Outages(began=timestamp(clock.now()))
        self.feed.follow(self.outages.happened)
        self._report = report
        if report is not None:
            self.feed.follow(report.happened)
        self.health = Health(
            intake=self.intake,
            stream=self.stream,
            writer=self.writer,
            stream_grace_seconds=settings.metrics.stream_grace_sec,
        )
        self.controls = Controls(
            settings=lambda: self.settings,
            simulated=self._simulated,
            id_salt=id_salt,
            clock=clock,
            store=store,
            intake=self.intake,
            skips=self.skips,
            outcomes=self.outcomes,
            dispatcher=self.dispatcher,
            stream=self.stream,
            outages=self.outages,
            unsettled=self.unsettled,
            latency=self.latency,
            halt=self.halt,
            health=self.health,
            writer=self.writer_status,
            dropped_answers=lambda: self.socket.dropped_answers,
        )
        self.socket = SocketServer(
            intake=self.intake, feed=self.feed, control=self.controls
        )
        self._watchdog = Watchdog(
            intake=self.intake,
            dispatcher=self.dispatcher,
            stream=self.stream,
            writer=self.writer,
            settings=lambda: self.settings,
            knock=partial(knock_at, settings.intake.socket),
        )
        self.notify = self._make_notify() if settings.notify.is_on else None
        self._pages = pages
        self._page_server = (
            None if pages is None else self._make_page_server(dropped_lines)
        )
        if self._systemd.is_on:
            self.feed.follow(self._systemd.happened)

    async def run(
        self,
        *,
        listener: trio.SocketListener,
        stdin: Kind,
        stop_at_end_of_input: bool,
    ) -> None:
        """Run until stopped, and stop stage by stage.

        Args:
            listener: The socket, listening.
            stop_at_end_of_input: Whether to stop when standard input ends.
            stdin: What to read signals from besides the socket, if anything.

        Raises:
            StartError: The database cannot be used.
            BaseExceptionGroup: One of the services failed; nothing runs any more.
        """
        self._load_rows()
        # Whatever ends the rest, the writer has its time to write what was decided.
        drain = trio.CancelScope(shield=True)
        async with trio.open_nursery() as writing:
            writing.start_soon(self._write, drain, name="writer")
            with self._draining(drain), contextlib.closing(self.writer):
                async with trio.open_nursery() as services:
                    services.start_soon(self.stream.run, name="trading stream")
                    services.start_soon(self.fills.run, name="fills")
                    services.start_soon(self.recovery.run, name="recovery")
                    services.start_soon(self.accounts.run, name="REST clients")
                    services.start_soon(self.outages.run, name="outages")
                    services.start_soon(self.halt.run, name="halt")
                    services.start_soon(self.market.run, name="market clock")
                    services.start_soon(self._check_database, name="database check")
                    if self.notify is not None:
                        services.start_soon(self.notify.run, name="notifications")
                    if self._page_server is not None and self._pages is not None:
                        services.start_soon(
                            self._page_server.run, self._pages, name="metrics"
                        )
                    services.start_soon(
                        partial(
                            self._systemd.run,
                            status=self.controls.line,
                            hung=self._watchdog.hung,
                        ),
                        name="service manager",
                    )
                    async with trio.open_nursery() as feeders:
                        feeders.start_soon(self.socket.run, listener, name="socket")
                        feeders.start_soon(
                            self._read_stdin,
                            stdin,
                            stop_at_end_of_input,
                            name="standard input",
                        )
                        await self._run_orders()
                        feeders.cancel_scope.cancel(reason="every order has ended")
                    services.cancel_scope.cancel(reason="every order has ended")
        if self.writer.abandoned:
            log.error(
                "%d changes of rows could not be written; the next start asks the"
                " broker about their orders",
                self.writer.abandoned,
            )
        log.info("stopped")
        if self._damage is not None:
            raise self._damage

    def _make_notify(self) -> Notify:
        # Imported only where it is used, as are the metrics.
        from snexec.ops.notify import Notify  # noqa: PLC0415

        notify = Notify(
            settings=self.settings.notify,
            health=self.health,
            clock=self._clock,
            mask=self._mask.apply,
            tls=self.accounts.tls,
            latest=lambda: self._stop_deadline,
            account=partial(account_name, simulated=self._simulated),
        )
        self.feed.follow(notify.happened)
        return notify

    def _make_page_server(self, dropped_lines: Callable[[], int]) -> PageServer:
        from snexec.ops.metrics import Metrics, Sources  # noqa: PLC0415
        from snexec.ops.pages import PageServer  # noqa: PLC0415

        metrics = Metrics(
            Sources(
                settings=lambda: self.settings,
                simulated=self._simulated,
                intake=self.intake,
                skips=self.skips,
                outcomes=self.outcomes,
                dispatcher=self.dispatcher,
                accounts=self.accounts,
                stream=self.stream,
                outages=self.outages,
                unsettled=self.unsettled,
                writer=self.writer_status,
                health=self.health,
                halted=lambda: self.halt.current() is not None,
                dropped_answers=lambda: self.socket.dropped_answers,
                dropped_lines=dropped_lines,
                notify=self.notify,
                count_open=partial(
                    trio.to_thread.run_sync,
                    self.controls.count_open,
                    abandon_on_cancel=True,
                ),
            )
        )
        self.feed.follow(metrics.happened)
        self.writer.timed = metrics.observe_commit
        return PageServer(metrics.pages())

    def _load_rows(self) -> None:
        try:
            if self._simulated and (ended := self._store.end_simulation()):
                log.info("ended %d rows that an earlier simulation left open", ended)
            if counts_orders(self.settings.bot):
                self._store.begin_tallies()
            unsettled = self._store.unsettled()
        except sqlite3.Error as exc:
            raise StartError(
                f"database: {self.settings.database} cannot be used: {exc}"
            ) from None
        self.recovery.load(unsettled)

    async def _check_database(self) -> None:
        """Read a large file through while the daemon runs, and stop if it is damaged."""
        path = Path(self.settings.database)
        try:
            await trio.to_thread.run_sync(check_large, path, abandon_on_cancel=True)
        except sqlite3.DatabaseError as exc:
            log.warning("the database could not be checked: %s", exc)
        except StartError as exc:
            self._damage = exc
            seconds = self.settings.intake.shutdown_timeout_sec
            self.stop(why="the database is damaged", seconds=seconds)

    async def _write(self, drain: trio.CancelScope) -> None:
        with drain:
            await self.writer.run()

    @contextlib.contextmanager
    def _draining(self, drain: trio.CancelScope) -> Iterator[None]:
        try:
            yield
        finally:
            soonest = trio.current_time() + _DRAIN_SECONDS
            stopped = self._stop_deadline if self._stop_deadline < math.inf else soonest
            drain.deadline = max(stopped, soonest)

    def stop(self, *, why: str, seconds: float, settle: bool = False) -> None:
        """Take no more signals, and let orders under way finish.

        Args:
            why: For the log.
            seconds: How long they may take.
            settle: Whether to wait, within that time, until every order is settled.
        """
        log.info("stopping: %s", why)
        self._systemd.stopping(seconds=seconds)
        starting = self.intake.phase is Phase.STARTING
        self.intake.close()
        deadline = trio.current_time() + seconds
        self._stop_deadline = min(self._stop_deadline, deadline)
        self._orders_scope.deadline = self._stop_deadline
        if not settle:
            self._settling_scope.cancel(reason="the daemon stops")
            if starting:
                self._orders_scope.cancel(reason="the daemon stops before it took any")

    def reload(self) -> None:
        """Read the config file again and apply what needs no restart (SPEC 2, 11)."""
        with self._systemd.reloading():
            self._reload()

    def _reload(self) -> None:
        old = self.settings
        before = self.accounts.endpoint(old.mode)
        try:
            new = load_settings(self._config, again=True)
            learn_secrets(self._mask, new)
            settings = with_reloaded(old, new)
            self.accounts.reconfigure(settings)
        except (ConfigError, OSError) as exc:
            log.error(  # noqa: TRY400 - the message says it all
                "the configuration is refused, and the old one stays: %s", exc
            )
            return
        warn_open_keys(self._config, new)
        self.settings = settings
        self.market.settings_changed()
        names = changed_keys(old, new)
        held = [name for name in names if not reloadable(name)]
        if held:
            log.warning(
                "%s changed in %s: that needs a restart, the old values stay",
                ", ".join(held),
                self._config,
            )
        applied = [name for name in names if reloadable(name)]
        log.info(
            "configuration read again; changed: %s", ", ".join(applied) or "nothing"
        )
        if old.mode != new.mode:
            log.warning("mode is %s now (was %s)", new.mode, old.mode)
            self.feed.publish("mode", {"mode": new.mode}, reason=f"was {old.mode}")
        if self.accounts.endpoint(new.mode) != before:
            self.stream.restart()

    def writer_status(self) -> WriterStatus:
        """Return the writer's figures without the watchdog's probes of it."""
        status = self.writer.status()
        return replace(status, applied=status.applied - self._watchdog.probes)

    def _heard(self, trade_id: str) -> None:
        self.recovery.heard(trade_id)

    async def _run_orders(self) -> None:
        with self._orders_scope:
            await self.recovery.compare_all()
            with trio.move_on_after(_CLOCK_SECONDS):
                await self.market.wait_decided()
            if self.intake.phase is Phase.STARTING:
                self.intake.phase = Phase.TAKING
                self._systemd.ready()
                log.info(
                    "ready: taking signals at %s, mode %s, bot %s",
                    self.settings.intake.socket,
                    self.settings.mode,
                    self.settings.bot.state,
                )
            await self.dispatcher.run()
            with self._settling_scope:
                await self.unsettled.wait_settled()
        self.dispatcher.skip_pending()
        if self._orders_scope.cancelled_caught:
            log.warning(
                "time is up with orders not settled; the next start asks the broker"
                " about them"
            )

    async def _read_stdin(
        self,
        kind: Kind,
        stop_at_end: bool,
    ) -> None:
        if kind is Kind.FILE:
            await self.recovery.wait_started()
            # A file has time: the stream then tells every fill as it happens.
            with trio.move_on_after(_STREAM_SECONDS):
                await self.stream.wait_decided()
        told = None if self._report is None else self._report.answered
        await read_signals(self.intake, kind, told=told)
        if stop_at_end and self.intake.phase is not Phase.STOPPING:
            self.stop(
                why="end of input",
                seconds=self.settings.intake.settle_timeout_sec,
                settle=True,
            )


def _quoting(quote: Callable[[str, Decimal], None]) -> Callable[[Signal], None]:
    return lambda signal: quote(signal.symbol, Decimal(repr(signal.price_at_signal)))

"""Read this first: what the daemon is made of, and its one tree of tasks (SPEC 1).

    root ── log lines, OS signals, the simulated exchange     (snexec.cli.daemon)
     └─ ledger                         writes the database, for all the others
         └─ services                   trading stream, reconciliation, REST clients,
             │                         halt, market hours, exits, database check, operations
             └─ feeders                socket, standard input, Redis
                 └─ orders             what each one needs once it is answered

A stop closes the tree from the inside out (``snexec.stages``): no more signals, orders
finish, the stream says goodbye, the ledger drains. Nothing that was decided is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from snexec.broker import Accounts
from snexec.events import EventFeed
from snexec.exits import Exits
from snexec.intake import Intake, SocketServer, StandardInput
from snexec.latency import Latencies
from snexec.market import MarketHours
from snexec.ops import Operations, Wings
from snexec.orders import OrderDesk
from snexec.reconciliation import Reconciler
from snexec.redis import feeder_of
from snexec.risk import Active, HaltSwitch
from snexec.stages import Stages
from snexec.stream import TradingStream

if TYPE_CHECKING:
    from snexec.intake import Feeder
    from snexec.stages import Opened


class Daemon:
    """Every wing, each built after those that it needs."""

    def __init__(self, opened: Opened) -> None:
        live, clock, ledger = opened.live, opened.clock, opened.ledger
        feed, latencies = EventFeed(clock=clock, mask=live.mask), Latencies()
        # The broker, and what may keep an order from reaching it.
        accounts = Accounts(live, clock, exchange=opened.exchange, tls=opened.tls)
        active = Active(clock)
        halt = HaltSwitch(live, feed, clock, active)
        market = MarketHours(live, accounts)

        # Rows against the broker's word, which the stream brings first.
        reconciler = Reconciler(live, accounts, ledger, latencies, feed)
        stream = TradingStream(live, accounts, reconciler.fills, feed)

        # The way of a signal: taken, ordered, answered; and of what it bought: sold.
        orders = OrderDesk(
            *(live, accounts, ledger, reconciler, halt, market, latencies, feed),
            id_salt=opened.id_salt,
            onlookers=opened.onlookers,
        )
        intake = Intake(live, ledger, orders)
        exits = Exits(live, accounts, ledger, reconciler, orders, market, halt, feed)
        redis = feeder_of(live, accounts.tls, intake, feed, clock=clock, active=active)

        # What watches all of this, and trades nothing.
        self.wings = Wings(
            *(live, latencies, accounts, halt, market, ledger),
            *(reconciler, stream, intake, orders, exits, redis),
        )
        self.stages = Stages(self.wings, opened, feed)
        self.operations = Operations(
            self.wings,
            feed,
            clock=clock,
            systemd=opened.systemd,
            web=opened.web,
            mask=live.mask,
            stop_deadline=self.stages.deadline,
            dropped_lines=opened.dropped_lines,
        )
        self._feeders: list[Feeder] = [
            SocketServer(intake, feed, self.operations.commands, opened.listener),
            StandardInput(intake, opened.stdin, self.stages),
            *([] if redis is None else [redis]),
        ]

    async def run(self) -> None:
        """Run until stopped, and stop stage by stage.

        Raises:
            StartError: The database cannot be used.
            BaseExceptionGroup: One of the services failed, and everything has ended.
        """
        wings, stages = self.wings, self.stages
        starved = wings.stream.replace_starved
        stages.load()
        async with (
            wings.ledger.writing(until=stages.drain_deadline),
            trio.open_nursery() as services,
        ):
            services.start_soon(wings.accounts.run, name="REST clients")
            services.start_soon(wings.halt.run, name="halt")
            services.start_soon(wings.market.run, name="market hours")
            services.start_soon(stages.check_database, name="database check")
            services.start_soon(self.operations.run, name="operations")
            async with trio.open_nursery() as feeders:
                for feeder in self._feeders:
                    feeders.start_soon(feeder.run, name=feeder.name)
                if await stages.become_active():
                    start = services.start_soon
                    start(stages.run_stream, name="trading stream")
                    start(wings.reconciler.run, starved, name="reconciliation")
                    start(wings.exits.run, name="exits")
                    await stages.run_orders()
                feeders.cancel_scope.cancel(reason="every order has ended")
            services.cancel_scope.cancel(reason="every order has ended")
        await stages.give_up_lease()
        stages.report_stopped()

"""What the socket's commands ask of the daemon, and what they are answered (SPEC 6)."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from snexec import __version__
from snexec.intake import Phase
from snexec.ledger import Store, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.clock import Clock
    from snexec.intake import Intake
    from snexec.latency import Latencies
    from snexec.ledger import WriterStatus
    from snexec.model import Mode
    from snexec.ops.health import Health
    from snexec.ops.outages import Outages
    from snexec.orders import Dispatcher, Outcomes, Skips
    from snexec.reconciliation import UnsettledOrders
    from snexec.risk import HaltSwitch
    from snexec.settings import Settings
    from snexec.signals import Signal
    from snexec.stream import TradingStream

log = logging.getLogger("Daemon")


class Controls:
    """Answers ``status``, ``halt``, ``resume`` and ``explain``.

    Args:
        settings: Tells the current settings.
        simulated: Whether the account is.
        id_salt: As the executor has it.
        store: Asked only for what it knows in memory.
        writer: Tells the writer's figures.
        dropped_answers: Tells how many answers were dropped.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], Settings],
        simulated: bool,
        id_salt: str,
        clock: Clock,
        store: Store,
        intake: Intake,
        skips: Skips,
        outcomes: Outcomes,
        dispatcher: Dispatcher,
        stream: TradingStream,
        outages: Outages,
        unsettled: UnsettledOrders,
        latency: Latencies,
        halt: HaltSwitch,
        health: Health,
        writer: Callable[[], WriterStatus],
        dropped_answers: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._simulated = simulated
        self._id_salt = id_salt
        self._clock = clock
        self._store = store
        self._intake = intake
        self._skips = skips
        self._outcomes = outcomes
        self._dispatcher = dispatcher
        self._stream = stream
        self._outages = outages
        self._unsettled = unsettled
        self._latency = latency
        self._halt = halt
        self._health = health
        self._writer = writer
        self._dropped_answers = dropped_answers
        self._began = trio.current_time()

    async def status(self) -> dict[str, object]:
        """Return what the socket's ``status`` answers (SPEC 6)."""
        open_trades = await trio.to_thread.run_sync(self.count_open)
        counts, outcomes = self._intake.counts, self._outcomes.counts
        settings = self._settings()
        writer = self._writer()
        halt = self._halt.current()
        return {
            "pid": os.getpid(),
            "version": __version__,
            "mode": settings.mode,
            "simulate": self._simulated,
            "state": settings.bot.state if settings.bot.enabled else "disabled",
            "halted": None if halt is None else asdict(halt),
            "stream": self._stream.state,
            "outage": self._outages.status(),
            "uptimeSec": round(trio.current_time() - self._began, 3),
            "openTrades": open_trades,
            "signals": {
                name: counts[name]
                for name in ("accepted", "invalid", "overloaded", "repeated")
            },
            "skipped": dict(self._skips.counts),
            "orders": {
                "placed": outcomes["placed"],
                "refused": outcomes["refused"],
                "unknown": outcomes["unknown"],
                "inFlight": self._dispatcher.in_flight,
            },
            "writer": {
                "pending": writer.pending,
                "applied": writer.applied,
                "healthy": writer.healthy,
            },
            "phase": self._intake.phase.value,
            "pending": self._intake.pending,
            "unsettled": len(self._unsettled),
            "latency": self._latency.status(),
            "droppedAnswers": self._dropped_answers(),
            "problems": self._health.problems(),
        }

    def line(self) -> str:
        """Say in one line how the daemon is, for the service manager."""
        outcomes, settings = self._outcomes.counts, self._settings()
        state = settings.bot.state if settings.bot.enabled else "disabled"
        phase = {
            Phase.STARTING: "starting: rows are compared with the broker",
            Phase.TAKING: "taking signals",
            Phase.STOPPING: f"stopping: {self._dispatcher.in_flight} orders under way",
        }[self._intake.phase]
        line = (
            f"{phase}; {account_name(settings.mode, simulated=self._simulated)},"
            f" bot {state};"
            f" stream {self._stream.state}; {outcomes['placed']} placed,"
            f" {outcomes['refused']} refused, {len(self._unsettled)} unsettled"
        )
        if (halt := self._halt.current()) is not None:
            line = f"HALTED: {halt.reason}; {line}"
        problems = self._health.problems()
        problems.pop("recovery", None)
        worst = "; ".join(f"{part}: {what}" for part, what in problems.items())
        return f"UNHEALTHY: {worst}; {line}" if worst else line

    def obey_halt(self, reason: str, by: str) -> dict[str, object]:
        """Halt, and return what the socket's ``halt`` answers."""
        halt = self._halt.halt(reason, by=by)
        return {"halted": True, **asdict(halt)}

    def obey_resume(self) -> dict[str, object]:
        """Take orders again, and return what the socket's ``resume`` answers."""
        try:
            self._halt.resume()
        except OSError as exc:
            log.error(  # noqa: TRY400 - the reason says it all
                "%s cannot be removed (%s): still halted",
                self._halt.files[0],
                exc.strerror,
            )
            error = f"{self._halt.files[0]} cannot be removed: {exc.strerror}"
            return {"halted": True, "error": error}
        return {"halted": False}

    async def explain(self, signal: Signal) -> dict[str, object]:
        """Return what would become of a signal now; nothing is traded."""
        from snexec.ops.explain import (  # noqa: PLC0415 - a start needs none of it
            Question,
            explain,
            read_row_facts,
        )

        intake, settings = self._intake, self._settings()
        door: str | None = None
        if intake.phase is not Phase.TAKING:
            door = intake.phase.value
        elif not self._writer().healthy or intake.is_full:
            door = "overloaded"
        question = Question(
            signal=signal,
            settings=settings,
            seen=self._dispatcher.seen(),
            door=door,
            id_taken=signal.id is not None and intake.has_taken(signal.id),
            id_salt=self._id_salt,
        )
        facts = await trio.to_thread.run_sync(
            lambda: read_row_facts(
                question,
                partial(connect, Path(settings.database), read_only=True),
                clock=self._clock,
                recently=self._store.tallied(signal.symbol, settings.mode),
            )
        )
        return explain(question, facts)

    def count_open(self) -> int | None:
        """Count the open rows, in a thread; None where that cannot be done."""
        # A connection of its own: the writer's may be waiting for a lock.
        try:
            with contextlib.closing(
                connect(Path(self._settings().database), read_only=True)
            ) as connection:
                return Store(connection, clock=self._clock).count_open()
        except sqlite3.Error as exc:
            log.warning("status: cannot count the open rows: %s", exc)
            return None


def account_name(mode: Mode, *, simulated: bool) -> str:
    """Name the account of a mode as a person would."""
    return f"simulated {mode}" if simulated else mode

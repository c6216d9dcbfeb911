"""What the operator asks for: status, halt, close, positions, explain (SPEC 6, 12.8)."""

from __future__ import annotations

import logging
import os
import sqlite3
from typing import TYPE_CHECKING

import trio

from snexec import __version__
from snexec.intake import Phase
from snexec.model import counted
from snexec.risk import exits_words
from snexec.settings import http_tokens, signals_at

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

    from snexec.exits import ExitsStatus
    from snexec.intake import Status
    from snexec.ledger import End
    from snexec.ops.exits import CloseRequest
    from snexec.ops.health import Health
    from snexec.ops.outages import Outages
    from snexec.ops.wings import Wings
    from snexec.redis import RedisFeeder
    from snexec.risk import Halt
    from snexec.signals import Signal

log = logging.getLogger("Daemon")


class Control:
    """Reports on every wing, and works the kill switch.

    Args:
        wings: What it reports on.
        outages: The times without a stream.
        health: What is wrong.
    """

    def __init__(self, wings: Wings, outages: Outages, health: Health) -> None:
        self._wings = wings
        self._outages = outages
        self._health = health
        self._began = trio.current_time()
        self._stopped_by_win_rate = 0  # signals, at the last resume
        settings = wings.live.now
        self._signals_at = signals_at(settings.http, settings.page)
        self._producers = list(http_tokens(settings.http, wings.live.environ))

    async def status(self) -> dict[str, object]:
        """Return the daemon's status (SPEC 6)."""
        wings = self._wings
        open_trades = await wings.ledger.count_open()
        intake, orders = wings.intake.status(), wings.orders.status()
        ledger, halt = wings.ledger.status(), wings.halt.current()
        return {
            "pid": os.getpid(),
            "version": __version__,
            "mode": wings.live.now.mode,
            "simulate": wings.accounts.simulated,
            "state": wings.bot_state,
            "halted": None if halt is None else self._halted(halt),
            "stream": wings.stream.status().state,
            "outage": self._outages.status(),
            "uptimeSec": round(trio.current_time() - self._began, 3),
            "openTrades": open_trades,
            "signals": {
                name: intake.counts[name]
                for name in ("accepted", "invalid", "overloaded", "repeated")
            },
            "skipped": dict(orders.skipped),
            "orders": {
                "placed": orders.placed,
                "refused": orders.refused,
                "unknown": orders.unknown,
                "inFlight": orders.in_flight,
            },
            "writer": {
                "pending": ledger.pending,
                "applied": ledger.applied,
                "healthy": ledger.healthy,
            },
            "phase": intake.phase.value,
            "pending": orders.pending,
            "unsettled": wings.reconciler.status().unsettled,
            "latency": wings.latencies.status(),
            "droppedAnswers": intake.dropped_answers,
            "problems": self._health.problems(),
            "exits": _exits_of(wings.exits.status()),
            "redis": _redis_of(wings.redis),
            "lease": wings.lease,
            "http": self._http(intake.producers),
        }

    def _http(
        self, counts: Mapping[str, Mapping[Status, int]]
    ) -> dict[str, object] | None:
        """Return where signals are taken over HTTP, and what each producer has sent."""
        if not self._signals_at:
            return None
        producers = {name: dict(counts.get(name, {})) for name in self._producers}
        return {"listen": self._signals_at, "producers": producers}

    def status_line(self) -> str:
        """Return the status in one line, for the service manager."""
        wings = self._wings
        orders = wings.orders.status()
        phase = {
            Phase.STARTING: "starting: rows are compared with the broker",
            Phase.TAKING: "taking signals",
            Phase.STANDBY: _standby(wings.redis),
            Phase.STOPPING: f"stopping: {counted(orders.in_flight, 'order')} under way",
        }[wings.intake.status().phase]
        line = (
            f"{phase}; {wings.accounts.name_of(wings.live.now.mode)},"
            f" bot {wings.bot_state};"
            f" stream {wings.stream.status().state}; {orders.placed} placed,"
            f" {orders.refused} refused,"
            f" {wings.reconciler.status().unsettled} unsettled"
        )
        if (halt := wings.halt.current()) is not None:
            goes_on = exits_words(stops_all=wings.halt.is_all_halted())
            line = f"HALTED, {goes_on}: {halt.reason}; {line}"
        problems = self._health.problems()
        problems.pop("recovery", None)
        worst = "; ".join(f"{part}: {what}" for part, what in problems.items())
        return wings.live.mask.apply(f"UNHEALTHY: {worst}; {line}" if worst else line)

    def halt(self, reason: str, *, by: str, for_all: bool = False) -> dict[str, object]:
        """Halt, exits too where it is for all, and return the halt in force."""
        halt = self._wings.halt.halt(reason, by=by, stops_all=for_all)
        return {"halted": True, **self._halted(halt)}

    def resume(self, *, by: str | None = None) -> dict[str, object]:
        """End the halt, and return whether there still is one.

        Args:
            by: Who ends it, where that is known.
        """
        switch = self._wings.halt
        try:
            switch.resume(by=by)
        except OSError as exc:
            path = exc.filename or switch.files[0]
            log.error(  # noqa: TRY400 - the reason says it all
                "%s cannot be removed (%s): still halted", path, exc.strerror
            )
            error = f"{path} cannot be removed: {exc.strerror}"
            return {"halted": True, "error": error}
        return {"halted": False} | self._begin_win_window()

    def _begin_win_window(self) -> dict[str, object]:
        """Count the win rate anew where it has stopped signals, as nothing else ends that."""
        stopped = self._wings.orders.status().skipped.get("win_rate", 0)
        is_set = self._wings.live.now.bot.min_win_rate is not None
        if stopped == self._stopped_by_win_rate or not is_set:
            return {}
        self._stopped_by_win_rate = stopped
        self._wings.ledger.begin_win_window()
        log.warning("resumed: min_win_rate counts what is closed from now on")
        return {"winRateAnew": True}

    async def settle(
        self, trade_id: str, how: End, price: Decimal | None, *, dry_run: bool
    ) -> dict[str, object]:
        """End a row by the operator's word, or say what that would do."""
        from snexec.ops.settle import Settlement, settle  # noqa: PLC0415 - it is rare

        asked = Settlement(trade_id, how, price)
        return await settle(self._wings, asked, dry_run=dry_run)

    async def rebuild(self, since: datetime | None) -> dict[str, object]:
        """Write the rows that are missing since a time; by default the last 7 days."""
        from snexec.ops.rebuild import rebuild  # noqa: PLC0415 - it is rare

        return await rebuild(self._wings, since)

    async def close(self, asked: CloseRequest, *, dry_run: bool) -> dict[str, object]:
        """Have positions sold, or say what that would do."""
        from snexec.ops.closing import close  # noqa: PLC0415 - it is rare

        return await close(self._wings, asked, dry_run=dry_run)

    async def positions(self) -> dict[str, object]:
        """Return each open row, and what is known of its position."""
        from snexec.ops.positions import positions  # noqa: PLC0415 - it is rare

        return await positions(self._wings)

    async def explain_position(self, symbol: str) -> dict[str, object]:
        """Return what each rule says of a symbol's position now."""
        from snexec.ops.positions import explain  # noqa: PLC0415 - it is rare

        return await explain(self._wings, symbol)

    async def explain(self, signal: Signal) -> dict[str, object]:
        """Return what would become of a signal now; nothing is traded."""
        from snexec.ops.explain import (  # noqa: PLC0415 - a start needs none of it
            Question,
            RowFacts,
            explain,
            read_row_facts,
        )

        wings = self._wings
        settings, phase = wings.live.now, wings.intake.status().phase
        door: str | None = None
        if phase is not Phase.TAKING:
            door = phase.value
        elif not wings.ledger.healthy or wings.orders.is_full:
            door = "overloaded"
        question = Question(
            signal=signal,
            settings=settings,
            seen=wings.orders.snapshot(),
            door=door,
            id_taken=signal.id is not None and wings.intake.has_taken(signal.id),
            id_salt=wings.orders.id_salt,
        )
        recently = wings.ledger.tallied(signal.symbol, settings.mode)
        try:
            facts = await wings.ledger.ask(
                lambda: read_row_facts(
                    question, wings.ledger.reader.open, recently=recently
                )
            )
        except sqlite3.Error as exc:
            facts = RowFacts(problem=f"the database cannot be read: {exc}")
        return explain(question, facts)

    def _halted(self, halt: Halt) -> dict[str, object]:
        for_all = self._wings.halt.is_all_halted()
        return {
            **halt._asdict(),
            "all": for_all,
            "exits": exits_words(stops_all=for_all),
        }


def _standby(redis: RedisFeeder | None) -> str:
    status = None if redis is None else redis.status()
    if status is None or not status.connected:
        return "standby: no Redis, so no lease"
    if status.holder is None:
        return "standby: nobody is active yet"
    return f"standby: {status.holder} is active"


def _redis_of(redis: RedisFeeder | None) -> dict[str, object] | None:
    if redis is None:
        return None
    status = redis.status()
    return {
        "connected": status.connected,
        "since": status.since,
        "pending": status.pending,
        "lag": status.lag,
        "holder": status.holder,
    }


def _exits_of(status: ExitsStatus) -> dict[str, object]:
    return {
        "watched": status.watched,
        "closing": status.closing,
        "blocked": status.blocked,
        "unwatched": status.unwatched,
        "source": status.source,
        "priceAgeSec": status.price_age_sec,
        "blind": status.blind,
    }

"""What the page shows at one moment: made at most once a second, for all who look."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec import __version__
from snexec.ledger import read_open_rows
from snexec.threads import NoThreadError
from snexec.web.figures_of_rows import FirstRows, Today, read_today
from snexec.web.positions import AGES, is_real, positions_of
from snexec.web.spelling import age, dollars, unix

if TYPE_CHECKING:
    from datetime import datetime

    from snexec.clock import Clock
    from snexec.exits import PositionStatus
    from snexec.ledger import OpenRow
    from snexec.ops import Sources
    from snexec.web.day import Day
    from snexec.web.recent import Recent
    from snexec.web.rows import Rows

CLOSE_ALL_WORD = "sell all"
_SECONDS = 1.0
_ROWS_SECONDS = 10.0  # how old rows may be of which no event has told; others write too


class Snapshot(NamedTuple):
    """What was shown at a moment.

    Attributes:
        data: In JSON.
        shown: The same without what only ages.
    """

    data: bytes
    shown: bytes


class Snapshots:
    """Makes snapshots, while somebody looks.

    Args:
        sources: Every wing, and what is wrong.
        rows: Asks the database.
        day: What is noted of the day.
        recent: Whether anything has happened since.
        clock: Gives snapshots their time.
        actions: Whether the page may act.
    """

    def __init__(
        self,
        sources: Sources,
        rows: Rows,
        day: Day,
        recent: Recent,
        clock: Clock,
        *,
        actions: bool,
    ) -> None:
        self._sources = sources
        self._rows = rows
        self._day = day
        self._recent = recent
        self._clock = clock
        self._actions = actions
        self._started = round(clock.now().timestamp(), 3)
        self._making = trio.Lock()
        self._made_at = -_SECONDS
        self._latest = Snapshot(b"", b"")
        self._first_rows = FirstRows()
        self._read_at = -_ROWS_SECONDS
        self._read_for: object = None
        self._open: list[OpenRow] = []
        self._today = Today()
        self._problem: str | None = None

    @property
    def kind(self) -> str:
        """Whose money it is: SIMULATED, PAPER or LIVE."""
        wings = self._sources.wings
        return "SIMULATED" if wings.accounts.simulated else wings.live.now.mode.upper()

    @property
    def is_money_real(self) -> bool:
        """Whether anything that is held, or would be bought now, is real money's."""
        return self.kind == "LIVE" or (
            not self._sources.wings.accounts.simulated and is_real(self._open)
        )

    async def latest(self) -> Snapshot:
        """Return one that is not older than a second."""
        async with self._making:
            if trio.current_time() - self._made_at >= _SECONDS:
                await self._read_rows()
                self._latest = await self._make()
                self._made_at = trio.current_time()
            return self._latest

    async def _read_rows(self) -> None:
        """Read the rows again, if they may have changed."""
        mode, day = self._sources.wings.live.now.mode, self._day
        day.look()
        wanted, now = (self._recent.sequence, day.begins, mode), trio.current_time()
        if wanted == self._read_for and now - self._read_at < _ROWS_SECONDS:
            return

        def read(connection: sqlite3.Connection) -> tuple[list[OpenRow], Today]:
            open_rows = read_open_rows(connection)
            first = self._first_rows.of(connection, wanted[1])
            return open_rows, read_today(connection, first, wanted[1], mode)

        try:
            self._open, self._today = await self._rows.ask(read)
            self._problem = None
        except (sqlite3.Error, NoThreadError) as exc:
            self._problem = f"the database cannot be read for the page: {exc}"
        self._read_for, self._read_at = wanted, now

    async def _make(self) -> Snapshot:
        """Look at all wings at once; what that comes to is spelled out in the thread.

        Of hundreds of positions that takes some 10 ms, which no order waits for there.
        """
        now = self._clock.now()
        statuses = {each.row_id: each for each in self._sources.wings.exits.positions()}
        steady = {**self._head(), **self._wings(now), "today": self._figures(statuses)}
        rows, exits = self._open, self._exits()

        def spell() -> Snapshot:
            positions = positions_of(rows, statuses, now=now.timestamp())
            ageless = {
                **steady,
                "positions": [{**each, **dict.fromkeys(AGES)} for each in positions],
                "exits": None if exits is None else {**exits, "priceAgeSec": None},
            }
            at = round(now.timestamp(), 3)
            shown = {"at": at, **steady, "positions": positions, "exits": exits}
            return Snapshot(_encode(shown), _encode(ageless))

        return await self._rows.threads.run(spell)

    def _head(self) -> dict[str, object]:
        wings, mask = self._sources.wings, self._sources.wings.live.mask
        problems = dict(self._sources.health.problems())
        if self._problem is not None:
            problems["page"] = self._problem
        return {
            "started": self._started,
            "version": __version__,
            "mode": wings.live.now.mode,
            "kind": self.kind,
            "state": wings.bot_state,
            "phase": wings.intake.status().phase.value,
            "actions": self._actions,
            "closeAllWord": CLOSE_ALL_WORD if self.is_money_real else None,
            "problems": {part: mask.apply(what) for part, what in problems.items()},
        }

    def _wings(self, now: datetime) -> dict[str, object]:
        wings = self._sources.wings
        mode = wings.live.now.mode
        writer, stream = wings.ledger.status(), wings.stream.status()
        since, view = stream.state_since, wings.market.view(mode)
        budget = wings.accounts.status()[mode]
        # To the second: Trio's clock and the machine's differ by a little more each time.
        began = (
            None if since is None else now.timestamp() - (trio.current_time() - since)
        )
        return {
            "halt": self.halt(),
            "stream": {
                "state": stream.state,
                "since": None if began is None else round(began),
            },
            "market": {
                "open": None if view is None else view.is_open,
                "changesAt": None if view is None else view.changes_at.timestamp(),
            },
            "lease": wings.lease,
            "writer": {
                "pending": writer.pending,
                "applied": writer.applied,
                "healthy": writer.healthy,
            },
            "budget": {"left": int(budget.left), "limit": budget.limit},
        }

    def halt(self) -> dict[str, object] | None:
        """Return the halt in force, if there is one."""
        wings = self._sources.wings
        found = wings.halt.current()
        if found is None:
            return None
        mask = wings.live.mask
        return {
            "reason": mask.apply(found.reason),
            "since": unix(found.since),
            "by": None if found.by is None else mask.apply(found.by),
            "all": wings.halt.is_all_halted(),
        }

    def _figures(self, statuses: dict[str, PositionStatus]) -> dict[str, object]:
        signals, today = self._day.signals(), self._today
        return {
            "day": self._day.name,
            "begins": self._day.begins,
            "signals": dict(signals.outcomes),
            "reasons": dict(signals.reasons),
            "orders": today.orders,
            "dollars": dollars(today.dollars),
            "closed": today.closed,
            "won": today.won,
            "realised": dollars(today.realised),
            "open": dollars(self._open_result(statuses)),
        }

    def _open_result(self, statuses: dict[str, PositionStatus]) -> Decimal | None:
        """Return what open positions of the mode would come to, where prices say it."""
        mode = self._sources.wings.live.now.mode
        found = [
            row.remaining * (status.price - row.entry_price)
            for row in self._open
            if row.mode == mode
            and row.remaining is not None
            and row.entry_price is not None
            and (status := statuses.get(row.trade_id)) is not None
            and status.price is not None
        ]
        return sum(found, Decimal(0)) if found else None

    def _exits(self) -> dict[str, object] | None:
        wings = self._sources.wings
        if wings.live.now.exits is None:
            return None
        status = wings.exits.status()
        return {
            "watched": status.watched,
            "closing": status.closing,
            "blocked": status.blocked,
            "unwatched": status.unwatched,
            "source": status.source,
            "priceAgeSec": age(status.price_age_sec),
            "blind": status.blind,
        }


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()

"""What is measured: the daemon, and the floor next to it."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snexec.bench.feeder import Feeder
from snexec.bench.programs import Program, module, wait_until
from snexec.clock import SystemClock
from snexec.ledger import connect, open_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from snexec.bench.brokers import Broker

FLOOR = module("snexec.bench.floor")
_PROBE = {
    "symbol": "PROBE",
    "catalystCategory": "bench",
    "catalystTier": 4,  # with no confidence, a signal that is accepted but not traded
    "priceAtSignal": 1.0,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where a run may write.

    Attributes:
        folder: For sockets, whose paths must be short, configurations and output.
        disk: For databases, on the same disk as the user's own.
        connections: Orders at once: ``max_in_flight``, and the floor's connections.
        trusts: The certificate of brokers that are spoken to by TLS.
    """

    folder: Path
    disk: Path
    connections: int
    trusts: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A program that turns signals into POSTs.

    Attributes:
        ready_ms: Milliseconds from the start of its process until it took signals.
        rows: Its database, read-only; None for the floor, which has none.
        configure: Gives it another section ``[exits]``; the floor has none.
    """

    program: Program
    feeder: Feeder
    ready_ms: float
    rows: sqlite3.Connection | None = None
    configure: Callable[[str], None] | None = None

    def wait_placed(self, count: int) -> None:
        """Wait until ``count`` rows in all have their order's id."""
        self._wait_rows("alpacaOrderId", count)

    def wait_settled(self, count: int) -> int:
        """Wait for ``count`` settled rows in all; return ``time.monotonic_ns``.

        They are counted once the newest is settled, which comes last: each count would
        keep the program's processor busy for a millisecond.
        """
        self.wait_no_row(
            "SELECT 1 FROM (SELECT settledAt FROM BotTrade ORDER BY rowid DESC LIMIT 1)"
            " WHERE settledAt IS NULL"
        )
        self._wait_rows("settledAt", count)
        return time.monotonic_ns()

    def wait_no_row(self, query: str) -> None:
        """Wait until a query finds no row in its database."""
        assert self.rows is not None  # noqa: S101 - the floor is not asked
        rows = self.rows

        def gone() -> bool:
            self.program.check_alive()
            return rows.execute(query).fetchone() is None

        wait_until(gone, f"nothing is found by: {query}")

    def _wait_rows(self, column: str, count: int) -> None:
        if self.rows is None:
            return
        rows = self.rows
        query = f"SELECT count(*) FROM BotTrade WHERE {column} IS NOT NULL"  # noqa: S608

        def there() -> bool:
            self.program.check_alive()
            found: int = rows.execute(query).fetchone()[0]
            return found >= count

        wait_until(there, f"{count} rows have {column}")


@contextmanager
def daemon(
    places: Places,
    broker: Broker,
    *,
    fill: Callable[[sqlite3.Connection], None] | None = None,
    exits: str = "",
    url: str | None = None,
) -> Iterator[Subject]:
    """Run a daemon on a new database until the block ends.

    Args:
        places: Where it may write.
        broker: Whom it trades with.
        fill: Writes rows before it starts.
        exits: Its section ``[exits]``, if it has one.
        url: Where the broker is reached, if not on its own port.
    """
    database, socket = places.disk / "bench.db", places.folder / "daemon.sock"
    make_database(database, fill)
    config = places.folder / "daemon.toml"
    url = url or f"http://127.0.0.1:{broker.port}"
    plain = _configuration(places, url, database, socket)
    config.write_text(plain + exits)
    command = module("snexec", "--config", str(config))
    with (
        Program(
            *("the daemon", command, places.folder / "daemon.log"),
            trusts=places.trusts,
        ) as program,
        closing(Feeder(socket, program)) as feeder,
        closing(connect(database, read_only=True)) as rows,
    ):
        line = json.dumps(_PROBE).encode() + b"\n"

        def takes_signals() -> bool:
            feeder.send(line)
            return feeder.answer() == "accepted"

        wait_until(takes_signals, "the daemon takes signals")
        ready_ms = (time.monotonic_ns() - program.started_ns) / 1e6
        wait_until(broker.listeners, "the daemon listens to the trading stream")

        def configure(exits: str) -> None:
            config.write_text(plain + exits)
            program.signal(signal.SIGHUP)

        yield Subject(
            program=program,
            feeder=feeder,
            ready_ms=ready_ms,
            rows=rows,
            configure=configure,
        )


@contextmanager
def floor(places: Places, broker: Broker) -> Iterator[Subject]:
    """Run the floor until the block ends."""
    with _floor(places, broker.port, "floor", FLOOR) as subject:
        yield subject


@contextmanager
def row_floor(places: Places, port: int, command: Sequence[str]) -> Iterator[Subject]:
    """Run a floor that commits a row first, for a broker's port, until the block ends."""
    database = places.disk / "row-floor.db"
    make_database(database)
    with _floor(places, port, "row-floor", command, str(database)) as subject:
        yield subject


@contextmanager
def _floor(
    places: Places, port: int, name: str, command: Sequence[str], *more: str
) -> Iterator[Subject]:
    socket = places.folder / f"{name}.sock"
    socket.unlink(missing_ok=True)
    words = [str(socket), str(port), str(places.connections), *more]
    with (
        Program(
            *(f"the {name}", [*command, *words], places.folder / f"{name}.log"),
            trusts=places.trusts,
        ) as program,
        closing(Feeder(socket, program)) as feeder,
    ):
        ready_ms = (time.monotonic_ns() - program.started_ns) / 1e6
        yield Subject(program=program, feeder=feeder, ready_ms=ready_ms)


def make_database(
    path: Path, fill: Callable[[sqlite3.Connection], None] | None = None
) -> None:
    """Create a database beforehand, as most starts find their tables.

    Args:
        path: Where; what is there is removed.
        fill: Writes rows.
    """
    for old in path.parent.glob(f"{path.name}*"):
        old.unlink()
    with closing(open_database(path, simulated=False, clock=SystemClock())) as writing:
        if fill is not None:
            fill(writing)


def _configuration(places: Places, url: str, database: Path, socket: Path) -> str:
    keys = {
        "database": str(database),
        "alpaca.simulate": False,  # the daemon takes the broker for a real one
        "alpaca.paper_url": url,
        "alpaca.live_url": url,
        "alpaca.rate_limit_per_min": 1_000_000,
        "intake.socket": str(socket),
        "intake.max_pending": 10_000,
        "intake.max_in_flight": places.connections,
        "intake.shutdown_timeout_sec": 1.0,
    }
    lines = [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in keys.items()]
    return "\n".join(lines) + "\n"

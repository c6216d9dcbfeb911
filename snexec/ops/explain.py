"""What would become of a signal now, gate by gate; nothing is traded or written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from snexec.ledger import Store
from snexec.orders import trade_id
from snexec.risk import (
    COUNTED,
    EARLY,
    ActiveGates,
    Counts,
    Gate,
    Snapshot,
    order_dollars,
)
from snexec.signals import star_rating

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from snexec.clock import Clock
    from snexec.risk import Recently
    from snexec.settings import Settings
    from snexec.signals import Signal

Result = Literal["pass", "stop", "not set", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What one gate says.

    Attributes:
        gate: Its keys, or what else it looks at.
        reason: The reason code, where it stops.
    """

    gate: str
    result: Result
    reason: str | None = None
    detail: str = ""

    def fields(self) -> dict[str, object]:
        """Return it as the fields of a JSON object."""
        return {
            "gate": self.gate,
            "result": self.result,
            "reason": self.reason,
            "detail": self.detail,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """What the database says of a signal.

    Attributes:
        id_status: The status of the row that has its id, if one has.
        open_row: The id of its symbol's open row.
        problem: Why it says nothing.
    """

    counts: Counts | None = None
    id_status: str | None = None
    open_row: str | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A signal, and what is known beside the database.

    Attributes:
        seen: What the gates without a count see.
        market_unknown: Whether nobody can be asked for the market's clock.
        door: Why the daemon would not take the signal at all, if so.
        daemon: Whether a daemon is asked.
        id_taken: Whether this run has taken its id.
        id_salt: As the executor has it.
    """

    signal: Signal
    settings: Settings
    seen: Snapshot = field(default_factory=Snapshot)
    market_unknown: bool = False
    door: str | None = None
    daemon: bool = True
    id_taken: bool = False
    id_salt: str = ""


def read_ledger(
    question: Question,
    connect: Callable[[], sqlite3.Connection],
    *,
    clock: Clock,
    recently: Recently | None,
) -> Ledger:
    """Ask the database, over a connection of its own that only reads.

    Args:
        question: The signal.
        connect: Opens the connection.
        clock: Tells the time.
        recently: The orders of late, where a daemon knows better than the rows.
    """
    signal, settings = question.signal, question.settings
    row_id = trade_id(settings.mode, signal.id, salt=question.id_salt)
    try:
        with closing(connect()) as connection:
            store = Store(connection, clock=clock)
            id_status, open_row = store.conflict(row_id, signal.symbol)
            limits = ActiveGates().limits(signal, settings.bot)
            counts = Counts()
            if limits is not None:
                counts = store.count(
                    signal.symbol,
                    settings.mode,
                    order_dollars(signal, settings.bot) or Decimal(0),
                    limits,
                    recently=recently,
                )
    except sqlite3.Error as exc:
        return Ledger(problem=f"the database cannot be read: {exc}")
    return Ledger(counts=counts, id_status=id_status, open_row=open_row)


def explain(question: Question, ledger: Ledger) -> dict[str, object]:
    """Return the answer to ``explain``: the verdict and each gate's part in it."""
    signal, settings = question.signal, question.settings
    lines = list(_lines(question, ledger))
    stop = next((line for line in lines if line.result == "stop"), None)
    unknown = [line.gate for line in lines if line.result == "unknown"]
    verdict = "skip" if stop else "unknown" if unknown else "order"
    dollars = order_dollars(signal, settings.bot)
    return {
        "verdict": verdict,
        "reason": None if stop is None else stop.reason,
        "unknown": unknown,
        "daemon": question.daemon,
        "mode": settings.mode,
        "symbol": signal.symbol,
        "stars": star_rating(signal.catalyst_tier, signal.ai_confidence),
        "dollars": None if dollars is None else str(dollars),
        "gates": [line.fields() for line in lines],
    }


def _lines(question: Question, ledger: Ledger) -> Iterator[Line]:
    if question.door is not None:
        yield Line(gate="intake", result="stop", reason=question.door)
    for gate in EARLY:
        yield _line_of(gate, question, question.seen)
    yield _repeated(question, ledger)
    yield _symbol_open(question, ledger)
    for gate in COUNTED:
        if not gate.is_set(question.settings.bot):
            yield Line(gate=gate.name, result="not set")
        elif ledger.counts is None:
            yield Line(gate=gate.name, result="unknown", detail=ledger.problem)
        else:
            seen = question.seen._replace(counts=ledger.counts)
            yield _line_of(gate, question, seen)


def _line_of(gate: Gate, question: Question, seen: Snapshot) -> Line:
    signal, bot = question.signal, question.settings.bot
    if not gate.is_set(bot):
        return Line(gate=gate.name, result="not set")
    reason = gate.check(signal, bot, seen)
    detail = gate.figures(signal, bot, seen)
    if reason == "market_closed" and question.market_unknown:
        return Line(
            gate=gate.name, result="unknown", detail="only a daemon asks the broker"
        )
    result: Result = "pass" if reason is None else "stop"
    return Line(gate=gate.name, result=result, reason=reason, detail=detail)


def _repeated(question: Question, ledger: Ledger) -> Line:
    signal = question.signal
    if signal.id is None:
        return Line(gate="id", result="pass", detail="it has none, so it is new")
    if question.id_taken:
        detail = f"{signal.id} was taken already"
        return Line(gate="id", result="stop", reason="repeated", detail=detail)
    if ledger.counts is None:
        return Line(gate="id", result="unknown", detail=ledger.problem)
    if ledger.id_status is not None:
        detail = f"{signal.id} has a row already, {ledger.id_status}"
        return Line(gate="id", result="stop", reason="repeated", detail=detail)
    return Line(gate="id", result="pass", detail=f"{signal.id} is new")


def _symbol_open(question: Question, ledger: Ledger) -> Line:
    symbol = question.signal.symbol
    if ledger.counts is None:
        return Line(gate="open row", result="unknown", detail=ledger.problem)
    if ledger.open_row is not None:
        detail = f"{symbol} has one: {ledger.open_row}"
        return Line(gate="open row", result="stop", reason="symbol_open", detail=detail)
    return Line(gate="open row", result="pass", detail=f"{symbol} has none")

"""What would happen to a signal now, gate by gate; nothing is traded or written."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from snexec.ledger import trade_id
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
    from contextlib import AbstractContextManager

    from snexec.ledger import Store
    from snexec.risk import Recently
    from snexec.settings import Settings
    from snexec.signals import Signal

Result = Literal["pass", "stop", "not set", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What one gate says.

    Attributes:
        gate: Its configuration keys, or what else it looks at.
        reason: The reason code, if it stops the signal.
    """

    gate: str
    result: Result
    reason: str | None = None
    detail: str = ""

    def fields(self) -> dict[str, object]:
        """Return the line as the fields of a JSON object."""
        return {
            "gate": self.gate,
            "result": self.result,
            "reason": self.reason,
            "detail": self.detail,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class RowFacts:
    """What the rows say about a signal.

    Attributes:
        counts: What the limits count; None if the database cannot be read.
        id_status: The status of the row with the signal's id, if there is one.
        open_row: The id of its symbol's open row, if there is one.
        problem: Why the database cannot be read.
    """

    counts: Counts | None = None
    id_status: str | None = None
    open_row: str | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A signal, and what is known without the database.

    Attributes:
        seen: What the gates look at, but for the counts.
        market_unknown: Whether nobody can ask the broker if the market is open.
        door: Why the daemon would not take the signal at all, if it would not.
        daemon: Whether it is a daemon that answers.
        id_taken: Whether the daemon has taken the signal's id in this run.
        id_salt: The executor's, which goes into the row's id.
    """

    signal: Signal
    settings: Settings
    seen: Snapshot = field(default_factory=Snapshot)
    market_unknown: bool = False
    door: str | None = None
    daemon: bool = True
    id_taken: bool = False
    id_salt: str = ""


def read_row_facts(
    question: Question,
    open_store: Callable[[], AbstractContextManager[Store]],
    *,
    recently: Recently | None,
) -> RowFacts:
    """Read what the rows say, over a connection of its own that only reads.

    Args:
        question: What is asked.
        open_store: Opens the rows to be read.
        recently: Recent orders, if a daemon knows them better than the rows.
    """
    signal, settings = question.signal, question.settings
    row_id = trade_id(settings.mode, signal.id, salt=question.id_salt)
    try:
        with open_store() as store:
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
        return RowFacts(problem=f"the database cannot be read: {exc}")
    return RowFacts(counts=counts, id_status=id_status, open_row=open_row)


def explain(question: Question, facts: RowFacts) -> dict[str, object]:
    """Return the answer to ``explain``: the verdict, and what each gate says."""
    signal, settings = question.signal, question.settings
    lines = list(_lines(question, facts))
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


def _lines(question: Question, facts: RowFacts) -> Iterator[Line]:
    if question.door is not None:
        yield Line(gate="intake", result="stop", reason=question.door)
    for gate in EARLY:
        yield _line_of(gate, question, question.seen)
    yield _repeated(question, facts)
    yield _symbol_open(question, facts)
    for gate in COUNTED:
        if not gate.is_set(question.settings.bot):
            yield Line(gate=gate.name, result="not set")
        elif facts.counts is None:
            yield Line(gate=gate.name, result="unknown", detail=facts.problem)
        else:
            seen = question.seen._replace(counts=facts.counts)
            yield _line_of(gate, question, seen)


def _line_of(gate: Gate, question: Question, seen: Snapshot) -> Line:
    signal, bot = question.signal, question.settings.bot
    if not gate.is_set(bot):
        return Line(gate=gate.name, result="not set")
    reason = gate.check(signal, bot, seen)
    if reason == "no_keys" and not question.daemon:
        detail = "there are none here; a daemon may be given some"
        return Line(gate=gate.name, result="unknown", detail=detail)
    detail = gate.figures(signal, bot, seen)
    if reason == "market_closed" and question.market_unknown:
        return Line(
            gate=gate.name, result="unknown", detail="only a daemon asks the broker"
        )
    result: Result = "pass" if reason is None else "stop"
    return Line(gate=gate.name, result=result, reason=reason, detail=detail)


def _repeated(question: Question, facts: RowFacts) -> Line:
    signal = question.signal
    if signal.id is None:
        return Line(gate="id", result="pass", detail="it has none, so it is new")
    if question.id_taken:
        detail = f"{signal.id} was taken already"
        return Line(gate="id", result="stop", reason="repeated", detail=detail)
    if facts.counts is None:
        return Line(gate="id", result="unknown", detail=facts.problem)
    if facts.id_status is not None:
        detail = f"{signal.id} has a row already, {facts.id_status}"
        return Line(gate="id", result="stop", reason="repeated", detail=detail)
    return Line(gate="id", result="pass", detail=f"{signal.id} is new")


def _symbol_open(question: Question, facts: RowFacts) -> Line:
    symbol = question.signal.symbol
    if facts.counts is None:
        return Line(gate="open row", result="unknown", detail=facts.problem)
    if facts.open_row is not None:
        detail = f"{symbol} has one: {facts.open_row}"
        return Line(gate="open row", result="stop", reason="symbol_open", detail=detail)
    return Line(gate="open row", result="pass", detail=f"{symbol} has none")

"""What became of the signals of one --stdin run, as a table."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snexec.cli.formats import (
    brief_price,
    brief_shares,
    number,
    price,
    signed_dollars,
)
from snexec.cli.run_table import Line, fold, show
from snexec.logs import printable
from snexec.model import counted

if TYPE_CHECKING:
    from snexec.events import Event
    from snexec.intake import Answer
    from snexec.ledger import NewTrade

_MAX_ROWS = 1000  # listed; an input that runs for weeks must not fill memory


@dataclass(slots=True, eq=False)
class _Entry:
    signal_id: str
    symbol: str
    dollars: str = ""
    outcome: str = "pending"
    exit: str = ""
    pnl: str = ""
    exit_reason: str = ""
    detail: str = ""
    brief: str = ""
    sequence: int | None = None
    trade_id: str | None = None
    is_listed: bool = True
    is_final: bool = False


class RunReport:
    """Follows the event feed, and the answers to the lines of standard input."""

    def __init__(self) -> None:
        self._entries: collections.deque[_Entry] = collections.deque(maxlen=_MAX_ROWS)
        self._by_sequence: dict[int, _Entry] = {}
        self._by_trade: dict[str, _Entry] = {}
        self._lines = 0
        self._unlisted: collections.Counter[str] = collections.Counter()  # outcomes
        self._closed = 0
        self._results = 0  # of them that say what they won
        self._pnl = 0.0  # dollars

    def answered(self, answer: Answer) -> None:
        """Record the answer to a line."""
        self._lines += 1
        if len(self._entries) == _MAX_ROWS:
            self._unlist(self._entries[0])
        signal = answer.signal
        # A feeder's text must not reach the terminal unescaped.
        shown_id = printable(answer.id or "")
        entry = _Entry(shown_id, signal.symbol if signal else "")
        self._entries.append(entry)
        if answer.status == "accepted" and answer.sequence is not None:
            entry.sequence = answer.sequence
            self._by_sequence[answer.sequence] = entry
        else:
            entry.outcome, entry.is_final = answer.status, True
            entry.detail = printable(answer.error or answer.reason or "")

    def leaving(self, trade: NewTrade, sequence: int | None) -> None:
        """Note which row a signal has: its fill may come before all else is reported."""
        entry = self._by_sequence.get(sequence or 0)
        if entry is not None:
            entry.trade_id = trade.id
            self._by_trade[trade.id] = entry

    def happened(self, event: Event) -> None:
        """Record an event about one of the signals."""
        if event.event == "closed":
            self._add_result(number(event.more.get("pnl")))
        entry = self._by_trade.get(event.trade_id or "")
        if entry is None and event.sequence is not None:
            entry = self._by_sequence.get(event.sequence)
        if entry is None:
            return
        before = entry.outcome
        self._update(entry, event)
        if not entry.is_listed:
            self._unlisted[before] -= 1
            self._unlisted[entry.outcome] += 1
            self._forget_if_final(entry)

    def _update(self, entry: _Entry, event: Event) -> None:
        match event.event:
            case "skipped" | "refused":
                entry.outcome, entry.is_final = event.event, True
                entry.detail = printable(event.reason or "")
            case "placed":
                entry.dollars = str(event.more["notional"])
                if entry.outcome == "pending":
                    entry.outcome = "placed"
            case "fill" | "partial_fill" if entry.outcome != "closed":
                entry.outcome = "filled" if event.event == "fill" else "partly filled"
                shares, entry_price = event.more["shares"], event.more["entryPrice"]
                entry.detail, entry.brief = _bought(shares, entry_price)
            case "settled":
                entry.is_final = True
                if event.reason is not None:
                    entry.outcome, entry.detail = "missed", event.reason
            case "closed":
                entry.outcome = "closed"
                entry.exit, entry.exit_reason = _exit_of(event)
                entry.pnl = signed_dollars(event.more.get("pnl"))
            case _:
                pass

    def table(self, width: int | None = None) -> str:
        """Return the table and a line of totals.

        Args:
            width: Columns of the screen; None where there is no edge.
        """
        rows = [
            Line(
                *(e.signal_id, e.symbol, e.dollars, e.outcome),
                *(e.exit, e.exit_reason, e.pnl, e.detail, e.brief),
            )
            for e in self._entries
        ]
        totals = collections.Counter(e.outcome for e in self._entries) + self._unlisted
        became = ", ".join(f"{n} {outcome}" for outcome, n in totals.most_common())
        lines = [f"{counted(self._lines, 'signal')}: {became or 'nothing was read'}"]
        if self._closed:
            lines.append(self._result())
        if len(self._entries) < self._lines:
            lines.append(f"(the last {len(self._entries)} are listed)")
        lines = [fold(line, width) for line in lines]
        if rows:
            lines.insert(0, show(rows, width=width, has_exits=bool(self._closed)))
        return "\n".join(lines)

    def _result(self) -> str:
        """Return what the rows that were closed came to, those of earlier runs too."""
        text = f"{self._closed} closed: P&L {signed_dollars(self._pnl)} before fees"
        unknown = self._closed - self._results
        return f"{text}, {unknown} not known" if unknown else text

    def _add_result(self, pnl: float | None) -> None:
        self._closed += 1
        if pnl is not None:
            self._results += 1
            self._pnl += pnl

    def _unlist(self, entry: _Entry) -> None:
        entry.is_listed = False
        self._unlisted[entry.outcome] += 1
        self._forget_if_final(entry)

    def _forget_if_final(self, entry: _Entry) -> None:
        if entry.is_final:
            self._by_sequence.pop(entry.sequence or 0, None)
            self._by_trade.pop(entry.trade_id or "", None)


def _bought(shares: object, entry_price: object) -> tuple[str, str]:
    """Return what was bought in words, exact and rounded."""
    count, at = number(shares), number(entry_price)
    if count is None:
        known = "shares not known yet"
        known = known if entry_price is None else f"{known} at {entry_price}"
        return known, known
    brief = brief_shares(count)
    if at is None:
        return f"{shares} shares", f"{brief} shares"
    return f"{shares} shares at {entry_price}", f"{brief} at {brief_price(at)}"


def _exit_of(event: Event) -> tuple[str, str]:
    """Return what a row was sold for, and why: 180.02 stop_loss; and why alone."""
    sold_for = number(event.more.get("exitPrice"))
    reason = printable(str(event.reason))
    return reason if sold_for is None else f"{price(sold_for)} {reason}", reason

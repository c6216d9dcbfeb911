"""Events in words: what happened, and what became of a signal (SPEC 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text

from snexec.cli.formats import foreign, number, price, shares
from snexec.risk import exits_words

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind = Literal["filled", "skipped", "refused", "rejected", "missed", "open"]

STYLES = {
    "filled": "green",
    "fill": "green",
    "partial_fill": "green",
    "skipped": "yellow",
    "refused": "red",
    "rejected": "red",
    "missed": "red",
    "open": "yellow",
    "mode": "bold",
    "start": "bold",
    "stop": "bold",
    "stream": "cyan",
    "halt": "bold white on red",
    "resume": "bold green",
    "exit_fill": "green",
    "closed": "bold green",
    "exit_refused": "red",
    "exit_unknown": "yellow",
    "exit_blocked": "bold red",
    "exits_blind": "bold red",
    "external": "yellow",
    "split": "yellow",
    "oversold": "bold white on red",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an accepted signal."""

    kind: Kind
    text: str


def outcome_of(event: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome that an event brings; None if the signal has none yet."""
    reason = foreign(event.get("reason"))
    match event.get("event"):
        case "skipped":
            return Outcome("skipped", f"skipped: {reason}")
        case "refused":
            return Outcome("refused", f"refused: {reason}")
        case "settled":
            return _settled(event, reason)
        case _:
            return None


def describe(event: Mapping[str, Any]) -> str:
    """Describe an event in a few words."""
    # No command but those that follow needs these.
    from snexec.ops.exit_words import exit_words
    from snexec.ops.lease_words import lease_words

    reason = foreign(event.get("reason"))
    match event.get("event"):
        case "placed":
            text = f"${foreign(event.get('notional'))} order taken by the broker"
        case "refused" if event.get("httpStatus") is not None:
            text = f"{reason} (HTTP {foreign(event['httpStatus'])})"
        case "partial_fill":
            text = _partly_bought(event)
        case "fill":
            text = _bought(event)
        case "rejected":
            text = "by the broker"
        case "settled":
            text = _settled(event, reason).text
        case "start" if event.get("reason") is None:
            text = f"takes signals ({foreign(event.get('mode'))})"
        case "mode":
            text = f"{foreign(event.get('mode'))} now ({reason})"
        case "stream":
            text = f"{foreign(event.get('state'))} ({foreign(event.get('mode'))})"
        case "lease":
            text = lease_words(event)
        case "halt":
            reach = exits_words(stops_all=event.get("all") is True)
            text = f"{reach}: {reason}"
        case _:
            text = exit_words(event) or reason
    return text


def line_of(event: Mapping[str, Any]) -> Text:
    """Return an event's line: time, name, symbol, description, signal and row."""
    name = foreign(event.get("event"))
    text = Text.assemble((f"{foreign(event.get('at'))}  ", "dim"))
    text.append(f"{name:<12}  ", STYLES.get(name))
    if event.get("symbol") is not None:
        text.append(f"{foreign(event['symbol']):<8}  ", "bold")
    text.append(describe(event))
    for label, key in (("signal", "signalId"), ("trade", "tradeId")):
        if event.get(key) is not None:
            text.append(f"  {label}={foreign(event[key])}", "dim")
    return text


def _settled(event: Mapping[str, Any], reason: str) -> Outcome:
    bought = number(event.get("shares"))
    if event.get("status") != "missed" and bought:
        return Outcome("filled", f"filled {_bought(event)}")
    if event.get("reason") == "alpaca_rejected":
        return Outcome("rejected", "rejected by the broker")
    text = f"missed: {reason}"
    if bought:
        text += f", and yet {_bought(event)} were bought: look at the account"
    return Outcome("missed", text)


def _partly_bought(event: Mapping[str, Any]) -> str:
    """Describe what an order bought so far; the shares are the account's."""
    count, paid = number(event.get("shares")), number(event.get("entryPrice"))
    text = "in part" if paid is None else f"in part at {price(paid)}"
    if count is None:
        return f"{text}, shares not known yet"
    return f"{text}, the account holds {_counted(count)}"


def _counted(count: float) -> str:
    return f"{shares(count)} share{'' if count == 1 else 's'}"


def _bought(event: Mapping[str, Any]) -> str:
    count, paid = number(event.get("shares")), number(event.get("entryPrice"))
    text = "shares not known yet" if count is None else _counted(count)
    return text if paid is None else f"{text} at {price(paid)}"

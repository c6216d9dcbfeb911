"""Events about sells in plain words, for notifications and for who follows (SPEC 12.8)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from snexec.logs import printable

if TYPE_CHECKING:
    from collections.abc import Mapping


def exit_words(event: Mapping[str, Any]) -> str | None:  # noqa: PLR0911 - a table
    """Return what an event about a sell says, without its symbol; None for another one.

    Args:
        event: The fields of its JSON object.
    """
    problem = _text(event.get("message") or event.get("problem") or event.get("reason"))
    match event.get("event"):
        case "exit":
            return f"selling {_shares(event.get('shares'))}: {_why(event)}"
        case "exit_placed":
            return f"the broker has taken the sell ({_why(event)})"
        case "exit_refused":
            return f"the broker refused to sell it: {problem}"
        case "exit_unknown":
            return (
                f"whether its sell has arrived is not known ({problem}): the broker is"
                " asked"
            )
        case "exit_fill":
            sold = _at(_shares(event.get("shares")), event.get("exitPrice"))
            return f"sold {sold}{' so far' if _number(event.get('remaining')) else ''}"
        case "closed":
            return _closed(event)
        case "exit_blocked":
            return f"CANNOT BE SOLD: {problem}; see snexec positions"
        case "exits_blind":
            rows = _text(event.get("rows"))
            return (
                f"BLIND, no price counts: {rows} {'row is' if rows == '1' else 'rows are'}"
                " not sold by price; time rules and snexec close go on"
            )
        case "external":
            return _external(event)
        case "split":
            shares, entry = event.get("shares"), event.get("entryPrice")
            ratio = _text(event.get("ratio"))  # 10, or 1/10
            return f"split {ratio} for 1: {_at(_shares(shares), entry)} now"
        case "oversold":
            over = _shares(event.get("oversold"))
            return f"OVERSOLD by {over}: look at the account, and buy them back"
        case _:
            return None


def signed_dollars(value: object) -> str:
    """Show what was won or lost: +$1.23, -$4.50; a dash where it is not known."""
    number = _number(value)
    if number is None:
        return "-"
    return f"{'-' if number < 0 else '+'}${abs(number):,.2f}"


def _closed(event: Mapping[str, Any]) -> str:
    price = _number(event.get("exitPrice"))
    at = "at an unknown price" if price is None else f"at {_amount(price)}"
    text = f"closed {at} ({_why(event)})"
    if _number(event.get("pnl")) is not None:
        text += f", P&L {signed_dollars(event.get('pnl'))}"
    return text


def _external(event: Mapping[str, Any]) -> str:
    if event.get("rests") is not None:
        return f"its price rules rest: {_text(event.get('rests'))}"
    sold = _at(_shares(event.get("shares")), event.get("exitPrice"))
    if _number(event.get("exitPrice")) is None:
        sold += " at an unknown price"
        if event.get("closed") is not False:
            row = _text(event.get("tradeId"))
            sold += f": snexec settle {row} --as closed --price"
    return f"others have sold {sold}"


def _why(event: Mapping[str, Any]) -> str:
    return _text(event.get("text") or event.get("reason"))


def _shares(value: object) -> str:
    text = _amount(value)
    return f"{text} share" if text == "1" else f"{text} shares"


def _at(what: str, price: object) -> str:
    return what if _number(price) is None else f"{what} at {_amount(price)}"


def _amount(value: object) -> str:
    number = _number(value)
    if number is None:
        return "an unknown number of"
    text = f"{number:,.9f}".rstrip("0").rstrip(".")
    return text or "0"


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        return None
    return number if number.is_finite() else None


def _text(value: object) -> str:
    return "no reason was given" if value is None else printable(str(value))

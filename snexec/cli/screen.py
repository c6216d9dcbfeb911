"""What the operator's commands print: Rich on a terminal, plain text elsewhere."""

from __future__ import annotations

import io
import math
import os
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

from snexec.logs import printable

if TYPE_CHECKING:
    from rich.table import Table

_PLAIN_WIDTH = 100_000  # a file has no edge to wrap at
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
NOTHING = "-"


def open_screen(*, stderr: bool = False) -> Console:
    """Make a console: styles on a terminal only, and none where NO_COLOR is set."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # a symbol may be any text
    terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=terminal,
        color_system="auto" if terminal and not os.environ.get("NO_COLOR") else None,
        width=None if terminal else _PLAIN_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
    )


def say(screen: Console, text: str | Text) -> None:
    """Print one line, whole: a terminal may wrap it, we do not."""
    screen.print(text, soft_wrap=True)


def show_table(screen: Console, table: Table) -> None:
    """Print a table; in a file its lines end where their text does."""
    if screen.is_terminal:
        # Rather lines that the terminal wraps than columns that cannot be read.
        unbounded = screen.options.update_width(_PLAIN_WIDTH)
        natural = Measurement.get(screen, unbounded, table).maximum
        screen.width = max(natural, screen.width)
        screen.print(table, soft_wrap=True)
        return
    with screen.capture() as captured:
        screen.print(table)
    for line in captured.get().splitlines():
        say(screen, line.rstrip())


def foreign(value: object) -> str:
    """Show another program's value; no control character reaches the terminal."""
    return NOTHING if value is None else printable(str(value))


def number(value: object) -> float | None:
    """Read a finite number; a column of other programs may hold anything."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def dollars(value: float) -> str:
    """Show an amount: $1,234.50."""
    return f"-${-value:,.2f}" if value < 0 else f"${value:,.2f}"


def price(value: float) -> str:
    """Show a price: two decimals, more where it has them."""
    return _trimmed(f"{value:,.4f}" if value >= 0.1 else f"{value:.9f}", keep=2)


def shares(value: float) -> str:
    """Show a number of shares, as many decimals as Alpaca gives."""
    return _trimmed(f"{value:,.9f}", keep=0)


def brief_shares(value: float) -> str:
    """Show a number of shares in a column: six decimals, or all of a tiny one."""
    return _trimmed(f"{value:,.6f}", keep=0) if value >= 0.001 else shares(value)


def percent(value: float) -> str:
    """Show a signed percentage."""
    return f"{value:+.2f}%"


def duration(seconds: float) -> str:
    """Show a length of time by its two largest units: 3 h 12 min."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def age(seconds: float) -> str:
    """Show how long ago something was, by its largest unit: 3h."""
    whole = int(seconds)
    if whole < 0:
        return "in the future"
    for length, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
        if whole >= length:
            return f"{whole // length}{unit}"
    return f"{whole}s"


def _trimmed(text: str, *, keep: int) -> str:
    whole, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0").ljust(keep, "0")
    return f"{whole}.{decimals}" if decimals else whole

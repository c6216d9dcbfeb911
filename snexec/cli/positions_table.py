"""The table that ``positions`` prints for people, and its totals; 80 columns hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from snexec.cli.console import open_console, print_line, print_table
from snexec.cli.formats import (
    NOTHING,
    age,
    brief_price,
    brief_shares,
    dollars,
    foreign,
    number,
    signed_dollars,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Row = Mapping[str, Any]

_STATE_STYLES = {"watched": "green", "closing": "yellow", "blocked": "bold red"}
_SOURCES = {"positions": "poll", "snapshots": "snap", "stream": "tick"}


def print_positions(answer: Mapping[str, Any]) -> None:
    """Print a table for each mode, what blocks a row, how it differs, and the totals."""
    console, rows = open_console(), answer["rows"]
    by_mode: dict[str, list[Row]] = {}
    for row in rows:
        by_mode.setdefault(foreign(row.get("mode") or "no mode"), []).append(row)
    for mode, those in by_mode.items():
        if len(by_mode) > 1:
            console.print(Text(mode, "bold red" if mode == "live" else "bold"))
        print_table(console, _table(those))
        console.print()
    for row in rows:
        for words in (row.get("blockedBy"), row.get("difference")):
            if words:
                print_line(console, f"{foreign(row['symbol'])}: {foreign(words)}")
    print_line(console, _totals(rows))
    for note in answer.get("notes") or ():
        print_line(console, foreign(note))
    if not answer.get("daemon"):
        print_line(
            console,
            "no daemon runs: nothing is watched, and limits are not known",
        )


def _table(rows: Sequence[Row]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 0), show_edge=False, header_style="bold"
    )
    table.add_column("symbol", no_wrap=True)
    for head in (
        "shares",
        "held",
        "entry",
        "price",
        "from",
        "P&L",
        "stop",
        "target",
        "left",
    ):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for row in rows:
        state = foreign(row.get("state"))
        held = number(row.get("shares"))
        table.add_row(
            Text(foreign(row.get("symbol")), "bold"),
            NOTHING if held is None else brief_shares(held),
            _beside(held, row),
            _price(row.get("entryPrice")),
            _price(row.get("price")),
            _source(row),
            signed_dollars(row.get("openPnl")),
            _price(row.get("stop")),
            _price(row.get("target")),
            _left(row.get("secondsLeft")),
            Text(state, _STATE_STYLES.get(state, "")),
        )
    return table


def _totals(rows: Sequence[Row]) -> str:
    if not rows:
        return "0 positions"
    modes = sorted({foreign(row["mode"]) for row in rows if row.get("mode")})
    kind = f"{modes[0]} " if len(modes) == 1 else ""
    cost = sum(
        (number(row.get("shares")) or 0.0) * (number(row.get("entryPrice")) or 0.0)
        for row in rows
    )
    text = f"{len(rows)} {kind}position{'' if len(rows) == 1 else 's'}"
    text += f": {dollars(cost)} bought"
    won = [pnl for row in rows if (pnl := number(row.get("openPnl"))) is not None]
    if won:
        text += f", open P&L {signed_dollars(sum(won))}"
        text += "" if len(won) == len(rows) else f" of {len(won)} with a price"
    return text


def _beside(left: float | None, row: Row) -> str:
    """Show whether the broker holds what the row has left; how much is said in words."""
    broker = number(row.get("brokerShares"))
    if broker is None or left is None:
        return NOTHING
    if not row.get("difference"):
        return "="
    if broker <= 0:
        return "none"
    return "less" if broker < left else "more"


def _price(value: object) -> str:
    found = number(value)
    return NOTHING if found is None else brief_price(found)


def _source(row: Row) -> str:
    """Show where a price is from, and how old it is: poll 2s."""
    source, seconds = row.get("priceSource"), number(row.get("priceAgeSec"))
    if source is None:
        return NOTHING
    name = _SOURCES.get(source, foreign(source))
    return name if seconds is None else f"{name} {age(seconds)}"


def _left(value: object) -> str:
    seconds = number(value)
    if seconds is None:
        return NOTHING
    return "due" if seconds <= 0 else age(seconds)

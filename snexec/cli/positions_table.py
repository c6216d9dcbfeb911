"""The table that ``positions`` prints for people, and its totals; 80 columns hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from snexec.cli.console import open_console, print_table, print_words
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
    """Print the table, what blocks a row, and the totals."""
    console, rows = open_console(), answer["rows"]
    if rows:
        print_table(console, _table(rows))
        console.print()
    for row in rows:
        if row.get("blockedBy"):
            why = f"{foreign(row['symbol'])}: {foreign(row['blockedBy'])}"
            print_words(console, why)
    print_words(console, _totals(rows))
    if not answer.get("daemon"):
        print_words(
            console,
            "no daemon runs: this is what the rows say; prices and limits are not known",
        )


def _table(rows: Sequence[Row]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 0), show_edge=False, header_style="bold"
    )
    table.add_column("symbol", no_wrap=True)
    mixed = len({row.get("mode") for row in rows}) > 1
    if mixed:
        table.add_column("mode", no_wrap=True)
    for head in ("shares", "entry", "price", "from", "P&L", "stop", "target", "left"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for row in rows:
        state, mode = foreign(row.get("state")), foreign(row.get("mode"))
        held = number(row.get("shares"))
        table.add_row(
            Text(foreign(row.get("symbol")), "bold"),
            *([Text(mode, "bold red" if mode == "live" else "")] if mixed else ()),
            NOTHING if held is None else brief_shares(held),
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

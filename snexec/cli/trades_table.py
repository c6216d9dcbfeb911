"""The table that ``trades`` prints for people, and its totals."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from snexec.cli.console import open_console, print_line, print_table
from snexec.cli.formats import (
    NOTHING,
    age,
    brief_shares,
    dollars,
    foreign,
    number,
    percent,
    price,
)
from snexec.cli.trades_query import LATENCIES, MOMENT
from snexec.latency import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Row = Mapping[str, object]

_STATUS_STYLES = {"open": "green", "missed": "red", "closed": "dim"}
_LABELS = {"wireMs": "wire ms", "replyMs": "reply ms", "fillMs": "fill ms"}
_SHARES = (50, 90, 99)


def print_trades(
    rows: Sequence[Row], *, now: datetime, money: str | None, latency: bool
) -> None:
    """Print the table, its totals, and with ``latency`` the percentiles."""
    console = open_console()
    if rows:
        print_table(console, _table(rows, now, latency=latency))
        console.print()
    print_line(console, _totals(rows, money))
    if latency:
        for name in LATENCIES:
            print_line(
                console, _percentiles(_LABELS[name], [row.get(name) for row in rows])
            )


def slippage(row: Row) -> float | None:
    """Return by what percentage the entry price was above the signal's price."""
    entry, expected = number(row.get("entryPrice")), number(row.get("priceAtSignal"))
    if entry is None or not expected:
        return None
    return (entry - expected) / expected * 100


def _table(rows: Sequence[Row], now: datetime, *, latency: bool) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 0), show_edge=False, header_style="bold"
    )
    for head in ("age", "symbol", "mode"):
        table.add_column(head, no_wrap=True)
    heads = ("star", "dollars", "shares", "entry", "slip")
    for head in (*heads, *(_LABELS.values() if latency else ())):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("reason", overflow="fold")
    for row in rows:
        measured = [_shown(row.get(n), lambda ms: f"{ms:.2f}") for n in LATENCIES]
        status = foreign(row.get("status"))
        table.add_row(
            Text(_age(row.get(MOMENT), now)),
            Text(foreign(row.get("symbol")), "bold"),
            Text(
                foreign(row.get("mode")),
                "bold red" if row.get("mode") == "live" else "",
            ),
            Text(foreign(row.get("starRating"))),
            _shown(row.get("notional"), dollars),
            _shown(row.get("shares"), brief_shares),
            _shown(row.get("entryPrice"), price),
            _shown(slippage(row), percent),
            *(measured if latency else ()),
            Text(status, _STATUS_STYLES.get(status, "")),
            Text("" if row.get("exitReason") is None else foreign(row["exitReason"])),
        )
    return table


def _totals(rows: Sequence[Row], money: str | None) -> str:
    ordered = [number(row.get("notional")) or 0.0 for row in rows]
    bought = [
        (number(row.get("shares")) or 0.0) * (number(row.get("entryPrice")) or 0.0)
        for row in rows
    ]
    slips = [slip for row in rows if (slip := slippage(row)) is not None]
    kind = "simulated " if money == "simulated" else ""
    count = f"{len(rows)} {kind}trade{'' if len(rows) == 1 else 's'}"
    if not rows:
        return count
    text = f"{count}: {dollars(sum(ordered))} ordered, {dollars(sum(bought))} bought"
    if slips:
        text += f", slippage {percent(sum(slips) / len(slips))} on average"
    return text


def _percentiles(label: str, values: Sequence[object]) -> str:
    known = [found for value in values if (found := number(value)) is not None]
    if not known:
        return f"{label:<9} nothing measured"
    parts = [f"p{share} {percentile(known, share):.2f}" for share in _SHARES]
    return f"{label:<9} {'  '.join(parts)}  of {len(known)}"


def _age(moment: object, now: datetime) -> str:
    found = number(moment)
    if found is None:
        return NOTHING
    since = datetime(1970, 1, 1, tzinfo=UTC)
    return age((now - since).total_seconds() - found / 1000)


def _shown(value: object, show_number: Callable[[float], str]) -> Text:
    """Show a number; show anything else as it is."""
    found = number(value)
    return Text(foreign(value) if found is None else show_number(found))

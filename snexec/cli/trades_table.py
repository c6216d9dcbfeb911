"""The table that ``trades`` prints for people, and its totals."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from snexec.cli.console import open_console, print_line, print_table, print_words
from snexec.cli.formats import (
    NOTHING,
    age,
    brief_shares,
    dollars,
    foreign,
    number,
    percent,
    price,
    signed_dollars,
)
from snexec.cli.trades_query import LATENCIES, MOMENT
from snexec.latency import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Row = Mapping[str, object]

_STATUS_STYLES = {"open": "green", "missed": "red", "closed": "dim"}
_LABELS = {"wireMs": "wire ms", "replyMs": "reply ms", "fillMs": "fill ms"}
_SHARES = (50, 90, 99)
_TEXTS = ("age", "symbol", "mode", "status")
# What a narrow screen is spared, in this order; what is left is what became of each row.
_LEAST_USEFUL = (
    "star",
    "dollars",
    "slip",
    "shares",
    "reply ms",
    "wire ms",
    "exit",
    "entry",
)
_LEAST_REASON = 12
_ROWS_A_TABLE = 500


def print_trades(
    rows: Sequence[Row], *, now: datetime, money: str | None, latency: bool
) -> None:
    """Print the table, its totals, and with ``latency`` the percentiles."""
    console = open_console()
    # So that the first rows of many are on the screen at once.
    for page in _batched(rows, _ROWS_A_TABLE):
        table = _table(page, now, latency=latency, width=console.width)
        print_table(console, table)
    if rows:
        console.print()
    print_words(console, _totals(rows, money))
    if result := _result(rows):
        print_words(console, result)
    if latency:
        for name in LATENCIES:
            print_line(
                console, _percentiles(_LABELS[name], [row.get(name) for row in rows])
            )


def _batched(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def slippage(row: Row) -> float | None:
    """Return by what percentage the entry price was above the signal's price."""
    entry, expected = number(row.get("entryPrice")), number(row.get("priceAtSignal"))
    if entry is None or not expected:
        return None
    return (entry - expected) / expected * 100


def _table(rows: Sequence[Row], now: datetime, *, latency: bool, width: int) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, padding=(0, 0), show_edge=False, header_style="bold"
    )
    columns = _columns(rows, now, latency=latency)
    cells = {head: [show(row) for row in rows] for head, show in columns.items()}
    room = _fit(cells, width)
    for head in cells:
        if head == "reason":
            table.add_column(head, overflow="fold", max_width=room)
        elif head in _TEXTS:
            table.add_column(head, no_wrap=True)
        else:
            table.add_column(head, justify="right", no_wrap=True)
    for shown in zip(*cells.values(), strict=True):
        table.add_row(*shown)
    return table


def _fit(cells: dict[str, list[Text]], width: int) -> int | None:
    """Leave out what can be done without on a narrow screen.

    Returns:
        How wide the reasons may be, where they are wider than that.
    """
    widths = {
        head: max(len(head), *(each.cell_len for each in column))
        for head, column in cells.items()
    }
    for head in _LEAST_USEFUL:
        if sum(widths.values()) + len(widths) - 1 <= width:
            return None
        if widths.pop(head, None) is not None:
            del cells[head]
    room = width - sum(widths.values()) - len(widths) + 1 + widths["reason"]
    return None if room >= widths["reason"] else max(_LEAST_REASON, room)


def _columns(
    rows: Sequence[Row], now: datetime, *, latency: bool
) -> dict[str, Callable[[Row], Text]]:
    """Return the columns with what each shows of a row.

    What was sold for is left out where nothing was.
    """
    sold = any(row.get("exitPrice") is not None for row in rows)
    columns: dict[str, Callable[[Row], Text]] = {
        "age": lambda row: Text(_age(row.get(MOMENT), now)),
        "symbol": lambda row: Text(foreign(row.get("symbol")), "bold"),
        "mode": _mode,
        "star": lambda row: Text(foreign(row.get("starRating"))),
        "dollars": lambda row: _shown(row.get("notional"), dollars),
        "shares": lambda row: _shown(row.get("shares"), brief_shares),
        "entry": lambda row: _shown(row.get("entryPrice"), price),
        "slip": lambda row: _shown(slippage(row), percent),
    }
    if sold:
        columns["exit"] = lambda row: _shown(row.get("exitPrice"), price)
        columns["P&L"] = lambda row: Text(signed_dollars(row.get("pnl")))
    for name, label in _LABELS.items() if latency else ():
        columns[label] = partial(_measured, name)
    columns["status"] = _status
    columns["reason"] = lambda row: Text(
        "" if row.get("exitReason") is None else foreign(row["exitReason"])
    )
    return columns


def _mode(row: Row) -> Text:
    mode = foreign(row.get("mode"))
    return Text(mode, "bold red" if mode == "live" else "")


def _status(row: Row) -> Text:
    status = foreign(row.get("status"))
    return Text(status, _STATUS_STYLES.get(status, ""))


def _measured(name: str, row: Row) -> Text:
    return _shown(row.get(name), lambda ms: f"{ms:.2f}")


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


def _result(rows: Sequence[Row]) -> str:
    """Return what the closed rows came to; empty where there are none."""
    closed = [row for row in rows if row.get("status") == "closed"]
    results = [pnl for row in closed if (pnl := number(row.get("pnl"))) is not None]
    if not closed:
        return ""
    count = f"{len(closed)} closed"
    if not results:
        return f"{count}, P&L not known"
    won = sum(pnl > 0 for pnl in results)
    text = f"{count}: P&L {signed_dollars(sum(results))} before fees, {won} won"
    unknown = len(closed) - len(results)
    return f"{text}, {unknown} not known" if unknown else text


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

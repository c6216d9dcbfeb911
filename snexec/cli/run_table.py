"""The table of a --stdin run, no wider than its screen.

| where it is too wide | |
| --- | --- |
| first | the dollars ordered are left out |
| then | shares and prices are rounded, the exit is its reason alone |
| then | long signal ids are cut, long details folded |
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from tabulate import tabulate

if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = 2  # between two columns
_LEAST_DETAIL, _LEAST_SIGNAL = 16, 8
_LEVELS = 3


class Line(NamedTuple):
    """What became of one signal, as it is shown.

    Attributes:
        exit: At what the row was sold, and why: 180.02 stop_loss.
        exit_reason: Why alone.
        detail: Of what was bought, or why nothing was.
        brief: The detail of what was bought, rounded; empty of any other.
    """

    signal: str
    symbol: str
    dollars: str
    outcome: str
    exit: str
    exit_reason: str
    pnl: str
    detail: str
    brief: str


def show(lines: Sequence[Line], *, width: int | None, has_exits: bool) -> str:
    """Return the table.

    Args:
        lines: Its rows.
        width: Columns of the screen; None where there is no edge.
        has_exits: Whether anything was sold: without that there are no columns for it.
    """
    level = next(
        (each for each in range(_LEVELS) if _fits(lines, each, width, has_exits)),
        _LEVELS - 1,
    )
    rows = [_cells(each, level, has_exits) for each in lines]
    heads = _heads(level, has_exits)
    if width is not None:
        room = width - _width(rows, heads)
        if room < _LEAST_DETAIL:
            longest = max(len(row[0]) for row in rows)
            kept = max(_LEAST_SIGNAL, longest - (_LEAST_DETAIL - room))
            rows = [[_cut(row[0], kept), *row[1:]] for row in rows]
            room = max(_LEAST_DETAIL, width - _width(rows, heads))
        rows = [[*row[:-1], "\n".join(textwrap.wrap(row[-1], room))] for row in rows]
    return tabulate(rows, heads, tablefmt="simple", disable_numparse=True)


def fold(text: str, width: int | None) -> str:
    """Return a line below the table, as wide as that may be."""
    return text if width is None else textwrap.fill(text, width)


def _fits(
    lines: Sequence[Line], level: int, width: int | None, has_exits: bool
) -> bool:
    """Return whether no row of what was bought has to be folded."""
    if width is None:
        return True
    rows = [_cells(each, level, has_exits) for each in lines]
    bought = [row[-1] for row, line in zip(rows, lines, strict=True) if line.brief]
    needed = max((len(each) for each in bought), default=_LEAST_DETAIL)
    return _width(rows, _heads(level, has_exits)) + needed <= width


def _heads(level: int, has_exits: bool) -> list[str]:
    heads = ["signal", "symbol"]
    heads += ["dollars"] if level == 0 else []
    heads += ["outcome"]
    heads += ["exit", "P&L"] if has_exits else []
    return [*heads, "detail"]


def _cells(line: Line, level: int, has_exits: bool) -> list[str]:
    is_brief = level >= _LEVELS - 1
    cells = [line.signal, line.symbol]
    cells += [line.dollars] if level == 0 else []
    cells += [line.outcome]
    if has_exits:
        cells += [line.exit_reason if is_brief else line.exit, line.pnl]
    return [*cells, line.brief if is_brief and line.brief else line.detail]


def _width(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> int:
    """Return how wide a table is without its last column."""
    columns = zip(heads[:-1], *(row[:-1] for row in rows), strict=True)
    # tabulate gives each head two columns more than it needs.
    return sum(
        max(len(head) + _GAP, *map(len, cells)) + _GAP for head, *cells in columns
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"

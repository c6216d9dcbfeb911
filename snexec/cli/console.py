"""Where the commands print: with Rich on a terminal, as plain text elsewhere."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

if TYPE_CHECKING:
    from rich.text import Text

_PLAIN_WIDTH = 100_000  # a file has no edge to wrap at


def open_console(*, stderr: bool = False) -> Console:
    """Open a console: it has styles on a terminal only, and none if NO_COLOR is set."""
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


def print_line(console: Console, text: str | Text) -> None:
    """Print one line whole: the terminal may wrap it, we do not."""
    console.print(text, soft_wrap=True)


def print_words(console: Console, text: str) -> None:
    """Print a sentence: on a terminal it is folded between words, in a file one line."""
    console.print(text, soft_wrap=not console.is_terminal)


def new_grid(*heads: str) -> Table:
    """Return a grid of columns that stay whole, and a last one that wraps on a terminal.

    Args:
        heads: The style of each column but the last, in their order.
    """
    grid = Table.grid(padding=(0, 2))
    for style in heads:
        grid.add_column(style=style, no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def print_grid(console: Console, grid: Table) -> None:
    """Print a grid within the terminal; in a file each row is one line."""
    if console.is_terminal:
        console.print(grid)
    else:
        print_table(console, grid)


def print_table(console: Console, table: Table) -> None:
    """Print a table; in a file no line has trailing spaces."""
    if console.is_terminal:
        # Lines that the terminal wraps are better than columns too narrow to read.
        unbounded = console.options.update_width(_PLAIN_WIDTH)
        natural = Measurement.get(console, unbounded, table).maximum
        screen = console.width
        console.width = max(natural, screen)
        console.print(table, soft_wrap=True)
        console.width = screen
        return
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print_line(console, line.rstrip())

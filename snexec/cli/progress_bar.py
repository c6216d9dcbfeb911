"""The bar on a terminal while many signals are sent."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, BinaryIO, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from snexec.cli.console import open_console, print_line

if TYPE_CHECKING:
    from rich.console import Console


class ProgressBar:
    """Draws a bar on standard error; printed lines go above it."""

    def __init__(self, source: BinaryIO) -> None:
        self._console = open_console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("sending", total=_size(source))
        # Lines on the terminal that shows the bar must not break it.
        self._out: Console = self._console if sys.stdout.isatty() else open_console()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def update(self, text: str, done: int = 0) -> None:
        """Show another text, and this many more bytes as done."""
        self._progress.update(self._task, description=text, advance=done)

    def print_line(self, text: str, style: str) -> None:
        """Print a line to standard output, in a style on a terminal only."""
        print_line(self._out, Text(text, style=style))

    def print_error(self, text: str) -> None:
        """Print a line to standard error."""
        print_line(self._console, text)


def _size(source: BinaryIO) -> int | None:
    try:
        found = os.fstat(source.fileno())
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None

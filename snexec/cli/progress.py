"""A progress bar on standard error, for many signals."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from snexec.cli.screen import open_screen, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def open_progress(
    source: BinaryIO,
) -> Iterator[tuple[Callable[[str, int], None], Callable[[str, str], None]]]:
    """Show how much of a file is sent, until the block is left.

    Yields:
        What to call with a text and the bytes that were done, and what prints a line
        without tearing the bar.
    """
    screen = open_screen(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=screen,
        transient=True,
        redirect_stdout=False,
    )
    task = progress.add_task("sending", total=_size(source))

    def tick(text: str, done: int) -> None:
        progress.update(task, description=text, advance=done)

    # Both on one terminal: the line goes above the bar.
    above = progress.console if sys.stdout.isatty() else None

    def tell(text: str, style: str) -> None:
        say(above or open_screen(), Text(text, style=style))

    with progress:
        yield tick, tell


def _size(source: BinaryIO) -> int | None:
    try:
        found = os.fstat(source.fileno())
    except (OSError, ValueError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None

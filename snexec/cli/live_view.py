"""What is shown while signals are sent: a bar on a terminal, or lines only."""

from __future__ import annotations

import sys
from typing import BinaryIO, Protocol, Self

import click


class LiveView(Protocol):
    """Shown as long as the ``with`` block in which signals are sent."""

    def __enter__(self) -> object: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def update(self, text: str, done: int = 0) -> None:
        """Show another text, and this many more bytes as done."""

    def print_line(self, text: str, style: str) -> None:
        """Print a line to standard output, in a style on a terminal only."""

    def print_error(self, text: str) -> None:
        """Print a line to standard error."""


class _PlainView:
    """Prints lines only."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def update(self, text: str, done: int = 0) -> None:
        """Show nothing."""

    def print_line(self, text: str, style: str) -> None:
        print_plainly(text, style)

    def print_error(self, text: str) -> None:
        click.echo(text, err=True)


def open_view(source: BinaryIO) -> LiveView:
    """Open the view that suits standard error."""
    if not sys.stderr.isatty():
        return _PlainView()
    from snexec.cli.progress_bar import ProgressBar  # for a terminal only

    return ProgressBar(source)


def print_plainly(text: str, style: str) -> None:
    """Print one line to standard output, in a style on a terminal only."""
    if not style:
        click.echo(text)
        return
    from rich.text import Text  # a JSON answer needs no Rich

    from snexec.cli.console import open_console, print_line

    print_line(open_console(), Text(text, style=style))

"""What is seen while many signals are sent."""

from __future__ import annotations

import sys
from typing import BinaryIO, Protocol, Self

import click

from snexec.cli.outcome_tracker import tell_plainly


class Show(Protocol):
    """A context to send in."""

    def __enter__(self) -> object: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def tick(self, text: str, done: int = 0) -> None:
        """Show another text, and so many more bytes as done."""

    def tell(self, text: str, style: str) -> None:
        """Print a line to standard output."""

    def complain(self, text: str) -> None:
        """Print a line to standard error."""


class _PlainShow:
    """Lines only."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def tick(self, text: str, done: int = 0) -> None:
        """Show nothing."""

    def tell(self, text: str, style: str) -> None:
        tell_plainly(text, style)

    def complain(self, text: str) -> None:
        click.echo(text, err=True)


def open_show(source: BinaryIO) -> Show:
    """Make what fits standard error."""
    if not sys.stderr.isatty():
        return _PlainShow()
    from snexec.cli.progress_bar import ProgressShow  # a terminal's only

    return ProgressShow(source)

"""Rows that the book takes up while the daemon runs.

It reads them as changes of the writer's, so that it hears of every other change of a row
either before or after it has the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.ledger import AwaitedChange

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.exits.book import PositionBook
    from snexec.ledger import Store, WatchedRow, Writer

_PAGE = 100  # rows, which takes the event loop some 2 ms

# Rows, and where to go on, if anywhere.
Found = tuple["list[WatchedRow]", int | None]


async def take_up(book: PositionBook, writer: Writer, symbol: str) -> None:
    """Have the book know what is held of a symbol.

    Args:
        book: It.
        writer: Reads the rows.
        symbol: In its canonical spelling.

    Raises:
        sqlite3.Error: The row cannot be read.
    """
    await _take(book, writer, lambda store: (store.held.of_symbol(symbol), None))


async def take_up_all(book: PositionBook, writer: Writer) -> None:
    """Have the book know every row that is held, and follow all that is bought.

    Raises:
        sqlite3.Error: The rows cannot be read.
    """
    book.missed = set()
    after: int | None = 0
    try:
        while after is not None:
            after = await _take(book, writer, _page(after))
        while missed := book.missed:  # those of which nothing was held yet
            book.missed = set()
            await _take(book, writer, _these(missed))
        book.follows_all = True
    finally:
        book.missed = None


def _page(after: int) -> Callable[[Store], Found]:
    return lambda store: store.held.page(after, _PAGE)


def _these(ids: set[str]) -> Callable[[Store], Found]:
    return lambda store: (store.held.of_ids(ids), None)


async def _take(
    book: PositionBook, writer: Writer, read: Callable[[Store], Found]
) -> int | None:
    change = _TakeUp(book, read)
    writer.put(change)
    _rows, after = await change.result()
    return after


class _TakeUp(AwaitedChange[Found]):
    """Reads rows, and has the book take them in the moment in which they are so."""

    def __init__(self, book: PositionBook, read: Callable[[Store], Found]) -> None:
        super().__init__(read)
        self._book = book

    def done(self, result: Found) -> None:
        """Hand them over, and wake who waits."""
        self._book.load(result[0])
        super().done(result)

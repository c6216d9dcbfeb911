"""Long work of the event loop, cut so that an order that comes meanwhile waits for none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

T = TypeVar("T")

_AT_ONCE = 8  # of some 20 µs each


class InTurns(Generic[T]):
    """Items to go through; between every few of them, other tasks have their turn.

    What was true before an item need not be true at the next.
    """

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._left = _AT_ONCE

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if not self._left:
            await trio.lowlevel.checkpoint()
            self._left = _AT_ONCE
        self._left -= 1
        for item in self._items:
            return item
        raise StopAsyncIteration

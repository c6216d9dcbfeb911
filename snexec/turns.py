"""Long work of the event loop, cut so that an order that comes meanwhile waits for none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

T = TypeVar("T")

_STEP_MICROSECONDS = 160.0  # as long as it takes to send an order


class InTurns(Generic[T]):
    """Items to go through; between every few of them, other tasks have their turn.

    What was true before an item need not be true at the next.

    Args:
        items: They.
        each_us: About how many microseconds one takes.
    """

    def __init__(self, items: Iterable[T], *, each_us: float = 20.0) -> None:
        self._items = iter(items)
        self._at_once = self._left = max(1, round(_STEP_MICROSECONDS / each_us))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if not self._left:
            await trio.lowlevel.checkpoint()
            self._left = self._at_once
        self._left -= 1
        for item in self._items:
            return item
        raise StopAsyncIteration

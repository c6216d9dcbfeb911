"""What operations ask of the part that sells: the face that it keeps (SPEC 12.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.exits import CloseAnswer, ExitsStatus, Explained, Watch


class Closing(NamedTuple):
    """What is to be closed.

    Attributes:
        symbols: As they were written; None for every open row.
        at_open: Whether shares are to be sold at the next open while the market is
            closed.
    """

    symbols: tuple[str, ...] | None
    at_open: bool = False


class Exits(Protocol):
    """Sells positions, and says how each of them is."""

    async def close(
        self, symbols: Sequence[str], *, at_open: bool
    ) -> list[CloseAnswer]:
        """Sell what is left of the open rows of these symbols, with the reason manual.

        Returns once each sell is durable, before the broker has answered; with one
        answer for each symbol, also where it is refused. It is called while the market
        is open, or with ``at_open``: the sell of a share then waits for the open.

        Args:
            symbols: In their canonical spelling; each has an open row of ours.
            at_open: Whether a sell may wait until the market opens.
        """

    def positions(self) -> list[Watch]:
        """Return what is known of each row that is watched, closing or blocked."""

    def status(self) -> ExitsStatus:
        """Return how the watching is, from memory."""

    def explain(self, row_id: str) -> list[Explained] | None:
        """Return a row's rules with their figures, in order; None if it is not watched."""

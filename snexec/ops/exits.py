"""What the operator asks to be closed (SPEC 12.8)."""

from __future__ import annotations

from typing import NamedTuple


class Closing(NamedTuple):
    """What is to be closed.

    Attributes:
        symbols: As they were written; None for every open row.
        at_open: Whether shares are to be sold at the next open while the market is
            closed.
    """

    symbols: tuple[str, ...] | None
    at_open: bool = False

"""What the operator asks to be closed (SPEC 12.8)."""

from __future__ import annotations

from typing import Literal, NamedTuple

By = Literal["operator", "page"]


class CloseRequest(NamedTuple):
    """What is to be closed.

    Attributes:
        symbols: As they were written; None for every open row.
        at_open: Whether shares are to be sold at the next open while the market is
            closed.
        by: Who asks: over the socket, or on the page.
    """

    symbols: tuple[str, ...] | None
    at_open: bool = False
    by: By = "operator"

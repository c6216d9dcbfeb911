"""Events of an order name who sent its signal, to its end in this run (SPEC 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snexec.events import EventFeed
    from snexec.ledger import NewTrade


class Producers:
    """Has the feed know whose order it is before it leaves, as some fill before the answer.

    No row keeps it: after a restart the events of older orders name nobody.

    Args:
        feed: Names them.
    """

    def __init__(self, feed: EventFeed) -> None:
        self._feed = feed

    def leaving(self, trade: NewTrade, sequence: int | None) -> None:  # noqa: ARG002 - as others need it
        """Remember an order that is about to leave."""
        if trade.producer is not None:
            self._feed.remember_producer(trade.id, trade.producer)

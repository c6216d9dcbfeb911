"""What is handed to the web server that shows it: where the figures are (SPEC 14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.clock import Clock
    from snexec.events import EventFeed
    from snexec.ops.commands import Commands
    from snexec.ops.health import Health
    from snexec.ops.notify import Notify
    from snexec.ops.outages import Outages
    from snexec.ops.wings import Wings


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """Where the figures are.

    Attributes:
        wings: Every wing, each with its ``status()``.
        health: What is wrong.
        outages: The times without a stream.
        dropped_lines: Returns how many log lines were dropped.
        notify: The notifier, if there is one.
    """

    wings: Wings
    health: Health
    outages: Outages
    dropped_lines: Callable[[], int]
    notify: Notify | None


class Web(Protocol):
    """Shows all this to browsers and scrapers; must not raise."""

    def watch(
        self, sources: Sources, commands: Commands, feed: EventFeed, clock: Clock
    ) -> None:
        """Begin to note what happens; before anything does."""

    async def run(self) -> None:
        """Serve until cancelled."""

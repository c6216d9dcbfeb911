"""What a feeder is: whatever brings lines to the intake."""

from __future__ import annotations

from typing import Protocol


class Feeder(Protocol):
    """Brings lines to the intake, and each answer to whoever sent its line.

    Lines are handed to ``Intake.take`` whole, in their order, ``LINES_PER_TURN`` at most
    before others have their turn; ``Intake.flush`` follows whenever no more are at hand.
    Empty lines are passed over, and a last line needs no newline.
    """

    @property
    def name(self) -> str:
        """What its task is called."""

    async def run(self) -> None:
        """Feed until cancelled, or until there is nothing more to come.

        A fault of whoever sends is logged, and ends that sender alone.
        """

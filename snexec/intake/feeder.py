"""What a feeder is: whatever brings lines to the intake."""

from __future__ import annotations

from typing import Protocol


class Feeder(Protocol):
    """Brings lines to the intake, and each answer to whoever sent its line.

    Each line is handed to ``Intake.take`` once, whole and in its order, whatever pieces
    it came in. Empty lines are passed over, a last line needs no newline, and a line that
    is too long is handed over as None. After ``LINES_PER_TURN`` lines at most, others have
    their turn. ``Intake.flush`` is called whenever no more lines are at hand.
    """

    @property
    def name(self) -> str:
        """What its task is called."""

    async def run(self) -> None:
        """Feed until cancelled, or until nothing more can come.

        A sender's fault is logged, and ends that sender alone. A feeder that is cancelled
        leaves nothing open; a line of which only a part has come is not taken.
        """

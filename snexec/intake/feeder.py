"""What a feeder is: anything that brings lines to the intake."""

from __future__ import annotations

from typing import Protocol


class Feeder(Protocol):
    """Brings lines to the intake, and each answer back to the line's sender.

    Each line goes to ``Intake.take`` once, whole and in order, whatever pieces it came
    in. Empty lines are skipped, the last line needs no newline, and a line that is too
    long goes as None. After at most ``LINES_PER_TURN`` lines, others get their turn.
    ``Intake.flush`` is called whenever no more lines are at hand.
    """

    @property
    def name(self) -> str:
        """The name of its task."""

    async def run(self) -> None:
        """Feed until cancelled, or until nothing more can come.

        A sender's fault is logged, and ends that sender alone. A cancelled feeder
        leaves nothing open, and does not take a line of which only part has come.
        """

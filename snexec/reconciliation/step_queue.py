"""The steps of one order that wait behind a partial fill (SPEC 7)."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field

import trio

from snexec.reconciliation.steps import PartialFillStep, Step

# Of one order; partial fills are cumulative, so that the newest says it all.
_APART = 16
_MOST_STEPS = 64


@dataclass(slots=True, eq=False)
class StepQueue:
    """The steps of one order, the oldest first.

    Attributes:
        asking: The question about the position that they wait for.
    """

    steps: collections.deque[Step] = field(default_factory=collections.deque)
    asking: trio.CancelScope = field(default_factory=trio.CancelScope)

    def add(self, step: Step) -> bool:
        """Add a step; return False where too many wait, and it is not kept."""
        last = self.steps[-1] if len(self.steps) >= _APART else None
        if isinstance(step, PartialFillStep) and isinstance(last, PartialFillStep):
            self.steps[-1] = step.in_place_of(last)
            return True
        if len(self.steps) >= _MOST_STEPS:
            return False
        self.steps.append(step)
        return True

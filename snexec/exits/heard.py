"""What a position's way to closed hears of its sells, in order, and how it ends by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import trio

if TYPE_CHECKING:
    from snexec.errors import RefusedError
    from snexec.ledger import ExitApplied, NewExit
    from snexec.orders import NotPlanned, Withheld


# How a way ends: nothing is left; the row is the rules' again; the broker has a sell that
# the row does not know; or it ended otherwise, by another program where it is gone.
Result = Literal["closed", "given_back", "unbooked", "ended", "gone", "stopped"]

ENDS: dict[NotPlanned, Result] = {
    "not_found": "gone",
    "not_ours": "gone",
    "not_open": "gone",
    "stopping": "stopped",  # nor does a rule sell what is left
}


@dataclass(frozen=True, slots=True)
class IsPlanned:
    """A sell is durable, and waits for the market."""


@dataclass(frozen=True, slots=True)
class IsNotPlanned:
    """There is no sell, or a planned one does not leave."""

    why: NotPlanned
    exit_id: str | None = None


@dataclass(frozen=True, slots=True)
class IsWithheld:
    """A sell did not leave."""

    new: NewExit
    why: Withheld


@dataclass(frozen=True, slots=True)
class IsRefused:
    """The broker does not take it."""

    error: RefusedError


@dataclass(frozen=True, slots=True)
class HasEnded:
    """It has ended, with something left of the row."""

    applied: ExitApplied


Heard = IsPlanned | IsNotPlanned | IsWithheld | IsRefused | HasEnded


def is_needless(answer: Heard, live: str | None) -> bool:
    """Return whether a sell was to be sent again that the broker has had by now.

    Args:
        answer: What was heard.
        live: The id of the sell that has no end yet.
    """
    match answer:
        case IsNotPlanned("closing"):
            return live is not None
        case IsNotPlanned("over", exit_id):
            return exit_id != live
        case _:
            return False


class Answers:
    """What was heard and is not followed yet, the oldest first."""

    def __init__(self) -> None:
        self._heard: list[Heard] = []  # hardly ever more than one
        self._more: trio.Event | None = None  # where somebody waits

    def put(self, answer: Heard) -> None:
        """Add one, and wake who waits for it."""
        self._heard.append(answer)
        if self._more is not None:
            self._more.set()

    async def next(self) -> Heard:
        """Take the oldest, or wait for one."""
        while not self._heard:
            self._more = trio.Event()
            await self._more.wait()
        return self._heard.pop(0)

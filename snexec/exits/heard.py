"""What a position's way to closed hears of its sells, in the order in which it came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snexec.errors import RefusedError
    from snexec.ledger import ExitApplied, NewExit
    from snexec.orders import NotPlanned, Withheld


@dataclass(frozen=True, slots=True)
class IsPlanned:
    """A sell is durable, and waits for the market."""


@dataclass(frozen=True, slots=True)
class IsNotPlanned:
    """There is no sell."""

    why: NotPlanned


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

"""What happens to an order after its acceptance, as a list of timed steps."""

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from snexec.exchange.settings import Behaviour, ExchangeSettings
from snexec.exchange.statuses import EndStatus, RestingStatus

Deed = Literal["execute"] | EndStatus | RestingStatus


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One thing that happens to an order.

    Attributes:
        after_sec: Seconds since the step before.
        deed: What happens.
        share: The part of the order that is executed, 0 to 1; None is the rest.
    """

    after_sec: float
    deed: Deed
    share: Decimal | None = None


def plan(
    behaviour: Behaviour, settings: ExchangeSettings, rng: random.Random
) -> list[Step]:
    """Return an order's life from acceptance to its end, if it has one."""
    delay = behaviour.fill_delay_sec
    if delay is None:
        delay = settings.fill_delay_sec
    if behaviour.reject:
        return [Step(after_sec=delay, deed="rejected")]
    steps = [
        Step(after_sec=delay, deed="execute", share=share)
        for share in _shares(behaviour, settings, rng)
    ]
    match behaviour.end_status:
        case "filled":
            steps.append(Step(after_sec=delay, deed="execute"))
        case "never":
            pass
        case status:
            steps.append(Step(after_sec=delay, deed=status))
    return steps


def _shares(
    behaviour: Behaviour, settings: ExchangeSettings, rng: random.Random
) -> list[Decimal]:
    parts = behaviour.partial_fills
    if parts:
        return [Decimal(1) / (parts + 1)] * parts
    by_chance = behaviour.end_status == "filled"
    if by_chance and rng.random() < settings.partial_fill_ratio:
        return [Decimal(rng.randint(10, 90)) / 100]
    return []

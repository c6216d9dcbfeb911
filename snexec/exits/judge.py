"""Asks the rules, in their order, by what confirms them (SPEC 12.3, 12.4)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from snexec.exits.rules import RULES, Figures, Trigger, show_price

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from snexec.exits.known_prices import Confirmation, KnownPrices
    from snexec.exits.position import Position
    from snexec.exits.rules import Moment, Rule
    from snexec.settings import ExitSettings


def first_trigger(
    position: Position, prices: KnownPrices, moment: Moment, settings: ExitSettings
) -> Trigger | None:
    """Return the first rule that is true and confirmed, None if none is."""
    price = usable_price(position, prices, moment, settings)
    for rule in RULES:
        if rule.when is not None:
            text = rule.when(position, moment, settings)
            if text is not None:
                return Trigger(rule.reason, None, "clock", text)
            continue
        level = None if price is None else rule.level_now(position, settings)
        if price is None or level is None:
            continue
        reached = rule.reached(level)
        found = (
            _confirmed(reached, prices, moment, settings) if reached(price) else None
        )
        if found is not None:
            by = Figures(price, level, position.entry_price, position.high_price)
            says = partial(_say, rule, by, prices.name(found))
            return Trigger(rule.reason, price, prices.source or "", says)
    return None


def is_reached(position: Position, price: Decimal, settings: ExitSettings) -> bool:
    """Return whether a price is at any rule's level or beyond; nearly none is.

    A bid may then confirm it. That raises the highest price to no more than this one, so
    that none is reached by it that was not.
    """
    for rule in RULES:
        level = rule.level_now(position, settings)
        if level is not None and rule.reached(level)(price):
            return True
    return False


def still_holds(
    reason: str,
    position: Position,
    prices: KnownPrices,
    moment: Moment,
    settings: ExitSettings,
) -> bool | None:
    """Ask the rule of a reason anew; None while it cannot be asked (SPEC 12.5).

    What is no rule's reason holds: ``close`` is not asked twice.
    """
    rule = next((each for each in RULES if each.reason == reason), None)
    if rule is None:
        return True
    if getattr(settings, rule.key) is None or not settings.enabled:
        return False
    if rule.when is not None:
        return rule.when(position, moment, settings) is not None
    price = usable_price(position, prices, moment, settings)
    if price is None or not prices.can_confirm(moment.now, settings):
        return None
    level = rule.level_now(position, settings)
    if level is None:
        return False
    return _confirmed(rule.reached(level), prices, moment, settings) is not None


def usable_price(
    position: Position, prices: KnownPrices, moment: Moment, settings: ExitSettings
) -> Decimal | None:
    """Return the price that the rules may go by; None while none counts."""
    if not moment.is_open or position.rests is not None:
        return None
    return prices.last if prices.is_fresh(moment.now, settings) else None


def _confirmed(
    reached: Callable[[Decimal], bool],
    prices: KnownPrices,
    moment: Moment,
    settings: ExitSettings,
) -> Confirmation | None:
    """Return what confirms that a level is reached; None if nothing does."""
    for each in prices.confirmations(moment.now, settings):
        if all(map(reached, each.prices)):
            return each
    return None


def _say(rule: Rule, figures: Figures, confirmed_by: str) -> str:
    assert rule.words is not None  # noqa: S101 - a rule of the price
    return f"{rule.words(figures)}, {confirmed_by}"


class Explained(NamedTuple):
    """One rule as it stands for a position.

    Attributes:
        name: The reason that it gives.
        is_on: Whether its key is set.
        threshold: At which price or time it is true, in words; empty if it is off.
        distance: How far that is, in words; empty where it is not known.
    """

    name: str
    is_on: bool
    threshold: str = ""
    distance: str = ""


def explain(
    position: Position, prices: KnownPrices, moment: Moment, settings: ExitSettings
) -> list[Explained]:
    """Return every rule with its figures, in the order in which they are asked."""
    last = prices.last
    return [
        _explained(rule, position, last, moment, settings)
        if settings.enabled and getattr(settings, rule.key) is not None
        else Explained(rule.reason, is_on=False)
        for rule in RULES
    ]


def _explained(
    rule: Rule,
    position: Position,
    last: Decimal | None,
    moment: Moment,
    settings: ExitSettings,
) -> Explained:
    if rule.level is None:
        return Explained(
            rule.reason, True, *_time_left(rule, position, moment, settings)
        )
    level = rule.level(position, settings)
    if level is None:
        waits = "the entry price is not known"
        if position.entry_price is not None:
            start = position.entry_price * (1 + settings.trailing_start_pct / 100)
            waits = f"starts once {show_price(start)} was seen"
        return Explained(rule.reason, True, waits)
    if rule.reason == "stop_loss" and position.stop_at_broker:
        return Explained(rule.reason, True, "a stop at the broker stands for it")
    distance = ""
    if last:
        distance = f"{(level / last - 1) * 100:+.1f} % from {show_price(last)}"
    return Explained(rule.reason, True, show_price(level), distance)


def _time_left(
    rule: Rule, position: Position, moment: Moment, settings: ExitSettings
) -> tuple[str, str]:
    if rule.reason == "max_hold":
        most = settings.max_hold_duration_sec or 0.0
        left = position.held_since + most - moment.now
        return f"held for {most:.0f} s", f"in {max(0.0, left):.0f} s"
    before = settings.flatten_before_close_sec or 0.0
    text = f"{before:.0f} s before the close"
    if rule.when is not None and rule.when(position, moment, settings) is not None:
        return text, "in 0 s"
    if moment.closes_in is None:
        return text, ""
    return text, f"in {moment.closes_in - before:.0f} s"

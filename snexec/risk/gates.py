"""The gates in their order: what keeps a signal from becoming an order.

A gate is a pure function over a signal, ``[bot]`` and a snapshot of what counts; it
returns the reason for which it stops the signal, or None. ``GATES`` is their order, and
the first one that stops a signal gives the reason.

To add a gate: a key in ``BotSettings``, its word in ``limits.Reason``, a function with
its ``Gate`` in ``early.py``, a line in ``GATES``, a case in ``tests/risk/cases.py``. What
it looks at in a signal is a field of ``snexec.signals.Signal``.

One that counts has its function in ``counted.py``, its word in ``COUNTED_REASONS`` as
well, and says in ``needs`` what has to be counted for it; ``snexec.ledger.counting``
counts that, and ``Counts`` carries it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from snexec.model import to_cents
from snexec.risk import counted, early
from snexec.risk.limits import Gate, Limits, Needs, always_set, first_reason
from snexec.signals import star_rating

if TYPE_CHECKING:
    from collections.abc import Iterable

    from snexec.risk.limits import Check, Reason, Snapshot
    from snexec.settings import BotSettings
    from snexec.signals import Signal

GATES: tuple[Gate, ...] = (
    early.HALT,
    early.ENABLED,
    early.STATE,
    early.KEYS,
    early.TIER,
    early.STARS,
    early.SYMBOL,
    early.SHARE_PRICE,
    early.FLOAT_SHARES,
    early.RELATIVE_VOLUME,
    early.MARKET,
    early.FLATTENING,
    counted.POSITIONS,
    counted.DAILY_LOSS,
    counted.WIN_RATE,
    counted.COOLDOWN,
    counted.PER_MINUTE,
    counted.PER_DAY,
    counted.NOTIONAL,
)
EARLY = tuple(gate for gate in GATES if not gate.counts)
COUNTED = tuple(gate for gate in GATES if gate.counts)


class ActiveGates:
    """The gates that are set, chosen anew whenever ``[bot]`` is another object."""

    def __init__(self) -> None:
        self._bot: BotSettings | None = None
        self._early: tuple[Check, ...] = ()
        self._counted: tuple[Check, ...] = ()
        self._needs = Needs()

    def stopped_early(
        self, signal: Signal, bot: BotSettings, snapshot: Snapshot
    ) -> Reason | None:
        """Return the reason of the first gate without a count that stops a signal."""
        if bot is not self._bot:
            self._choose(bot)
        return first_reason(self._early, signal, bot, snapshot)

    def limits(self, signal: Signal, bot: BotSettings) -> Limits | None:
        """Return what the writer has to count for, None where no such limit is set."""
        if bot is not self._bot:
            self._choose(bot)
        if not self._counted:
            return None
        return Limits(signal, bot, self._counted, self._needs)

    def _choose(self, bot: BotSettings) -> None:
        self._bot = bot
        self._early = tuple(gate.check for gate in EARLY if gate.is_set(bot))
        counted = [gate for gate in COUNTED if gate.is_set(bot)]
        self._counted = tuple(gate.check for gate in counted)
        self._needs = _all_needs(counted)


def counts_orders(bot: BotSettings) -> bool:
    """Return whether a brake is set: a limit on how often and how much is ordered."""
    return _all_needs(gate for gate in COUNTED if gate.is_set(bot)).orders


def limits_set(bot: BotSettings) -> list[str]:
    """Return the limits that are set, by name and value, for a person."""
    found = []
    for gate in GATES:
        if gate.is_set is not always_set:
            found += [_named(name, bot) for name in gate.name.split(", ")]
    found.append(_named("halt_after_refusals", bot))
    return [text for text in found if text]


def is_unlimited(bot: BotSettings) -> bool:
    """Return whether nothing limits how much is held, lost or ordered."""
    return all(
        getattr(bot, name) is None
        for name in (
            "max_concurrent_positions",
            "daily_loss_limit_usd",
            "max_orders_per_day",
            "max_notional_per_day_usd",
        )
    )


def unlimited_words() -> str:
    """Return what is missing where nothing is limited, for a person."""
    return (
        "no limit on positions, loss, orders or dollars a day is set: nothing bounds what"
        " signals buy"
    )


def order_dollars(signal: Signal, bot: BotSettings) -> Decimal | None:
    """Return what an order would be worth in dollars; None is no trade."""
    stars = star_rating(signal.catalyst_tier, signal.ai_confidence)
    return None if stars is None else to_cents(bot.dollars(stars))


def _all_needs(gates: Iterable[Gate]) -> Needs:
    """Return what has to be counted for any of some gates."""
    needs = [gate.needs for gate in gates]
    return Needs(
        positions=any(each.positions for each in needs),
        results=any(each.results for each in needs),
        orders=any(each.orders for each in needs),
    )


def _named(name: str, bot: BotSettings) -> str:
    value = getattr(bot, name)
    if value is None or value is False:
        return ""
    if isinstance(value, frozenset):
        return f"{name} {len(value)}"
    if isinstance(value, float | Decimal):
        return f"{name} {float(value):,.15g}"
    return name if value is True else f"{name} {value}"

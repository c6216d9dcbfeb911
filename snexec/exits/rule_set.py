"""The rules as they are kept in the database, and which of two is stricter (SPEC 12.3)."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snexec.settings import ExitSettings

_PERCENT = (
    "hard_stop_loss_pct",
    "profit_target_pct",
    "trailing_stop_pct",
    "trailing_start_pct",
)
_SECONDS = ("max_hold_duration_sec", "flatten_before_close_sec")
_LONGER_IS_STRICTER = {"flatten_before_close_sec"}

Values = dict[str, Decimal | None]


class RuleSet(NamedTuple):
    """The keys of the rules, with their values.

    Attributes:
        values: None of a rule that is off.
        flatten_since: Since when shares are to be sold before each close, in seconds since
            1970; None if they are not.
    """

    values: Mapping[str, Decimal | None]
    flatten_since: float | None = None

    def within(self, settings: ExitSettings) -> ExitSettings:
        """Return settings with these rules in the place of their own."""
        update: dict[str, Decimal | float | None] = dict(self.values)
        for key in _SECONDS:
            seconds = self.values[key]
            update[key] = None if seconds is None else float(seconds)
        return settings.model_copy(update=update)

    def text(self) -> str:
        """Return it as the database keeps it."""
        values = {k: None if v is None else str(v) for k, v in self.values.items()}
        return json.dumps({"rules": values, "flattenSince": self.flatten_since})


NO_RULES = RuleSet(
    dict.fromkeys((*_PERCENT, *_SECONDS), None) | {"trailing_start_pct": Decimal(0)}
)


def rules_of(settings: ExitSettings, before: RuleSet, wall: float) -> RuleSet:
    """Return the rules of some settings; none are on while they are not enabled.

    Args:
        settings: As they are now.
        before: The rules until now, which know since when shares are flattened.
        wall: Seconds since 1970.
    """
    if not settings.enabled:
        return NO_RULES
    values: Values = {key: getattr(settings, key) for key in _PERCENT}
    for key in _SECONDS:
        seconds = getattr(settings, key)
        values[key] = None if seconds is None else Decimal(repr(seconds))
    since = before.flatten_since if before.flatten_since is not None else wall
    flattens = settings.flatten_before_close_sec is not None
    return RuleSet(values, since if flattens else None)


def read_rules(text: str | None) -> RuleSet | None:
    """Return the rules that were applied last; None if none are known."""
    try:
        found = json.loads(text or "null")
        values: Values = {
            key: None if value is None else Decimal(value)
            for key, value in found["rules"].items()
        }
        since = found["flattenSince"]
    except (ValueError, TypeError, KeyError, AttributeError, InvalidOperation):
        return None
    if values.keys() != NO_RULES.values.keys() or values["trailing_start_pct"] is None:
        return None
    return RuleSet(values, since if isinstance(since, int | float) else None)


def is_stricter(old: RuleSet, new: RuleSet) -> bool:
    """Return whether the new rules may sell what the old ones did not."""
    return any(_is_stricter(key, old, new) for key in new.values)


def laxer(old: RuleSet, new: RuleSet) -> RuleSet:
    """Return of each rule the laxer form."""
    values = {
        key: old.values[key] if _is_stricter(key, old, new) else value
        for key, value in new.values.items()
    }
    keeps = old.flatten_since is not None and new.flatten_since is not None
    return RuleSet(values, old.flatten_since if keeps else None)


def _is_stricter(key: str, old: RuleSet, new: RuleSet) -> bool:
    before, after = old.values[key], new.values[key]
    if after is None:
        return False
    if before is None:
        return True
    if key == "trailing_start_pct" and new.values["trailing_stop_pct"] is None:
        return False
    return after > before if key in _LONGER_IS_STRICTER else after < before

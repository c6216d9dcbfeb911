"""What a second reading of the file changes, and what it may not change (SPEC 2, 11).

A file that is cut short still parses. So no limit gets looser because a key is missing:
what is loosened must be said outright. Only a rule of ``[exits]`` is off without its key.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from pydantic import BaseModel
from pydantic_core import to_json

from snexec.settings.exits import ExitSettings
from snexec.settings.sections import Settings
from snexec.settings.values import Section

_RELOADABLE = (
    "mode",
    "bot.",
    "exits.",
    "alpaca.paper_url",
    "alpaca.live_url",
    "alpaca.api_key",
    "alpaca.api_secret",
)
_WITH_LIMITS = ("bot.", "exits.")
_NUMBER = (int, float, Decimal)
_SECRETS = {
    *("alpaca.api_key", "alpaca.api_secret", "notify.webhook", "notify.command"),
    *("redis.url", "http.tokens"),
}
_SHOWN_VALUE_CHARS = 1000
_EXITS_SAY_OUTRIGHT = {"enabled", "data_url", "data_stream_url"}
_WITHOUT_EXITS = ExitSettings(enabled=False)  # what a file without the section means
# Limits that a shorter number loosens; any other is stricter for it.
# The last two trades may have won, where the last twenty lost.
_LEAST = {
    "bot.min_relative_volume",
    "bot.min_win_rate",
    "bot.min_win_rate_trades",
    "bot.symbol_cooldown_sec",
}


class Change(NamedTuple):
    """A key that differs, with its values as the file would say them."""

    name: str
    before: str
    after: str


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """Name the keys whose values differ, as ``section.key``."""
    names: list[str] = []
    for name in Settings.model_fields:
        before, after = _section(old, name), _section(new, name)
        if isinstance(before, Section) and isinstance(after, Section):
            names += [f"{name}.{key}" for key in _differing(before, after)]
        elif before != after:
            names.append(name)
    return names


def reloadable(name: str) -> bool:
    """Return whether a key of ``changed_keys`` needs no restart (SPEC 11)."""
    return name.startswith(_RELOADABLE)


def with_reloaded(old: Settings, new: Settings) -> Settings:
    """Return the old settings with the new values of what needs no restart."""
    alpaca = old.alpaca.model_copy(
        update={
            key: getattr(new.alpaca, key)
            for key in ("paper_url", "live_url", "api_key", "api_secret")
        }
    )
    return old.model_copy(
        update={
            "mode": new.mode,
            "bot": new.bot,
            "exits": new.exits,
            "alpaca": alpaca,
        },
    )


def changes(old: Settings, new: Settings, names: list[str]) -> list[Change]:
    """Return the keys of ``changed_keys`` with their values; a secret's is ``***``."""
    found: list[Change] = []
    for name in names:
        before, after = _value(old, name), _value(new, name)
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            found += [
                _change(f"{name}.{key}", getattr(before, key), getattr(after, key))
                for key in _differing(before, after)
            ]
        else:
            found.append(_change(name, before, after))
    return found


def loosened_by_absence(old: Settings, new: Settings) -> list[str]:
    """Name what the new file lacks and would loosen, or move, by that.

    Returns:
        Each key as the file may say it outright, such as ``bot.enabled = true``.
    """
    return [
        _outright(name, _value(new, name))
        for name in changed_keys(old, new)
        if reloadable(name)
        and not _is_said(old, new, name)
        and _loosens(name, _value(old, name), _value(new, name))
    ]


def is_loosened_by_cut(old: Settings, new: Settings, name: str) -> bool:
    """Return whether a number of fewer digits than was meant is a looser limit.

    Any shorter number of ``[exits]`` is: most would sell sooner.
    """
    if name not in _LEAST and not name.startswith("exits."):
        return False
    before, after = _value(old, name), _value(new, name)
    if not isinstance(before, _NUMBER) or not isinstance(after, _NUMBER):
        return False
    return after < before


def _differing(before: BaseModel, after: BaseModel) -> list[str]:
    return [
        key
        for key in type(before).model_fields
        if getattr(before, key) != getattr(after, key)
    ]


def _section(settings: Settings, name: str) -> object:
    if name == "exits" and settings.exits is None:
        return _WITHOUT_EXITS
    return getattr(settings, name)


def _value(settings: Settings, name: str) -> object:
    section, _, key = name.rpartition(".")
    return getattr(_section(settings, section) if section else settings, key, None)


def _is_said(old: Settings, new: Settings, name: str) -> bool:
    section, _, key = name.rpartition(".")
    if section == "exits":
        return _exit_may_differ(old, new, key)
    said = (getattr(new, section) if section else new).model_fields_set
    if key == "min_win_rate_trades":
        return key in said or "min_win_rate" in said
    return key in said


def _exit_may_differ(old: Settings, new: Settings, key: str) -> bool:
    """Return whether a key of ``[exits]`` may differ without a word about it.

    A rule without its key is off, and so are all without the section (SPEC 12.1). But
    none begins to sell by a word that is missing, and no keys go elsewhere.
    """
    if old.exits is None or new.exits is None or key not in _EXITS_SAY_OUTRIGHT:
        return True
    return key in new.exits.model_fields_set


def _loosens(name: str, before: object, default: object) -> bool:
    if name in _SECRETS:
        return False  # without keys nothing is ordered
    if name.startswith("exits."):
        return True
    if isinstance(before, Decimal) and isinstance(default, Decimal):
        return default > before  # a trade's size
    return before != frozenset()  # a list of nothing blocks nothing


def _outright(name: str, default: object) -> str:
    limits = name.startswith(_WITH_LIMITS) and (
        default is None or name == "bot.require_market_open"
    )
    return f'{name} = "off"' if limits else f"{name} = {_shown(name, default)}"


def _change(name: str, before: object, after: object) -> Change:
    return Change(name, _shown(name, before), _shown(name, after))


def _shown(name: str, value: object) -> str:
    if value is None:
        return "off" if name.startswith(_WITH_LIMITS) else "none"
    if name in _SECRETS:
        return "***"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, frozenset):
        value = sorted(value)
    shown = to_json(value).decode()
    if len(shown) > _SHOWN_VALUE_CHARS:
        return shown[:_SHOWN_VALUE_CHARS] + "…"
    return shown

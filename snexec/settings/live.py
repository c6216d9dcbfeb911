"""The settings in force, and what a SIGHUP may change of them (SPEC 2, 11)."""

from __future__ import annotations

from snexec.settings.sections import Section, Settings


def changed_keys(old: Settings, new: Settings) -> list[str]:
    """Name the keys whose values differ, as ``section.key``."""
    names: list[str] = []
    for name in Settings.model_fields:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, Section):
            names += [
                f"{name}.{key}"
                for key in type(before).model_fields
                if getattr(before, key) != getattr(after, key)
            ]
        elif before != after:
            names.append(name)
    return names


_RELOADABLE = (
    "mode",
    "bot.",
    "alpaca.paper_url",
    "alpaca.live_url",
    "alpaca.api_key",
    "alpaca.api_secret",
)


def reloadable(name: str) -> bool:
    """Tell whether a key named by ``changed_keys`` holds without a restart (SPEC 11)."""
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
        update={"mode": new.mode, "bot": new.bot, "alpaca": alpaca},
    )

"""Events about the lease in plain words, for notifications and for who follows (SPEC 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snexec.logs import printable

if TYPE_CHECKING:
    from collections.abc import Mapping


def lease_words(event: Mapping[str, Any]) -> str:
    """Return what an event about the lease says.

    Args:
        event: The fields of its JSON object.
    """
    name = _text(event.get("by"))
    if event.get("lease") == "active":
        return f"{name} has the lease: it is active from now on"
    if event.get("by") is not None:
        return f"{name} has the lease: this daemon stands by"
    loser, why = _text(event.get("host")), _text(event.get("reason"))
    return f"{loser} has lost the lease ({why}): it stands by, and orders nothing"


def changes_hands(event: Mapping[str, Any]) -> bool:
    """Return whether this daemon has taken the lease or lost it."""
    return event.get("lease") == "active" or event.get("by") is None


def _text(value: object) -> str:
    return "no reason was given" if value is None else printable(str(value))

"""Whether the daemon can do its work: confirm fills, and write them to its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from snexec.intake import Phase
from snexec.logs import roughly

if TYPE_CHECKING:
    from snexec.exits import Exits
    from snexec.ops.wings import Wings

_BLOCKED_SECONDS = 300.0  # a row that the broker will not sell may be sold meanwhile


class Health:
    """Reports what is wrong, part by part.

    Args:
        wings: What it looks at.
        stream_grace_seconds: How long the stream may be away before that counts.
    """

    def __init__(self, wings: Wings, *, stream_grace_seconds: float) -> None:
        self._wings = wings
        self._grace = stream_grace_seconds

    def problems(self) -> dict[str, str]:
        """Return what is wrong, by part and without secrets; nothing if all is well."""
        wings = self._wings
        found: dict[str, str] = {}
        if wings.intake.status().phase is Phase.STARTING:
            found["recovery"] = "not every row is compared with the broker yet"
        away, state = self.stream_away_seconds(), wings.stream.status().state
        if state == "disabled":
            found["stream"] = "disabled: there is no key"
        elif away > self._grace:
            found["stream"] = f"{state}, away for {roughly(away)}"
        ledger = wings.ledger.status()
        if not ledger.healthy:
            waiting = ledger.pending
            why = wings.ledger.damage or "the database cannot be written"
            found["writer"] = (
                f"{why}, {waiting} {'change waits' if waiting == 1 else 'changes wait'}"
            )
        held = [each.unwritten for each in wings.reconciler.unsettled if each.unwritten]
        if held:
            found["rows"] = f"{len(held)} do not take what the broker says: {held[0]}"
        found |= _about_exits(wings.exits)
        return {part: wings.live.mask.apply(what) for part, what in found.items()}

    def stream_away_seconds(self) -> float:
        """Return for how long the stream has not been authorized; 0 while it is."""
        since = self._wings.stream.status().away_since
        return 0.0 if since is None else trio.current_time() - since


def _about_exits(exits: Exits) -> dict[str, str]:
    """Return what keeps positions from being sold: at once if blind, else in a while."""
    status, found = exits.status(), {}
    if status.blind:
        rows = "1 row is" if status.watched == 1 else f"{status.watched} rows are"
        found["prices"] = f"none counts, so {rows} not sold by price; time rules go on"
    blocked = [each for each in exits.positions() if each.blocked_since is not None]
    if not blocked:
        return found
    seconds = trio.current_time() - min(each.blocked_since or 0.0 for each in blocked)
    if seconds >= _BLOCKED_SECONDS:
        is_one = len(blocked) == 1
        rows = (
            "1 row cannot be sold, for"
            if is_one
            else f"{len(blocked)} rows cannot be sold, the first for"
        )
        found["exits"] = f"{rows} {roughly(seconds)}: see snexec positions"
    return found

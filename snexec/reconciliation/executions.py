"""Which executions the stream has said, as it may say one twice (SPEC 7)."""

from __future__ import annotations

import logging

from snexec.recent import Recent

log = logging.getLogger("TradeExecutor")

_REMEMBERED = 2048  # duplicates come within seconds of the original


class Executions:
    """Remembers the latest of them."""

    def __init__(self) -> None:
        self._seen: Recent[tuple[str, ...]] = Recent(_REMEMBERED)

    def is_repeated(
        self, event: str, mode: str, order_id: str, execution_id: str | None
    ) -> bool:
        """Return whether this one was taken before, and remember it."""
        if execution_id is None:
            return False
        # With the event and the order, so that no slip of the broker's hides a fill.
        key = (event, mode, order_id, execution_id)
        if key in self._seen:
            log.debug("%s of order %s came again: passed over", event, order_id)
            return True
        self._seen.add(key)
        return False

"""What a position's way to closed has met so far, and what follows from it (SPEC 12.5)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from snexec.exits.tries import Past, after_end, after_refusal, read_refusal
from snexec.orders import Sell

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.errors import RefusedError
    from snexec.exits.means import Means
    from snexec.exits.position import Position
    from snexec.exits.rules import Trigger
    from snexec.exits.tries import Next
    from snexec.ledger import ExitApplied

log = logging.getLogger("PositionMonitor")


class History:
    """Counts refusals and ends in a row, and asks the table.

    Args:
        means: How patient to be.
        position: What is sold.

    Attributes:
        says_intent: Whether sells say that they close.
        asks_for_all: Whether what the position was read as is not so.
        free: How much the broker said to be free, in refusing.
        held: The whole position as it spelled it, where all of that was free.
        buy_was_canceled: Whether the row's buy was in the way before.
        blocked_by: Why it cannot be sold now, in the broker's words, if it cannot.
    """

    def __init__(self, means: Means, position: Position) -> None:
        self._means = means
        self._position = position
        self._refusals = self._lags = self._ends = 0
        self.says_intent = True
        self.asks_for_all = False
        self.free: Decimal | None = None
        self.held: str | None = None
        self.buy_was_canceled = False
        self.blocked_by: str | None = None

    def sell(self, trigger: Trigger, exit_id: str | None) -> Sell:
        """Return the next sell of what is left.

        Args:
            trigger: Why it is sold.
            exit_id: Of the sell that is planned already, if one is.
        """
        position = self._position
        held, free = position.held, position.free
        if self.asks_for_all:
            held = free = None
        return Sell(
            row_id=position.row_id,
            symbol=position.symbol,
            mode=position.mode,
            reason=trigger.reason,
            trigger_price=trigger.price,
            trigger_source=trigger.source,
            held=held if self.held is None else self.held,
            free=free if self.free is None else self.free,
            exit_id=exit_id,
            leaves=not position.waits,
            says_intent=self.says_intent,
        )

    def refused(self, error: RefusedError) -> Next:
        """Return what follows a refusal."""
        position, retry_max = self._position, self._means.settings.retry_max_sec
        self._refusals += 1
        past = Past(
            refusals=self._refusals,
            lags=self._lags,
            since_bought=trio.current_time() - position.bought_at,
            buy_order_id=None if self.buy_was_canceled else position.order_id,
            took_free=self.free is not None,
        )
        refused = read_refusal(error)
        following = after_refusal(refused, past, retry_max=retry_max)
        if refused.kind == "intent_field":
            log.error(
                "%s: the broker does not take the field position_intent (%s): sells go"
                " without it, and a double one would not be refused",
                position.symbol,
                error.reason,
            )
        self.says_intent = self.says_intent and following.says_intent
        self._lags += following.is_lag
        self.asks_for_all = True  # the last reading of the position may be the cause
        self.free, self.held = following.free, following.held
        waits = following.is_blocked or following.after > 0
        self.blocked_by = error.reason if waits else None
        return following

    def ended(self, applied: ExitApplied) -> Next:
        """Return what follows a sell that has ended with something left."""
        has_sold = bool(applied.sold)
        self._refusals = self._lags = 0
        self.free = self.held = None
        self._ends = 0 if has_sold else self._ends + 1
        retry_max = self._means.settings.retry_max_sec
        following = after_end(self._ends, has_sold=has_sold, retry_max=retry_max)
        if following.is_blocked:
            self.blocked_by = f"its sell was {applied.outcome}"
        return following

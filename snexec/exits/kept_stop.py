"""One row's stop at the broker: how it rests, and what its refusals come to (SPEC 12.6)."""

from __future__ import annotations

import logging
import math
from decimal import Decimal
from typing import TYPE_CHECKING

import trio

from snexec.exits.history import History
from snexec.exits.stops import Stop, shares_of
from snexec.exits.tries import MOST_TRIES_A_SESSION, pause_after
from snexec.orders import Sell

if TYPE_CHECKING:
    from snexec.broker import BrokerOrder
    from snexec.errors import BrokerError, RefusedError
    from snexec.exits.means import Means
    from snexec.exits.position import Position
    from snexec.ledger import ExitApplied, NewExit
    from snexec.orders import NotPlanned, Withheld

log = logging.getLogger("PositionMonitor")

_UNKNOWN = Decimal(0)
_AGAIN_SECONDS = 1.0  # after what lasts for a moment only
_STEADY_SECONDS = 60.0  # one that rested as long ended for a reason of its own
_REMIND_SECONDS = 3600.0


class KeptStop:
    """A row's stop, while it rests and between two of them; listens to it.

    Args:
        means: What all ways to closed share.
        position: The row.

    Attributes:
        exit_id: Of the stop without an end; None if there is none.
        resting: It, as far as that is known.
        rests_since: When the broker took it, on Trio's clock.
        is_in_flight: Whether it is not answered yet.
        is_canceling: Whether it is being taken back.
        due: Before this, on Trio's clock, none is placed.
    """

    def __init__(self, means: Means, position: Position) -> None:
        self.position = position
        self.exit_id: str | None = None
        self.resting: Stop | None = None
        self.rests_since = -math.inf
        self.is_in_flight = False
        self.is_canceling = False
        self.due = -math.inf
        self._means = means
        self._history = History(means, position)
        self._failures = 0  # in a row
        self._told_at = -math.inf

    @property
    def rested(self) -> float:
        """For how many seconds it has rested."""
        return trio.current_time() - self.rests_since

    @property
    def may_be_placed(self) -> bool:
        """Whether one may be placed now, after what became of those before."""
        if trio.current_time() < self.due:
            return False
        return self._means.tries.may_stop(self.position.row_id)

    def know(self, exit_id: str, stop: Stop, *, is_in_flight: bool) -> None:
        """Take over a stop of an earlier run."""
        self.exit_id, self.resting, self.is_in_flight = exit_id, stop, is_in_flight
        if is_in_flight:
            self._means.orders.listen(exit_id, self)

    def place(self, stop: Stop) -> None:
        """Have it rest, once it is durable."""
        position = self.position
        self.is_in_flight = True
        self._means.orders.sell(
            Sell(
                row_id=position.row_id,
                symbol=position.symbol,
                mode=position.mode,
                reason=stop.reason,
                trigger_price=stop.price,
                trigger_source="broker_stop",
                says_intent=self._history.says_intent,
                kind="stop",
            ),
            self,
        )

    async def take_back(self) -> None:
        """Cancel it, and wait for the broker's last word on it."""
        self.is_canceling, exit_id = True, self.exit_id
        try:
            if exit_id is not None:
                await self._means.way.take_back_stop(self.position, exit_id)
        finally:
            self.is_canceling = False
        if self.exit_id == exit_id:
            self.exit_id = self.resting = None  # its last word was heard elsewhere

    def heard(self, applied: ExitApplied) -> None:
        """Take what the broker's word did to a stop of this row."""
        if not applied.settled:
            left = shares_of(applied.quantity - applied.sold)
            known = self.resting if self.exit_id == applied.id else None
            # One that was found at the broker: what it rests at is not known.
            known = known or Stop(_UNKNOWN, left)
            self.exit_id, self.is_in_flight = applied.id, False
            self.resting = known._replace(quantity=left)
            return
        if applied.id != self.exit_id:
            return
        self.exit_id, self.resting, self.is_in_flight = None, None, False
        by_others = self.position.state == "watched" and not self.is_canceling
        if by_others and applied.outcome in {"canceled", "expired", "rejected"}:
            self._ended(applied)

    # As the listener of its stop.

    def planned(self, new: NewExit) -> None:
        """Note it: nothing else of the row is sold before it has an end."""
        self.exit_id = self.position.live_exit = new.id
        # In a moment it works: what the rule would begin now, that would only delay.
        self.position.stop_at_broker = True
        self.rests_since = trio.current_time()
        self.resting = Stop(new.trigger_price or _UNKNOWN, new.quantity)

    def not_planned(self, why: NotPlanned, exit_id: str | None) -> None:
        """Try again soon; whoever sells the row goes first."""
        if exit_id is not None and why in {"halted", "not_written"}:
            return  # it is sent again later
        self.is_in_flight = False
        self.due = trio.current_time() + _AGAIN_SECONDS

    def placed(self, _new: NewExit, _order: BrokerOrder) -> None:
        """Note that it rests."""
        self.is_in_flight = False
        self.rests_since = trio.current_time()
        if self._told_at > -math.inf:
            log.info(
                "%s trade=%s has a stop at the broker again",
                *(self.position.symbol, self.position.row_id),
            )
        self._told_at = -math.inf

    def unbooked(self, _new: NewExit, _order: BrokerOrder) -> None:
        """Place none: it would rest beside the one that the broker has."""

    def refused(self, _new: NewExit, error: RefusedError) -> None:
        """Try again by the table of refused sells; the monitor's own rule goes on."""
        self.is_in_flight = False
        following = self._history.refused(error)
        if following.looks_outside:
            self._means.look_outside(self.position.mode)
        self._failed(error.reason, is_said=not following.is_lag)

    def unknown(self, _new: NewExit, _error: BrokerError) -> None:
        """Wait: reconciliation asks, and sends it again; the rule goes on meanwhile."""
        self.position.stop_at_broker = False

    def withheld(self, new: NewExit, _why: Withheld) -> None:
        """Try again soon; the rule goes on meanwhile."""
        if new.is_resumed:
            return  # it is sent again later
        self.is_in_flight = self.position.stop_at_broker = False
        self.due = trio.current_time() + _AGAIN_SECONDS

    def _ended(self, applied: ExitApplied) -> None:
        """Place another: at once after a session, ever later if each of them ends."""
        has_to_wait = self._means.market.has_to_wait(self.position)
        if applied.outcome != "rejected" and (
            self.rested >= _STEADY_SECONDS
            or (applied.outcome == "expired" and has_to_wait)
        ):
            self._failures = 0
            return
        self._failed(f"it was {applied.outcome}", is_said=True)

    def _failed(self, why: str, *, is_said: bool) -> None:
        position, now = self.position, trio.current_time()
        self._means.tries.add_failed_stop(position.row_id)
        self._failures += 1
        pause = pause_after(self._failures, self._means.settings.retry_max_sec)
        self.due = now + pause
        if not is_said or now - self._told_at < _REMIND_SECONDS:
            return
        self._told_at = now
        tries = self._means.tries.failed_stops(position.row_id)
        following = f"the next try comes in {pause:g} s"
        if tries >= MOST_TRIES_A_SESSION:
            following = "no more tries in this session, the next one is tomorrow's"
        log.warning(
            "%s trade=%s has no stop at the broker: %s; its rules are watched here"
            " alone, and nothing does while the daemon does not run; %s (%d of %d in"
            " this session)",
            *(position.symbol, position.row_id, why, following),
            *(tries, MOST_TRIES_A_SESSION),
        )

"""One position's way to closed: what is in its way, each sell, each try (SPEC 12.5)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from snexec.exits.blocked import BlockedAlarm
from snexec.exits.heard import (
    ENDS,
    Answers,
    HasEnded,
    Heard,
    IsNotPlanned,
    IsPlanned,
    IsRefused,
    IsWithheld,
    is_needless,
)
from snexec.exits.history import History
from snexec.exits.tries import Next
from snexec.ledger import kind_of_exit

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker import BrokerOrder
    from snexec.errors import BrokerError, RefusedError
    from snexec.exits.heard import Result
    from snexec.exits.means import Means
    from snexec.exits.position import Position
    from snexec.exits.rules import Trigger
    from snexec.ledger import ExitApplied, NewExit
    from snexec.orders import NotPlanned, Withheld

log = logging.getLogger("PositionMonitor")

_NEXT_DAY_LOOK_SECONDS = 30.0
_AGAIN_SECONDS = 1.0  # after what lasts for a moment only
_NO_MORE_TRIES = "no more tries in this session, the next one is tomorrow's"
_WRITE_AGAIN = ("changed", "closing")
_KEPT_BACK = ("halted", "not_written")


class Closing:
    """Sells a position until nothing is left of it; listens to its sells.

    It has a task only once there is something to wait for: a sell that leaves at once and
    is filled needs none.

    Args:
        means: What all ways share.
        position: What is sold; it is the rules' again when the way has ended.
        trigger: Why.
        start: Called once ``run`` is to be called, in a task.
        ended: Called when the way has ended.

    Attributes:
        durable: Set once a sell is durable, or it is certain that there is none yet.
        result: How it ended; None before.
        exit_id: Of its sell that is durable and has no end yet, if there is one.
        is_resumed: Whether its sell never reached the broker, and is asked about anew.
        unasked_since: Since when its rule cannot be asked, on Trio's clock; None if it can.
    """

    def __init__(
        self,
        means: Means,
        position: Position,
        trigger: Trigger,
        *,
        start: Callable[[Closing], None],
        ended: Callable[[Closing], None],
    ) -> None:
        self.position = position
        self.trigger = trigger
        self.durable = trio.Event()
        self.result: Result | None = None
        self._means = means
        self._start_task = start
        self._tell_ended = ended
        self._scope: trio.CancelScope | None = None  # of its task
        self._answers = Answers()
        self._is_handed_in = False
        self.exit_id: str | None = None
        self.is_resumed = False
        self.unasked_since: float | None = None
        self._history = History(means, position)
        self._alarm = BlockedAlarm(means, position, trigger)

    @property
    def blocked_by(self) -> str | None:
        """Why it cannot be sold now, in the broker's words, if it cannot."""
        return self._history.blocked_by

    @property
    def blocked_since(self) -> float | None:
        """Since when it cannot be sold, on Trio's clock; None if it can."""
        return self._alarm.since

    def begin(self) -> None:
        """Sell in this step, if nothing is in the way."""
        self.position.state = "closing"
        is_clear = self.position.is_settled and self.position.live_exit is None
        if is_clear and self._means.tries.may_sell(self.position.row_id):
            self._hand_in()
        else:
            self._start()

    def resume(self, exit_id: str) -> None:
        """Listen to a sell that an earlier run has decided."""
        self.position.state = "closing"
        self.exit_id, self.is_resumed, self._is_handed_in = exit_id, True, True
        self.durable.set()
        self._means.orders.listen(exit_id, self)
        self._start()

    async def run(self) -> None:
        """Go on until nothing is left, or the row is not to be sold any more."""
        assert self._scope is not None  # noqa: S101 - it has asked for its task
        try:
            with self._scope:
                result = await self._close()
                if result == "given_back" and self.trigger.reason == "manual":
                    await self._means.way.forget_close(self.position.row_id)
                self.result = self.result or result
        finally:
            self._end()

    def end(self, result: Result) -> None:
        """End the way: there is nothing more to sell of this row."""
        before, self.result = self.result, result
        if self._scope is None or before == "unbooked":
            self._end()
        else:
            self._scope.cancel(reason=f"the row is {result}")

    def _end(self) -> None:
        self.result = self.result or "stopped"  # with the daemon
        self.position.waits = False
        if self.result == "given_back":
            self.position.state = "watched"
        self._tell_ended(self)
        self.durable.set()

    def heard(self, applied: ExitApplied) -> None:
        """Take what a sell, ours or another's, did to the row."""
        if applied.closed or applied.row_status != "open":
            self.end("closed")
        elif applied.id == self.exit_id and applied.settled:
            # A refusal, and what was withheld, are heard of with their reason.
            is_withheld = applied.outcome == "dropped" and not self.is_resumed
            if applied.outcome != "refused" and not is_withheld:
                self._answer(HasEnded(applied))

    def is_wanted(self) -> bool | None:
        """Return whether what it was decided for still holds; None where that is open."""
        return self._means.still_holds(self.position.row_id, self.trigger.reason)

    # As the listener of its sells.

    def planned(self, new: NewExit) -> None:
        """Note it; while the market is closed it waits."""
        self.exit_id, self.is_resumed = new.id, False
        self._means.tries.add_sell(self.position.row_id)
        self.durable.set()
        if self.position.waits:
            log.info(
                "%s trade=%s: its market is closed; %s shares are sold (%s) when it opens",
                new.symbol,
                new.id,
                new.quantity,
                new.reason,
            )
            self._answer(IsPlanned())

    def not_planned(self, why: NotPlanned, exit_id: str | None) -> None:
        """Go on by why."""
        self._answer(IsNotPlanned(why, exit_id))

    def placed(self, _new: NewExit, _order: BrokerOrder) -> None:
        """Take it for no longer blocked: the broker has it."""
        self._history.blocked_by = None
        self._alarm.since = None
        self.position.state = "closing"

    def unbooked(self, _new: NewExit, order: BrokerOrder) -> None:
        """End: another sell might sell what the broker's order sells as well."""
        self._history.blocked_by = self._alarm.unbooked(order.id)
        self.end("unbooked")

    def refused(self, _new: NewExit, error: RefusedError) -> None:
        """Go on by the table."""
        self._answer(IsRefused(error))

    def unknown(self, _new: NewExit, _error: BrokerError) -> None:
        """Wait: reconciliation asks, and sends it again."""

    def withheld(self, new: NewExit, why: Withheld) -> None:
        """Go on by why."""
        self._answer(IsWithheld(new, why))

    # The way.

    async def _close(self) -> Result:
        if self.is_resumed:
            position = self.position
            await self._means.market.until_open(position, was_left=position.waits)
            position.waits = False
            self._means.way.ask(self.exit_id)
        elif not self._is_handed_in:
            await self._prepare(Next())
            self._hand_in()
        while True:
            answer = await self._answers.next()
            if is_needless(answer, self.exit_id):
                continue
            following = await self._follows(answer)
            if following is None:
                continue
            if not isinstance(following, Next):
                return following
            await self._prepare(following)
            if following.is_blocked and not self._means.is_set(self.trigger.reason):
                self._alarm.give_up()
                return "given_back"
            self._hand_in()

    async def _follows(self, answer: Heard) -> Next | Result | None:
        match answer:
            case IsPlanned():
                await self._means.market.until_open(self.position)
                return await self._at_open()
            case IsNotPlanned(why, _):
                return await self._not_planned(why)
            case IsWithheld(new, why):
                # What was planned before is planned still; what was new is dropped.
                self.exit_id = new.id if new.is_resumed else None
                return await self._not_planned(why)
            case IsRefused(error):
                self.exit_id = None
                self.position.state = "blocked"
                return self._history.refused(error)
            case HasEnded(applied):
                self.exit_id, self.position.waits = None, False
                if applied.outcome == "dropped":
                    return "given_back"
                return self._history.ended(applied)

    async def _at_open(self) -> Next | None:
        """Ask anew what a sell has waited for, as after a start; drop what does not hold."""
        if self.exit_id is None or self.is_wanted() is not False:
            return Next()
        self.is_resumed = True  # its end is heard of like that of any other
        await self._means.way.drop(self.position, self.exit_id)
        return None

    async def _not_planned(self, why: NotPlanned) -> Next | Result | None:
        if why in _KEPT_BACK:
            return await self._kept_back(why)
        if why == "over":
            self.exit_id, self.position.waits = None, False
            return Next()
        if why == "not_settled":
            was_canceled = self._history.buy_was_canceled
            return Next(_AGAIN_SECONDS if was_canceled else 0.0, cancels_buy=True)
        if why == "none_left" and not self._history.asks_for_all:
            self._history.asks_for_all = True
            return Next()
        if why in _WRITE_AGAIN:
            return Next(_AGAIN_SECONDS)
        return ENDS.get(why, "given_back")

    async def _kept_back(self, why: NotPlanned) -> Next | Result | None:
        """Wait until orders leave again; then the rule decides anew, if one did.

        What the broker is asked about is sent by that, once its rule was asked anew.
        """
        if why == "halted":
            if self.exit_id is None and self.trigger.reason == "manual":
                await self._means.way.note_close(self.position.row_id)
            self.durable.set()
        elif not self._means.way.follows(self.exit_id):
            return Next(_AGAIN_SECONDS)
        await self._means.wait_for_orders()
        if self._means.way.follows(self.exit_id):
            self._means.way.ask(self.exit_id)
            return None
        goes_on = self.exit_id is not None or self.trigger.reason == "manual"
        return Next() if goes_on else "given_back"

    async def _prepare(self, following: Next) -> None:
        """Wait as long as the next try is to wait, and clear its way."""
        if following.looks_outside:
            self._means.look_outside(self.position.mode)
        if following.is_blocked:
            await self._alarm.wait(self.blocked_by, following.after)
        else:
            await trio.sleep(following.after)
        await self._wait_for_session()
        if following.cancels_buy:
            self._history.buy_was_canceled = True
            await self._means.way.cancel_buy(self.position)
        await self._clear_way()
        if self.exit_id is not None:
            await self._means.market.until_open(self.position)

    async def _wait_for_session(self) -> None:
        """Wait for a session that has tries left, where another sell is needed."""
        while self.exit_id is None and not self._means.tries.may_sell(
            self.position.row_id
        ):
            self.durable.set()
            why = self.blocked_by or "its sells came to nothing"
            self._alarm.tell(why, _NO_MORE_TRIES)
            await trio.sleep(_NEXT_DAY_LOOK_SECONDS)

    async def _clear_way(self) -> None:
        """Cancel what works for this row, and wait for the broker's word on it."""
        position, way = self.position, self._means.way
        if not position.is_settled:
            await way.cancel_buy(position)
        live = position.live_exit
        if live is None or live == self.exit_id:
            return
        if kind_of_exit(live) == "stop":
            await self._means.wait_for_orders()
            await way.cancel_stop(position, live, self.trigger.reason)
        else:
            await way.sell_ended(live)

    def _hand_in(self) -> None:
        self._is_handed_in = True
        has_to_wait = self._means.market.has_to_wait(self.position)
        self.position.waits = has_to_wait and self.exit_id is None
        sell = self._history.sell(self.trigger, self.exit_id)
        self._means.orders.sell(sell, self)
        self._means.orders.flush()

    def _answer(self, answer: Heard) -> None:
        if self.result is None:
            self._answers.put(answer)
            self._start()

    def _start(self) -> None:
        if self._scope is None:
            self._scope = trio.CancelScope()
            self._start_task(self)

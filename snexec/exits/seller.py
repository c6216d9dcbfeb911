"""Whoever sells positions: one way to closed for each, and who hears of what (SPEC 12.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio

from snexec.exits.closing import Closing
from snexec.exits.rules import Trigger
from snexec.exits.unwanted import Unwanted
from snexec.ledger import kind_of_exit, row_of_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from snexec.exits.book import PositionBook
    from snexec.exits.means import Means
    from snexec.exits.position import Position
    from snexec.ledger import (
        Applied,
        ExitApplied,
        ExitReason,
        UnsettledExit,
        WatchedRow,
    )
    from snexec.reconciliation import Fate, Reconciler

_EARLIER = "an earlier run"


class Seller:
    """Closes positions; hears of fills once the book has.

    Args:
        means: What all ways share.
        reconciler: Asks which sells are still wanted.
        book: The positions; it drops a row that another program has ended.
    """

    def __init__(
        self, means: Means, reconciler: Reconciler, book: PositionBook
    ) -> None:
        self._means = means
        self._book = book
        self._closings: dict[str, Closing] = {}
        self._unwanted = Unwanted(means.way, reconciler.unsettled)
        self._nursery: trio.Nursery | None = None
        self._unstarted: list[Closing] = []  # that need a task
        reconciler.ask_reasons(self)

    async def run(self) -> None:
        """See every way to its end, until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._unwanted.run, name="unwanted sells")
                unstarted, self._unstarted = self._unstarted, []
                for closing in unstarted:
                    self._start(closing)
                await trio.sleep_forever()
        finally:
            self._nursery = None
            for closing in tuple(self._closings.values()):
                closing.end("stopped")

    def sell(self, position: Position, trigger: Trigger) -> None:
        """Begin to sell what is left of a position, as the monitor asks for it."""
        self.begin(position, trigger)

    def announce(self, say: Callable[[], None]) -> None:
        """Have something said once no more sells leave."""
        self._means.orders.announce(say)

    def begin(self, position: Position, trigger: Trigger) -> Closing:
        """Sell a position now, and return its way to closed.

        It leaves in this very step, if nothing is in the way and the disk is quick. A
        position that is being sold already has the one ``Closing`` that it has.
        """
        closing = self._closings.get(position.row_id)
        if closing is None:
            closing = self._add(position, trigger)
            closing.begin()
        elif trigger.reason == "manual":
            closing.trigger = trigger  # whatever its rule says, it is wanted
        return closing

    async def keep(self, closing: Closing) -> None:
        """Have a start go on with what was asked for by hand, before a sell is durable."""
        if closing.result == "unbooked":
            return  # it would be sold at the next start
        way, row_id = self._means.way, closing.position.row_id
        await way.note_close(row_id)
        if closing.result == "given_back":
            await way.forget_close(row_id)

    def load(self, exits: Iterable[UnsettledExit]) -> None:
        """Take over the sells that an earlier run left for rows that are closed."""
        self._unwanted.load(exits)

    def take_over(self, row: WatchedRow, position: Position) -> None:
        """Go on with what an earlier run has begun to sell of a row, if it has.

        That is a sell without an end, a stop that was to make room for one, or what an
        ended one has left.
        """
        live = row.live_exit
        if live is not None and live.kind == "sell":
            reason = cast("ExitReason", row.wanted or live.reason)
            source = live.trigger_source or _EARLIER
            why = Trigger(reason, live.trigger_price, source, _EARLIER)
            closing = self._add(position, why)
            closing.resume(live.id)
            return
        wanted = row.wanted if live is None else row.wanted or live.cancel_reason
        if wanted is not None:
            reason = cast("ExitReason", wanted)
            self.begin(position, Trigger(reason, None, _EARLIER, _EARLIER))

    def of_row(self, row_id: str) -> Closing | None:
        """Return a position's way to closed, if it is on it."""
        return self._closings.get(row_id)

    def has_to_wait(self, position: Position) -> bool:
        """Return whether a sell of it would wait for its market to open."""
        return self._means.market.has_to_wait(position)

    async def hours_known(self, position: Position) -> None:
        """Wait until the broker has said whether its market is open, or does not say."""
        await self._means.market.until_known(position)

    def ended(self, row_id: str) -> None:
        """End the way of a row that ended without a sell, as by ``settle``."""
        if (closing := self._closings.get(row_id)) is not None:
            closing.end("ended")

    # What reconciliation has reported.

    def bought(self, applied: Applied) -> None:
        """Go on where a row's buy has ended."""
        self._means.way.heard_of_buy(applied)

    def sold(self, applied: ExitApplied) -> None:
        """Pass it on to the row's way."""
        self._means.way.heard_of_sell(applied)
        self._unwanted.heard(applied)
        if (closing := self._closings.get(applied.row_id)) is not None:
            closing.heard(applied)
        if applied.closed:
            self._means.tries.forget(applied.row_id)

    # As reconciliation's reasons.

    def fate(self, exit_id: str) -> Fate:
        """Say what is to be done with a sell that never reached the broker (SPEC 12.5).

        What was asked for by hand is wanted; the rule of any other is asked anew. While
        the market is closed it waits: its own way sends it at the open. A rule that
        cannot be asked is waited for as long as one may be blind: there is no price of
        what is not held any more, and others' sales are not looked for until it has ended.
        A stop is not wanted once its row is being sold.
        """
        row_id = row_of_exit(exit_id) or ""
        closing = self._closings.get(row_id)
        if kind_of_exit(exit_id) == "stop":
            return "drop" if closing else self._means.fate_of_stop(exit_id)
        if closing is None:
            return "wait"  # nobody has taken the rows over yet
        is_wanted, now = closing.is_wanted(), trio.current_time()
        position = closing.position
        has_to_wait = self._means.market.has_to_wait(position, was_left=position.waits)
        if is_wanted is None and not has_to_wait:
            since = closing.unasked_since
            closing.unasked_since = since = now if since is None else since
            return "wait" if now - since < self._means.settings.blind_sec else "drop"
        closing.unasked_since = None
        if is_wanted is False:
            return "drop"
        return "wait" if has_to_wait else "send"

    def waits(self, exit_id: str) -> bool:
        """Return whether a sell that never reached the broker has to wait for the open.

        What it was decided for is asked anew then, as after a start.
        """
        closing = self._closings.get(row_of_exit(exit_id) or "")
        if closing is None or not self._means.market.has_to_wait(closing.position):
            return False
        closing.is_resumed = True
        return True

    def _add(self, position: Position, trigger: Trigger) -> Closing:
        closing = Closing(
            *(self._means, position, trigger),
            start=self._start,
            ended=self._ended,
        )
        self._closings[position.row_id] = closing
        return closing

    def _start(self, closing: Closing) -> None:
        """Start a way's task; one from before ``run`` starts with that."""
        if self._nursery is None:
            self._unstarted.append(closing)
        else:
            name = f"close {closing.position.symbol}"
            self._nursery.start_soon(closing.run, name=name)

    def _ended(self, closing: Closing) -> None:
        row_id = closing.position.row_id
        if closing.result == "unbooked":  # it stays, so that nobody begins another
            if closing.trigger.reason == "manual" and self._nursery is not None:
                self._nursery.start_soon(self._means.way.forget_close, row_id)
            return
        if self._closings.get(row_id) is closing:
            del self._closings[row_id]
        if closing.result == "gone":
            self._book.ended(row_id)

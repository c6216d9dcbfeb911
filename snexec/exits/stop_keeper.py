"""Keeps a stop at the broker for each row of shares (SPEC 12.6): the task.

Which stop that is is ``snexec.exits.stops``'s. It places one only where no sell of the
row is without an end, and takes one back before another follows: a row never has two sell
orders. Whoever sells a row takes its stop away first.
"""

from __future__ import annotations

import logging
import math
from decimal import Decimal
from typing import TYPE_CHECKING

import trio

from snexec.broker import Purpose
from snexec.exits.kept_stop import KeptStop
from snexec.exits.rules import show_price
from snexec.exits.stops import Stop, next_deed, shares_of, stop_for
from snexec.ledger import kind_of_exit, row_of_exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from snexec.broker import Accounts
    from snexec.exits.book import PositionBook
    from snexec.exits.book_entry import BookEntry
    from snexec.exits.means import Means
    from snexec.exits.position import Position
    from snexec.ledger import ExitApplied, WatchedRow
    from snexec.reconciliation import Fate
    from snexec.settings import ExitSettings, LiveSettings

log = logging.getLogger("PositionMonitor")

_SECOND = 1.0
_MOST_AT_ONCE = 8  # of stops under way: a sell never waits behind a queue of them


class StopKeeper:
    """Places, replaces and takes back stops, until cancelled.

    Args:
        live: ``[exits]``, read anew each time.
        accounts: Stops take the requests that orders leave.
        book: The positions.
        means: The desk, and what cancels.
        ask: Asks a position's rules; one that is true begins to sell it.
    """

    def __init__(
        self,
        live: LiveSettings,
        accounts: Accounts,
        book: PositionBook,
        means: Means,
        *,
        ask: Callable[[BookEntry], None],
    ) -> None:
        self._live = live
        self._accounts = accounts
        self._book = book
        self._means = means
        self._ask = ask
        self._kept: dict[str, KeptStop] = {}
        self._keys: tuple[object, ...] = (False,)
        self._changed_at = -math.inf
        self._changed = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._said: set[str] = set()  # rows of which it was said that a stop waits
        self._room = 0

    def load(self, rows: Iterable[WatchedRow]) -> None:
        """Take over the stops that an earlier run left without an end."""
        for row in rows:
            live, entry = row.live_exit, self._book.of_row(row.id)
            if live is None or live.kind != "stop" or entry is None:
                continue
            price = live.trigger_price or Decimal(0)
            stop = Stop(price, shares_of(live.quantity - live.sold))
            kept = self._of(entry.position)
            kept.know(live.id, stop, is_in_flight=live.state == "planned")
            kept.rests_since = trio.current_time() - live.age_seconds

    async def run(self) -> None:
        """Keep them as they should be, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            while True:
                changed = self._changed
                self._tick()
                with trio.move_on_after(_SECOND if self._is_needed() else math.inf):
                    await changed.wait()

    def look(self) -> None:
        """Look at every row soon: something was bought, or sold, or is set anew."""
        self._changed.set()
        self._changed = trio.Event()

    def heard(self, applied: ExitApplied) -> None:
        """Take what the broker's word did to an order of ours that sells."""
        if applied.closed or applied.row_status != "open":
            self._kept.pop(applied.row_id, None)
            return
        kept, entry = (
            self._kept.get(applied.row_id),
            self._book.of_row(applied.row_id),
        )
        if kept is None and entry is not None and applied.kind == "stop":
            kept = self._of(entry.position)
        if kept is not None and applied.kind == "stop":
            kept.heard(applied)
        self.look()

    def fate(self, exit_id: str) -> Fate:
        """Say what is to be done with a stop that never reached the broker (SPEC 12.5)."""
        row_id = row_of_exit(exit_id) or ""
        entry, kept = self._book.of_row(row_id), self._kept.get(row_id)
        if entry is None or kept is None or kept.exit_id != exit_id:
            return "drop"
        wanted = stop_for(entry.position, self._live.now.exits)
        is_same = next_deed(wanted, kept.resting, rested=math.inf) is None
        return "send" if is_same else "drop"

    def _tick(self) -> None:
        settings, means = self._live.now.exits, self._means
        self._note_change(settings)
        if not self._is_needed() or means.orders.is_closed:
            return
        if means.orders.is_all_halted:
            # What rests stays; what is new waits anew, as new rules do.
            self._changed_at = max(self._changed_at, trio.current_time())
            return
        under_way = (each.is_in_flight or each.is_canceling for each in self._all())
        self._room = _MOST_AT_ONCE - sum(under_way)
        for entry in self._book:
            if entry.position.state == "watched":
                self._keep(entry, settings)
        self._forget_ended()
        means.orders.flush()

    def _forget_ended(self) -> None:
        """Take back the stops of rows that somebody else has ended."""
        for row_id, kept in tuple(self._kept.items()):
            is_busy = kept.is_canceling or kept.is_in_flight
            if is_busy or self._book.of_row(row_id) is not None:
                continue
            if kept.exit_id is None:
                del self._kept[row_id]
            else:
                self._take_back(kept)

    def _keep(self, entry: BookEntry, settings: ExitSettings | None) -> None:
        position = entry.position
        wanted, kept = stop_for(position, settings), self._kept.get(position.row_id)
        if kept is None:
            if wanted is None and position.live_exit is None:
                return
            kept = self._of(position)
        if kept.is_in_flight or kept.is_canceling:
            return
        if position.live_exit is not None and kept.exit_id is None:
            return  # a sell of it has no end yet
        deed = next_deed(wanted, kept.resting, rested=kept.rested)
        if deed is None:
            return
        if wanted is None:
            self._take_back(kept)
        elif (
            kept.may_be_placed
            and not self._has_to_wait(entry, wanted, settings)
            and self._has_room(position)
        ):
            self._room -= 1
            if deed == "place":
                self._place(entry, kept, wanted)
            else:
                self._take_back(kept)

    def _place(self, entry: BookEntry, kept: KeptStop, wanted: Stop) -> None:
        """Place one, unless a rule sells the row now: its stop has stood for that rule."""
        self._ask(entry)
        if entry.position.state == "watched":
            kept.place(wanted)

    def _take_back(self, kept: KeptStop) -> None:
        if self._nursery is not None:
            kept.is_canceling = True  # from now on, not from the task's first step on
            name = f"take back the stop of {kept.position.symbol}"
            self._nursery.start_soon(self._taken_back, kept, name=name)

    async def _taken_back(self, kept: KeptStop) -> None:
        await kept.take_back()
        self.look()

    def _has_room(self, position: Position) -> bool:
        """Return whether a stop may take requests now: those that orders leave."""
        if self._room <= 0 or not self._accounts.has_keys(position.mode):
            return False
        lease = self._accounts.try_take(position.mode, Purpose.POLL)
        if lease is None:
            return False
        with lease:
            return True

    def _has_to_wait(
        self, entry: BookEntry, wanted: Stop, settings: ExitSettings | None
    ) -> bool:
        """Return whether a stop that is newly set would sell at once (SPEC 12.3)."""
        position, last = entry.position, entry.prices.last
        if settings is None or position.bought_at >= self._changed_at:
            return False
        left = self._changed_at + settings.activation_delay_sec - trio.current_time()
        if left <= 0 or (last is not None and last > wanted.price):
            return False
        if last is not None and position.row_id not in self._said:
            self._said.add(position.row_id)
            log.warning(
                "%s trade=%s: %s is at or below its new stop at the broker, %s, which"
                " would sell %s at once; it is placed in %.0f s unless `snexec halt"
                " --all` or a SIGHUP with other rules comes first",
                *(position.symbol, position.row_id, show_price(last)),
                *(show_price(wanted.price), f"{wanted.quantity:f}", left),
            )
        return True

    def _note_change(self, settings: ExitSettings | None) -> None:
        """Note when the stops are set anew; say what they mean when they are set."""
        keys: tuple[object, ...] = (False,)
        if settings is not None and settings.enabled and settings.broker_stop:
            trailing = settings.trailing_stop_pct, settings.trailing_start_pct
            keys = (True, settings.stop_at_broker_pct, *trailing)
        before, self._keys = self._keys, keys
        if keys == before:
            return
        self._changed_at, self._said = trio.current_time(), set()
        if keys[0] and not before[0]:
            log.warning(
                "broker_stop is set: a stop order rests at the broker for each row of"
                " shares, in regular hours only, also while the daemon does not run;"
                " it holds the shares, so that nothing else can sell them, and makes"
                " every buy of such a symbol by others a wash trade, which the broker"
                " refuses; crypto has none"
            )

    def _is_needed(self) -> bool:
        return bool(self._keys[0]) or any(
            each.exit_id is not None for each in self._all()
        )

    def _of(self, position: Position) -> KeptStop:
        kept = self._kept.get(position.row_id)
        if kept is None:
            kept = self._kept[position.row_id] = KeptStop(self._means, position)
            live = position.live_exit
            if live is not None and kind_of_exit(live) == "stop":
                # Begun before there was somebody who keeps them: at which price?
                unknown = Stop(Decimal(0), position.remaining)
                kept.know(live, unknown, is_in_flight=not position.stop_at_broker)
        return kept

    def _all(self) -> Iterable[KeptStop]:
        return self._kept.values()

"""Positions as the operator sees them, and closes them by hand (SPEC 12.8)."""

from __future__ import annotations

import math
import sqlite3
from typing import TYPE_CHECKING

import trio

from snexec.exits.answers import CloseAnswer, PositionStatus
from snexec.exits.rules import Trigger, stop_level, target_level, trailing_level
from snexec.exits.stops import stop_for
from snexec.exits.taking_up import take_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.exits.book import PositionBook
    from snexec.exits.book_entry import BookEntry
    from snexec.exits.closing import Closing
    from snexec.exits.position import Position
    from snexec.exits.seller import Seller
    from snexec.ledger import Writer
    from snexec.settings import ExitSettings, LiveSettings

_STOPPED = "the daemon stops; its next start goes on with it"
_HALTED = "it is halted: price rules rest until it trades again"
_WAITS = "the market is closed: it is sold when it opens"
_DURABLE_SECONDS = 10.0  # who asks waits longer; a working buy may have to end first


class ByHand:
    """Closes positions by the operator's word, and says how each of them is.

    Args:
        live: ``[exits]``, whose limits are said.
        book: The positions.
        seller: Sells them.
        writer: Finds what is held where nothing watches it.
    """

    def __init__(
        self, live: LiveSettings, book: PositionBook, seller: Seller, writer: Writer
    ) -> None:
        self._live = live
        self._book = book
        self._seller = seller
        self._writer = writer

    async def close(
        self, symbols: Sequence[str], *, at_open: bool, by: str = "operator"
    ) -> list[CloseAnswer]:
        """Sell what is left of the open rows of these symbols, as ``manual``.

        Returns once each sell is durable, in the order of the symbols. Where something
        has to be canceled before, that is not waited for longer than 10 s.

        Args:
            symbols: In their canonical spelling.
            at_open: Whether a sell may wait until the market opens.
            by: Who asks; it is the sells' trigger source.
        """
        trigger = Trigger("manual", None, by, "closed by hand")
        answers: dict[str, CloseAnswer] = {}

        async def close_one(symbol: str) -> None:
            answers[symbol] = await self._close(symbol, trigger, at_open=at_open)

        async with trio.open_nursery() as nursery:
            for symbol in dict.fromkeys(symbols):
                nursery.start_soon(close_one, symbol, name=f"close {symbol} by hand")
        return [answers[symbol] for symbol in dict.fromkeys(symbols)]

    def positions(self) -> list[PositionStatus]:
        """Return what is known of each position that the book has."""
        exits, now = self._live.now.exits, trio.current_time()
        return [self._status(each, exits, now) for each in self._book]

    async def _close(
        self, symbol: str, trigger: Trigger, *, at_open: bool
    ) -> CloseAnswer:
        try:
            entry = await self._found(symbol)
        except (sqlite3.Error, trio.TooSlowError) as exc:
            reason = str(exc) or "the disk does not answer"
            why = f"its row cannot be read now: {reason}"
            return CloseAnswer(symbol, None, None, "refused", why)
        if entry is None:
            return CloseAnswer(symbol, None, None, "refused", "nothing of it is held")
        position = entry.position
        await self._seller.hours_known(position)
        earlier = self._seller.of_row(position.row_id)
        has_to_wait = not at_open and self._seller.has_to_wait(position)
        if has_to_wait and earlier is None:
            why = "the market is closed; to sell at its open: --at-open"
            return CloseAnswer(symbol, None, None, "refused", why)
        shares = position.remaining
        if has_to_wait and earlier is not None:
            closing = earlier  # a rule's, whose word it stays
        else:
            closing = self._seller.begin(position, trigger)
            if earlier is not None or closing.exit_id is None:
                await self._seller.keep(closing)
        with trio.move_on_after(_DURABLE_SECONDS):
            await closing.durable.wait()
        return _answer(closing, CloseAnswer(symbol, shares, None, "closing"), earlier)

    async def _found(self, symbol: str) -> BookEntry | None:
        book = self._book
        # The row it knows may have ended, and another begun; or no rule watches it.
        if not book.follows_all or book.of_symbol(symbol) is None:
            with trio.fail_after(_DURABLE_SECONDS):
                await take_up(book, self._writer, symbol)
        return book.of_symbol(symbol)

    def _status(
        self, entry: BookEntry, exits: ExitSettings | None, now: float
    ) -> PositionStatus:
        position, prices = entry.position, entry.prices
        closing = self._seller.of_row(position.row_id)
        blocked_by = position.rests or ""
        if prices.is_halted:
            blocked_by = _HALTED
        if position.waits:
            blocked_by = _WAITS
        if closing is not None and closing.blocked_by is not None:
            blocked_by = closing.blocked_by
        seen = prices.source is not None and prices.at > -math.inf
        status = PositionStatus(
            row_id=position.row_id,
            mode=position.mode,
            state=position.state,
            price=prices.last if seen else None,
            price_source=prices.source,
            price_age_sec=round(now - prices.at, 3) if seen else None,
            blocked_by=blocked_by,
            blocked_since=None if closing is None else closing.blocked_since,
        )
        if exits is None or not exits.enabled:
            is_idle = status.state == "watched"
            return status._replace(state="unwatched") if is_idle else status
        hold = exits.max_hold_duration_sec
        stops = [stop_level(position, exits), trailing_level(position, exits)]
        if position.stop_at_broker and (resting := stop_for(position, exits)):
            stops[0] = resting.price  # which stands for the rule
        return status._replace(
            stop=max((stop for stop in stops if stop is not None), default=None),
            target=target_level(position, exits),
            seconds_left=None if hold is None else _left(position, hold, now),
        )


def _left(position: Position, hold: float, now: float) -> float:
    return round(position.held_since + hold - now, 3)


def _answer(
    closing: Closing, answer: CloseAnswer, earlier: Closing | None
) -> CloseAnswer:
    """Complete an answer once a sell is durable, or was waited for long enough."""
    answer = answer._replace(exit_id=closing.exit_id)
    if closing.result == "stopped":
        return answer._replace(error=_STOPPED)
    if closing.result is not None and closing.result != "closed":
        why = closing.blocked_by or "its row cannot be sold now: see the log"
        return answer._replace(shares=None, state="refused", error=why)
    if closing.position.waits:
        return answer._replace(state="queued")
    if earlier is not None or closing.exit_id is None:
        return answer._replace(error=closing.blocked_by or "")
    return answer._replace(state="selling")

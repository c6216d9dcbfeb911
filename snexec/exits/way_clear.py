"""What is in a sell's way, canceled, and its evidence waited for (SPEC 12.3, 12.5, 12.6)."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

import trio

from snexec.broker import Purpose
from snexec.errors import BrokerError, NotFoundError, RateLimitedError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker import Accounts
    from snexec.exits.position import Position
    from snexec.ledger import Applied, ExitApplied, ExitReason, Ledger, Store
    from snexec.model import Mode
    from snexec.reconciliation import Reconciler

log = logging.getLogger("PositionMonitor")

_LOOK_AGAIN_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
_CANCEL_AGAIN_SECONDS = 60.0
_FIRST_CANCEL_AGAIN_SECONDS = 1.0  # where it was not taken; doubled each time
_WRITE_AGAIN_SECONDS = 60.0  # what another program keeps from being written
_ALARM_SECONDS = 30.0  # pending_cancel has lasted for hours


class WayClear:
    """Cancels orders of ours, and waits until the broker has said their last word.

    Args:
        accounts: Where they are canceled.
        ledger: Where it is noted why a stop is canceled, before it is.
        reconciler: Asks what became of them.
    """

    def __init__(
        self, accounts: Accounts, ledger: Ledger, reconciler: Reconciler
    ) -> None:
        self._accounts = accounts
        self._writer = ledger.writer
        self._unsettled = reconciler.unsettled
        self._sells = reconciler.sells
        self._ended: dict[str, trio.Event] = {}  # by the client order ids waited for

    async def cancel_buy(self, position: Position) -> None:
        """Cancel a row's buy, and wait for the broker's last word on it."""
        await self._end(position, position.row_id, position.order_id, "buy")

    async def cancel_stop(
        self, position: Position, exit_id: str, reason: ExitReason
    ) -> None:
        """Cancel a row's stop, and wait for the broker's last word on it.

        Why is written first, so that a start goes on from it.
        """
        try:
            await self._writer.write(
                lambda store: store.exits.note_cancel(exit_id, reason)
            )
        except sqlite3.Error as exc:
            log.warning(
                "%s trade=%s: why it is canceled cannot be kept (%s): a restart before"
                " its row is sold does not go on with that",
                position.symbol,
                exit_id,
                exc,
            )
        order = self._unsettled.get(exit_id)
        order_id = None if order is None else order.order_id
        await self._end(position, exit_id, order_id, "broker stop")

    async def take_back_stop(self, position: Position, exit_id: str) -> None:
        """Cancel a row's stop, which is not to be sold for that, and wait likewise."""
        what, why = "broker stop", "as another one is to rest, or none"
        await self._end(position, exit_id, None, what, why)

    async def sell_ended(self, exit_id: str) -> None:
        """Wait for the broker's last word on a sell of the row."""
        await self._unsettled.wait_until(lambda: self._unsettled.get(exit_id) is None)

    def follows(self, exit_id: str | None) -> bool:
        """Return whether the broker is asked about a sell, which is sent again then."""
        return exit_id is not None and self._unsettled.get(exit_id) is not None

    async def drop(self, position: Position, exit_id: str) -> None:
        """End a sell of a row that has not left, and is not wanted any more."""
        is_said = False
        while True:
            try:
                await self._sells.drop(position.mode, exit_id)
            except sqlite3.Error as exc:
                if not is_said:
                    log.error(  # noqa: TRY400 - the database says why
                        "%s trade=%s: that it is not wanted any more cannot be written"
                        " (%s); it has not left, and that is tried again each minute",
                        position.symbol,
                        exit_id,
                        exc,
                    )
                is_said = True
                await trio.sleep(_WRITE_AGAIN_SECONDS)
            else:
                return

    def ask(self, exit_id: str | None) -> None:
        """Have the broker asked about a sell as soon as possible."""
        if exit_id is not None:
            self._unsettled.ask_now(exit_id)

    async def cancel(self, mode: Mode, order_id: str, symbol: str) -> bool:
        """Ask for a cancel, and return whether it was taken.

        Whatever is answered, a look-up says what it came to.
        """
        with self._accounts.lease(mode) as lease:
            await lease.take(Purpose.EXIT)
            try:
                await lease.use().cancel(order_id)
            except RateLimitedError as exc:
                lease.client.budget.block(exc.wait_seconds)
            except NotFoundError:
                pass  # it has ended, or is not known there yet
            except RefusedError as exc:
                log.warning(
                    "%s: order %s is not canceled (%s): it is asked about",
                    symbol,
                    order_id,
                    exc,
                )
            except BrokerError as exc:
                log.warning(
                    "%s: whether order %s is canceled is not known (%s): it is asked"
                    " about",
                    symbol,
                    order_id,
                    exc,
                )
            else:
                return True
        return False

    async def note_close(self, row_id: str) -> None:
        """Note that a row is to be closed by hand, so that a start goes on with it."""
        await self._keep(lambda store: store.held.note_close(row_id), row_id)

    async def forget_close(self, row_id: str) -> None:
        """Note that a row is not to be closed by hand any more."""
        await self._keep(lambda store: store.held.forget_close(row_id), row_id)

    def heard_of_buy(self, applied: Applied) -> None:
        """Go on where a buy has ended."""
        if applied.settled:
            self._note(applied.trade_id)

    def heard_of_sell(self, applied: ExitApplied) -> None:
        """Go on where a sell has ended."""
        if applied.settled:
            self._note(applied.id)

    async def _keep(self, note: Callable[[Store], None], row_id: str) -> None:
        try:
            await self._writer.write(note)
        except sqlite3.Error as exc:
            log.error(  # noqa: TRY400 - the database says why
                "trade=%s: whether it is to be closed by hand cannot be noted (%s): look"
                " at it after a restart",
                row_id,
                exc,
            )

    async def _end(
        self,
        position: Position,
        client_order_id: str,
        order_id: str | None,
        what: str,
        why: str = "before it is sold",
    ) -> None:
        # A buy whose request is still to be answered is not followed yet.
        is_early = what == "buy" and not position.is_settled
        if self._unsettled.get(client_order_id) is None and not is_early:
            return  # its last word has been heard
        ended = self._ended.setdefault(client_order_id, trio.Event())
        log.info(
            "%s trade=%s: its %s is canceled %s",
            position.symbol,
            position.row_id,
            what,
            why,
        )
        began, cancel_at = trio.current_time(), 0.0
        again, tries, alarmed = _FIRST_CANCEL_AGAIN_SECONDS, 0, False
        while not ended.is_set():
            now = trio.current_time()
            known = self._unsettled.get(client_order_id)
            is_early = is_early and known is None and not position.is_settled
            if known is None and not is_early:
                break
            latest = (known.latest_id if known is not None else None) or order_id
            if latest != order_id:
                order_id, cancel_at = latest, 0.0  # somebody may have replaced it
            if order_id is not None and now >= cancel_at:
                is_taken = await self.cancel(position.mode, order_id, position.symbol)
                again = _CANCEL_AGAIN_SECONDS if is_taken else again
                cancel_at = now + again
                again = min(2 * again, _CANCEL_AGAIN_SECONDS)
            if known is not None:
                self._unsettled.ask_now(client_order_id)
            if now - began >= _ALARM_SECONDS and not alarmed:
                alarmed = True
                log.error(
                    "%s trade=%s cannot be sold yet: its %s (orderId=%s) is not canceled"
                    " after %.0f s, and nothing is sold beside it; look at the account",
                    position.symbol,
                    position.row_id,
                    what,
                    order_id,
                    _ALARM_SECONDS,
                )
            pause = _LOOK_AGAIN_SECONDS[min(tries, len(_LOOK_AGAIN_SECONDS) - 1)]
            tries += 1
            with trio.move_on_after(pause):
                await ended.wait()
        self._ended.pop(client_order_id, None)

    def _note(self, client_order_id: str) -> None:
        if (ended := self._ended.pop(client_order_id, None)) is not None:
            ended.set()

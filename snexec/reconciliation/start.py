"""What a start waits for: the broker's word on the current mode's rows (SPEC 8, 11)."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING

import trio

from snexec.broker import Purpose
from snexec.model import ACCOUNTS, counted

if TYPE_CHECKING:
    from snexec.model import AccountName
    from snexec.reconciliation.due import UnsettledOrder
    from snexec.reconciliation.unsettled import UnsettledOrders
    from snexec.settings import LiveSettings

log = logging.getLogger("Recovery")

_WARN_WAITING_SECONDS = 10.0
_WARN_WAITING_SECONDS_MAX = 600.0  # a broker away for hours must not fill the log


class Start:
    """Knows whether the rows of earlier runs are compared, as far as signals wait for it.

    The other mode's rows are compared beside trading, and so are those of a mode that
    comes later: an open row blocks its symbol meanwhile, whatever becomes of it.

    Args:
        live: Which mode is the current one.
        unsettled: The rows.
    """

    def __init__(self, live: LiveSettings, unsettled: UnsettledOrders) -> None:
        self._live = live
        self._unsettled = unsettled
        self._over = trio.Event()

    async def wait_over(self) -> None:
        """Wait until ``compare`` is done."""
        await self._over.wait()

    async def compare(self) -> None:
        """Wait until the broker has answered about every row of the current mode.

        Runs beside ``Recovery.run``; logs a warning while the broker does not answer.
        """
        self._announce()
        if self._is_left():
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._warn_waiting, name="warn that recovery waits")
                is_compared = await self._wait_compared()
                nursery.cancel_scope.cancel(reason="what is waited for is compared")
            if is_compared:
                log.info(
                    "every row is compared (%s), in %.1f s; %s not settled yet",
                    self._live.now.mode,
                    trio.current_time() - began,
                    _are(len(self._unsettled), "order"),
                )
        self._over.set()

    async def _wait_compared(self) -> bool:
        """Wait for the rows; and for the sweep alone for a moment, if there are none.

        Returns:
            Whether everything is compared.
        """
        while self._is_left():
            mode = self._live.now.mode
            patience = self._unsettled.patience(mode)
            with trio.move_on_after(patience) as waiting:
                await self._unsettled.wait_until(partial(self._is_over_for, mode))
            if waiting.cancelled_caught:
                self._say_left()
                return False
        return True

    def _say_left(self) -> None:
        """Warn of what signals do not wait for any more."""
        mode = self._live.now.mode
        if self._unsettled.awaits_sweep(mode):
            log.warning(
                "what %s has without a row is not known yet: signals are taken all the"
                " same, and such a symbol may be bought again",
                mode,
            )
        if left := self._left():
            log.warning(
                "%s not compared with the broker yet: signals are taken, and a symbol whose"
                " row is open is blocked",
                _are(len(left), f"row of {mode}"),
            )

    def purpose(self, account: AccountName, *, is_lost: bool = False) -> Purpose:
        """Return what a look-up in an account is for: signals may wait for it.

        Args:
            account: The account.
            is_lost: Whether nobody knows what became of the order; else it can wait.
        """
        if self._over.is_set() or account != self._live.now.mode:
            return Purpose.RECOVERY if is_lost else Purpose.ROUTINE
        return Purpose.START

    def mode_changed(self) -> None:
        """Look anew at which rows are waited for; once signals are taken, none are."""
        self._unsettled.look_again()
        if self._over.is_set():
            self._say_left()

    def _is_over_for(self, mode: AccountName) -> bool:
        """Return whether a mode is compared, or not the one that is waited for."""
        return not self._is_left() or self._live.now.mode != mode

    def _is_left(self) -> bool:
        return bool(self._left()) or self._unsettled.awaits_sweep(self._live.now.mode)

    def _left(self) -> list[UnsettledOrder]:
        mode = self._live.now.mode
        return [o for o in self._unsettled if o.mode == mode and not o.is_compared]

    def _announce(self) -> None:
        mode = self._live.now.mode
        if self._unsettled.patience(mode) < math.inf:
            log.info(
                "the last run did not stop in good order, or the database is a copy: %s is"
                " asked first for orders without a row",
                mode,
            )
        for account in ACCOUNTS:
            count = sum(order.mode == account for order in self._unsettled)
            beside = (
                ""
                if account == mode
                else ", beside trading: a symbol whose row is open is blocked meanwhile"
            )
            if count:
                log.info(
                    "comparing %s with the broker (%s)%s",
                    "1 unsettled row" if count == 1 else f"{count} unsettled rows",
                    account,
                    beside,
                )

    async def _warn_waiting(self) -> None:
        pause = _WARN_WAITING_SECONDS
        while True:
            await trio.sleep(pause)
            pause = min(2 * pause, _WARN_WAITING_SECONDS_MAX)
            left = len(self._left())
            log.warning(
                "no signals are taken yet: %s (%s); is it reachable?",
                f"{_are(left, 'row')} not compared with the broker"
                if left
                else "the broker has not listed its orders",
                self._live.now.mode,
            )


def _are(count: int, noun: str) -> str:
    return f"{counted(count, noun)} {'is' if count == 1 else 'are'}"

"""Rows compared with the broker until they agree, whatever was missed (SPEC 8)."""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import trio

from snexec.clock import SystemClock
from snexec.errors import BrokerError, NotFoundError, RateLimitedError, RefusedError
from snexec.ledger import row_of_exit
from snexec.logs import OrderLog, Repeats, about, about_order
from snexec.model import ACCOUNTS
from snexec.reconciliation.due import UnsettledOrder
from snexec.reconciliation.replaced import follow_replaced
from snexec.reconciliation.turns import Turns
from snexec.reconciliation.unsettled import FIRST_CHECK_SECONDS

if TYPE_CHECKING:
    from snexec.broker import Accounts, BrokerOrder, Lease, Purpose
    from snexec.clock import Clock
    from snexec.ledger import Applied, Store, Unsettled, Writer
    from snexec.model import AccountName
    from snexec.reconciliation.confirmations import Confirmations
    from snexec.reconciliation.fills import Fills
    from snexec.reconciliation.sells import Sells
    from snexec.reconciliation.start import Start
    from snexec.reconciliation.unsettled import UnsettledOrders
    from snexec.settings import AlpacaSettings

log = logging.getLogger("Recovery")
order_log = OrderLog(log)

_GIVE_UP_SECONDS = 24 * 3600.0  # a day order that is unknown a day later never existed
_STREAM_LAG_SECONDS = 2.0  # the stream may report a fill just after a look-up does
_WARN_AGAIN_SECONDS = 24 * 3600.0  # of a row that only somebody else can help
_SYSTEM_CLOCK = SystemClock()
_STREAMED_STATUSES = frozenset({"filled", "rejected"})  # its handler acts on these


Starved = Callable[["AccountName", float], None]


class Recovery:
    """Asks the broker about every unsettled order until it is settled.

    Args:
        settings: How patient to be.
        accounts: The accounts to ask.
        writer: Writes what follows from a 404.
        fills: Apply all else that the broker says.
        sells: Decide on a sell that the broker does not know.
        confirmations: Report an order that was given up.
        unsettled: Which orders to ask about, and when.
        start: Says how much of the budget they may use.
        clock: For the log.
    """

    def __init__(
        self,
        *,
        settings: AlpacaSettings,
        accounts: Accounts,
        writer: Writer,
        fills: Fills,
        sells: Sells,
        confirmations: Confirmations,
        unsettled: UnsettledOrders,
        start: Start,
        clock: Clock = _SYSTEM_CLOCK,
    ) -> None:
        self._settings = settings
        self._accounts = accounts
        self._writer = writer
        self._fills = fills
        self._sells = sells
        self._confirmations = confirmations
        self._unsettled = unsettled
        self._start = start
        # When, on Trio's clock; of those still followed.
        self._warned = WeakKeyDictionary[UnsettledOrder, float]()
        self._failures = {
            mode: Repeats(f"look-ups ({mode})", log=log, clock=clock)
            for mode in ACCOUNTS
        }

    def load(self, rows: list[Unsettled]) -> None:
        """Follow the rows that an earlier run left unsettled."""
        now = trio.current_time()
        for row in rows:
            self._unsettled.add(
                UnsettledOrder(
                    trade_id=row.trade_id,
                    symbol=row.symbol,
                    mode=row.mode,
                    order_id=row.order_id,
                    placed_at=now - row.age_seconds,
                    due=now,
                    pause=1.0,
                    missed=row.missed,
                    of_this_run=False,
                    signal_id=row.signal_id,
                )
            )

    async def run(self, starved: Starved) -> None:
        """Look up what is due, until cancelled.

        Args:
            starved: Called with an account and a time on Trio's clock when a look-up
                settled an order placed then, which the stream should have reported
                and did not.
        """
        async with trio.open_nursery() as nursery:
            for mode in ACCOUNTS:
                nursery.start_soon(
                    self._run_account, mode, starved, name=f"recovery of {mode}"
                )

    async def _run_account(self, mode: AccountName, starved: Starved) -> None:
        turns = Turns(mode, self._accounts, self._unsettled, self._start)
        async with trio.open_nursery() as nursery:
            while True:
                order, lease = await turns.next()
                nursery.start_soon(
                    self._check,
                    *(order, lease, turns, starved),
                    name=f"look up {order.trade_id}",
                )
                await trio.lowlevel.checkpoint()  # tasks of one step start in any order

    async def _check(
        self,
        order: UnsettledOrder,
        lease: Lease,
        turns: Turns,
        starved: Starved,
    ) -> None:
        settled = False
        try:
            with lease:
                if self._unsettled.get(order.trade_id) is order:
                    settled = await self._look_up(order, lease)
        except sqlite3.Error as exc:
            self._warn_daily(
                order, f"its row cannot be changed ({exc})", "the broker is asked again"
            )
            self._unsettled.compared(order)
        except Exception:
            # One order's row; the other orders, and the daemon, go on.
            log.exception(
                "%s trade=%s: what the broker says of it cannot be recorded; it is"
                " asked again",
                order.symbol,
                order.trade_id,
                extra=about(symbol=order.symbol, trade_id=order.trade_id),
            )
            self._unsettled.compared(order)  # a start waits for no fault of ours
        finally:
            turns.over()
            self._unsettled.ask_later(order, longest=self._longest_pause(order))
        if settled and order.of_this_run:
            await self._check_stream(order, starved)

    def _longest_pause(self, order: UnsettledOrder) -> float:
        # One that was given up is asked about ever less often, for a day.
        longest = self._settings.reconcile_interval_sec
        return max(longest, 3600.0) if order.missed else longest

    async def _look_up(self, order: UnsettledOrder, lease: Lease) -> bool:
        """Ask about one order, and return whether the stream should have reported it."""
        purpose = self._start.purpose(order.mode, is_lost=order.is_lost)
        openings = order.openings
        try:
            answer = await lease.use().order(
                client_order_id=order.trade_id,
                order_id=order.order_id,
                symbol=order.symbol,
                side=order.side,
            )
            if answer.status == "replaced":
                answer = await self._follow_replaced(order, answer, lease, purpose)
        except NotFoundError:
            self._failures[order.mode].worked()
            # Or it was sent once more meanwhile, and this says nothing of that.
            if self._unsettled.get(order.trade_id) is order:
                await self._not_found(order, openings)
        except RefusedError as exc:
            self._failures[order.mode].worked()
            if order.refusal is None or not await order.refusal.not_answered(exc):
                self._warn_daily(
                    order,
                    f"the broker refuses the look-up ({exc})",
                    "see what `snexec check` says of its keys",
                )
            self._unsettled.compared(order)
        except RateLimitedError as exc:
            lease.client.budget.block(exc.wait_seconds)
        except BrokerError as exc:
            self._failed(order, exc)
        else:
            self._failures[order.mode].worked()
            await self._found(order, answer, purpose)
            # The stream reports a replacement under an id that no row has.
            return answer.status in _STREAMED_STATUSES and answer.replaced_by is None
        return False

    async def _follow_replaced(
        self,
        order: UnsettledOrder,
        replaced: BrokerOrder,
        lease: Lease,
        purpose: Purpose,
    ) -> BrokerOrder:
        """Ask about the orders that took a replaced one's place, and say so once."""
        self._unsettled.known_as(order, replaced.id)
        found = await follow_replaced(
            replaced, order.symbol, order.side, lease, purpose
        )
        if found.problem:
            self._warn_daily(order, found.problem, _end_it(order))
        if found.latest_id is not None and self._unsettled.follow_replacement(
            order, found.latest_id
        ):
            order_log.warning(
                order,
                "the broker has replaced order %s; order %s is followed in its place",
                replaced.id,
                found.latest_id,
            )
        return found.order

    async def _found(
        self, order: UnsettledOrder, answer: BrokerOrder, purpose: Purpose
    ) -> None:
        refusal, order.refusal = order.refusal, None
        if refusal is not None:
            refusal.found()
        self._unsettled.known_as(order, answer.id)
        await self._fills.on_looked_up(
            *(order.mode, answer, order.symbol),
            purpose=purpose,
            over=partial(self._unsettled.compared, order),
        )

    async def _check_stream(self, order: UnsettledOrder, starved: Starved) -> None:
        """Find out whether the stream has reported what the look-up said."""
        if trio.current_time() - order.placed_at < FIRST_CHECK_SECONDS - 1:
            return  # an early look-up may well be ahead of the stream
        await trio.sleep(_STREAM_LAG_SECONDS)
        # What the stream has reported may still wait for the database.
        reported = trio.Event()
        await self._writer.submit_probe(reported.set)
        await reported.wait()
        if not self._unsettled.was_streamed(order.trade_id):
            starved(order.mode, order.placed_at)

    async def _not_found(self, order: UnsettledOrder, openings: int) -> None:
        age = trio.current_time() - order.placed_at
        if order.order_id is not None:
            # An event may have named another one, and a kill have come before we asked.
            self._unsettled.doubt(order)
            if not order.is_compared:
                self._unsettled.ask_now(order.trade_id)
                return
        elif order.doubted_id is not None:
            self._unsettled.known_as(order, order.doubted_id)  # asked by that, then
            self._warn_daily(
                order,
                "the broker does not know it; do the keys fit its account?",
                f"put those keys back, or {_end_it(order)}",
            )
        elif order.refusal is not None:
            await order.refusal.not_found()
        elif order.side == "sell":
            await self._sells.not_found(order)
        elif age >= (
            _GIVE_UP_SECONDS if order.missed else self._settings.unknown_grace_sec
        ):
            await self._give_up(order, openings, age)
        self._unsettled.compared(order)

    async def _give_up(self, order: UnsettledOrder, openings: int, age: float) -> None:
        """End the row, or the questions about it, unless its order leaves once more."""
        trade_id, was_missed = order.trade_id, order.missed

        def end(store: Store) -> Applied | None:
            if order.openings == openings:
                if not was_missed:
                    return store.mark_not_found(trade_id)
                store.settle_not_found(trade_id)
            return None

        applied = await self._writer.write(end)
        if order.openings != openings:
            return
        if applied is None or applied.settled:
            self._unsettled.settled(trade_id)
        elif applied.outcome == "not_found":
            order_log.warning(
                order,
                "the broker still does not know the order after %.0f s; its row is"
                " missed (order_not_found)",
                age,
            )
            self._unsettled.given_up(order)
            self._confirmations.report_not_found(applied)
        elif applied.order_id is not None:
            # The stream has named it: nothing but its own account can tell more.
            self._unsettled.known_as(order, applied.order_id)

    def _failed(self, order: UnsettledOrder, problem: BrokerError) -> None:
        if self._failures[order.mode].failed(str(problem)):
            order_log.warning(
                order, "the look-up failed (%s); the broker is asked again", problem
            )

    def _warn_daily(self, order: UnsettledOrder, problem: str, remedy: str) -> None:
        """Warn of what lasts until somebody does something about it."""
        now = trio.current_time()
        if now - self._warned.get(order, -math.inf) < _WARN_AGAIN_SECONDS:
            return
        self._warned[order] = now
        log.warning(
            "%s trade=%s signal=%s orderId=%s (%s): %s; the row stays as it is: %s",
            order.symbol,
            order.trade_id,
            order.signal_id,
            order.order_id,
            order.mode,
            problem,
            remedy,
            extra=about_order(order),
        )


def _end_it(order: UnsettledOrder) -> str:
    """Return what somebody can do about an order that its account does not know."""
    if order.side == "buy":
        return f"end it by `snexec settle {order.trade_id} --as missed` (or closed)"
    row_id = row_of_exit(order.trade_id)
    return f"end its row by `snexec settle {row_id} --as closed`"

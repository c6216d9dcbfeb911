"""What the broker says of an order, recorded in its row (SPEC 7, second half).

Events of one order are applied in the order in which they came. A partial fill has to
ask for the position first, and only events of its own order wait behind it.
"""

from __future__ import annotations

import collections
import logging
import math
import sqlite3
from typing import TYPE_CHECKING, Literal

import trio

from snexec.broker import Purpose, amount, is_about_symbol, quantity_or_zero
from snexec.errors import BrokerError, NotFoundError, RateLimitedError
from snexec.ledger import OrderRef, is_foreign
from snexec.logs import about, about_order
from snexec.reconciliation.executions import Executions
from snexec.reconciliation.foreign import ForeignOrders
from snexec.reconciliation.sells import is_sell_of_ours
from snexec.reconciliation.step_queue import StepQueue
from snexec.reconciliation.steps import (
    EndedStep,
    PartialFillStep,
    Step,
    fill_step,
    looked_up_step,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

    from snexec.broker import Accounts, BrokerOrder
    from snexec.latency import Latencies
    from snexec.ledger import Applied, Writer
    from snexec.model import AccountName
    from snexec.reconciliation.confirmations import Confirmations
    from snexec.reconciliation.sells import Sells

log = logging.getLogger("TradeExecutor")

_POSITION_RETRY_SECONDS = (0.1, 0.3, 0.6, 1.0)  # the broker's own books may lag
_MOST_QUEUES = 2000  # orders with partial fills at work; then the stream is held back
_MOST_SYMBOL_CHARS = 32


class Fills:
    """Applies events and look-ups to rows, and reports the result.

    Attributes:
        foreign: Takes what is said of other programs' orders.
    """

    def __init__(
        self,
        writer: Writer,
        accounts: Accounts,
        latencies: Latencies,
        confirmations: Confirmations,
        sells: Sells,
    ) -> None:
        self._writer = writer
        self._accounts = accounts
        self._latencies = latencies
        self._confirmations = confirmations
        self._sells = sells
        self.foreign = ForeignOrders(writer, sells.holdings)
        self._queues: dict[str, StepQueue] = {}
        self._executions = Executions()
        # Unbounded, as it holds one entry per busy order, which `_queues` holds anyway.
        self._busy_send, self._busy = trio.open_memory_channel[str](math.inf)
        self._fewer = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        """Work through the orders with partial fills, until cancelled."""
        async with trio.open_nursery() as nursery:
            async for key in self._busy:
                nursery.start_soon(
                    self._work_through, key, name=f"partial fills of {key}"
                )

    async def on_fill_event(
        self,
        event: Literal["fill", "partial_fill"],
        order_id: str,
        filled_qty: object,
        filled_avg_price: object,
        symbol: str | None,
        *,
        mode: AccountName,
        client_order_id: str | None = None,
        execution_id: str | None = None,
        side: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Take a fill from the stream, as ``stream.TradeUpdates`` says."""
        if is_foreign(client_order_id):
            sold = (filled_qty, filled_avg_price) if event == "fill" else None
            await self.foreign.take_fill(mode, order_id, _bounded(symbol), side, sold)
            return
        if self._executions.is_repeated(event, mode, order_id, execution_id):
            return
        symbol = _bounded(symbol)
        ref = OrderRef(*(mode, order_id, client_order_id), symbol=symbol, side=side)
        if side == "sell" and is_sell_of_ours(client_order_id):
            numbers, final = (filled_qty, filled_avg_price), event == "fill"
            await self._sells.take_fill(ref, *numbers, final=final, at=at)
            return
        price = amount(filled_avg_price)
        step: Step
        if event == "fill":
            step = fill_step(
                *(ref, symbol, "stream", price, amount(filled_qty)),
                latencies=self._latencies,
                reporter=self._confirmations,
            )
        else:
            step = PartialFillStep(
                ref=ref,
                symbol=symbol,
                source="stream",
                reporter=self._confirmations,
                price=price,
            )
        await self._take(step)

    async def on_rejected_event(
        self,
        order_id: str,
        symbol: str | None,
        reason: str | None,
        *,
        mode: AccountName,
        client_order_id: str | None = None,
        execution_id: str | None = None,
        filled_qty: object = None,
        filled_avg_price: object = None,
        side: str | None = None,
    ) -> None:
        """Take a rejection from the stream; what was bought before stays bought."""
        if is_foreign(client_order_id):
            log.debug("order %s (%s) is another program's", order_id, symbol)
            return
        if self._executions.is_repeated("rejected", mode, order_id, execution_id):
            return
        symbol = _bounded(symbol)
        if reason:
            log.debug(
                "order %s was rejected with a reason: %s",
                order_id,
                reason,
                extra=about(symbol=symbol, trade_id=client_order_id, order_id=order_id),
            )
        ref = OrderRef(*(mode, order_id, client_order_id), symbol=symbol, side=side)
        if side == "sell" and is_sell_of_ours(client_order_id):
            await self._sells.take_end(ref, "rejected", filled_qty, filled_avg_price)
            return
        await self._take(
            EndedStep(
                ref=ref,
                symbol=symbol,
                source="stream",
                reporter=self._confirmations,
                how="rejected",
                price=amount(filled_avg_price),
                quantity=quantity_or_zero(0 if filled_qty is None else filled_qty),
                is_about_symbol=is_about_symbol(reason or ""),
            )
        )

    async def on_sell_ended_event(
        self,
        event: Literal["canceled", "expired"],
        order_id: str,
        filled_qty: object,
        filled_avg_price: object,
        symbol: str | None,
        *,
        mode: AccountName,
        client_order_id: str | None = None,
        execution_id: str | None = None,
        at: datetime | None = None,
    ) -> None:
        """Take the end of a sell from the stream; others' ends change nothing here."""
        if not is_sell_of_ours(client_order_id):
            log.debug("%s of order %s: nothing to do", event, order_id)
            return
        if self._executions.is_repeated(event, mode, order_id, execution_id):
            return
        ref = OrderRef(
            *(mode, order_id, client_order_id), symbol=_bounded(symbol), side="sell"
        )
        numbers = filled_qty, filled_avg_price
        await self._sells.take_end(ref, event, *numbers, at=at)

    async def on_looked_up(
        self,
        mode: AccountName,
        order: BrokerOrder,
        symbol: str,
        *,
        purpose: Purpose = Purpose.ROUTINE,
        over: Callable[[], None] | None = None,
    ) -> None:
        """Take the answer to a look-up (the table of SPEC 8).

        Args:
            mode: The account.
            order: What the broker says.
            symbol: The order's, for the log.
            purpose: What the question about the position is for, if it must be asked.
            over: Called once that is in the row, with the position's quantity where that
                is needed, or cannot be put there.
        """
        if is_sell_of_ours(order.client_order_id):
            await self._sells.take_answer(mode, order, symbol, over=over)
            return
        step = looked_up_step(
            *(mode, order, symbol),
            latencies=self._latencies,
            reporter=self._confirmations,
        )
        if over is not None:
            step.over = over
        if isinstance(step, PartialFillStep):
            step.purpose = purpose
        await self._take(step)

    async def _take(self, step: Step) -> None:
        key = step.ref.order_id or step.ref.client_order_id or ""
        queue = self._queues.get(key)
        if queue is not None:
            if not queue.add(step):
                log.debug("too much was said of %s at once: recovery asks again", key)
                step.over()
            if step.is_final:
                # What follows says more than the position would; it must not wait.
                queue.asking.cancel(reason="superseded by a later event")
        elif step.asks_position:
            self._queues[key] = StepQueue(collections.deque([step]))
            self._busy_send.send_nowait(key)
            while len(self._queues) > _MOST_QUEUES:
                await self._fewer.park()
        else:
            await self._writer.submit(step)

    async def _work_through(self, key: str) -> None:
        queue = self._queues[key]
        step: Step | None = None
        try:
            while queue.steps:
                step = queue.steps.popleft()
                try:
                    applied = await self._write(step, queue)
                except sqlite3.Error as exc:
                    step.failed(exc)  # the row may take what follows
                else:
                    step.done(applied)
        except Exception:
            # One order's events; those of the others, and the stream, go on.
            log.exception(
                "could not apply what the broker said of %s: recovery asks again", key
            )
            for left in (step, *queue.steps):
                if left is not None:
                    left.over()
        finally:
            del self._queues[key]
            self._fewer.unpark_all()

    async def _write(self, step: Step, queue: StepQueue) -> Applied | None:
        """Write a step to its row, with the position where it is a partial fill."""
        applied = await self._writer.write(step.apply)
        # What waits behind a partial fill says more than the position would.
        if (
            isinstance(step, PartialFillStep)
            and not queue.steps
            and applied is not None
            and _is_partial(applied)
        ):
            applied = await self._with_position(step, applied, queue)
        return applied

    async def _with_position(
        self, step: PartialFillStep, applied: Applied, queue: StepQueue
    ) -> Applied | None:
        """Complete a partial fill with the position's quantity, if it can be read."""
        with trio.CancelScope() as queue.asking:
            step.shares = await self._position(step, applied)
        if step.shares is None:
            return applied
        found = await self._writer.write(step.apply)
        if found is None:
            return applied
        return found._replace(changed=found.changed or applied.changed)

    async def _position(
        self, step: PartialFillStep, applied: Applied
    ) -> Decimal | None:
        problem: BrokerError | None = None
        # A look-up comes again by itself, and must not use up what others' need.
        retries = _POSITION_RETRY_SECONDS if step.source == "stream" else ()
        for pause in (*retries, None):
            with self._accounts.lease(step.ref.mode) as lease:
                await lease.take(step.purpose)
                try:
                    return await lease.use().position_quantity(applied.symbol)
                except RateLimitedError as exc:
                    lease.client.budget.block(exc.wait_seconds)
                    problem = exc
                except BrokerError as exc:
                    problem = exc
            if pause is not None:
                await trio.sleep(pause)
        kind = "no position" if isinstance(problem, NotFoundError) else "no answer"
        log.warning(
            "partial fill of %s trade=%s signal=%s: the position cannot be read (%s:"
            " %s); shares stay as they were until the next event or look-up",
            applied.symbol,
            applied.trade_id,
            applied.signal_id,
            kind,
            problem,
            extra=about_order(applied),
        )
        return None


def _is_partial(applied: Applied) -> bool:
    return not applied.settled and applied.outcome in {"partial_fill", "found_late"}


def _bounded(symbol: str | None) -> str | None:
    """Return a symbol, cut where it is too long to be a row's; it waits with its step."""
    return None if symbol is None else symbol[: _MOST_SYMBOL_CHARS + 1]

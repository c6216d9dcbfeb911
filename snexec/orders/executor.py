"""One order's life: from a signal to a row, to the wire, and to an answer (SPEC 5)."""

from __future__ import annotations

import logging
import math
import sqlite3
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio

from snexec.broker import Purpose
from snexec.errors import (
    BrokerError,
    DuplicateOrderError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.ledger import NewTrade, Opening, trade_id
from snexec.logs import about
from snexec.model import to_cents
from snexec.risk import ActiveGates
from snexec.signals import star_rating

if TYPE_CHECKING:
    from collections.abc import Callable

    from snexec.broker import AlpacaClient, BrokerOrder, Lease, SentOrder
    from snexec.intake import TakenSignal
    from snexec.latency import Latencies
    from snexec.ledger import Store, Writer
    from snexec.model import Mode, Stars
    from snexec.orders.outcomes import Outcomes
    from snexec.orders.skips import Skips
    from snexec.reconciliation import Fills
    from snexec.settings import Settings
    from snexec.signals import Signal

log = logging.getLogger("TradeExecutor")


@dataclass(kw_only=True, slots=True, eq=False)
class Attempt:
    """A signal on its way to an order.

    Attributes:
        opening: What became of the row.
        error: Why it could not be decided.
        sent: The order, once it has left or waits for a connection.
        answered_at: When the broker's answer was there, on Trio's clock.
        given_up: Whether the order must not leave any more.
        halted: Whether the kill switch kept it from leaving.
        too_late: Whether its age did.
        holds_slot: Whether no other order may take its place yet.
    """

    taken: TakenSignal
    trade: NewTrade
    lease: Lease
    opening: Opening | None = None
    error: Exception | None = None
    sent: SentOrder | None = None
    answered_at: float = math.inf
    given_up: bool = False
    halted: bool = False
    too_late: bool = False
    holds_slot: bool = True

    @property
    def client(self) -> AlpacaClient:
        """The account that the order belongs to, to the end."""
        return self.lease.client


class TradeExecutor:
    """Opens rows, sends orders, and hears what the broker answers.

    Args:
        settings: Tells the current settings; read anew for each signal.
        halted: Tells whether the kill switch is on.
        id_salt: Sets the ids of one simulation apart from the last one's.
        seen: Called with each signal that is about to be ordered.
        opened: Called with a signal's place in this run and its row's id.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], Settings],
        writer: Writer,
        fills: Fills,
        outcomes: Outcomes,
        skips: Skips,
        latency: Latencies,
        halted: Callable[[], bool],
        id_salt: str = "",
        seen: Callable[[Signal], None] | None = None,
        opened: Callable[[int, str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._writer = writer
        self._fills = fills
        self._outcomes = outcomes
        self._skips = skips
        self._latency = latency
        self._halted = halted
        self._gates = ActiveGates()
        self._id_salt = id_salt
        self._seen = seen
        self._opened = opened

    def attempt(self, taken: TakenSignal, lease: Lease) -> Attempt:
        """Return what becomes of a signal that has stars, and leaves it at that.

        Args:
            taken: The signal.
            lease: The account's, with one request taken from its budget.
        """
        stars = star_rating(taken.signal.catalyst_tier, taken.signal.ai_confidence)
        assert stars is not None  # noqa: S101 - it passed the gate
        trade = self._new_trade(taken.signal, stars, lease.client.mode)
        return Attempt(taken=taken, trade=trade, lease=lease)

    def begin(
        self,
        attempt: Attempt,
        *,
        decided: Callable[[Attempt], None],
        answered: Callable[[Attempt], None],
    ) -> None:
        """Open the row of an order, which leaves in the moment the row is durable.

        Args:
            attempt: From now on the executor's.
            decided: Called in that moment, or when it is known that there is no row
                or that the order must not leave.
            answered: Called once the broker has answered, or has not in time. What is
                left to do then, or after ``decided`` if it has not left, is
                ``execute_trade``.
        """
        trade = attempt.trade
        limits = self._gates.limits(attempt.taken.signal, self._settings().bot)

        def open_row(store: Store) -> Opening | None:
            # Time may have run out while a lock was waited for.
            return None if attempt.given_up else store.open_trade(trade, limits)

        def row_decided(opening: Opening | None) -> None:
            attempt.opening = opening
            if opening == "opened":
                self._send_if_wanted(attempt, answered)
            decided(attempt)

        def row_failed(error: Exception) -> None:
            attempt.error = error
            decided(attempt)

        self._writer.open(open_row, row_decided, row_failed)

    def open_now(self) -> None:
        """Write the rows that wait to be opened, and send their orders."""
        self._writer.open_now()

    @property
    def is_behind(self) -> bool:
        """Whether so much waits to be put down that no more should be made to."""
        return self._writer.is_behind

    def give_up(self, attempt: Attempt) -> None:
        """End an attempt whose time is up before its row was decided."""
        attempt.given_up = True
        attempt.client.budget.give_back(Purpose.ORDER)
        self._skips.tell_stopping(attempt.taken)

    def accepted(
        self, attempt: Attempt, order: BrokerOrder, done: Callable[[], None]
    ) -> None:
        """Put down that the broker has taken an order.

        Args:
            attempt: Whose order it is.
            order: What the broker says of it.
            done: Called when that is durable, or never will be.
        """
        try:
            self._outcomes.accepted(
                attempt.taken, attempt.trade, order, at=attempt.answered_at, done=done
            )
        except Exception:
            self._outcomes.look_up(attempt.trade)  # the row is open
            raise

    async def execute_trade(self, attempt: Attempt) -> None:
        """Put down what became of an order, or tell why there is none."""
        taken, trade, budget = attempt.taken, attempt.trade, attempt.client.budget
        if attempt.error is not None:
            budget.give_back(Purpose.ORDER)
            if not isinstance(attempt.error, sqlite3.Error):
                self._outcomes.look_up(trade)
                raise attempt.error
            log.error(
                "%s signal=%s is not traded: the database refuses its row (%s)",
                trade.symbol,
                trade.signal_id,
                attempt.error,
                extra=_about(trade),
            )
            self._skips.skip(taken, "not_written")
        elif attempt.opening != "opened":
            budget.give_back(Purpose.ORDER)
            self._skips.skip(taken, attempt.opening or "not_written")
        elif attempt.sent is not None:
            try:
                await self._put_down(attempt, attempt.sent)
            except Exception:
                # Whatever went wrong, the row is open and the order may have left.
                self._outcomes.look_up(trade)
                raise
        elif attempt.halted:
            budget.give_back(Purpose.ORDER)
            await self._outcomes.drop_halted(taken, trade)
        else:
            budget.give_back(Purpose.ORDER)
            await self._outcomes.drop_stale(
                taken, trade, "its row could not be written in time"
            )

    def _send_if_wanted(
        self, attempt: Attempt, answered: Callable[[Attempt], None]
    ) -> None:
        """Send the order of a row that was opened."""

        def note_answer() -> None:
            attempt.answered_at = trio.current_time()
            answered(attempt)

        try:
            if attempt.given_up or self._is_withheld(attempt):
                return
            if self._seen is not None:
                self._seen(attempt.taken.signal)
            if self._opened is not None:
                self._opened(attempt.taken.sequence, attempt.trade.id)
            self._latency.begin(attempt.trade.id, read_at=attempt.taken.read_at)
            attempt.sent = self._send(attempt, note_answer)
        except Exception as exc:  # noqa: BLE001 - raised by the order's own task
            attempt.error = exc

    def _is_withheld(self, attempt: Attempt) -> bool:
        """Look at what may have changed while it waited; the kill switch last."""
        attempt.too_late = self._skips.is_stale(attempt.taken)
        return attempt.too_late or self._is_halted(attempt)

    def _is_halted(self, attempt: Attempt) -> bool:
        attempt.halted = self._halted()
        return attempt.halted

    def _send(self, attempt: Attempt, answered: Callable[[], None]) -> SentOrder:
        trade = attempt.trade
        return attempt.client.send_order(
            symbol=trade.symbol,
            notional=str(trade.notional),
            client_order_id=trade.id,
            answered=answered,
            left=partial(self._latency.sent, trade.id),
            withheld=partial(self._is_withheld, attempt),
        )

    async def _send_again(self, attempt: Attempt) -> SentOrder:
        answered = trio.Event()
        sent = self._send(attempt, answered.set)
        try:
            await answered.wait()
        finally:
            sent.abandon("the daemon stops")
        attempt.answered_at = trio.current_time()
        return sent

    async def _put_down(self, attempt: Attempt, sent: SentOrder) -> None:
        """Put down what became of an order that has left, once it is answered."""
        taken, trade, client = attempt.taken, attempt.trade, attempt.client
        while True:
            try:
                order = sent.outcome()
            except RateLimitedError as exc:
                client.budget.block(exc.wait_seconds)
                log.warning(
                    "%s trade=%s signal=%s: the broker's rate limit is reached; next"
                    " try in %.1f s",
                    trade.symbol,
                    trade.id,
                    trade.signal_id,
                    exc.wait_seconds,
                    extra=_about(trade),
                )
                if await self._may_send_again(taken, trade, client):
                    if not self._is_halted(attempt):
                        sent = await self._send_again(attempt)
                        continue
                    client.budget.give_back(Purpose.ORDER)
                    await self._outcomes.drop_halted(taken, trade)
            except (UnknownOutcomeError, DuplicateOrderError) as exc:
                # A duplicate was accepted before, perhaps by this very request.
                self._outcomes.unknown(trade, exc)
            except RefusedError as exc:
                await self._outcomes.refused(taken, trade, exc)
            except NotSentError as exc:
                if attempt.halted:
                    await self._outcomes.drop_halted(taken, trade)
                elif attempt.too_late:
                    await self._outcomes.drop_stale(
                        taken, trade, "no connection to the broker was free in time"
                    )
                else:
                    await self._outcomes.not_sent(taken, trade, exc)
            else:
                await self._accepted(taken, trade, order, attempt.answered_at)
            return

    async def _accepted(
        self, taken: TakenSignal, trade: NewTrade, order: BrokerOrder, at: float
    ) -> None:
        durable = trio.Event()
        self._outcomes.accepted(taken, trade, order, at=at, done=durable.set)
        await durable.wait()

    async def _may_send_again(
        self, taken: TakenSignal, trade: NewTrade, client: AlpacaClient
    ) -> bool:
        """After a 429: wait, and make sure that the order was not taken.

        Returns:
            Whether to send it again, one request taken from the budget; if not,
            everything about the order is done.
        """
        while True:
            stale = self._skips.is_stale(taken)
            if not await self._wait_for_budget(client, Purpose.RECOVERY, taken):
                stale = True
            try:
                order = await client.order(client_order_id=trade.id, order_id=None)
            except NotFoundError:
                if stale or self._skips.is_stale(taken):
                    await self._outcomes.drop_stale(
                        taken, trade, "the rate limit held it up"
                    )
                    return False
            except RateLimitedError as exc:
                client.budget.block(exc.wait_seconds)
                continue
            except BrokerError as exc:
                self._outcomes.unknown(trade, exc)
                return False
            else:
                await self._accepted(taken, trade, order, trio.current_time())
                await self._fills.on_looked_up(trade.mode, order, trade.symbol)
                return False
            if await self._wait_for_budget(client, Purpose.ORDER, taken):
                return True
            await self._outcomes.drop_stale(taken, trade, "the rate limit held it up")
            return False

    async def _wait_for_budget(
        self, client: AlpacaClient, purpose: Purpose, taken: TakenSignal
    ) -> bool:
        """Take one request from the budget.

        Returns:
            Whether the signal is still fresh; an order's request is then taken, a
            look-up's is taken in any case.
        """
        while True:
            stale = self._skips.is_stale(taken)
            if stale and purpose is Purpose.ORDER:
                return False
            if client.budget.try_take(purpose):
                return not stale
            await trio.sleep(min(client.budget.seconds_until(purpose), 1.0))

    def _new_trade(self, signal: Signal, stars: Stars, mode: Mode) -> NewTrade:
        return NewTrade(
            id=trade_id(mode, signal.id, salt=self._id_salt),
            symbol=signal.symbol,
            catalyst_type=signal.catalyst_category,
            catalyst_tier=signal.catalyst_tier,
            mode=mode,
            notional=to_cents(self._settings().bot.dollars(stars)),
            stars=stars,
            price_at_signal=signal.price_at_signal,
            signal_id=signal.id,
        )


def _about(trade: NewTrade) -> dict[str, object]:
    return about(symbol=trade.symbol, trade_id=trade.id, signal_id=trade.signal_id)

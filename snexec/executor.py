"""One order's life: from a signal to a row that says what the broker said (SPEC 5)."""

from __future__ import annotations

import collections
import hashlib
import logging
import sqlite3
import uuid
from typing import TYPE_CHECKING, Literal

import trio

from snexec.broker import FINAL_STATUSES
from snexec.budget import Purpose
from snexec.errors import (
    BrokerError,
    DuplicateOrderError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    RefusedError,
    UnknownOutcomeError,
)
from snexec.signals import star_rating, to_cents
from snexec.store import NewTrade, OrderRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from snexec.accounts import Accounts
    from snexec.broker import AlpacaClient, BrokerOrder
    from snexec.events import EventFeed
    from snexec.fills import Fills
    from snexec.intake import Intake, TakenSignal
    from snexec.settings import Mode, Settings
    from snexec.signals import Signal, Stars
    from snexec.unsettled import UnsettledOrders
    from snexec.writer import Writer

log = logging.getLogger("TradeExecutor")

_WATCH_MODE_SECONDS = 1.0  # a wait for one mode's budget ends when the mode changes

SkipReason = Literal[
    "disabled", "paused", "stopped", "no_stars", "symbol_open", "repeated", "stale",
    "stopping", "not_written",
]  # fmt: skip


class TradeExecutor:
    """Turns taken signals into orders, each in its own task.

    Args:
        settings: Tells the current settings; read anew for each signal.
        id_salt: Sets the ids of one simulation apart from the last one's.
        seen: Called with each signal that is about to be ordered.
        opened: Called with a signal's place in this run and its row's id.
    """

    def __init__(
        self,
        *,
        settings: Callable[[], Settings],
        intake: Intake,
        accounts: Accounts,
        writer: Writer,
        fills: Fills,
        unsettled: UnsettledOrders,
        feed: EventFeed,
        id_salt: str = "",
        seen: Callable[[Signal], None] | None = None,
        opened: Callable[[int, str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._intake = intake
        self._accounts = accounts
        self._writer = writer
        self._fills = fills
        self._unsettled = unsettled
        self._feed = feed
        self._id_salt = id_salt
        self._seen = seen
        self._opened = opened
        self._alpaca = settings().alpaca
        self._max_age_seconds = settings().intake.max_signal_age_sec
        self._slots = trio.Semaphore(settings().intake.max_in_flight)
        self._next: TakenSignal | None = None
        self.in_flight = 0
        self.skipped: collections.Counter[SkipReason] = collections.Counter()
        self.outcomes: collections.Counter[Literal["placed", "refused", "unknown"]] = (
            collections.Counter()
        )

    async def run(self) -> None:
        """Start an order for each signal, in order; return when the last has ended."""
        async with trio.open_nursery() as nursery:
            async for taken in self._intake.taken:
                self._next = taken
                await self._start(taken, nursery)
                self._next = None
                self._intake.started()

    def skip_pending(self) -> None:
        """Say of every signal still waiting that it was not traded: time is up."""
        while True:
            taken, self._next = self._next, None
            if taken is None:
                try:
                    taken = self._intake.taken.receive_nowait()
                except (trio.WouldBlock, trio.EndOfChannel):
                    return
            self._intake.started()
            self._tell_stopping(taken)

    async def _start(self, taken: TakenSignal, nursery: trio.Nursery) -> None:
        """Wait for a slot and for the rate limit, then start the order's task."""
        if self._gate(taken.signal) is None:
            await self._slots.acquire()
            mode = await self._permit(taken)
            if mode is not None:
                self.in_flight += 1
                nursery.start_soon(
                    self._execute, taken, mode, name=f"order {taken.signal.symbol}"
                )
                return
            self._slots.release()
        reason = self._gate(taken.signal)
        self._skip(taken, reason or "stale")

    async def _permit(self, taken: TakenSignal) -> Mode | None:
        """Take one request from the current mode's budget; None if it came too late."""
        while True:
            if self._gate(taken.signal) is not None:
                return None
            if self._is_stale(taken):
                self._warn_stale(taken, "it waited too long for its turn")
                return None
            mode = self._settings().mode
            budget = self._accounts.budget(mode)
            if budget.try_take(Purpose.ORDER):
                return mode
            wait = budget.seconds_until(Purpose.ORDER)
            await trio.sleep(min(wait, _WATCH_MODE_SECONDS))

    def _gate(self, signal: Signal) -> SkipReason | None:
        bot = self._settings().bot
        if not bot.enabled:
            return "disabled"
        if bot.state != "running":
            return bot.state
        if star_rating(signal.catalyst_tier, signal.ai_confidence) is None:
            return "no_stars"
        return None

    async def _execute(self, taken: TakenSignal, mode: Mode) -> None:
        """Bound one order's faults to itself."""
        try:
            with self._accounts.lease(mode) as client:
                await self.execute_trade(taken, client)
        except Exception:
            log.exception(
                "the order of %s signal=%s failed; its row, if any, is left to recovery",
                taken.signal.symbol,
                taken.signal.id,
            )
        finally:
            self.in_flight -= 1
            self._slots.release()

    async def execute_trade(self, taken: TakenSignal, client: AlpacaClient) -> None:
        """Open the row, send the order, and put down what the broker says.

        Args:
            taken: The signal, which passed the gate.
            client: The account's, with one request taken from its budget.
        """
        signal = taken.signal
        stars = star_rating(signal.catalyst_tier, signal.ai_confidence)
        assert stars is not None  # noqa: S101 - the gate let it through
        trade = self._new_trade(signal, stars, client.mode)
        try:
            opening = await self._writer.write(lambda store: store.open_trade(trade))
        except trio.Cancelled:
            client.budget.give_back()
            self._tell_stopping(taken)
            raise
        except sqlite3.Error as exc:
            client.budget.give_back()
            log.error(  # noqa: TRY400 - the reason says it all
                "%s signal=%s is not traded: the database refuses its row (%s)",
                signal.symbol,
                signal.id,
                exc,
            )
            self._skip(taken, "not_written")
            return
        if opening != "opened":
            client.budget.give_back()
            self._skip(taken, opening)
            return
        if self._is_stale(taken):
            client.budget.give_back()
            await self._drop_stale(taken, trade, "its row could not be written in time")
            return
        if self._seen is not None:
            self._seen(signal)
        if self._opened is not None:
            self._opened(taken.sequence, trade.id)
        await self._place(taken, trade, client)

    async def _place(
        self, taken: TakenSignal, trade: NewTrade, client: AlpacaClient
    ) -> None:
        try:
            await self._send(taken, trade, client)
        except Exception:
            # Whatever went wrong, the row is open and the order may have left.
            self._unsettled.follow(
                trade_id=trade.id, symbol=trade.symbol, mode=trade.mode, order_id=None
            )
            raise

    async def _send(
        self, taken: TakenSignal, trade: NewTrade, client: AlpacaClient
    ) -> None:
        while True:
            try:
                order = await client.place_order(
                    symbol=trade.symbol,
                    notional=str(trade.notional),
                    client_order_id=trade.id,
                )
            except RateLimitedError as exc:
                client.budget.block(exc.wait_seconds)
                log.warning(
                    "%s trade=%s: the broker's rate limit is reached; next try in"
                    " %.1f s",
                    trade.symbol,
                    trade.id,
                    exc.wait_seconds,
                )
                if await self._may_send_again(taken, trade, client):
                    continue
            except (UnknownOutcomeError, DuplicateOrderError) as exc:
                # A duplicate was accepted before, perhaps by this very request.
                self._to_look_up(trade, exc)
            except RefusedError as exc:
                await self._refused(taken, trade, exc)
            except NotSentError as exc:
                await self._not_sent(taken, trade, exc)
            else:
                await self._accepted(taken, trade, order)
            return

    async def _accepted(
        self, taken: TakenSignal, trade: NewTrade, order: BrokerOrder
    ) -> None:
        ref = OrderRef(mode=trade.mode, order_id=order.id, client_order_id=trade.id)
        self.outcomes["placed"] += 1
        log.info(
            "Order placed: %s $%s (%d stars, %s) orderId=%s trade=%s signal=%s",
            trade.symbol,
            str(trade.notional),
            trade.stars,
            trade.mode,
            order.id,
            trade.id,
            trade.signal_id,
        )
        # Followed before the row is written: a fill in the same commit ends it again.
        self._unsettled.placed(
            trade_id=trade.id, symbol=trade.symbol, mode=trade.mode, order_id=order.id
        )
        applied = await self._writer.write(lambda store: store.apply_working(ref))
        if applied is None or applied.settled:
            self._unsettled.settled(trade.id)
        if applied is None:
            log.error(
                "%s trade=%s: the broker took the order as %s, and the row is gone or"
                " names another order: look at the account",
                trade.symbol,
                trade.id,
                order.id,
            )
            return
        if order.status in FINAL_STATUSES:
            self._unsettled.ask_now(trade.id)
        self._publish("placed", taken, trade, {"orderId": order.id})

    async def _refused(
        self, taken: TakenSignal, trade: NewTrade, refusal: RefusedError
    ) -> None:
        log.error(
            "Order refused: %s trade=%s signal=%s HTTP %d: %s (body: %s)",
            trade.symbol,
            trade.id,
            trade.signal_id,
            refusal.status_code,
            refusal.reason,
            refusal.body,
        )
        await self._no_order(taken, trade, refusal.reason, refusal.status_code)

    async def _not_sent(
        self, taken: TakenSignal, trade: NewTrade, problem: NotSentError
    ) -> None:
        log.error(
            "Order not sent: %s trade=%s signal=%s: no connection to the broker (%s)",
            trade.symbol,
            trade.id,
            trade.signal_id,
            problem,
        )
        await self._no_order(taken, trade, f"not sent: {problem}", None)

    async def _no_order(
        self, taken: TakenSignal, trade: NewTrade, reason: str, http: int | None
    ) -> None:
        """Remove the row of an order that does not exist, and tell."""
        self.outcomes["refused"] += 1
        if await self._discard(trade):
            self._publish("refused", taken, trade, {"httpStatus": http}, reason)

    def _to_look_up(self, trade: NewTrade, problem: BrokerError) -> None:
        """Leave the row open until the broker's evidence settles it."""
        self.outcomes["unknown"] += 1
        log.warning(
            "Order outcome unknown: %s trade=%s signal=%s: %s; it is not sent again,"
            " the broker is asked what became of it",
            trade.symbol,
            trade.id,
            trade.signal_id,
            problem,
        )
        self._unsettled.placed(
            trade_id=trade.id,
            symbol=trade.symbol,
            mode=trade.mode,
            order_id=None,
        )

    async def _may_send_again(
        self, taken: TakenSignal, trade: NewTrade, client: AlpacaClient
    ) -> bool:
        """After a 429: wait, and make sure that the order was not taken.

        Returns:
            Whether to send it again, one request taken from the budget; if not,
            everything about the order is done.
        """
        while True:
            stale = self._is_stale(taken)
            if not await self._wait_for_budget(client, Purpose.RECOVERY, taken):
                stale = True
            try:
                order = await client.order(client_order_id=trade.id, order_id=None)
            except NotFoundError:
                if stale or self._is_stale(taken):
                    await self._drop_stale(taken, trade, "the rate limit held it up")
                    return False
            except RateLimitedError as exc:
                client.budget.block(exc.wait_seconds)
                continue
            except BrokerError as exc:
                self._to_look_up(trade, exc)
                return False
            else:
                await self._accepted(taken, trade, order)
                await self._fills.on_looked_up(trade.mode, order, trade.symbol)
                return False
            if await self._wait_for_budget(client, Purpose.ORDER, taken):
                return True
            await self._drop_stale(taken, trade, "the rate limit held it up")
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
            stale = self._is_stale(taken)
            if stale and purpose is Purpose.ORDER:
                return False
            if client.budget.try_take(purpose):
                return not stale
            await trio.sleep(min(client.budget.seconds_until(purpose), 1.0))

    async def _drop_stale(self, taken: TakenSignal, trade: NewTrade, why: str) -> None:
        if await self._discard(trade):
            self._warn_stale(taken, why)
            self._skip(taken, "stale")

    async def _discard(self, trade: NewTrade) -> bool:
        gone = await self._writer.write(lambda store: store.discard_trade(trade.id))
        if not gone:
            log.error(
                "%s trade=%s: the stream has spoken of an order that was refused; its"
                " row stays, and the broker is asked",
                trade.symbol,
                trade.id,
            )
            self._unsettled.placed(
                trade_id=trade.id, symbol=trade.symbol, mode=trade.mode, order_id=None
            )
        return gone

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

    def _is_stale(self, taken: TakenSignal) -> bool:
        return trio.current_time() - taken.read_at > self._max_age_seconds

    def _warn_stale(self, taken: TakenSignal, why: str) -> None:
        log.warning(
            "%s signal=%s is not traded: it is older than %g s (%s)",
            taken.signal.symbol,
            taken.signal.id,
            self._max_age_seconds,
            why,
        )

    def _tell_stopping(self, taken: TakenSignal) -> None:
        log.warning(
            "%s signal=%s is not traded: the daemon stops",
            taken.signal.symbol,
            taken.signal.id,
        )
        self._skip(taken, "stopping")

    def _skip(self, taken: TakenSignal, reason: SkipReason) -> None:
        self.skipped[reason] += 1
        log.debug(
            "%s signal=%s skipped: %s", taken.signal.symbol, taken.signal.id, reason
        )
        self._feed.publish(
            "skipped",
            signal_id=taken.signal.id,
            symbol=taken.signal.symbol,
            reason=reason,
            sequence=taken.sequence,
        )

    def _publish(
        self,
        event: Literal["placed", "refused"],
        taken: TakenSignal,
        trade: NewTrade,
        more: Mapping[str, object],
        reason: str | None = None,
    ) -> None:
        self._feed.publish(
            event,
            {"mode": trade.mode, "notional": str(trade.notional), **more},
            signal_id=trade.signal_id,
            trade_id=trade.id,
            symbol=trade.symbol,
            reason=reason,
            sequence=taken.sequence,
        )


def trade_id(mode: Mode, signal_id: str | None, *, salt: str = "") -> str:
    """Derive a row's id, so that one signal has one order whoever sends it (SPEC 4).

    A signal without an id gets a random one.
    """
    if signal_id is None:
        return f"sn-{uuid.uuid4().hex}"
    digest = hashlib.sha256(f"{mode}\0{salt}\0{signal_id}".encode()).hexdigest()
    return f"sn-{digest[:32]}"

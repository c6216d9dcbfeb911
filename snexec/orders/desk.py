"""The order desk as the rest of the daemon sees it: intents in, orders out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import trio

from snexec.orders.buying import Buying, Market, SignalBuy
from snexec.orders.dispatch import Dispatcher
from snexec.orders.executor import Onlooker, TradeExecutor
from snexec.orders.freshness import Freshness
from snexec.orders.outcomes import Outcomes
from snexec.orders.producers import Producers
from snexec.orders.queue import IntentQueue
from snexec.orders.refusals import Refusals
from snexec.orders.resend import Resend
from snexec.orders.sell_desk import SellDesk
from snexec.orders.sell_outcomes import SellOutcomes
from snexec.orders.skips import Skips

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from snexec.broker import Accounts
    from snexec.events import EventFeed
    from snexec.latency import Latencies
    from snexec.ledger import Ledger
    from snexec.orders.intent import Intent, SkipReason
    from snexec.orders.selling import Sell, SellListener
    from snexec.reconciliation import Reconciler
    from snexec.risk import HaltSwitch, Snapshot
    from snexec.settings import LiveSettings
    from snexec.signals import TakenSignal


class OrdersStatus(NamedTuple):
    """What became of the intents since the start.

    Attributes:
        pending: Those that wait for an order slot.
        in_flight: Orders that are being placed.
        placed: Orders that the broker accepted.
        refused: Orders that it refused, or that never left.
        unknown: Orders whose outcome was not known at first.
        skipped: Signals that were not traded, by the reason.
    """

    pending: int
    in_flight: int
    placed: int
    refused: int
    unknown: int
    skipped: Mapping[SkipReason, int]


class OrderDesk:
    """Takes intents, and places an order for each one that may be ordered.

    Args:
        live: Amounts, limits and the mode, read again for each order.
        accounts: Where orders go.
        ledger: Where each order has its row before it leaves.
        reconciler: Follows each order until it is settled.
        halt: The kill switch, checked last.
        market: Its hours, for a gate.
        latencies: Times each order.
        feed: Where what becomes of it is published.
        id_salt: Makes the ids of one simulation differ from the last one's.
        onlookers: Called with each order just before it leaves.

    Attributes:
        freshness: What came before a gap is not ordered for.
    """

    def __init__(  # noqa: PLR0917 - wings, in the order of the floors
        self,
        live: LiveSettings,
        accounts: Accounts,
        ledger: Ledger,
        reconciler: Reconciler,
        halt: HaltSwitch,
        market: Market,
        latencies: Latencies,
        feed: EventFeed,
        *,
        id_salt: str = "",
        onlookers: Sequence[Onlooker] = (),
    ) -> None:
        limits, posts = live.now.intake, live.now.http.enabled
        self._queue = IntentQueue(limits.max_pending)
        self._writer = ledger.writer
        self.freshness = Freshness(limits.max_signal_age_sec)
        self.skips = Skips(feed=feed, freshness=self.freshness)
        unsettled = reconciler.unsettled
        self._buying = Buying(
            *(live, accounts, halt, market, self.skips),
            unsettled=unsettled,
            id_salt=id_salt,
        )
        self.outcomes = Outcomes(
            ledger, unsettled, reconciler.discarded, latencies, feed
        )
        executor = TradeExecutor(
            outcomes=self.outcomes,
            refusals=Refusals(self.outcomes, unsettled, reconciler.discarded),
            resend=Resend(reconciler.fills, self.outcomes),
            unsettled=unsettled,
            latencies=latencies,
            halt=halt,
            ledger=ledger,
            onlookers=[*onlookers, Producers(feed)] if posts else onlookers,
        )
        self.dispatcher = Dispatcher(
            live=live,
            queue=self._queue,
            accounts=accounts,
            writer=ledger.writer,
            executor=executor,
            outcomes=self.outcomes,
        )
        self.sell_outcomes = SellOutcomes(
            live, ledger.writer, reconciler.unsettled, reconciler.sells, feed
        )
        self.sells = SellDesk(accounts, ledger, reconciler, halt, self.sell_outcomes)

    @property
    def is_full(self) -> bool:
        """Whether no more intents may wait."""
        return self._queue.is_full

    @property
    def room(self) -> int:
        """How many more intents may wait."""
        return self._queue.room

    async def wait_for_room(self) -> None:
        """Wait until another intent may be submitted."""
        await self._queue.wait_for_room()

    def hand_in(self, taken: TakenSignal) -> None:
        """Take a signal to buy for, and order now if nothing has to be waited for."""
        self.submit(SignalBuy(taken, self._buying))

    def submit(self, intent: Intent) -> None:
        """Take an intent, and order now if nothing has to be waited for."""
        if self._queue.pending or not self.dispatcher.begin_now(intent):
            self._queue.put(intent)

    def sell(self, sell: Sell, listener: SellListener) -> None:
        """Take a sell, which leaves in the moment in which it is durable (SPEC 12.5)."""
        self.sells.sell(sell, listener)

    def listen(self, exit_id: str, listener: SellListener) -> None:
        """Have somebody hear of a sell that an earlier run has planned."""
        self.sells.listen(exit_id, listener)

    @property
    def is_closed(self) -> bool:
        """Whether no more sells are taken: the daemon stops."""
        return self.sells.is_closed

    @property
    def is_all_halted(self) -> bool:
        """Whether no order leaves at all, the sells of exits neither."""
        return self.sells.is_all_halted

    def announce(self, say: Callable[[], None]) -> None:
        """Have something said of a sell once no more of them leave."""
        self.sell_outcomes.announcements.add(say)

    def flush(self) -> None:
        """Write the rows of orders that have begun, so that those leave in this step."""
        self._writer.open_now()

    def close(self, *, sells_too: bool = True) -> None:
        """Take no more intents; what was submitted is still ordered.

        Args:
            sells_too: Whether no more sells are taken either, from now on.
        """
        self._queue.close()
        if sells_too:
            self.sells.close()

    async def run(self, *, settle: Callable[[], Awaitable[None]] | None = None) -> None:
        """Place orders, until closed and the last one has ended.

        Args:
            settle: Awaited once every buy has ended; sells are taken until it returns.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.sells.run, name="sells")
            await self.dispatcher.run()
            if settle is not None:
                await settle()
            self.sells.close()

    def drop_pending(self) -> None:
        """Drop every intent that still waits: time is up."""
        self.dispatcher.drop_pending()

    def snapshot(self) -> Snapshot:
        """Return what the gates that need no count see now."""
        return self._buying.snapshot()

    @property
    def id_salt(self) -> str:
        """What makes the ids of one simulation differ from the last one's."""
        return self._buying.id_salt

    def status(self) -> OrdersStatus:
        """Return what became of the intents since the start."""
        counts = self.outcomes.counts
        return OrdersStatus(
            pending=self._queue.pending,
            in_flight=self.dispatcher.in_flight,
            placed=counts["placed"],
            refused=counts["refused"],
            unknown=counts["unknown"],
            skipped=self.skips.counts.copy(),
        )

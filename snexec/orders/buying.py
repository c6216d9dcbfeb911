"""How a signal becomes an intent to buy: its gates, its dollars, its row (SPEC 4, 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from snexec.ledger import NewTrade, trade_id
from snexec.model import to_cents
from snexec.risk import ActiveGates, Snapshot
from snexec.signals import star_rating

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.broker import Accounts
    from snexec.ledger import Opening, Store
    from snexec.model import AccountName, Mode, Side
    from snexec.orders.intent import Lapse, SkipReason
    from snexec.orders.skips import Skips
    from snexec.reconciliation import UnsettledOrders
    from snexec.risk import HaltSwitch, Limits
    from snexec.settings import ExitSettings, LiveSettings
    from snexec.signals import TakenSignal


class Market(Protocol):
    """What a gate needs to know about the market's hours."""

    def is_open(self, mode: Mode) -> bool | None:
        """Return whether it is open; None where that is not known now."""

    def seconds_to_close(self, mode: Mode) -> float | None:
        """Return in how many seconds it closes; None if it is not known to be open."""


class Buying:
    """What all buys for signals share.

    Args:
        live: Read again for each signal.
        accounts: Whose keys may be missing.
        halt: Asked only whether a halt is known; the real check comes last (SPEC 11).
        market: The broker's clock.
        skips: Reports the signals that are not bought.
        unsettled: Which orders an earlier run has left without the broker's word.
        id_salt: Makes the ids of one simulation differ from the last one's.
    """

    def __init__(
        self,
        live: LiveSettings,
        accounts: Accounts,
        halt: HaltSwitch,
        market: Market,
        skips: Skips,
        *,
        unsettled: UnsettledOrders,
        id_salt: str,
    ) -> None:
        self.live = live
        self.skips = skips
        self.id_salt = id_salt
        self.gates = ActiveGates()
        self._accounts = accounts
        self._halt = halt
        self._market = market
        self._unsettled = unsettled

    def is_of_an_earlier_run(self, trade_id: str) -> bool:
        """Return whether an order is that, and not settled; from any thread."""
        order = self._unsettled.get(trade_id)
        return order is not None and not order.of_this_run

    def open_again(
        self, store: Store, trade: NewTrade, limits: Limits | None
    ) -> Opening:
        """Open an earlier run's row, which no look-up that is under way may then end."""
        opening = store.unsent.open_again(trade, limits)
        if opening == "again":
            self._unsettled.note_opening(trade.id)
        return opening

    def is_standby(self) -> bool:
        """Return whether another host may order now, and this daemon not."""
        return self._halt.is_standby()

    def snapshot(self) -> Snapshot:
        """Return what the gates that need no count see now."""
        settings = self.live.now
        asked = settings.bot.require_market_open
        is_open = self._market.is_open(settings.mode) if asked else None
        has_keys = self._accounts.has_keys(settings.mode)
        exits = settings.exits
        return Snapshot(
            self._halt.is_known(),
            is_open,
            has_keys,
            flattening=exits is not None and self._is_flattening(exits, settings.mode),
        )

    def _is_flattening(self, exits: ExitSettings, mode: Mode) -> bool:
        """Return whether what is bought now would be held over the close."""
        before = exits.flatten_before_close_sec
        if before is None or not exits.enabled:
            return False
        left = self._market.seconds_to_close(mode)
        return left is None or left <= before


class SignalBuy:
    """The intent to buy for a signal that was taken."""

    __slots__ = ("_buying", "_limits", "taken")

    side: Side = "buy"
    quantity: Decimal | None = None  # its size is in dollars

    def __init__(self, taken: TakenSignal, buying: Buying) -> None:
        self.taken = taken
        self._buying = buying
        self._limits: Limits | None = None

    @property
    def symbol(self) -> str:
        """The signal's symbol."""
        return self.taken.signal.symbol

    @property
    def read_at(self) -> float:
        """When the signal's line was read, on Trio's clock."""
        return self.taken.read_at

    @property
    def sequence(self) -> int:
        """The signal's place in this run."""
        return self.taken.sequence

    def stopped(self) -> SkipReason | None:
        """Return the reason of the first gate that stops it and needs no count."""
        buying = self._buying
        return buying.gates.stopped_early(
            self.taken.signal, buying.live.now.bot, buying.snapshot()
        )

    def lapsed(self) -> Lapse | None:
        """Return whether the mode that took the signal is over, or it is too old.

        And whether another host may order now, who then reads the signal again.
        """
        if self._buying.is_standby():
            return "standby"
        if self.taken.term is not self._buying.live.term:
            return "mode_changed"
        return "stale" if self._buying.skips.is_stale(self.taken) else None

    def draw_up(self, account: AccountName) -> NewTrade:
        """Return its row as of now, and note which limits apply to it."""
        signal, buying = self.taken.signal, self._buying
        bot = buying.live.now.bot
        stars = star_rating(signal.catalyst_tier, signal.ai_confidence)
        if stars is None:
            raise ValueError("a signal without stars has passed its gate")
        self._limits = buying.gates.limits(signal, bot)
        return NewTrade(
            id=trade_id(account, signal.id, salt=buying.id_salt),
            symbol=signal.symbol,
            catalyst_type=signal.catalyst_category,
            catalyst_tier=signal.catalyst_tier,
            mode=account,
            notional=to_cents(bot.dollars(stars)),
            stars=stars,
            price_at_signal=signal.price_at_signal,
            signal_id=signal.id,
            producer=self.taken.producer,
        )

    def open_row(self, store: Store, trade: NewTrade) -> Opening:
        """Write its row, unless a limit that counts rows forbids it.

        What an earlier run has read and not seen through comes again, where its feeder
        keeps it (SPEC 13). Whether its order has left is not known, and the broker takes
        an id once: so it is sent in the same row, and there is one order either way.
        """
        opening = store.open_trade(trade, self._limits)
        if opening != "repeated" or not self.taken.is_kept:
            return opening
        if not self._buying.is_of_an_earlier_run(trade.id):
            return opening
        return self._buying.open_again(store, trade, self._limits)

    def dropped(self, reason: SkipReason, *, why: str = "") -> None:
        """Count and report that the signal is not traded."""
        self._buying.skips.skip(self.taken, reason, why=why)

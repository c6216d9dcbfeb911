"""What a limit is made of: its reason, what it looks at, its gate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.settings import BotSettings
    from snexec.signals import Signal

Reason = Literal[
    "halted", "disabled", "paused", "stopped", "no_keys", "tier_disabled", "no_stars", "symbol",
    "share_price", "float_shares", "relative_volume", "market_closed", "flattening",
    "max_positions", "daily_loss", "win_rate", "brake_symbol_cooldown",
    "brake_orders_per_minute", "brake_orders_per_day", "brake_notional_per_day",
]  # fmt: skip
# These are rare, and somebody should know.
COUNTED_REASONS: frozenset[str] = frozenset({
    "max_positions", "daily_loss", "win_rate", "brake_symbol_cooldown",
    "brake_orders_per_minute", "brake_orders_per_day", "brake_notional_per_day",
})  # fmt: skip


class Counts(NamedTuple):
    """What the database says; a figure that no limit asks for keeps its default.

    Attributes:
        open_positions: Open rows of the mode, and those that name none.
        realised: Dollars won or lost by such rows, closed since midnight in New York.
        wins: How many of ``closed`` won.
        closed: The last closed rows whose result is known, as many as are asked for.
        since_symbol: Seconds since the symbol's last order, None without one.
        last_minute: Orders in the last 60 seconds.
        today: Orders since midnight in New York.
        cents_today: What those were worth, in cents.
        cents: What this order is worth, in cents.
    """

    open_positions: int = 0
    realised: float = 0.0
    wins: int = 0
    closed: int = 0
    since_symbol: float | None = None
    last_minute: int = 0
    today: int = 0
    cents_today: int = 0
    cents: int = 0


class Snapshot(NamedTuple):
    """What a gate may need besides the signal and its settings.

    Attributes:
        halted: Whether the kill switch is on.
        market_open: What the broker's clock says, None where that is not known.
        has_keys: Whether there are keys for the mode's account.
        flattening: Whether shares are sold before the close, or are not bought again
            before the open (SPEC 12.1).
        counts: Only for the gates that count.
    """

    halted: bool = False
    market_open: bool | None = None
    has_keys: bool = True
    flattening: bool = False
    counts: Counts = Counts()


Check = Callable[["Signal", "BotSettings", Snapshot], Reason | None]


class Needs(NamedTuple):
    """What has to be counted, in the transaction that opens the row.

    Attributes:
        positions: Open rows.
        results: What closed rows won or lost.
        orders: Recent orders.
    """

    positions: bool = False
    results: bool = False
    orders: bool = False


class Gate(NamedTuple):
    """One limit.

    Attributes:
        name: Its keys in ``[bot]``, or what else it looks at.
        check: Returns the reason for which it stops a signal, None if it does not.
        is_set: Whether there is a limit at all.
        figures: Says what the limit is and how near it is, for a person.
        needs: What has to be counted for it, if anything: then the writer decides it.
    """

    name: str
    check: Check
    is_set: Callable[[BotSettings], bool]
    figures: Callable[[Signal, BotSettings, Snapshot], str]
    needs: Needs = Needs()

    @property
    def counts(self) -> bool:
        """Whether the writer decides it, from what it counts."""
        return any(self.needs)


class Limits(NamedTuple):
    """A signal and the limits that hold for it, for whoever counts."""

    signal: Signal
    bot: BotSettings
    checks: tuple[Check, ...]
    needs: Needs

    def stop(self, counts: Counts) -> Reason | None:
        """Return the reason of the first gate that these counts make stop it."""
        return first_reason(self.checks, self.signal, self.bot, Snapshot(counts=counts))


def first_reason(
    checks: tuple[Check, ...], signal: Signal, bot: BotSettings, snapshot: Snapshot
) -> Reason | None:
    """Return the reason of the first check that stops a signal, None if none does."""
    for check in checks:
        if (reason := check(signal, bot, snapshot)) is not None:
            return reason
    return None


def money(dollars: float | Decimal) -> str:
    """Show an amount of dollars: to the cent, or all of a price below a dollar."""
    if 0 < dollars < 1:
        text = f"{dollars:.9f}".rstrip("0")
        return f"${text}" if len(text) > len("0.00") else f"${dollars:.2f}"
    return f"-${-dollars:,.2f}" if dollars < 0 else f"${dollars:,.2f}"


def always_set(_bot: BotSettings) -> bool:
    """Return True: the gate is asked whatever ``[bot]`` says."""
    return True

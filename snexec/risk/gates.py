"""What keeps a signal from becoming an order: one function a limit, in one order.

A gate is a pure function over a signal, ``[bot]`` and a snapshot of what counts; it
returns the reason for which it stops the signal, or None. ``GATES`` is their order, and
the reason that is told is the first one's. To add a gate: a key in ``BotSettings``, a
function here, a line in ``GATES``, a test.

The first part needs no count: it is asked in the dispatcher, for each signal anew. The
second part counts rows: it is asked by the writer in the transaction that opens the
row, after ``repeated`` and ``symbol_open``, so that nothing comes in between. The halt
is asked once more in the moment before the request leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from snexec.model import to_cents
from snexec.signals import star_rating

if TYPE_CHECKING:
    from decimal import Decimal

    from snexec.settings import BotSettings
    from snexec.signals import Signal

Reason = Literal[
    "halted", "disabled", "paused", "stopped", "tier_disabled", "no_stars", "symbol",
    "share_price", "float_shares", "relative_volume", "market_closed",
    "max_positions", "daily_loss", "win_rate", "brake_symbol_cooldown",
    "brake_orders_per_minute", "brake_orders_per_day", "brake_notional_per_day",
]  # fmt: skip
# Those are rare, and somebody should know.
COUNTED_REASONS: frozenset[str] = frozenset({
    "max_positions", "daily_loss", "win_rate", "brake_symbol_cooldown",
    "brake_orders_per_minute", "brake_orders_per_day", "brake_notional_per_day",
})  # fmt: skip


class Counts(NamedTuple):
    """What the database says; figures that no limit asks for are left at nothing.

    Attributes:
        open_positions: Open rows, whoever wrote them.
        realised: Dollars won or lost by rows closed since New York midnight.
        wins: How many of ``closed`` won.
        closed: The last closed rows of which it is known, as many as are asked for.
        since_symbol: Seconds since the symbol's last order, None without one.
        last_minute: Orders of the last 60 seconds.
        today: Orders since New York midnight.
        cents_today: What those were worth.
        cents: What this one is worth.
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
    """What a gate may need beside the signal and its settings.

    Attributes:
        halted: Whether the kill switch is on.
        market_open: What the broker's clock says, None where that is not known.
        counts: Only for the gates that count.
    """

    halted: bool = False
    market_open: bool | None = None
    counts: Counts = Counts()


Check = Callable[["Signal", "BotSettings", Snapshot], Reason | None]


# Without a count.


def _halted(_signal: Signal, _bot: BotSettings, seen: Snapshot) -> Reason | None:
    return "halted" if seen.halted else None


def _disabled(_signal: Signal, bot: BotSettings, _seen: Snapshot) -> Reason | None:
    return None if bot.enabled else "disabled"


def _state(_signal: Signal, bot: BotSettings, _seen: Snapshot) -> Reason | None:
    return None if bot.state == "running" else bot.state


def _tier(signal: Signal, bot: BotSettings, _seen: Snapshot) -> Reason | None:
    tiers = bot.enabled_catalyst_tiers
    return None if tiers is None or signal.catalyst_tier in tiers else "tier_disabled"


def _stars(signal: Signal, _bot: BotSettings, _seen: Snapshot) -> Reason | None:
    stars = star_rating(signal.catalyst_tier, signal.ai_confidence)
    return "no_stars" if stars is None else None


def _symbol(signal: Signal, bot: BotSettings, _seen: Snapshot) -> Reason | None:
    allowed, blocked = bot.symbols_allowed, bot.symbols_blocked
    if allowed is not None and signal.symbol not in allowed:
        return "symbol"
    return "symbol" if blocked is not None and signal.symbol in blocked else None


def _share_price(signal: Signal, bot: BotSettings, _seen: Snapshot) -> Reason | None:
    limit = bot.max_share_price
    # As floats, as a price of 0.1 is a little more than a Decimal of 0.1.
    too_high = limit is not None and signal.price_at_signal > float(limit)
    return "share_price" if too_high else None


def _float_shares(signal: Signal, bot: BotSettings, _seen: Snapshot) -> Reason | None:
    limit, figure = bot.max_float_shares, signal.float_shares
    too_many = limit is not None and (figure is None or figure > limit)
    return "float_shares" if too_many else None


def _relative_volume(
    signal: Signal, bot: BotSettings, _seen: Snapshot
) -> Reason | None:
    limit, figure = bot.min_relative_volume, signal.relative_volume
    too_little = limit is not None and (figure is None or figure < limit)
    return "relative_volume" if too_little else None


def _market(signal: Signal, bot: BotSettings, seen: Snapshot) -> Reason | None:
    if not bot.require_market_open or trades_around_the_clock(signal.symbol):
        return None
    return None if seen.market_open else "market_closed"


# Counted.


def _positions(_signal: Signal, bot: BotSettings, seen: Snapshot) -> Reason | None:
    limit = bot.max_concurrent_positions
    full = limit is not None and seen.counts.open_positions >= limit
    return "max_positions" if full else None


def _daily_loss(_signal: Signal, bot: BotSettings, seen: Snapshot) -> Reason | None:
    limit = bot.daily_loss_limit_usd
    lost = limit is not None and -seen.counts.realised >= float(limit)
    return "daily_loss" if lost else None


def _win_rate(_signal: Signal, bot: BotSettings, seen: Snapshot) -> Reason | None:
    least, trades = bot.min_win_rate, bot.min_win_rate_trades
    if least is None or trades is None or seen.counts.closed < trades:
        return None  # fewer than are asked for prove nothing
    return "win_rate" if seen.counts.wins / seen.counts.closed < least else None


def _cooldown(_signal: Signal, bot: BotSettings, seen: Snapshot) -> Reason | None:
    limit, since = bot.symbol_cooldown_sec, seen.counts.since_symbol
    too_soon = limit is not None and since is not None and since < limit
    return "brake_symbol_cooldown" if too_soon else None


def _per_minute(_signal: Signal, bot: BotSettings, seen: Snapshot) -> Reason | None:
    limit = bot.max_orders_per_minute
    reached = limit is not None and seen.counts.last_minute >= limit
    return "brake_orders_per_minute" if reached else None


def _per_day(_signal: Signal, bot: BotSettings, seen: Snapshot) -> Reason | None:
    limit = bot.max_orders_per_day
    reached = limit is not None and seen.counts.today >= limit
    return "brake_orders_per_day" if reached else None


def _notional(_signal: Signal, bot: BotSettings, seen: Snapshot) -> Reason | None:
    limit = bot.max_notional_per_day_usd
    if limit is None:
        return None
    counts = seen.counts
    too_much = counts.cents_today + counts.cents > limit * 100
    return "brake_notional_per_day" if too_much else None


@dataclass(frozen=True, slots=True)
class Gate:
    """One limit.

    Attributes:
        name: The keys of ``[bot]`` that it goes by, or what else it looks at.
        check: Tells the reason for which it stops a signal, if it does.
        is_set: Whether there is anything to be stopped by.
        figures: Says what the limit is and how near it is, for a person.
        counts: Whether it is decided by the writer, from rows.
    """

    name: str
    check: Check
    is_set: Callable[[BotSettings], bool]
    figures: Callable[[Signal, BotSettings, Snapshot], str]
    counts: bool = False


def _always(_bot: BotSettings) -> bool:
    return True


GATES: tuple[Gate, ...] = (
    Gate(
        "halt",
        _halted,
        _always,
        lambda _s, _b, seen: "the kill switch is on" if seen.halted else "not halted",
    ),
    Gate(
        "enabled",
        _disabled,
        _always,
        lambda _s, b, _seen: "enabled" if b.enabled else "enabled = false",
    ),
    Gate("state", _state, _always, lambda _s, b, _seen: b.state),
    Gate(
        "enabled_catalyst_tiers",
        _tier,
        lambda b: b.enabled_catalyst_tiers is not None,
        lambda s, b, _seen: (
            f"tier {s.catalyst_tier}; may trade:"
            f" {', '.join(map(str, b.enabled_catalyst_tiers or ()))}"
        ),
    ),
    Gate(
        "stars",
        _stars,
        _always,
        lambda s, _b, _seen: (
            f"tier {s.catalyst_tier}, confidence {s.ai_confidence or 'none'}:"
            f" {star_rating(s.catalyst_tier, s.ai_confidence) or 'no'} stars"
        ),
    ),
    Gate(
        "symbols_allowed, symbols_blocked",
        _symbol,
        lambda b: b.symbols_allowed is not None or b.symbols_blocked is not None,
        lambda s, b, _seen: (
            f"{s.symbol} is blocked"
            if s.symbol in (b.symbols_blocked or ())
            else f"{s.symbol} is not blocked"
            if b.symbols_allowed is None
            else f"{s.symbol} is{'' if s.symbol in b.symbols_allowed else ' not'}"
            f" among the {len(b.symbols_allowed)} that may trade"
        ),
    ),
    Gate(
        "max_share_price",
        _share_price,
        lambda b: b.max_share_price is not None,
        lambda s, b, _seen: f"${s.price_at_signal:g}; at most ${b.max_share_price}",
    ),
    Gate(
        "max_float_shares",
        _float_shares,
        lambda b: b.max_float_shares is not None,
        lambda s, b, _seen: (
            f"{_shown(s.float_shares)} shares; at most {b.max_float_shares:,.15g}"
        ),
    ),
    Gate(
        "min_relative_volume",
        _relative_volume,
        lambda b: b.min_relative_volume is not None,
        lambda s, b, _seen: (
            f"{_shown(s.relative_volume)}; at least {b.min_relative_volume:g}"
        ),
    ),
    Gate(
        "require_market_open",
        _market,
        lambda b: b.require_market_open,
        lambda s, _b, seen: (
            f"{s.symbol} trades around the clock"
            if trades_around_the_clock(s.symbol)
            else "the broker's clock is not known"
            if seen.market_open is None
            else "open"
            if seen.market_open
            else "closed"
        ),
    ),
    Gate(
        "max_concurrent_positions",
        _positions,
        lambda b: b.max_concurrent_positions is not None,
        lambda _s, b, seen: (
            f"{seen.counts.open_positions} of {b.max_concurrent_positions} positions"
            " open"
        ),
        counts=True,
    ),
    Gate(
        "daily_loss_limit_usd",
        _daily_loss,
        lambda b: b.daily_loss_limit_usd is not None,
        lambda _s, b, seen: (
            f"{_money(seen.counts.realised)} realised today; limit"
            f" -${b.daily_loss_limit_usd}"
        ),
        counts=True,
    ),
    Gate(
        "min_win_rate",
        _win_rate,
        lambda b: b.min_win_rate is not None,
        lambda _s, b, seen: (
            f"{seen.counts.wins} of the last {seen.counts.closed} closed won; at least"
            f" {b.min_win_rate:g} of {b.min_win_rate_trades}"
        ),
        counts=True,
    ),
    Gate(
        "symbol_cooldown_sec",
        _cooldown,
        lambda b: b.symbol_cooldown_sec is not None,
        lambda s, b, seen: (
            f"no order of {s.symbol} in that time"
            if seen.counts.since_symbol is None
            else f"{seen.counts.since_symbol:.1f} s since the last order of {s.symbol};"
            f" at least {b.symbol_cooldown_sec:g}"
        ),
        counts=True,
    ),
    Gate(
        "max_orders_per_minute",
        _per_minute,
        lambda b: b.max_orders_per_minute is not None,
        lambda _s, b, seen: (
            f"{seen.counts.last_minute} of {b.max_orders_per_minute} orders in the last"
            " minute"
        ),
        counts=True,
    ),
    Gate(
        "max_orders_per_day",
        _per_day,
        lambda b: b.max_orders_per_day is not None,
        lambda _s, b, seen: (
            f"{seen.counts.today} of {b.max_orders_per_day} orders today"
        ),
        counts=True,
    ),
    Gate(
        "max_notional_per_day_usd",
        _notional,
        lambda b: b.max_notional_per_day_usd is not None,
        lambda _s, b, seen: (
            f"{_money(seen.counts.cents_today / 100)} today and"
            f" {_money(seen.counts.cents / 100)} for this one; at most"
            f" ${b.max_notional_per_day_usd}"
        ),
        counts=True,
    ),
)
EARLY = tuple(gate for gate in GATES if not gate.counts)
COUNTED = tuple(gate for gate in GATES if gate.counts)


class Needs(NamedTuple):
    """What has to be counted."""

    positions: bool = False
    results: bool = False
    orders: bool = False


class Limits(NamedTuple):
    """A signal and the limits that hold for it, for whoever counts."""

    signal: Signal
    bot: BotSettings
    checks: tuple[Check, ...]
    needs: Needs

    def stop(self, counts: Counts) -> Reason | None:
        """Return the reason of the first gate that stops it by what was counted."""
        return _first(self.checks, self.signal, self.bot, Snapshot(counts=counts))


class ActiveGates:
    """The gates that are set, chosen anew whenever ``[bot]`` is another object."""

    def __init__(self) -> None:
        self._bot: BotSettings | None = None
        self._early: tuple[Check, ...] = ()
        self._counted: tuple[Check, ...] = ()
        self._needs = Needs()

    def stopped_early(
        self, signal: Signal, bot: BotSettings, seen: Snapshot
    ) -> Reason | None:
        """Return the reason of the first gate without a count that stops a signal."""
        if bot is not self._bot:
            self._choose(bot)
        return _first(self._early, signal, bot, seen)

    def limits(self, signal: Signal, bot: BotSettings) -> Limits | None:
        """Return what the writer has to count for, None where no such limit is set."""
        if bot is not self._bot:
            self._choose(bot)
        if not self._counted:
            return None
        return Limits(signal, bot, self._counted, self._needs)

    def _choose(self, bot: BotSettings) -> None:
        self._bot = bot
        self._early = tuple(gate.check for gate in EARLY if gate.is_set(bot))
        self._counted = tuple(gate.check for gate in COUNTED if gate.is_set(bot))
        self._needs = Needs(
            positions=bot.max_concurrent_positions is not None,
            results=not (bot.daily_loss_limit_usd is None and bot.min_win_rate is None),
            orders=counts_orders(bot),
        )


def _first(
    checks: tuple[Check, ...], signal: Signal, bot: BotSettings, seen: Snapshot
) -> Reason | None:
    for check in checks:
        if (reason := check(signal, bot, seen)) is not None:
            return reason
    return None


def counts_orders(bot: BotSettings) -> bool:
    """Tell whether a brake is set."""
    return not (
        bot.symbol_cooldown_sec is None
        and bot.max_orders_per_minute is None
        and bot.max_orders_per_day is None
        and bot.max_notional_per_day_usd is None
    )


def limits_set(bot: BotSettings) -> list[str]:
    """Name the limits that are set, with their values, for a person."""
    found = []
    for gate in GATES:
        if gate.is_set is not _always:
            found += [_named(name, bot) for name in gate.name.split(", ")]
    found.append(_named("halt_after_refusals", bot))
    return [text for text in found if text]


def trades_around_the_clock(symbol: str) -> bool:
    """Tell whether a symbol is a crypto pair, for which no market closes."""
    return "/" in symbol


def order_dollars(signal: Signal, bot: BotSettings) -> Decimal | None:
    """Return what an order would be worth; None is no trade."""
    stars = star_rating(signal.catalyst_tier, signal.ai_confidence)
    return None if stars is None else to_cents(bot.dollars(stars))


def _named(name: str, bot: BotSettings) -> str:
    value = getattr(bot, name)
    if value is None or value is False:
        return ""
    if isinstance(value, frozenset):
        return f"{name} {len(value)}"
    return name if value is True else f"{name} {value}"


def _shown(figure: float | None) -> str:
    return "the signal does not say" if figure is None else f"{figure:,.15g}"


def _money(dollars: float) -> str:
    return f"-${-dollars:,.2f}" if dollars < 0 else f"${dollars:,.2f}"

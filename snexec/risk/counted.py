"""The gates that count rows: the writer asks them in the transaction that opens one.

They come after ``repeated`` and ``symbol_open`` there, so nothing can slip in between
the count and the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.risk.limits import Gate, Needs, money

if TYPE_CHECKING:
    from snexec.risk.limits import Reason, Snapshot
    from snexec.settings import BotSettings
    from snexec.signals import Signal


def _positions(_signal: Signal, bot: BotSettings, snapshot: Snapshot) -> Reason | None:
    limit = bot.max_concurrent_positions
    full = limit is not None and snapshot.counts.open_positions >= limit
    return "max_positions" if full else None


POSITIONS = Gate(
    "max_concurrent_positions",
    _positions,
    lambda bot: bot.max_concurrent_positions is not None,
    lambda _signal, bot, snapshot: (
        f"{snapshot.counts.open_positions} of {bot.max_concurrent_positions} positions"
        " open"
    ),
    needs=Needs(positions=True),
)


def _daily_loss(_signal: Signal, bot: BotSettings, snapshot: Snapshot) -> Reason | None:
    limit = bot.daily_loss_limit_usd
    lost = limit is not None and -snapshot.counts.realised >= float(limit)
    return "daily_loss" if lost else None


DAILY_LOSS = Gate(
    "daily_loss_limit_usd",
    _daily_loss,
    lambda bot: bot.daily_loss_limit_usd is not None,
    lambda _signal, bot, snapshot: (
        f"{money(snapshot.counts.realised)} realised today; stops at a loss of"
        f" {money(bot.daily_loss_limit_usd or 0)}"
    ),
    needs=Needs(results=True),
)


def _win_rate(_signal: Signal, bot: BotSettings, snapshot: Snapshot) -> Reason | None:
    least, trades = bot.min_win_rate, bot.min_win_rate_trades
    if least is None or trades is None or snapshot.counts.closed < trades:
        return None  # fewer than are asked for prove nothing
    return "win_rate" if snapshot.counts.wins / snapshot.counts.closed < least else None


WIN_RATE = Gate(
    "min_win_rate",
    _win_rate,
    lambda bot: bot.min_win_rate is not None,
    lambda _signal, bot, snapshot: (
        f"{snapshot.counts.wins} of the last {snapshot.counts.closed} closed won; at"
        f" least {bot.min_win_rate:g} of {bot.min_win_rate_trades}"
    ),
    needs=Needs(results=True),
)


def _cooldown(_signal: Signal, bot: BotSettings, snapshot: Snapshot) -> Reason | None:
    limit, since = bot.symbol_cooldown_sec, snapshot.counts.since_symbol
    too_soon = limit is not None and since is not None and since < limit
    return "brake_symbol_cooldown" if too_soon else None


COOLDOWN = Gate(
    "symbol_cooldown_sec",
    _cooldown,
    lambda bot: bot.symbol_cooldown_sec is not None,
    lambda signal, bot, snapshot: (
        f"no order of {signal.symbol} in that time"
        if snapshot.counts.since_symbol is None
        else f"{snapshot.counts.since_symbol:.1f} s since the last order or sale"
        f" of {signal.symbol}; at least {bot.symbol_cooldown_sec:g}"
    ),
    needs=Needs(orders=True),
)


def _per_minute(_signal: Signal, bot: BotSettings, snapshot: Snapshot) -> Reason | None:
    limit = bot.max_orders_per_minute
    reached = limit is not None and snapshot.counts.last_minute >= limit
    return "brake_orders_per_minute" if reached else None


PER_MINUTE = Gate(
    "max_orders_per_minute",
    _per_minute,
    lambda bot: bot.max_orders_per_minute is not None,
    lambda _signal, bot, snapshot: (
        f"{snapshot.counts.last_minute} of {bot.max_orders_per_minute} orders in the"
        " last minute"
    ),
    needs=Needs(orders=True),
)


def _per_day(_signal: Signal, bot: BotSettings, snapshot: Snapshot) -> Reason | None:
    limit = bot.max_orders_per_day
    reached = limit is not None and snapshot.counts.today >= limit
    return "brake_orders_per_day" if reached else None


PER_DAY = Gate(
    "max_orders_per_day",
    _per_day,
    lambda bot: bot.max_orders_per_day is not None,
    lambda _signal, bot, snapshot: (
        f"{snapshot.counts.today} of {bot.max_orders_per_day} orders today"
    ),
    needs=Needs(orders=True),
)


def _notional(_signal: Signal, bot: BotSettings, snapshot: Snapshot) -> Reason | None:
    limit = bot.max_notional_per_day_usd
    if limit is None:
        return None
    counts = snapshot.counts
    too_much = counts.cents_today + counts.cents > limit * 100
    return "brake_notional_per_day" if too_much else None


NOTIONAL = Gate(
    "max_notional_per_day_usd",
    _notional,
    lambda bot: bot.max_notional_per_day_usd is not None,
    lambda _signal, bot, snapshot: (
        f"{money(snapshot.counts.cents_today / 100)} today and"
        f" {money(snapshot.counts.cents / 100)} for this one; at most"
        f" {money(bot.max_notional_per_day_usd or 0)}"
    ),
    needs=Needs(orders=True),
)

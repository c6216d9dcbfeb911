"""The gates that need no count: the dispatcher asks them anew for each signal.

The halt is asked once more in the moment before the request leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.assets import SHARE, asset_class
from snexec.risk.limits import Gate, always_set, money
from snexec.signals import star_rating

if TYPE_CHECKING:
    from snexec.risk.limits import Reason, Snapshot
    from snexec.settings import BotSettings
    from snexec.signals import Signal


def _halted(_signal: Signal, _bot: BotSettings, snapshot: Snapshot) -> Reason | None:
    return "halted" if snapshot.halted else None


HALT = Gate(
    "halt",
    _halted,
    always_set,
    lambda _signal, _bot, snapshot: (
        "the kill switch is on" if snapshot.halted else "not halted"
    ),
)


def _disabled(_signal: Signal, bot: BotSettings, _snapshot: Snapshot) -> Reason | None:
    return None if bot.enabled else "disabled"


ENABLED = Gate(
    "enabled",
    _disabled,
    always_set,
    lambda _signal, bot, _snapshot: "enabled" if bot.enabled else "enabled = false",
)


def _state(_signal: Signal, bot: BotSettings, _snapshot: Snapshot) -> Reason | None:
    return None if bot.state == "running" else bot.state


STATE = Gate("state", _state, always_set, lambda _signal, bot, _snapshot: bot.state)


def _keys(_signal: Signal, _bot: BotSettings, snapshot: Snapshot) -> Reason | None:
    return None if snapshot.has_keys else "no_keys"


KEYS = Gate(
    "keys",
    _keys,
    always_set,
    lambda _signal, _bot, snapshot: (
        "none are missing" if snapshot.has_keys else "there are none for this mode"
    ),
)


def _tier(signal: Signal, bot: BotSettings, _snapshot: Snapshot) -> Reason | None:
    tiers = bot.enabled_catalyst_tiers
    return None if tiers is None or signal.catalyst_tier in tiers else "tier_disabled"


TIER = Gate(
    "enabled_catalyst_tiers",
    _tier,
    lambda bot: bot.enabled_catalyst_tiers is not None,
    lambda signal, bot, _snapshot: (
        f"tier {signal.catalyst_tier}; may trade:"
        f" {', '.join(map(str, bot.enabled_catalyst_tiers or ()))}"
    ),
)


def _stars(signal: Signal, _bot: BotSettings, _snapshot: Snapshot) -> Reason | None:
    stars = star_rating(signal.catalyst_tier, signal.ai_confidence)
    return "no_stars" if stars is None else None


STARS = Gate(
    "stars",
    _stars,
    always_set,
    lambda signal, _bot, _snapshot: (
        f"tier {signal.catalyst_tier}, confidence {signal.ai_confidence or 'none'}:"
        f" {star_rating(signal.catalyst_tier, signal.ai_confidence) or 'no'} stars"
    ),
)


def _symbol(signal: Signal, bot: BotSettings, _snapshot: Snapshot) -> Reason | None:
    allowed, blocked = bot.symbols_allowed, bot.symbols_blocked
    if allowed is not None and signal.symbol not in allowed:
        return "symbol"
    return "symbol" if blocked is not None and signal.symbol in blocked else None


SYMBOL = Gate(
    "symbols_allowed, symbols_blocked",
    _symbol,
    lambda bot: bot.symbols_allowed is not None or bot.symbols_blocked is not None,
    lambda signal, bot, _snapshot: (
        f"{signal.symbol} is blocked"
        if signal.symbol in (bot.symbols_blocked or ())
        else f"{signal.symbol} is not blocked"
        if bot.symbols_allowed is None
        else f"{signal.symbol} is{'' if signal.symbol in bot.symbols_allowed else ' not'}"
        f" among the {len(bot.symbols_allowed)} that may trade"
    ),
)


def _share_price(
    signal: Signal, bot: BotSettings, _snapshot: Snapshot
) -> Reason | None:
    limit = bot.max_share_price
    # As floats, as a price of 0.1 is a little more than a Decimal of 0.1.
    if limit is None or signal.price_at_signal <= float(limit):
        return None
    return "share_price" if asset_class(signal.symbol) is SHARE else None


SHARE_PRICE = Gate(
    "max_share_price",
    _share_price,
    lambda bot: bot.max_share_price is not None,
    lambda signal, bot, _snapshot: (
        f"{money(signal.price_at_signal)}; at most {money(bot.max_share_price or 0)}"
        if asset_class(signal.symbol) is SHARE
        else f"{signal.symbol} is no share"
    ),
)


def _float_shares(
    signal: Signal, bot: BotSettings, _snapshot: Snapshot
) -> Reason | None:
    limit, figure = bot.max_float_shares, signal.float_shares
    too_many = limit is not None and (figure is None or figure > limit)
    return "float_shares" if too_many else None


FLOAT_SHARES = Gate(
    "max_float_shares",
    _float_shares,
    lambda bot: bot.max_float_shares is not None,
    lambda signal, bot, _snapshot: (
        f"{_shown(signal.float_shares)} shares; at most {bot.max_float_shares:,.15g}"
    ),
)


def _relative_volume(
    signal: Signal, bot: BotSettings, _snapshot: Snapshot
) -> Reason | None:
    limit, figure = bot.min_relative_volume, signal.relative_volume
    too_little = limit is not None and (figure is None or figure < limit)
    return "relative_volume" if too_little else None


RELATIVE_VOLUME = Gate(
    "min_relative_volume",
    _relative_volume,
    lambda bot: bot.min_relative_volume is not None,
    lambda signal, bot, _snapshot: (
        f"{_shown(signal.relative_volume)}; at least {bot.min_relative_volume:g}"
    ),
)


def _market(signal: Signal, bot: BotSettings, snapshot: Snapshot) -> Reason | None:
    if not bot.require_market_open or asset_class(signal.symbol).around_the_clock:
        return None
    return None if snapshot.market_open else "market_closed"


MARKET = Gate(
    "require_market_open",
    _market,
    lambda bot: bot.require_market_open,
    lambda signal, _bot, snapshot: (
        f"{signal.symbol} trades around the clock"
        if asset_class(signal.symbol).around_the_clock
        else "the broker's clock is not known"
        if snapshot.market_open is None
        else "open"
        if snapshot.market_open
        else "closed"
    ),
)


def _flattening(signal: Signal, _bot: BotSettings, snapshot: Snapshot) -> Reason | None:
    if not snapshot.flattening or asset_class(signal.symbol).around_the_clock:
        return None
    return "flattening"


FLATTENING = Gate(
    "flatten_before_close_sec",
    _flattening,
    always_set,
    lambda signal, _bot, snapshot: (
        f"{signal.symbol} trades around the clock"
        if asset_class(signal.symbol).around_the_clock
        else "shares are sold before the close, and bought again from the open"
        if snapshot.flattening
        else "not before a close, or not set in [exits]"
    ),
)


def _shown(figure: float | None) -> str:
    return "the signal does not say" if figure is None else f"{figure:,.15g}"

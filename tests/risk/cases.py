"""What each gate stops and what it lets pass, and how to ask them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snexec.risk.gates import ActiveGates
from snexec.risk.limits import Counts, Snapshot
from tests.fakes import make_settings, make_signal

if TYPE_CHECKING:
    from snexec.risk.limits import Reason
    from snexec.settings import BotSettings

OPEN = {"require_market_open": True}
WINS = {"min_win_rate": 0.4, "min_win_rate_trades": 5}
LATE = {"catalystTier": 4}

# What the bot is set to, what the signal says, what is seen, which reason stops it.
Case = tuple[dict[str, Any], dict[str, Any], dict[str, Any], "Reason | None"]

EARLY_CASES: list[Case] = [
    ({}, {}, {}, None),
    ({}, {}, {"halted": True}, "halted"),
    ({"enabled": False}, {}, {}, "disabled"),
    ({"state": "paused"}, {}, {}, "paused"),
    ({"state": "stopped"}, {}, {}, "stopped"),
    ({}, {}, {"has_keys": False}, "no_keys"),
    ({"enabled_catalyst_tiers": [1, 2]}, {}, {}, None),
    ({"enabled_catalyst_tiers": [2]}, {}, {}, "tier_disabled"),
    ({"enabled_catalyst_tiers": [4]}, LATE, {}, None),
    ({}, {**LATE, "aiConfidence": None}, {}, "no_stars"),
    ({"symbols_allowed": ["aapl"]}, {}, {}, None),
    ({"symbols_allowed": ["MSFT"]}, {}, {}, "symbol"),
    ({"symbols_blocked": ["MSFT"]}, {}, {}, None),
    ({"symbols_blocked": ["aapl"]}, {}, {}, "symbol"),
    ({"symbols_allowed": ["BRK-B"]}, {"symbol": "BRK/B"}, {}, None),
    ({"symbols_blocked": ["BTCUSD"]}, {"symbol": "BTC/USD"}, {}, "symbol"),
    ({"symbols_allowed": ["AAPL"], "symbols_blocked": ["AAPL"]}, {}, {}, "symbol"),
    ({"max_share_price": 187.2}, {}, {}, None),
    ({"max_share_price": 187.19}, {}, {}, "share_price"),
    ({"max_share_price": 1.0}, {"symbol": "BTC/USD"}, {}, None),
    ({"max_share_price": 1.0}, {"symbol": "BRK/B"}, {}, "share_price"),
    ({"max_share_price": 0.1}, {"priceAtSignal": 0.1}, {}, None),
    ({"max_float_shares": 1e6}, {"floatShares": 1_000_000}, {}, None),
    ({"max_float_shares": 1e6}, {"floatShares": 1_000_001}, {}, "float_shares"),
    ({"max_float_shares": 1e6}, {}, {}, "float_shares"),
    ({"max_float_shares": 1e6}, {"floatShares": "few"}, {}, "float_shares"),
    ({}, {"floatShares": "few", "relativeVolume": -1}, {}, None),
    ({"min_relative_volume": 2.0}, {"relativeVolume": 2}, {}, None),
    ({"min_relative_volume": 2.0}, {"relativeVolume": 1.9}, {}, "relative_volume"),
    ({"min_relative_volume": 2.0}, {}, {}, "relative_volume"),
    (OPEN, {}, {"market_open": True}, None),
    (OPEN, {}, {"market_open": False}, "market_closed"),
    (OPEN, {}, {"market_open": None}, "market_closed"),
    (OPEN, {"symbol": "BTC/USD"}, {"market_open": False}, None),
    (OPEN, {"symbol": "BTCUSD"}, {"market_open": None}, None),
    (OPEN, {"symbol": "BRK/B"}, {"market_open": False}, "market_closed"),
    ({}, {}, {"flattening": True}, "flattening"),
    ({}, {"symbol": "BTC/USD"}, {"flattening": True}, None),
]
COUNTED_CASES: list[Case] = [
    ({"max_concurrent_positions": 3}, {}, {"open_positions": 2}, None),
    ({"max_concurrent_positions": 3}, {}, {"open_positions": 3}, "max_positions"),
    ({"max_concurrent_positions": 3}, {}, {"open_positions": 7}, "max_positions"),
    ({"daily_loss_limit_usd": 50.0}, {}, {"realised": -49.99}, None),
    ({"daily_loss_limit_usd": 50.0}, {}, {"realised": -50.0}, "daily_loss"),
    ({"daily_loss_limit_usd": 50.0}, {}, {"realised": 500.0}, None),
    (WINS, {}, {"wins": 2, "closed": 5}, None),
    (WINS, {}, {"wins": 1, "closed": 5}, "win_rate"),
    (WINS, {}, {"wins": 0, "closed": 4}, None),
    ({"symbol_cooldown_sec": 60.0}, {}, {"since_symbol": None}, None),
    ({"symbol_cooldown_sec": 60.0}, {}, {"since_symbol": 60.0}, None),
    (
        {"symbol_cooldown_sec": 60.0},
        {},
        {"since_symbol": 59.9},
        "brake_symbol_cooldown",
    ),
    ({"max_orders_per_minute": 5}, {}, {"last_minute": 4}, None),
    ({"max_orders_per_minute": 5}, {}, {"last_minute": 5}, "brake_orders_per_minute"),
    ({"max_orders_per_day": 5}, {}, {"today": 4}, None),
    ({"max_orders_per_day": 5}, {}, {"today": 5}, "brake_orders_per_day"),
    (
        {"max_notional_per_day_usd": 250.5},
        {},
        {"cents_today": 150_50, "cents": 100_00},
        None,
    ),
    (
        {"max_notional_per_day_usd": 250.5},
        {},
        {"cents_today": 150_51, "cents": 100_00},
        "brake_notional_per_day",
    ),
]
CASES = EARLY_CASES + COUNTED_CASES


def make_bot(**values: object) -> BotSettings:
    return make_settings(bot=values).bot


def make_snapshot(**values: Any) -> Snapshot:  # noqa: ANN401 - figures by name
    names = ("halted", "market_open", "has_keys", "flattening")
    own = {name: values.pop(name) for name in names if name in values}
    return Snapshot(**own, counts=Counts(**values))


def stopped(
    bot: dict[str, Any], signal: dict[str, Any], seen: dict[str, Any]
) -> Reason | None:
    """Ask all gates in their order, as dispatcher and writer do one after the other."""
    made, limits = make_signal(**signal), make_bot(**bot)
    snapshot = make_snapshot(**seen)
    gates = ActiveGates()
    reason = gates.stopped_early(made, limits, snapshot)
    counted = gates.limits(made, limits)
    if reason is None and counted is not None:
        reason = counted.stop(snapshot.counts)
    return reason

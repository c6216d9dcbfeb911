"""The files that we ship or show: they validate, and hold the defaults."""

from pathlib import Path

from snexec.settings.changes import changed_keys
from snexec.settings.load import load_settings
from snexec.settings.sections import BotSettings, Settings
from tests.settings.conftest import ConfigFile

ROOT = Path(__file__).parent.parent.parent
SAMPLE = """\
mode = "paper"                      # paper | live
database = "snexec.db"

[alpaca]
simulate = true                     # both modes are answered by the built-in exchange
paper_url = "https://paper-api.alpaca.markets"
live_url = "https://api.alpaca.markets"
rate_limit_per_min = 200            # until the broker's own headers say otherwise
order_timeout_sec = 10.0
unknown_grace_sec = 60.0
reconcile_interval_sec = 60.0

[intake]
socket = "snexec.sock"
max_pending = 1024                  # signals waiting for an order slot
max_in_flight = 64                  # orders being placed at once
max_signal_age_sec = 30.0           # an older signal is not traded
settle_timeout_sec = 30.0           # --stdin: how long to wait for orders to settle
shutdown_timeout_sec = 10.0

[stream]
reconnect_delay_sec = 5.0
restart_delay_sec = 0.1

[bot]
enabled = true
state = "running"                   # stopped | running | paused
trade_size_stars3 = 50.0            # dollars per order
trade_size_stars4 = 75.0
trade_size_stars5 = 100.0
"""
SHIPPED_LIMITS = {
    "bot.enabled_catalyst_tiers",
    "bot.max_share_price",
    "bot.require_market_open",
    "bot.max_concurrent_positions",
    "bot.daily_loss_limit_usd",
    "bot.min_win_rate",
    "bot.min_win_rate_trades",
    "bot.symbol_cooldown_sec",
    "bot.max_orders_per_minute",
    "bot.max_orders_per_day",
    "bot.max_notional_per_day_usd",
    "bot.halt_after_refusals",
}
COMMENTED_LIMITS = {
    "bot.symbols_allowed",
    "bot.symbols_blocked",
    "bot.max_float_shares",
    "bot.min_relative_volume",
}

SHIPPED_EXITS = {
    "hard_stop_loss_pct": 5,
    "profit_target_pct": 10,
    "external_grace_sec": 10,
}
RULES_OF_EXITS = (
    *("hard_stop_loss_pct", "profit_target_pct", "trailing_stop_pct"),
    *("max_hold_duration_sec", "flatten_before_close_sec"),
)


def test_the_sample_of_the_contract_holds_the_defaults(file: ConfigFile) -> None:
    assert file.load(SAMPLE) == file.load("")


def test_the_shipped_file_validates_and_simulates() -> None:
    settings = load_settings(ROOT / "config.toml")

    assert settings.mode == "paper"
    assert settings.alpaca.simulate
    assert settings.alpaca.api_key is None


def test_the_shipped_file_holds_the_defaults_but_for_the_exchange() -> None:
    settings = load_settings(ROOT / "config.toml")
    names = changed_keys(settings, Settings())

    assert {n for n in names if not n.startswith("exchange")} == {
        "database",  # a path that is absolute once loaded
        "intake.socket",
        "exits.enabled",
        "page",
        *(f"exits.{name}" for name in SHIPPED_EXITS),
        *SHIPPED_LIMITS,
    }


def test_the_shipped_exits_hold_the_defaults_but_for_those_that_show_a_full_life() -> (
    None
):
    exits = load_settings(ROOT / "config.toml").exits

    assert exits is not None
    assert exits.model_dump(exclude_defaults=True) == SHIPPED_EXITS


def test_the_shipped_file_shows_every_rule_that_sells() -> None:
    text = (ROOT / "config.toml").read_text()

    for rule in RULES_OF_EXITS:
        assert f"\n{rule} = " in text or f"\n# {rule} = " in text


def test_the_shipped_limit_of_a_shares_price_lets_the_dearest_share_pass() -> None:
    limit = load_settings(ROOT / "config.toml").bot.max_share_price

    assert limit is not None
    assert limit > 850_000  # BRK.A, which has been above 800,000


def test_the_shipped_file_shows_every_limit() -> None:
    text = (ROOT / "config.toml").read_text()
    shown = {
        f"bot.{line.lstrip('# ').partition(' ')[0]}"
        for line in text.splitlines()
        if " = " in line
    }

    assert shown >= SHIPPED_LIMITS | COMMENTED_LIMITS
    limits = SHIPPED_LIMITS | COMMENTED_LIMITS
    assert {f"bot.{name}" for name in BotSettings.model_fields} - limits == {
        "bot.enabled",
        "bot.state",
        "bot.trade_size_stars3",
        "bot.trade_size_stars4",
        "bot.trade_size_stars5",
    }

"""The simulated day that the README plays into the page."""

from __future__ import annotations

from pathlib import Path

from snexec.settings import load_settings
from snexec.signals import parse_signal

TESTS = Path(__file__).parent


def test_the_simulated_day_can_be_played_and_its_market_moves_what_is_bought() -> None:
    settings = load_settings(TESTS / "day.toml")
    assert settings.alpaca.simulate
    assert settings.page is not None
    signals = [
        parse_signal(line) for line in (TESTS / "day.jsonl").read_bytes().splitlines()
    ]
    symbols = {signal.symbol for signal in signals}
    idle = symbols - settings.exchange.symbols.keys()
    assert idle == set(settings.bot.symbols_blocked or ())
    assert len(signals) > 60

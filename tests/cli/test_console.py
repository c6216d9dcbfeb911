"""Screens: each fits a terminal of 80, 100 and 200 columns, with all that it may show."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from snexec.cli import cli
from snexec.risk import halt_files
from tests.cli.test_explain_position import WATCHED
from tests.cli.test_explain_signal import SIGNAL
from tests.cli.test_status import ANSWER, EXITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Desk, FakeDaemon
    from tests.integration.harness import Box

WIDTHS = (80, 100, 200)
_STYLES = re.compile(r"\x1b\[[0-9;]*m")
_TIMES = {"count": 9_876, "p50": 1.25, "p90": 12.5, "p99": 1250.0}
FULL: dict[str, Any] = ANSWER | {
    "halted": {
        "reason": "the feed repeats itself, and nobody knows since when or why",
        "since": "2026-01-05T14:30:00.123Z",
        "by": "a person with a long name (snexec halt)",
        "all": True,
    },
    "stream": "waiting",
    "outage": {
        "count": 4,
        "from": "2026-01-05T14:30:00.123Z",
        "to": "2026-01-05T14:31:00.123Z",
        "settledByLookup": 12,
    },
    "skipped": {
        "symbol_open": 1234,
        "market_closed": 5678,
        "brake_orders_per_minute": 9,
        "brake_notional_per_day": 123_456,
    },
    "writer": {"pending": 12, "applied": 345_678, "healthy": False},
    "phase": "stopping",
    "exits": EXITS | {"unwatched": 12, "blocked": 3, "blind": True},
    "latency": {"wireMs": _TIMES, "replyMs": _TIMES, "fillMs": _TIMES},
    "droppedAnswers": 12,
}
LIMITS = {
    "symbols_blocked": ["GME", "AMC"],
    "enabled_catalyst_tiers": [1, 2, 3, 4],
    "max_share_price": 100.0,
    "max_float_shares": 50_000_000,
    "min_relative_volume": 2.0,
    "max_concurrent_positions": 20,
    "daily_loss_limit_usd": 1000.0,
    "min_win_rate": 0.3,
    "min_win_rate_trades": 20,
    "symbol_cooldown_sec": 60.0,
    "max_orders_per_minute": 30,
    "max_orders_per_day": 100,
    "max_notional_per_day_usd": 5000.0,
    "halt_after_refusals": 5,
}


@pytest.fixture(params=WIDTHS)
def screen(
    desk: Desk,
    box: Box,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., list[str]]:
    """Give a function that returns the lines of a command's screen, all within it."""
    width: int = request.param

    def show(*words: str) -> list[str]:
        monkeypatch.setenv("COLUMNS", "1000")
        whole = desk.run(box.config, *words)
        monkeypatch.setenv("COLUMNS", str(width))
        done = desk.run(box.config, *words, terminal=True)
        lines = [_STYLES.sub("", line).rstrip() for line in done.lines]
        assert max(map(len, lines)) <= width
        assert "" not in lines
        # Nothing is left out, whatever is folded.
        assert _letters("".join(lines)) == _letters("".join(whole.lines))
        return lines

    return show


def _letters(text: str) -> list[str]:
    return sorted(text.replace(" ", ""))


def test_a_status_with_all_that_it_may_say_fits(
    screen: Callable[..., list[str]], fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(lambda _line: json.dumps(FULL).encode() + b"\n")

    lines = screen("status")

    assert any("9,876" in line or "9876" in line for line in lines)


def test_a_signal_explained_with_every_limit_set_fits(
    screen: Callable[..., list[str]], box: Box
) -> None:
    box.configure(bot=LIMITS)

    lines = screen("explain", json.dumps(SIGNAL))

    assert lines[-1] == "would be skipped: share_price"


def test_a_position_explained_fits(
    screen: Callable[..., list[str]], fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(lambda _line: json.dumps({"status": "ok"} | WATCHED).encode() + b"\n")

    assert screen("explain", "AAPL")[0].startswith("stop_loss")


def test_a_check_that_finds_much_fits(
    screen: Callable[..., list[str]], box: Box
) -> None:
    box.configure(
        bot=LIMITS,
        alpaca={"api_key": "k", "api_secret": "s"},
        metrics={"listen": "127.0.0.1:0"},
        exits={"hard_stop_loss_pct": 5.0, "broker_stop": True},
    )
    box.config.chmod(0o644)
    halt_files(box.config)[0].write_text('{"reason": "the feed repeats itself"}')

    lines = screen("check")

    assert lines[0].startswith("WARN  config")


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_a_commands_help_fits_80_columns(
    desk: Desk, box: Box, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = desk.run(box.config, command, "--help", terminal=True)
    assert done.status == 0
    assert max(map(len, done.lines)) <= 80

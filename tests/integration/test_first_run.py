"""What the README promises to a newcomer, run as a newcomer runs it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.integration.harness import ROOT, Box, short_folder

SIGNALS = (ROOT / "tests" / "signals.jsonl").read_bytes()


def shipped_box(folder: Path) -> Box:
    box = Box(folder)
    shutil.copy(ROOT / "config.toml", box.config)
    box.database = box.folder / "snexec.db"
    box.socket = box.folder / "snexec.sock"
    return box


def outcomes(table: str) -> dict[tuple[str, str], str]:
    """Read the closing table as (signal, symbol) → outcome."""
    found = {}
    for line in table.splitlines():
        words = line.split()
        if line.startswith("news-"):
            symbol = words[1] if words[1] != "invalid" else ""
            match = re.search(
                r" (filled|closed|skipped|missed|refused|repeated|invalid)\b", line
            )
            found[words[0], symbol] = match.group(1) if match else line
    return found


def exits(table: str) -> dict[str, tuple[str, str]]:
    """Read the closing table as symbol → why it was sold, and whether it won."""
    found = {}
    for line in table.splitlines():
        if " closed " in line and line.startswith("news-"):
            words = line.split()
            found[words[1]] = words[5], words[6][0]
    return found


async def test_the_first_command_shows_each_outcome_and_can_be_run_twice() -> None:
    with short_folder() as folder:
        box = shipped_box(folder)
        first = await box.run("--stdin", stdin=SIGNALS)
        second = await box.run("--stdin", stdin=SIGNALS)
        rows = box.rows()

    log = first.stderr.decode()
    assert first.returncode == second.returncode == 0, log
    assert "nothing is traded" in log
    assert "Order placed: AAPL $100.00" in log
    assert "Order filled: AAPL" in log
    assert "[TradeExecutor] Order rejected: HALT orderId=" in log
    last = log.rstrip().splitlines()[-1]
    assert "[Daemon] stopped; 1 row is unwatched from now on" in last, "BTC/USD"
    table, again = first.stdout.decode(), second.stdout.decode()
    found = outcomes(table)
    assert found["news-1", "AAPL"] == "closed"
    assert found["news-9", "BTC/USD"] == "filled"
    assert found["news-4", "AAPL"] == "skipped"
    assert found["news-5", "HALT"] == "missed"
    assert found["news-6", "NOFRAC"] == "refused"
    assert found["news-8", ""] == "invalid"
    assert exits(table) == {
        "AAPL": ("profit_target", "+"),
        "MSFT": ("stop_loss", "-"),
        "KO": ("external", "+"),
    }
    totals, result = table.rstrip().splitlines()[-2:]
    assert totals.startswith("10 signals: 3 closed, ")
    assert result.startswith("3 closed: P&L +$")

    assert outcomes(again) == found
    assert exits(again) == exits(table)
    (ended,) = [row for row in rows if row["exitReason"] == "simulation_ended"]
    assert (ended["symbol"], ended["status"]) == ("BTC/USD", "closed")
    assert len({row["id"] for row in rows}) == len(rows)


async def test_a_configuration_that_does_not_validate_creates_nothing() -> None:
    with short_folder() as folder:
        box = Box(folder)
        box.config.write_text('mode = "papper"\n[bot]\ntrade_size_stars3 = 0.5\n')
        done = await box.run()
        left = [path.name for path in folder.iterdir()]

    error = done.stderr.decode()
    assert done.returncode == 2
    assert error.count("\n") == 1
    assert "config.toml: mode: " in error
    assert "bot.trade_size_stars3" in error
    assert "(got 'papper')" in error
    assert left == ["config.toml"]


async def test_a_typing_error_is_one_line_and_exits_2() -> None:
    with short_folder() as folder:
        done = await Box(folder).run("--stdni")

    assert done.returncode == 2
    assert done.stderr.decode().startswith("snexec: No such option")
    assert done.stderr.decode().count("\n") == 1

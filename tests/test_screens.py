"""Every screen in the README is what the program shows on a terminal of that width."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.bench.report import report
from snexec.trading_days import day_of_trade
from tests import screens
from tests.bench.figures import made_up_run
from tests.integration.harness import ROOT, Box, short_folder

if TYPE_CHECKING:
    pass

SIGNALS = ROOT / "tests" / "signals.jsonl"
# Made by the tests below, at so many columns.
CLOSING, COMMANDS = 100, 80
# A quiet morning: one symbol that gains, one that is sold, one that is bought twice.
MORNING: dict[str, dict[str, object]] = {
    # Two prices, as polls that show one only may be of another day.
    "AAPL": {"path": [[0.0, -0.1], [2.0, 1.2]]},
    "BTC/USD": {"path": [[0.0, 0.3]]},
    "MSFT": {"path": [[0.0, -3.0], [1.0, -6.0]]},
}
SENT = (
    ("AAPL", 187.2),
    ("BTC/USD", 64_011.0),
    ("MSFT", 412.7),
    ("AAPL", 188.1),
    ("BKNG", 5187.25),
)
EXITS: dict[str, object] = {
    "hard_stop_loss_pct": 5.0,
    "profit_target_pct": 10.0,
    "max_hold_duration_sec": 36_000.0,
    "poll_sec": 0.5,
}


def test_every_block_is_a_screen_or_says_what_else_it_is() -> None:
    blocks = screens.blocks()
    unnamed = [
        above
        for above, language in blocks
        if not language and not re.fullmatch(r"<!-- (screen|figures): \S+ -->", above)
    ]
    assert len(blocks) > 5
    assert unnamed == []


def test_no_screen_is_there_that_nothing_makes() -> None:
    made = re.findall(r'compare\(\s*"(\w+)"', (ROOT / __file__).read_text())
    assert sorted(screens.names()) == sorted(made)


@pytest.mark.parametrize("name", screens.names())
def test_a_screen_is_as_wide_as_it_says(name: str) -> None:
    columns = CLOSING if name == "closing" else COMMANDS
    widths = [len(line) for line in screens.shown(name).splitlines()]
    assert max(widths, default=0) <= columns


async def test_the_closing_table_of_the_first_run() -> None:
    with short_folder() as folder:
        box = Box(folder)
        shutil.copy(ROOT / "config.toml", box.config)
        made = await trio.to_thread.run_sync(
            partial(
                screens.on_a_terminal,
                box.command("--stdin"),
                columns=CLOSING,
                env=box.environment(),
                stdin=SIGNALS,
            )
        )
    screens.compare("closing", made)


async def test_what_the_commands_show_of_a_morning() -> None:
    day = day_of_trade(datetime.now(UTC))
    with short_folder() as folder:
        box = Box(folder)
        box.configure(exits=EXITS, bot={"max_share_price": 1000.0})
        with box.config.open("a") as file:
            for symbol, moves in MORNING.items():
                name = json.dumps(symbol)
                file.write(f"[exchange.symbols.{name}]\n")
                file.writelines(f"{k} = {json.dumps(v)}\n" for k, v in moves.items())
        async with box.daemon() as process:
            for number, (symbol, price) in enumerate(SENT, 1):
                await send(box, symbol, price, f"news-{number}")
            await box.until(lambda: len(box.rows("status = 'closed'")) == 1, "it sold")
            await box.until(lambda: len(decisions(box)) == len(SENT), "they are kept")
            await box.until(lambda: all(prices(box)), "both have gained")
            if day_of_trade(datetime.now(UTC)) != day:
                pytest.skip("the day has ended in New York: a report has half of it")
            show = partial(terminal, box)
            screens.compare("positions", await show("positions"))
            screens.compare("report", await show("report", "--day", str(day)))
            screens.compare("signals", await show("signals"))
            assert await box.stop(process) == 0


def test_the_rows_of_the_measured_figures_are_those_that_are_printed() -> None:
    text = screens.README.read_text()
    block = text.partition("<!-- figures: bench -->\n```\n")[2].partition("\n```")[0]
    rows = [line for line in block.splitlines() if line[:1].strip(" -")]
    labels = [row.partition("  ")[0] for row in rows]
    printed = screens.words(report(made_up_run(800.0)))
    assert len(labels) > 8
    for label in labels:
        wanted = screens.words(label)
        starts = range(len(printed) - len(wanted) + 1)
        assert any(printed[n : n + len(wanted)] == wanted for n in starts), label


async def send(box: Box, symbol: str, price: float, signal: str) -> None:
    """Send a signal, and wait until it has become something."""
    words = ("--category", "test", "--tier", "1", "--price", str(price), "--wait")
    done = await box.run("send", "--symbol", symbol, "--id", signal, *words)
    assert b"filled" in done.stdout or b"skipped" in done.stdout, done.stderr


def asked(box: Box, *words: str) -> object:
    done = subprocess.run(
        box.command(*words), env=box.environment(), capture_output=True, check=True
    )
    return json.loads(done.stdout)


def decisions(box: Box) -> list[object]:
    found = asked(box, "signals", "--format", "json")
    assert isinstance(found, list)
    return found


def prices(box: Box) -> list[bool]:
    """Return of each position whether it has gained."""
    found = asked(box, "positions", "--json")
    assert isinstance(found, dict)
    return [(row["openPnl"] or 0) > 0 for row in found["rows"]]


async def terminal(box: Box, *words: str) -> str:
    run = partial(
        screens.on_a_terminal,
        box.command(*words),
        columns=COMMANDS,
        env=box.environment(),
    )
    return await trio.to_thread.run_sync(run)

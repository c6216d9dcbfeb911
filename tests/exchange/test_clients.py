"""The clients of the README's table, unmodified, take the exchange for Alpaca.

They are installed by ``.ci/clients DIR``; without ``SNEXEC_CLIENTS=DIR`` only the one that
the tests need anyway is run.
"""

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from .conftest import Start, within

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).with_name("clients")
# The client as the README names it: its script, and where it is installed.
CLIENTS = {
    "alpaca-py": ("alpaca_py.py", "alpaca-py"),
    "alpaca-trade-api (Python)": ("alpaca_trade_api.py", "alpaca-trade-api"),
    "@alpacahq/alpaca-trade-api 3": ("npm3.js", "npm3"),
    "@alpacahq/alpaca-trade-api 4": ("npm4.js", "npm4"),
    "ccxt": ("ccxt_alpaca.py", "ccxt"),
}


def command(client: str) -> tuple[list[str], Path]:
    """Return what runs a client's script, and in which folder."""
    script, place = CLIENTS[client]
    installed = os.environ.get("SNEXEC_CLIENTS")
    if installed is None:
        if client != "alpaca-py":
            pytest.skip("not installed: see .ci/clients")
        return [sys.executable, str(SCRIPTS / script)], SCRIPTS
    folder = Path(installed).resolve() / place
    if not folder.exists():
        pytest.skip(f"{client} is not installed: see .ci/clients")
    if script.endswith(".py"):
        return [str(folder / "bin/python"), str(SCRIPTS / script)], SCRIPTS
    # Node looks for packages beside the script.
    copy = shutil.copy(SCRIPTS / script, folder)
    return ["node", str(copy)], folder


@pytest.mark.parametrize("client", CLIENTS)
@within(90)
async def test_a_client_buys_hears_of_it_and_closes(client: str, start: Start) -> None:
    words, folder = command(client)
    bench = await start(rate_limit_per_min=10_000)
    account = bench.exchange.paper
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(
            partial(
                trio.run_process,
                [*words, bench.exchange.paper_url],
                cwd=folder,
                stdin=subprocess.PIPE,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
        )
        if client != "ccxt":  # which has no stream
            while not account.feed.listeners:
                await trio.sleep(0.05)
                assert process.poll() is None, "it has ended before it listened"
            assert process.stdin is not None
            await process.stdin.send_all(b"\n")
        await process.wait()
    assert process.returncode == 0
    assert [order.side for order in account.book.orders()] == ["buy", "sell"]
    assert {order.status for order in account.book.orders()} == {"filled"}


def test_the_readme_names_these_clients_and_no_others() -> None:
    text = (ROOT / "README.md").read_text()
    table = text.partition("| client | ")[2].partition("\n\n")[0]
    rows = [re.split(r" *\| *", line.strip("| ")) for line in table.splitlines()[2:]]

    assert [row[0] for row in rows] == list(CLIENTS)
    for name, market_buy, close, stream in rows:
        assert (market_buy, close) == ("yes", "yes")
        assert stream == ("it has none" if name == "ccxt" else "yes")

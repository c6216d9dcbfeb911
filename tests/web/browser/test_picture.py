"""The README's picture: a simulated day, as the page shows it.

SNEXEC_PICTURE=page.png .venv/bin/python -m pytest -m soak tests/web/browser/test_picture.py
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import short_folder
from tests.web.browser.conftest import looking
from tests.web.browser.running import Running, Trade

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

MOST_BYTES = 200_000
PRICES = {
    "AAPL": 187.2,
    "MSFT": 412.7,
    "NVDA": 178.4,
    "AMD": 160.2,
    "KO": 62.1,
    "XOM": 117.9,
    "DIS": 98.3,
    "BRK.B": 451.3,
    "BTC/USD": 64011.0,
}
NEWS = ("earnings_beat", "fda_approval", "merger", "contract_win", "guidance_raised")
RESULTS = (
    *((3.1, "trailing_stop"), (-5.1, "stop_loss"), (10.2, "profit_target")),
    *((1.4, "manual"), (-2.3, "max_hold"), (4.8, "trailing_stop")),
    *((10.4, "profit_target"), (-5.2, "stop_loss"), (0.6, "external")),
)
# What the held ones do, in percent, as long as the picture takes.
NOW = {"NVDA": 6.2, "KO": 1.1, "XOM": -2.4, "BRK.B": 0.7, "BTC/USD": 3.3}


def morning() -> Iterator[Trade]:
    """Give the trades of four hours; each time the same ones."""
    symbols = list(PRICES)
    for place in range(46):
        percent, reason = RESULTS[place * 5 % len(RESULTS)]
        symbol = symbols[place * 7 % len(symbols)]
        yield Trade(
            symbol,
            ago=15_000 - 320 * place - 97 * (place * 11 % 7),
            percent=percent * (0.7 + 0.1 * (place % 5)),
            reason=reason,
            entry=PRICES[symbol],
            held=100 + 40 * (place * 3 % 8),
            news=NEWS[place % len(NEWS)],
            wire_ms=1.1 + 0.23 * (place * 13 % 9) + (3 if place % 17 == 0 else 0),
            reply_ms=62 + 4.7 * (place * 5 % 23) + (90 if place % 19 == 0 else 0),
        )


@pytest.mark.soak
def test_the_picture_of_a_day_is_small_enough_for_the_readme(
    browser: Browser, tmp_path: Path
) -> None:
    picture = Path(os.environ.get("SNEXEC_PICTURE", tmp_path / "page.png"))
    moves = "\n".join(
        f'[exchange.symbols."{symbol}"]\npath = [[0.2, {percent / 2}], [1.0, {percent}]]'
        for symbol, percent in NOW.items()
    )
    with short_folder() as folder, closing(Running(folder, None, more=moves)) as daemon:
        daemon.remember(morning())
        for place, symbol in enumerate(NOW):
            daemon.buy(symbol, priceAtSignal=PRICES[symbol], id=f"news-{place}")
        daemon.buy("KO", id="again")
        daemon.buy("DIS", catalystTier=4, id="no-stars")
        with looking(browser, daemon.address) as page:
            page.set_viewport_size({"width": 1440, "height": 940})
            page.emulate_media(reduced_motion="reduce")
            page.get_by_role("row", name="NVDA").first.get_by_text("+6.").wait_for()
            page.wait_for_timeout(1500)
            page.screenshot(path=picture)
    assert 20_000 < picture.stat().st_size < MOST_BYTES

"""What the page shows: at first sight, live, in every width, to everybody."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect
from sqlite_utils import Database

from tests.web.browser.running import Trade

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.web.browser.running import Broker, Running

AXE = Path(__file__).with_name("axe.js")
_RUN_AXE = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations.map((each) =>
    `${each.id}: ${each.nodes.map((node) => node.html).join(" | ")}`);
}"""


def violations(page: Page) -> list[str]:
    """Return what axe's rules find, by the page's own policy: over the debugger."""
    session = page.context.new_cdp_session(page)
    session.send("Runtime.evaluate", {"expression": AXE.read_text()})
    found = session.send(
        "Runtime.evaluate",
        {
            "expression": f"({_RUN_AXE})()",
            "awaitPromise": True,
            "returnByValue": True,
        },
    )
    listed: list[str] = found["result"]["value"]
    return listed


def test_the_first_sight_says_which_money_it_is_and_how_the_day_is(
    look: Callable[..., Page],
) -> None:
    page = look()
    words = re.compile("SIMULATED|PAPER|LIVE")
    assert words.findall(page.title()) == ["PAPER"]
    assert words.findall(page.get_by_role("banner").inner_text()) == ["PAPER"]
    assert "LIVE" not in page.locator("body").inner_text()
    expect(page.get_by_role("table", name="Trades")).to_be_visible()
    for name in ("realised P&L", "orders", "latency"):
        expect(page.get_by_role("img", name=name)).to_be_visible()
    realised = page.get_by_text("Realised today").locator("..")
    expect(realised).to_contain_text("+$")
    assert "key=" not in page.url


def test_a_fill_is_seen_without_reloading_and_its_profit_moves_with_the_price(
    look: Callable[..., Page], daemon: Running, broker: Broker
) -> None:
    page = look()
    broker.quote("FILL", 100)
    daemon.buy("FILL", id="seen-live", catalystCategory="<b>beat</b>")
    row = page.get_by_role("table", name="Positions").get_by_role("row", name="FILL")
    expect(row).to_contain_text(re.compile(r"stop (94\.9|95\.0)\d"))
    expect(row).to_contain_text(re.compile(r"target (109\.9|110\.0)\d"))
    filled = page.get_by_text(re.compile(r"FILL fill [\d.]+ shares at (99|100)\.\d\d"))
    expect(filled).to_be_visible()
    trade = page.get_by_role("table", name="Trades").get_by_role("row", name="FILL")
    expect(trade).to_contain_text("<b>beat</b>")  # no markup of others' words
    broker.quote("FILL", 103)
    expect(row).to_contain_text(re.compile(r"\+\$[23]\.\d\d"))
    broker.quote("FILL", 98)
    expect(row).to_contain_text(re.compile("\u2212\\$[12]\\.\\d\\d"))
    expect(row).to_contain_text("\u25bc")  # colour is not all that says so


def test_a_row_of_another_program_is_shown_and_is_no_alarm(
    look: Callable[..., Page], daemon: Running
) -> None:
    with closing(sqlite3.connect(daemon.database, timeout=5)) as connection:
        row = Trade("THEIRS", ago=60, percent=0, reason="").row(datetime.now(UTC))
        row |= {"status": "open", "mode": None, "exitAt": None, "exitReason": None}
        Database(connection).table("BotTrade").insert(row)
    page = look()
    table = page.get_by_role("table", name="Positions")
    theirs = table.get_by_role("row", name="THEIRS")
    expect(theirs).to_contain_text("foreign", timeout=15_000)  # no event says it
    expect(page.get_by_role("button", name="Close THEIRS")).to_have_count(0)
    expect(page.get_by_role("heading", name="THEIRS cannot be sold")).to_have_count(0)


def test_nothing_is_wider_than_the_screen(
    look: Callable[..., Page], daemon: Running, broker: Broker
) -> None:
    symbols = {"WIDE": 1190.55, "BTC/USD": 64017.83, "BRK.B": 451.3}
    for symbol, price in symbols.items():
        broker.quote(symbol, price)
        daemon.buy(symbol, priceAtSignal=price)
    page = look()
    for symbol in symbols:
        expect(page.get_by_role("button", name=f"Close {symbol}")).to_be_visible()
    expect(page.get_by_role("img", name="latency")).to_be_visible()
    for width in (1600, 1280, 1024, 768, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "(width) => innerWidth === width"
            " && document.documentElement.scrollWidth <= width",
            arg=width,
        )
        for table in page.get_by_role("table").all():
            wide, room = table.evaluate(
                "(it) => [it.scrollWidth, it.parentNode.clientWidth]"
            )
            assert wide <= room, f"at {width}"


def test_everybody_can_use_it_in_light_and_dark_and_on_a_phone(
    look: Callable[..., Page], daemon: Running
) -> None:
    daemon.buy("AXE")
    page = look()
    expect(page.get_by_role("button", name="Close AXE")).to_be_visible()
    expect(page.get_by_role("img", name="latency")).to_be_visible()
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 740})
    assert violations(page) == []
    page.get_by_role("button", name="Halt").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []

"""What the page does: each thing confirmed, and each with its word on the screen."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.integration.harness import short_folder, signal_line
from tests.web.browser.conftest import looking
from tests.web.browser.running import Broker, Running, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page


def test_halt_asks_for_a_reason_and_resume_ends_it(
    look: Callable[..., Page], daemon: Running
) -> None:
    page = look()
    page.get_by_role("button", name="Halt").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Reason").fill("<img src=x onerror=alert(1)> too loud")
    dialog.get_by_role("button", name="Halt").click()
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("heading", name="Halted")).to_be_visible()
    expect(page.locator("main")).to_contain_text(
        "<img src=x onerror=alert(1)> too loud"
    )
    halted = daemon.status()["halted"]
    assert (halted["by"], halted["all"]) == ("page", False)
    assert halted["reason"].endswith("too loud")
    assert "halted" in page.title()
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_be_focused()
    resume.click()
    page.get_by_role("dialog").get_by_role("button", name="Resume").click()
    expect(page.get_by_role("heading", name="Halted")).to_have_count(0)
    assert daemon.status()["halted"] is None


def test_a_position_is_closed_after_a_confirmation_and_not_before(
    look: Callable[..., Page], daemon: Running, broker: Broker
) -> None:
    page = look()
    broker.quote("SELL", 50)
    daemon.buy("SELL", priceAtSignal=50)
    button = page.get_by_role("button", name="Close SELL")
    button.click()
    expect(page.get_by_role("dialog")).to_contain_text(
        re.compile(r"shares, worth about \$\d+\.\d\d, are sold at the market")
    )
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()
    button.click()
    page.get_by_role("dialog").get_by_role("button", name="Close SELL").click()
    expect(button).to_have_count(0)
    row = page.get_by_role("table", name="Trades").get_by_role("row", name="SELL")
    expect(row).to_contain_text("manual")
    expect(row).to_contain_text("closed")


def test_real_money_is_unmistakable_and_closing_all_of_it_wants_a_word(
    browser: Browser,
) -> None:
    with (
        short_folder() as folder,
        closing(Broker(folder)) as broker,  # or the other daemon finds these orders
        closing(Running(folder, broker, mode="live")) as daemon,
        looking(browser, daemon.address) as page,
    ):
        daemon.buy("REAL")
        shown = page.title(), page.get_by_role("banner").inner_text()
        for text in shown:
            assert re.findall("SIMULATED|PAPER|LIVE", text) == ["LIVE"]
        expect(page.get_by_role("button", name="Close REAL")).to_be_visible()
        page.get_by_role("button", name="Close all").click()
        dialog = page.get_by_role("dialog")
        assert page.locator("body").inner_text().count("LIVE") == 1
        word = dialog.locator("kbd").inner_text()
        sell = dialog.get_by_role("button", name="Close all")
        expect(sell).to_be_disabled()
        dialog.get_by_role("textbox").fill(word[:-1])
        expect(sell).to_be_disabled()
        dialog.get_by_role("textbox").fill(word)
        sell.click()
        expect(page.get_by_text("Nothing is held.")).to_be_visible()
        until(lambda: daemon.status()["openTrades"] == 0, "what was held is sold")


def test_another_mode_is_shown_at_once_and_shouted_once(
    browser: Browser, broker: Broker
) -> None:
    with (
        short_folder() as folder,
        closing(Running(folder, broker)) as daemon,
        looking(browser, daemon.address) as page,
    ):
        daemon.run("mode", "live", "--yes")
        expect(page.get_by_role("banner")).to_contain_text("LIVE")
        expect(page.get_by_text("another mode now: live")).to_be_visible()
        shown = page.locator("body").inner_text()
        assert re.findall("SIMULATED|PAPER|LIVE", shown) == ["LIVE"]
        assert re.findall("SIMULATED|PAPER|LIVE", page.title()) == ["LIVE"]


def test_what_was_bought_for_real_money_is_sold_as_such_in_another_mode_too(
    browser: Browser, broker: Broker
) -> None:
    with (
        short_folder() as folder,
        closing(Running(folder, broker, mode="live")) as daemon,
        looking(browser, daemon.address) as page,
    ):
        daemon.buy("DEAR")
        expect(page.get_by_role("button", name="Close DEAR")).to_be_visible()
        daemon.run("mode", "paper", "--yes")
        expect(page.get_by_role("banner")).to_contain_text("PAPER")
        for name in ("Close DEAR", "Close all"):
            page.get_by_role("button", name=name).click()
            expect(page.get_by_role("dialog")).to_contain_text("for real money")
            page.keyboard.press("Escape")
            expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_signal_and_a_position_are_explained_and_nothing_is_bought(
    look: Callable[..., Page], daemon: Running, broker: Broker
) -> None:
    page = look(refuses=True)
    broker.quote("RULE", 100)
    daemon.buy("RULE")
    expect(page.get_by_role("button", name="Close RULE")).to_be_visible()
    placed = daemon.status()["orders"]["placed"]
    field, button = (
        page.get_by_label("Signal"),
        page.get_by_role("button", name="Explain"),
    )
    answer = page.locator("#explained")
    field.fill(signal_line("RULE").decode())
    button.click()
    expect(answer).to_contain_text("would be skipped: symbol_open")
    field.fill(signal_line("FREE").decode())
    button.click()
    expect(answer).to_contain_text("would be ordered: $")
    field.fill("RULE")
    button.click()
    expect(answer).to_contain_text("stop_loss")
    field.fill('{"symbol":')
    button.click()
    expect(answer).to_contain_text("no JSON")
    page.get_by_role("button", name="Rules for RULE").click()
    expect(answer).to_contain_text("profit_target")
    expect(answer).to_be_focused()
    assert daemon.status()["orders"]["placed"] == placed


def test_trades_are_filtered_and_paged_and_the_csv_is_what_the_filter_shows(
    look: Callable[..., Page],
) -> None:
    page = look()
    table = page.get_by_role("table", name="Trades")
    expect(table.get_by_role("row").nth(20)).to_be_visible()
    first = table.get_by_role("row").count()
    page.get_by_role("button", name="Older").click()
    expect(table.get_by_role("row").nth(first + 10)).to_be_attached()
    page.get_by_label("Symbol").fill("OLD3")
    expect(table.get_by_role("row", name="OLD2")).to_have_count(0)
    expect(table.get_by_role("row", name="OLD3")).to_have_count(9)
    page.get_by_label("Why").select_option("stop_loss")
    expect(table.get_by_role("row", name="OLD3")).to_have_count(3)
    expect(page.get_by_role("button", name="Older")).to_have_count(0)
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 4
    assert all("OLD3" in line and "stop_loss" in line for line in lines[1:])
    page.get_by_label("Symbol").fill("NOSUCH")
    expect(page.get_by_text("No trade is like that.")).to_be_visible()

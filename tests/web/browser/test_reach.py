"""The page in bad hours: the daemon goes and comes, and there is no mouse."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.web.browser.conftest import looking

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

    from tests.web.browser.running import Broker, Running

_TURN = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_restart_under_an_open_page_is_said_and_mended_by_itself(
    look: Callable[..., Page], daemon: Running
) -> None:
    page = look()
    daemon.stop()
    expect(page.get_by_role("heading", name="The daemon is away")).to_be_visible()
    expect(page.get_by_role("button", name="Halt")).to_be_disabled()
    assert "away" in page.title()
    expect(page.get_by_role("table", name="Trades")).to_be_visible()
    daemon.start()
    expect(page.get_by_role("heading", name="The daemon is away")).to_have_count(0)
    daemon.buy("BACK")
    expect(page.get_by_role("button", name="Close BACK")).to_be_visible()
    page.get_by_role("button", name="Halt").click()
    page.get_by_label("Reason").fill("after a restart")
    page.get_by_role("dialog").get_by_role("button", name="Halt").click()
    expect(page.get_by_role("heading", name="Halted")).to_be_visible()
    daemon.run("resume")
    expect(page.get_by_role("heading", name="Halted")).to_have_count(0)


def test_where_too_many_look_the_page_says_so_and_comes_by_itself(
    browser: Browser, daemon: Running
) -> None:
    full = 'event: full\ndata: {"retryAfter": 1}\n\n'
    with looking(browser, daemon.address) as page:
        page.route(
            "**/api/live",
            lambda route: route.fulfill(content_type="text/event-stream", body=full),
            times=1,
        )
        page.reload()
        expect(page.get_by_text("Too many look at it already")).to_be_visible()
        expect(page.get_by_role("table", name="Trades")).to_be_visible()


def test_a_page_out_of_sight_gives_its_place_to_others_until_it_is_seen_again(
    look: Callable[..., Page], daemon: Running
) -> None:
    page = look()
    page.clock.install()
    page.reload()
    expect(page.get_by_role("table", name="Trades")).to_be_visible()
    followed: list[str] = []
    ended: list[str] = []
    page.on("request", lambda each: followed.append(each.url.rpartition("/")[2]))
    page.on("requestfailed", lambda each: ended.append(each.url.rpartition("/")[2]))
    page.evaluate(_TURN, arg=True)
    page.clock.fast_forward(61_000)
    daemon.buy("DARK")
    page.evaluate(_TURN, arg=False)
    expect(page.get_by_role("button", name="Close DARK")).to_be_visible()
    assert "live" in followed
    assert "live" in ended
    expect(page.get_by_role("heading", name="The daemon is away")).to_have_count(0)


def test_a_page_out_of_sight_makes_room_for_one_more_of_its_browser(
    look: Callable[..., Page], daemon: Running
) -> None:
    page = look()
    expect(page.get_by_role("table", name="Trades")).to_be_visible()
    page.evaluate(_TURN, arg=True)
    with page.expect_event("requestfailed", lambda each: each.url.endswith("live")):
        other = page.context.new_page()
        other.goto(daemon.origin)
        expect(other.get_by_role("table", name="Trades")).to_be_visible()
    daemon.buy("ROOM")
    expect(other.get_by_role("button", name="Close ROOM")).to_be_visible()
    page.evaluate(_TURN, arg=False)
    expect(page.get_by_role("button", name="Close ROOM")).to_be_visible()
    expect(page.get_by_role("heading", name="The daemon is away")).to_have_count(0)


def test_whoever_lost_the_key_is_told_where_to_find_it(
    look: Callable[..., Page],
) -> None:
    page = look(refuses=True)
    page.context.clear_cookies()
    page.evaluate("window.stop()")  # ends the stream, as a restart does
    expect(page.get_by_role("heading", name="Not allowed any more")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("snexec page")


def test_a_page_without_actions_has_no_button_for_them(
    browser: Browser, daemon: Running
) -> None:
    daemon.buy("ONLY")
    with looking(browser, daemon.address) as page:
        expect(page.get_by_role("button", name="Close ONLY")).to_be_visible()
        seen = page.request.get(f"{daemon.origin}/api/snapshot").json()
        line = json.dumps({**seen, "actions": False})
        page.route(
            "**/api/live",
            lambda route: route.fulfill(
                content_type="text/event-stream",
                body=f"event: snapshot\ndata: {line}\n\n",
            ),
        )
        page.reload()
        expect(page.get_by_role("row", name="ONLY").first).to_be_visible()
        for name in ("Halt", "Close"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)


def test_all_of_it_is_done_without_a_mouse(
    look: Callable[..., Page], daemon: Running
) -> None:
    page = look()
    press = page.keyboard.press
    press("Tab")
    expect(page.get_by_role("link", name="Skip to what is shown")).to_be_focused()
    press("Tab")
    halt = page.get_by_role("button", name="Halt")
    expect(halt).to_be_focused()
    press("Enter")
    reason = page.get_by_role("dialog").get_by_label("Reason")
    expect(reason).to_be_focused()
    press("Escape")
    expect(halt).to_be_focused()
    press("Enter")
    expect(reason).to_be_focused()
    page.keyboard.type("by keys alone")
    for _ in range(12):  # round and round: the focus stays in the dialog
        press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body"
            " || document.querySelector('dialog').contains(document.activeElement)"
        )
    reason.focus()
    press("Enter")
    resume = page.get_by_role("button", name="Resume")
    expect(resume).to_be_focused()
    assert daemon.status()["halted"]["reason"] == "by keys alone"
    press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    press("Tab")
    press("Enter")
    expect(halt).to_be_focused()
    assert daemon.status()["halted"] is None


def test_the_keyboards_place_is_kept_when_what_was_closed_is_gone(
    look: Callable[..., Page], daemon: Running, broker: Broker
) -> None:
    broker.quote("KEYS", 20)
    daemon.buy("KEYS", priceAtSignal=20)
    page = look()
    close = page.get_by_role("button", name="Close KEYS")
    close.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(close).to_have_count(0)
    expect(page.locator(".positions")).to_be_focused()

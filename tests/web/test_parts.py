"""The page whose parts fail: an error line, and no fault of trading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.web.following import following

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors
    from tests.web.site import Site


async def test_a_snapshot_that_cannot_be_made_is_an_error_and_all_else_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, logged_errors: LoggedErrors
) -> None:
    def fail(_health: object) -> dict[str, str]:
        raise ZeroDivisionError

    health = type(site.bench.health)
    whole = health.problems
    monkeypatch.setattr(health, "problems", fail)
    answer = await site.get("/api/snapshot")
    assert answer.status_code == 500
    assert "log" in answer.json()["error"]
    [error] = logged_errors.take()
    assert error == "/api/snapshot could not be answered; the daemon goes on"
    assert (await site.get("/api/trades")).status_code == 200
    monkeypatch.setattr(health, "problems", whole)
    assert (await site.get("/api/snapshot")).status_code == 200


async def test_what_sends_to_all_begins_again_after_a_fault(
    site: Site, monkeypatch: pytest.MonkeyPatch, logged_errors: LoggedErrors
) -> None:
    monkeypatch.setattr("snexec.web.serving._AGAIN_SECONDS", 0.2)
    live = type(site.rig.orders)
    whole = live.status

    def fail(_orders: object) -> object:
        raise ZeroDivisionError

    async with following(site) as browser:
        await browser.until("feed")
        monkeypatch.setattr(live, "status", fail)
        await trio.sleep(0.6)
        monkeypatch.setattr(live, "status", whole)
        site.rig.feed.publish("fill")
        assert [each["event"] for each in await browser.until("feed")] == ["fill"]
    errors = logged_errors.take()
    assert errors
    assert set(errors) <= {
        "page: failed; it is tried again in a minute",
        "/api/live could not be answered; the daemon goes on",
    }

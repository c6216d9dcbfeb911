"""What browsers hear by themselves, how many of them, and how much waits for each."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import trio

from snexec.web.live import MOST_FOLLOWERS
from tests.ops.selling import hold
from tests.web.following import following
from tests.web.site import head

if TYPE_CHECKING:
    from tests.web.site import Site


async def test_who_looks_sees_all_at_once_and_then_what_happens(site: Site) -> None:
    site.rig.feed.publish("placed", {"notional": "100.00"}, symbol="AAPL")
    async with following(site) as browser:
        name, snapshot = await browser.message()
        assert (name, snapshot["kind"], snapshot["positions"]) == (
            "snapshot",
            "PAPER",
            [],
        )
        name, events = await browser.message()
        assert name == "feed"
        assert [(each["event"], each["seq"]) for each in events] == [("placed", 1)]

        hold(site.rig.store)
        site.rig.feed.publish("fill", symbol="AAPL")
        site.rig.feed.publish("settled", symbol="AAPL")
        events = await browser.until("feed")
        assert [(each["event"], each["seq"]) for each in events] == [
            ("fill", 2),
            ("settled", 3),
        ]
        snapshot = await browser.until("snapshot")
        assert [each["symbol"] for each in snapshot["positions"]] == ["AAPL"]


async def test_where_nothing_changes_a_comment_says_that_somebody_is_there(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.web.live._COMMENT_SECONDS", 0.5)
    async with following(site) as browser:
        await browser.until("feed")
        assert await browser.message() == ("", None)


async def test_a_snapshot_is_made_once_for_all_who_look(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    make = type(site.bench.health).problems

    def count(health: object) -> dict[str, str]:
        nonlocal made
        made += 1
        return make(health)  # type: ignore[arg-type]

    monkeypatch.setattr(type(site.bench.health), "problems", count)
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(following(site))
        await trio.sleep(3.2)
    assert 3 <= made <= 5


async def test_nothing_is_made_while_nobody_looks(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with following(site) as browser:
        await browser.until("snapshot")
    await trio.sleep(0.6)

    def never(_health: object) -> dict[str, str]:
        raise AssertionError("nobody looks")

    monkeypatch.setattr(type(site.bench.health), "problems", never)
    await trio.sleep(1.5)


async def test_a_follower_too_many_is_told_when_to_come_again(site: Site) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(MOST_FOLLOWERS):
            browser = await stack.enter_async_context(following(site))
            await browser.until("snapshot")
        async with following(site) as late:
            assert await late.message() == ("full", {"retryAfter": 5})
            with pytest.raises(trio.EndOfChannel):
                await late.message()
    await trio.sleep(0.3)
    async with following(site) as again:
        assert (await again.message())[0] == "snapshot"


async def test_a_flood_of_events_is_cut_and_its_gap_can_be_seen(site: Site) -> None:
    async with following(site) as browser:
        await browser.until("feed")
        for _ in range(1000):
            site.rig.feed.publish("fill", symbol="AAPL")
        events = await browser.until("feed")
        assert [each["seq"] for each in events] == list(range(951, 1001))


async def test_a_browser_that_does_not_read_is_let_go_and_others_hear_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.web.live._TURN_SECONDS", 0.01)
    big = "x" * 5_000
    asked = head("GET", "/api/live", site.port, f"Cookie: {site.cookie}")
    async with await trio.open_tcp_stream("127.0.0.1", site.port) as slow:
        slow.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 65536)
        await slow.send_all(asked)
        async with following(site) as browser:
            await browser.until("feed")
            last = 0
            for number in range(60):
                for _ in range(20):
                    site.rig.feed.publish("fill", {"more": big}, symbol="AAPL")
                events = await browser.until("feed")
                assert events[-1]["seq"] > last, number
                last = events[-1]["seq"]
            with trio.fail_after(30):
                try:
                    while await slow.receive_some(1 << 20):
                        pass
                except trio.BrokenResourceError:
                    pass


async def test_orders_go_first(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = type(site.rig.orders)
    status = desk.status
    monkeypatch.setattr(desk, "status", lambda self: status(self)._replace(in_flight=1))
    async with following(site) as browser:
        await browser.until("feed")
        began = trio.current_time()
        site.rig.feed.publish("fill")
        await browser.until("feed")
        assert trio.current_time() - began > 0.5

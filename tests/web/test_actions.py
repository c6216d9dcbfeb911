"""What is done on the page: as over the socket, and by "page"."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.ops.selling import hold
from tests.web.site import head

if TYPE_CHECKING:
    from tests.conftest import LoggedErrors
    from tests.web.site import Site


@pytest.fixture
def open_site(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Give a page whose market is open."""
    monkeypatch.setattr(site.bench.wings.market, "is_open", lambda _mode: True)
    return site


async def test_a_halt_holds_with_its_reason_and_says_who_did_it(
    site: Site, logged_errors: LoggedErrors
) -> None:
    answer = await site.act("halt", {"reason": "it repeats itself"})
    assert answer.status_code == 200
    halt = answer.json()["halt"]
    assert (halt["reason"], halt["by"], halt["all"]) == (
        "it repeats itself",
        "page",
        False,
    )
    assert site.bench.wings.halt.is_halted()
    [event] = site.rig.events
    assert (event.event, event.reason) == ("halt", "it repeats itself")
    assert event.more["by"] == "page"
    assert (await site.json("/api/snapshot"))["halt"] == halt

    assert (await site.act("resume")).json() == {"ok": True}
    assert not site.bench.wings.halt.is_halted()
    [error] = logged_errors.take()
    assert "HALTED" in error
    assert "by page" in error
    assert (site.rig.events[-1].event, dict(site.rig.events[-1].more)) == (
        "resume",
        {"by": "page"},
    )


@pytest.mark.parametrize(
    "reason", [None, "", 5, ["x"], {"a": 1}, "\x1b[2J\n", "é" * 900]
)
async def test_any_words_halt(
    site: Site, reason: object, logged_errors: LoggedErrors
) -> None:
    answer = await site.act("halt", {"reason": reason})
    assert answer.status_code == 200
    assert site.bench.wings.halt.is_halted()
    said = answer.json()["halt"]["reason"]
    assert said
    assert len(said) <= 500
    assert said.isprintable()
    assert len(logged_errors.take()) == 1


async def test_a_halt_for_all_halts_exits_too(
    site: Site, logged_errors: LoggedErrors
) -> None:
    answer = await site.act("halt", {"reason": "wrong prices", "all": True})
    assert answer.json()["halt"]["all"] is True
    assert site.bench.wings.halt.is_all_halted()
    assert len(logged_errors.take()) == 1


async def test_a_resume_that_cannot_be_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch, logged_errors: LoggedErrors
) -> None:
    def fail(*, by: str | None) -> None:
        raise PermissionError(13, "Permission denied", f"/x/halt by {by}")

    monkeypatch.setattr(site.bench.wings.halt, "resume", fail)
    answer = await site.act("resume")
    assert answer.status_code == 409
    assert "cannot be removed" in answer.json()["error"]
    assert len(logged_errors.take()) == 1


async def test_a_position_is_closed_by_the_page(open_site: Site) -> None:
    hold(open_site.rig.store)
    answer = await open_site.act("close", {"symbol": "AAPL"})
    assert answer.status_code == 200
    assert answer.json() == {
        "ok": True,
        "rows": [
            {
                "id": "sn-AAPL",
                "symbol": "AAPL",
                "mode": "paper",
                "shares": "0.5",
                "dollars": "50.00",
                "dollarsAt": "entry",
                "exitId": "sn-AAPL-x1",
                "state": "selling",
                "error": None,
            }
        ],
    }
    assert (open_site.exits.asked, open_site.exits.by) == ([(["AAPL"], False)], "page")


async def test_what_would_be_closed_is_said_and_nothing_is_sold(
    open_site: Site,
) -> None:
    hold(open_site.rig.store)
    answer = await open_site.act("close", {"all": True, "dryRun": True})
    assert [row["state"] for row in answer.json()["rows"]] == ["open"]
    assert open_site.exits.asked == []


async def test_real_money_is_closed_in_whole_by_a_typed_word_only(
    open_site: Site,
) -> None:
    hold(open_site.rig.store, mode="live")
    shown = await open_site.json("/api/snapshot")
    word = shown["closeAllWord"]
    assert word
    assert "LIVE" not in word
    for wrong in ({}, {"word": ""}, {"word": word.upper()}, {"word": True}):
        answer = await open_site.act("close", {"all": True, **wrong})
        assert answer.status_code == 400
        assert word in answer.json()["error"]
    assert open_site.exits.asked == []
    assert (await open_site.act("close", {"all": True, "word": word})).is_success
    assert open_site.exits.asked == [(["AAPL"], False)]


async def test_play_money_is_closed_in_whole_without_a_word(open_site: Site) -> None:
    hold(open_site.rig.store)
    assert (await open_site.json("/api/snapshot"))["closeAllWord"] is None
    assert (await open_site.act("close", {"all": True})).is_success
    assert open_site.exits.asked == [(["AAPL"], False)]


@pytest.mark.parametrize(
    "asked",
    [{}, {"symbol": None}, {"symbol": 5}, {"symbol": ""}, {"symbol": "A", "all": True},
     {"all": "yes"}, {"all": 1}, {"symbol": "A", "atOpen": "yes"}, {"symbol": "x" * 99},
     [], "AAPL", 5],
)  # fmt: skip
async def test_what_cannot_be_understood_closes_nothing(
    open_site: Site, asked: object
) -> None:
    hold(open_site.rig.store)
    answer = await open_site.act("close", asked)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert open_site.exits.asked == []


async def test_a_position_that_is_not_there_is_said(open_site: Site) -> None:
    answer = await open_site.act("close", {"symbol": "KO"})
    assert answer.status_code == 409
    assert answer.json()["rows"][0]["error"] == "it has no open row"


async def test_what_the_broker_says_of_a_refusal_is_text_and_nothing_else(
    open_site: Site,
) -> None:
    script = "<script>alert(1)</script>"
    hold(open_site.rig.store)
    open_site.exits.refusals["AAPL"] = script
    answer = await open_site.act("close", {"symbol": "AAPL"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["rows"][0]["error"] == script


@pytest.mark.parametrize(
    ("kind", "status"),
    [("text/plain", 415), ("application/x-www-form-urlencoded", 415), ("", 415),
     ("application/json; charset=utf-8", 200)],
)  # fmt: skip
async def test_only_json_acts(
    site: Site, kind: str, status: int, logged_errors: LoggedErrors
) -> None:
    answer = await site.act("halt", {"reason": "x"}, content_type=kind)
    assert answer.status_code == status
    assert site.bench.wings.halt.is_halted() is (status == 200)
    assert len(logged_errors.take()) == (status == 200)


async def test_a_body_that_is_no_json_or_too_long_does_nothing(site: Site) -> None:
    headers = {
        "x-snexec-token": site.token,
        "sec-fetch-site": "same-origin",
        "content-type": "application/json",
    }
    for body, status in (
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 60_000, 400),
        (b" " * (64 * 1024 + 1), 413),
    ):
        answer = await site.http.post("/api/halt", content=body, headers=headers)
        assert answer.status_code == status
        assert answer.json()["error"]
    assert not site.bench.wings.halt.is_halted()


async def test_a_body_that_dribbles_in_is_refused_in_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.web.bodies.SECONDS", 0.3)
    asked = head(
        "POST", "/api/halt", site.port, f"Cookie: {site.cookie}",
        f"X-Snexec-Token: {site.token}", "Sec-Fetch-Site: same-origin",
        "Content-Type: application/json", "Content-Length: 1000",
    )  # fmt: skip
    async with await trio.open_tcp_stream("127.0.0.1", site.port) as stream:
        await stream.send_all(asked)
        with trio.fail_after(30):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 408 ")
    assert not site.bench.wings.halt.is_halted()

"""Trades as the page lists them: filters, pages, and a sheet that runs nothing."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes import make_trade

if TYPE_CHECKING:
    from snexec.ledger.store import Store
    from tests.web.site import Site

SCRIPT = "<img src=x onerror=alert(1)>"


def add(store: Store, trade_id: str, symbol: str = "AAPL", **columns: object) -> None:
    """Add an open row, and set some columns of it."""
    store.open_trade(make_trade(trade_id, symbol))
    if columns:
        sets = ", ".join(f"{name} = ?" for name in columns)
        store._db.execute(
            f"UPDATE BotTrade SET {sets} WHERE id = ?",  # noqa: S608
            [*columns.values(), trade_id],
        )


def closed(store: Store, count: int) -> None:
    for number in range(count):
        add(store, f"sn-{number}", status="closed", exitReason="stop_loss", pnl=-1.5)


async def ids(site: Site, **query: str) -> list[str]:
    found = await site.json("/api/trades", **query)
    return [each["id"] for each in found["trades"]]


async def test_a_trade_has_all_that_the_page_shows(site: Site) -> None:
    add(
        site.rig.store, "sn-1", status="closed", exitReason="profit_target",
        entryPrice=100.0, exitPrice=110.0, shares=0.5, pnl=5.0, priceAtSignal=99.0,
        entryAt="2026-01-05T14:30:00.000Z", exitAt="2026-01-05T14:31:00.000Z",
        wireMs=1.25, replyMs=4.5, fillMs=50.0,
    )  # fmt: skip
    found = await site.json("/api/trades")
    assert found["older"] is None
    assert found["reasons"] == ["profit_target"]
    [trade] = found["trades"]
    assert trade == {
        "id": "sn-1",
        "symbol": "AAPL",
        "mode": "paper",
        "status": "closed",
        "stars": 5,
        "tier": 1,
        "catalyst": "fda_approval",
        "signalId": None,
        "dollars": "100.00",
        "shares": "0.5",
        "entry": "100",
        "exit": "110",
        "pnl": "5.00",
        "pnlPct": 10.0,
        "slipPct": 1.01,
        "reason": "profit_target",
        "createdAt": 1767623400.123,
        "entryAt": 1767623400.0,
        "exitAt": 1767623460.0,
        "wireMs": 1.25,
        "replyMs": 4.5,
        "fillMs": 50.0,
    }


async def test_pages_follow_one_another_newest_first(site: Site) -> None:
    closed(site.rig.store, 7)
    first = await site.json("/api/trades", limit="3")
    assert [each["id"] for each in first["trades"]] == ["sn-6", "sn-5", "sn-4"]
    add(site.rig.store, "sn-new")  # moves no page
    second = await site.json("/api/trades", limit="3", before=first["older"])
    assert [each["id"] for each in second["trades"]] == ["sn-3", "sn-2", "sn-1"]
    assert "reasons" not in second
    last = await site.json("/api/trades", limit="3", before=second["older"])
    assert ([each["id"] for each in last["trades"]], last["older"]) == (["sn-0"], None)


async def test_filters_say_which(site: Site) -> None:
    store = site.rig.store
    add(store, "sn-open", "BTC/USD")
    add(store, "sn-loss", status="closed", exitReason="stop_loss")
    add(store, "sn-live", "KO", status="closed", exitReason="manual", mode="live")
    assert await ids(site, symbol="btcusd") == ["sn-open"]
    assert await ids(site, symbol="ko") == ["sn-live"]
    assert await ids(site, status="closed") == ["sn-live", "sn-loss"]
    assert await ids(site, mode="live") == ["sn-live"]
    assert await ids(site, reason="stop_loss") == ["sn-loss"]
    assert await ids(site, status="closed", mode="paper", symbol="") == ["sn-loss"]
    assert await ids(site, symbol="NONE") == []


@pytest.mark.parametrize(
    "query",
    [{"status": "sold"}, {"mode": "LIVE"}, {"limit": "0"}, {"limit": "201"},
     {"limit": "x"}, {"before": "-1"}, {"before": "9" * 30}, {"symbol": "x" * 201}],
)  # fmt: skip
async def test_what_cannot_be_asked_is_refused(site: Site, query: Any) -> None:  # noqa: ANN401
    for path in ("/api/trades", "/api/trades.csv"):
        answer = await site.get(path, **query)
        assert answer.status_code == 400
        assert next(iter(query)) in answer.json()["error"]


@pytest.mark.parametrize("value", ["' OR 1=1 --", '"; DROP TABLE BotTrade; --', "%"])
async def test_a_filter_is_a_value_and_no_sql(site: Site, value: str) -> None:
    add(site.rig.store, "sn-1", exitReason="stop_loss")
    assert await ids(site, symbol=value) == []
    assert await ids(site, reason=value) == []
    assert await ids(site) == ["sn-1"]


async def test_a_script_in_a_row_is_text_in_json_and_nothing_else(site: Site) -> None:
    add(site.rig.store, "sn-1", catalystType=SCRIPT, exitReason=SCRIPT, symbol=SCRIPT)
    answer = await site.get("/api/trades")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    [trade] = answer.json()["trades"]
    assert {trade["catalyst"], trade["reason"], trade["symbol"]} == {SCRIPT}
    shown = await site.get("/api/snapshot")
    assert shown.headers["content-type"] == "application/json"
    assert shown.json()["positions"][0]["symbol"] == SCRIPT


async def test_what_other_programs_write_breaks_no_page(site: Site) -> None:
    add(
        site.rig.store, "sn-1", pnl=float("inf"), shares=b"\xff\x00", wireMs="soon",
        entryAt="never", exitAt=1767623460000, entryPrice="1e999", createdAt=5,
        notional="NaN", starRating="many", exitReason=b"\xff",
    )  # fmt: skip
    [trade] = (await site.json("/api/trades"))["trades"]
    assert trade["exitAt"] == 1767623460.0
    for name in ("pnl", "entryAt", "wireMs", "dollars", "stars"):
        assert trade[name] is None, name
    assert (await site.get("/api/trades.csv")).status_code == 200
    assert (await site.get("/api/charts")).status_code == 200
    assert (await site.get("/api/snapshot")).status_code == 200


async def test_a_sheet_has_all_columns_and_follows_the_filter(site: Site) -> None:
    add(site.rig.store, "sn-1", "KO")
    add(site.rig.store, "sn-2")
    answer = await site.get("/api/trades.csv", symbol="KO", limit="1", before="1")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["id"] for row in rows] == ["sn-1"]
    assert {"exitReason", "wireMs", "catalystType"} <= rows[0].keys()


async def test_a_long_sheet_comes_whole(site: Site) -> None:
    closed(site.rig.store, 1203)
    answer = await site.get("/api/trades.csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["id"] for row in rows] == [f"sn-{n}" for n in range(1202, -1, -1)]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t=", "\r=", "\uff1d"])
async def test_no_cell_of_a_sheet_is_a_formula(site: Site, sign: str) -> None:
    text = f"{sign}HYPERLINK(0)"
    add(site.rig.store, "sn-1", exitReason=text, catalystType=text)
    answer = await site.get("/api/trades.csv")
    [row] = csv.DictReader(io.StringIO(answer.text))
    for name in ("exitReason", "catalystType"):
        assert row[name][0] in "'\\"


async def test_a_database_that_cannot_be_read_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = site.bench.wings.ledger.reader
    monkeypatch.setattr(reader, "_damage", lambda: "the file was replaced")
    for path in ("/api/trades", "/api/trades.csv", "/api/charts"):
        answer = await site.get(path)
        assert answer.status_code == 503
        assert "the file was replaced" in answer.json()["error"]
    shown = await site.json("/api/snapshot")
    assert "the file was replaced" in shown["problems"]["page"]


async def test_a_question_that_takes_too_long_is_given_up(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.web.rows._MOST_SECONDS", 0.0)
    monkeypatch.setattr("snexec.web.rows._STEPS", 1)
    closed(site.rig.store, 100)
    answer = await site.get("/api/trades", symbol="NONE")
    assert answer.status_code == 503
    assert "interrupted" in answer.json()["error"]

"""The open positions as an operator reads them, with a daemon and without."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_trades import insert

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Desk, FakeDaemon
    from tests.integration.harness import Box

ROW: dict[str, Any] = {
    "tradeId": "sn-1",
    "symbol": "AAPL",
    "mode": "paper",
    "shares": 0.533386947,
    "entryPrice": 187.177,
    "entryAt": "2026-01-05T14:30:00.123Z",
    "price": 189.5,
    "priceSource": "positions",
    "priceAgeSec": 1.8,
    "openPnl": 1.239,
    "stop": 177.82,
    "target": 196.54,
    "secondsLeft": 3600.0,
    "state": "watched",
    "blockedBy": None,
    "brokerShares": 0.533386947,
    "difference": None,
}
WIDE: list[dict[str, Any]] = [
    ROW,
    {
        **ROW,
        "symbol": "BTC/USD",
        "shares": 0.001563,
        "entryPrice": 63994.668,
        "price": 64120.11,
        "stop": 60795.0,
        "target": 67194.4,
        "openPnl": -12.5,
        "priceSource": "snapshots",
        "priceAgeSec": 12.0,
        "brokerShares": None,
        "state": "blocked",
        "blockedBy": "HTTP 403: new orders are rejected by user request",
    },
    {
        **ROW,
        "symbol": "KO",
        "price": None,
        "priceSource": None,
        "priceAgeSec": None,
        "openPnl": None,
        "stop": None,
        "target": None,
        "secondsLeft": -1.0,
        "brokerShares": 0.0,
        "difference": "paper holds none of it",
        "state": "closing",
    },
]


def answering(rows: list[dict[str, Any]]) -> Callable[[bytes], bytes]:
    answer = {"status": "ok", "daemon": True, "rows": rows, "notes": ["paper also …"]}
    return lambda _line: json.dumps(answer).encode() + b"\n"


def test_each_position_has_its_price_its_limits_and_its_state(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(answering(WIDE))
    done = desk.run(box.config, "positions")
    assert (done.status, done.err) == (0, "")
    head, _, aapl, btc, ko, _, why, gone, totals, note = done.lines
    heads = "symbol shares held entry price from P&L stop target left state"
    assert head.split() == heads.split()
    cells = "AAPL 0.533387 = 187.18 189.50 poll 1s +$1.24 177.82 196.54 1h watched"
    assert aapl.split() == cells.split()
    assert btc.split()[4:7] == ["64,120", "snap", "12s"]
    assert btc.split()[2] == "-"
    assert (ko.split()[2], gone) == ("none", "KO: paper holds none of it")
    assert note == "paper also …"
    assert ko.split()[4:] == ["-", "-", "-", "-", "-", "due", "closing"]
    assert why == "BTC/USD: HTTP 403: new orders are rejected by user request"
    assert totals == (
        "3 paper positions: $299.70 bought, open P&L -$11.26 of 2 with a price"
    )


@pytest.mark.parametrize(
    ("broker", "shown"),
    [(0.5, "less"), (0.6, "more"), (0.0, "none"), (-1.0, "none"), (None, "-")],
)
def test_whether_the_broker_holds_as_much_is_shown_and_how_much_in_words(
    desk: Desk,
    box: Box,
    fake_daemon: Callable[..., FakeDaemon],
    broker: float | None,
    shown: str,
) -> None:
    words = "paper holds …, … than the row"
    fake_daemon(answering([{**ROW, "brokerShares": broker, "difference": words}]))
    lines = desk.run(box.config, "positions").lines
    assert lines[2].split()[2] == shown
    assert f"AAPL: {words}" in lines


@pytest.mark.parametrize("modes", [("paper", "paper"), ("paper", "live")])
def test_a_screen_of_80_columns_holds_the_table(
    desk: Desk,
    box: Box,
    fake_daemon: Callable[..., FakeDaemon],
    monkeypatch: pytest.MonkeyPatch,
    modes: tuple[str, str],
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = [{**row, "mode": modes[n % 2]} for n, row in enumerate(WIDE)]
    fake_daemon(answering(rows))
    done = desk.run(box.config, "positions", terminal=True)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.out)
    assert max(len(line.rstrip()) for line in plain.splitlines()) <= 80
    assert ("live" in plain) is ("live" in modes)


def test_without_a_daemon_the_rows_alone_are_listed_and_that_is_said(
    desk: Desk, box: Box
) -> None:
    insert(
        box, {}, {"symbol": "KO", "mode": None}, {"symbol": "GE", "status": "closed"}
    )
    done = desk.run(box.config, "positions")
    assert (done.status, done.err) == (0, "")
    first = [line.split()[0] for line in done.lines if line and line[0] != "─"]
    assert first[:6] == ["paper", "symbol", "AAPL", "no", "symbol", "KO"]
    assert "KO: another program's row: it is not ours to sell" in done.lines
    assert done.lines[-2:] == [
        "what paper holds could not be asked: the simulated exchange runs within the"
        " daemon only",
        "no daemon runs: nothing is watched, and limits are not known",
    ]
    listed = desk.run(box.config, "positions", "--json").json()
    assert listed["daemon"] is False
    assert [row["state"] for row in listed["rows"]] == ["unwatched", "foreign"]


def test_an_account_that_a_mistaken_file_may_name_wrongly_is_not_asked(
    desk: Desk, box: Box
) -> None:
    insert(box, {})
    box.config.write_text(f"{box.config.read_text()}\n[bot]\nenabeld = true\n")
    done = desk.run(box.config, "positions")
    assert done.status == 0
    assert (
        "what paper holds could not be asked: the configuration has a mistake"
        in done.lines
    )


def test_without_a_database_there_are_none_and_none_is_made(
    desk: Desk, box: Box
) -> None:
    done = desk.run(box.config, "positions")
    assert done.lines[0] == "0 positions"
    assert not box.database.exists()


def test_a_database_that_is_none_is_named(desk: Desk, box: Box) -> None:
    box.database.write_bytes(b"no database" * 100)
    done = desk.run(box.config, "positions")
    assert done.status == 1
    assert "cannot be read" in done.err


def test_a_daemon_that_cannot_read_its_rows_says_so(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(lambda _line: b'{"status":"refused","error":"locked"}\n')
    done = desk.run(box.config, "positions")
    assert done.err == "snexec: the daemon does not list its positions: locked\n"
    assert done.status == 1

"""Closing positions at the command line: what is said, asked, and followed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import configure_simulated, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Desk, Done, FakeDaemon
    from tests.integration.harness import Box

AAPL: dict[str, Any] = {
    "tradeId": "sn-1",
    "symbol": "AAPL",
    "mode": "paper",
    "shares": 0.533386947,
    "dollars": 96.02,
    "dollarsAt": "last",
    "exitId": None,
    "state": "open",
    "error": None,
}
MSFT = {**AAPL, "tradeId": "sn-2", "symbol": "MSFT", "mode": "live", "shares": 1.0}
GONE = {
    **AAPL,
    "tradeId": None,
    "symbol": "GONE",
    "mode": None,
    "dollars": None,
    "state": "refused",
    "error": "it has no open row",
}
CLOSED = {
    "event": "closed",
    "tradeId": "sn-1",
    "symbol": "AAPL",
    "reason": "manual",
    "exitPrice": 180.02,
    "pnl": -3.82,
}


class Selling:
    """A daemon that sells as it is told."""

    def __init__(self, start: Callable[..., FakeDaemon]) -> None:
        self.rows = [AAPL]
        self.sold: list[dict[str, Any]] = [{**AAPL, "state": "selling"}]
        self.events: list[dict[str, Any]] = [CLOSED]
        self.refusal: str | None = None
        self._daemon = start(self._answer)

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._daemon.lines]

    def _answer(self, line: bytes) -> bytes:
        request = json.loads(line)
        if request["command"] == "events":
            said = [{"status": "ok"}, *self.events]
        elif self.refusal is not None:
            said = [{"status": "refused", "error": self.refusal, "rows": []}]
        else:
            rows = self.rows if request.get("dryRun") else self.sold
            said = [{"status": "ok", "rows": rows}]
        return b"".join(json.dumps(each).encode() + b"\n" for each in said)


@pytest.fixture
def selling(fake_daemon: Callable[..., FakeDaemon]) -> Selling:
    return Selling(fake_daemon)


@pytest.fixture
def close(desk: Desk, box: Box) -> Callable[..., Done]:
    """Give a function that closes, without being asked and without waiting long."""

    def close(*words: str, **how: Any) -> Done:  # noqa: ANN401 - as for the desk
        return desk.run(box.config, "close", *words, "--wait", "0.2", **how)

    return close


def test_it_says_what_it_sells_and_then_what_became_of_it(
    close: Callable[..., Done], selling: Selling
) -> None:
    done = close("AAPL", "--yes")
    assert (done.status, done.err) == (0, "")
    assert done.lines == [
        "AAPL (paper): 0.533386947 shares, $96.02 at the last price",
        "close 1 row: about $96.02 to be sold at the market",
        "AAPL (paper) is closed at 180.02 (manual), P&L -$3.82",
    ]
    request = {"command": "close", "symbols": ["AAPL"], "at_open": False}
    assert selling.asked == [
        {**request, "dryRun": True},
        {"command": "events"},
        request,
    ]


@pytest.mark.parametrize(
    ("waits", "when"),
    [
        ([False, False], "at the market"),
        ([True, True], "when the market opens"),
        ([True, False], "at the market, 1 of them when it opens"),
        ([None, False], "at the market, or when it opens"),
    ],
)
def test_it_says_when_it_sells(
    close: Callable[..., Done], selling: Selling, waits: list[bool | None], when: str
) -> None:
    selling.rows = [{**AAPL, "waits": each} for each in waits]
    done = close("--all", "--at-open", "--yes")
    assert f"close 2 rows: about $192.04 to be sold {when}" in done.lines


def test_all_of_them_is_a_word_and_no_list(
    close: Callable[..., Done], selling: Selling
) -> None:
    assert close("--all", "--at-open", "--yes").status == 0
    assert selling.asked[-1] == {"command": "close", "symbols": "all", "at_open": True}


def test_it_asks_first_and_sells_nothing_without_a_yes(
    close: Callable[..., Done], selling: Selling
) -> None:
    selling.rows = [AAPL, MSFT]
    piped = close("--all")
    assert piped.status == 1
    assert "there is no terminal: give --yes; nothing was sold" in piped.err
    typed = close("--all", stdin=b"no\n", typing=True)
    assert typed.status == 1
    assert "not confirmed: nothing was sold" in typed.err
    assert "close 2 rows: about $192.04 to be sold at the market, REAL MONEY" in (
        typed.out
    )
    assert all(asked["dryRun"] for asked in selling.asked)
    assert close("--all", stdin=b"yes\n", typing=True).status == 0
    assert "dryRun" not in selling.asked[-1]


def test_a_refusal_is_the_daemons_own_words(
    close: Callable[..., Done], selling: Selling
) -> None:
    selling.refusal = "AAPL: the market is closed; to sell at its open: --at-open"
    done = close("AAPL", "--yes")
    assert (done.status, done.out) == (1, "")
    assert done.err == f"snexec: nothing is closed: {selling.refusal}\n"


def test_one_that_is_not_closed_is_a_failure_and_keeps_none_from_it(
    close: Callable[..., Done], selling: Selling
) -> None:
    selling.rows = [AAPL, GONE]
    selling.sold = [{**AAPL, "state": "selling"}, GONE]
    done = close("AAPL", "GONE", "--yes")
    assert done.status == 1
    assert done.lines[-2:] == [
        "GONE is not closed: it has no open row",
        "AAPL (paper) is closed at 180.02 (manual), P&L -$3.82",
    ]


@pytest.mark.parametrize(
    ("event", "last"),
    [
        ({"event": "stream", "tradeId": None}, "its sell is under way"),
        (
            {"event": "exit_blocked", "tradeId": "sn-1", "reason": "HTTP 403"},
            "CANNOT BE SOLD: HTTP 403; see snexec positions",
        ),
        (
            {"event": "exit_blocked", "tradeId": "sn-9", "reason": "HTTP 403"},
            "its sell is under way",
        ),
    ],
)
def test_what_takes_too_long_is_named_with_what_was_said_last(
    close: Callable[..., Done], selling: Selling, event: dict[str, Any], last: str
) -> None:
    selling.events = [event]
    done = close("AAPL", "--yes")
    assert (done.status, done.err) == (1, "")
    assert done.lines[-1].startswith(f"AAPL (paper) is not closed after 0.2 s: {last}")


def test_what_waits_for_the_open_is_said_and_not_waited_for(
    close: Callable[..., Done], selling: Selling
) -> None:
    selling.sold = [{**AAPL, "state": "queued"}]
    done = close("AAPL", "--at-open", "--yes")
    assert done.status == 1
    assert done.lines[-1] == "AAPL (paper) is not closed yet: it is sold at the open"


def test_without_a_daemon_nothing_is_sold(close: Callable[..., Done]) -> None:
    done = close("--all", "--yes")
    assert (done.status, done.out) == (1, "")
    assert "no daemon answers at" in done.err


def test_a_daemon_that_goes_away_leaves_the_end_unknown(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    def answer(line: bytes) -> bytes | None:
        request = json.loads(line)
        if request["command"] == "events":
            daemon.hang_up_after_answer = True
            return b'{"status":"ok"}\n'
        return json.dumps({"status": "ok", "rows": [AAPL]}).encode() + b"\n"

    daemon = fake_daemon(answer)
    done = desk.run(box.config, "close", "AAPL", "--yes")
    assert done.status == 1
    assert "the daemon went away, and what became of AAPL is not known" in done.err


def test_a_real_daemon_lists_what_it_holds_and_answers_a_close(
    desk: Desk, box: Box
) -> None:
    configure_simulated(box)
    with running(box):
        desk.run(
            box.config, "send", "--wait", "--symbol", "KO", "--category", "x",
            "--tier", "1", "--price", "62",
        )  # fmt: skip
        listed = desk.run(box.config, "positions", "--json").json()
        (row,) = listed["rows"]
        assert (listed["daemon"], row["symbol"], row["mode"]) == (True, "KO", "paper")
        assert row["shares"] > 0
        nothing = desk.run(box.config, "close", "GE", "--yes")
        assert (nothing.status, nothing.out) == (1, "")
        assert nothing.err.startswith("snexec: nothing is closed: ")

"""The daemon's status for people and for programs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Desk, FakeDaemon
    from tests.integration.harness import Box

ANSWER: dict[str, Any] = {
    "status": "ok",
    "pid": 4711,
    "version": "0.1.0",
    "mode": "live",
    "simulate": False,
    "state": "running",
    "stream": "authorized",
    "outage": {"count": 3, "from": "FROM", "to": "TO", "settledByLookup": 2},
    "uptimeSec": 11_520.5,
    "openTrades": 3,
    "signals": {"accepted": 9, "invalid": 1, "overloaded": 0, "repeated": 2},
    "skipped": {"symbol_open": 4},
    "orders": {"placed": 5, "refused": 0, "unknown": 0, "inFlight": 1},
    "writer": {"pending": 0, "applied": 30, "healthy": True},
    "phase": "taking",
    "pending": 6,
    "unsettled": 7,
    "droppedAnswers": 0,
}


def page(out: str) -> dict[str, str]:
    """Read the page as label → text."""
    return dict(re.split(" {2,}", line, maxsplit=1) for line in out.splitlines())


@pytest.fixture
def ask(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> Callable[..., str]:
    """Give a function that shows what a daemon answers."""

    def ask(answer: dict[str, Any], *, terminal: bool = False) -> str:
        box.socket.unlink(missing_ok=True)
        fake_daemon(lambda _line: json.dumps(answer).encode() + b"\n")
        done = desk.run(box.config, "status", terminal=terminal)
        assert (done.status, done.err) == (0, "")
        return done.out

    return ask


def test_a_running_daemon_is_shown_as_it_is(desk: Desk, busy_box: Box) -> None:
    done = desk.run(busy_box.config, "status")

    shown = page(done.out)
    assert done.status == 0
    assert shown["mode"] == "paper SIMULATED: nothing is traded"
    assert "snexec 0.1.0, pid " in shown["daemon"]
    assert shown["stream"].startswith("authorized since 20")
    assert shown["writer"].startswith("healthy: 0 changes waiting")


def test_json_is_the_answer_as_it_came(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    answer = b'{"status":"ok",  "pid":1,"of tomorrow":[1.10]}\n'
    daemon = fake_daemon(lambda _line: answer)

    done = desk.run(box.config, "status", "--json")

    assert done.out.encode() == answer
    assert daemon.lines == [b'{"command":"status"}\n']


def test_everything_stands_on_one_page(ask: Callable[..., str]) -> None:
    shown = page(ask(ANSWER))

    assert shown["mode"] == "LIVE: real money"
    assert shown["daemon"] == "snexec 0.1.0, pid 4711, up 3 h 12 min"
    assert shown["stream"] == (
        "authorized; lost 2 times, at last from FROM to TO; look-ups settled 2 orders"
        " for it"
    )
    assert shown["trades"] == "3 open, 7 not settled yet"
    assert shown["signals"] == (
        "9 accepted, 1 invalid, 0 overloaded, 2 repeated, 6 waiting"
    )
    assert shown["skipped"] == "4 symbol_open"
    assert shown["orders"] == "5 placed, 0 refused, 0 unknown, 1 in flight"


def test_what_is_wrong_stands_out(ask: Callable[..., str]) -> None:
    answer = ANSWER | {
        "stream": "waiting",
        "outage": ANSWER["outage"] | {"to": None},
        "writer": {"pending": 12, "applied": 3, "healthy": False},
        "phase": "starting",
        "state": "paused",
        "droppedAnswers": 4,
    }

    shown = page(ask(answer))

    assert shown["stream"].startswith("waiting; none since FROM")
    assert shown["writer"].startswith("CANNOT WRITE: 12 changes waiting")
    assert shown["bot"] == "paused; the daemon is starting and takes no signals"
    assert shown["dropped"] == "4 answers that nobody read"


def test_latencies_are_shown_once_a_daemon_tells_them(ask: Callable[..., str]) -> None:
    measured = {"p50": 1.234, "p90": 2, "p99": None, "count": 9}
    latency = {"wireMs": measured, "replyMs": {"count": 0}, "fillMs": "soon"}

    shown = page(ask(ANSWER | {"latency": latency}))

    assert shown["to the wire"] == "p50 1.23 ms, p90 2 ms, p99 - of 9"
    assert "to reply" not in shown


@pytest.mark.parametrize("answer", [{}, {"status": "ok", "outage": 1, "signals": []}])
def test_an_answer_of_another_version_is_shown_as_far_as_it_goes(
    ask: Callable[..., str], answer: dict[str, Any]
) -> None:
    shown = page(ask(answer))

    assert {shown["mode"], shown["bot"], shown["orders"], shown["writer"]} == {"-"}


def test_colour_is_for_a_terminal_only(ask: Callable[..., str]) -> None:
    assert "\x1b[" in ask(ANSWER, terminal=True)
    assert "\x1b[" not in ask(ANSWER)


def test_no_color_is_respected(
    ask: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    assert "\x1b[" not in ask(ANSWER, terminal=True)


EXITS: dict[str, Any] = {
    "watched": 3,
    "closing": 1,
    "blocked": 0,
    "unwatched": 0,
    "source": "positions",
    "priceAgeSec": 1.5,
    "blind": False,
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "3 watched, 1 closing, 0 blocked; prices from positions, 1 s old"),
        (
            {"blocked": 2, "blind": True, "source": None, "priceAgeSec": None},
            "3 watched, 1 closing, 2 blocked; BLIND: nothing is sold by price; see"
            " snexec positions",
        ),
        (
            {"watched": 0, "closing": 0, "unwatched": 3, "source": None},
            "0 watched, 0 closing, 0 blocked, 3 UNWATCHED: exits are off",
        ),
    ],
)
def test_what_is_watched_stands_on_the_page(
    ask: Callable[..., str], changes: dict[str, Any], said: str
) -> None:
    assert page(ask(ANSWER | {"exits": EXITS | changes}))["exits"] == said
    assert "exits" not in page(ask(ANSWER | {"exits": None}))


@pytest.mark.parametrize(
    ("for_all", "said"),
    [
        (False, "HALTED: nothing is bought, exits go on; fire"),
        (True, "HALTED: no order leaves, exits are halted too; fire"),
    ],
)
def test_a_halt_says_whether_exits_go_on(
    ask: Callable[..., str], *, for_all: bool, said: str
) -> None:
    halted = {"reason": "fire", "since": "SINCE", "by": None, "all": for_all}
    assert page(ask(ANSWER | {"halted": halted}))["HALT"].startswith(said)


@pytest.mark.parametrize(
    ("changes", "lease", "said"),
    [
        ({}, "none", "connected since T; 3 entries not decided, 7 not read"),
        ({"lag": None}, "active", "connected since T; 3 entries not decided; active"),
        (
            {"connected": False, "pending": None, "lag": None},
            "standby",
            "AWAY since T; standby",
        ),
        (
            {"pending": None, "lag": None, "holder": "host-b"},
            "standby",
            "connected since T; standby, host-b is active",
        ),
    ],
)
def test_redis_stands_on_the_page_where_there_is_one(
    ask: Callable[..., str], changes: dict[str, Any], lease: str, said: str
) -> None:
    redis = {"connected": True, "since": "T", "pending": 3, "lag": 7, **changes}
    assert page(ask(ANSWER | {"redis": redis, "lease": lease}))["redis"] == said
    assert "redis" not in page(ask(ANSWER | {"redis": None, "lease": "none"}))


def test_who_posts_signals_stands_on_the_page_where_they_may(
    ask: Callable[..., str],
) -> None:
    producers = {"tv": {"accepted": 3, "invalid": 1}, "model": {}}
    http = {"listen": ["127.0.0.1:8720", "[::1]:8721"], "producers": producers}
    assert page(ask(ANSWER | {"http": http}))["http"] == (
        "signals at 127.0.0.1:8720 and [::1]:8721; tv: 3 accepted, 1 invalid; model:"
        " none yet"
    )
    assert "http" not in page(ask(ANSWER | {"http": None}))

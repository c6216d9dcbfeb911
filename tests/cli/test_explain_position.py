"""What the exits do about a position, rule by rule."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.cli.test_positions import ROW

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Desk, FakeDaemon
    from tests.integration.harness import Box

RULES: list[dict[str, Any]] = [
    {
        "rule": "stop_loss",
        "on": True,
        "threshold": "177.82",
        "distance": "-6.2 % from 189.50",
    },
    {"rule": "trailing_stop", "on": False, "threshold": "", "distance": ""},
    {
        "rule": "max_hold",
        "on": True,
        "threshold": "held for 60 s",
        "distance": "in 9 s",
    },
]
WATCHED = {**ROW, "rules": RULES}


def answering(answer: dict[str, Any]) -> Callable[[bytes], bytes]:
    return lambda _line: json.dumps({"status": "ok", **answer}).encode() + b"\n"


def test_each_rule_is_a_line_and_the_position_the_last(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    daemon = fake_daemon(answering(WATCHED))
    done = desk.run(box.config, "explain", "AAPL")
    assert (done.status, done.err) == (0, "")
    assert json.loads(daemon.lines[0]) == {"command": "explain", "position": "AAPL"}
    assert [" ".join(line.split()) for line in done.lines] == [
        "stop_loss 177.82; -6.2 % from 189.50",
        "trailing_stop off",
        "max_hold held for 60 s; in 9 s",
        "AAPL (paper), 0.533386947 shares bought at 187.177: watched",
    ]
    assert desk.run(box.config, "explain", "--json", "AAPL").json() == WATCHED


def test_what_blocks_a_position_is_said(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(answering({**WATCHED, "state": "blocked", "blockedBy": "HTTP 403"}))
    done = desk.run(box.config, "explain", "AAPL")
    assert done.lines[-1].endswith(": blocked; HTTP 403")


def test_a_position_of_which_no_price_counts_says_so(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    rules = [{**line, "distance": None} for line in WATCHED["rules"]]
    fake_daemon(answering({**WATCHED, "rules": rules}))
    done = desk.run(box.config, "explain", "AAPL")
    assert done.lines[-1].endswith(
        ": watched, and no price of it counts now: rules of price rest"
    )


def test_what_nobody_watches_has_no_rules(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(answering({**WATCHED, "state": "unwatched", "rules": []}))
    done = desk.run(box.config, "explain", "AAPL")
    assert done.status == 1
    (line,) = done.lines
    assert line.endswith(": unwatched, no rule is asked about it")


def test_a_symbol_without_a_row_is_the_daemons_refusal(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(lambda _: b'{"status":"refused","error":"KO has no open row"}\n')
    done = desk.run(box.config, "explain", "KO")
    assert (done.status, done.out) == (1, "")
    assert done.err == "snexec: not explained: KO has no open row\n"


def test_only_a_daemon_knows(desk: Desk, box: Box) -> None:
    done = desk.run(box.config, "explain", "BTC/USD")
    assert done.status == 1
    assert done.err.startswith("snexec: only a daemon watches positions, and no daemon")

"""The feed, for people and for programs."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Desk, FakeDaemon
    from tests.integration.harness import Box

EVENT = (
    b'{"event":"fill","at":"2026-01-05T14:30:00.123Z","signalId":"n-1","tradeId":'
    b'"sn-1","symbol":"AAPL","reason":null,  "shares":0.5,"entryPrice":10.0}\n'
)


def follow(box: Box, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        box.command("events", *words),
        env=box.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def line_of(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    return stream.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_events_are_told_as_they_happen_until_stopped(
    desk: Desk, busy_box: Box, number: signal.Signals
) -> None:
    following = follow(busy_box)
    assert b"following" in line_of(following.stderr)
    signal_id = f"followed-{number}"
    desk.run(
        busy_box.config,
        *("send", "--symbol", "NOSTARS", "--category", "x", "--tier", "4"),
        *("--price", "1", "--id", signal_id),
    )
    told = line_of(following.stdout).decode()
    following.send_signal(number)
    _, errors = following.communicate(timeout=20)

    assert "  skipped       NOSTARS   no_stars" in told
    assert told.rstrip().endswith(f"signal={signal_id}")
    assert (following.returncode, errors) == (0, b"")


def test_json_passes_through_unchanged_and_at_once(
    box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    daemon = fake_daemon(lambda _line: b'{"status":"ok"}\n' + EVENT)
    following = follow(box, "--json")
    first = line_of(following.stdout)
    following.send_signal(signal.SIGINT)
    rest, errors = following.communicate(timeout=20)

    assert first == EVENT
    assert (following.returncode, rest, errors) == (0, b"", b"")
    assert [json.loads(line) for line in daemon.lines] == [{"command": "events"}]


def test_a_daemon_that_goes_away_is_said_to_have_gone(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    answers = iter([b'{"status":"ok"}\n' + EVENT + b"no json\n" + b"half a li"])

    def answer(_line: bytes) -> bytes:
        daemon.hang_up_after_answer = True
        return next(answers)

    daemon = fake_daemon(answer)

    done = desk.run(box.config, "events")

    assert done.status == 1
    assert done.lines == [
        "2026-01-05T14:30:00.123Z  fill          AAPL      0.5 shares at 10.00"
        "  signal=n-1  trade=sn-1"
    ]
    assert done.err.endswith(f"snexec: the daemon at {box.socket} went away\n")

"""Sending a signal again, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.cli import sender
from tests.integration.harness import signal_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Desk, FakeDaemon
    from tests.integration.harness import Box


def test_a_line_without_room_is_sent_again_for_a_while_only(
    desk: Desk,
    box: Box,
    fake_daemon: Callable[..., FakeDaemon],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "_RETRY_SECONDS", 0.1)
    daemon = fake_daemon(lambda _line: b'{"status":"overloaded","reason":"full"}\n')

    done = desk.run(box.config, "send", "-", stdin=signal_line("KO"))

    assert done.status == 1
    assert done.err == "line 1: overloaded: full\n"
    assert 2 < len(daemon.lines) < 10


def test_one_signal_is_not_sent_again(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    daemon = fake_daemon(lambda _line: b'{"status":"starting"}\n')

    done = desk.run(box.config, "send", signal_line("KO").decode().strip())

    assert (done.status, done.out) == (1, '{"status":"starting"}\n')
    assert len(daemon.lines) == 1


def test_no_answer_steers_the_terminal_whoever_listens_at_the_socket(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(lambda _line: b'{"status":"\\u0007","reason":"\x07"}\n')

    one = desk.run(box.config, "send", signal_line("KO").decode().strip())
    many = desk.run(box.config, "send", "-", stdin=signal_line("KO"))
    listed = desk.run(box.config, "send", "-", "--json", stdin=signal_line("KO"))
    halted = desk.run(box.config, "resume")

    for done in (one, many, listed, halted):
        assert "\x07" not in done.out + done.err


BELL = "\\u0007"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["status", "--json"], '{"status":"ok","version":"\x07"}'),
        (["status"], '{"status":"ok","version":"BELL","stream":"BELL"}'),
        (
            ["mode", "live", "--yes"],
            '{"status":"ok","mode":"live","pid":"BELL","stream":"BELL"}',
        ),
        (
            ["explain", signal_line("KO").decode().strip()],
            '{"status":"ok","verdict":"skip","reason":"BELL","symbol":"BELL","mode":"BELL",'
            '"gates":[],"daemon":true}',
        ),
        (
            ["rebuild"],
            '{"status":"ok","asked":["BELL"],"rows":[],"problems":{"BELL":"BELL"}}',
        ),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_no_command_lets_whoever_listens_steer_the_terminal(
    desk: Desk,
    box: Box,
    fake_daemon: Callable[..., FakeDaemon],
    command: list[str],
    answer: str,
) -> None:
    fake_daemon(lambda _line: answer.replace("BELL", BELL).encode() + b"\n")
    done = desk.run(box.config, *command)
    assert "\\x07" in done.out
    assert "\x07" not in done.out + done.err

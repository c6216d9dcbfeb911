"""Sending a signal again, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snexec.cli import sender
from tests.integration.harness import signal_line

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

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

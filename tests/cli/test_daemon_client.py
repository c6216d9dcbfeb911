"""What is said when the daemon does not answer as it should."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from snexec.cli import daemon_client

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Desk, FakeDaemon
    from tests.integration.harness import Box

COMMANDS = [
    pytest.param(("status",), id="status"),
    pytest.param(("status", "--json"), id="status --json"),
    pytest.param(("events",), id="events"),
    pytest.param(("send", "{}"), id="send"),
    pytest.param(("send", "{}", "--wait"), id="send --wait"),
    pytest.param(("send", "-"), id="send -"),
]


@pytest.mark.parametrize("words", COMMANDS)
def test_without_a_daemon_one_line_says_how_to_start_it(
    desk: Desk, box: Box, words: tuple[str, ...]
) -> None:
    done = desk.run(box.config, *words, stdin=b"{}\n")

    assert done.status == 1
    assert done.err == (
        f"snexec: no daemon answers at {box.socket}: start it with: snexec --config"
        f" {box.config}\n"
    )
    assert done.out == ""


def test_a_socket_left_by_a_dead_daemon_is_no_daemon(desk: Desk, box: Box) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(box.socket))

    done = desk.run(box.config, "status")

    assert done.status == 1
    assert "no daemon answers at" in done.err


@pytest.mark.parametrize("words", COMMANDS)
def test_a_daemon_that_hangs_up_is_told_in_one_line(
    desk: Desk,
    box: Box,
    fake_daemon: Callable[..., FakeDaemon],
    words: tuple[str, ...],
) -> None:
    fake_daemon(lambda _line: None)

    done = desk.run(box.config, *words, stdin=b"{}\n")

    assert done.status == 1
    assert done.err.endswith(f"snexec: the daemon at {box.socket} went away\n")


def test_a_daemon_that_says_nothing_is_not_waited_for_long(
    desk: Desk,
    box: Box,
    fake_daemon: Callable[..., FakeDaemon],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(daemon_client, "ANSWER_SECONDS", 0.1)
    fake_daemon(lambda _line: b"")

    done = desk.run(box.config, "status")

    assert done.status == 1
    assert "gave no answer within 0.1 s" in done.err


def test_something_else_at_the_socket_is_not_taken_for_a_daemon(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(lambda _line: b"220 mail.example ESMTP\n")

    done = desk.run(box.config, "status")

    assert done.status == 1
    assert done.err.endswith(f"what listens at {box.socket} is no snexec\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use any socket")
def test_a_socket_of_another_user_is_said_to_be_one(
    desk: Desk, box: Box, fake_daemon: Callable[..., FakeDaemon]
) -> None:
    fake_daemon(lambda _line: b"{}\n")
    box.socket.chmod(0)

    done = desk.run(box.config, "status")

    assert done.status == 1
    assert "run this as the user that runs the daemon" in done.err

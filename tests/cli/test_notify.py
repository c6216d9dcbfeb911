"""A test notification, to whoever is named."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tests.cli.test_check_notify import hook
from tests.ops.delivery import SAVE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Desk
    from tests.integration.harness import Box


def test_each_receiver_gets_one_and_is_named(
    desk: Desk, box: Box, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    with hook(204) as (url, asked):
        box.configure(
            notify={
                "command": [sys.executable, "-c", SAVE, str(target)],
                "webhook": url,
            }
        )
        done = desk.run(box.config, "notify", "--test")

    assert (done.status, done.err) == (0, "")
    assert done.lines == ["notify.command: delivered", "notify.webhook: delivered"]
    assert asked == ["POST"]
    words, message, _environ = json.loads(target.read_text())
    assert words == ["snexec: this is a test, sent by snexec notify --test"]
    assert message["event"] == "test"


def test_one_that_does_not_take_it_is_named_without_its_address(
    desk: Desk, box: Box
) -> None:
    with hook(403) as (url, _asked):
        box.configure(notify={"command": ["false"], "webhook": url})
        done = desk.run(box.config, "notify", "--test")

    assert done.status == 1
    assert done.lines == [
        "notify.command: not delivered: exit status 1",
        "notify.webhook: not delivered: HTTP 403",
    ]
    assert "hush" not in done.out


def test_nobody_to_tell_is_a_mistake_in_the_file(desk: Desk, box: Box) -> None:
    done = desk.run(box.config, "notify", "--test")

    assert (done.status, done.out) == (2, "")
    assert done.err.endswith("notify: neither command nor webhook is set\n")


def test_what_only_the_daemon_is_given_keeps_no_test_from_being_sent(
    desk: Desk, box: Box
) -> None:
    # Who may post is among the daemon's credentials, which no shell has.
    box.configure(
        alpaca={"simulate": True},
        http={"enabled": True, "listen": "127.0.0.1:0"},
        notify={"command": ["true"]},
    )
    done = desk.run(box.config, "notify", "--test")

    assert (done.status, done.lines) == (0, ["notify.command: delivered"])

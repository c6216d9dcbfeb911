"""The preflight of who is told, and of the ports: nothing is sent to find out."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Desk
    from tests.integration.harness import Box


class Check:
    """Checks a box, and gives what was found by its name."""

    def __init__(self, desk: Desk, box: Box) -> None:
        self._desk, self._box = desk, box

    def __call__(self, *, status: int = 0) -> dict[str, dict[str, str]]:
        done = self._desk.run(self._box.config, "check", "--json")
        assert (done.status, done.err) == (status, ""), done.out
        return {finding["check"]: finding for finding in done.json()}


@pytest.fixture
def check(desk: Desk, box: Box) -> Check:
    return Check(desk, box)


@contextmanager
def hook(status: int) -> Iterator[tuple[str, list[str]]]:
    """Run a web server that answers everything so; give its URL, and what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.command)
            self.send_response(status)
            self.end_headers()

        def do_POST(self) -> None:
            self.do_HEAD()

        def do_GET(self) -> None:
            self.do_HEAD()

        def log_message(self, *_words: object) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hush", asked
        server.shutdown()


def test_nobody_to_tell_is_said(check: Check) -> None:
    assert check()["notify"]["detail"] == "nobody is told of what happens"


@pytest.mark.parametrize(
    ("word", "result"), [("sh", "OK"), ("/no/such/program", "FAIL"), ("n0ne", "FAIL")]
)
def test_a_program_that_is_missing_fails(
    check: Check,
    box: Box,
    word: str,
    result: str,
) -> None:
    box.configure(notify={"command": [word, "-c", "true"]})

    found = check(status=int(result == "FAIL"))["notify"]

    assert (found["result"], word in found["detail"]) == (result, True)


def test_the_days_report_is_named_with_its_time(check: Check, box: Box) -> None:
    box.configure(notify={"command": ["sh"], "daily_at": "16:15"})

    assert check()["report"]["detail"] == "sent each day at 16:15, New York"


@pytest.mark.parametrize(
    ("status", "result"), [(204, "OK"), (405, "OK"), (404, "WARN"), (410, "FAIL")]
)
def test_a_webhook_is_asked_for_its_head_and_told_nothing(
    check: Check,
    box: Box,
    status: int,
    result: str,
) -> None:
    with hook(status) as (url, asked):
        box.configure(notify={"webhook": url})
        box.config.chmod(0o600)
        found = check(status=int(result == "FAIL"))["webhook"]

    assert (found["result"], asked) == (result, ["HEAD"])
    assert "hush" not in str(found)


def test_a_dead_webhook_fails(check: Check, box: Box) -> None:
    box.configure(notify={"webhook": "http://127.0.0.1:1/hush"})
    box.config.chmod(0o600)

    found = check(status=1)["webhook"]

    assert found["result"] == "FAIL"
    assert "hush" not in str(found)


def test_a_port_that_is_taken_fails_and_a_free_one_is_fine(
    check: Check,
    box: Box,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        box.configure(metrics={"listen": f"127.0.0.1:{port}"})
        assert check(status=1)["metrics"]["result"] == "FAIL"
    assert check()["metrics"]["result"] == "OK"


def test_a_port_of_another_web_server_fails_also_while_the_daemon_runs(
    check: Check, box: Box
) -> None:
    with running(box), hook(404) as (url, _asked):
        box.configure(metrics={"listen": url.split("/")[2]})
        assert check(status=1)["metrics"]["result"] == "FAIL"


def test_a_port_that_the_daemon_serves_is_fine(check: Check, box: Box) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    box.configure(metrics={"listen": f"127.0.0.1:{port}"})
    with running(box):
        found = check()["metrics"]

    assert found["detail"].endswith("served by the daemon")

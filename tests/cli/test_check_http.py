"""The preflight of signals over HTTP: who may post them, and where."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import running
from tests.web.posting import OTHER_TOKEN, TOKEN

if TYPE_CHECKING:
    from tests.cli.conftest import Desk
    from tests.integration.harness import Box


@pytest.fixture
def at(box: Box) -> str:
    """Where the box is configured to take signals."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        at = f"127.0.0.1:{free.getsockname()[1]}"
    sections: dict[str, dict[str, object]] = {
        "alpaca": {"simulate": True},
        "http": {"enabled": True, "listen": at, "per_minute": 30},
        "http.tokens": {"tv": TOKEN, "model": OTHER_TOKEN},
    }
    box.configure(mode="paper", **sections)
    box.config.chmod(0o600)
    return at


def found(desk: Desk, box: Box, *, status: int = 0) -> dict[str, tuple[str, str]]:
    done = desk.run(box.config, "check", "--json")
    assert (done.status, done.err) == (status, ""), done.out
    assert TOKEN not in done.out
    return {each["check"]: (each["result"], each["detail"]) for each in done.json()}


def test_producers_are_named_and_tokens_are_not(desk: Desk, box: Box, at: str) -> None:
    seen = found(desk, box)
    assert seen["http"] == (
        "OK",
        f"signals at {at} from tv, model, at most 30 a minute from each",
    )
    assert seen["http.listen"][0] == "OK"
    assert seen["http.listen"][1].endswith(": free")


@pytest.mark.usefixtures("at")
def test_a_port_at_which_the_daemon_takes_signals_is_fine(desk: Desk, box: Box) -> None:
    with running(box):
        seen = found(desk, box)
    assert seen["http.listen"][1].endswith("served by the daemon")


def test_a_producer_that_nothing_names_fails(desk: Desk, box: Box) -> None:
    http: dict[str, object] = {"enabled": True, "listen": "127.0.0.1:0"}
    box.configure(alpaca={"simulate": True}, http=http)
    result, detail = found(desk, box, status=1)["http"]
    assert result == "FAIL"
    assert detail.startswith("http.tokens: must name who may post")

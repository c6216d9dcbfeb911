"""How a message reaches a program or a web server, and how each may fail."""

from __future__ import annotations

import json
import ssl
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import trio
import trio.lowlevel
from pydantic import SecretStr

from snexec.ops.couriers import NotDeliveredError, Webhook, run_command
from tests.conftest import Authority
from tests.ops.delivery import MESSAGE, SAVE, TOKEN, open_hook

# The command ------------------------------------------------------------------------


async def test_a_command_gets_the_text_last_and_the_json_on_stdin_and_no_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APCA_API_KEY_ID", "key")
    others = ("CREDENTIALS_DIRECTORY", "SNEXEC_HTTP_TOKENS", "SNEXEC_REDIS_URL")
    for name in others:
        monkeypatch.setenv(name, "secret")
    target = tmp_path / "out"

    await run_command([sys.executable, "-c", SAVE, str(target), "--x"], MESSAGE)

    words, stdin, environ = json.loads(target.read_text())
    assert words == ["--x", "snexec: Bought AAPL"]
    assert stdin == MESSAGE
    assert environ["SNEXEC_EVENT"] == "fill"
    assert not any(name.startswith("APCA_") for name in environ)
    assert not environ.keys() & others


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["/nowhere/tell"], "No such file or directory"),
        (["sh", "-c", "exit 3"], "exit status 3"),
        (["sh", "-c", "kill -9 $$"], "exit status -9"),
    ],
)
async def test_a_command_that_fails_says_how(command: list[str], problem: str) -> None:
    with pytest.raises(NotDeliveredError, match=problem):
        await run_command(command, MESSAGE)


@pytest.mark.parametrize(
    "fault", [RuntimeError("can't start new thread"), BlockingIOError(11, "no more")]
)
async def test_a_command_that_a_limit_of_processes_keeps_from_running_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    async def run_process(*_words: object, **_options: object) -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise fault

    monkeypatch.setattr(trio, "run_process", run_process)
    with pytest.raises(NotDeliveredError) as problem:
        await run_command(["true"], MESSAGE)
    assert not problem.value.final


async def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 60 & echo $$ $! > {pids}; wait"

    with trio.move_on_after(0.5) as scope:
        await run_command(["sh", "-c", script], MESSAGE)

    assert scope.cancelled_caught
    for pid in pids.read_text().split():
        with trio.fail_after(30):
            while is_alive(int(pid)):  # noqa: ASYNC110 - the kernel reaps it
                await trio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# The webhook ------------------------------------------------------------------------


def webhook(url: str, tls: ssl.SSLContext | None = None) -> Webhook:
    return Webhook(SecretStr(url), lambda: tls or ssl.create_default_context())


async def test_a_webhook_gets_a_post_of_json(nursery: trio.Nursery) -> None:
    hook, url = await open_hook(nursery)
    await webhook(url).post(MESSAGE)

    [request] = hook.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(f"POST /hooks/{TOKEN} HTTP/1.1".encode())
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body) == MESSAGE
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("answer", "problem", "final"),
    [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "HTTP 500", False),
        (b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", "HTTP 429", False),
        (b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n", "HTTP 404", True),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n",
            "HTTP 302",
            True,
        ),
        (b"garbage\r\n\r\n", "RemoteProtocolError", False),
    ],
)
async def test_a_webhook_that_fails_says_how_and_shows_no_token(
    nursery: trio.Nursery, answer: bytes, problem: str, final: bool
) -> None:
    hook, url = await open_hook(nursery)
    hook.answer = answer

    with pytest.raises(NotDeliveredError) as caught:
        await webhook(url).post(MESSAGE)

    assert (str(caught.value), caught.value.final) == (problem, final)
    assert len(hook.requests) == 1, "no redirect is followed"
    nursery.cancel_scope.cancel()


async def test_a_webhooks_certificate_is_verified(
    nursery: trio.Nursery, authority: Authority
) -> None:
    hook, url = await open_hook(nursery, authority.server)
    trusted = ssl.create_default_context(cafile=str(authority.bundle))

    await webhook(url, trusted).post(MESSAGE)
    with pytest.raises(NotDeliveredError, match="ConnectError"):
        await webhook(url).post(MESSAGE)

    assert len(hook.requests) == 1
    nursery.cancel_scope.cancel()

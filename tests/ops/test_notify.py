"""What somebody is told, by a command or a webhook, and what that may cost: nothing."""

from __future__ import annotations

import json
import logging
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from pydantic import SecretStr

from snexec.logs.mask import SecretMask
from snexec.ops import notify as notify_module
from snexec.ops.couriers import NotDeliveredError, Webhook, run_command
from snexec.ops.health import Health
from snexec.ops.notify import Notify
from tests.conftest import Authority, LoggedErrors
from tests.fakes import Rig, TrioClock, make_settings, warnings_of
from tests.integration.harness import alpaca, real_box, signal_line
from tests.streaming import RecordingFills, bare_stream

TOKEN = "T0k3nT0k3n"

jumping = pytest.mark.jumping_time


class Told(Notify):
    """Notifications that are put down instead of being delivered."""

    def __init__(self, rig: Rig, **values: object) -> None:
        self.stream = bare_stream(RecordingFills())
        self.health = Health(
            intake=rig.intake,
            stream=self.stream,
            writer=rig.writer,
            stream_grace_seconds=60.0,
        )
        self.mask = SecretMask()
        self.mask.learn(["s3cr3t-value"])
        self.deadline = float("inf")
        self.messages: list[tuple[float, dict[str, Any]]] = []
        self.tries = 0
        self.problem: Exception | None = None
        self.seconds = 0.0
        super().__init__(
            settings=make_settings(notify={"command": ["x"], **values}).notify,
            health=self.health,
            clock=rig.clock,
            mask=self.mask.apply,
            tls=ssl.create_default_context,
            latest=lambda: self.deadline,
            account=lambda mode: mode,
        )
        rig.feed.follow(self.happened)
        self.feed = rig.feed

    def _make_targets(
        self,
    ) -> dict[str, Callable[[dict[str, object]], Awaitable[None]]]:
        return {"notify.command": self._put_down}

    async def _put_down(self, message: dict[str, object]) -> None:
        self.tries += 1
        await trio.sleep(self.seconds)
        if self.problem is not None:
            raise self.problem
        self.messages.append((trio.current_time(), message))

    def texts(self) -> list[str]:
        return [message["text"] for _, message in self.messages]

    def fill(self, symbol: str, dollars: float = 100.0, mode: str = "paper") -> None:
        more = {"shares": dollars / 10, "entryPrice": 10.0, "mode": mode}
        self.feed.publish("fill", more, symbol=symbol, trade_id=f"sn-{symbol}")


# What is told -----------------------------------------------------------------------


@jumping
async def test_each_thing_worth_telling_is_one_sentence(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    paper = {"mode": "paper"}
    for publish in (
        partial(told.fill, "AAPL"),
        partial(told.feed.publish, "rejected", paper, symbol="KO", reason="no shorts"),
        partial(told.feed.publish, "refused", paper, symbol="T", reason="no\npower"),
        partial(
            told.feed.publish, "settled", paper, symbol="F", reason="alpaca_expired"
        ),
        partial(told.feed.publish, "mode", {"mode": "live"}, reason="was paper"),
        partial(told.feed.publish, "halt", {"by": "me"}, reason="too wild"),
        partial(told.feed.publish, "resume"),
    ):
        publish()
        await trio.sleep(10)

    assert told.texts() == [
        "snexec: Bought AAPL: 10 shares at 10, $100.00 (paper)",
        "snexec: KO rejected: no shorts (paper)",
        "snexec: T refused: no\\npower (paper)",
        "snexec: F: alpaca_expired (paper)",
        "snexec: mode is live now (was paper)",
        "snexec: HALTED: too wild",
        "snexec: no longer halted",
    ]
    first = told.messages[0][1]
    assert first["event"] == "fill"
    assert first["count"] == 1
    assert first["events"][0]["tradeId"] == "sn-AAPL"
    nursery.cancel_scope.cancel()


@jumping
async def test_what_nobody_asked_for_is_not_told(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig, events=["mode"])
    nursery.start_soon(told.run)
    told.fill("AAPL")
    told.feed.publish("settled", {"mode": "paper"}, symbol="AAPL")
    told.feed.publish("skipped", symbol="AAPL", reason="symbol_open")
    await trio.sleep(60)

    assert told.messages == []
    nursery.cancel_scope.cancel()


@jumping
async def test_a_burst_is_one_message_and_each_account_has_its_own_sum(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    for number in range(12):
        told.fill(f"S{number}", 50)
        await trio.sleep(0.07)
    told.fill("LIVE", 75, mode="live")
    await trio.sleep(20)

    assert told.texts() == [
        "snexec: 12 fills (paper): S0, S1, S2, S3, S4, …, $600.00 in 1 s;"
        " Bought LIVE: 7.5 shares at 10, $75.00 (live)"
    ]
    assert told.messages[0][1]["count"] == 13
    nursery.cancel_scope.cancel()


@jumping
async def test_a_steady_flow_is_one_message_every_few_seconds(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    for _ in range(600):
        told.fill("AAPL")
        await trio.sleep(0.1)

    assert 9 <= len(told.messages) <= 12
    nursery.cancel_scope.cancel()


@jumping
async def test_more_than_can_be_kept_is_counted(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    for _ in range(1500):
        told.fill("AAPL")
    nursery.start_soon(told.run)
    await trio.sleep(3)

    [text] = told.texts()
    assert "1000 fills (paper): AAPL, $100,000.00" in text
    assert "and 500 more, which were not kept" in text
    assert len(told.messages[0][1]["events"]) == 100
    nursery.cancel_scope.cancel()


@jumping
async def test_no_secret_and_no_line_break_is_in_a_message(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    reason = "key s3cr3t-value\n\x1b[2J" + "x" * 5000
    told.feed.publish("refused", {"mode": "paper"}, symbol="A", reason=reason)
    await trio.sleep(5)

    [(_, message)] = told.messages
    assert "s3cr3t-value" not in json.dumps(message)
    assert message["text"].isprintable()
    assert len(message["text"]) < 1100
    nursery.cancel_scope.cancel()


@jumping
async def test_an_outage_is_told_after_a_minute_and_when_it_is_over(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    told.stream._set_state("authorized", "paper")
    nursery.start_soon(told.run)
    told.stream._set_state("waiting", "paper")
    await trio.sleep(50)
    assert told.messages == []
    await trio.sleep(30)
    told.stream._set_state("authorized", "paper")
    await trio.sleep(30)

    assert told.texts() == [
        "snexec: no trading stream for 1.1 min: fills are confirmed by look-ups only",
        "snexec: the trading stream is back",
    ]
    nursery.cancel_scope.cancel()


@jumping
async def test_a_database_that_cannot_be_written_is_told(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    rig.writer.healthy = False
    await trio.sleep(30)
    rig.writer.healthy = True
    await trio.sleep(30)

    assert told.texts() == [
        "snexec: unhealthy: writer: the database cannot be written, 0 changes wait",
        "snexec: healthy again",
    ]
    nursery.cancel_scope.cancel()


# Delivery ---------------------------------------------------------------------------


@jumping
async def test_a_message_that_fails_is_tried_three_times_and_then_given_up(
    rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(rig)
    told.problem = NotDeliveredError("HTTP 503")
    nursery.start_soon(told.run)
    told.fill("AAPL")
    await trio.sleep(30)
    assert told.tries == 3
    [warning] = warnings_of(caplog)
    assert warning.startswith(
        "notify.command: a message was not delivered (HTTP 503): snexec: Bought AAPL"
    )
    for _ in range(100):
        told.fill("AAPL")
        await trio.sleep(10)
    assert len(warnings_of(caplog)) <= 6, "summed up, not one a message"

    told.problem = None
    told.fill("KO")
    await trio.sleep(30)
    assert told.texts()[-1].startswith("snexec: Bought KO")
    assert told.counts["failed"] > 30
    nursery.cancel_scope.cancel()


@jumping
async def test_what_will_never_work_is_not_tried_again(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    told.problem = NotDeliveredError("HTTP 404", final=True)
    nursery.start_soon(told.run)
    told.fill("AAPL")
    await trio.sleep(60)

    assert told.tries == 1
    nursery.cancel_scope.cancel()


@jumping
async def test_a_fault_of_ours_ends_that_message_and_nothing_else(
    rig: Rig, nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    told = Told(rig)
    told.problem = ZeroDivisionError()
    nursery.start_soon(told.run)
    told.fill("AAPL")
    await trio.sleep(60)

    assert logged_errors.take() == ["notify.command failed; trading goes on"]
    nursery.cancel_scope.cancel()


@jumping
async def test_an_end_that_never_comes_is_given_up_in_time(
    rig: Rig, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(rig)
    told.seconds = 1000
    nursery.start_soon(told.run)
    told.fill("AAPL")
    await trio.sleep(40)

    assert told.tries == 3
    assert "no end within 10 s" in warnings_of(caplog)[0]
    nursery.cancel_scope.cancel()


@jumping
async def test_a_stop_delivers_what_waits(rig: Rig) -> None:
    told = Told(rig)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.run)
        await trio.sleep(10)
        told.fill("AAPL")
        nursery.cancel_scope.cancel()

    assert told.texts() == ["snexec: Bought AAPL: 10 shares at 10, $100.00 (paper)"]
    assert trio.current_time() == 10


@pytest.mark.parametrize(("deadline", "ends"), [(100.0, 12.0), (10.5, 10.5), (3, 10)])
@jumping
async def test_a_stop_waits_two_seconds_at_most_and_never_past_its_own_time(
    rig: Rig, caplog: pytest.LogCaptureFixture, deadline: float, ends: float
) -> None:
    told = Told(rig)
    told.seconds, told.deadline = 1000, deadline
    async with trio.open_nursery() as nursery:
        nursery.start_soon(told.run)
        await trio.sleep(10)
        told.fill("AAPL")
        nursery.cancel_scope.cancel()

    assert trio.current_time() == ends
    assert warnings_of(caplog) == ["1 notices were not delivered before the stop"]


# The command ------------------------------------------------------------------------

MESSAGE: dict[str, object] = {
    "text": "snexec: Bought AAPL",
    "event": "fill",
    "count": 1,
}
SAVE = """
import json, os, sys
with open(sys.argv[1], "w") as file:
    json.dump([sys.argv[2:], json.load(sys.stdin), dict(os.environ)], file)
"""


async def test_a_command_gets_the_text_last_and_the_json_on_stdin_and_no_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APCA_API_KEY_ID", "key")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/snexec")
    target = tmp_path / "out"

    await run_command([sys.executable, "-c", SAVE, str(target), "--x"], MESSAGE)

    words, stdin, environ = json.loads(target.read_text())
    assert words == ["--x", "snexec: Bought AAPL"]
    assert stdin == MESSAGE
    assert environ["SNEXEC_EVENT"] == "fill"
    assert not any(name.startswith("APCA_") for name in environ)
    assert "CREDENTIALS_DIRECTORY" not in environ


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


async def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"trap '' TERM; sleep 60 & echo $$ $! > {pids}; wait"

    with trio.move_on_after(0.5) as scope:
        await run_command(["sh", "-c", script], MESSAGE)

    assert scope.cancelled_caught
    for pid in pids.read_text().split():
        with trio.fail_after(3):
            while is_alive(int(pid)):  # noqa: ASYNC110 - the kernel reaps it
                await trio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# The webhook ------------------------------------------------------------------------


class Hook:
    """A web server that takes messages, or does not."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.answer = b"HTTP/1.1 204 No Content\r\n\r\n"

    async def serve(self, stream: trio.abc.Stream) -> None:
        try:
            data = b""
            while b"\r\n\r\n" not in data or not data.endswith(b"}"):
                chunk = await stream.receive_some()
                if not chunk:
                    return
                data += chunk
            self.requests.append(bytes(data))
            if not self.answer:
                await trio.sleep_forever()
            await stream.send_all(self.answer)
        except trio.BrokenResourceError:
            return


async def open_hook(
    nursery: trio.Nursery, context: ssl.SSLContext | None = None
) -> tuple[Hook, str]:
    hook = Hook()
    if context is None:
        listeners = await nursery.start(trio.serve_tcp, hook.serve, 0)
        port = listeners[0].socket.getsockname()[1]
        return hook, f"http://127.0.0.1:{port}/hooks/{TOKEN}"
    secure = partial(trio.serve_ssl_over_tcp, hook.serve, 0, context, host="127.0.0.1")
    listeners = await nursery.start(secure)
    port = listeners[0].transport_listener.socket.getsockname()[1]
    return hook, f"https://127.0.0.1:{port}/hooks/{TOKEN}"


def webhook(url: str, tls: ssl.SSLContext | None = None) -> Webhook:
    return Webhook(SecretStr(url), lambda: tls or ssl.create_default_context())


def hooked(url: str) -> Notify:
    settings = make_settings(notify={"webhook": url}).notify
    mask = SecretMask()
    mask.learn(settings.secrets())
    return Notify(
        settings=settings,
        health=cast("Health", None),  # it is not run
        clock=TrioClock(),
        mask=mask.apply,
        tls=ssl.create_default_context,
        latest=lambda: float("inf"),
        account=lambda mode: mode,
    )


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


async def test_a_webhook_that_hangs_is_warned_of_without_its_token(
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(notify_module, "_DELIVERY_SECONDS", 1.0)
    monkeypatch.setattr(notify_module, "_RETRY_SECONDS", (0.01,))
    hook, url = await open_hook(nursery)
    hook.answer = b""
    notify = hooked(url)

    deliver = notify._targets["notify.webhook"]
    await notify._deliver("notify.webhook", deliver, MESSAGE)

    assert len(hook.requests) == 2
    assert "no end within 1 s" in warnings_of(caplog)[0]
    told = [r.getMessage() for r in caplog.records if r.name == "Notify"]
    assert told
    assert not any(TOKEN in line for line in told)
    nursery.cancel_scope.cancel()


# A real daemon ----------------------------------------------------------------------


async def test_a_daemon_tells_a_fill_though_its_webhook_hangs(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    hook, url = await open_hook(nursery)
    hook.answer = b""
    target = tmp_path / "out"
    async with real_box() as (box, broker):
        box.configure(
            alpaca=alpaca(broker),
            notify={
                "command": [sys.executable, "-c", SAVE, str(target)],
                "webhook": url,
            },
        )
        box.config.chmod(0o600)
        async with (
            box.daemon("--log-level", "debug") as process,
            box.client() as client,
        ):
            await client.ask(signal_line("AAPL"))
            await box.until(target.exists, "the command was run")
            await box.until(lambda: hook.requests, "the webhook was asked")
            await client.ask(signal_line("MSFT"))
            await box.until(
                lambda: len(box.rows("settledAt IS NOT NULL")) == 2, "trading goes on"
            )
            began = time.monotonic()
            assert await box.stop(process) == 0
            assert time.monotonic() - began < 5
        words, message, environ = json.loads(target.read_text())
        assert words[0].startswith("snexec: Bought AAPL: ")
        assert message["events"][0]["symbol"] == "AAPL"
        assert "NOTIFY_SOCKET" not in environ
        assert TOKEN not in box.log()
    nursery.cancel_scope.cancel()

"""That somebody is told, and what that may cost: nothing."""

from __future__ import annotations

import json
import logging
import ssl
import sys
import time
from pathlib import Path
from typing import cast

import pytest
import trio

from snexec.logs.mask import SecretMask
from snexec.ops import notify as notify_module
from snexec.ops.couriers import NotDeliveredError
from snexec.ops.health import Health
from snexec.ops.notify import Notify
from tests.conftest import LoggedErrors
from tests.fakes import Rig, TrioClock, make_settings, warnings_of
from tests.integration.harness import alpaca, real_box, signal_line
from tests.ops.delivery import MESSAGE, SAVE, TOKEN, Told, open_hook

jumping = pytest.mark.jumping_time


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
async def test_a_report_is_a_message_by_itself_whose_lines_stay_lines(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig)
    nursery.start_soon(told.run)
    told.report("Monday\nclosed    1: \x1b[31ms3cr3t-value")
    told.fill("AAPL")
    await trio.sleep(60)

    first, second = told.messages
    assert first[1]["event"] == "report"
    text = first[1]["text"]
    assert text.startswith("snexec: Monday\nclosed    1: ")
    assert "\x1b" not in text
    assert "s3cr3t" not in text
    assert second[1]["event"] == "fill"
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
async def test_what_is_kept_is_bounded_in_characters_too(
    rig: Rig, nursery: trio.Nursery
) -> None:
    told = Told(rig, events=["refused"])
    nursery.start_soon(told.run)
    for _ in range(2):
        for _ in range(40):
            told.feed.publish("refused", symbol="AAPL", reason="x" * 100_000)
        assert sum(notice.chars for notice in told._waiting) <= 2_000_000
        await trio.sleep(10)

    assert ["more, which were not kept" in text for text in told.texts()] == [True] * 2
    assert [message["count"] for _, message in told.messages] == [40, 40]
    nursery.cancel_scope.cancel()


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
                "events": ["fill"],
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

"""What operations are made of, and that each part hears and is heard."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio

from snexec.logs.mask import SecretMask
from snexec.ops import daily_report as daily_report_module
from snexec.ops import notify as notify_module
from snexec.ops.operations import Operations, _is_on_duty
from snexec.ops.systemd import Systemd
from snexec.redis.feeder import RedisStatus
from snexec.web.serving import WebServer
from tests.fakes import Rig, make_settings
from tests.ops.bench import listening, make_wings
from tests.ops.test_systemd import manager, told
from tests.web.scraping import fetch, free_port, scrape, value
from tests.web.site import until_served

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from snexec.ledger.store import Store
    from snexec.ops import Web
    from snexec.redis import LeaseState
    from tests.conftest import LoggedErrors
    from tests.fakes import FakeClock

jumping = pytest.mark.jumping_time

LINE = (
    "taking signals; paper, bot running; stream connecting; 0 placed, 0 refused,"
    " 0 unsettled"
)
FILL = {"shares": 10.0, "entryPrice": 10.0, "mode": "paper"}


class Desk:
    """Operations around a rig."""

    def __init__(
        self,
        rig: Rig,
        *,
        systemd: Systemd | None = None,
        web: Web | None = None,
    ) -> None:
        self.rig = rig
        self.feed = rig.feed
        self.mask = SecretMask()
        self.mask.learn(["s3cr3t-value"])
        self.operations = Operations(
            make_wings(rig),
            rig.feed,
            clock=rig.clock,
            systemd=systemd or Systemd({}),
            web=web,
            mask=self.mask,
            stop_deadline=lambda: trio.current_time() + 1,
            dropped_lines=lambda: 5,
        )


@pytest.fixture
def make_desk(store: Store, clock: FakeClock) -> Callable[..., Desk]:
    """Give a function that makes a desk; its keywords are config sections."""

    def make(
        *,
        systemd: Systemd | None = None,
        web: Web | None = None,
        **sections: object,
    ) -> Desk:
        rig = Rig(config=make_settings(**sections), clock=clock, store=store)
        return Desk(rig, systemd=systemd, web=web)

    return make


@jumping
async def test_what_is_asked_is_answered_and_outages_are_counted(
    make_desk: Callable[..., Desk],
) -> None:
    desk = make_desk()
    desk.feed.publish("stream", reason="authorized")

    answer = await desk.operations.commands.answer({"command": "status"})
    assert answer["mode"] == "paper"
    outage = answer["outage"]
    assert isinstance(outage, dict)
    assert outage["count"] == 1


@jumping
async def test_outages_are_logged(
    make_desk: Callable[..., Desk],
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = make_desk()
    nursery.start_soon(desk.operations.run)
    await trio.sleep(5)
    desk.feed.publish("stream", reason="authorized")
    await trio.sleep(11)

    assert "there was no stream from" in caplog.text
    nursery.cancel_scope.cancel()


@jumping
async def test_notifications_go_out_without_secrets_where_they_are_wanted(
    make_desk: Callable[..., Desk],
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts: list[object] = []

    async def run_command(words: Sequence[str], message: Mapping[str, object]) -> None:
        await trio.lowlevel.checkpoint()
        texts.append((*words, message["text"]))

    monkeypatch.setattr(notify_module, "run_command", run_command)
    desk = make_desk(notify={"command": ["tell"]})
    nursery.start_soon(desk.operations.run)
    desk.feed.publish("fill", FILL, symbol="AAPL")
    await trio.sleep(10)
    desk.feed.publish("refused", FILL, symbol="KO", reason="s3cr3t-value is wrong")
    await trio.sleep(10)

    first, second = texts
    assert first == ("tell", "snexec: Bought AAPL: 10 shares at 10, $100.00 (paper)")
    assert "KO refused: " in second[1]  # type: ignore[index]
    assert "s3cr3t-value" not in second[1]  # type: ignore[index]
    nursery.cancel_scope.cancel()


@jumping
async def test_the_days_report_goes_out_at_its_time(
    make_desk: Callable[..., Desk],
    clock: FakeClock,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    told: list[tuple[object, object]] = []

    async def run_command(_words: Sequence[str], message: Mapping[str, object]) -> None:
        await trio.lowlevel.checkpoint()
        told.append((message["event"], message["text"]))

    async def daily_report(_config: Path, day: date, mode: str) -> str:
        await trio.lowlevel.checkpoint()
        return f"{day} {mode}"

    monkeypatch.setattr(notify_module, "run_command", run_command)
    monkeypatch.setattr(daily_report_module, "daily_report", daily_report)
    desk = make_desk(
        notify={"command": ["tell"], "events": [], "daily_at": "09:31"},
        database=str(tmp_path / "snexec.db"),
    )
    nursery.start_soon(desk.operations.run)
    await trio.sleep(1)
    clock.advance(60)
    await trio.sleep(60)

    assert told == [("report", "snexec: 2026-01-05 paper")]
    nursery.cancel_scope.cancel()


@jumping
async def test_the_service_manager_is_told_how_the_daemon_is_and_each_change(
    make_desk: Callable[..., Desk], nursery: trio.Nursery
) -> None:
    async with listening(b"x") as (path, asked):
        with manager() as found, told(found) as systemd:
            desk = make_desk(systemd=systemd, intake={"socket": path})
            systemd.ready()
            nursery.start_soon(desk.operations.run)
            await trio.sleep(3)
            assert asked, "the watchdog knocks at the daemon's own socket"
            assert found.lines()[-1] == f"STATUS={LINE}"

            desk.rig.set_bot(state="paused")
            desk.feed.publish("mode")  # or whatever else happens
            await trio.sleep(1)
            assert found.lines()[-1] == f"STATUS={LINE.replace('running', 'paused')}"
            nursery.cancel_scope.cancel()


@jumping
async def test_the_service_manager_is_told_what_hangs(
    make_desk: Callable[..., Desk],
    nursery: trio.Nursery,
    tmp_path: Path,
    logged_errors: LoggedErrors,
) -> None:
    nobody = str(tmp_path / "nobody-listens")
    with manager() as found, told(found) as systemd:
        desk = make_desk(systemd=systemd, intake={"socket": nobody})
        nursery.start_soon(desk.operations.run)
        await trio.sleep(3)
        assert found.lines()[-1] == f"STATUS=HUNG: intake; {LINE}"
        assert logged_errors.take() == ["no sign of life from intake"]
        nursery.cancel_scope.cancel()


async def test_what_shows_it_all_is_served_where_it_is_on(
    make_desk: Callable[..., Desk], nursery: trio.Nursery
) -> None:
    port = await free_port()
    settings = make_settings(metrics={"listen": f"127.0.0.1:{port}"})
    desk = make_desk(web=WebServer(settings))
    nursery.start_soon(desk.operations.run)
    await until_served(port)
    desk.feed.publish("placed", {"mode": "paper", "notional": "100.00"})

    status, _, body = await fetch(port, "/healthz")
    assert (status, json.loads(body)["status"]) == (200, "ok")
    found = await scrape(port)
    assert value(found, "snexec_orders_dollars_total", mode="paper") == 100
    assert value(found, "snexec_log_lines_dropped_total") == 5
    nursery.cancel_scope.cancel()


@jumping
async def test_a_reload_reads_the_file_and_the_service_manager_hears_of_it(
    make_desk: Callable[..., Desk], logged_errors: LoggedErrors
) -> None:
    with manager() as found, told(found) as systemd:
        desk = make_desk(systemd=systemd)
        systemd.ready()
        await desk.operations.reload()

        assert found.kinds() == ["READY=1", "RELOADING=1", "READY=1"]
    [error] = logged_errors.take()
    assert error.startswith("the configuration is refused, and the old one stays: ")


@pytest.mark.parametrize(
    ("lease", "is_on_duty"), [("none", True), ("active", True), ("standby", False)]
)
async def test_the_active_host_is_on_duty(
    make_desk: Callable[..., Desk], lease: LeaseState, *, is_on_duty: bool
) -> None:
    rig = make_desk(redis={"url": "redis://127.0.0.1:1/0", "consumer": "host-a"}).rig
    status = RedisStatus(*(True, "", None, None, 0, 0, 0), lease=lease)
    redis = cast("Any", SimpleNamespace(status=lambda: status))
    assert _is_on_duty(make_wings(rig)._replace(redis=redis)) is is_on_duty
    assert _is_on_duty(make_wings(rig)._replace(redis=None)) is True

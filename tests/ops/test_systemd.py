"""What the service manager hears, over a real datagram socket."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from snexec.exchange.settings import Behaviour
from snexec.ops.systemd import Notifier, Systemd
from tests.conftest import LoggedErrors
from tests.integration.harness import Box, alpaca, real_box, short_folder, signal_line

PATIENCE_SECONDS = 10.0


class Manager:
    """The service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self._socket.setblocking(False)
        self.heard: list[str] = []

    def read(self) -> list[str]:
        """Return everything heard so far, a message each."""
        while True:
            try:
                self.heard.append(self._socket.recv(65_536).decode())
            except BlockingIOError:
                return self.heard

    def lines(self) -> list[str]:
        return [line for message in self.read() for line in message.split("\n")]

    def kinds(self) -> list[str]:
        """Return what the messages say, without status lines and extensions."""
        return [
            message.split("\n")[0]
            for message in self.read()
            if not message.startswith(("STATUS", "EXTEND"))
        ]

    def close(self) -> None:
        self._socket.close()


@contextmanager
def manager(name: str = "notify") -> Iterator[Manager]:
    with short_folder() as folder:
        made = Manager(str(folder / name))
        try:
            yield made
        finally:
            made.close()


@contextmanager
def told(found: Manager, **more: str) -> Iterator[Systemd]:
    systemd = Systemd({"NOTIFY_SOCKET": found.address, **more})
    try:
        yield systemd
    finally:
        systemd.close()


# The datagrams ----------------------------------------------------------------------


def test_a_message_reaches_an_abstract_address_as_well() -> None:
    found = Manager(f"@snexec-test-{os.getpid()}")
    notifier = Notifier(found.address)
    notifier.send("READY=1", "STATUS=x")

    assert found.read() == ["READY=1\nSTATUS=x"]
    notifier.close()
    found.close()


@pytest.mark.parametrize("address", [None, "", "vsock:2:1234", "notify"])
def test_without_an_address_nothing_is_sent(address: str | None) -> None:
    notifier = Notifier(address or None)

    notifier.send("READY=1", keep=True)
    assert not notifier.is_on


def test_a_manager_that_is_gone_is_told_of_once_and_disturbs_nothing(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    notifier = Notifier(str(tmp_path / "nobody"))
    for _ in range(5):
        notifier.send("WATCHDOG=1")

    assert len(caplog.records) == 1
    notifier.close()


def test_what_must_not_be_lost_is_sent_once_the_manager_reads_again() -> None:
    with manager() as found:
        notifier = Notifier(found.address)
        for _ in range(2000):
            notifier.send("WATCHDOG=1")
        began = time.monotonic()
        notifier.send("READY=1", keep=True)
        assert time.monotonic() - began < 5, "it waits for nobody"
        found.read()
        assert "READY=1" not in found.heard

        notifier.flush()

        assert found.read()[-1] == "READY=1"
        notifier.close()


async def test_the_variables_are_taken_out_for_the_sake_of_children() -> None:
    environ = {
        "NOTIFY_SOCKET": "/nobody",
        "WATCHDOG_USEC": "1000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }

    systemd = Systemd(environ)

    assert environ == {"HOME": "/"}
    assert systemd.is_watched
    systemd.close()


@pytest.mark.parametrize(
    ("usec", "pid"), [("0", None), ("-1", None), ("x", None), ("1000000", "1")]
)
async def test_a_watchdog_that_is_not_meant_for_us_is_not_fed(
    usec: str, pid: str | None
) -> None:
    more = {"WATCHDOG_USEC": usec} | ({"WATCHDOG_PID": pid} if pid else {})
    with manager() as found, told(found, **more) as systemd:
        assert not systemd.is_watched


async def test_a_reload_carries_the_monotonic_time_and_ends_ready() -> None:
    with manager() as found, told(found) as systemd:
        systemd.ready()
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        with systemd.reloading():
            reloading = found.read()[-1].split("\n")
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000

        assert reloading[0] == "RELOADING=1"
        name, _, usec = reloading[1].partition("=")
        assert name == "MONOTONIC_USEC"
        assert before <= int(usec) <= after
        assert found.kinds() == ["READY=1", "RELOADING=1", "READY=1"]


async def test_a_reload_before_readiness_or_while_stopping_makes_nothing_ready() -> (
    None
):
    with manager() as found, told(found) as systemd:
        with systemd.reloading():
            pass
        assert found.read() == []
        systemd.stopping(seconds=10)
        systemd.ready()
        with systemd.reloading():
            pass

        assert found.read() == ["STOPPING=1\nEXTEND_TIMEOUT_USEC=20000000"]


async def test_a_stop_while_the_file_is_read_is_not_followed_by_readiness() -> None:
    with manager() as found, told(found) as systemd:
        systemd.ready()
        with systemd.reloading():
            systemd.stopping(seconds=10)

        assert found.kinds() == ["READY=1", "RELOADING=1", "STOPPING=1"]


# The heartbeat ----------------------------------------------------------------------


class Parts:
    """What hangs, as the watchdog sees it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.asked: list[float] = []

    async def hung(self, patience: float) -> list[str]:
        assert patience > 0
        self.asked.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        return self.names


@pytest.mark.jumping_time
async def test_the_watchdog_is_fed_at_half_its_time_and_not_when_a_part_hangs(
    nursery: trio.Nursery, logged_errors: LoggedErrors
) -> None:
    parts = Parts()
    with manager() as found, told(found, WATCHDOG_USEC="30000000") as systemd:
        systemd.ready()
        nursery.start_soon(
            partial(systemd.run, status=lambda: "taking signals", hung=parts.hung)
        )
        await trio.sleep(46)
        assert found.kinds() == ["READY=1", *["WATCHDOG=1"] * 4]

        parts.names = ["writer"]
        await trio.sleep(60)
        assert found.kinds().count("WATCHDOG=1") == 4, "systemd ends us 30 s after"
        assert logged_errors.take() == [
            "no sign of life from writer: systemd will restart us"
        ]
        assert found.lines()[-1] == "STATUS=HUNG: writer; taking signals"

        parts.names = []
        await trio.sleep(1.5)
        assert found.kinds().count("WATCHDOG=1") == 5, "it is looked at every second"
        nursery.cancel_scope.cancel()


@pytest.mark.jumping_time
async def test_a_long_start_asks_for_more_time_and_a_ready_daemon_does_not(
    nursery: trio.Nursery,
) -> None:
    with manager() as found, told(found) as systemd:
        nursery.start_soon(
            partial(systemd.run, status=lambda: "starting", hung=Parts().hung)
        )
        await trio.sleep(95)
        assert found.lines().count("EXTEND_TIMEOUT_USEC=60000000") == 10
        assert found.kinds() == [], "no watchdog was asked for"

        systemd.ready()
        await trio.sleep(100)
        assert found.lines().count("EXTEND_TIMEOUT_USEC=60000000") == 10
        nursery.cancel_scope.cancel()


@pytest.mark.jumping_time
async def test_the_status_is_one_line_told_when_it_changes_and_not_too_often(
    nursery: trio.Nursery,
) -> None:
    count = 0
    with manager() as found, told(found) as systemd:
        nursery.start_soon(
            partial(systemd.run, status=lambda: f"{count}\nfilled", hung=Parts().hung)
        )
        for count in range(100):  # noqa: B007 - the status tells it
            systemd._changed.set()
            await trio.sleep(0.1)
        told_lines = [m for m in found.read() if m.startswith("STATUS")]
        assert 4 <= len(told_lines) <= 6
        assert told_lines[0] == "STATUS=0\\nfilled"
        await trio.sleep(60)
        assert found.lines()[-1].startswith("EXTEND")
        assert [m for m in found.read() if m.startswith("STATUS")][-1] == (
            "STATUS=99\\nfilled"
        )
        nursery.cancel_scope.cancel()


# A real daemon ----------------------------------------------------------------------


@contextmanager
def under(box: Box, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Run the box's daemons under a service manager with a watchdog of 4 s."""
    found = Manager(str(box.folder / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", found.address)
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    try:
        yield found
    finally:
        found.close()


async def test_a_daemon_says_ready_reloading_and_stopping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with real_box() as (box, broker):
        box.configure(alpaca=alpaca(broker))
        with under(box, monkeypatch) as found:
            async with box.daemon() as process, box.client() as client:
                await box.until(lambda: "READY=1" in found.lines(), "it is ready")
                await client.ask(signal_line("AAPL"))
                process.send_signal(signal.SIGHUP)
                await box.until(lambda: found.lines().count("READY=1") == 2, "reload")
                await box.until(lambda: "WATCHDOG=1" in found.lines(), "it is fed")
                await box.until(
                    lambda: any(
                        "stream authorized; 1 placed, 0 refused" in line
                        for line in found.lines()
                    ),
                    "the status tells the order",
                )
                status = await client.ask(b'{"command":"status"}\n')
                assert status["signals"]["invalid"] == 0, "a knock counts for nothing"
                assert await box.stop(process) == 0

            kinds = [kind for kind in found.kinds() if kind != "WATCHDOG=1"]
            assert kinds == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


async def test_a_daemon_is_not_ready_before_recovery_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with real_box() as (box, broker):
        broker.paper.behaviours.set("SLOW", Behaviour(fill_delay_sec=60))
        box.configure(alpaca=alpaca(broker))
        async with box.daemon() as process, box.client() as client:
            await client.ask(signal_line("SLOW"))
            await box.until(lambda: box.rows("alpacaOrderId IS NOT NULL"), "placed")
            assert await box.stop(process) == 0
        box.configure(alpaca={**alpaca(broker), "paper_url": "http://127.0.0.1:9"})
        with under(box, monkeypatch) as found, box.stderr.open("ab") as log:
            process = await trio.lowlevel.open_process(
                box.command(), env=box.environment(), stderr=log, stdin=-3
            )
            try:
                await box.until(
                    lambda: "comparing 1 unsettled row" in box.log(), "it compares"
                )
                await box.until(lambda: "WATCHDOG=1" in found.lines(), "it is alive")
                assert "READY=1" not in found.lines()
                assert "EXTEND_TIMEOUT_USEC=60000000" in found.lines()

                box.configure(alpaca=alpaca(broker))
                process.send_signal(signal.SIGHUP)

                await box.until(lambda: "READY=1" in found.lines(), "it is ready")
                assert "RELOADING=1" not in found.lines()
                assert await box.stop(process) == 0
            finally:
                if process.poll() is None:
                    process.kill()
                await process.wait()

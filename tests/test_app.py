"""The whole tree of tasks, in this process, against a real exchange."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from snexec.app import Daemon
from snexec.clock import SystemClock
from snexec.exchange.server import Exchange
from snexec.exchange.settings import Behaviour, ExchangeSettings
from snexec.intake.listener import open_listener
from snexec.ledger.ledger import Ledger
from snexec.ledger.schema import open_database
from snexec.ledger.store import Store
from snexec.logs.mask import SecretMask
from snexec.model import Mode
from snexec.ops.systemd import Systemd
from snexec.settings import LiveSettings, load_settings
from snexec.stages import Opened
from tests.conftest import LoggedErrors
from tests.integration.harness import Client, alpaca, short_folder, signal_line

STATUS_KEYS = {
    *("status", "pid", "version", "mode", "simulate", "state", "stream", "uptimeSec"),
    *("openTrades", "signals", "skipped", "orders", "writer"),
}


class Running:
    """A daemon that runs in the test's own process."""

    def __init__(self, folder: Path, daemon: Daemon, exchange: Exchange) -> None:
        self.config = folder / "config.toml"
        self.socket = folder / "s.sock"
        self.daemon = daemon
        self.exchange = exchange

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with await trio.open_unix_socket(str(self.socket)) as stream:
            yield Client(stream)

    async def until_listening(self) -> None:
        with trio.fail_after(30):
            while self.daemon.wings.stream.status().state != "authorized":  # noqa: ASYNC110 - a socket
                await trio.sleep(0.005)


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    with short_folder() as folder:
        async with trio.open_nursery() as nursery:
            exchange = Exchange(
                ExchangeSettings(
                    fill_delay_sec=0.01,
                    partial_fill_ratio=0.0,
                    rate_limit_per_min=100_000,
                )
            )
            await nursery.start(exchange.run)
            write_config(folder, exchange)
            settings = load_settings(folder / "config.toml")
            clock = SystemClock()
            with (
                contextlib.closing(
                    open_database(Path(settings.database), simulated=False, clock=clock)
                ) as connection,
                open_listener(Path(settings.intake.socket)) as listener,
            ):
                mask, path = SecretMask(), Path(settings.database)
                daemon = Daemon(
                    Opened(
                        live=LiveSettings(
                            settings, path=folder / "config.toml", mask=mask
                        ),
                        clock=clock,
                        ledger=Ledger(
                            Store(connection, clock=clock), path=path, clock=clock
                        ),
                        listener=listener,
                        systemd=Systemd({}),
                    )
                )
                async with trio.open_nursery() as tree:
                    tree.start_soon(daemon.run)
                    yield Running(folder, daemon, exchange)
                    tree.cancel_scope.cancel()
            nursery.cancel_scope.cancel()


def write_config(folder: Path, exchange: Exchange, **top: str) -> None:
    values = {"mode": "paper", "database": "t.db", **top}
    lines = [f'{key} = "{value}"' for key, value in values.items()]
    lines += ["[intake]", 'socket = "s.sock"', "[alpaca]"]
    keys = alpaca(exchange, api_key="PKKEYKEY", api_secret="SECRETSECRET")
    for key, value in keys.items():
        lines.append(
            f"{key} = {str(value).lower()}" if value is False else f'{key} = "{value}"'
        )
    config = folder / "config.toml"
    config.write_text("\n".join(lines))
    config.chmod(0o600)


async def test_status_has_every_field_of_the_contract() -> None:
    async with running() as it, it.client() as client:
        await it.until_listening()
        status = await client.ask(b'{"command":"status"}\n')

        assert status.keys() >= STATUS_KEYS
        assert status["signals"] == {
            "accepted": 0, "invalid": 0, "overloaded": 0, "repeated": 0,
        }  # fmt: skip
        assert status["writer"] == {"pending": 0, "applied": 0, "healthy": True}
        assert status["stream"] == "authorized"
        assert status["simulate"] is False
        it.daemon.stages.stop(why="test", seconds=1)


async def test_a_stop_lets_orders_finish_then_the_stream_then_the_writer() -> None:
    async with running() as it, it.client() as client:
        await it.until_listening()
        it.exchange.paper.behaviours.set("SLOW", Behaviour(reply_delay_sec=0.3))
        await client.ask(signal_line("SLOW"))
        with trio.fail_after(30):
            while not it.exchange.paper.posts:  # noqa: ASYNC110 - a socket
                await trio.sleep(0.005)

        it.daemon.stages.stop(why="test", seconds=5)

        assert (await client.ask(signal_line("LATE")))["status"] == "stopping"
        assert it.daemon.wings.stream.status().state == "authorized"
        assert it.daemon.wings.orders.status().in_flight == 1
        with trio.fail_after(30):
            while it.exchange.paper.feed.connections:  # noqa: ASYNC110 - a socket
                await trio.sleep(0.005)
        assert it.daemon.wings.orders.status().in_flight == 0
        assert it.daemon.wings.orders.status().placed == 1


async def test_a_fault_of_a_service_ends_the_whole_tree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with running() as it:
            await it.until_listening()

            def broken() -> None:
                raise ZeroDivisionError

            monkeypatch.setattr(it.daemon.wings.ledger._store, "begin", broken)
            async with it.client() as client:
                await client.ask(signal_line("AAPL"))
                await trio.sleep(5)


async def test_a_reload_applies_what_it_can_and_names_what_it_cannot(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as it:
        await it.until_listening()
        text = it.config.read_text()
        it.config.write_text(
            text.replace('"paper"', '"live"').replace(
                "[alpaca]", "max_pending = 7\n[bot]\nstate = 'paused'\n[alpaca]"
            )
        )

        await it.daemon.operations.reload()

        assert it.daemon.wings.live.now.mode == "live"
        assert it.daemon.wings.live.now.bot.state == "paused"
        assert it.daemon.wings.live.now.intake.max_pending == 1024
        assert "intake.max_pending changed" in caplog.text
        assert it.daemon.wings.stream.status().state == "connecting"
        it.daemon.stages.stop(why="test", seconds=1)


@pytest.mark.parametrize(
    ("mode", "state"), [("live", "authorized"), ("paper", "connecting")]
)
async def test_a_reload_restarts_the_stream_only_where_its_own_endpoint_moves(
    mode: Mode, state: str
) -> None:
    async with running() as it:
        await it.until_listening()
        key, url = f"{mode}_url", getattr(it.exchange, f"{mode}_url")
        text = it.config.read_text()
        it.config.write_text(
            text.replace(f'{key} = "{url}"', f'{key} = "{url}/elsewhere"')
        )

        await it.daemon.operations.reload()

        assert it.daemon.wings.accounts.endpoint(mode).url == f"{url}/elsewhere"
        assert it.daemon.wings.stream.status().state == state
        it.daemon.stages.stop(why="test", seconds=1)


async def test_a_reload_of_a_file_that_is_gone_changes_nothing(
    logged_errors: LoggedErrors,
) -> None:
    async with running() as it:
        before = it.daemon.wings.live.now
        it.config.unlink()

        await it.daemon.operations.reload()

        assert it.daemon.wings.live.now is before
        [error] = logged_errors.take()
        assert "the configuration is refused" in error
        it.daemon.stages.stop(why="test", seconds=1)


async def test_a_reload_of_a_file_that_is_just_being_written_changes_nothing(
    logged_errors: LoggedErrors,
) -> None:
    async with running() as it:
        before = it.daemon.wings.live.now
        it.config.write_text("")

        await it.daemon.operations.reload()

        assert it.daemon.wings.live.now is before
        [error] = logged_errors.take()
        assert "is empty; is it being written?" in error
        it.daemon.stages.stop(why="test", seconds=1)


async def crash() -> None:
    """Fail as a service would."""
    await trio.lowlevel.checkpoint()
    raise ZeroDivisionError


class Numbered:
    """A change that notes its number once it is durable."""

    def __init__(self, number: int, applied: list[int]) -> None:
        self._number = number
        self._applied = applied

    def apply(self, _store: Store) -> int:
        return self._number

    def done(self, number: int) -> None:
        self._applied.append(number)

    def failed(self, error: Exception) -> None:
        raise error


async def test_a_crash_of_a_service_leaves_the_writer_time_to_drain() -> None:
    applied: list[int] = []

    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with running() as it:
            await it.until_listening()
            for number in range(1000):
                await it.daemon.wings.ledger.writer.submit(Numbered(number, applied))
            services = it.daemon.wings.accounts._nursery
            assert services is not None
            services.start_soon(crash)
            await trio.sleep_forever()
    assert applied == list(range(1000))

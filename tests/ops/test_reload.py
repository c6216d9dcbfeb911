"""SIGHUP: who is asked and told in which order, and that a refusal changes nothing."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from snexec.broker.accounts import Accounts
from snexec.logs.mask import SecretMask
from snexec.market.hours import MarketHours
from snexec.ops.reload import Reloader
from snexec.ops.systemd import Systemd
from snexec.settings import BotSettings, load_settings
from snexec.settings.live import LiveSettings
from snexec.stream.trading import TradingStream
from tests.fakes import warnings_of
from tests.ops.bench import make_wings
from tests.streaming import RecordingFills

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snexec.events import Event
    from tests.conftest import LoggedErrors
    from tests.fakes import Rig

pytestmark = pytest.mark.jumping_time

PAPER, LIVE = "http://127.0.0.1:1", "http://127.0.0.1:2"
LIVE_KEYS = {
    "APCA_LIVE_API_KEY_ID": "AKKEYKEY",
    "APCA_LIVE_API_SECRET_KEY": "SECRETSECRET",
}
NOTIFY = "\n[notify]\nwebhook = 'https://hooks.example.com/T0K3N'"
KEYS = 'api_key = "PKKEYKEY"\napi_secret = "SECRETSECRET"'


class Manager(Systemd):
    """The service manager, which hears when a reload begins and ends."""

    def __init__(self, steps: list[tuple[str, str]]) -> None:
        super().__init__({})
        self._steps = steps

    @contextmanager
    def reloading(self) -> Iterator[None]:
        self._steps.append(("begins", ""))
        yield
        self._steps.append(("ends", ""))


class Desk:
    """A configuration file, and every wing that follows it, for real.

    Attributes:
        steps: What a reload did, each step with the mode in force before it.
    """

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.file = folder / "config.toml"
        self.environ: dict[str, str] = {}
        self.mask = SecretMask()
        self.write()
        self.live = LiveSettings(
            load_settings(self.file),
            path=self.file,
            mask=self.mask,
            environ=self.environ,
        )
        self.accounts = Accounts(self.live, rig.clock)
        self.wings = make_wings(rig)._replace(
            live=self.live,
            accounts=self.accounts,
            market=MarketHours(self.live, self.accounts),
            stream=TradingStream(
                self.live, self.accounts, RecordingFills(), rig.feed, clock=rig.clock
            ),
        )
        self.steps: list[tuple[str, str]] = []
        self.events: list[Event] = []
        self.reloader = Reloader(self.wings, rig.feed, Manager(self.steps))
        rig.feed.follow(self._happened)
        self._note(self.live, "compare")
        self._note(self.accounts, "reconfigure")
        self._note(self.live, "put_in_force")
        self._note(self.wings.market, "settings_changed")
        self._note(self.wings.stream, "restart")

    def write(
        self,
        mode: str = "paper",
        *,
        paper: str = PAPER,
        live: str = LIVE,
        more: str = "",
    ) -> None:
        """Write the file; ``more`` is what stands in and below ``[alpaca]``."""
        self.file.write_text(
            f'mode = "{mode}"\n[alpaca]\nsimulate = false\npaper_url = "{paper}"\n'
            f'live_url = "{live}"\n{more}\n'
        )
        self.file.chmod(0o600)

    async def reload(self) -> list[tuple[str, str]]:
        """Reload, and return the steps."""
        self.steps.clear()
        await self.reloader.reload()
        return self.steps

    def did(self, step: str) -> bool:
        return any(name == step for name, _ in self.steps)

    def _note(self, wing: object, name: str) -> None:
        method = getattr(wing, name)

        def noted(*args: object) -> Any:  # noqa: ANN401 - whatever the method returns
            self.steps.append((name, self.live.now.mode))
            return method(*args)

        setattr(wing, name, noted)

    def _happened(self, event: Event) -> None:
        self.events.append(event)
        self.steps.append((event.event, self.live.now.mode))


@pytest.fixture
async def desk(rig: Rig, tmp_path: Path) -> Desk:
    return Desk(rig, tmp_path)


def infos_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]


# What is applied ----------------------------------------------------------------------


async def test_whoever_may_refuse_comes_first_and_who_follows_is_told_after(
    desk: Desk,
) -> None:
    desk.write("live", more=KEYS)

    assert await desk.reload() == [
        ("begins", ""),
        ("compare", "paper"),
        ("reconfigure", "paper"),
        ("put_in_force", "paper"),
        ("settings_changed", "live"),
        ("mode", "live"),
        ("restart", "live"),
        ("ends", ""),
    ]


async def test_whoever_asked_hears_whether_it_is_in_force(
    desk: Desk, logged_errors: LoggedErrors
) -> None:
    assert await desk.reloader.reload() is None
    desk.file.write_text("mode = 5")
    refusal = await desk.reloader.reload()
    assert refusal is not None
    assert "mode: " in refusal
    assert len(logged_errors.take()) == 1


async def test_a_file_that_says_the_same_restarts_nothing(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = desk.live.now

    assert [name for name, _ in await desk.reload()] == [
        *("begins", "compare", "reconfigure", "put_in_force"),
        *("settings_changed", "ends"),
    ]
    assert desk.live.now == before
    assert infos_of(caplog) == ["configuration read again; changed: nothing"]
    assert warnings_of(caplog) == []


async def test_what_holds_at_once_and_what_needs_a_restart_are_told_apart(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    more = "warm_connections = 7\n[bot]\nstate = 'paused'\n[intake]\nmax_pending = 7"
    desk.write(live=f"{LIVE}/v", more=more)

    await desk.reload()

    now = desk.live.now
    assert (now.bot.state, now.alpaca.live_url) == ("paused", f"{LIVE}/v")
    assert (now.intake.max_pending, now.alpaca.warm_connections) == (1024, 64)
    assert warnings_of(caplog) == [
        f"alpaca.warm_connections, intake.max_pending changed in {desk.file}: that needs"
        " a restart, the old values stay"
    ]
    assert infos_of(caplog) == [
        "configuration read again; changed: alpaca.live_url, bot.state",
        f'alpaca.live_url is "{LIVE}/v" now (was "{LIVE}")',
        'bot.state is "paused" now (was "running")',
        "alpaca.warm_connections is 64 until a restart (the file says 7)",
        "intake.max_pending is 1024 until a restart (the file says 7)",
    ]


async def test_the_values_of_secrets_are_not_told(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    desk.write(more=KEYS)
    await desk.reload()
    desk.write(more=KEYS.replace("SECRETSECRET", "OTHERSECRET") + NOTIFY)
    await desk.reload()

    assert "alpaca.api_secret is *** now (was none)" in infos_of(caplog)
    assert "alpaca.api_secret is *** now (was ***)" in infos_of(caplog)
    assert "notify.webhook is none until a restart (the file says ***)" in infos_of(
        caplog
    )
    for secret in ("SECRETSECRET", "OTHERSECRET", "PKKEYKEY", "T0K3N"):
        assert secret not in caplog.text


async def test_a_change_of_mode_is_told_to_everyone(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.environ.update(LIVE_KEYS)
    desk.write("live")
    await desk.reload()

    assert warnings_of(caplog) == ["mode is live now (was paper)"]
    [event] = desk.events
    assert (event.event, event.reason) == ("mode", "was paper")
    assert event.more == {"mode": "live"}


async def test_a_mode_without_keys_is_warned_of_as_it_comes_into_force(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.write("live")
    await desk.reload()
    await desk.reload()

    assert warnings_of(caplog) == [
        "mode is live now (was paper)",
        "there are no keys for live, so every signal is skipped as no_keys: see snexec"
        " check",
    ]


async def test_a_mode_that_stays_is_not_told(desk: Desk) -> None:
    desk.write(more="[bot]\nstate = 'paused'")
    await desk.reload()

    assert desk.events == []


@pytest.mark.parametrize(
    ("changes", "restarts"),
    [
        ({}, False),
        ({"more": "[bot]\nstate = 'paused'"}, False),
        ({"live": f"{LIVE}/elsewhere"}, False),
        ({"paper": f"{PAPER}/elsewhere"}, True),
        ({"more": KEYS}, True),
        ({"mode": "live"}, True),
        ({"mode": "live", "paper": f"{PAPER}/elsewhere"}, True),
    ],
)
async def test_the_stream_restarts_only_where_the_current_endpoint_moves(
    desk: Desk, changes: dict[str, str], restarts: bool
) -> None:
    desk.write(**changes)
    await desk.reload()

    assert desk.did("restart") is restarts


async def test_the_stream_restarts_at_what_it_is_to_connect_to(desk: Desk) -> None:
    desk.write(paper=f"{PAPER}/elsewhere")
    await desk.reload()

    assert desk.accounts.endpoint("paper").url == f"{PAPER}/elsewhere"
    assert desk.steps[-2] == ("restart", "paper")


@pytest.mark.parametrize(
    ("more", "tries"), [("[bot]\nenabled = false", True), ("", False)]
)
async def test_refused_keys_are_tried_again_with_anything_that_is_new(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, more: str, tries: bool
) -> None:
    monkeypatch.setattr(desk.wings.stream, "_state", "unauthorized")
    desk.write(more=more)
    await desk.reload()
    assert desk.did("restart") is tries


async def test_market_hours_look_at_new_settings_and_not_at_the_old(
    desk: Desk, nursery: trio.Nursery
) -> None:
    nursery.start_soon(desk.wings.market.run)
    await trio.testing.wait_all_tasks_blocked()
    desk.environ.update(LIVE_KEYS)
    asked: list[str] = []
    setattr(  # noqa: B010 - instead of a question to the broker
        desk.accounts, "try_take", lambda mode, _purpose: asked.append(mode)
    )
    desk.write("live", more="[bot]\nrequire_market_open = true")
    await desk.reload()
    await trio.testing.wait_all_tasks_blocked()

    assert asked == ["live"]
    nursery.cancel_scope.cancel()


async def test_new_secrets_are_masked_before_anything_else_is_told(desk: Desk) -> None:
    desk.write(more=KEYS)
    await desk.reload()

    assert "SECRETSECRET" not in desk.mask.apply("the key is SECRETSECRET")


async def test_keys_that_lie_open_are_warned_of(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.write(more=KEYS)
    desk.file.chmod(0o644)
    await desk.reload()

    assert warnings_of(caplog) == [
        f"{desk.file} holds keys, and others can read it: chmod 600 {desk.file}"
    ]


# What is refused ----------------------------------------------------------------------


def gone(desk: Desk) -> str:
    desk.file.unlink()
    return "No such file or directory"


def being_written(desk: Desk) -> str:
    desk.file.write_text("")
    return "is empty; is it being written?"


def nonsense(desk: Desk) -> str:
    desk.write("live", more="[bot]\nstate = 'asleep'")
    return "bot.state: "


def half_a_key_pair(desk: Desk) -> str:
    desk.write("live")
    desk.environ["APCA_API_KEY_ID"] = "PKKEYKEY"
    return "APCA_API_SECRET_KEY: is not set, and its twin is"


def cut(desk: Desk) -> str:
    desk.live.now = desk.live.now.model_copy(
        update={"bot": BotSettings(state="stopped", max_orders_per_day=5)}
    )
    desk.write(more="[bot]")
    return 'be said outright: bot.state = "running", bot.max_orders_per_day = "off"'


def no_certificates(desk: Desk) -> str:
    desk.write("live", live="https://127.0.0.1:2")
    desk.environ["SSL_CERT_FILE"] = "/nowhere"
    return "No such file or directory"


@pytest.mark.parametrize(
    ("spoil", "asked"),
    [
        (gone, []),
        (being_written, []),
        (nonsense, []),
        (half_a_key_pair, ["compare"]),
        (cut, ["compare"]),
        (no_certificates, ["compare", "reconfigure"]),
    ],
)
async def test_what_one_of_them_refuses_changes_nothing_anywhere(
    desk: Desk,
    logged_errors: LoggedErrors,
    caplog: pytest.LogCaptureFixture,
    spoil: Any,  # noqa: ANN401 - one of the functions above
    asked: list[str],
) -> None:
    said = spoil(desk)
    before, held = desk.live.now, dict(desk.accounts._held)

    assert [name for name, _ in await desk.reload()] == ["begins", *asked, "ends"]

    assert desk.live.now is before
    assert desk.accounts._held == held
    assert not any(one.retired for one in held.values())
    assert desk.events == []
    [error] = logged_errors.take()
    assert error.startswith("the configuration is refused, and the old one stays: ")
    assert said in error
    assert warnings_of(caplog) == []


async def test_a_file_that_is_mended_is_applied(
    desk: Desk, logged_errors: LoggedErrors
) -> None:
    desk.file.unlink()
    await desk.reload()
    desk.write("live")
    await desk.reload()

    assert desk.live.now.mode == "live"
    assert len(logged_errors.take()) == 1


# Several at once ----------------------------------------------------------------------


async def test_whoever_asks_while_it_is_read_has_it_read_once_more(
    desk: Desk, nursery: trio.Nursery
) -> None:
    for askers in (1, 4):
        for _ in range(askers):
            nursery.start_soon(desk.reloader.reload)
        await trio.testing.wait_all_tasks_blocked()
    desk.write("live", more=KEYS)
    await trio.sleep(1)

    names = [name for name, _ in desk.steps]
    assert names.count("begins") == names.count("ends") == 2
    assert names.count("compare") == 2
    assert desk.live.now.mode == "live"

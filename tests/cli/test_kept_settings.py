"""A typo in the configuration does not take the desk away."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snexec.cli.kept_settings import keep_settings, settings_to_ask_with
from snexec.clock import SystemClock
from snexec.errors import ConfigError
from snexec.ledger.schema import open_database
from snexec.settings import load_settings
from tests.cli.conftest import configure_simulated, running

if TYPE_CHECKING:
    from tests.cli.conftest import Desk
    from tests.integration.harness import Box

MISTAKES = {
    "a key": "\n[bot]\nenabeld = true\n",
    "a value": "\n[bot]\nenabled = 'yes'\n",
    "no TOML": "\n[bot\n",
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_the_desk_works_with_a_mistake_in_the_file(
    desk: Desk, box: Box, kind: str
) -> None:
    configure_simulated(box)
    with running(box):
        box.config.write_text(box.config.read_text() + MISTAKES[kind])
        for words in (
            ("status",),
            ("trades",),
            ("positions",),
            ("halt", "--reason", "typo"),
            ("resume",),
            ("rebuild",),
            ("send", "--symbol=KO", "--category=x", "--tier=1", "--price=60"),
        ):
            done = desk.run(box.config, *words)
            assert done.status == 0, (words, done.err)
        assert "the daemon says: halted" in desk.run(box.config, "halt").out
        said = desk.run(box.config, "status").err
        assert "going on with what can be read" in said
        assert said.count("\n") == 1
        for words in (("check",), ("mode", "live", "--yes"), ("unit",)):
            assert desk.run(box.config, *words).status == 2


def test_a_mistake_in_the_name_of_the_socket_is_made_good_by_the_daemon(
    desk: Desk, box: Box
) -> None:
    configure_simulated(box)
    with running(box):
        text = box.config.read_text()
        box.config.write_text(
            text.replace("socket =", "sokcet =").replace("database", "db")
        )
        assert desk.run(box.config, "status").status == 0
        assert desk.run(box.config, "trades", "--format", "json").out == "[]\n"


def test_without_a_daemon_the_rows_are_listed_and_nothing_is_changed(
    desk: Desk, box: Box
) -> None:
    box.config.write_text(box.config.read_text() + MISTAKES["a key"])

    assert desk.run(box.config, "trades").status == 2
    open_database(box.database, simulated=True, clock=SystemClock()).close()
    assert desk.run(box.config, "trades").status == 0
    for words in (
        ("status",),
        ("events",),
        ("send", "{}"),
        ("close", "--all", "--yes"),
    ):
        assert desk.run(box.config, *words).status == 2
    settled = desk.run(box.config, "settle", "sn-1", "--as", "missed", "--yes")
    assert (settled.status, "enabeld" in settled.err) == (2, True)


def test_what_is_kept_is_private_and_goes_with_the_daemon(box: Box) -> None:
    settings = load_settings(box.config)
    path = Path(f"{box.socket}.settings")
    with keep_settings(box.config, settings):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert set(json.loads(path.read_text())) == {
            "config",
            "socket",
            "database",
            "simulate",
        }
    assert not path.exists()


@pytest.mark.parametrize("content", ["", "[]", '{"config": 1}', "{" * 9999, "\x00"])
def test_what_is_kept_may_be_anything(
    box: Box, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(f"{box.socket}.settings").write_text(content)
    box.config.write_text(box.config.read_text() + MISTAKES["a key"])

    open_database(box.database, simulated=True, clock=SystemClock()).close()
    settings = settings_to_ask_with(box.config, rows_do=True)

    assert settings.intake.socket == str(box.socket.resolve())
    assert "enabeld" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_refused(box: Box) -> None:
    box.config.unlink()

    with pytest.raises(ConfigError):
        settings_to_ask_with(box.config)

"""`send --redis`: checked, added, and its entry's id printed, without a daemon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.cli.conftest import Done
from tests.redis.feeding import STREAM
from tests.redis.server import free_port, needs_redis, shared_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Desk
    from tests.redis.server import Server

pytestmark = needs_redis

SIGNAL = '{"symbol":"AAPL","catalystCategory":"x","catalystTier":1,"priceAtSignal":5}'


class Sender:
    def __init__(self, folder: Path, desk: Desk) -> None:
        self.server: Server = shared_server()
        self.server.ask("FLUSHALL")
        self.config = folder / "config.toml"
        self.configure(f'[redis]\nurl = "{self.server.url}"\n')
        self._desk = desk

    def configure(self, text: str) -> None:
        self.config.write_text(text)

    def run(self, *words: str) -> Done:
        return self._desk.run(self.config, "send", "--redis", *words)

    def entries(self) -> list[tuple[str, dict[str, str]]]:
        return self.server.entries(STREAM)


@pytest.fixture
def sender(tmp_path: Path, desk: Desk) -> Sender:
    return Sender(tmp_path, desk)


def test_a_signal_is_added_as_it_is_and_its_entrys_id_printed(sender: Sender) -> None:
    ran = sender.run(SIGNAL)

    [[entry_id, fields]] = sender.entries()
    assert ran == Done(0, f"{entry_id}\n", "")
    assert fields == {"signal": SIGNAL}


def test_its_parts_may_be_said_one_by_one(sender: Sender) -> None:
    words = ("--symbol", "KO", "--category", "m", "--tier", "2", "--price", "62")
    assert sender.run(*words, "--id", "n-1").status == 0
    [[_id, fields]] = sender.entries()
    assert json.loads(fields["signal"])["id"] == "n-1"


def test_what_is_no_signal_is_not_added(sender: Sender) -> None:
    ran = sender.run('{"symbol":"AAPL"}')
    assert ran.status == 1
    assert "invalid: catalystCategory: Field required" in ran.err
    assert sender.entries() == []


def test_of_a_file_each_line_is_added_or_named(sender: Sender, tmp_path: Path) -> None:
    file = tmp_path / "news.jsonl"
    file.write_text(f"{SIGNAL}\nx\n\n{SIGNAL}\n")
    ran = sender.run("--file", str(file))
    assert ran.status == 1
    assert ran.out.split() == [entry_id for entry_id, _fields in sender.entries()]
    assert len(ran.out.split()) == 2
    assert "line 2: invalid: not JSON" in ran.err


def test_as_json_each_is_an_object(sender: Sender) -> None:
    ran = sender.run("--json", SIGNAL)
    [[entry_id, _fields]] = sender.entries()
    assert json.loads(ran.out) == {"status": "added", "entry": entry_id}


def test_it_waits_for_nothing(sender: Sender) -> None:
    ran = sender.run("--wait", SIGNAL)
    assert ran.status == 2
    assert "--redis adds a signal and is done" in ran.err


def test_without_its_section_it_says_so(sender: Sender) -> None:
    sender.configure("")
    ran = sender.run(SIGNAL)
    assert ran.status == 2
    assert "there is no [redis]" in ran.err


def test_a_server_that_is_away_is_named_without_its_password(sender: Sender) -> None:
    port = free_port()
    sender.configure(f'[redis]\nurl = "redis://:geheimes-wort@127.0.0.1:{port}"\n')
    ran = sender.run(SIGNAL)
    assert ran.status == 1
    assert f"127.0.0.1:{port}/0: " in ran.err
    assert "geheim" not in ran.err


def test_without_the_driver_it_says_how_to_install_it(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snexec.cli.redis_session.has_driver", lambda: False)
    ran = sender.run(SIGNAL)
    assert ran.status == 1
    assert "pip install 'snexec[redis]'" in ran.err


def test_the_help_names_it() -> None:
    from snexec.cli import cli  # noqa: PLC0415 - as the command line does

    assert "--redis" in CliRunner().invoke(cli, ["send", "--help"]).output

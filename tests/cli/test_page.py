"""``snexec page``: the address, one line, and what is said where there is none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from snexec.cli.page import run_page
from snexec.errors import CommandError, ConfigError
from snexec.web import key_path
from snexec.web.key_file import take_key

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('[page]\nlisten = "127.0.0.1:9"\n')
    return path


def key_of(config: Path) -> str:
    return take_key(key_path(config.with_name("snexec.db"))).text


def test_the_address_holds_the_key(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = key_of(config)
    assert run_page(config, opens=False) == 0
    said = capsys.readouterr()
    assert said.out == f"http://127.0.0.1:9/?key={key}\n"
    assert said.err == "snexec: nothing answers there: does the daemon run?\n"


@pytest.mark.parametrize(
    ("page", "address"),
    [
        ('listen = "[::1]:9"', "http://[::1]:9/"),
        ('certificate = "c"\nprivate_key = "k"', "https://127.0.0.1:8720/"),
        (
            'listen = "0.0.0.0:9"\nhosts = ["trader.lan"]\ncertificate = "c"\n'
            'private_key = "k"',
            "https://trader.lan:9/",
        ),
    ],
)
def test_it_is_the_one_that_a_browser_can_open(
    config: Path, capsys: pytest.CaptureFixture[str], page: str, address: str
) -> None:
    config.write_text(f"[page]\n{page}\n")
    key = key_of(config)
    run_page(config, opens=False)
    assert capsys.readouterr().out == f"{address}?key={key}\n"


def test_a_mistake_elsewhere_in_the_file_is_said_and_does_not_take_it_away(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = key_of(config)
    config.write_text(f"{config.read_text()}[bot]\nenabeld = true\n")
    run_page(config, opens=False)
    said = capsys.readouterr()
    assert said.out == f"http://127.0.0.1:9/?key={key}\n"
    assert "bot.enabeld: is not a known key" in said.err
    config.write_text("[page\n")
    with pytest.raises(ConfigError):
        run_page(config, opens=False)


def test_without_a_page_it_says_so_in_one_line_and_fails(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from snexec.__main__ import main  # noqa: PLC0415 - as it is run

    config.write_text("")
    monkeypatch.setattr(sys, "argv", ["snexec", "--config", str(config), "page"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "no [page] section" in said.err


def test_before_the_first_start_there_is_no_key_and_none_is_made(config: Path) -> None:
    with pytest.raises(CommandError, match=r"makes .* when it starts"):
        run_page(config, opens=False)
    assert [each.name for each in config.parent.iterdir()] == [config.name]


def test_a_key_that_is_none_is_not_shown(config: Path) -> None:
    key_path(config.with_name("snexec.db")).write_text("guess me")
    with pytest.raises(CommandError, match="holds no key"):
        run_page(config, opens=False)


def test_a_port_that_each_start_chooses_is_in_the_log(config: Path) -> None:
    config.write_text('[page]\nlisten = "127.0.0.1:0"\n')
    with pytest.raises(CommandError, match="port 0"):
        run_page(config, opens=False)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_browser_is_opened_where_there_is_one(
    config: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    key, opened = key_of(config), list[str]()

    def open_it(address: str) -> bool:
        opened.append(address)
        return is_there

    monkeypatch.setattr("webbrowser.open", open_it)
    if is_there:
        assert run_page(config, opens=True) == 0
    else:
        with pytest.raises(CommandError, match="open the address above"):
            run_page(config, opens=True)
    assert opened == [f"http://127.0.0.1:9/?key={key}"]

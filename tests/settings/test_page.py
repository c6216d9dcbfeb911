"""``[page]``: what may be said there, and what would not be safe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from snexec.settings.changes import reloadable
from snexec.settings.load import load_settings
from snexec.settings.page import PageSettings

if TYPE_CHECKING:
    from tests.settings.conftest import ConfigFile

ROOT = Path(__file__).parents[2]
TLS = 'certificate = "c.pem"\nprivate_key = "k.pem"\n'


def test_there_is_no_page_without_its_section(file: ConfigFile) -> None:
    assert file.load("").page is None
    assert not reloadable("page")


def test_an_empty_section_is_a_page_on_loopback_that_may_act(file: ConfigFile) -> None:
    page = file.load("[page]").page
    assert page == PageSettings()
    assert page is not None
    assert page.host_and_port() == ("127.0.0.1", 8720)
    assert page.actions
    assert page.hosts == []


def test_the_shipped_file_has_it_on_with_the_defaults() -> None:
    assert load_settings(ROOT / "config.toml").page == PageSettings()


def test_files_are_found_beside_the_configuration(file: ConfigFile) -> None:
    page = file.load(f"[page]\n{TLS}").page
    assert page is not None
    assert page.certificate is not None
    assert Path(page.certificate).is_absolute()
    assert Path(page.certificate).name == "c.pem"
    assert page.private_key == str(Path(page.certificate).with_name("k.pem"))


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:0", "127.9.9.9:1", "[::1]:8720", "localhost:8720"]
)
def test_loopback_needs_no_tls(file: ConfigFile, listen: str) -> None:
    page = file.load(f'[page]\nlisten = "{listen}"').page
    assert page is not None
    assert page.listen == listen


@pytest.mark.parametrize(
    "listen", ["192.0.2.1:8720", "trader.lan:8720", "[2001:db8::1]:8720", "[::]:8720",
               "0.0.0.0:8720", "localhost.evil.example:1"],
)  # fmt: skip
def test_elsewhere_needs_tls(file: ConfigFile, listen: str) -> None:
    said = file.refusal(f'[page]\nlisten = "{listen}"')
    assert said.startswith("page: listen: ")
    assert "certificate" in said


def test_everywhere_needs_names_too(file: ConfigFile) -> None:
    said = file.refusal(f'[page]\nlisten = "0.0.0.0:8720"\n{TLS}')
    assert said.startswith("page: hosts: ")
    page = file.load(f'[page]\nlisten = "0.0.0.0:8720"\nhosts = ["Trader.LAN"]\n{TLS}')
    assert page.page is not None
    assert page.page.hosts == ["trader.lan"]


def test_certificate_and_key_go_together(file: ConfigFile) -> None:
    said = file.refusal('[page]\ncertificate = "c.pem"')
    assert "certificate and private_key go together" in said


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('listen = "8720"', "page.listen"),
        ('listen = "127.0.0.1:99999"', "page.listen"),
        ('hosts = "trader.lan"', "page.hosts"),
        ('hosts = ["trader.lan:80"]', "page.hosts.0"),
        ('hosts = [""]', "page.hosts.0"),
        ('hosts = ["a b"]', "page.hosts.0"),
        ('hosts = ["https://x"]', "page.hosts.0"),
        ('actions = "no"', "page.actions"),
        ('certificate = ""', "page.certificate"),
        ("port = 1", "page.port"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(
    file: ConfigFile, line: str, key: str
) -> None:
    assert file.refusal(f"[page]\n{line}").startswith(f"{key}: ")

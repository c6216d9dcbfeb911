"""Values of one type each: URLs, dollars, addresses, secrets."""

from collections.abc import Callable

import pytest

from snexec.errors import ConfigError
from snexec.model import to_cents
from snexec.settings.credentials import open_secrets
from snexec.settings.load import load_settings
from tests.settings.conftest import ConfigFile, assert_hidden

OTHER_HOST = {
    "paper_url": "is Alpaca's live host, where paper orders cost real money",
    "live_url": "is Alpaca's paper host, where live orders buy nothing",
}


def _escaped(host: str) -> str:
    return f"%{ord(host[0]):02x}{host[1:]}"


@pytest.mark.parametrize(
    ("literal", "notional"),
    [("50.1", "50.10"), ("0.1e2", "10.00"), ("33.339", "33.33"), ("1.1", "1.10")],
)
def test_dollars_are_what_was_written_and_not_the_float_beside_it(
    file: ConfigFile, literal: str, notional: str
) -> None:
    settings = file.load(f"[bot]\ntrade_size_stars5 = {literal}")

    assert str(to_cents(settings.bot.dollars(5))) == notional


@pytest.mark.parametrize(
    "good",
    [
        "http://localhost",
        "http://localhost:8000",
        "http://127.0.0.1",
        "http://127.0.0.1:8000/paper",
        "http://127.255.255.254",
        "http://[::1]:8000",
    ],
)
@pytest.mark.parametrize("key", ["paper_url", "live_url"])
def test_http_is_for_loopback_hosts(file: ConfigFile, key: str, good: str) -> None:
    settings = file.load(f'[alpaca]\n{key} = "{good}"')

    assert getattr(settings.alpaca, key) == good


@pytest.mark.parametrize(
    "bad",
    [
        "http://api.alpaca.markets",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://[::]",
        "http://128.0.0.1",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "http://example.org/127.0.0.1",
        "http://2130706433",
        "HTTP://api.alpaca.markets",
    ],
)
def test_http_is_for_no_other_host(file: ConfigFile, bad: str) -> None:
    said = file.refusal(f'[alpaca]\npaper_url = "{bad}"')

    assert said == (
        "alpaca.paper_url: must be https:// (http:// is for loopback hosts only)"
        f" (got '{bad}')"
    )


def test_a_host_before_an_at_sign_is_no_loopback_host(file: ConfigFile) -> None:
    said = file.refusal('[alpaca]\npaper_url = "http://127.0.0.1@example.org"')

    assert said.startswith("alpaca.paper_url: ")


@pytest.mark.parametrize(
    "url",
    [
        "https://{}",
        "https://{}/",
        "https://{}/v2",
        "https://{}:443",
        "https://{}:8443/proxy",
        "https://{}.",
        "https://{}.:443",
        "HTTPS://{}",
    ],
)
@pytest.mark.parametrize("spell", [str, str.upper, str.title, _escaped])
@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("paper_url", "api.alpaca.markets"),
        ("paper_url", "broker-api.alpaca.markets"),
        ("live_url", "paper-api.alpaca.markets"),
        ("live_url", "broker-api.sandbox.alpaca.markets"),
        ("paper_url", "broker-api.eu.alpaca.markets"),
        ("live_url", "broker-api.sandbox.eu.alpaca.markets"),
    ],
)
def test_no_mode_has_the_other_modes_host_however_it_is_spelled(
    file: ConfigFile,
    key: str,
    host: str,
    url: str,
    spell: Callable[[str], str],
) -> None:
    given = url.format(spell(host))
    said = file.refusal(f'[alpaca]\n{key} = "{given}"')

    assert said.startswith(f"alpaca.{key}: {OTHER_HOST[key]} (got ")
    assert given in said


@pytest.mark.parametrize("user", ["me@", "me:word@"])
def test_a_user_before_the_other_modes_host_hides_it_from_nobody(
    file: ConfigFile, user: str
) -> None:
    said = file.refusal(f'[alpaca]\npaper_url = "https://{user}api.alpaca.markets"')

    assert said.startswith("alpaca.paper_url: must hold a host and a path only (got ")


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("paper_url", "https://paper-api.alpaca.markets"),
        ("live_url", "https://api.alpaca.markets"),
        ("paper_url", "https://api.alpaca.markets.example.org"),
        ("paper_url", "https://example.org/api.alpaca.markets"),
        ("live_url", "https://paper-api.alpaca.markets.example.org"),
        ("paper_url", "https://notalpaca.markets"),
        ("paper_url", "https://api.alpaca.markets-example.org"),
    ],
)
def test_every_other_host_may_answer_for_a_mode(
    file: ConfigFile, key: str, url: str
) -> None:
    assert getattr(file.load(f'[alpaca]\n{key} = "{url}"').alpaca, key) == url


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("HTTPS://api.alpaca.markets", "https://api.alpaca.markets"),
        ("Http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://LOCALHOST:8000/Paper", "http://localhost:8000/Paper"),
    ],
)
def test_the_case_of_scheme_and_host_does_not_count(
    file: ConfigFile, given: str, meant: str
) -> None:
    # The stream's URL is made of this one, and knows lower case only.
    settings = file.load(f'[alpaca]\nlive_url = "{given}"')

    assert settings.base_url("live") == meant


def test_a_slash_at_the_end_of_a_url_does_not_count(file: ConfigFile) -> None:
    settings = file.load('[alpaca]\npaper_url = "https://example.org/api/"')

    assert settings.base_url("paper") == "https://example.org/api"


@pytest.mark.parametrize(
    "bad",
    [
        "https://me:hush@example.org",
        "https://hush@example.org",
        "https://me:hush/hush@example.org",
        "https://me:hush@@example.org",
        "http://me:hush@127.0.0.1",
        "ftp://me:hush@example.org",
        "https://me:hush@example.org:x",
        "https://me:hu#hush@example.org",
        "https://me:hu?hush@example.org",
    ],
)
def test_a_url_with_a_password_is_refused_and_shows_none(
    file: ConfigFile, bad: str
) -> None:
    file.path.write_text(f'[alpaca]\nlive_url = "{bad}"')

    with pytest.raises(ConfigError, match=r"alpaca\.live_url: ") as caught:
        load_settings(file.path)
    assert_hidden(caught.value)


@pytest.mark.parametrize(
    "bad", ["", "9464", ":9464", "127.0.0.1", "host:", "h:x", "h:65536", "h:-1",
            "::1:9464", "[]:1", "h:\uff19"],
)  # fmt: skip
def test_a_bad_address_of_metrics_is_refused_by_its_key(
    file: ConfigFile, bad: str
) -> None:
    said = file.refusal(f'[metrics]\nlisten = "{bad}"')

    assert said.startswith('metrics.listen: must be "host:port"')


def test_a_port_that_is_a_number_is_refused(file: ConfigFile) -> None:
    assert file.refusal("[metrics]\nlisten = 9464").startswith("metrics.listen: ")


@pytest.mark.parametrize(
    "good",
    ["https://example.org/hush7", "http://127.0.0.1:8000/hush7", "https://u:hush@x/"],
)
def test_a_webhook_is_https_or_loopback_and_is_not_shown(
    file: ConfigFile, good: str
) -> None:
    settings = file.load(f'[notify]\nwebhook = "{good}"')

    assert settings.notify.is_on
    assert "hush" not in repr(settings)
    assert any("hush" in secret for secret in settings.notify.secrets())
    file.path.chmod(0o644)
    assert open_secrets(file.path, settings)


@pytest.mark.parametrize(
    "bad",
    ["", "http://example.org/hush", "ftp://127.0.0.1/hush", "https:///hush",
     "https://x:0/hush", "https://x y/hush", "https://x:port/hush", "hush"],
)  # fmt: skip
def test_a_bad_webhook_is_refused_and_not_shown(file: ConfigFile, bad: str) -> None:
    said = file.refusal(f'[notify]\nwebhook = "{bad}"')

    assert said.startswith("notify.webhook: must be ")
    assert "hush" not in said


@pytest.mark.parametrize("bad", ["[]", '"hush"', "[1]", '["hush", 2]', '["a\\u0000"]'])
def test_a_bad_command_is_refused_and_not_shown(file: ConfigFile, bad: str) -> None:
    said = file.refusal(f"[notify]\ncommand = {bad}")

    assert said.startswith("notify.command")
    assert "hush" not in said

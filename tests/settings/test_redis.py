"""``[redis]``: its keys, its address, and that it needs a restart."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

import pytest

from snexec.errors import ConfigError
from snexec.logs import SecretMask
from snexec.settings import RedisSettings, learn_secrets, open_secrets, redis_address
from snexec.settings.changes import changed_keys, changes, reloadable
from snexec.settings.redis import RedisAddress, read_address
from tests.settings.conftest import ConfigFile

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_ENVIRONMENT: Mapping[str, str] = {}


def redis(file: ConfigFile, line: str) -> RedisSettings:
    found = file.load(f"[redis]\n{line}\n").redis
    assert found is not None
    return found


def test_without_its_section_there_is_no_redis(file: ConfigFile) -> None:
    assert file.load("").redis is None


def test_its_keys_have_the_defaults_of_the_contract(file: ConfigFile) -> None:
    assert redis(file, "").model_dump() == {
        "url": None,
        "stream": "snexec:signals",
        "group": "snexec",
        "consumer": None,
        "lease_sec": 10.0,
        "claim_idle_sec": 30.0,
        "max_deliveries": 5,
        "results": None,
        "results_max_length": 100_000,
    }


def test_a_daemon_is_called_as_its_host_unless_it_is_said(file: ConfigFile) -> None:
    assert redis(file, "").name == socket.gethostname()
    assert redis(file, 'consumer = "host-a"').name == "host-a"


def test_what_is_dead_has_a_stream_beside_the_other(file: ConfigFile) -> None:
    assert redis(file, 'stream = "news"').dead == "news:dead"


@pytest.mark.parametrize(
    "line",
    [
        'stream = ""',
        'stream = "a b"',
        'group = "a\\n"',
        'consumer = ""',
        "lease_sec = -1",
        "lease_sec = 3601",
        "claim_idle_sec = 0",
        "max_deliveries = 0",
        "max_deliveries = 1.5",
        "results_max_length = 0",
        'results = ""',
        "unheard_of = 1",
    ],
)
def test_what_it_may_not_hold_is_refused_by_its_name(
    file: ConfigFile, line: str
) -> None:
    with pytest.raises(ConfigError, match=f"redis.{line.split(maxsplit=1)[0]}"):
        redis(file, line)


# Its address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (
            "rediss://host:7000/3",
            RedisAddress("host", 7000, 3, None, None, encrypted=True),
        ),
        ("rediss://host", RedisAddress("host", 6379, 0, None, None, encrypted=True)),
        (
            "redis://localhost/",
            RedisAddress("localhost", 6379, 0, None, None, encrypted=False),
        ),
        (
            "redis://127.8.9.1",
            RedisAddress("127.8.9.1", 6379, 0, None, None, encrypted=False),
        ),
        (
            "redis://[::1]:1",
            RedisAddress("::1", 1, 0, None, None, encrypted=False),
        ),
        (
            "rediss://bob:p%40ss@host",
            RedisAddress("host", 6379, 0, "bob", "p@ss", encrypted=True),
        ),
        (
            "rediss://:p@host",
            RedisAddress("host", 6379, 0, None, "p", encrypted=True),
        ),
    ],
)
def test_a_url_says_where_and_as_whom(url: str, address: RedisAddress) -> None:
    assert read_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host:6379",
        "http://host",
        "rediss://",
        "rediss://host:0",
        "rediss://host:x",
        "rediss://host/news",
        "rediss://host/0?ssl_cert_reqs=none",
        "rediss://host/0#x",
        "rediss://ho st",
        "redis://host",
        "redis://10.0.0.1",
        "redis://example.com@10.0.0.1",
        "redis://0.0.0.0",
        "redis://localhost.example.com",
    ],
)
def test_a_url_that_is_none_or_not_encrypted_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|is not"):
        read_address(url)


def test_an_address_is_shown_without_what_is_secret() -> None:
    assert str(read_address("rediss://bob:geheim@host:1/2")) == "host:1/2"
    assert str(read_address("redis://[::1]")) == "[::1]:6379/0"


def test_the_environment_wins_over_the_file(file: ConfigFile) -> None:
    settings = redis(file, 'url = "rediss://file"')
    environ = {"SNEXEC_REDIS_URL": "rediss://environment"}

    assert redis_address(settings, NO_ENVIRONMENT).host == "file"
    assert redis_address(settings, environ).host == "environment"


def test_a_credential_of_the_service_manager_is_read(file: ConfigFile) -> None:
    (file.path.parent / "snexec_redis_url").write_text("rediss://stored\n")
    environ = {"CREDENTIALS_DIRECTORY": str(file.path.parent)}

    assert redis_address(redis(file, ""), environ).host == "stored"


def test_that_nothing_says_where_is_said_before_anything_runs(
    file: ConfigFile,
) -> None:
    settings = file.load("[redis]\n")
    with pytest.raises(ConfigError, match=r"redis.url: is missing; .*SNEXEC_REDIS_URL"):
        learn_secrets(SecretMask(), settings, NO_ENVIRONMENT)


def test_a_url_is_never_quoted(file: ConfigFile) -> None:
    for url in ("redis://:geheim@10.0.0.1", "rediss://:geheim@"):
        with pytest.raises(ConfigError) as caught:
            redis(file, f'url = "{url}"')
        assert "geheim" not in str(caught.value)
        with pytest.raises(ConfigError) as caught:
            redis_address(redis(file, ""), {"SNEXEC_REDIS_URL": url})
        assert "geheim" not in str(caught.value)


def test_its_password_is_masked(file: ConfigFile) -> None:
    mask = SecretMask()
    settings = file.load('[redis]\nurl = "rediss://:Geheim-0815-Wort@host"\n')
    learn_secrets(mask, settings, NO_ENVIRONMENT)

    assert "Geheim" not in mask.apply("WRONGPASS Geheim-0815-Wort")


def test_a_file_that_holds_it_and_others_can_read_is_named(file: ConfigFile) -> None:
    settings = file.load('[redis]\nurl = "rediss://:pw@host"\n')
    file.path.chmod(0o644)
    assert open_secrets(file.path, settings) == "the password of Redis"
    assert open_secrets(file.path, file.load("[redis]\n")) == ""


# What a second reading changes


def test_all_of_it_needs_a_restart(file: ConfigFile) -> None:
    old = file.load('[redis]\nurl = "rediss://:eins-zwei@host"\n')
    new = file.load('[redis]\nurl = "rediss://:drei-vier@host"\ngroup = "b"\n')
    names = changed_keys(old, new)

    assert names == ["redis.url", "redis.group"]
    assert not any(map(reloadable, names))
    assert [change.after for change in changes(old, new, names)] == ["***", '"b"']
    assert changed_keys(old, file.load("")) == ["redis"]
    assert "eins" not in str(changes(old, file.load(""), ["redis"]))


def test_nothing_of_it_is_logged(
    file: ConfigFile, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file.load('[redis]\nurl = "rediss://:geheim@host"\n')
    assert "geheim" not in caplog.text

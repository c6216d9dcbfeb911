"""`check` on Redis: the server, what it keeps, the group, the clock, the lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snexec.cli import check_redis as module
from snexec.cli.check_redis import check_redis
from snexec.redis.client import GroupStatus
from tests.fakes import make_settings
from tests.redis.feeding import STREAM
from tests.redis.server import free_port, needs_redis, running_server, shared_server

if TYPE_CHECKING:
    from snexec.cli.check_findings import Finding

pytestmark = needs_redis


def found(url: str, **redis: object) -> dict[str, Finding]:
    settings = make_settings(redis={"url": url, "consumer": "host-a", **redis})
    return {finding.check: finding for finding in check_redis(settings)}


def fresh() -> str:
    shared_server().ask("FLUSHALL")
    return shared_server().url


def seen(**changes: object) -> module._Seen:
    return module._Seen(
        server={"redis_version": "7.0.15"},
        persistence={},
        memory={},
        ahead_seconds=0.0,
        group=None,
        holder="",
    )._replace(**changes)  # type: ignore[arg-type]


def test_without_its_section_nothing_is_asked() -> None:
    assert check_redis(make_settings()) == []


def test_a_server_that_answers_is_named_with_its_version() -> None:
    findings = found(fresh())
    assert findings["redis"].result == "OK"
    assert findings["redis"].detail.endswith(", standalone")
    assert findings["redis clock"].result == "OK"
    assert findings["redis group"].detail == (
        "snexec on snexec:signals: the daemon will make it"
    )
    assert findings["lease"].detail == "nobody is active"


def test_that_nothing_is_kept_on_disk_is_said() -> None:
    assert found(fresh())["redis keeps"].result == "WARN"
    with running_server("--appendonly", "yes") as server:
        assert found(server.url)["redis keeps"].result == "OK"


def test_a_group_says_how_far_it_is() -> None:
    url = fresh()
    server = shared_server()
    server.ask("XGROUP", "CREATE", STREAM, "snexec", "0", "MKSTREAM")
    for _ in range(3):
        server.ask("XADD", STREAM, "*", "signal", "x")
    server.ask(
        *("XREADGROUP", "GROUP", "snexec", "c", "COUNT", "1", "STREAMS", STREAM, ">")
    )
    assert "1 not decided, " in found(url)["redis group"].detail


def test_who_is_active_is_named() -> None:
    url = fresh()
    shared_server().ask("SET", f"{STREAM}:snexec:lease", "host-b 1", "PX", "9000")
    assert found(url)["lease"].detail == "host-b is active"
    assert found(url, consumer="host-b")["lease"].detail == (
        "host-b is active, which is this one's name"
    )
    assert found(url, lease_sec=0.0)["lease"].detail == "none: only for a single host"


def test_a_server_that_throws_keys_away_is_warned_of() -> None:
    url = fresh()
    server = shared_server()
    server.ask("CONFIG", "SET", "maxmemory", "100mb")
    server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        assert "allkeys-lru" in found(url)["redis memory"].detail
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        assert "redis memory" not in found(url)
    finally:
        server.ask("CONFIG", "SET", "maxmemory", "0")


def test_a_server_that_is_away_fails() -> None:
    findings = found(f"redis://127.0.0.1:{free_port()}")
    assert findings["redis"].result == "FAIL"
    assert "Connection refused" in findings["redis"].detail


def test_an_old_server_fails() -> None:
    old = seen(server={"redis_version": "5.0.7"})
    assert module._server(old).result == "FAIL"
    valkey = seen(server={"redis_version": "7.2.4", "valkey_version": "8.0.1"})
    assert module._server(valkey).detail == "Valkey 8.0.1, standalone"


@pytest.mark.parametrize(("ahead", "words"), [(3.0, "ahead of"), (-3.0, "behind")])
def test_a_clock_that_differs_is_warned_of(ahead: float, words: str) -> None:
    finding = module._clock(seen(ahead_seconds=ahead))
    assert finding.result == "WARN"
    assert words in finding.detail


def test_much_that_nobody_reads_is_warned_of() -> None:
    settings = make_settings(redis={}).redis
    assert settings is not None
    finding = module._group(seen(group=GroupStatus(0, 5000)), settings)
    assert finding.result == "WARN"


def test_without_the_driver_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "has_driver", lambda: False)
    assert "pip install" in found("redis://localhost")["redis"].detail

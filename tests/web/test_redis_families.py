"""The figures about Redis that are read at a scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from snexec.redis import RedisStatus
from snexec.web.redis_families import about_redis

if TYPE_CHECKING:
    from snexec.redis import RedisFeeder

STATUS = RedisStatus(
    connected=True,
    since="2026-01-05T14:30:00.123Z",
    pending=3,
    lag=7,
    again=2,
    dead=1,
    dropped=4,
)


class FakeRedis:
    def __init__(self, status: RedisStatus) -> None:
        self._status = status

    def status(self) -> RedisStatus:
        return self._status


def samples(status: RedisStatus) -> dict[str, float]:
    redis = cast("RedisFeeder", FakeRedis(status))
    return {
        sample.name: sample.value
        for family in about_redis(redis)
        for sample in family.samples
    }


def test_without_its_section_there_is_no_figure() -> None:
    assert list(about_redis(None)) == []


def test_the_stream_is_counted() -> None:
    assert samples(STATUS) == {
        "snexec_redis_connected": 1,
        "snexec_redis_pending": 3,
        "snexec_redis_lag": 7,
        "snexec_lease": 1,
        "snexec_redis_dead_total": 1,
        "snexec_redis_again_total": 2,
        "snexec_redis_results_dropped_total": 4,
    }


def test_what_the_server_does_not_know_has_no_figure() -> None:
    found = samples(STATUS._replace(connected=False, pending=None, lag=None))
    assert found["snexec_redis_connected"] == 0
    assert "snexec_redis_lag" not in found
    assert "snexec_redis_pending" not in found


def test_a_standby_has_no_lease() -> None:
    assert samples(STATUS._replace(lease="standby"))["snexec_lease"] == 0
    assert samples(STATUS._replace(lease="active"))["snexec_lease"] == 1

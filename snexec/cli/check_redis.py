"""Whether Redis is there, keeps what it is told, and who reads how far (SPEC 13)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from snexec.cli.check_findings import Finding, fail, ok, warn
from snexec.cli.redis_session import MISSING, has_driver, in_session
from snexec.errors import CommandError, ConfigError, RedisCommandError
from snexec.redis import LEASE_RELEASED, lease_key

if TYPE_CHECKING:
    from snexec.redis.client import GroupStatus, Session
    from snexec.settings import RedisSettings, Settings

_LEAST_VERSION = (6, 0)
_CLOCKS_DIFFER_SECONDS = 2.0
_MUCH_LAG = 1000


class _Seen(NamedTuple):
    """What the server says."""

    server: dict[str, str]
    persistence: dict[str, str]
    memory: dict[str, str]
    ahead_seconds: float
    group: GroupStatus | None
    holder: str


def check_redis(settings: Settings) -> list[Finding]:
    """Look at the server that ``[redis]`` names; nothing without that section."""
    redis = settings.redis
    if redis is None:
        return []
    if not has_driver():
        return [fail("redis", MISSING)]
    try:
        seen = in_session(redis, _Look(redis).look)
    except (CommandError, ConfigError) as exc:
        return [fail("redis", str(exc), "entries stay in the stream until it answers")]
    return [
        _server(seen),
        _persistence(seen),
        *_eviction(seen),
        _group(seen, redis),
        _clock(seen),
        _lease(seen, redis),
    ]


class _Look:
    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings

    async def look(self, session: Session) -> _Seen:
        before = time.time()
        server_time = await session.time()
        ahead = server_time - (before + time.time()) / 2
        try:
            group = await session.status()
        except RedisCommandError:
            group = None
        who, _left = await session.lease(lease_key(self._settings))
        return _Seen(
            server=await session.info("server"),
            persistence=await session.info("persistence"),
            memory=await session.info("memory"),
            ahead_seconds=ahead,
            group=group,
            holder=who,
        )


def _server(seen: _Seen) -> Finding:
    name = "Valkey" if "valkey_version" in seen.server else "Redis"
    version = seen.server.get("valkey_version") or seen.server.get("redis_version", "")
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    detail = f"{name} {version}, {seen.server.get('redis_mode', 'standalone')}"
    if parts < _LEAST_VERSION:
        return fail("redis", detail, "Redis 6 or newer is needed")
    return ok("redis", detail)


def _persistence(seen: _Seen) -> Finding:
    if seen.persistence.get("aof_enabled") == "1":
        return ok("redis keeps", "an append-only file")
    return warn(
        "redis keeps",
        "no append-only file: signals that it was given can be lost with it",
        "appendonly yes, and appendfsync always or everysec",
    )


def _eviction(seen: _Seen) -> list[Finding]:
    policy = seen.memory.get("maxmemory_policy", "noeviction")
    if seen.memory.get("maxmemory", "0") == "0" or policy == "noeviction":
        return []
    return [
        warn(
            "redis memory",
            f"when it is full, it throws keys away ({policy}): streams, and the lease",
            "maxmemory-policy noeviction",
        )
    ]


def _group(seen: _Seen, settings: RedisSettings) -> Finding:
    name = f"{settings.group} on {settings.stream}"
    if seen.group is None:
        return ok("redis group", f"{name}: the daemon will make it")
    lag = "unknown" if seen.group.lag is None else str(seen.group.lag)
    detail = f"{name}: {seen.group.pending} not decided, {lag} not read"
    if (seen.group.lag or 0) > _MUCH_LAG:
        return warn("redis group", detail, "is a daemon of the group active?")
    return ok("redis group", detail)


def _clock(seen: _Seen) -> Finding:
    detail = f"{abs(seen.ahead_seconds):.1f} s {_side(seen.ahead_seconds)} ours"
    if abs(seen.ahead_seconds) > _CLOCKS_DIFFER_SECONDS:
        advice = "set both by NTP: an entry is as old as the server's clock says"
        return warn("redis clock", detail, advice)
    return ok("redis clock", detail)


def _side(ahead_seconds: float) -> str:
    return "ahead of" if ahead_seconds > 0 else "behind"


def _lease(seen: _Seen, settings: RedisSettings) -> Finding:
    if not settings.lease_sec:
        return ok("lease", "none: only for a single host")
    who = seen.holder.partition(" ")[0]
    if not who or who == LEASE_RELEASED:
        return ok("lease", "nobody is active")
    us = ", which is this one's name" if who == settings.name else ""
    return ok("lease", f"{who} is active{us}")

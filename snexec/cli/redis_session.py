"""One session with Redis for a command, and the words for what is in its way."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, TypeVar

import trio

from snexec.broker import tls_context
from snexec.errors import CommandError, ConfigError, RedisError
from snexec.settings import redis_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from snexec.redis.client import Session
    from snexec.settings import RedisSettings

T = TypeVar("T")

MISSING = "coredis is not installed: pip install 'snexec[redis]'"


def has_driver() -> bool:
    """Return whether the driver is installed."""
    return importlib.util.find_spec("coredis") is not None


def in_session(settings: RedisSettings, speak: Callable[[Session], Awaitable[T]]) -> T:
    """Connect, have one speak, and return what that returns.

    Raises:
        ConfigError: Nothing says where Redis is.
        CommandError: It cannot be asked, or refuses.
    """
    if not has_driver():
        raise CommandError(MISSING)
    from snexec.redis.client import hold_session  # it takes a fifth of a second

    address = redis_address(settings)
    found: list[T] = []

    async def hold() -> None:
        async def listen(session: Session) -> None:
            found.append(await speak(session))

        await hold_session(
            *(address, lambda: tls_context(os.environ), listen),
            stream=settings.stream,
            group=settings.group,
            consumer=settings.name,
        )

    try:
        trio.run(hold)
    except (RedisError, OSError) as exc:
        raise CommandError(f"{address}: {exc}") from None
    return found[0]


def needed(settings: RedisSettings | None) -> RedisSettings:
    """Return the section, which has to be there.

    Raises:
        ConfigError: It is not.
    """
    if settings is None:
        raise ConfigError("there is no [redis] in the configuration")
    return settings

"""An answer that is handed on in the very step in which it arrives (SPEC 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from coredis import Redis

T = TypeVar("T")


async def hand_on(
    client: Redis[bytes], *words: bytes | str | int, take: Callable[[Any], T]
) -> T:
    """Send a command that may block, and have its answer taken in the driver's own task.

    That task looks for more before the one that asked has its turn.

    Args:
        client: Connected.
        words: The command's.
        take: Must not wait; what it returns or raises, this does.
    """
    name, *others = words
    async with client.connection_pool.acquire() as connection:
        request = connection.create_request(
            name, *others, disconnect_on_cancellation=True
        )
        resolve = request.resolve

        def arrived(answer: object) -> None:
            try:
                taken = take(answer)
            except Exception as exc:  # noqa: BLE001 - it is the one's who asked
                request.fail(exc)
            else:
                resolve(taken)

        request.resolve = arrived
        return cast("T", await request)

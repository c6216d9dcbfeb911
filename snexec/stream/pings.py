"""Pings, so that a half-open connection is noticed (SPEC 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from snexec.errors import StreamClosedError

if TYPE_CHECKING:
    import logging

    from snexec.stream.connection import Socket
    from snexec.stream.life import SignsOfLife


async def keep_pinging(
    socket: Socket,
    life: SignsOfLife,
    *,
    every_seconds: float,
    pong_seconds: float,
    log: logging.Logger,
) -> None:
    """Ping, and close the connection if no pong comes: it is half open.

    Args:
        socket: The open connection.
        life: Hears of each pong.
        every_seconds: How long to wait between a pong and the next ping.
        pong_seconds: How long a pong may take.
        log: Whose lines these are.
    """
    while True:
        await trio.sleep(every_seconds)
        with trio.move_on_after(pong_seconds) as waiting:
            try:
                await socket.ping()
            except StreamClosedError:
                return
            life.heard()
        if waiting.cancelled_caught:
            log.warning("no pong within %g s", pong_seconds)
            await socket.aclose()
            return

"""A half-open connection is noticed by pings (SPEC 7)."""

from __future__ import annotations

import logging
from typing import cast

import pytest
import trio

from snexec.errors import StreamClosedError
from snexec.stream.life import SignsOfLife
from snexec.stream.pings import keep_pinging

pytestmark = pytest.mark.jumping_time

LOG = logging.getLogger("Test")


class Line:
    """A connection whose pongs take so long; then it fails or is silent."""

    def __init__(self, *pongs: float, then: str = "silent") -> None:
        self._pongs = list(pongs)
        self._then = then
        self.pinged: list[float] = []
        self.closed_at: float | None = None

    async def ping(self) -> None:
        self.pinged.append(trio.current_time())
        if self._pongs:
            await trio.sleep(self._pongs.pop(0))
        elif self._then == "closed":
            raise StreamClosedError("gone")
        else:
            await trio.sleep_forever()

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()
        self.closed_at = trio.current_time()


async def keep(line: Line, life: SignsOfLife | None = None) -> None:
    from snexec.stream.connection import Socket  # noqa: PLC0415

    await keep_pinging(
        cast("Socket", line),
        life or SignsOfLife(),
        every_seconds=20,
        pong_seconds=10,
        log=LOG,
    )


async def test_the_next_ping_is_so_long_after_the_last_pong() -> None:
    line = Line(1, 9.5, then="closed")
    await keep(line)
    assert line.pinged == [20, 41, 70.5]


async def test_each_pong_is_a_sign_of_life() -> None:
    life = SignsOfLife()
    await keep(Line(1, 2, then="closed"), life)
    assert life.heard_at == 43, "one that failed is none"


async def test_a_connection_without_a_pong_is_closed_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line, life = Line(1), SignsOfLife()
    await keep(line, life)
    assert line.closed_at == 51
    assert life.heard_at == 21
    assert caplog.messages == ["no pong within 10 s"]


async def test_one_that_is_closed_already_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = Line(then="closed")
    await keep(line)
    assert (line.closed_at, caplog.messages) == (None, [])

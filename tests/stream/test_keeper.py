"""A connection that is kept, whoever speaks on it."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, NoReturn

import pytest
import trio

from snexec.errors import (
    StreamClosedError,
    StreamRefusedError,
    StreamRejectedError,
    StreamUnauthorizedError,
)
from snexec.logs import SecretMask
from snexec.stream import connection as connection_module
from snexec.stream.connection import Socket
from snexec.stream.keeper import Keeper
from tests.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import LoggedErrors

pytestmark = pytest.mark.jumping_time

log = logging.getLogger("Kept")


class SilentSocket(Socket):
    """A connection on which nothing comes."""

    def __init__(self) -> None: ...


class Line:
    """Opens connections, and notes which are open.

    Attributes:
        story: What was opened and closed, in its order.
        frame_bytes: The longest frame that the last one takes.
    """

    def __init__(self) -> None:
        self.story: list[str] = []
        self.frame_bytes = 0

    @contextlib.asynccontextmanager
    async def open(
        self, address: str, _tls: object, frame_bytes: int
    ) -> AsyncIterator[Socket]:
        self.frame_bytes = frame_bytes
        self.story.append(f"open {address}")
        try:
            yield SilentSocket()
        finally:
            self.story.append(f"close {address}")


def no_tls() -> NoReturn:
    raise AssertionError("a ws:// host needs no certificate")


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    """Give what stands for the network."""
    made = Line()
    monkeypatch.setattr(connection_module, "open_connection", made.open)
    return made


def make_keeper(mask: SecretMask | None = None) -> Keeper:
    """Make a keeper of connections that take frames of 1,000 bytes."""
    return Keeper(
        *("line", no_tls),
        log=log,
        clock=FakeClock(),
        mask=mask or SecretMask(),
        frame_bytes=1000,
    )


async def test_one_connection_is_closed_before_the_next_opens(line: Line) -> None:
    keeper, numbers = make_keeper(), iter("abc")

    async def speak(_socket: Socket) -> None:
        await trio.sleep_forever()

    async def attempt() -> None:
        await keeper.follow(next(numbers), speak)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.run, attempt, lambda: 2.0)
        await trio.sleep(1)
        keeper.restart()
        await trio.sleep(1)
        assert line.story == ["open a", "close a"], "its delay is not over"
        await trio.sleep(2)
        assert line.story == ["open a", "close a", "open b"]
        nursery.cancel_scope.cancel()
    assert line.story[-1] == "close b"
    assert line.frame_bytes == 1000


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (StreamClosedError("1001"), "connection closed: 1001"),
        (StreamRejectedError(503), "connection refused: HTTP 503"),
        (OSError("no route"), "no connection: no route"),
        (trio.TooSlowError("no answer"), "no connection: no answer"),
        (StreamUnauthorizedError("401"), None),  # what that means says the caller
        (StreamRefusedError(406, "connection limit exceeded"), None),
    ],
)
async def test_what_ends_a_connection_is_returned_and_logged_once(
    line: Line,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    logged: str | None,
) -> None:
    keeper = make_keeper()

    async def speak(_socket: Socket) -> None:
        raise error

    for _ in range(2):
        assert await keeper.follow("a", speak) == [error]
    assert len(line.story) == 4
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert warnings == ([] if logged is None else [logged])


async def test_a_fault_of_ours_ends_the_connection_only(
    line: Line, logged_errors: LoggedErrors
) -> None:
    async def speak(_socket: Socket) -> None:
        raise ZeroDivisionError("ours")

    (ended,) = await make_keeper().follow("a", speak)
    assert isinstance(ended, ZeroDivisionError)
    assert logged_errors.take() == ["connection failed"]
    assert line.story == ["open a", "close a"]


async def test_a_speaker_that_just_returns_ended_by_nothing(line: Line) -> None:
    async def speak(_socket: Socket) -> None:
        await trio.lowlevel.checkpoint()

    assert await make_keeper().follow("a", speak) == []
    assert line.story == ["open a", "close a"]


async def test_a_secret_that_a_fault_echoes_is_masked(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    mask = SecretMask()
    mask.learn(["PKABCDEFGHIJ"])

    async def speak(_socket: Socket) -> None:
        raise StreamClosedError("1008 no PKABCDEFGHIJ here")

    await make_keeper(mask).follow("a", speak)
    assert "PKABCDEFGHIJ" not in caplog.text
    assert "***" in caplog.text
    assert line.story


async def test_each_wait_is_one_in_which_a_sign_of_life_is_due(line: Line) -> None:
    keeper = make_keeper()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper.pause, 3600)
        await trio.sleep(3500)
        assert not keeper.life.is_overdue()
        nursery.cancel_scope.cancel()
    await trio.sleep(200)
    assert keeper.life.is_overdue()
    assert line.story == []

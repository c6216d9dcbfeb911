"""A connection that is kept: one after the other, each closed before the next opens."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import trio

from snexec.errors import (
    StreamClosedError,
    StreamError,
    StreamRefusedError,
    StreamRejectedError,
    StreamUnauthorizedError,
    leaves,
    reasons,
)
from snexec.logs import Repeats
from snexec.stream.life import SignsOfLife
from snexec.threads import in_own_thread

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    from snexec.clock import Clock
    from snexec.logs import SecretMask
    from snexec.stream.connection import Socket

# By when there must be a sign of life; longer than all waits of an attempt together.
_ATTEMPT_SECONDS = 120.0
_OVERDUE_SECONDS = 30.0
_SHOWN_CHARS = 500
_CONNECTION = "snexec.stream.connection"


class Keeper:
    """Opens connections for whoever speaks on them, and ends each in good order.

    Args:
        name: What fails, for the sums of faults that come again and again.
        tls: Makes the context that verifies a wss:// host.
        log: Whose lines these are.
        mask: Knows the secrets, which a fault may echo.
        frame_bytes: The longest frame; a longer one ends the connection.

    Attributes:
        life: When the other side was heard, and by when it should be.
        faults: What went wrong so far in this row.
        logged_fault: Whether the last fault was logged in full.
    """

    def __init__(
        self,
        name: str,
        tls: Callable[[], ssl.SSLContext],
        *,
        log: logging.Logger,
        clock: Clock,
        mask: SecretMask,
        frame_bytes: int,
    ) -> None:
        self.life = SignsOfLife()
        self.faults = Repeats(name, log=log, clock=clock)
        self.logged_fault = True
        self._tls = tls
        self._log = log
        self._mask = mask
        self._frame_bytes = frame_bytes
        self._attempt_scope = trio.CancelScope()
        self._following_scope: trio.CancelScope | None = None  # on an open connection

    def restart(self) -> None:
        """Close the connection, or stop waiting for the next one; then begin anew."""
        self.faults.reset()
        self.life.expect_within(_ATTEMPT_SECONDS)
        # An open connection is closed in good order before the next one opens: its
        # block ends, and the attempt only after that.
        scope = self._following_scope or self._attempt_scope
        scope.cancel(reason="the stream restarts")

    async def run(
        self, attempt: Callable[[], Awaitable[None]], restart_delay: Callable[[], float]
    ) -> None:
        """Attempt again and again, until cancelled.

        Args:
            attempt: Follows one connection, and waits until the next one is due.
            restart_delay: Seconds between a restart and the next attempt.
        """
        while True:
            self.life.expect_within(_ATTEMPT_SECONDS)
            with trio.CancelScope() as self._attempt_scope:
                await attempt()
            if self._attempt_scope.cancelled_caught:
                delay = restart_delay()
                self.life.expect_within(delay + _OVERDUE_SECONDS)
                await trio.sleep(delay)

    async def pause(self, seconds: float) -> None:
        """Wait until the next attempt is due."""
        level = logging.INFO if self.logged_fault else logging.DEBUG
        self._log.log(level, "next try in %.3g s", seconds)
        self.life.expect_within(seconds + _OVERDUE_SECONDS)
        await trio.sleep(seconds)

    async def follow(
        self, address: str, speak: Callable[[Socket], Awaitable[None]]
    ) -> list[Exception]:
        """Open a connection, and have one speak on it until it ends.

        Faults are logged here, but for the other side's no to who we are: what that
        means is the caller's to say.

        Returns:
            What ended it; nothing, if the speaker just returned.
        """
        self.life.expect_within(_ATTEMPT_SECONDS)
        ended: list[Exception] = []
        try:
            await self._open_and_speak(address, speak)
        except* (StreamUnauthorizedError, StreamRefusedError) as group:
            ended.extend(leaves(group))
        except* StreamRejectedError as group:
            refusals = list(leaves(group))
            ended.extend(refusals)
            statuses = {exc.status_code for exc in refusals}
            self._warn(f"connection refused: HTTP {', '.join(map(str, statuses))}")
        except* StreamClosedError as group:
            ended.extend(leaves(group))
            self._warn(f"connection closed: {reasons(group)}")
        except* (StreamError, OSError, trio.BrokenResourceError) as group:
            ended.extend(leaves(group))
            self._warn(f"no connection: {reasons(group)}")
        except* trio.TooSlowError as group:
            ended.extend(leaves(group))
            self._warn(f"no connection: {reasons(group)}")
        except* Exception as group:  # noqa: BLE001 - it never ends the daemon
            ended.extend(leaves(group))
            self.logged_fault = self.faults.failed(f"failed: {reasons(group)}")
            if self.logged_fault:
                self._log.exception("connection failed")
        return ended

    def works(self) -> None:
        """Note that the connection does what it is for."""
        self.life.heard()
        self.faults.worked()

    def _warn(self, fault: str) -> None:
        fault = self._mask.shown(fault, _SHOWN_CHARS)
        self.logged_fault = self.faults.failed(fault)
        if self.logged_fault:
            self._log.warning("%s", fault)

    async def _open_and_speak(
        self, address: str, speak: Callable[[Socket], Awaitable[None]]
    ) -> None:
        if _CONNECTION not in sys.modules:
            # To import it takes a tenth of a start; signals need not wait for that.
            await in_own_thread(
                "import of the stream", lambda: import_module(_CONNECTION)
            )
        from snexec.stream.connection import open_connection  # noqa: PLC0415

        following = trio.CancelScope()
        try:
            async with open_connection(address, self._tls, self._frame_bytes) as socket:
                self._following_scope = following
                try:
                    with following:
                        await speak(socket)
                finally:
                    self._following_scope = None
        finally:
            # Even if the connection ended by itself at the same moment.
            if following.cancel_called:
                self._attempt_scope.cancel(reason="the stream restarts")
        await trio.lowlevel.checkpoint_if_cancelled()
